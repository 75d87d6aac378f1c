/* See statefulset_claims.h. */
#include "controllers/statefulset_claims.h"
#include "controllers/owner.h"
#include "controllers/template.h"

static const struct val *templates(const struct set_claims *c)
{
	return obj_get(c->set, F_spec, F_volumeClaimTemplates);
}

static struct sv claim_name(const struct set_claims *c, const struct val *tmpl, struct sv pod)
{
	return arena_svf(c->a, "%.*s-%.*s", SV_ARG(val_get_str(tmpl, F_metadata, F_name)), SV_ARG(pod));
}

static bool deletes(const struct set_claims *c, enum sym when)
{
	return val_is(obj_get(c->set, F_spec, F_persistentVolumeClaimRetentionPolicy, when), "Delete");
}

struct val *claims_volumes(const struct set_claims *c, const struct val *was, struct sv pod)
{
	struct val *list = val_new_list(c->a);

	VAL_EACH(templates(c), t) {
		struct val *v = val_new_map(c->a), *src = val_new_map(c->a);

		val_set_str(c->a, src, F_claimName, claim_name(c, t, pod));
		val_set_str(c->a, v, F_name, val_get_str(t, F_metadata, F_name));
		val_set(c->a, v, F_persistentVolumeClaim, src);
		val_push(c->a, list, v);
	}
	VAL_EACH(was, v) {
		bool taken = false;

		VAL_EACH(templates(c), t)
			taken |= sv_eq(val_get_str(t, F_metadata, F_name), val_get_str(v, F_name));
		if (!taken)
			val_push(c->a, list, v);
	}
	return list;
}

static bool is_pod_ref(const struct val *ref)
{
	return val_is(val_member(ref, F_kind), "Pod") && val_is(val_member(ref, F_apiVersion), "v1");
}

/* It goes with an earlier pod of this name. */
static bool going(const struct obj *claim, struct sv pod)
{
	if (obj_deleting(claim))
		return true;
	VAL_EACH(obj_get(claim, F_metadata, F_ownerReferences), ref)
		if (is_pod_ref(ref) && sv_eq(val_get_str(ref, F_name), pod))
			return true;
	return false;
}

static struct val *new_claim(const struct set_claims *c, const struct val *tmpl, struct sv name)
{
	struct val *doc = val_clone(c->a, tmpl), *meta = val_ensure_map(c->a, doc, F_metadata), *labels;

	val_set_str(c->a, meta, F_name, name);
	val_set_str(c->a, meta, F_namespace, obj_ns(c->set));
	labels = val_ensure_map(c->a, meta, F_labels);
	VAL_EACH_MEMBER(obj_get(c->set, F_spec, F_selector, F_matchLabels), m)
		val_set_str_sv(c->a, labels, m.key, val_str(m.value));
	if (deletes(c, F_whenDeleted))
		val_push(c->a, val_ensure_list(c->a, meta, F_ownerReferences),
			 owner_ref(c->a, RES(apps_statefulsets), obj_root(c->set), true, true));
	val_set_cstr(c->a, doc, F_apiVersion, "v1");
	val_set_cstr(c->a, doc, F_kind, "PersistentVolumeClaim");
	val_del(doc, F_status);
	return doc;
}

static void claim_event(const struct set_claims *c, struct sv claim, struct sv pod, const struct err *why)
{
	recorder_event(c->recorder, RES(apps_statefulsets), obj_root(c->set), why ? "Warning" : "Normal",
		       why ? "FailedCreate" : "SuccessfulCreate",
		       "create Claim %.*s %sPod %.*s in StatefulSet %.*s %s%s", SV_ARG(claim), why ? "for " : "",
		       SV_ARG(pod), SV_ARG(obj_name(c->set)), why ? "failed error: " : "success",
		       why ? err_msg(why) : "");
}

int claims_make(const struct set_claims *c, struct sv pod, struct err *err)
{
	VAL_EACH(templates(c), t) {
		struct sv name = claim_name(c, t, pod);
		_cleanup_obj_ struct obj *there = informer_lookup(c->claims, obj_ns(c->set), name);
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (there && going(there, pod))
			return 1;
		if (there)
			continue;
		if (client_create(c->client, RES(core_persistentvolumeclaims), obj_ns(c->set), new_claim(c, t, name),
				  NULL, NULL, &why) == 0) {
			claim_event(c, name, pod, NULL);
		} else if (err_namespace_terminating(&why)) {
			return err_move(err, &why);
		} else if (why.reason != ERR_ALREADY_EXISTS) {
			claim_event(c, name, pod, &why);
			(void)err_move(err, &why);
			return err_wrap(err, "failed to create PVC %.*s", SV_ARG(name));
		}
	}
	return 0;
}

int claims_keep(const struct set_claims *c, const struct obj *pod, bool condemned, struct err *err)
{
	bool with_pod = condemned && deletes(c, F_whenScaled), with_set = !with_pod && deletes(c, F_whenDeleted);

	VAL_EACH(templates(c), t) {
		struct sv name = claim_name(c, t, obj_name(pod));
		_cleanup_obj_ struct obj *claim = informer_lookup(c->claims, obj_ns(c->set), name);
		_cleanup_(err_release) struct err why = ERR_INIT;
		struct val *refs = val_new_list(c->a), *doc;

		if (!claim || obj_deleting(claim))
			continue;
		VAL_EACH(obj_get(claim, F_metadata, F_ownerReferences), ref)
			if (!sv_eq(val_get_str(ref, F_uid), obj_uid(c->set)) &&
			    !(is_pod_ref(ref) && sv_eq(val_get_str(ref, F_name), obj_name(pod))))
				val_push(c->a, refs, ref);
		if (with_set)
			val_push(c->a, refs, owner_ref(c->a, RES(apps_statefulsets), obj_root(c->set), true, true));
		if (with_pod)
			val_push(c->a, refs, owner_ref(c->a, RES(core_pods), obj_root(pod), true, true));
		if (val_same(refs, obj_get(claim, F_metadata, F_ownerReferences)))
			continue;
		doc = obj_edit(c->a, claim);
		val_set(c->a, val_ensure_map(c->a, doc, F_metadata), F_ownerReferences, refs);
		if (client_update(c->client, RES(core_persistentvolumeclaims), doc, NULL, NULL, &why) < 0 &&
		    why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
	}
	return 0;
}
