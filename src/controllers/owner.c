/* See owner.h. Adopting and letting go are patches that name the child's uid, so that a namesake
 * made meanwhile is never touched. */
#include "controllers/owner.h"

void index_controller(const struct obj *o, struct index_keys *ret)
{
	const struct val *ref = obj_controller_ref(o);

	index_keys_add(ret, ref ? val_str(val_member(ref, F_uid)) : obj_ns(o));
}

struct val *owner_ref(struct arena *a, const struct resource *r, const struct val *owner, bool controller, bool block)
{
	struct val *ref = val_new_map(a);
	char version[128];

	val_set_cstr(a, ref, F_apiVersion, resource_api_version(r, version, sizeof(version)));
	val_set_cstr(a, ref, F_kind, r->kind);
	val_set_str(a, ref, F_name, val_get_str(owner, F_metadata, F_name));
	val_set_str(a, ref, F_uid, val_get_str(owner, F_metadata, F_uid));
	if (controller)
		val_set_bool(a, ref, F_controller, true);
	if (block)
		val_set_bool(a, ref, F_blockOwnerDeletion, true);
	return ref;
}

struct obj *owner_resolve(struct informer *owners, const struct resource *r, struct sv ns, const struct val *ref)
{
	_cleanup_obj_ struct obj *o = NULL;

	if (!val_is(val_member(ref, F_kind), r->kind))
		return NULL;
	o = informer_lookup(owners, ns, val_str(val_member(ref, F_name)));
	if (!o || !sv_eq(obj_uid(o), val_str(val_member(ref, F_uid))))
		return NULL;
	return TAKE(o);
}

const struct selector *owner_selector(struct arena *a, const struct resource *r, const struct obj *owner,
				      struct err *err)
{
	const struct val *s = obj_get(owner, F_spec, F_selector);

	return r == RES(core_replicationcontrollers) ? selector_from_map(a, s)
						     : selector_from_label_selector(a, s, err);
}

static int can_adopt(struct arena *a, const struct claim *c, struct err *err)
{
	struct obj *live;

	if (client_get(c->client, c->owner_res, obj_ns(c->owner), obj_name(c->owner), &live, err) < 0)
		return err_wrap(err, "checking whether '%.*s' may adopt", SV_ARG(obj_name(c->owner)));
	obj_link(a, live);
	if (!sv_eq(obj_uid(live), obj_uid(c->owner)))
		return err_set(err, ERR_CONFLICT, "'%.*s' was replaced by a namesake", SV_ARG(obj_name(c->owner)));
	if (obj_deleting(live))
		return err_set(err, ERR_CONFLICT, "'%.*s' has just been deleted", SV_ARG(obj_name(c->owner)));
	return 0;
}

static struct val *owner_finalizers(struct arena *a, const struct claim *c, const struct obj *child, bool with)
{
	struct val *list = val_new_list(a);

	VAL_EACH(obj_get(child, F_metadata, F_finalizers), f)
		if (!val_is(f, c->finalizer))
			val_push(a, list, f);
	if (with)
		val_push(a, list, val_new_str(a, sv_from(c->finalizer)));
	return list;
}

/* Patches the child's ownerReferences; conflicts and vanished children are no failure. */
static int patch_refs(struct arena *a, const struct claim *c, struct obj *child, struct val *refs, bool adopt,
		      struct obj **ret, struct err *err)
{
	struct val *patch = val_new_map(a), *meta = val_new_map(a);
	_cleanup_(err_release) struct err why = ERR_INIT;

	val_set_str(a, meta, F_uid, obj_uid(child));
	val_set_str(a, meta, F_resourceVersion, val_str(obj_get(child, F_metadata, F_resourceVersion)));
	val_set(a, meta, F_ownerReferences, refs);
	if (c->finalizer)
		val_set(a, meta, F_finalizers, owner_finalizers(a, c, child, adopt));
	val_set(a, patch, F_metadata, meta);
	*ret = NULL;
	if (client_patch(c->client, c->child_res, obj_ns(child), obj_name(child), PATCH_MERGE, patch, NULL, ret, &why) <
	    0) {
		if (why.reason == ERR_NOT_FOUND || why.reason == ERR_INVALID)
			return 0; /* gone, or another object by now */
		return err_move(err, &why);
	}
	return 0;
}

static struct val *refs_with(struct arena *a, struct obj *child, const struct claim *c)
{
	struct val *refs = val_new_list(a);

	VAL_EACH(obj_get(child, F_metadata, F_ownerReferences), r)
		val_push(a, refs, r);
	val_push(a, refs, owner_ref(a, c->owner_res, obj_root(c->owner), true, true));
	return refs;
}

static struct val *refs_without(struct arena *a, struct obj *child, struct sv uid)
{
	struct val *refs = val_new_list(a);

	VAL_EACH(obj_get(child, F_metadata, F_ownerReferences), r)
		if (!sv_eq(val_str(val_member(r, F_uid)), uid))
			val_push(a, refs, r);
	return refs;
}

int claim_children(struct arena *a, const struct claim *c, struct objs *ret, struct err *err)
{
	size_t n_own, n_orphans;
	struct obj **own = informer_by_index(c->children, a, INDEX_CONTROLLER, obj_uid(c->owner), &n_own);
	struct obj **orphans = informer_by_index(c->children, a, INDEX_CONTROLLER, obj_ns(c->owner), &n_orphans);
	bool checked = false;

	*ret = (struct objs){ ARENA_ARRAY(a, struct obj *, n_own + n_orphans), 0 };
	for (size_t i = 0; i < n_own; i++) {
		struct obj *after;

		if (!sv_eq(obj_ns(own[i]), obj_ns(c->owner)) || (c->skip && c->skip(own[i])))
			continue;
		if (selector_matches(c->selector, obj_labels(own[i]))) {
			ret->p[ret->n++] = own[i];
			continue;
		}
		if (obj_deleting(c->owner) || obj_deleting(own[i]))
			continue;
		if (patch_refs(a, c, own[i], refs_without(a, own[i], obj_uid(c->owner)), false, &after, err) < 0)
			return err_wrap(err, "releasing '%.*s'", SV_ARG(obj_name(own[i])));
		obj_unref(after);
	}
	for (size_t i = 0; i < n_orphans; i++) {
		struct obj *after;

		if (obj_controller_ref(orphans[i]) || (c->skip && c->skip(orphans[i])))
			continue;
		if (obj_deleting(c->owner) || obj_deleting(orphans[i]) ||
		    !selector_matches(c->selector, obj_labels(orphans[i])))
			continue;
		if (!checked && can_adopt(a, c, err) < 0)
			return -1;
		checked = true;
		if (patch_refs(a, c, orphans[i], refs_with(a, orphans[i], c), true, &after, err) < 0)
			return err_wrap(err, "adopting '%.*s'", SV_ARG(obj_name(orphans[i])));
		if (after)
			ret->p[ret->n++] = obj_link(a, after);
	}
	return 0;
}
