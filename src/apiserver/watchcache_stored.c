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
	struct sv ns, name;

	wc_key_split(r, kv->key, &ns, &name);
	if (o && sv_eq(obj_name(o), name) && (!r->res->namespaced || sv_eq(obj_ns(o), ns)))
		return o;
	obj_unref(o);
	return NULL;
}

bool wc_late_replaced(const struct wc_resource *r)
{
	return r->late && r->late->gone && r->late->replaced;
}

static int stored_each(const struct store_kv *kv, void *ctx)
{
	struct wc_stored *t = ctx;
	struct obj *o = quarantine_has(kv->key) ? NULL : wc_parse(t->of, kv);

	if (o)
		obj_unref(objtree_put(&t->tree, o));
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
	if (store_range(r->cache->s->store, from, to, 0, 0, stored_each, t, &t->rev, err) == 0)
		return 0;
	wc_stored_release(t);
	return err_wrap(err, "reading %s from the store", r->res->plural);
}

void wc_stored_release(struct wc_stored *t)
{
	objtree_release(&t->tree);
}
