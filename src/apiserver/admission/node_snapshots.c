/* Contents of VolumeSnapshots that a node keeps: of its own it says what there is, and lets go of what is to go.
 *
 * What a content is (whose data, for whom) is its controller's and its admin's to say: a node that could change that
 * could give one tenant's data to another, or have another node delete them. Which node keeps it follows from the
 * content as it was (volsnap_node()). Upstream's kubelets have nothing to do with them. */
#include "apiserver/admission/node_restriction.h"
#include "pod/volume_match.h"
#include "volsnap/volsnap.h"

bool node_keeps_snapshots(const struct resource *r)
{
	return strcmp(r->group, VOLSNAP_GROUP) == 0 && strcmp(r->plural, volsnap_plurals[VOLSNAP_CONTENTS]) == 0;
}

/* Finalizers but that one, in their order. */
static bool finalizers_same(const struct val *old, const struct val *now)
{
	const struct val *was = val_get(old, F_metadata, F_finalizers), *is = val_get(now, F_metadata, F_finalizers);
	size_t at = 0;

	VAL_EACH(was, f) {
		if (at < val_len(is) && val_equal(f, val_at(is, at)))
			at++;
		else if (!val_is(f, VOLSNAP_CONTENT_BOUND) || !volsnap_goes(old))
			return false;
	}
	return at == val_len(is);
}

static bool only_let_go(const struct val *old, const struct val *now)
{
	static const enum sym same[] = { F_labels, F_annotations, F_ownerReferences };

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (!val_same(val_get(old, F_metadata, same[i]), val_get(now, F_metadata, same[i])))
			return false;
	return val_same(val_member(old, F_spec), val_member(now, F_spec)) && finalizers_same(old, now);
}

int node_restrict_snapshot(const struct admission *a, struct sv node, struct err *err)
{
	if (a->op != ADMIT_UPDATE || !a->old || !val_is(val_get(a->old, F_spec, F_driver), LOCAL_PATH_PROVISIONER) ||
	    !sv_eq(volsnap_node(a->old), node))
		return admission_forbid(
		    a, err, "node \"%.*s\" can only say of snapshots that it keeps itself what there is of them",
		    SV_ARG(node));
	if (sv_is(a->subresource, "status") || only_let_go(a->old, a->doc))
		return 0;
	return admission_forbid(
	    a, err, "node \"%.*s\" cannot change what its snapshots are, nor let go of one that is not to go",
	    SV_ARG(node));
}
