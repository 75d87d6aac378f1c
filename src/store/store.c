/* Thin wrappers over the backend's table, and the one blocking form of a commit. */
#include "store/store.h"

#include <pthread.h>
#include <stdlib.h>

int store_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn, void *ctx,
		int64_t *ret_rev, struct err *err)
{
	return s->ops->range(s, from, to, rev, limit, fn, ctx, ret_rev, err);
}

struct range_task {
	struct store *s;
	struct sv from, to; /* behind this */
	int64_t rev;
	size_t limit;
	store_each_fn *fn;
	store_range_done_fn *done;
	void *ctx;
};

static void range_task_run(void *arg)
{
	struct range_task *t = arg;
	struct err err = ERR_INIT;
	int64_t rev = 0;
	int r = store_range(t->s, t->from, t->to, t->rev, t->limit, t->fn, t->ctx, &rev, &err);

	t->done(r, rev, &err, t->ctx);
	err_release(&err);
	free(t);
}

struct store_reading {
	struct arena *a;
	struct store_found *ret;
};

static int store_read_one(const struct store_kv *kv, void *ctx)
{
	struct store_reading *r = ctx;

	r->ret->value = kv->value.p ? arena_sv(r->a, kv->value) : SV_NULL;
	r->ret->rev = kv->mod_rev;
	return 1;
}

int store_read(struct store *s, struct arena *a, struct sv key, struct store_found *ret, struct err *err)
{
	struct store_reading r = { a, ret };

	*ret = (struct store_found){ .value = SV_NULL };
	return store_range(s, key, SV(""), 0, 1, store_read_one, &r, &ret->at, err);
}

void store_range_async(struct store *s, enum env_class c, struct sv from, struct sv to, int64_t rev, size_t limit,
		       store_each_fn *fn, store_range_done_fn *done, void *ctx)
{
	struct range_task *t = xmalloc(sizeof(*t) + from.n + to.n);
	char *keys = (char *)(t + 1);

	*t = (struct range_task){ s, { keys, from.n }, { keys + from.n, to.n }, rev, limit, fn, done, ctx };
	if (from.n)
		memcpy(keys, from.p, from.n);
	if (to.n)
		memcpy(keys + from.n, to.p, to.n);
	env_post(s->env, c, range_task_run, t);
}

void store_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	s->ops->commit(s, w, done, ctx);
}

struct commit_wait {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	bool done;
	enum store_outcome outcome;
	int64_t rev;
	struct err *err;
};

static void commit_wait_done(const struct store_result *r, void *ctx)
{
	struct commit_wait *w = ctx;

	pthread_mutex_lock(&w->mu);
	w->outcome = r->outcome;
	w->rev = r->rev;
	if (r->outcome == STORE_FAILED)
		err_copy(w->err, r->err);
	w->done = true;
	/* Under the lock: the waiter's stack is gone once it saw done. */
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->mu);
}

void store_gather(struct store *s, bool on)
{
	if (s->ops->gather)
		s->ops->gather(s, on);
}

int store_commit_wait(struct store *s, const struct store_write *w, int64_t *ret_rev, struct err *err)
{
	struct commit_wait cw = { .mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .err = err };

	store_commit(s, w, commit_wait_done, &cw);
	pthread_mutex_lock(&cw.mu);
	while (!cw.done)
		pthread_cond_wait(&cw.cond, &cw.mu);
	pthread_mutex_unlock(&cw.mu);
	pthread_cond_destroy(&cw.cond);
	pthread_mutex_destroy(&cw.mu);

	switch (cw.outcome) {
	case STORE_OK:
		if (ret_rev)
			*ret_rev = cw.rev;
		return 1;
	case STORE_MISMATCH:
		return 0;
	case STORE_FAILED:
		break;
	}
	return -1;
}

int store_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		void *ctx, struct store_watch **ret_watch, struct err *err)
{
	return s->ops->watch(s, from, to, since, cb, ctx, ret_watch, err);
}

void store_unwatch(struct store *s, struct store_watch *w)
{
	s->ops->unwatch(s, w);
}

int store_changes(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
		  void *ctx, int64_t *ret_rev, struct err *err)
{
	return s->ops->changes(s, from, to, since, most, fn, ctx, ret_rev, err);
}

int store_compact(struct store *s, int64_t rev, struct err *err)
{
	return s->ops->compact(s, rev, err);
}

static int store_no_leases(struct err *err)
{
	return err_set(err, ERR_BAD_REQUEST, "this store has no leases");
}

int store_lease_grant(struct store *s, int64_t id, int64_t ttl_s, int64_t *ret_id, struct err *err)
{
	return s->ops->lease_grant ? s->ops->lease_grant(s, id, ttl_s, ret_id, err) : store_no_leases(err);
}

int store_lease_keepalive(struct store *s, int64_t id, int64_t *ret_ttl_s, struct err *err)
{
	return s->ops->lease_keepalive ? s->ops->lease_keepalive(s, id, ret_ttl_s, err) : store_no_leases(err);
}

int store_lease_revoke(struct store *s, int64_t id, struct err *err)
{
	return s->ops->lease_revoke ? s->ops->lease_revoke(s, id, err) : store_no_leases(err);
}

bool store_has_ttl(const struct store *s)
{
	return s->ops->ttl;
}

bool store_shared(struct store *s)
{
	return s->ops->sync != NULL;
}

void store_sync(struct store *s, store_sync_fn *done, void *ctx)
{
	s->ops->sync(s, done, ctx);
}

void store_hurry(struct store *s)
{
	if (s->ops->hurry)
		s->ops->hurry(s);
}

bool store_healthy(struct store *s, struct err *why)
{
	return s->ops->healthy(s, why);
}

void store_stats(struct store *s, struct store_stats *ret)
{
	s->ops->stats(s, ret);
}

struct store *store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
	return NULL;
}
