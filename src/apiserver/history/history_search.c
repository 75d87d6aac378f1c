/* Which revision was at a time: marks in memory, and those that are stored, by bisection. */
#include "apiserver/history/history-internal.h"

#include "apiserver/apiserver-internal.h"
#include "base/timefmt.h"

void found_release(struct found *f)
{
	vec_release(&f->s.m);
	*f = (struct found){ 0 };
}

struct first {
	struct found *found;
	bool any; /* a key was there */
};

/* What is no stretch is passed over: it is a value that somebody else wrote. */
static int found_one(const struct store_kv *kv, void *ctx)
{
	struct first *first = ctx;
	struct found *f = first->found;

	first->any = true;
	found_release(f);
	if (kv->why || !marks_key_rev(kv->key, &f->rev) || !marks_parse(kv->value, &f->s)) {
		found_release(f);
		return 0;
	}
	f->mod_rev = kv->mod_rev;
	return 1;
}

int history_first(struct history *h, int64_t from, int64_t last, struct found *ret, struct err *err)
{
	char a[MARKS_KEY_MAX], b[MARKS_KEY_MAX];
	struct sv begin = marks_key(from, a), end = marks_key(last + 1, b);
	struct first first = { .found = ret };

	found_release(ret);
	if (from > last)
		return 0;
	/* One, nearly always: a store across a network sends as many as it is asked for. */
	if (store_range(h->s->store, begin, end, 0, 1, found_one, &first, NULL, err) < 0)
		return -1;
	if (first.any && !ret->s.m.n && store_range(h->s->store, begin, end, 0, 0, found_one, &first, NULL, err) < 0)
		return -1;
	return ret->s.m.n > 0;
}

int history_search(struct history *h, int64_t last, found_fn *which, int64_t x, struct found *ret, struct err *err)
{
	int64_t lo = 1, hi = last; /* what is looked for, if it is there, is *ret or in [lo, hi] */
	struct found f = { 0 };
	int rc = 0;

	found_release(ret);
	while (lo <= hi) {
		int64_t mid = lo + (hi - lo) / 2;

		rc = history_first(h, mid, hi, &f, err);
		if (rc < 0)
			break;
		if (rc > 0 && which(&f, x)) {
			found_release(ret);
			*ret = f;
			f = (struct found){ 0 };
			lo = ret->rev + 1;
		} else {
			hi = mid - 1;
		}
	}
	found_release(&f);
	return rc < 0 ? -1 : ret->s.m.n > 0;
}

static bool found_any(_unused_ const struct found *f, _unused_ int64_t x)
{
	return true;
}

int history_last(struct history *h, int64_t last, struct found *ret, struct err *err)
{
	return history_search(h, last, found_any, 0, ret, err);
}

static bool begins_before(const struct found *f, int64_t sec)
{
	return f->s.m.p[0].sec < sec;
}

/* --- answers --- */

/* Among marks in memory: those around the beginning of sec, and the last revision. False: all are later. */
static bool memory_at(struct history *h, int64_t sec, struct mark *ret, struct mark *ret_next, int64_t *ret_rev)
{
	size_t i;

	pthread_mutex_lock(&h->mu);
	*ret_rev = h->m.n ? vec_last(&h->m).rev : 0;
	i = marks_before(h->m.p, h->m.n, sec);
	*ret = i ? h->m.p[i - 1] : (struct mark){ 0 };
	*ret_next = i < h->m.n ? h->m.p[i] : (struct mark){ 0 };
	pthread_mutex_unlock(&h->mu);
	return i > 0;
}

/* The same of those that are stored; next is what memory knows of it. */
static int stored_at(struct history *h, int64_t sec, struct mark *ret, struct mark *next, struct err *err)
{
	struct found f = { 0 };
	int64_t last = next->rev;
	int rc = history_search(h, last, begins_before, sec, &f, err);
	size_t i;

	if (rc <= 0)
		return rc;
	i = marks_before(f.s.m.p, f.s.m.n, sec);
	*ret = f.s.m.p[i - 1];
	if (i < f.s.m.n) {
		*next = f.s.m.p[i];
		found_release(&f);
		return 1;
	}
	rc = history_first(h, f.rev + 1, last, &f, err);
	if (rc > 0)
		*next = f.s.m.p[0];
	found_release(&f);
	return rc < 0 ? -1 : 1;
}

static struct sv sec_text(int64_t sec, char out[TIME_TEXT_MAX])
{
	return time_format_sec(sec, 0, false, out);
}

int history_rev_at(struct history *h, int64_t sec, int64_t *ret_rev, int64_t *ret_doubt, struct err *err)
{
	char text[TIME_TEXT_MAX];
	struct mark m, next;
	struct store_stats st;
	int64_t now, last;

	pthread_mutex_lock(&h->mu);
	now = history_now_s(h);
	pthread_mutex_unlock(&h->mu);
	if (sec > now)
		return err_set(err, ERR_BAD_REQUEST, "%.*s is in the future", SV_ARG(sec_text(sec, text)));
	if (!memory_at(h, sec, &m, &next, &last)) {
		int rc = h->kept_s ? stored_at(h, sec, &m, &next, err) : 0;

		if (rc < 0)
			return -1;
		if (rc == 0)
			return history_expired(h, sec_text(sec, text), err);
	}
	store_stats(h->s->store, &st);
	if (m.rev < st.compact_rev)
		return history_expired(h, sec_text(sec, text), err);
	*ret_rev = m.rev;
	*ret_doubt = next.gap && next.rev > m.rev && (m.open || m.sec < sec - 1) ? next.rev : 0;
	/* Of a clock that is ahead of ours, or was: what came since has no time yet. */
	if (next.rev > m.rev && next.sec > history_clock_s(h) + HISTORY_AHEAD_S)
		*ret_doubt = MAX(next.rev, last);
	return 0;
}

/* The first second that can be asked for: behind the first mark that is kept. INT64_MAX: nobody knows. */
static int64_t history_reach_s(struct history *h, int64_t rev)
{
	_cleanup_(err_release) struct err none = ERR_INIT;
	int64_t sec = INT64_MAX, last;
	struct found f = { 0 };

	pthread_mutex_lock(&h->mu);
	last = h->m.n ? h->m.p[0].rev : 0;
	for (size_t i = h->m.n; i > 0 && h->m.p[i - 1].rev >= rev; i--)
		sec = h->m.p[i - 1].sec + 1;
	pthread_mutex_unlock(&h->mu);
	if (h->kept_s && history_first(h, MAX(rev, 1), last, &f, &none) > 0)
		for (size_t i = f.s.m.n; i > 0 && f.s.m.p[i - 1].rev >= rev; i--)
			sec = f.s.m.p[i - 1].sec + 1;
	found_release(&f);
	return sec;
}

int history_expired(struct history *h, struct sv what, struct err *err)
{
	char text[TIME_TEXT_MAX];
	struct store_stats st;
	int64_t sec;

	store_stats(h->s->store, &st);
	sec = history_reach_s(h, st.compact_rev);
	return err_set(err, ERR_EXPIRED,
		       "%.*s is before what is kept: the history reaches back to revision %" PRId64 "%s%.*s%s",
		       SV_ARG(what), MAX(st.compact_rev, 1), sec == INT64_MAX ? "" : " and to ",
		       SV_ARG(sec == INT64_MAX ? SV("") : sec_text(sec, text)),
		       h->kept_s ? "" : "; --history DURATION keeps it for longer");
}
