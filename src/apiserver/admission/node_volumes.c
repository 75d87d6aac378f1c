/* Volumes that a node makes itself: directories of its own, for claims that were placed on it (kubelet/local_path.h).
 *
 * The right to make volumes is one to have pods: a volume that is bound beforehand to somebody's claim brings his pod,
 * with its secrets, to where the volume is. So it has to be for a claim whose pod the scheduler has placed here
 * already, as the provisioner's class has it, and reachable from here alone; and of other volumes nothing may be
 * changed. Upstream's kubelets make none. */
#include "apiserver/admission/node_restriction.h"
#include "object/annotation.h"
#include "object/quantity.h"
#include "pod/volume_match.h"

/* Of this node alone, and made by it. */
static bool volume_is_own(const struct val *volume, struct sv node)
{
	struct sv has = local_path_node(volume);

	return has.n && sv_eq(has, node);
}

/* Is it for a claim that waits for exactly this? */
static bool volume_is_wanted(const struct admission *a, struct sv node)
{
	const struct val *ref = val_get(a->doc, F_spec, F_claimRef);
	struct obj *claim = registry_peek(a->q, RES(core_persistentvolumeclaims), val_get_str(ref, F_namespace),
					  val_get_str(ref, F_name));

	return claim && sv_eq(val_get_str(ref, F_uid), obj_uid(claim)) && val_get(a->doc, F_spec, F_hostPath) &&
	       sv_is(annotation_of(obj_root(claim), ANN_PROVISIONER), LOCAL_PATH_PROVISIONER) &&
	       sv_eq(annotation_of(obj_root(claim), ANN_SELECTED_NODE), node);
}

/* Nothing of what it is differs, but that it may have grown. */
static bool volume_only_grew(const struct val *old, const struct val *now)
{
	const struct val *sides[] = { val_member(old, F_spec), val_member(now, F_spec) };

	for (size_t side = 0; side < 2; side++)
		VAL_EACH_MEMBER(sides[side], m)
			if (m.sym != F_capacity && !val_same(m.value, val_member_sv(sides[1 - side], m.key)))
				return false;
	return val_len(val_member(sides[1], F_capacity)) == val_len(val_member(sides[0], F_capacity)) &&
	       quantity_cmp(val_get_str(sides[1], F_capacity, F_storage),
			    val_get_str(sides[0], F_capacity, F_storage)) >= 0;
}

int node_restrict_volume(const struct admission *a, struct sv node, struct err *err)
{
	const struct val *old = a->old;

	if (a->subresource.n)
		return admission_forbid(a, err, "node \"%.*s\" may not change the status of volumes", SV_ARG(node));
	if (a->op == ADMIT_CREATE) {
		if (volume_is_own(a->doc, node) && volume_is_wanted(a, node))
			return 0;
		return admission_forbid(
		    a, err, "node \"%.*s\" can only create volumes on itself, for claims whose pods are placed on it",
		    SV_ARG(node));
	}
	if (!old) {
		struct obj *have = registry_peek(a->q, RES(core_persistentvolumes), SV(""), a->name);

		old = have ? obj_root(have) : NULL;
	}
	if (!old || !volume_is_own(old, node))
		return admission_forbid(a, err, "node \"%.*s\" can only change volumes that it has made", SV_ARG(node));
	if (a->op == ADMIT_UPDATE && !(volume_is_own(a->doc, node) && volume_only_grew(old, a->doc)))
		return admission_forbid(a, err, "node \"%.*s\" cannot change what its volumes are", SV_ARG(node));
	return 0;
}

/* The class, as the provisioner makes it where nobody has. */
int node_restrict_class(const struct admission *a, struct sv node, struct err *err)
{
	if (a->op == ADMIT_CREATE && sv_is(val_get_str(a->doc, F_metadata, F_name), LOCAL_PATH_CLASS) &&
	    val_is(val_get(a->doc, F_provisioner), LOCAL_PATH_PROVISIONER) && !val_len(val_get(a->doc, F_parameters)) &&
	    !val_len(val_get(a->doc, F_mountOptions)))
		return 0;
	return admission_forbid(a, err, "node \"%.*s\" can only create the class \"" LOCAL_PATH_CLASS "\"",
				SV_ARG(node));
}
