/* Watches that lag: each has a feed of its own, from where it is. It is of all keys as well, so that its position is as
 * exact as that of the live one, and it joins those that are live when it is as far. Most never need one: they begin
 * where the store is.
 *
 * A catchup is the loop's to free: whoever is done with one takes it out of the list and posts it. */
#include "store/etcd/etcd-internal.h"
#include "store/store-internal.h"

#include <stdlib.h>

static void catchup_free(void *ctx)
{
	struct catchup *c = ctx;

	feed_stop(&c->feed);
	while (!list_empty(&c->batches)) {
		struct batch *b = LIST_ENTRY(c->batches.next, struct batch, link);

		list_del(&b->link);
		batch_free(b);
	}
	free(c);
}

/* Lock held. */
static void catchup_drop(struct catchup *c)
{
	list_del(&c->link);
	ev_loop_post(c->es->loop, catchup_free, c);
}

/* --- on the loop --- */

static void catchup_got(struct feed *f, struct batch *b_take)
{
	struct catchup *c = CONTAINER_OF(f, struct catchup, feed);

	pthread_mutex_lock(&c->es->mu);
	list_add_tail(&c->batches, &b_take->link);
	c->bytes += b_take->bytes;
	if (c->bytes > ES_PAST_BYTES)
		feed_hold(f, true);
	es_wake(c->es);
	pthread_mutex_unlock(&c->es->mu);
}

static void catchup_lost(struct feed *f, int64_t compact_rev)
{
	struct catchup *c = CONTAINER_OF(f, struct catchup, feed);

	pthread_mutex_lock(&c->es->mu);
	c->es->compact_rev = MAX(c->es->compact_rev, compact_rev);
	c->lost = compact_rev;
	es_wake(c->es);
	pthread_mutex_unlock(&c->es->mu);
}

static void catchup_run(void *ctx)
{
	struct catchup *c = ctx;

	c->feed.got = catchup_got;
	c->feed.lost = catchup_lost;
	feed_start(c->es, &c->feed, c->feed.next);
}

static void catchup_go_on(void *ctx)
{
	feed_hold(&((struct catchup *)ctx)->feed, false);
}

/* --- on the store's thread --- */

/* Changes of one revision. Lock not held; w is busy. False: what was there before is not known any more. */
static bool catchup_revision(struct store_watch *w, struct batch *b)
{
	int64_t rev = b->ev.p[b->at].kv.mod_rev;

	for (; b->at < b->ev.n && b->ev.p[b->at].kv.mod_rev == rev; b->at++) {
		const struct etcd_event *ev = &b->ev.p[b->at];
		struct store_change c;
		struct store_kv prev;

		if (rev <= w->since || !store_in_range(ev->kv.key, w->from, w->to))
			continue;
		if (!etcd_change(ev, &prev, &c))
			return false;
		for (size_t i = b->at + 1; i < b->ev.n && !c.more && b->ev.p[i].kv.mod_rev == rev; i++)
			c.more = store_in_range(b->ev.p[i].kv.key, w->from, w->to);
		w->cb->change(&c, w->ctx);
	}
	w->since = MAX(w->since, rev);
	return true;
}

/* False: as catchup_revision(). */
static bool catchup_portion(struct catchup *c, struct store_watch *w)
{
	size_t told = 0;

	while (told < ES_PORTION) {
		struct batch *b;
		size_t before;

		pthread_mutex_lock(&c->es->mu);
		b = list_empty(&c->batches) ? NULL : LIST_ENTRY(c->batches.next, struct batch, link);
		pthread_mutex_unlock(&c->es->mu);
		if (!b)
			break;
		before = b->at;
		if (!catchup_revision(w, b))
			return false;
		told += b->at - before;
		if (b->at == b->ev.n) {
			pthread_mutex_lock(&c->es->mu);
			list_del(&b->link);
			if (c->bytes > ES_PAST_BYTES && c->bytes - b->bytes <= ES_PAST_BYTES)
				ev_loop_post(c->es->loop, catchup_go_on, c);
			c->bytes -= b->bytes;
			pthread_mutex_unlock(&c->es->mu);
			batch_free(b);
		}
	}
	return true;
}

/* A portion of w, which is busy. True: it is done with c. Lock not held. */
static bool catchup_tell(struct catchup *c, struct store_watch *w)
{
	struct es *es = c->es;
	bool told = catchup_portion(c, w);
	int64_t compact_rev, lost, rev = atomic_load(&es->rev);
	bool live, nothing;

	pthread_mutex_lock(&es->mu);
	compact_rev = es->compact_rev;
	lost = c->lost;
	nothing = list_empty(&c->batches);
	pthread_mutex_unlock(&es->mu);
	live = w->since >= rev;
	if (!told || (!live && (w->since < compact_rev || (lost && nothing)))) {
		watchers_give_up(&es->watchers, w, MAX(compact_rev, w->since + 1));
		return true;
	}
	watchers_give_back(&es->watchers, w, live ? rev : w->since, live);
	return live;
}

/* Is there something to be done for c? Lock held. */
static bool catchup_is_due(const struct catchup *c)
{
	return c->w && (!c->running || c->lost || !list_empty(&c->batches) || c->w->ended);
}

bool catchup_step(struct es *es)
{
	struct catchup *c = NULL;
	struct store_watch *w;
	bool over;

	LIST_EACH(&es->catchups, it) {
		c = LIST_ENTRY(it, struct catchup, link);
		if (catchup_is_due(c))
			break;
		c = NULL;
	}
	if (!c)
		return false;
	list_del(&c->link); /* to the end: several take turns */
	list_add_tail(&es->catchups, &c->link);
	w = c->w;
	if (w->ended) { /* with all others */
		c->w = NULL;
		catchup_drop(c);
		return true;
	}
	watchers_take(&es->watchers, w);
	c->busy = true;
	pthread_mutex_unlock(&es->mu);
	over = catchup_tell(c, w);
	pthread_mutex_lock(&es->mu);
	c->busy = false;
	if (over || !c->w) {
		catchup_drop(c);
	} else if (!c->running) {
		c->running = true;
		c->feed.next = w->since + 1;
		ev_loop_post(es->loop, catchup_run, c);
	}
	return true;
}

void catchups_drop(struct es *es)
{
	pthread_mutex_lock(&es->mu);
	LIST_EACH(&es->catchups, it)
		catchup_drop(LIST_ENTRY(it, struct catchup, link));
	pthread_mutex_unlock(&es->mu);
}

/* --- watches --- */

int es_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb, void *ctx,
	     struct store_watch **ret_watch, struct err *err)
{
	struct es *es = ES(s);
	struct catchup *c;

	pthread_mutex_lock(&es->mu);
	if (store_check_watch_rev(since, es->compact_rev, err) < 0) {
		pthread_mutex_unlock(&es->mu);
		return -1;
	}
	c = xcalloc(1, sizeof(*c));
	c->es = es;
	list_init(&c->batches);
	*ret_watch = c->w = watchers_add(&es->watchers, from, to, since, cb, ctx);
	list_add_tail(&es->catchups, &c->link);
	es_wake(es);
	pthread_mutex_unlock(&es->mu);
	return 0;
}

void es_unwatch(struct store *s, struct store_watch *w)
{
	struct es *es = ES(s);

	pthread_mutex_lock(&es->mu);
	LIST_EACH(&es->catchups, it) {
		struct catchup *c = LIST_ENTRY(it, struct catchup, link);

		if (c->w != w)
			continue;
		c->w = NULL;
		if (!c->busy) /* else who is at it does */
			catchup_drop(c);
	}
	pthread_mutex_unlock(&es->mu);
	watchers_remove(&es->watchers, w);
}
