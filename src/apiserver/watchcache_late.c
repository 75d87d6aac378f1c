/* Kinds that came at run time, as the watch cache has them.
 *
 * The tree of one is filled while the store goes on: changes that come meanwhile wait, and those that the fill has not
 * seen are put in behind it. From then on it follows like any other. One that is dropped stays, empty, until the last
 * holder of its kind is gone: requests under way, and the store's thread, may still have it in hand. Where another kind
 * took its place, those are told what the store has (watchcache_stored.c): a kind that changes has no moment without
 * objects. What the new one writes in a version that the old one does not know is the old one's object all the same
 * where versions differ in their names; where they have to be converted the old one ends then and there. Neither is
 * damage, and no watch is told of a deletion that was none. */
#include "apiserver/late_kind.h"
#include "apiserver/watchcache-internal.h"

#include <stdlib.h>

/* What came while the tree was filled, in the order of the store. The lock is held for writing. */
static void early_publish(struct wc_resource *r)
{
	for (size_t i = 0; i < r->late->early.n; i++) {
		struct wc_early *e = &r->late->early.p[i];
		struct wc_change *ch;

		if (e->rev > r->late->filled_rev) {
			wc_publish(r, sv_from(e->ns), sv_from(e->name), TAKE(e->o), e->rev, &ch);
			wc_change_unref(ch);
		}
		obj_unref(e->o);
		free(e->ns);
		free(e->name);
	}
	vec_release(&r->late->early);
}

/* replaces: what has the path now and is to go; both follow the store until then. */
static int late_enter(struct watchcache *c, struct wc_resource *r, struct wc_resource *replaces, struct err *err)
{
	struct sv path = sv_from(r->res->store_path);
	void **slot;
	int rc = 0;

	pthread_mutex_lock(&c->late_lock);
	slot = strmap_slot(&c->late_by_path, path);
	if (*slot && *slot == replaces && !replaces->late->twin)
		replaces->late->twin = r;
	else if (*slot || strmap_has(&c->by_path, path))
		rc =
		    err_set(err, ERR_ALREADY_EXISTS, "objects of another kind have the keys of %s", r->res->store_path);
	else
		*slot = r;
	pthread_mutex_unlock(&c->late_lock);
	return rc;
}

/* True: another one has the path now. */
static bool late_leave(struct watchcache *c, struct wc_resource *r)
{
	struct sv path = sv_from(r->res->store_path);
	struct wc_resource *at;
	bool replaced;

	pthread_mutex_lock(&c->late_lock);
	at = strmap_get(&c->late_by_path, path);
	replaced = at && (at != r || r->late->twin);
	if (at == r && r->late->twin)
		strmap_set(&c->late_by_path, path, TAKE(r->late->twin));
	else if (at == r)
		(void)strmap_del(&c->late_by_path, path);
	else if (at && at->late->twin == r)
		at->late->twin = NULL;
	pthread_mutex_unlock(&c->late_lock);
	return replaced;
}

int wc_late_add(struct watchcache *c, const struct resource *res, const struct resource *replaces,
		void (*own)(void *ctx), void *ctx, struct err *err)
{
	struct wc_resource *r = wc_resource_new(c, res);
	int64_t at = 0;

	r->late = xcalloc(1, sizeof(*r->late));
	r->late->filling = true;
	late_kind_of(res)->wc = r;
	if (late_enter(c, r, replaces ? late_kind_of(replaces)->wc : NULL, err) < 0)
		return -1;
	if (own)
		own(ctx);
	if (wc_fill(r, 0, &at, err) < 0) {
		wc_late_drop(c, res);
		return -1;
	}
	pthread_rwlock_wrlock(&r->lock);
	r->late->filling = false;
	r->ring_floor = r->last_rev = r->late->filled_rev = at;
	early_publish(r);
	pthread_rwlock_unlock(&r->lock);
	return 0;
}

void wc_late_drop(struct watchcache *c, const struct resource *res)
{
	struct wc_resource *r = late_kind_of(res)->wc;
	bool replaced = late_leave(c, r);

	pthread_rwlock_wrlock(&r->lock);
	r->late->filled_rev = INT64_MAX;
	r->late->filling = false;
	early_publish(r);
	wc_late_close(r, replaced);
	pthread_rwlock_unlock(&r->lock);
}

void wc_late_free(struct wc_resource *r)
{
	if (r)
		free(r->late);
	wc_resource_free(r);
}
