/* The ring of a resource's recent changes. */
#include "apiserver/watchcache-internal.h"

#include <stdlib.h>

struct wc_change *wc_change_ref(struct wc_change *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void wc_change_unref(struct wc_change *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	obj_unref(c->o);
	obj_unref(c->prev);
	obj_unref(c->gone);
	free(c);
}

/* What a change keeps in memory. The old version that an update refers to is another change's; that of a deletion is
 * its own, once its creation has left the ring. (gone counts when it is made, in watch_queue.c.) */
static size_t ring_bytes_of(const struct wc_change *c)
{
	return obj_bytes(c->o) + obj_bytes(c->gone) + (c->deleted ? obj_bytes(c->prev) : 0);
}

static void ring_drop_oldest(struct wc_resource *r)
{
	struct wc_change *c = r->ring[r->ring_head];

	r->ring_head = (r->ring_head + 1) % r->ring_cap;
	r->ring_n--;
	r->ring_bytes -= ring_bytes_of(c);
	r->ring_floor = c->rev;
	c->in_ring = false;
	c->prev = obj_unref(c->prev); /* queues that still hold it keep no second object alive */
	wc_change_unref(c);
}

/* Under the resource's lock. */
static size_t ring_age(struct wc_resource *r, int64_t now_ns)
{
	size_t before = r->ring_bytes;

	while (r->ring_n && r->ring[r->ring_head]->mono_ns < now_ns - RING_AGE_NS)
		ring_drop_oldest(r);
	if (!r->ring_n) {
		free(r->ring);
		r->ring = NULL;
		r->ring_cap = r->ring_head = 0;
	}
	return before - r->ring_bytes;
}

static void age_one(struct wc_resource *r, void *ctx)
{
	size_t *dropped = ctx;

	pthread_rwlock_wrlock(&r->lock);
	*dropped += ring_age(r, env_mono_ns(r->cache->s->env));
	pthread_rwlock_unlock(&r->lock);
}

size_t wc_age(struct watchcache *c)
{
	size_t dropped = 0;

	wc_each_resource(c, age_one, &dropped);
	return dropped;
}

static size_t ring_bytes_max(const struct wc_resource *r)
{
	return r->res == RES(apiextensions_customresourcedefinitions) ? RING_BYTES_DEFINITIONS : RING_BYTES_MAX;
}

void wc_ring_push(struct wc_resource *r, struct wc_change *c)
{
	size_t bytes = ring_bytes_of(c);

	while (r->ring_n && (r->ring_n >= RING_EVENTS_MAX || r->ring_bytes + bytes > ring_bytes_max(r) ||
			     r->ring[r->ring_head]->mono_ns < c->mono_ns - RING_AGE_NS))
		ring_drop_oldest(r);
	if (r->ring_n == r->ring_cap) {
		size_t cap = r->ring_cap ? r->ring_cap * 2 : 16;
		struct wc_change **ring = xmalloc(cap * sizeof(*ring));

		for (size_t i = 0; i < r->ring_n; i++)
			ring[i] = r->ring[(r->ring_head + i) % r->ring_cap];
		free(r->ring);
		r->ring = ring;
		r->ring_cap = cap;
		r->ring_head = 0;
	}
	c->in_ring = true;
	r->ring[(r->ring_head + r->ring_n++) % r->ring_cap] = wc_change_ref(c);
	r->ring_bytes += bytes;
}

void wc_ring_share(struct wc_resource *r, struct wc_change *c)
{
	struct wc_change *before = r->ring_n ? r->ring[(r->ring_head + r->ring_n - 1) % r->ring_cap] : NULL;

	c->shared = r->last_rev == c->rev;
	if (before && before->rev == c->rev)
		before->shared = true;
}

void wc_ring_release(struct wc_resource *r)
{
	while (r->ring_n)
		ring_drop_oldest(r);
	free(r->ring);
	r->ring = NULL;
	r->ring_cap = r->ring_head = 0;
}
