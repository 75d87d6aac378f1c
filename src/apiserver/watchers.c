/* Watchers of the cache: who is offered a change, and how one is opened, read and closed. */
#include "apiserver/set_aside.h"
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
	lock_write(&r->lock, &wc_lock);
	LIST_EACH(&r->to_wake, it) {
		struct wc_watch *w = LIST_ENTRY(it, struct wc_watch, to_wake);

		list_del(&w->to_wake);
		w->wake(w->ctx);
	}
	pthread_rwlock_unlock(&r->lock);
}

/* Woken by wc_wake(), at the end of a group of writes; the resource's lock is held for writing. */
static void wake_later(struct wc_watch *w)
{
	if (w->scheduled)
		return;
	w->scheduled = true;
	list_add_tail(&w->in->to_wake, &w->to_wake);
}

/* --- who wants the same --- */

/* The resource's lock is held for writing by these. */
static void alike_join(struct wc_watch *w, struct sv words)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	void **slot;

	if (w->sel && !words.n)
		return;
	buf_printf(&key, "%zu ", w->ns.n); /* there may be any bytes in it */
	buf_addsv(&key, w->ns);
	buf_addsv(&key, words);
	slot = strmap_slot(&w->in->alike, buf_sv(&key));
	if (!*slot) {
		w->alike = *slot = xcalloc(1, sizeof(*w->alike));
		w->alike->key_n = key.n;
		w->alike->key = buf_detach(&key);
	}
	w->alike = *slot;
	w->alike->watches++;
}

static void alike_leave(struct wc_watch *w)
{
	struct wc_alike *a = TAKE(w->alike);

	if (!a || --a->watches)
		return;
	(void)strmap_del(&w->in->alike, sv_make(a->key, a->key_n));
	free(a->key);
	free(a);
}

/* wc_watch_wants(), asked once for all who want the same. */
static bool wants(struct wc_watch *w, struct wc_change *c, enum watch_type *ret)
{
	struct wc_alike *a = w->alike;

	if (!a)
		return wc_watch_wants(w, c, ret);
	if (a->asked != w->in->dispatched) {
		enum watch_type type = WATCH_ADDED;

		a->asked = w->in->dispatched;
		a->wants = wc_watch_wants(w, c, &type);
		a->type = (uint8_t)type;
	}
	*ret = (enum watch_type)a->type;
	return a->wants;
}

/* A change happens: the queue takes it if the selectors want it, wc_wake() wakes. The resource's lock is held for
 * writing. */
static void offer(struct wc_watch *w, struct wc_change *c)
{
	enum watch_type type;

	/* A watch may begin at a revision that is still to come. */
	if (!wc_is_after(c, w->since) || wc_initial_beyond(w, c->o) || !wants(w, c, &type))
		return;
	pthread_mutex_lock(&w->lock);
	if (!w->ended) {
		wc_queue_push(w, c, type, c->rev);
		wake_later(w);
		wc_slow_check(w);
	}
	pthread_mutex_unlock(&w->lock);
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
		offer(LIST_ENTRY(it, struct wc_watch, link), c);
}

void wc_dispatch(struct wc_resource *r, struct wc_change *c)
{
	struct sv node, was;

	r->dispatched++;
	LIST_EACH(&r->watchers, it)
		offer(LIST_ENTRY(it, struct wc_watch, link), c);
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

/* Those that changes are dispatched to. */
static void each_live(struct wc_resource *r, each_watch_fn *fn, void *ctx)
{
	LIST_EACH(&r->watchers, it)
		fn(LIST_ENTRY(it, struct wc_watch, link), ctx);
	STRMAP_EACH(&r->buckets, e) {
		struct list *l = e->value;

		LIST_EACH(l, it)
			fn(LIST_ENTRY(it, struct wc_watch, link), ctx);
	}
}

void wc_each_watch(struct wc_resource *r, each_watch_fn *fn, void *ctx)
{
	each_live(r, fn, ctx);
	LIST_EACH(&r->past, it)
		fn(LIST_ENTRY(it, struct wc_watch, link), ctx);
}

static void end_one(struct wc_watch *w, void *ctx)
{
	wc_watch_end(w, ctx);
}

void wc_end_all(struct wc_resource *r, const struct err *why)
{
	wc_each_watch(r, end_one, (void *)(uintptr_t)why);
}

static void bookmark_one(struct wc_watch *w, void *ctx)
{
	int64_t rev = *(int64_t *)ctx;

	pthread_mutex_lock(&w->lock);
	/* With something waiting the reader learns a newer revision anyway. */
	if (w->bookmarks && !w->ended && !w->n && !wc_initial_waiting(w) && rev >= w->since) {
		wc_queue_push(w, NULL, WATCH_BOOKMARK, rev);
		wc_watch_wake(w);
	}
	pthread_mutex_unlock(&w->lock);
}

static void bookmarks_of(struct wc_resource *r, void *ctx)
{
	int64_t rev;

	(void)ctx;
	lock_write(&r->lock, &wc_lock);
	rev = wc_resource_rev(r);
	each_live(r, bookmark_one, &rev);
	pthread_rwlock_unlock(&r->lock);
}

void wc_bookmarks(struct watchcache *c)
{
	wc_each_resource(c, bookmarks_of, NULL);
}

static void watch_release(struct wc_watch *w)
{
	wc_past_close(w);
	wc_queue_drop(w);
	wc_initial_release(w);
	wc_owner_put(w->in->cache, w->owner);
	pthread_mutex_destroy(&w->lock);
	if (w->ended)
		err_release(&w->ended->why);
	free(w->ended);
	free((void *)(uintptr_t)w->ns.p);
	free(w->bucket);
	free(w);
}

/* The past, where memory does not have it: floor is what it reaches back to. */
static int watch_begin(struct wc_watch *w, const struct wc_watch_opts *o, bool joined, int64_t floor, struct err *err)
{
	if (set_aside_blocked(w->in->cache->s, w->in->res, w->ns, err) < 0)
		return -1;
	if (joined)
		return 0;
	/* At the floor itself it is asked in which order changes of that revision came, and not for older ones. */
	return o->recent && w->since < floor ? err_too_old(err, w->since, floor) : wc_past_open(w, err);
}

int wc_watch_open(struct watchcache *c, const struct wc_watch_opts *o, struct wc_watch **ret, struct err *err)
{
	struct wc_resource *r = wc_resource_find(c, o->res);
	struct wc_watch *w;
	bool joined, gone;
	int64_t floor;

	if (!wc_alive(c, err))
		return -1;
	if (!r)
		return err_set(err, ERR_NOT_FOUND, "the server could not find the requested resource");
	(void)resource_ref(r->res);
	w = xcalloc(1, sizeof(*w));
	w->in = r;
	w->sel = o->sel;
	w->user = o->user;
	w->wake = o->wake;
	w->ctx = o->ctx;
	w->bookmarks = o->bookmarks;
	w->since = o->initial ? WATCH_FROM_NOW : o->since;
	if (o->initial)
		wc_initial_begin(w, o->initial_bookmark);
	if (o->ns.n && o->res->namespaced)
		w->ns = sv_make(xstrndup(o->ns.p, o->ns.n), o->ns.n);
	w->bucket = bucket_of(o);
	w->owner = wc_owner_get(c, o->share.n ? o->share : o->user);
	w->opened_ns = env_mono_ns(c->s->env);
	pthread_mutex_init(&w->lock, NULL);
	list_init(&w->link);
	list_init(&w->to_wake);
	w->scheduled = true; /* the opener reads first; no wake until it saw "empty" */

	/* Under the write lock nothing is published between the past and the queue. */
	lock_write(&r->lock, &wc_lock);
	alike_join(w, o->words);
	joined = wc_watch_enlist(w);
	if (!joined)
		list_add_tail(&r->past, &w->link);
	r->n_watchers++;
	r->n_pinned += w->bucket != NULL;
	gone = wc_late_gone(r);
	floor = r->ring_floor;
	pthread_rwlock_unlock(&r->lock);
	if (gone)
		(void)err_set(err, ERR_NOT_FOUND, "the server could not find the requested resource");
	/* After it is among the others: what is hidden from now on ends it. */
	if (gone || watch_begin(w, o, joined, floor, err) < 0) {
		(void)wc_watch_close(w);
		return -1;
	}
	*ret = w;
	return 0;
}

/* What is at hand. *ret_fill: nothing, but there are slices to come. */
static int next_queued(struct wc_watch *w, struct wc_event *ret, bool *ret_fill, struct err *err)
{
	enum wc_slow slow = WC_SLOW_NOT;
	int got = 1;

	pthread_mutex_lock(&w->lock);
	*ret = (struct wc_event){ 0 };
	*ret_fill = false;
	w->read = true;
	if (wc_initial_next(w, ret)) {
		/* what there was before */
	} else if (w->n) {
		struct wc_item it = wc_queue_pop(w);

		if (w->initial)
			w->initial->behind -= w->initial->behind > 0;
		ret->type = (enum watch_type)it.type;
		ret->rev = it.rev;
		if (it.ev)
			ret->o = obj_ref(it.type == WATCH_DELETED && !it.ev->deleted ? it.ev->gone : it.ev->o);
		wc_change_unref(it.ev);
	} else if (w->ended) {
		got = -1;
		err_copy(err, &w->ended->why);
		slow = w->ended->slow;
		w->ended->slow = WC_SLOW_NOT;
	} else {
		w->scheduled = *ret_fill = w->filling; /* until all slices are told it comes back by itself */
		got = 0;
	}
	pthread_mutex_unlock(&w->lock);
	if (slow != WC_SLOW_NOT)
		wc_slow_report(w, slow);
	return got;
}

int wc_watch_next(struct wc_watch *w, struct wc_event *ret, struct err *err)
{
	bool fill;
	int got;

	do {
		got = next_queued(w, ret, &fill, err);
	} while (got == 0 && (fill ? wc_initial_step(w) : w->past && wc_past_step(w)));
	return got;
}

bool wc_watch_over(struct wc_watch *w)
{
	bool over;

	pthread_mutex_lock(&w->lock);
	over = w->ended && !w->n && !(w->initial && w->initial->at < w->initial->slice.n);
	pthread_mutex_unlock(&w->lock);
	return over;
}

struct wc_watch *wc_watch_close(struct wc_watch *w)
{
	const struct resource *res;
	struct wc_resource *r;

	if (!w)
		return NULL;
	r = w->in;
	res = r->res;
	lock_write(&r->lock, &wc_lock);
	list_del(&w->link);
	list_del(&w->to_wake);
	alike_leave(w);
	r->n_watchers--;
	r->n_pinned -= w->bucket != NULL;
	if (w->bucket) {
		struct list *l = strmap_get(&r->buckets, sv_from(w->bucket));

		if (l && list_empty(l)) {
			strmap_del(&r->buckets, sv_from(w->bucket));
			free(l);
		}
	}
	pthread_rwlock_unlock(&r->lock);
	watch_release(w);
	resource_unref(res);
	return NULL;
}
