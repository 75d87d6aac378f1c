/* Marks as they come, what of them is written, and which revision to compact at. */
#include "apiserver/history/history-internal.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/watchcache.h"
#include "base/log.h"

#include <stdlib.h>

#define KEEP_TICKS 5	  /* history is kept for this many minutes at least, as upstream */
#define MEMORY_MARKS 1024 /* without --history: seconds with changes in more than ten minutes */
#define BOUND_LOOKS 16	  /* the cut is made anew whenever such a part of the bound has been written */
#define RECORD_BYTES 64	  /* what a store has of a record besides: revisions, lengths, checksum, places in indexes */
#define WAITING_MARKS_MAX ((size_t)4 * MARKS_MAX)

struct history *history_new(struct apiserver *s)
{
	struct history *h = xcalloc(1, sizeof(*h));

	h->s = s;
	h->kept_s = s->o.history_ns / NS_PER_SEC;
	h->bound = s->o.history_bytes ? s->o.history_bytes : HISTORY_BYTES_DEFAULT;
	h->look_at = h->bound / BOUND_LOOKS;
	h->start_ns = env_mono_ns(s->env);
	pthread_mutex_init(&h->mu, NULL);
	pthread_cond_init(&h->cond, NULL);
	return h;
}

struct history *history_free(struct history *h)
{
	if (!h)
		return NULL;
	vec_release(&h->m);
	pthread_mutex_destroy(&h->mu);
	pthread_cond_destroy(&h->cond);
	free(h);
	return NULL;
}

static int64_t history_run_s(struct history *h)
{
	return h->run_before_s + (env_mono_ns(h->s->env) - h->start_ns) / NS_PER_SEC;
}

int history_begin(struct history *h, int64_t rev, struct err *err)
{
	struct mark m = { .rev = rev };
	struct found f = { 0 };
	int got = 0;

	if (h->kept_s) {
		got = history_last(h, rev, &f, err);
		if (got < 0)
			return err_wrap(err, "reading when the history's revisions were");
	}
	pthread_mutex_lock(&h->mu);
	m.sec = history_now_s(h);
	if (got > 0) {
		const struct mark *last = &vec_last(&f.s.m);

		m.sec = MAX(m.sec, last->sec);
		/* What wrote the last marks is a revision, too, and changed nothing. */
		m.gap = rev != last->rev && rev != f.mod_rev;
		h->run_before_s = f.s.run_s;
		atomic_store(&h->bytes, f.s.bytes);
		h->looked = f.s.bytes;
		h->own_rev = m.gap ? 0 : rev;
	}
	vec_push(&h->m, m);
	pthread_mutex_unlock(&h->mu);
	found_release(&f);
	return 0;
}

/* --- on the store's thread --- */

static void history_run(void *ctx);

void history_changed(struct history *h, size_t key, size_t value)
{
	size_t bytes = RECORD_BYTES + key + value;
	uint64_t all = atomic_fetch_add_explicit(&h->bytes, bytes, memory_order_relaxed) + bytes;

	if (!h->kept_s || all - atomic_load_explicit(&h->looked, memory_order_relaxed) < h->look_at)
		return;
	pthread_mutex_lock(&h->mu);
	if (!h->working && !h->stopping && all - atomic_load(&h->looked) >= h->look_at) {
		h->working = true;
		env_post(h->s->env, ENV_CONTROL, history_run, h);
	}
	pthread_mutex_unlock(&h->mu);
}

/* Too many, as nothing can be written, or as nothing is to be: the oldest go. Lock held. */
static void history_thin(struct history *h)
{
	size_t drop = h->m.n / 2;

	if (h->m.n < (h->kept_s ? WAITING_MARKS_MAX : MEMORY_MARKS))
		return;
	memmove(h->m.p, h->m.p + drop, (h->m.n - drop) * sizeof(h->m.p[0]));
	h->m.n -= drop;
	h->m.p[0].gap = h->kept_s != 0;
}

void history_progress(struct history *h, int64_t rev)
{
	struct mark m = { .rev = rev };

	pthread_mutex_lock(&h->mu);
	m.sec = history_now_s(h);
	if (h->m.n && vec_last(&h->m).rev < rev) {
		if (vec_last(&h->m).sec == m.sec) {
			vec_last(&h->m).rev = rev;
		} else {
			history_thin(h);
			vec_push(&h->m, m);
		}
	}
	pthread_mutex_unlock(&h->mu);
}

/* --- written --- */

/* Marks that are to be written, of the oldest; false: there are none, or our own last write is all that happened. The
 * last one says that until now there was no more. In the second at hand more may come, by the next server if not by
 * this one. */
static bool history_take(struct history *h, marks *ret)
{
	int64_t now;
	size_t from;
	bool some;

	pthread_mutex_lock(&h->mu);
	now = history_now_s(h);
	some = h->m.n && vec_last(&h->m).rev != h->written && vec_last(&h->m).rev != h->own_rev;
	from = some && h->m.p[0].rev == h->written ? 1 : 0;
	for (size_t i = from; some && i < h->m.n && i - from < MARKS_MAX - 1; i++) {
		vec_push(ret, h->m.p[i]);
		vec_last(ret).open = h->m.p[i].sec == now;
	}
	if (ret->n && from + ret->n == h->m.n && vec_last(ret).sec < now - 1) {
		struct mark known = { .sec = now - 1, .rev = vec_last(ret).rev };

		vec_push(ret, known);
	}
	pthread_mutex_unlock(&h->mu);
	return ret->n > 0;
}

/* The last mark that was written stays in memory: it is what the next one comes after. */
static void history_wrote(struct history *h, const struct mark *last, int64_t own_rev)
{
	struct mark kept = *last;
	size_t n;

	pthread_mutex_lock(&h->mu);
	n = marks_before(h->m.p, h->m.n,
			 last->sec + 1); /* one at least, and in the last one's second more may have come */
	kept.rev = h->m.p[n - 1].rev;
	kept.open = false;
	memmove(h->m.p + 1, h->m.p + n, (h->m.n - n) * sizeof(h->m.p[0]));
	h->m.n -= n - 1;
	h->m.p[0] = kept;
	vec_tighten(&h->m);
	h->written = last->rev;
	h->own_rev = own_rev;
	pthread_mutex_unlock(&h->mu);
}

/* Marks of what is compacted away: they go with the next ones that are written. */
static int history_forget(struct history *h, struct forgotten *ret, struct err *err)
{
	char behind[MARKS_KEY_MAX];
	struct store_stats st;

	store_stats(h->s->store, &st);
	if (st.compact_rev <= 0)
		return 0;
	return store_range(h->s->store, SV(MARKS_ROOT), marks_key(st.compact_rev, behind), 0, 0, history_forget_one,
			   ret, NULL, err);
}

static int history_write_marks(struct history *h, const marks *m, struct err *err)
{
	struct forgotten *f = xcalloc(1, sizeof(*f));
	const struct mark *last = &vec_last(m);
	struct store_write w = { .expect_rev = 0, .also = f->w };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char key[MARKS_KEY_MAX];
	int64_t rev = 0;
	int rc;

	rc = history_forget(h, f, err);
	marks_format(&b, history_run_s(h), atomic_load(&h->bytes), m->p, m->n);
	w.key = marks_key(last->rev, key);
	w.value = buf_sv(&b);
	w.n_also = f->n;
	if (rc == 0)
		rc = store_commit_wait(h->s->store, &w, &rev, err);
	if (rc > 0) /* else another server was faster: with the next ones */
		history_wrote(h, last, rev);
	free(f);
	return MIN(rc, 0);
}

static int history_write(struct history *h, struct err *err)
{
	marks m = VEC_INIT;
	int rc = 0;

	if (history_mend(h, err) < 0)
		rc = -1;
	else if (history_take(h, &m))
		rc = history_write_marks(h, &m, err);
	vec_release(&m);
	return rc;
}

static bool cut_by_time(const struct found *f, int64_t run_s)
{
	return f->s.run_s <= run_s;
}

static bool cut_by_bytes(const struct found *f, int64_t bytes)
{
	return f->s.bytes < (uint64_t)bytes;
}

/* The revision at which to compact; 0: all is kept. */
static int history_cut(struct history *h, int64_t *ret, struct err *err)
{
	int64_t last = wc_rev(h->s->wc), run_s = history_run_s(h);
	uint64_t bytes = atomic_load(&h->bytes);
	struct found f = { 0 };
	int rc = 0;

	*ret = 0;
	atomic_store(&h->looked, bytes);
	if (run_s >= h->kept_s)
		rc = history_search(h, last, cut_by_time, run_s - h->kept_s, &f, err);
	if (rc > 0)
		*ret = f.rev;
	found_release(&f);
	if (rc < 0 || bytes <= h->bound)
		return MIN(rc, 0);
	rc = history_search(h, last, cut_by_bytes, (int64_t)(bytes - h->bound), &f, err);
	if (rc >= 0) {
		int64_t from = rc > 0 ? f.rev + 1 : 1;

		found_release(&f);
		rc = history_first(h, from, last, &f, err);
	}
	if (rc > 0)
		*ret = MAX(*ret, f.rev);
	found_release(&f);
	return MIN(rc, 0);
}

static void history_work(struct history *h)
{
	struct err err = ERR_INIT;
	struct store_stats st;
	int64_t cut;

	store_stats(h->s->store, &st);
	if (history_write(h, &err) < 0 || history_cut(h, &cut, &err) < 0 ||
	    (cut > st.compact_rev && store_compact(h->s->store, cut, &err) < 0))
		log_warn("history", "what is kept of the past is as before, until the next time", "error", "%s",
			 err_msg(&err));
	err_release(&err);
}

static void history_worked(struct history *h)
{
	pthread_mutex_lock(&h->mu);
	h->working = false;
	pthread_cond_broadcast(&h->cond);
	pthread_mutex_unlock(&h->mu);
}

static void history_run(void *ctx)
{
	history_work(ctx);
	history_worked(ctx);
}

/* Without --history: every fifth minute what is older than five is given back. */
static void history_short(struct history *h)
{
	int64_t compact = 0;

	if (++h->tick % KEEP_TICKS == 0) {
		compact = h->compact_next;
		h->compact_next = wc_rev(h->s->wc);
	}
	if (compact > 0 && !store_shared(h->s->store))		 /* which does it in turn with the other servers */
		(void)store_compact(h->s->store, compact, NULL); /* the next one tries again */
}

void history_tick(struct history *h)
{
	bool go;

	if (!h->kept_s) {
		history_short(h);
		return;
	}
	pthread_mutex_lock(&h->mu);
	go = !h->working && !h->stopping;
	h->working = h->working || go;
	pthread_mutex_unlock(&h->mu);
	if (go)
		history_run(h);
}

void history_stop(struct history *h)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	pthread_mutex_lock(&h->mu);
	h->stopping = true;
	while (h->working)
		pthread_cond_wait(&h->cond, &h->mu);
	pthread_mutex_unlock(&h->mu);
	if (h->kept_s && history_write(h, &err) < 0)
		log_warn("history", "the last minute's times are lost", "error", "%s", err_msg(&err));
}
