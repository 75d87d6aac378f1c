/* The queue of one watcher: what is put in, who is woken, how it ends; and where it joins those that changes are
 * dispatched to. */
#include "apiserver/watchcache-internal.h"

#include <stdlib.h>

#define ARRAY_FREE 64 /* items of an array that is not counted: every watcher has that for a moment */

static struct wc_item *queue_at(struct wc_watch *w, size_t i)
{
	return &w->queue[(w->head + i) & (w->cap - 1)];
}

static void queue_count(struct wc_watch *w, size_t bytes)
{
	w->bytes += bytes;
	atomic_fetch_add_explicit(&w->owner->bytes, bytes, memory_order_relaxed);
}

static void queue_uncount(struct wc_watch *w, size_t bytes)
{
	w->bytes -= bytes;
	atomic_fetch_sub_explicit(&w->owner->bytes, bytes, memory_order_relaxed);
}

static struct obj *item_obj(const struct wc_item *it)
{
	return it->type == WATCH_DELETED && !it->ev->deleted ? it->ev->gone : it->ev->o;
}

static void item_count(struct wc_watch *w, struct wc_item *it)
{
	if (it->counted || !it->ev)
		return;
	it->counted = true;
	queue_count(w, sizeof(*it->ev) + obj_bytes(item_obj(it)));
}

/* The event of that revision among the first n, or NULL. */
static struct wc_item *queue_find(struct wc_watch *w, int64_t rev, size_t n)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (queue_at(w, mid)->rev < rev)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && queue_at(w, lo)->rev == rev ? queue_at(w, lo) : NULL;
}

void wc_queue_settle(struct wc_watch *w)
{
	for (; w->out < w->n && queue_at(w, w->out)->rev <= w->in->ring_floor; w->out++) {
		struct wc_item *it = queue_at(w, w->out), *old = NULL;

		if (it->type == WATCH_DELETED)
			item_count(w, it);
		if (it->back)
			old = queue_find(w, it->rev - it->back, w->out);
		if (old)
			item_count(w, old);
	}
}

static void queue_free(struct wc_watch *w)
{
	if (w->queue != &w->only)
		free(w->queue);
}

/* Capacities are powers of two. Most events find an empty queue and are taken by another thread: no block for them. */
static void queue_grow(struct wc_watch *w)
{
	uint32_t cap = w->cap > 1 ? w->cap * 2 : 8;
	struct wc_item *q;

	if (!w->cap) {
		w->queue = &w->only;
		w->cap = 1;
		w->head = 0;
		return;
	}
	q = xmalloc(cap * sizeof(*q));
	for (size_t i = 0; i < w->n; i++)
		q[i] = *queue_at(w, i);
	queue_free(w);
	w->queue = q;
	if (cap > ARRAY_FREE)
		queue_count(w, (cap - (w->cap > ARRAY_FREE ? w->cap : 0)) * sizeof(*q));
	w->cap = cap;
	w->head = 0;
}

void wc_queue_push(struct wc_watch *w, struct wc_change *ev, enum watch_type type, int64_t rev)
{
	int64_t back = ev && ev->prev ? rev - obj_rev(ev->prev) : 0;

	if (w->n == w->cap)
		queue_grow(w);
	*queue_at(w, w->n++) = (struct wc_item){ .ev = ev ? wc_change_ref(ev) : NULL,
						 .rev = rev,
						 .back = back > 0 && back <= UINT32_MAX ? (uint32_t)back : 0,
						 .type = (uint8_t)type };
}

struct wc_item wc_queue_pop(struct wc_watch *w)
{
	struct wc_item it = *queue_at(w, 0);

	w->head = (w->head + 1) & (w->cap - 1);
	w->n--;
	w->out -= w->out > 0;
	w->taken++;
	if (it.counted)
		queue_uncount(w, sizeof(*it.ev) + obj_bytes(item_obj(&it)));
	if (!w->n)
		wc_queue_drop(w); /* an idle watch holds no block */
	return it;
}

void wc_queue_drop(struct wc_watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		wc_change_unref(queue_at(w, i)->ev);
	queue_free(w);
	w->queue = NULL;
	w->head = w->n = w->cap = w->out = 0;
	if (w->bytes)
		queue_uncount(w, w->bytes);
}

void wc_watch_wake(struct wc_watch *w)
{
	if (w->scheduled)
		return;
	w->scheduled = true;
	w->wake(w->ctx);
}

void wc_watch_end_locked(struct wc_watch *w, enum err_reason reason, const char *msg, bool wake)
{
	if (w->ended)
		return;
	w->ended = xcalloc(1, sizeof(*w->ended));
	err_set(&w->ended->why, reason, "%s", msg);
	if (wake)
		w->scheduled = false;
	wc_watch_wake(w);
}

void wc_watch_end(struct wc_watch *w, const struct err *why)
{
	pthread_mutex_lock(&w->lock);
	wc_watch_end_locked(w, why->reason, err_msg(why), false);
	pthread_mutex_unlock(&w->lock);
}

bool wc_watch_wants(struct wc_watch *w, struct wc_change *c, enum watch_type *ret)
{
	const struct selection *sel = w->sel;
	bool now, before;

	if (w->ns.n && !sv_eq(obj_ns(c->o), w->ns))
		return false;
	now = !c->deleted && selection_matches(sel, c->o);
	before = c->prev && selection_matches(sel, c->prev);
	if (!now && !before)
		return false;
	*ret = !now ? WATCH_DELETED : before ? WATCH_MODIFIED : WATCH_ADDED;
	if (*ret == WATCH_DELETED && !c->deleted && !c->gone) {
		c->gone = obj_new(obj_root(c->prev), c->rev);
		if (c->in_ring)
			w->in->ring_bytes += obj_bytes(c->gone);
	}
	return true;
}

void wc_watch_push(struct wc_watch *w, struct wc_change *c)
{
	enum watch_type type;

	if (wc_watch_wants(w, c, &type))
		wc_queue_push(w, c, type, c->rev);
}

/* Fills a watcher with the past it asked for; the resource's lock is held. False: it is older than the ring. */
static bool start_from(struct wc_resource *r, struct wc_watch *w)
{
	if (w->initial) {
		(void)wc_initial_slice(w);
		return true;
	}
	if (w->since == WATCH_FROM_NOW)
		return true;
	/* Of what was filled nobody knows in which order it came: the log does. */
	if (w->since < r->ring_floor || (w->since == r->filled_newest && r->filled_shared && !w->past))
		return false;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < r->ring_n; i++) {
		struct wc_change *c = r->ring[(r->ring_head + i) % r->ring_cap];

		if (wc_is_after(c, w->since))
			wc_watch_push(w, c);
	}
	pthread_mutex_unlock(&w->lock);
	return true;
}

/* The list of those that changes are dispatched to; the resource's lock is held. */
static void enlist(struct wc_resource *r, struct wc_watch *w)
{
	struct list *in = &r->watchers;

	if (w->bucket) {
		void **slot = strmap_slot(&r->buckets, sv_from(w->bucket));

		if (!*slot) {
			*slot = xmalloc(sizeof(struct list));
			list_init(*slot);
		}
		in = *slot;
	}
	list_add_tail(in, &w->link);
}

bool wc_watch_enlist(struct wc_watch *w)
{
	if (!start_from(w->in, w))
		return false;
	list_del(&w->link);
	enlist(w->in, w);
	return true;
}

bool wc_watch_join(struct wc_watch *w)
{
	bool joined;

	pthread_rwlock_wrlock(&w->in->lock);
	joined = wc_watch_enlist(w);
	pthread_rwlock_unlock(&w->in->lock);
	return joined;
}
