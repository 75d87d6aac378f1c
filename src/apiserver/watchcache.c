/* What the cache holds: made, read, given back. */
#include "apiserver/watchcache-internal.h"
#include "apiserver/metrics.h"
#include "apiserver/set_aside.h"
#include "apiserver/storekey.h"
#include "base/board.h"

#include <stdlib.h>

struct lock_site wc_lock = { .name = "kind in memory" };

struct wc_resource *wc_resource_new(struct watchcache *c, const struct resource *res)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct wc_resource *r = xcalloc(1, sizeof(*r));
	struct sv prefix;

	r->cache = c;
	r->res = res;
	prefix = storekey_first(&a, res, SV(""));
	r->prefix = xstrndup(prefix.p, prefix.n);
	r->prefix_n = prefix.n;
	list_init(&r->watchers);
	list_init(&r->past);
	list_init(&r->to_wake);
	pthread_rwlock_init(&r->lock, NULL);
	return r;
}

void wc_resource_free(struct wc_resource *r)
{
	if (!r)
		return;
	BUG_ON(r->n_watchers);
	wc_ring_release(r);
	objtree_release(&r->tree);
	strmap_release(&r->buckets);
	strmap_release(&r->alike);
	pthread_rwlock_destroy(&r->lock);
	free(r->prefix);
	free(r);
}

struct watchcache *watchcache_new(struct apiserver *s)
{
	struct watchcache *c = xcalloc(1, sizeof(*c));

	c->s = s;
	pthread_mutex_init(&c->owners_lock, NULL);
	pthread_mutex_init(&c->late_lock, NULL);
	pthread_mutex_init(&c->feeding, NULL);
	pthread_mutex_init(&c->again_lock, NULL);
	pthread_cond_init(&c->again_cond, NULL);
	c->by_id = xcalloc(resource_count, sizeof(*c->by_id));
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *res = &resource_all[i];

		if (!resource_kept(res))
			continue;
		c->by_id[i] = wc_resource_new(c, res);
		*strmap_slot(&c->by_path, sv_from(res->store_path)) = c->by_id[i];
	}
	for (size_t i = 0; i < resource_count; i++)
		if (resource_storage(&resource_all[i]) != &resource_all[i])
			c->by_id[i] = c->by_id[resource_storage(&resource_all[i])->id];
	return c;
}

struct watchcache *watchcache_free(struct watchcache *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < resource_count; i++)
		if (resource_storage(&resource_all[i]) == &resource_all[i])
			wc_resource_free(c->by_id[i]);
	while (c->changed.n)
		resource_unref(vec_pop(&c->changed)->res);
	vec_release(&c->changed);
	BUG_ON(c->owners.n);
	strmap_release(&c->owners);
	pthread_mutex_destroy(&c->owners_lock);
	err_release(&c->why);
	strmap_release(&c->by_path);
	strmap_release(&c->late_by_path);
	pthread_mutex_destroy(&c->late_lock);
	pthread_mutex_destroy(&c->feeding);
	pthread_mutex_destroy(&c->again_lock);
	pthread_cond_destroy(&c->again_cond);
	free(c->by_id);
	free(c);
	return NULL;
}

void wc_work(struct watchcache *c, const struct resource *res, const struct obj *o)
{
	const struct wc_resource *r = wc_resource_find(c, res);
	struct sv ns = obj_ns(o);

	if (r && res->namespaced)
		work_key_of(sv_make(r->prefix, r->prefix_n), ns, SV("/"), obj_name(o));
	else if (r)
		work_key_of(sv_make(r->prefix, r->prefix_n), obj_name(o), SV(""), SV(""));
}

struct obj *wc_get(struct watchcache *c, const struct resource *res, struct sv ns, struct sv name)
{
	struct wc_resource *r = wc_resource_find(c, res);
	struct wc_stored stored;
	struct obj *o;
	bool replaced;

	if (!r)
		return NULL;
	ns = res->namespaced ? ns : SV("");
	if (set_aside_hides(c->s, r->res, ns, name))
		return NULL;
	lock_read(&r->lock, &wc_lock);
	o = obj_ref(objtree_get(&r->tree, ns, name));
	replaced = !o && wc_late_replaced(r);
	pthread_rwlock_unlock(&r->lock);
	if (!replaced || !name.n || wc_stored_read(&stored, r, ns, name, NULL) < 0)
		return o;
	o = obj_ref(objtree_get(&stored.tree, ns, name));
	wc_stored_release(&stored);
	return o;
}

bool wc_alive(struct watchcache *c, struct err *why)
{
	if (!atomic_load(&c->broken))
		return true;
	err_set(why, ERR_UNAVAILABLE, "the cache hears of no more changes: %s", err_msg(&c->why));
	return false;
}

int64_t wc_rev(struct watchcache *c)
{
	return atomic_load_explicit(&c->rev, memory_order_acquire);
}

size_t wc_count(struct watchcache *c, const struct resource *res)
{
	struct wc_resource *r = wc_resource_find(c, res);
	size_t n;

	if (!r)
		return 0;
	lock_read(&r->lock, &wc_lock);
	n = r->tree.count + (r->late ? r->late->was_count : 0);
	pthread_rwlock_unlock(&r->lock);
	return n;
}

size_t wc_watcher_count(struct watchcache *c, const struct resource *res)
{
	struct wc_resource *r = wc_resource_find(c, res);
	size_t n;

	if (!r)
		return 0;
	lock_read(&r->lock, &wc_lock);
	n = r->n_watchers - r->n_pinned;
	pthread_rwlock_unlock(&r->lock);
	return n;
}

size_t wc_bytes(struct watchcache *c, const struct resource *res)
{
	struct wc_resource *r = wc_resource_find(c, res);
	size_t n;

	if (!r)
		return 0;
	lock_read(&r->lock, &wc_lock);
	n = r->tree.bytes + (r->late ? r->late->was_bytes : 0);
	pthread_rwlock_unlock(&r->lock);
	return n;
}

int64_t wc_resource_rev(struct wc_resource *r)
{
	return MAX(wc_rev(r->cache), r->last_rev);
}

#define SELECT_PIECE ((size_t)2000) /* objects looked at in one go: about a millisecond */

/* What is asked for, before anything is selected; t's lock is held. */
static void pick_all(const struct objtree *t, bool namespaced, struct sv ns, bool selects, struct sv start,
		     size_t limit, struct arena *a, struct wc_pick *ret)
{
	struct sv start_ns = ns, start_name = start;
	size_t behind;

	if (!namespaced) {
		start_ns = SV("");
	} else if (start.n) {
		ssize_t slash = sv_find(start, '/');

		start_ns = slash < 0 ? start : sv_sub(start, 0, (size_t)slash);
		start_name = slash < 0 ? SV_NULL : sv_sub(start, (size_t)slash + 1, start.n);
	}
	behind = objpick_take(&ret->objs, t, ns, start_ns, start_name, selects ? 0 : limit, a);
	if (behind) {
		ret->more = true;
		ret->remaining = (int64_t)behind;
	}
}

/* One object by name: kubectl wait, get -w, leader election. t's lock is held. */
static void pick_named(const struct objtree *t, struct sv ns, struct sv name, struct arena *a, struct wc_pick *ret)
{
	struct obj *o = objtree_get(t, ns, name);

	if (o)
		objpick_of(&ret->objs, &(struct obj *){ obj_ref(o) }, 1, a);
}

/* The same where a replaced kind's objects are. */
static bool pick_stored(struct wc_resource *r, struct sv ns, struct sv named, bool selects, struct sv start,
			size_t limit, struct arena *a, struct wc_pick *ret)
{
	struct wc_stored t;

	if (wc_stored_read(&t, r, ns, named, NULL) < 0)
		return false;
	ret->rev = t.rev;
	pick_all(&t.tree, r->res->namespaced, ns, selects, start, limit, a, ret);
	wc_stored_release(&t); /* what is picked holds its blocks */
	return true;
}

bool wc_pick(struct watchcache *c, const struct resource *res, struct sv ns, const struct selection *sel,
	     struct sv start, size_t limit, int64_t exact, struct arena *a, struct wc_pick *ret)
{
	struct wc_resource *r = wc_resource_find(c, res);
	struct sv named = SV_NULL;
	bool ok, replaced;

	*ret = (struct wc_pick){ .rev = wc_rev(c), .remaining = -1, .sel = sel, .limit = limit };
	if (!r)
		return true;
	if (!res->namespaced)
		ns = SV("");
	if (sel && sel->pinned_name.p && (ns.n || !res->namespaced) && !start.n && !exact)
		named = sel->pinned_name;
	lock_read(&r->lock, &wc_lock);
	replaced = wc_late_replaced(r);
	ok = !replaced && (!exact || (r->last_rev <= exact && exact <= wc_rev(c)));
	if (ok) {
		ret->rev = exact ? exact : wc_resource_rev(r);
		if (named.p)
			pick_named(&r->tree, ns, named, a, ret);
		else
			pick_all(&r->tree, res->namespaced, ns, sel, start, limit, a, ret);
	}
	pthread_rwlock_unlock(&r->lock);
	if (replaced && !exact)
		return pick_stored(r, ns, named, sel, start, limit, a, ret);
	return ok;
}

bool wc_pick_select(struct wc_pick *p)
{
	struct obj *o;

	if (!p->sel)
		return false;
	for (size_t looked = 0; looked < SELECT_PIECE; looked++) {
		struct objpick_at here = p->at;

		o = objpick_next(&p->objs, &p->at);
		if (!o)
			return false;
		if (!selection_matches(p->sel, o)) {
			objpick_drop(&p->objs, &p->at);
		} else if (p->limit && p->selected == p->limit) {
			p->more = true;
			objpick_cut(&p->objs, &here);
			return false;
		} else {
			p->selected++;
		}
	}
	return true;
}

void wc_pick_release(struct wc_pick *p)
{
	objpick_release(&p->objs);
}

bool wc_list(struct watchcache *c, const struct resource *res, struct sv ns, const struct selection *sel,
	     struct sv start, size_t limit, int64_t exact, struct arena *a, struct wc_list *ret)
{
	struct objpick_at at = { 0 };
	struct wc_pick p;
	struct obj *o;

	if (!wc_pick(c, res, ns, sel, start, limit, exact, a, &p)) {
		*ret = (struct wc_list){ .rev = p.rev, .remaining = -1 };
		return false;
	}
	while (wc_pick_select(&p))
		;
	*ret = (struct wc_list){ .rev = p.rev, .more = p.more, .remaining = p.remaining };
	ret->objs = arena_alloc(a, MAX(p.objs.n, (size_t)1) * sizeof(*ret->objs));
	while ((o = objpick_next(&p.objs, &at)))
		ret->objs[ret->n++] = obj_ref(o);
	wc_pick_release(&p);
	return true;
}

void wc_list_unref(struct wc_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		obj_unref(l->objs[i]);
	l->n = 0;
}

void wc_each(struct watchcache *c, const struct resource *res, struct sv ns, int (*fn)(struct obj *o, void *ctx),
	     void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct wc_list l;

	/* References first: fn may look things up in the cache itself. */
	(void)wc_list(c, res, ns, NULL, SV_NULL, 0, 0, &a, &l);
	for (size_t i = 0; i < l.n; i++)
		if (fn(l.objs[i], ctx))
			break;
	wc_list_unref(&l);
}

static void count_one(struct wc_resource *r, void *ctx)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;
	char q[256];

	metric_label(&labels, "resource", sv_from(resource_qualified(r->res, q, sizeof(q))));
	metric_sample(ctx, API_METRIC(STORAGE_OBJECTS), buf_cstr(&labels), (double)wc_count(r->cache, r->res));
}

static void count_changes(struct wc_resource *r, void *ctx)
{
	_cleanup_(buf_release) struct buf labels = BUF_INIT;
	uint64_t n = atomic_load_explicit(&r->n_changes, memory_order_relaxed);

	if (!n)
		return;
	metric_label(&labels, "group", sv_from(r->res->group));
	metric_label(&labels, "resource", sv_from(r->res->plural));
	metric_sample(ctx, API_METRIC(STORAGE_EVENTS), buf_cstr(&labels), (double)n);
}

void wc_metrics(struct watchcache *c, struct buf *b)
{
	metric_head(b, API_METRIC(STORAGE_OBJECTS));
	wc_each_resource(c, count_one, b);
	metric_head(b, API_METRIC(STORAGE_EVENTS));
	wc_each_resource(c, count_changes, b);
}
