#include "pod/volume_match.h"
#include "object/annotation.h"
#include "object/quantity.h"

struct sv storage_class_name(const struct obj *o)
{
	const struct val *old = val_member_sv(obj_get(o, F_metadata, F_annotations), SV(ANN_STORAGE_CLASS));
	const struct val *v = obj_get(o, F_spec, F_storageClassName);

	if (val_type(old) == VAL_STR)
		return val_str(old);
	return val_type(v) == VAL_STR ? val_str(v) : SV_NULL;
}

struct val *claim_reference(struct arena *a, const struct obj *claim)
{
	struct val *ref = obj_reference(a, "PersistentVolumeClaim", claim);

	val_set_cstr(a, ref, F_apiVersion, "v1");
	val_set_str(a, ref, F_resourceVersion, val_str(obj_get(claim, F_metadata, F_resourceVersion)));
	return ref;
}

static int64_t storage_bytes(const struct val *amounts)
{
	int64_t n;

	return quantity_value(val_get_str(amounts, F_storage), &n) ? n : 0;
}

int64_t claim_request_bytes(const struct obj *claim)
{
	return storage_bytes(obj_get(claim, F_spec, F_resources, F_requests));
}

int64_t volume_capacity_bytes(const struct obj *volume)
{
	return storage_bytes(obj_get(volume, F_spec, F_capacity));
}

bool volume_is_for(const struct obj *volume, const struct obj *claim)
{
	const struct val *ref = obj_get(volume, F_spec, F_claimRef);
	struct sv uid = val_get_str(ref, F_uid);

	return ref && sv_eq(val_get_str(ref, F_name), obj_name(claim)) &&
	       sv_eq(val_get_str(ref, F_namespace), obj_ns(claim)) && (!uid.n || sv_eq(uid, obj_uid(claim)));
}

struct sv volume_mode_of(const struct obj *o)
{
	struct sv mode = val_str(obj_get(o, F_spec, F_volumeMode));

	return mode.n ? mode : SV("Filesystem");
}

static bool has_all_modes(const struct obj *volume, const struct obj *claim)
{
	VAL_EACH(obj_get(claim, F_spec, F_accessModes), want) {
		bool has = false;

		VAL_EACH(obj_get(volume, F_spec, F_accessModes), m)
			has |= sv_eq(val_str(m), val_str(want));
		if (!has)
			return false;
	}
	return true;
}

const char *volume_misfit(const struct obj *volume, const struct obj *claim)
{
	if (volume_capacity_bytes(volume) < claim_request_bytes(claim))
		return "requested PV is too small";
	if (!sv_eq(storage_class_name(volume), storage_class_name(claim)))
		return "storageClassName does not match";
	if (!sv_eq(val_str(obj_get(volume, F_spec, F_volumeAttributesClassName)),
		   val_str(obj_get(claim, F_spec, F_volumeAttributesClassName))))
		return "volumeAttributesClassName does not match";
	if (!sv_eq(volume_mode_of(volume), volume_mode_of(claim)))
		return "incompatible volumeMode";
	if (!has_all_modes(volume, claim))
		return "incompatible accessMode";
	return NULL;
}

bool volume_is_root(const struct val *spec)
{
	struct sv rest = val_get_str(spec, F_hostPath, F_path), part;
	bool root = rest.n && rest.p[0] == '/';

	while (root && rest.n && sv_split(&rest, '/', &part))
		root = !part.n || sv_is(part, ".");
	return root;
}

struct sv local_path_node(const struct val *volume)
{
	const struct val *terms = val_get(volume, F_spec, F_nodeAffinity, F_required, F_nodeSelectorTerms);
	const struct val *term = val_at(terms, 0), *list = val_get(term, F_matchExpressions), *e = val_at(list, 0);
	bool own = sv_is(annotation_of(volume, ANN_PROVISIONED_BY), LOCAL_PATH_PROVISIONER) && val_len(terms) == 1 &&
		   val_len(term) == 1 && val_len(list) == 1 && val_is(val_get(e, F_key), "kubernetes.io/hostname") &&
		   val_is(val_get(e, F_operator), "In") && val_len(val_get(e, F_values)) == 1;

	return own ? val_str(val_at(val_get(e, F_values), 0)) : SV("");
}

void volume_nodes(struct arena *a, const struct obj *volume, struct node_want *ret)
{
	node_want_parse_selector(a, obj_get(volume, F_spec, F_nodeAffinity, F_required), ret);
}

bool claim_bound(const struct obj *claim)
{
	return val_str(obj_get(claim, F_spec, F_volumeName)).n &&
	       val_member_sv(obj_get(claim, F_metadata, F_annotations), SV(ANN_BIND_COMPLETED));
}

int claim_made_for_pod(const struct obj *claim, const struct val *pod, struct err *err)
{
	struct sv ns = val_get_str(pod, F_metadata, F_namespace), name = val_get_str(pod, F_metadata, F_name);
	struct sv uid = val_get_str(pod, F_metadata, F_uid);

	if (uid.n && sv_eq(val_get_str(obj_controller_ref(claim), F_uid), uid) && sv_eq(obj_ns(claim), ns))
		return 0;
	return err_set(err, ERR_INVALID, "PVC %.*s/%.*s was not created for pod %.*s/%.*s (pod is not owner)",
		       SV_ARG(obj_ns(claim)), SV_ARG(obj_name(claim)), SV_ARG(ns), SV_ARG(name));
}

const struct selector *claim_selector(struct arena *a, const struct obj *claim)
{
	const struct val *sel = obj_get(claim, F_spec, F_selector);

	return sel ? selector_from_label_selector(a, sel, NULL) : NULL;
}

bool volume_can_serve(const struct obj *volume, const struct obj *claim, const struct selector *selector)
{
	bool mine = volume_is_for(volume, claim);

	if (obj_deleting(volume) || (obj_get(volume, F_spec, F_claimRef) && !mine) || volume_misfit(volume, claim))
		return false;
	return mine || (val_is(obj_get(volume, F_status, F_phase), "Available") &&
			(!selector || selector_matches(selector, obj_labels(volume))));
}

int volume_rank_cmp(const struct obj *a, const struct obj *b, const struct obj *claim)
{
	bool mine_a = volume_is_for(a, claim), mine_b = volume_is_for(b, claim);
	int64_t x = volume_capacity_bytes(a), y = volume_capacity_bytes(b);

	if (mine_a != mine_b)
		return mine_a ? -1 : 1;
	if (x != y)
		return x < y ? -1 : 1;
	return sv_cmp(obj_name(a), obj_name(b));
}
