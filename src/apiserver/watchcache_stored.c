/* Objects as the store has them; and what a kind that has been replaced is read from, which is the store.
 *
 * A definition changes, and its kind is made anew and takes the place of the old one. Requests that began before have
 * the old one in hand, with its versions and its schema, and go on with it: their objects are where they were, in the
 * store, which has no older and no newer idea of them than the new kind has. Nothing is kept in memory for them, as
 * hardly anybody comes, and nobody for long. */
#include "apiserver/storekey.h"
#include "apiserver/watchcache-internal.h"
#include "base/quarantine.h"

void wc_key_split(const struct wc_resource *r, struct sv key, struct sv *ns, struct sv *name)
{
	storekey_split(r->res, sv_sub(key, r->prefix_n, key.n), ns, name);
}

struct obj *wc_parse(const struct wc_resource *r, const struct store_kv *kv)
{
	struct obj *o = stored_parse(r->res, kv->value, kv->mod_rev);
	struct wc_resource *next = o ? NULL : wc_late_next(r);
	struct sv ns, name;

	if (next) {
		o = stored_parse_of(r->res, next->res, kv->value, kv->mod_rev);
		resource_unref(next->res);
	}
	wc_key_split(r, kv->key, &ns, &name);
	if (o && sv_eq(obj_name(o), name) && (!r->res->namespaced || sv_eq(obj_ns(o), ns)))
		return o;
	obj_unref(o);
	return NULL;
}

bool wc_late_follows(const struct wc_resource *r, const struct store_kv *kv)
{
	struct wc_resource *next = wc_late_next(r);
	struct obj *o = next ? stored_parse(next->res, kv->value, kv->mod_rev) : NULL;
	bool follows = o != NULL;

	obj_unref(o);
	if (next)
		resource_unref(next->res);
	return follows;
}

static int stored_each(const struct store_kv *kv, void *ctx)
{
	struct wc_stored *t = ctx;
	struct obj *o = quarantine_has(kv->key) ? NULL : wc_parse(t->of, kv);

	if (o)
		obj_unref(objtree_put(&t->tree, o));
	else if (wc_late_follows(t->of, kv))
		t->unseen = true;
	return 0;
}

int wc_stored_read(struct wc_stored *t, struct wc_resource *r, struct sv ns, struct sv name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv from, to = SV("");

	*t = (struct wc_stored){ .of = r };
	if (name.n) {
		from = storekey(&a, r->res, ns, name);
	} else {
		from = storekey_first(&a, r->res, ns);
		to = storekey_behind(&a, from);
	}
	if (store_range(r->cache->s->store, from, to, 0, 0, stored_each, t, &t->rev, err) < 0) {
		wc_stored_release(t);
		return err_wrap(err, "reading %s from the store", r->res->plural);
	}
	if (!t->unseen)
		return 0;
	wc_stored_release(t);
	return err_set(err, ERR_EXPIRED, "%s of group %s have changed", r->res->plural, r->res->group);
}

void wc_stored_release(struct wc_stored *t)
{
	objtree_release(&t->tree);
}

bool wc_unseen(struct watchcache *c, const struct resource *res, struct sv ns, struct sv name)
{
	struct wc_resource *r = resource_late(res) ? wc_resource_find(c, res) : NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct wc_stored t;
	bool replaced;

	if (!r || !name.n)
		return false;
	pthread_rwlock_rdlock(&r->lock);
	replaced = wc_late_replaced(r);
	pthread_rwlock_unlock(&r->lock);
	if (!replaced)
		return false;
	if (wc_stored_read(&t, r, ns, name, &why) < 0)
		return why.reason == ERR_EXPIRED;
	wc_stored_release(&t);
	return false;
}

int wc_changed_error(const struct resource *r, struct err *err)
{
	char q[256];

	err_set(err, ERR_UNAVAILABLE, "the definition of %s has changed meanwhile: please try again",
		resource_qualified(r, q, sizeof(q)));
	err->retry_after_s = 1;
	return -1;
}
