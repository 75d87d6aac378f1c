/* Stretches that go: those of a clock that had been ahead (history_clock.c). */
#include "apiserver/history/history-internal.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/watchcache.h"

#include <stdlib.h>

int history_forget_one(const struct store_kv *kv, void *ctx)
{
	struct forgotten *f = ctx;
	int64_t rev;

	if (marks_key_rev(kv->key, &rev)) {
		f->w[f->n] = (struct store_write){ .key = marks_key(rev, f->keys[f->n]),
						   .expect_rev = STORE_ANY_REV,
						   .tombstone = true };
		f->n++;
	}
	return f->n == FORGET_MAX;
}

static bool ends_before(const struct found *f, int64_t sec)
{
	return vec_last(&f->s.m).sec < sec;
}

/* Of the oldest stretch that reaches sec what was before stays, under the key of that; all that are collected go. */
static int mend_write(struct history *h, const struct found *first, struct forgotten *f, int64_t sec, struct err *err)
{
	size_t keep = marks_before(first->s.m.p, first->s.m.n, sec), n = 0;
	struct store_write w = { .expect_rev = STORE_ANY_REV, .also = f->w };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char key[MARKS_KEY_MAX];

	if (!keep) {
		w = f->w[0];
		w.also = f->w + 1;
		w.n_also = f->n - 1;
		return store_commit_wait(h->s->store, &w, NULL, err);
	}
	marks_format(&b, first->s.run_s, first->s.bytes, first->s.m.p, keep);
	w.key = marks_key(first->s.m.p[keep - 1].rev, key);
	w.value = buf_sv(&b);
	for (size_t i = 0; i < f->n; i++)
		if (!sv_eq(f->w[i].key, w.key))
			f->w[n++] = f->w[i];
	w.n_also = n;
	return store_commit_wait(h->s->store, &w, NULL, err);
}

/* 1: there may be more, 0, -1. */
static int mend_some(struct history *h, int64_t sec, struct err *err)
{
	struct forgotten *f = xcalloc(1, sizeof(*f));
	char a[MARKS_KEY_MAX], b[MARKS_KEY_MAX];
	int64_t last = wc_rev(h->s->wc), from = 1;
	struct found first = { 0 };
	int rc = history_search(h, last, ends_before, sec, &first, err);

	if (rc > 0)
		from = first.rev + 1;
	if (rc >= 0)
		rc = history_first(h, from, last, &first, err);
	if (rc > 0 && store_range(h->s->store, marks_key(from, a), marks_key(last + 1, b), 0, 0, history_forget_one, f,
				  NULL, err) < 0)
		rc = -1;
	if (rc > 0)
		rc = mend_write(h, &first, f, sec, err) < 0 ? -1 : f->n == FORGET_MAX;
	found_release(&first);
	free(f);
	return rc;
}

int history_mend(struct history *h, struct err *err)
{
	int64_t sec;
	int rc;

	pthread_mutex_lock(&h->mu);
	sec = h->mend_s;
	pthread_mutex_unlock(&h->mu);
	if (!sec)
		return 0;
	do {
		rc = mend_some(h, sec, err);
	} while (rc > 0);
	pthread_mutex_lock(&h->mu);
	if (rc == 0 && h->mend_s == sec)
		h->mend_s = 0;
	pthread_mutex_unlock(&h->mu);
	return rc;
}
