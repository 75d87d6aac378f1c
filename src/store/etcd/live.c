/* The store's thread: everything that callers are told, one thing at a time.
 *
 *	answered commits ─▶ not applied: told at once
 *	                    applied: wait for their revision in es->waiting
 *	changes of a revision ─▶ live watches ─▶ progress ─▶ commits of it
 *	a portion of a watch that lags
 *
 * An answer may come before its change or after it, as both are calls of their own (etcd-internal.h). */
#include "store/etcd/etcd-internal.h"

#include <stdlib.h>

#define JUMP_PAUSE_NS NS_PER_SEC

/* --- on the loop --- */

static void live_push(struct es *es, struct batch *b_take)
{
	pthread_mutex_lock(&es->mu);
	list_add_tail(&es->batches, &b_take->link);
	es->batch_bytes += b_take->bytes;
	if (es->batch_bytes > ES_BATCH_BYTES)
		feed_hold(&es->live, true);
	es_wake(es);
	pthread_mutex_unlock(&es->mu);
}

static void live_got(struct feed *f, struct batch *b_take)
{
	for (size_t i = 0; i < b_take->ev.n; i++)
		vec_push(&b_take->of, ecommit_of(f->es, &b_take->ev.p[i]));
	live_push(f->es, b_take);
}

static void live_push_mark(struct es *es, int64_t lost, int64_t jump)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	list_init(&b->link);
	b->lost = lost;
	b->jump = jump;
	live_push(es, b);
}

static void live_jump(struct es *es);

static void live_jump_again(void *ctx)
{
	struct es *es = ctx;

	es->jump_again = ev_timer_stop(es->jump_again);
	live_jump(es);
}

static void live_jumped(struct link_req *r, const struct grpc_end *e, struct sv answer)
{
	struct es *es = CONTAINER_OF(r, struct es, jump);
	struct etcd_range_said said;

	if (es->gone || link_over(es->link))
		return;
	if (e->code == GRPC_OK && etcd_range_read(answer, &said)) {
		live_push_mark(es, 0, said.rev);
		feed_start(es, &es->live, said.rev + 1);
		return;
	}
	/* Not from here: what is refused now, or by a link that asks nobody any more, is refused at once again. */
	es->jump_again = ev_timer_start(es->loop, JUMP_PAUSE_NS, 0, live_jump_again, es);
}

/* Where the store is now: from there on it is followed again. */
static void live_jump(struct es *es)
{
	es->jump.method = "/etcdserverpb.KV/Range";
	es->jump.until_ns = INT64_MAX;
	es->jump.done = live_jumped;
	buf_clear(&es->jump.request);
	etcd_look_write(&es->jump.request, 0);
	link_request(es->link, &es->jump);
}

/* It was away for longer than history is kept. */
static void live_lost(struct feed *f, int64_t compact_rev)
{
	live_push_mark(f->es, compact_rev, 0);
	live_jump(f->es);
}

void es_live_start(struct es *es, int64_t next)
{
	es->live.got = live_got;
	es->live.lost = live_lost;
	feed_start(es, &es->live, next);
}

static void live_go_on(void *ctx)
{
	struct es *es = ctx;

	feed_hold(&es->live, false);
}

/* --- the delivery --- */

static void delivery_wait_for(struct es *es, struct ecommit *c)
{
	struct list *at = es->waiting.prev;

	while (at != &es->waiting && LIST_ENTRY(at, struct ecommit, link)->rev > c->rev)
		at = at->prev;
	list_add_head(at, &c->link);
}

/* Lock held, given up in between. */
static void delivery_answers(struct es *es)
{
	while (!list_empty(&es->answered)) {
		struct ecommit *c = LIST_ENTRY(es->answered.next, struct ecommit, link);

		list_del(&c->link);
		if (c->outcome == STORE_OK && c->rev > atomic_load(&es->rev)) {
			delivery_wait_for(es, c);
			continue;
		}
		pthread_mutex_unlock(&es->mu);
		ecommit_run(c);
		pthread_mutex_lock(&es->mu);
	}
}

/* Everything up to rev was told. */
static void delivery_reached(struct es *es, int64_t rev)
{
	atomic_store(&es->rev, rev);
	watchers_progress(&es->watchers, rev);
	while (!list_empty(&es->waiting)) {
		struct ecommit *c = LIST_ENTRY(es->waiting.next, struct ecommit, link);

		if (c->rev > rev)
			break;
		list_del(&c->link);
		ecommit_run(c);
	}
}

/* Of the write that made it, if that was one of ours. */
static void *delivery_cookie(struct es *es, const struct etcd_event *ev)
{
	for (struct list *it = es->waiting.next; it != &es->waiting; it = it->next) {
		struct ecommit *c = LIST_ENTRY(it, struct ecommit, link);

		if (c->rev > ev->kv.mod_rev)
			break;
		if (c->rev == ev->kv.mod_rev)
			return ecommit_cookie(c, ev);
	}
	return NULL;
}

static void delivery_end_all(struct es *es, int64_t compact_rev)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	err_set(&why, ERR_EXPIRED, "changes after revision %" PRId64 " have been compacted, the oldest is %" PRId64,
		atomic_load(&es->rev), compact_rev);
	watchers_end(&es->watchers, &why);
}

/* One revision of a batch. Lock not held. */
static void delivery_revision(struct es *es, struct batch *b)
{
	int64_t rev = b->ev.p[b->at].kv.mod_rev;

	for (bool more = true; more; b->at++) {
		const struct etcd_event *ev = &b->ev.p[b->at];
		struct store_change c;
		struct store_kv prev;

		more = b->at + 1 < b->ev.n && b->ev.p[b->at + 1].kv.mod_rev == rev;
		if (!etcd_change(ev, &prev, &c))
			delivery_end_all(es, rev);
		c.cookie = delivery_cookie(es, ev);
		c.more = more;
		watchers_change(&es->watchers, &c);
	}
	delivery_reached(es, rev);
}

/* Is the next revision of b to wait for the answer to a write that may have made it? */
static bool delivery_is_held(const struct batch *b)
{
	for (size_t i = b->at; i < b->ev.n && b->ev.p[i].kv.mod_rev == b->ev.p[b->at].kv.mod_rev; i++)
		if (b->of.p[i] && !atomic_load(&b->of.p[i]->settled))
			return true;
	return false;
}

/* Lock held, given up in between. What was answered before the batch came is in es->waiting. False: it waits. */
static bool delivery_batch(struct es *es)
{
	struct batch *b = list_empty(&es->batches) ? NULL : LIST_ENTRY(es->batches.next, struct batch, link);
	bool done;

	if (!b || delivery_is_held(b))
		return false;

	delivery_answers(es);
	pthread_mutex_unlock(&es->mu);
	if (b->lost)
		delivery_end_all(es, b->lost);
	else if (b->jump)
		delivery_reached(es, b->jump);
	else
		delivery_revision(es, b);
	pthread_mutex_lock(&es->mu);
	done = b->at >= b->ev.n;
	if (!done)
		return true;
	list_del(&b->link);
	if (es->batch_bytes > ES_BATCH_BYTES && es->batch_bytes - b->bytes <= ES_BATCH_BYTES)
		ev_loop_post(es->loop, live_go_on, es);
	es->batch_bytes -= b->bytes;
	batch_free(b);
	return true;
}

/* Those for whom everything has been told. Lock held, given up in between. */
static void delivery_syncs(struct es *es)
{
	struct list due;

	list_init(&due);
	LIST_EACH(&es->syncs, it) {
		struct syncer *y = LIST_ENTRY(it, struct syncer, link);

		if (y->err.reason || y->rev <= atomic_load(&es->rev) || es->blind) {
			list_del(it);
			list_add_tail(&due, it);
		}
	}
	if (list_empty(&due))
		return;
	pthread_mutex_unlock(&es->mu);
	LIST_EACH(&due, it) {
		struct syncer *y = LIST_ENTRY(it, struct syncer, link);

		y->done(y->rev, y->err.reason ? &y->err : NULL, y->ctx);
		err_release(&y->err);
		free(y);
	}
	pthread_mutex_lock(&es->mu);
}

static void delivery_expire(struct es *es)
{
	int64_t rev = es->compact_rev;

	es->expire = false;
	pthread_mutex_unlock(&es->mu);
	watchers_expire(&es->watchers, rev);
	pthread_mutex_lock(&es->mu);
}

/* Writes were made whose changes nobody will tell any more. Lock held, given up in between. */
static void delivery_untold(struct es *es)
{
	while (!list_empty(&es->waiting)) {
		struct ecommit *c = LIST_ENTRY(es->waiting.next, struct ecommit, link);

		list_del(&c->link);
		pthread_mutex_unlock(&es->mu);
		ecommit_run(c);
		pthread_mutex_lock(&es->mu);
	}
}

static void delivery_last(struct es *es)
{
	delivery_untold(es);
	while (!list_empty(&es->batches)) {
		struct batch *b = LIST_ENTRY(es->batches.next, struct batch, link);

		list_del(&b->link);
		batch_free(b);
	}
}

void es_delivery(void *ctx)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct es *es = ctx;

	pthread_mutex_lock(&es->mu);
	for (;;) {
		bool did;

		delivery_answers(es);
		if (es->blind)
			delivery_untold(es);
		if (es->expire)
			delivery_expire(es);
		did = delivery_batch(es);
		delivery_syncs(es);
		did = catchup_step(es) || did;
		if (did || !list_empty(&es->answered) || es->expire)
			continue;
		if (es->stop_delivery)
			break;
		pthread_cond_wait(&es->changed, &es->mu);
	}
	delivery_last(es);
	pthread_mutex_unlock(&es->mu);
	err_set(&why, ERR_UNAVAILABLE, "the store is closing");
	watchers_end(&es->watchers, &why);
	catchups_drop(es);
	pthread_mutex_lock(&es->mu);
	es->running--;
	es_wake(es);
	pthread_mutex_unlock(&es->mu);
}
