/* What a claim of local-path is filled from: another claim, or a VolumeSnapshot. Errors are the external provisioner's.
 */
#include "kubelet/local_path-internal.h"
#include "object/annotation.h"
#include "object/quantity.h"

/* --- another claim --- */

static int local_source_claim(struct local_path *l, struct arena *a, const struct obj *claim, struct sv name,
			      struct local_source *ret, struct err *err)
{
	_cleanup_obj_ struct obj *source = informer_lookup(l->claims, obj_ns(claim), name), *volume = NULL;

	if (!source || obj_deleting(source))
		return err_set(err, ERR_UNAVAILABLE, "the PVC DataSource %.*s is %s", SV_ARG(name),
			       source ? "currently being deleted" : "not there");
	if (!val_is(obj_get(source, F_status, F_phase), "Bound"))
		return err_set(err, ERR_UNAVAILABLE, "the PVC DataSource %.*s is not bound", SV_ARG(name));
	volume = informer_lookup(l->volumes, SV(""), val_str(obj_get(source, F_spec, F_volumeName)));
	ret->volume = volume && volume_is_for(volume, source) ? local_path_name(l, a, volume) : NULL;
	if (!ret->volume)
		return err_set(
		    err, ERR_INVALID,
		    "the volume of the source claim \"%.*s\" is not one that this node has made: clones are made on "
		    "the node of their source",
		    SV_ARG(name));
	if (!sv_eq(volume_mode_of(source), volume_mode_of(claim)))
		return err_set(err, ERR_INVALID, "the source claim \"%.*s\" is of volumeMode %.*s", SV_ARG(name),
			       SV_ARG(volume_mode_of(source)));
	if (claim_request_bytes(claim) < volume_capacity_bytes(volume))
		return err_set(err, ERR_INVALID,
			       "error, new PVC request must be greater than or equal in size to the specified PVC data "
			       "source, requested %" PRId64 " but source is %" PRId64,
			       claim_request_bytes(claim), volume_capacity_bytes(volume));
	return 0;
}

/* --- a snapshot --- */

static int not_bound(struct sv name, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "snapshot %.*s not bound", SV_ARG(name));
}

/* Its content, when it may be used. Asked of the API: who restores right after is ready would find an old cache. */
static int local_source_content(struct local_path *l, const struct obj *claim, struct sv name,
				struct obj **ret_snapshot, struct obj **ret, struct err *err)
{
	const struct resource *snapshots = volsnap_resource(l->snaps, VOLSNAP_SNAPSHOTS);
	const struct resource *contents = volsnap_resource(l->snaps, VOLSNAP_CONTENTS);
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv content;

	if (!snapshots || !contents)
		return err_set(err, ERR_UNAVAILABLE, "snapshot handle %.*s is not available", SV_ARG(name));
	if (client_get(l->client, snapshots, obj_ns(claim), name, ret_snapshot, &why) < 0)
		return err_set(err, why.reason, "error getting snapshot %.*s from api server: %s", SV_ARG(name),
			       err_msg(&why));
	if (obj_deleting(*ret_snapshot) && !obj_has_finalizer(*ret_snapshot, VOLSNAP_AS_SOURCE))
		return err_set(err, ERR_UNAVAILABLE, "snapshot %.*s is being deleted", SV_ARG(name));
	content = val_str(obj_get(*ret_snapshot, F_status, F_boundVolumeSnapshotContentName));
	if (!content.n || client_get(l->client, contents, SV(""), content, ret, &why) < 0 ||
	    !volsnap_bound(*ret_snapshot, *ret) || !val_is(obj_get(*ret, F_spec, F_driver), LOCAL_PATH_PROVISIONER))
		return not_bound(name, err);
	if (!volsnap_ready(*ret_snapshot))
		return err_set(err, ERR_UNAVAILABLE, "snapshot %.*s is not Ready", SV_ARG(name));
	if (!val_str(obj_get(*ret, F_status, F_snapshotHandle)).n)
		return err_set(err, ERR_UNAVAILABLE, "snapshot handle %.*s is not available", SV_ARG(name));
	return 0;
}

static int local_source_fits(const struct obj *claim, const struct obj *snapshot, const struct obj *content,
			     struct err *err)
{
	struct sv mode = val_str(obj_get(content, F_spec, F_sourceVolumeMode));
	int64_t has;

	if (quantity_value(val_str(obj_get(snapshot, F_status, F_restoreSize)), &has) &&
	    claim_request_bytes(claim) < has)
		return err_set(err, ERR_INVALID,
			       "requested volume size %" PRId64 " is less than the size %" PRId64
			       " for the source snapshot %.*s",
			       claim_request_bytes(claim), has, SV_ARG(obj_name(snapshot)));
	/* Allowed or not, a file system is no device here, nor the other way. */
	if (mode.n && !sv_eq(mode, volume_mode_of(claim)))
		return err_set(err, ERR_INVALID,
			       "requested volume %.*s/%.*s modifies the mode of the source volume but does not have "
			       "permission to do so. " ANN_VOLSNAP_MODE_CHANGE
			       " annotation is not present on snapshotcontent %.*s",
			       SV_ARG(obj_ns(claim)), SV_ARG(obj_name(claim)), SV_ARG(obj_name(content)));
	return 0;
}

static int local_source_snapshot(struct local_path *l, struct arena *a, const struct obj *claim, struct sv name,
				 struct local_source *ret, struct err *err)
{
	_cleanup_obj_ struct obj *snapshot = NULL, *content = NULL;

	if (local_source_content(l, claim, name, &snapshot, &content, err) < 0)
		return -1;
	if (!sv_is(volsnap_node(obj_root(content)), l->node))
		return 1;
	if (local_source_fits(claim, snapshot, content, err) < 0)
		return -1;
	ret->snapshot = local_path_snap_name(l, a, content);
	return ret->snapshot ? 0 : not_bound(name, err);
}

int local_path_source(struct local_path *l, struct arena *a, const struct obj *claim, struct local_source *ret,
		      struct err *err)
{
	const struct val *from = obj_get(claim, F_spec, F_dataSourceRef);
	struct sv ns, name, snapshot = volsnap_source_of(claim);

	*ret = (struct local_source){ NULL, NULL };
	if (snapshot.n)
		return local_source_snapshot(l, a, claim, snapshot, ret, err);
	if (!from)
		from = obj_get(claim, F_spec, F_dataSource);
	if (!from)
		return 0;
	ns = val_get_str(from, F_namespace);
	name = val_get_str(from, F_name);
	if (ns.n && !sv_eq(ns, obj_ns(claim)))
		return err_set(err, ERR_INVALID, "the source \"%.*s\" is in another namespace", SV_ARG(name));
	if (!val_is(val_member(from, F_kind), "PersistentVolumeClaim") || val_get_str(from, F_apiGroup).n)
		return err_set(err, ERR_INVALID,
			       "it cannot be filled from %.*s \"%.*s\": only from a PersistentVolumeClaim or a "
			       "VolumeSnapshot of this class",
			       SV_ARG(val_get_str(from, F_kind)), SV_ARG(name));
	return local_source_claim(l, a, claim, name, ret, err);
}
