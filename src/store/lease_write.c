/* Writes that leases are concerned with, one after the other: before a version without the lease is written its note is
 * bounded, before one with it opened, and what turns out to be for nothing is removed. */
#include "store/lease-internal.h"

#include <stdlib.h>

/* A write that a lease is concerned with. */
struct lease_op {
	struct list link;
	struct leased *x;
	struct held *held;
	struct lease *lease; /* NULL: it names none */
	bool refused;	     /* it names one that is not there */
	bool fresh;	     /* it has made a note */
	int64_t from;
	struct store_write w; /* key and value behind this */
	store_done_fn *done;
	void *ctx;
};

/* --- notes --- */

struct sv lease_key(struct arena *a, int64_t id)
{
	return arena_svf(a, STORE_LEASES "%016" PRIx64, (uint64_t)id);
}

static struct sv note_key(struct arena *a, int64_t id, struct sv key)
{
	return arena_svf(a, STORE_LEASES "%016" PRIx64 "/%.*s", (uint64_t)id, SV_ARG(key));
}

static void note_write(struct leased *x, int64_t id, struct sv key, int64_t from, int64_t upto, store_done_fn *done,
		       void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct store_write w = { .key = note_key(&a, id, key), .expect_rev = STORE_ANY_REV };

	w.value = arena_svf(&a, "%" PRId64 " %" PRId64, from, upto);
	store_commit(x->inner, &w, done, ctx);
}

/* --- the queue of writes that leases are concerned with --- */

/* Lock held. Nobody asks for h any more? */
void held_drop(struct leased *x, struct held *h)
{
	if (h->lease || h->queued)
		return;
	strmap_del(&x->by_key, sv_make(h->key, h->key_n));
	free(h);
	atomic_store(&x->n_held, x->by_key.n);
}

void held_attach(struct held *h, struct lease *e)
{
	if (h->lease)
		list_del(&h->link);
	h->lease = e;
	if (e)
		list_add_tail(&e->keys, &h->link);
}

static void op_begin(struct lease_op *op);

/* The first of the queue begins, and may be over before it has: then the next one begins here, too, not below it. Many
 * may be over like that. */
static void ops_run(struct leased *x)
{
	pthread_mutex_lock(&x->mu);
	x->next_due = true;
	while (x->next_due && !x->beginning) {
		struct lease_op *first = LIST_ENTRY(x->queue.next, struct lease_op, link);

		x->next_due = false;
		x->beginning = true;
		pthread_mutex_unlock(&x->mu);
		op_begin(first);
		pthread_mutex_lock(&x->mu);
		x->beginning = false;
		pthread_cond_broadcast(&x->changed);
	}
	pthread_mutex_unlock(&x->mu);
}

/* op is over and freed; the next one. */
static void op_end(struct lease_op *op)
{
	struct leased *x = op->x;
	bool more;

	pthread_mutex_lock(&x->mu);
	list_del(&op->link);
	op->held->queued--;
	held_drop(x, op->held);
	if (op->lease)
		op->lease->queued--;
	more = x->busy = !list_empty(&x->queue);
	pthread_cond_broadcast(&x->changed);
	pthread_mutex_unlock(&x->mu);
	free(op);
	if (more)
		ops_run(x);
}

static void op_fail(struct lease_op *op, const struct err *why)
{
	op->done(&(struct store_result){ .outcome = STORE_FAILED, .err = why }, op->ctx);
	op_end(op);
}

static void unnoted(_unused_ const struct store_result *r, void *ctx)
{
	op_end(ctx);
}

static void op_written(const struct store_result *r, void *ctx)
{
	struct lease_op *op = ctx;
	struct leased *x = op->x;
	struct held *h = op->held;
	bool ok = r->outcome == STORE_OK;

	pthread_mutex_lock(&x->mu);
	if (ok && op->w.tombstone) {
		h->rev = 0;
	} else if (ok) {
		held_attach(h, op->lease);
		h->from = op->from;
		h->rev = op->lease ? r->rev : 0;
		h->bounded = false;
	}
	pthread_mutex_unlock(&x->mu);
	op->done(r, op->ctx);
	if (!ok && op->fresh) { /* an open note, and no version that it is for */
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct store_write w = { .key = note_key(&a, op->lease->id, op->w.key),
					 .expect_rev = STORE_ANY_REV,
					 .tombstone = true };

		store_commit(x->inner, &w, unnoted, op);
		return;
	}
	op_end(op);
}

static void op_write(struct lease_op *op)
{
	struct store_write w = op->w;

	w.lease = 0;
	store_commit(op->x->inner, &w, op_written, op);
}

static void op_noted(const struct store_result *r, void *ctx)
{
	struct lease_op *op = ctx;

	if (r->outcome != STORE_OK) {
		op_fail(op, r->err);
		return;
	}
	if (op->fresh)
		op->from = r->rev;
	else
		op->held->bounded = false;
	op_write(op);
}

/* The version to come goes with another lease than the one there is, or with none: that one's note is bounded. */
static void op_attach(struct lease_op *op)
{
	struct held *h = op->held;

	op->from = h->from;
	if (op->lease && (h->lease != op->lease || h->bounded)) {
		op->fresh = h->lease != op->lease;
		note_write(op->x, op->lease->id, op->w.key, op->fresh ? 0 : h->from, 0, op_noted, op);
	} else {
		op_write(op);
	}
}

static void op_bounded(const struct store_result *r, void *ctx)
{
	struct lease_op *op = ctx;

	if (r->outcome != STORE_OK) {
		op_fail(op, r->err);
		return;
	}
	op->held->bounded = true;
	op_attach(op);
}

static void op_begin(struct lease_op *op)
{
	struct held *h = op->held;

	if (op->refused) {
		struct err err = ERR_INIT;

		err_set(&err, ERR_NOT_FOUND, "requested lease not found");
		op_fail(op, &err);
		err_release(&err);
	} else if (!op->w.tombstone && h->lease && h->lease != op->lease && !h->bounded) {
		note_write(op->x, h->lease->id, op->w.key, h->from, MAX(h->rev, h->from), op_bounded, op);
	} else {
		op_attach(op);
	}
}

struct sv lease_id(const int64_t *id)
{
	return sv_make((const char *)id, sizeof(*id));
}

/* Lock held. */
struct lease *lease_find(const struct leased *x, int64_t id)
{
	return strmap_get(&x->by_id, lease_id(&id));
}

struct held *held_of(struct leased *x, struct sv key)
{
	void **slot = strmap_slot(&x->by_key, key);
	struct held *h = *slot;

	if (!h) {
		*slot = h = xcalloc(1, sizeof(*h) + key.n);
		h->key_n = key.n;
		memcpy(h->key, key.p, key.n);
		atomic_store(&x->n_held, x->by_key.n);
	}
	return h;
}

/* The notes would have to be made with them; nothing needs that yet. */
static void leased_commit_also(struct leased *x, const struct store_write *w, store_done_fn *done, void *ctx)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	bool concerned;

	pthread_mutex_lock(&x->mu);
	concerned = w->lease || strmap_get(&x->by_key, w->key);
	for (size_t i = 0; i < w->n_also && i < STORE_ALSO_MAX && !concerned; i++)
		concerned = w->also[i].lease || strmap_get(&x->by_key, w->also[i].key);
	pthread_mutex_unlock(&x->mu);
	if (!concerned) {
		store_commit(x->inner, w, done, ctx);
		return;
	}
	err_set(&why, ERR_BAD_REQUEST, "'%.*s' or what is written with it has a lease", SV_ARG(w->key));
	done(&(struct store_result){ .outcome = STORE_FAILED, .err = &why }, ctx);
}

void leased_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct leased *x = LEASED(s);
	struct lease_op *op;
	bool first;
	char *bytes;

	if (w->n_also) {
		leased_commit_also(x, w, done, ctx);
		return;
	}
	if (!w->lease && atomic_load(&x->n_held) == 0) {
		store_commit(x->inner, w, done, ctx);
		return;
	}
	pthread_mutex_lock(&x->mu);
	if (!w->lease && !strmap_get(&x->by_key, w->key)) {
		pthread_mutex_unlock(&x->mu);
		store_commit(x->inner, w, done, ctx);
		return;
	}
	op = xcalloc(1, sizeof(*op) + w->key.n + w->value.n);
	bytes = (char *)(op + 1);
	op->x = x;
	op->w = *w;
	op->done = done;
	op->ctx = ctx;
	op->w.key.p = memcpy(bytes, w->key.p, w->key.n);
	op->w.value.p = w->value.n ? memcpy(bytes + w->key.n, w->value.p, w->value.n) : bytes;
	op->lease = w->lease && !w->tombstone ? lease_find(x, w->lease) : NULL;
	if (op->lease && op->lease->ending)
		op->lease = NULL;
	op->refused = w->lease && !w->tombstone && !op->lease;
	if (op->lease)
		op->lease->queued++;
	op->held = held_of(x, op->w.key);
	op->held->queued++;
	list_add_tail(&x->queue, &op->link);
	first = !x->busy;
	x->busy = true;
	pthread_mutex_unlock(&x->mu);
	if (first)
		ops_run(x);
}
