/* Watchers of the cache: who is offered a change, and how one is opened, read and closed. */
#include "apiserver/watchcache-internal.h"

#include <stdlib.h>

/* The index keys that a watcher pinned to one name or node is kept under. */
static char *bucket_of(const struct wc_watch_opts *o)
{
	if (!o->sel)
		return NULL;
	if (o->sel->pinned_name.p)
		return xasprintf("n/%.*s", SV_ARG(o->sel->pinned_name));
	if (o->sel->pinned_node.p)
		return xasprintf("h/%.*s", SV_ARG(o->sel->pinned_node));
	return NULL;
}

void wc_wake(struct wc_resource *r)
{
	pthread_rwlock_wrlock(&r->lock);
	LIST_EACH(&r->to_wake, it) {
		struct wc_watch *w = LIST_ENTRY(it, struct wc_watch, to_wake);

		list_del(&w->to_wake);
		w->o.wake(w->o.ctx);
	}
	pthread_rwlock_unlock(&r->lock);
}

static void offer_bucket(struct wc_resource *r, char prefix, struct sv key, struct wc_change *c)
{
	char name[512];
	struct list *l;

	if (!key.n || key.n > sizeof(name) - 2)
		return;
	name[0] = prefix;
	name[1] = '/';
	memcpy(name + 2, key.p, key.n);
	l = strmap_get(&r->buckets, sv_make(name, key.n + 2));
	if (!l)
		return;
	LIST_EACH(l, it)
		wc_watch_offer(LIST_ENTRY(it, struct wc_watch, link), c);
}

void wc_dispatch(struct wc_resource *r, struct wc_change *c)
{
	struct sv node, was;

	LIST_EACH(&r->watchers, it)
		wc_watch_offer(LIST_ENTRY(it, struct wc_watch, link), c);
	if (!r->buckets.n)
		return;
	offer_bucket(r, 'n', obj_name(c->o), c);
	node = val_str(obj_get(c->o, F_spec, F_nodeName));
	was = c->prev ? val_str(obj_get(c->prev, F_spec, F_nodeName)) : SV_NULL;
	offer_bucket(r, 'h', node, c);
	if (!sv_eq(node, was))
		offer_bucket(r, 'h', was, c);
}

typedef void each_watch_fn(struct wc_watch *w, void *ctx);

static void each_watch(struct wc_resource *r, each_watch_fn *fn, void *ctx)
{
	LIST_EACH(&r->watchers, it)
		fn(LIST_ENTRY(it, struct wc_watch, link), ctx);
	STRMAP_EACH(&r->buckets, e) {
		struct list *l = e->value;

		LIST_EACH(l, it)
			fn(LIST_ENTRY(it, struct wc_watch, link), ctx);
	}
}

static void end_one(struct wc_watch *w, void *ctx)
{
	wc_watch_end(w, ctx);
}

void wc_end_all(struct wc_resource *r, const struct err *why)
{
	each_watch(r, end_one, (void *)(uintptr_t)why);
	LIST_EACH(&r->past, it)
		wc_watch_end(LIST_ENTRY(it, struct wc_watch, link), why);
}

static void bookmark_one(struct wc_watch *w, void *ctx)
{
	int64_t rev = *(int64_t *)ctx;

	pthread_mutex_lock(&w->lock);
	/* With something waiting the reader learns a newer revision anyway. */
	if (w->o.bookmarks && !w->ended && !w->n && !w->initial_bookmark_due && w->initial_at == w->initial.n &&
	    rev >= w->o.since) {
		wc_queue_push(w, NULL, WATCH_BOOKMARK, rev);
		wc_watch_wake(w);
	}
	pthread_mutex_unlock(&w->lock);
}

void wc_bookmarks(struct watchcache *c)
{
	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];
		int64_t rev;

		if (!r)
			continue;
		pthread_rwlock_wrlock(&r->lock);
		rev = wc_resource_rev(r);
		each_watch(r, bookmark_one, &rev);
		pthread_rwlock_unlock(&r->lock);
	}
}

static void watch_release(struct wc_watch *w)
{
	wc_past_close(w);
	wc_queue_drop(w);
	for (size_t i = w->initial_at; i < w->initial.n; i++)
		obj_unref(w->initial.objs[i]);
	arena_release(&w->initial_arena);
	pthread_mutex_destroy(&w->lock);
	err_release(&w->why);
	free(w->ns);
	free(w->bucket);
	free(w);
}

int wc_watch_open(struct watchcache *c, const struct wc_watch_opts *o, struct wc_watch **ret, struct err *err)
{
	struct wc_resource *r = wc_resource_of(c, o->res);
	struct wc_watch *w;
	bool joined;

	if (!wc_alive(c, err))
		return -1;
	w = xcalloc(1, sizeof(*w));
	w->in = r;
	w->o = *o;
	if (o->initial)
		w->o.since = WATCH_FROM_NOW;
	w->ns = o->ns.n && o->res->namespaced ? xstrndup(o->ns.p, o->ns.n) : NULL;
	w->o.ns = sv_from(w->ns);
	w->bucket = bucket_of(o);
	pthread_mutex_init(&w->lock, NULL);
	list_init(&w->link);
	list_init(&w->to_wake);
	w->scheduled = true; /* the opener reads first; no wake until it saw "empty" */

	/* Under the write lock nothing is published between the past and the queue. */
	pthread_rwlock_wrlock(&r->lock);
	joined = wc_watch_enlist(w);
	if (!joined)
		list_add_tail(&r->past, &w->link);
	r->n_watchers++;
	if (w->o.initial)
		wc_collect(r, w->o.ns, o->sel, SV_NULL, 0, &w->initial_arena, &w->initial);
	if (w->o.initial && !w->initial.n)
		arena_release(&w->initial_arena); /* an idle watch holds no block */
	pthread_rwlock_unlock(&r->lock);
	if (!joined && wc_past_open(w, err) < 0) {
		(void)wc_watch_close(w);
		return -1;
	}
	*ret = w;
	return 0;
}

/* What is queued, without looking into the past. */
static int next_queued(struct wc_watch *w, struct wc_event *ret, struct err *err)
{
	int got = 1;

	pthread_mutex_lock(&w->lock);
	*ret = (struct wc_event){ 0 };
	if (w->initial_at < w->initial.n) {
		ret->type = WATCH_ADDED;
		ret->o = w->initial.objs[w->initial_at++];
		ret->rev = obj_rev(ret->o);
		if (w->initial_at == w->initial.n) {
			w->initial.n = w->initial_at = 0;
			arena_release(&w->initial_arena);
		}
	} else if (w->initial_bookmark_due) {
		w->initial_bookmark_due = false;
		ret->type = WATCH_BOOKMARK;
		ret->rev = w->initial.rev;
		ret->initial_end = true;
	} else if (w->n) {
		struct wc_item it = w->queue[w->head];

		w->head = (w->head + 1) % w->cap;
		w->n--;
		ret->type = it.type;
		ret->rev = it.rev;
		if (it.ev)
			ret->o = obj_ref(it.type == WATCH_DELETED && !it.ev->deleted ? it.ev->gone : it.ev->o);
		wc_change_unref(it.ev);
		if (!w->n)
			wc_queue_drop(w); /* an idle watch holds no queue */
	} else if (w->ended) {
		got = -1;
		err_copy(err, &w->why);
	} else {
		w->scheduled = false;
		got = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return got;
}

int wc_watch_next(struct wc_watch *w, struct wc_event *ret, struct err *err)
{
	int got;

	do {
		got = next_queued(w, ret, err);
	} while (got == 0 && w->past && wc_past_step(w));
	return got;
}

struct wc_watch *wc_watch_close(struct wc_watch *w)
{
	struct wc_resource *r;

	if (!w)
		return NULL;
	r = w->in;
	pthread_rwlock_wrlock(&r->lock);
	list_del(&w->link);
	list_del(&w->to_wake);
	r->n_watchers--;
	if (w->bucket) {
		struct list *l = strmap_get(&r->buckets, sv_from(w->bucket));

		if (l && list_empty(l)) {
			strmap_del(&r->buckets, sv_from(w->bucket));
			free(l);
		}
	}
	pthread_rwlock_unlock(&r->lock);
	watch_release(w);
	return NULL;
}
