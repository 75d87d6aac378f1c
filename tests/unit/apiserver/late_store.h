/* late_store.h - another process' view of a store: the same bytes, and watches that hear of others' writes later. Only
 * for tests.
 *
 * While it is held, changes wait; an own write that succeeded is told of behind all that was before it, as store.h has
 * it. Cookies of others are not seen. For a store in memory, on one thread.
 */
#pragma once

#include "base/vec.h"
#include "store/store.h"

#include <stdlib.h>

struct late_change {
	struct store_kv kv;
	char *bytes;
	void *cookie;
};

struct late_store {
	struct store store;
	struct store *inner;
	bool hold;
	bool full; /* takes deletions and nothing else */
	int sick;  /* the errno of what it says of its health; 0: it is well */
	VEC(struct late_change) waiting;
	size_t told;
	int committing; /* changes that are told meanwhile are its own: the store below tells them in this very call */
	const struct store_watch_cb *cb;
	void *ctx;
	struct store_watch *watch;
	int64_t rev; /* of the last one held back */
};

#define LATE(s) CONTAINER_OF(s, struct late_store, store)

static _unused_ void late_flush(struct late_store *l)
{
	for (; l->told < l->waiting.n; l->told++) {
		struct late_change *w = &l->waiting.p[l->told];
		struct store_change c = { .kv = w->kv, .cookie = w->cookie };

		l->cb->change(&c, l->ctx);
		free(w->bytes);
	}
	l->waiting.n = l->told = 0;
	if (l->rev && l->cb->progress)
		l->cb->progress(l->rev, l->ctx);
	l->rev = 0;
}

static void late_changed(const struct store_change *c, void *ctx)
{
	struct late_store *l = ctx;
	struct late_change w = { .kv = c->kv, .bytes = xmalloc(c->kv.key.n + c->kv.value.n + 1) };

	memcpy(w.bytes, c->kv.key.p, c->kv.key.n);
	if (c->kv.value.n)
		memcpy(w.bytes + c->kv.key.n, c->kv.value.p, c->kv.value.n);
	w.kv.key.p = w.bytes;
	w.kv.value.p = w.bytes + c->kv.key.n;
	w.cookie = l->committing ? c->cookie : NULL;
	vec_push(&l->waiting, w);
	if (!l->hold || l->committing)
		late_flush(l);
}

static void late_progress(int64_t rev, void *ctx)
{
	struct late_store *l = ctx;

	l->rev = rev;
	if (!l->hold || l->waiting.n == 0)
		late_flush(l);
}

static void late_end(const struct err *why, void *ctx)
{
	struct late_store *l = ctx;

	l->cb->end(why, l->ctx);
}

static const struct store_watch_cb late_cb = { .change = late_changed, .progress = late_progress, .end = late_end };

static int late_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
		      void *ctx, int64_t *ret_rev, struct err *err)
{
	return store_range(LATE(s)->inner, from, to, rev, limit, fn, ctx, ret_rev, err);
}

static void late_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	if (LATE(s)->full && !w->tombstone) {
		struct err err = ERR_INIT;

		err_set(&err, ERR_UNAVAILABLE, "no space left on device");
		done(&(struct store_result){ .outcome = STORE_FAILED, .err = &err }, ctx);
		err_release(&err);
		return;
	}
	LATE(s)->committing++;
	store_commit(LATE(s)->inner, w, done, ctx);
	LATE(s)->committing--;
}

/* The first is that of the watch cache, and the only one that is late. */
static int late_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		      void *ctx, struct store_watch **ret_watch, struct err *err)
{
	struct late_store *l = LATE(s);

	if (l->watch)
		return store_watch(l->inner, from, to, since, cb, ctx, ret_watch, err);
	l->cb = cb;
	l->ctx = ctx;
	if (store_watch(l->inner, from, to, since, &late_cb, l, &l->watch, err) < 0)
		return -1;
	*ret_watch = l->watch;
	return 0;
}

static int late_changes(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
			void *ctx, int64_t *ret_rev, struct err *err)
{
	return store_changes(LATE(s)->inner, from, to, since, most, fn, ctx, ret_rev, err);
}

static void late_unwatch(struct store *s, struct store_watch *w)
{
	struct late_store *l = LATE(s);

	store_unwatch(l->inner, w);
	if (w != l->watch)
		return;
	l->watch = NULL;
	for (size_t i = l->told; i < l->waiting.n; i++)
		free(l->waiting.p[i].bytes);
	l->waiting.n = l->told = 0;
}

static int late_compact(struct store *s, int64_t rev, struct err *err)
{
	return store_compact(LATE(s)->inner, rev, err);
}

static bool late_healthy(struct store *s, struct err *why)
{
	if (!LATE(s)->sick)
		return store_healthy(LATE(s)->inner, why);
	err_set(why, ERR_UNAVAILABLE, "sick");
	why->errnum = LATE(s)->sick;
	return false;
}

static void late_stats(struct store *s, struct store_stats *ret)
{
	store_stats(LATE(s)->inner, ret);
}

static const struct store_ops late_ops = {
	.name = "late",
	.range = late_range,
	.commit = late_commit,
	.watch = late_watch,
	.unwatch = late_unwatch,
	.changes = late_changes,
	.compact = late_compact,
	.healthy = late_healthy,
	.stats = late_stats,
};

static _unused_ struct store *late_store_init(struct late_store *l, struct store *inner)
{
	*l = (struct late_store){ .store = { &late_ops, inner->env }, .inner = inner };
	return &l->store;
}

static _unused_ void late_store_release(struct late_store *l)
{
	vec_release(&l->waiting);
}
