/* Which resources the watch cache has: built-in ones by id, those that came at run time by their kind or path. */
#include "apiserver/late_kind.h"
#include "apiserver/watchcache-internal.h"

struct wc_resource *wc_late_find(const struct resource *res)
{
	const struct late_kind *late = late_kind_of(res);

	return late ? late->wc : NULL;
}

void wc_each_resource(struct watchcache *c, void (*fn)(struct wc_resource *r, void *ctx), void *ctx)
{
	const struct api_set *api = api_current_get(c->s->api);

	API_EACH(api, res) {
		struct wc_resource *r = resource_first(res) ? wc_resource_find(c, res) : NULL;

		if (r)
			fn(r, ctx);
	}
	api_set_unref(api);
}

bool wc_late_gone(const struct wc_resource *r)
{
	return r->late && r->late->gone;
}

bool wc_late_replaced(const struct wc_resource *r)
{
	return r->late && r->late->gone && r->late->replaced;
}

bool wc_serves(struct watchcache *c, const struct resource *res)
{
	struct wc_resource *r = wc_resource_find(c, res);
	bool gone;

	if (!resource_late(res) || !r)
		return r;
	pthread_rwlock_rdlock(&r->lock);
	gone = wc_late_gone(r) && !wc_late_replaced(r);
	pthread_rwlock_unlock(&r->lock);
	return !gone;
}

bool wc_late_keeps(struct wc_resource *r, struct sv ns, struct sv name, struct obj *o, int64_t rev)
{
	struct wc_late *l = r->late;

	if (l->filling) {
		struct wc_early e = { xstrndup(ns.p, ns.n), xstrndup(name.p, name.n), obj_ref(o), rev };

		vec_push(&l->early, e);
	}
	return l->filling || l->gone || rev <= l->filled_rev;
}

struct wc_resource *wc_late_at(struct watchcache *c, struct sv path)
{
	struct wc_resource *r;

	pthread_mutex_lock(&c->late_lock);
	r = strmap_get(&c->late_by_path, path);
	if (r)
		(void)resource_ref(r->res);
	pthread_mutex_unlock(&c->late_lock);
	return r;
}

struct wc_resource *wc_late_next(const struct wc_resource *r)
{
	struct watchcache *c = r->cache;
	struct wc_resource *at;

	if (!r->late)
		return NULL;
	pthread_mutex_lock(&c->late_lock);
	at = strmap_get(&c->late_by_path, sv_from(r->res->store_path));
	while (at && at->late->twin)
		at = at->late->twin;
	at = at == r ? NULL : at;
	if (at)
		(void)resource_ref(at->res);
	pthread_mutex_unlock(&c->late_lock);
	return at;
}

size_t wc_late_twins(struct watchcache *c, const struct wc_resource *r, struct wc_resource *ret[WC_TWINS_MAX])
{
	size_t n = 0;

	pthread_mutex_lock(&c->late_lock);
	for (struct wc_resource *at = strmap_get(&c->late_by_path, sv_from(r->res->store_path)); at && n < WC_TWINS_MAX;
	     at = at->late->twin) {
		if (at == r)
			continue;
		(void)resource_ref(at->res);
		ret[n++] = at;
	}
	pthread_mutex_unlock(&c->late_lock);
	return n;
}
