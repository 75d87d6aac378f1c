/* A store over a store: writes, which are passed on in their order, and ranges. transform_out.c has what is told. */
#include "base/arena.h"
#include "store/store-internal.h"
#include "store/transform-internal.h"

#include <stdlib.h>

/* The write whose in() is being asked by this thread: an answer for another one comes late. */
static _Thread_local const struct tx_op *asking;

static struct store_write tx_op_write(const struct tx_op *op)
{
	return (struct store_write){ .key = op->key,
				     .value = { op->stored, op->stored_n },
				     .expect_rev = op->expect_rev,
				     .tombstone = op->tombstone,
				     .for_deletion = op->for_deletion,
				     .guard = op->guard,
				     .cookie = (void *)op,
				     .lease = op->lease,
				     .ttl_s = op->ttl_s };
}

static void op_forward(struct tx_op *op)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct store_write w = tx_op_write(op), *also;
	char **stored;
	size_t n = op->n_also;

	for (size_t i = 0; i < n && !op->err.reason; i++)
		if (op->also[i]->err.reason)
			err_move(&op->err, &op->also[i]->err);
	if (op->err.reason) {
		tx_answer(op, &(struct store_result){ .outcome = STORE_FAILED, .err = &op->err });
		return;
	}
	also = n ? ARENA_ARRAY(&a, struct store_write, n) : NULL;
	stored = n ? ARENA_ARRAY(&a, char *, n) : NULL;
	for (size_t i = 0; i < n; i++) {
		also[i] = tx_op_write(op->also[i]);
		stored[i] = TAKE(op->also[i]->stored);
	}
	w.also = also;
	w.n_also = n;

	char *own = TAKE(op->stored);

	store_commit(op->x->inner, &w, tx_committed, op); /* op may be gone */
	free(own);
	for (size_t i = 0; i < n; i++)
		free(stored[i]);
}

/* Passes on what is ready, in the order it came: one that waits holds up those behind it. Lock held, given up in
 * between. */
static void tx_forward(struct tx *x)
{
	while (!x->forwarding && !list_empty(&x->inbox)) {
		struct tx_op *first = LIST_ENTRY(x->inbox.next, struct tx_op, link);

		if (!first->ready)
			break;
		list_del(&first->link);
		x->forwarding = true;
		pthread_mutex_unlock(&x->mu);
		op_forward(first);
		pthread_mutex_lock(&x->mu);
		x->forwarding = false;
		pthread_cond_broadcast(&x->changed);
	}
}

/* A store in memory runs its callbacks in the thread that commits, and those may have to wait for the transformer: so
 * its own threads commit nothing. */
static void tx_forwarder(void *ctx)
{
	struct tx *x = ctx;

	pthread_mutex_lock(&x->mu);
	while (!x->stopping) {
		tx_forward(x);
		if (!x->stopping)
			pthread_cond_wait(&x->late, &x->mu);
	}
	x->threaded = false;
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->mu);
}

static void op_ready(struct tx_op *op, bool late)
{
	struct tx *x = op->x;

	pthread_mutex_lock(&x->mu);
	op->ready = --op->waits == 0;
	if (!op->ready) {
		pthread_mutex_unlock(&x->mu);
		return;
	}
	if (late && x->threaded)
		pthread_cond_signal(&x->late);
	else
		tx_forward(x);
	pthread_mutex_unlock(&x->mu);
}

static void tx_in(struct sv value, const struct err *err, void *ctx)
{
	struct tx_op *op = ctx;

	if (err) {
		err_set(&op->err, err->reason, "%s", err_msg(err));
		op->err.retry_after_s = err->retry_after_s;
	} else {
		op->stored = xmemdup(value.n ? value.p : "", value.n ? value.n : 1);
		op->stored_n = value.n;
	}
	op_ready(op->own, asking != op->own);
}

static struct tx_op *op_new(struct tx *x, const struct store_write *w, store_done_fn *done, void *ctx)
{
	size_t value_n = w->tombstone ? 0 : w->value.n;
	struct tx_op *op = xmalloc(sizeof(*op) + w->key.n + value_n);
	char *bytes = (char *)(op + 1);

	*op = (struct tx_op){ .x = x,
			      .own = op,
			      .waits = 1,
			      .key = { bytes, w->key.n },
			      .value = { bytes + w->key.n, value_n },
			      .expect_rev = w->expect_rev,
			      .lease = w->lease,
			      .ttl_s = w->ttl_s,
			      .tombstone = w->tombstone,
			      .for_deletion = w->for_deletion,
			      .guard = w->guard,
			      .cookie = w->cookie,
			      .done = done,
			      .ctx = ctx };
	if (w->key.n)
		memcpy(bytes, w->key.p, w->key.n);
	if (value_n)
		memcpy(bytes + w->key.n, w->value.p, value_n);
	return op;
}

static void op_ask(struct tx_op *op)
{
	if (op->tombstone || op->guard || op->value.n > STORE_VALUE_MAX) /* which the store below refuses */
		tx_in(op->value, NULL, op);
	else
		op->x->t->in(op->x->t, op->key, op->value, tx_in, op);
}

static void tx_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct tx *x = TX(s);
	const struct tx_op *outer = asking;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct tx_op *op, **also;
	size_t n = w->n_also;

	if (n && store_write_check(w, &why) < 0) { /* what goes together is looked at here */
		done(&(struct store_result){ .outcome = STORE_FAILED, .err = &why }, ctx);
		return;
	}
	op = op_new(x, w, done, ctx);
	also = n ? xcalloc(n, sizeof(struct tx_op *)) : NULL;
	for (size_t i = 0; i < n; i++) {
		also[i] = op_new(x, &w->also[i], NULL, NULL);
		also[i]->own = op;
	}
	op->also = also;
	op->n_also = n;
	op->waits = n + 1;
	pthread_mutex_lock(&x->mu);
	x->writes++;
	list_add_tail(&x->inbox, &op->link);
	pthread_mutex_unlock(&x->mu);
	asking = op;
	for (size_t i = 0; i < n; i++) /* until the last is asked, op and these are there */
		op_ask(also[i]);
	op_ask(op);
	asking = outer;
}

/* --- ranges --- */

struct tx_range {
	struct tx *x;
	store_each_fn *fn;
	void *ctx;
	/* The key that is asked for. */
	const struct store_kv *kv;
	pthread_t asks;
	int stop;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	/* Guarded by mu. */
	bool returned, answered; /* out() has; done() was called */
	struct sv value;
	struct err why;
	char *copy;
};

static int range_tell(struct tx_range *r, struct sv value, const struct err *why)
{
	struct store_kv kv = *r->kv;

	kv.value = value;
	kv.why = why;
	return r->fn(&kv, r->ctx);
}

static void range_out(struct sv value, const struct err *err, void *ctx)
{
	struct tx_range *r = ctx;

	if (err)
		value = SV_NULL;
	/* At once: nothing is copied. */
	if (pthread_equal(r->asks, pthread_self()) && !r->returned) {
		r->stop = range_tell(r, value, err);
		r->answered = true;
		return;
	}
	pthread_mutex_lock(&r->mu);
	if (err)
		err_copy(&r->why, err);
	r->copy = xmemdup(value.n ? value.p : "", value.n ? value.n : 1);
	r->value = err ? SV_NULL : sv_make(r->copy, value.n);
	r->answered = true;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->mu);
}

static int range_each(const struct store_kv *kv, void *ctx)
{
	struct tx_range *r = ctx;

	r->kv = kv;
	r->returned = r->answered = false;
	r->x->t->out(r->x->t, kv->key, kv->value, range_out, r);
	pthread_mutex_lock(&r->mu);
	r->returned = true;
	while (!r->answered)
		pthread_cond_wait(&r->cond, &r->mu);
	pthread_mutex_unlock(&r->mu);
	if (r->copy) {
		r->stop = range_tell(r, r->value, r->why.reason ? &r->why : NULL);
		err_release(&r->why);
		free(TAKE(r->copy));
	}
	return r->stop;
}

static void tx_range_init(struct tx_range *r, struct tx *x, store_each_fn *fn, void *ctx)
{
	*r = (struct tx_range){ .x = x, .fn = fn, .ctx = ctx, .asks = pthread_self() };
	pthread_mutex_init(&r->mu, NULL);
	pthread_cond_init(&r->cond, NULL);
}

static void tx_range_release(struct tx_range *r)
{
	pthread_cond_destroy(&r->cond);
	pthread_mutex_destroy(&r->mu);
}

static int tx_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
		    void *ctx, int64_t *ret_rev, struct err *err)
{
	struct tx_range r;
	int rc;

	tx_range_init(&r, TX(s), fn, ctx);
	rc = store_range(r.x->inner, from, to, rev, limit, range_each, &r, ret_rev, err);
	tx_range_release(&r);
	return rc;
}

/* --- changes of the past: of each what was there, then what came --- */

struct tx_changes {
	struct tx_range prev, now; /* their ctx is this */
	struct store_change c;
	store_change_fn *fn;
	void *ctx;
};

static int changes_now(const struct store_kv *kv, void *ctx)
{
	struct tx_changes *t = ctx;

	t->c.kv = *kv;
	return t->fn(&t->c, t->ctx);
}

/* What is deleted has no value. */
static int changes_tell(struct tx_changes *t)
{
	struct store_kv kv = t->c.kv;

	return kv.deleted ? t->fn(&t->c, t->ctx) : range_each(&kv, &t->now);
}

static int changes_prev(const struct store_kv *kv, void *ctx)
{
	struct tx_changes *t = ctx;

	t->c.prev = kv;
	return changes_tell(t);
}

static int changes_each(const struct store_change *c, void *ctx)
{
	struct tx_changes *t = ctx;

	t->c = *c;
	return c->prev ? range_each(c->prev, &t->prev) : changes_tell(t);
}

static int tx_look(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
		   void *ctx, int64_t *ret_rev, struct err *err)
{
	struct tx_changes t = { .fn = fn, .ctx = ctx };
	int rc;

	tx_range_init(&t.prev, TX(s), changes_prev, &t);
	tx_range_init(&t.now, TX(s), changes_now, &t);
	rc = store_changes(TX(s)->inner, from, to, since, most, changes_each, &t, ret_rev, err);
	tx_range_release(&t.prev);
	tx_range_release(&t.now);
	return rc;
}

/* --- the rest passes --- */

static void tx_gather(struct store *s, bool on)
{
	store_gather(TX(s)->inner, on);
}

static int tx_compact(struct store *s, int64_t rev, struct err *err)
{
	return store_compact(TX(s)->inner, rev, err);
}

static int tx_lease_grant(struct store *s, int64_t id, int64_t ttl_s, int64_t *ret_id, struct err *err)
{
	return store_lease_grant(TX(s)->inner, id, ttl_s, ret_id, err);
}

static int tx_lease_keepalive(struct store *s, int64_t id, int64_t *ret_ttl_s, struct err *err)
{
	return store_lease_keepalive(TX(s)->inner, id, ret_ttl_s, err);
}

static int tx_lease_revoke(struct store *s, int64_t id, struct err *err)
{
	return store_lease_revoke(TX(s)->inner, id, err);
}

static void tx_hurry(struct store *s)
{
	store_hurry(TX(s)->inner);
}

static bool tx_healthy(struct store *s, struct err *why)
{
	return store_healthy(TX(s)->inner, why);
}

static void tx_stats(struct store *s, struct store_stats *ret)
{
	store_stats(TX(s)->inner, ret);
}

static void tx_close(struct store *s)
{
	struct tx *x = TX(s);

	/* Those still at in(): below, nobody knows of them yet. */
	pthread_mutex_lock(&x->mu);
	while (!list_empty(&x->inbox) || x->forwarding)
		pthread_cond_wait(&x->changed, &x->mu);
	x->stopping = true;
	pthread_cond_signal(&x->late);
	while (x->threaded)
		pthread_cond_wait(&x->changed, &x->mu);
	pthread_mutex_unlock(&x->mu);
	store_close(x->inner);
	pthread_mutex_lock(&x->mu);
	while (x->writes || !list_empty(&x->queue) || x->delivering)
		pthread_cond_wait(&x->changed, &x->mu);
	LIST_EACH(&x->watches, l) {
		list_del(l);
		free(LIST_ENTRY(l, struct tx_watch, link));
	}
	pthread_mutex_unlock(&x->mu);
	pthread_cond_destroy(&x->late);
	pthread_cond_destroy(&x->changed);
	pthread_mutex_destroy(&x->mu);
	free(x);
}

static const struct store_ops tx_ops = {
	.name = "transformed",
	.range = tx_range,
	.commit = tx_commit,
	.gather = tx_gather,
	.watch = tx_watch,
	.unwatch = tx_unwatch,
	.changes = tx_look,
	.compact = tx_compact,
	.lease_grant = tx_lease_grant,
	.lease_keepalive = tx_lease_keepalive,
	.lease_revoke = tx_lease_revoke,
	.hurry = tx_hurry,
	.healthy = tx_healthy,
	.stats = tx_stats,
	.close = tx_close,
};

struct store *store_transformed(struct store *inner_take, struct store_transform *t)
{
	struct tx *x = xcalloc(1, sizeof(*x));

	x->ops = tx_ops;
	if (store_shared(inner_take))
		x->ops.sync = tx_sync;
	x->ops.ttl = store_has_ttl(inner_take);
	x->store = (struct store){ &x->ops, inner_take->env };
	x->inner = inner_take;
	x->t = t;
	pthread_mutex_init(&x->mu, NULL);
	pthread_cond_init(&x->changed, NULL);
	pthread_cond_init(&x->late, NULL);
	list_init(&x->watches);
	list_init(&x->inbox);
	list_init(&x->queue);
	x->threaded = true;
	if (env_thread(x->store.env, "store-in", tx_forwarder, x) < 0)
		x->threaded = false; /* the simulator, where nothing is late */
	return &x->store;
}
