/* The claim that a VolumeSnapshot is taken of: kept from being deleted until it is. */
#include "controllers/snapshot-internal.h"

struct obj *snapshot_claim(struct snapshots *c, const struct obj *snapshot)
{
	struct sv name = val_str(obj_get(snapshot, F_spec, F_source, F_persistentVolumeClaimName));

	return name.n ? informer_lookup(c->claims, obj_ns(snapshot), name) : NULL;
}

int snapshot_release_claim(struct snapshots *c, const struct obj *snapshot, bool but, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *claim = snapshot_claim(c, snapshot);
	struct obj **others;
	struct val *doc;
	size_t n;

	if (!claim || !obj_has_finalizer(claim, VOLSNAP_CLAIM_AS_SOURCE))
		return 0;
	others = informer_by_ref(snapshots_known(c, VOLSNAP_SNAPSHOTS), &a, SNAPSHOTS_BY_CLAIM, obj_ns(claim),
				 obj_name(claim), &n);
	for (size_t i = 0; i < n; i++)
		if (!volsnap_ready(others[i]) && !(but && sv_eq(obj_uid(others[i]), obj_uid(snapshot))))
			return 0;
	doc = obj_edit(&a, claim);
	(void)obj_set_finalizer(&a, doc, VOLSNAP_CLAIM_AS_SOURCE, false);
	if (client_update(c->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, NULL, &why) == 0 ||
	    why.reason == ERR_NOT_FOUND)
		return 0;
	snapshot_event(c, snapshot, "Warning", "ErrorPVCFinalizer",
		       "Error check and remove PVC Finalizer for VolumeSnapshot");
	return err_move(err, &why);
}

int snapshot_hold_claim(struct snapshots *c, struct obj *claim, const struct obj *snapshot, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc;

	if (!claim)
		return err_set(err, ERR_NOT_FOUND, UPDATE_FAILED, SV_ARG(obj_name(snapshot)),
			       "cannot get claim from snapshot");
	if (obj_deleting(claim))
		return err_set(err, ERR_CONFLICT, UPDATE_FAILED, SV_ARG(obj_name(claim)),
			       "cannot add finalizer on claim because it is being deleted");
	doc = obj_edit(&a, claim);
	if (!obj_set_finalizer(&a, doc, VOLSNAP_CLAIM_AS_SOURCE, true) ||
	    client_update(c->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, NULL, &why) == 0)
		return 0;
	if (why.reason == ERR_CONFLICT)
		return err_move(err, &why);
	return err_set(err, why.reason, UPDATE_FAILED, SV_ARG(obj_name(claim)), err_msg(&why));
}
