/* What a transformed store tells: completions and changes, through a queue when they have to wait, so that the order
 * stays: whoever makes its head ready delivers, one thread at a time, until the head waits again. With the queue empty,
 * what needs no out() passes by it. */
#include "store/transform-internal.h"

#include <stdlib.h>

#define HELD_ITEMS ((size_t)1000)
#define HELD_BYTES ((size_t)4 * 1024 * 1024)

enum tx_kind { TX_CHANGE, TX_PROGRESS, TX_END, TX_DONE, TX_SYNC };

/* Who waits for a sync of the store below: goes behind what waits for the transformer. */
struct tx_syncer {
	struct tx *x;
	store_sync_fn *done;
	void *ctx;
};

/* A version on its way out, all of it owned. */
struct tx_version {
	struct tx_item *item;
	struct store_kv kv;
	char *key, *stored, *value;
	struct err why;
	bool there;
};

struct tx_item {
	struct list link;
	struct tx *x;
	enum tx_kind kind;
	unsigned waits; /* answers that are due */
	size_t bytes;
	struct tx_watch *w; /* NULL: nobody listens any more */
	struct tx_op *op;
	struct tx_version now, prev;
	void *cookie;
	bool more;
	struct tx_syncer *sync;
	int64_t rev;
	size_t which;
	enum store_outcome outcome;
	struct err err;
};

static void version_release(struct tx_version *v)
{
	free(v->key);
	free(v->stored);
	free(v->value);
	err_release(&v->why);
}

static void item_free(struct tx_item *it)
{
	version_release(&it->now);
	version_release(&it->prev);
	err_release(&it->err);
	free(it);
}

void tx_answer(struct tx_op *op, const struct store_result *r)
{
	struct tx *x = op->x;

	op->done(r, op->ctx);
	for (size_t i = 0; i < op->n_also; i++) {
		err_release(&op->also[i]->err);
		free(op->also[i]->stored); /* of those that were not passed on */
		free(op->also[i]);
	}
	free(op->also);
	err_release(&op->err);
	free(op->stored);
	free(op);
	pthread_mutex_lock(&x->mu);
	if (--x->writes == 0)
		pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->mu);
}

/* Tells whom it is for. No lock is held. */
static void item_deliver(struct tx_item *it)
{
	struct tx_watch *w = it->w;

	if (it->kind == TX_DONE) {
		struct store_result r = { .outcome = it->outcome,
					  .rev = it->rev,
					  .which = it->which,
					  .current = it->now.there ? &it->now.kv : NULL,
					  .err = it->err.reason ? &it->err : NULL };

		tx_answer(it->op, &r);
	} else if (it->kind == TX_SYNC) {
		it->sync->done(it->rev, it->err.reason ? &it->err : NULL, it->sync->ctx);
		free(it->sync);
	} else if (w && it->kind == TX_CHANGE) {
		struct store_change c = { it->now.kv, it->prev.there ? &it->prev.kv : NULL, it->cookie, it->more };

		w->user->change(&c, w->ctx);
	} else if (w && it->kind == TX_PROGRESS) {
		w->user->progress(it->rev, w->ctx);
	} else if (w) {
		w->user->end(&it->err, w->ctx);
	}
}

/* Delivers as far as nothing waits; the caller has x->delivering, and loses it. Lock held, given up in between. */
static void tx_drain(struct tx *x)
{
	while (!list_empty(&x->queue)) {
		struct tx_item *it = LIST_ENTRY(x->queue.next, struct tx_item, link);
		struct tx_watch *w = it->w;

		if (it->waits)
			break;
		list_del(&it->link);
		x->held--;
		x->held_bytes -= it->bytes;
		if (w)
			w->busy = true;
		pthread_mutex_unlock(&x->mu);
		item_deliver(it);
		item_free(it);
		pthread_mutex_lock(&x->mu);
		if (w)
			w->busy = false;
		pthread_cond_broadcast(&x->changed);
	}
	x->delivering = false;
	pthread_cond_broadcast(&x->changed);
}

/* Lock held. */
static void tx_take_turn(struct tx *x)
{
	x->delivering = true;
	x->deliverer = pthread_self();
}

/* Nothing is before what the caller has: it may tell it at once, and then calls tx_passed(). */
static bool tx_pass(struct tx *x)
{
	bool may;

	pthread_mutex_lock(&x->mu);
	may = list_empty(&x->queue) && !x->delivering;
	if (may)
		tx_take_turn(x);
	pthread_mutex_unlock(&x->mu);
	return may;
}

static void tx_passed(struct tx *x)
{
	pthread_mutex_lock(&x->mu);
	tx_drain(x);
	pthread_mutex_unlock(&x->mu);
}

/* One answer less is due. */
static void item_step(struct tx_item *it)
{
	struct tx *x = it->x;

	pthread_mutex_lock(&x->mu);
	if (--it->waits == 0 && !x->delivering) {
		tx_take_turn(x);
		tx_drain(x);
	}
	pthread_mutex_unlock(&x->mu);
}

static void version_out(struct sv value, const struct err *err, void *ctx)
{
	struct tx_version *v = ctx;

	v->kv.value = SV_NULL;
	if (err) {
		err_copy(&v->why, err);
		v->kv.why = &v->why;
	} else {
		v->value = xmemdup(value.n ? value.p : "", value.n ? value.n : 1);
		v->kv.value = sv_make(v->value, value.n);
	}
	item_step(v->item);
}

/* kv as it comes from below. */
static void version_set(struct tx_item *it, struct tx_version *v, const struct store_kv *kv)
{
	if (!kv)
		return;
	v->item = it;
	v->there = true;
	v->kv = *kv;
	v->key = xmemdup(kv->key.p, kv->key.n);
	v->kv.key = sv_make(v->key, kv->key.n);
	if (kv->deleted)
		return;
	v->stored = xmemdup(kv->value.n ? kv->value.p : "", kv->value.n ? kv->value.n : 1);
	v->kv.value = sv_make(v->stored, kv->value.n);
	it->bytes += kv->value.n;
	it->waits++;
}

static void version_ask(struct tx *x, struct tx_version *v)
{
	if (v->there && v->stored)
		x->t->out(x->t, v->kv.key, v->kv.value, version_out, v);
}

static struct tx_item *item_new(struct tx *x, enum tx_kind kind)
{
	struct tx_item *it = xcalloc(1, sizeof(*it));

	it->x = x;
	it->kind = kind;
	it->waits = 1; /* until it is in the queue, and out() asked */
	return it;
}

/* Behind all that waits. */
static void item_queue(struct tx *x, struct tx_item *it)
{
	pthread_mutex_lock(&x->mu);
	/* Who delivers must not wait for himself: a write from a callback may come by here. */
	while ((x->held >= HELD_ITEMS || x->held_bytes >= HELD_BYTES) &&
	       !(x->delivering && pthread_equal(x->deliverer, pthread_self())))
		pthread_cond_wait(&x->changed, &x->mu);
	list_add_tail(&x->queue, &it->link);
	x->held++;
	x->held_bytes += it->bytes;
	pthread_mutex_unlock(&x->mu);
	version_ask(x, &it->now);
	version_ask(x, &it->prev);
	item_step(it);
}

/* --- watches --- */

static void tx_change(const struct store_change *c, void *ctx)
{
	struct tx_watch *w = ctx;
	const struct tx_op *op = c->cookie;
	const struct store_kv *prev = w->user->wants_prev ? c->prev : NULL;
	struct tx_item *it;

	if ((op || c->kv.deleted) && !prev && tx_pass(w->x)) {
		struct store_change now = { c->kv, NULL, op ? op->cookie : NULL, c->more };

		if (op && !c->kv.deleted)
			now.kv.value = op->value;
		w->user->change(&now, w->ctx);
		tx_passed(w->x);
		return;
	}
	it = item_new(w->x, TX_CHANGE);
	it->w = w;
	it->cookie = op ? op->cookie : NULL;
	it->more = c->more;
	version_set(it, &it->now, &c->kv);
	version_set(it, &it->prev, prev);
	item_queue(w->x, it);
}

static void tx_progress(int64_t rev, void *ctx)
{
	struct tx_watch *w = ctx;
	struct tx_item *it;

	if (tx_pass(w->x)) {
		w->user->progress(rev, w->ctx);
		tx_passed(w->x);
		return;
	}
	it = item_new(w->x, TX_PROGRESS);
	it->w = w;
	it->rev = rev;
	item_queue(w->x, it);
}

static void tx_synced(int64_t rev, const struct err *err, void *ctx)
{
	struct tx_syncer *y = ctx;
	struct tx *x = y->x;
	struct tx_item *it;

	if (tx_pass(x)) {
		y->done(rev, err, y->ctx);
		free(y);
		tx_passed(x);
		return;
	}
	it = item_new(x, TX_SYNC);
	it->sync = y;
	it->rev = rev;
	if (err)
		err_copy(&it->err, err);
	item_queue(x, it);
}

void tx_sync(struct store *s, store_sync_fn *done, void *ctx)
{
	struct tx_syncer *y = xmalloc(sizeof(*y));

	*y = (struct tx_syncer){ TX(s), done, ctx };
	store_sync(TX(s)->inner, tx_synced, y);
}

static void tx_end(const struct err *why, void *ctx)
{
	struct tx_watch *w = ctx;
	struct tx_item *it = item_new(w->x, TX_END);

	it->w = w;
	err_set(&it->err, why->reason, "%s", err_msg(why));
	item_queue(w->x, it);
}

int tx_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb, void *ctx,
	     struct store_watch **ret_watch, struct err *err)
{
	struct tx *x = TX(s);
	struct tx_watch *w = xcalloc(1, sizeof(*w));

	w->x = x;
	w->user = cb;
	w->ctx = ctx;
	w->cb = (struct store_watch_cb){ .change = tx_change,
					 .progress = cb->progress ? tx_progress : NULL,
					 .end = cb->end ? tx_end : NULL,
					 .wants_prev = cb->wants_prev };
	if (store_watch(x->inner, from, to, since, &w->cb, w, &w->inner, err) < 0) {
		free(w);
		return -1;
	}
	pthread_mutex_lock(&x->mu);
	list_add_tail(&x->watches, &w->link);
	pthread_mutex_unlock(&x->mu);
	*ret_watch = (struct store_watch *)(void *)w;
	return 0;
}

/* Nothing in the queue is for w any more, nor on its way to it. Lock held. */
static void watch_forget(struct tx *x, struct tx_watch *w)
{
	LIST_EACH(&x->queue, l) {
		struct tx_item *it = LIST_ENTRY(l, struct tx_item, link);

		if (it->w == w)
			it->w = NULL;
	}
	while (w->busy)
		pthread_cond_wait(&x->changed, &x->mu);
	list_del(&w->link);
}

void tx_unwatch(struct store *s, struct store_watch *watch)
{
	struct tx *x = TX(s);
	struct tx_watch *w = (struct tx_watch *)(void *)watch;

	store_unwatch(x->inner, w->inner);
	pthread_mutex_lock(&x->mu);
	watch_forget(x, w);
	pthread_mutex_unlock(&x->mu);
	free(w);
}

/* --- completions --- */

void tx_committed(const struct store_result *r, void *ctx)
{
	struct tx_op *op = ctx;
	struct tx *x = op->x;
	struct tx_item *it;

	if (!r->current && tx_pass(x)) {
		tx_answer(op, r);
		tx_passed(x);
		return;
	}
	it = item_new(x, TX_DONE);
	it->op = op;
	it->outcome = r->outcome;
	it->rev = r->rev;
	it->which = r->which;
	version_set(it, &it->now, r->current);
	if (r->err) {
		err_set(&it->err, r->err->reason, "%s", err_msg(r->err));
		it->err.retry_after_s = r->err->retry_after_s;
	}
	item_queue(x, it);
}
