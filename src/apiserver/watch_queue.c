/* The queue of one watcher: what is put in, who is woken, how it ends; and where it joins those that changes are
 * dispatched to. */
#include "apiserver/watchcache-internal.h"

#include <stdlib.h>

void wc_queue_push(struct wc_watch *w, struct wc_change *ev, enum watch_type type, int64_t rev)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 8;
		struct wc_item *q = xmalloc(cap * sizeof(*q));

		for (size_t i = 0; i < w->n; i++)
			q[i] = w->queue[(w->head + i) % w->cap];
		free(w->queue);
		w->queue = q;
		w->cap = cap;
		w->head = 0;
	}
	w->queue[(w->head + w->n++) % w->cap] =
	    (struct wc_item){ .ev = ev ? wc_change_ref(ev) : NULL, .rev = rev, .type = type };
}

void wc_queue_drop(struct wc_watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		wc_change_unref(w->queue[(w->head + i) % w->cap].ev);
	free(w->queue);
	w->queue = NULL;
	w->head = w->n = w->cap = 0;
}

void wc_watch_wake(struct wc_watch *w)
{
	if (w->scheduled)
		return;
	w->scheduled = true;
	w->o.wake(w->o.ctx);
}

/* The same, but by wc_wake(); the resource's lock is held for writing. */
static void wake_later(struct wc_watch *w)
{
	if (w->scheduled)
		return;
	w->scheduled = true;
	list_add_tail(&w->in->to_wake, &w->to_wake);
}

static void end(struct wc_watch *w, enum err_reason reason, const char *msg)
{
	if (w->ended)
		return;
	w->ended = true;
	err_set(&w->why, reason, "%s", msg);
	wc_watch_wake(w);
}

void wc_watch_end(struct wc_watch *w, const struct err *why)
{
	pthread_mutex_lock(&w->lock);
	end(w, why->reason, err_msg(why));
	pthread_mutex_unlock(&w->lock);
}

/* What the change is to this watcher; false: nothing. */
static bool type_for(struct wc_watch *w, struct wc_change *c, enum watch_type *ret)
{
	const struct selection *sel = w->o.sel;
	bool now, before;

	if (w->ns && !sv_is(obj_ns(c->o), w->ns))
		return false;
	now = !c->deleted && selection_matches(sel, c->o);
	before = c->prev && selection_matches(sel, c->prev);
	if (!now && !before)
		return false;
	*ret = !now ? WATCH_DELETED : before ? WATCH_MODIFIED : WATCH_ADDED;
	if (*ret == WATCH_DELETED && !c->deleted && !c->gone)
		c->gone = obj_new(obj_root(c->prev), c->rev);
	return true;
}

void wc_watch_push(struct wc_watch *w, struct wc_change *c)
{
	enum watch_type type;

	if (type_for(w, c, &type))
		wc_queue_push(w, c, type, c->rev);
}

void wc_watch_offer(struct wc_watch *w, struct wc_change *c)
{
	enum watch_type type;

	/* A watch may begin at a revision that is still to come. */
	if (c->rev <= w->o.since || !type_for(w, c, &type))
		return;
	pthread_mutex_lock(&w->lock);
	if (!w->ended && w->n >= WATCH_QUEUE_MAX) {
		wc_queue_drop(w);
		end(w, ERR_EXPIRED, "watch queue overflow: the client reads too slowly");
	} else if (!w->ended) {
		wc_queue_push(w, c, type, c->rev);
		wake_later(w);
	}
	pthread_mutex_unlock(&w->lock);
}

/* Fills a watcher with the past it asked for; the resource's lock is held. False: it is older than the ring. */
static bool start_from(struct wc_resource *r, struct wc_watch *w)
{
	if (w->o.initial) {
		w->initial_bookmark_due = w->o.initial_bookmark;
		return true;
	}
	if (w->o.since == WATCH_FROM_NOW)
		return true;
	if (w->o.since < r->ring_floor)
		return false;
	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < r->ring_n; i++) {
		struct wc_change *c = r->ring[(r->ring_head + i) % r->ring_cap];

		if (c->rev > w->o.since)
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
