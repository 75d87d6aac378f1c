/* A placed Pod's claims: each gets the volume that the cycle chose, or the node on which its provisioner makes one.
 *
 * The scheduler writes one side only: the volume's claimRef, or the claim's selected node. The binder completes the
 * other, and its news bring the Pod back. */
#include "object/annotation.h"
#include "pod/volume_match.h"
#include "scheduler/scheduler-internal.h"

#include "base/buf.h"

static int bind_claims_reserve(struct scheduler *s, struct arena *a, struct obj *volume, struct obj *claim,
			       struct err *err)
{
	struct val *doc;

	if (val_str(obj_get(volume, F_spec, F_claimRef, F_uid)).n)
		return 0; /* its own already */
	doc = obj_edit(a, volume);
	val_set(a, val_ensure_map(a, doc, F_spec), F_claimRef, claim_reference(a, claim));
	annotation_set(a, doc, ANN_BOUND_BY_CONTROLLER, SV("yes"));
	/* At the version that was looked at: who wrote it meanwhile may have taken it. */
	return client_update(s->client, RES(core_persistentvolumes), doc, NULL, NULL, err);
}

static int select_node(struct scheduler *s, struct arena *a, struct obj *claim, const char *node, struct err *err)
{
	struct val *doc;

	if (sv_is(annotation_of(obj_root(claim), ANN_SELECTED_NODE), node))
		return 0;
	doc = obj_edit(a, claim);
	annotation_set(a, doc, ANN_SELECTED_NODE, sv_from(node));
	return client_update(s->client, RES(core_persistentvolumeclaims), doc, NULL, NULL, err);
}

int bind_claims(struct scheduler *s, const struct job *j, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	for (size_t i = 0; i < j->claims.n; i++) {
		struct claim_work w = j->claims.p[i];

		if ((w.volume ? bind_claims_reserve(s, &a, w.volume, w.claim, err)
			      : select_node(s, &a, w.claim, j->node, err)) < 0)
			return -1;
	}
	return 0;
}
