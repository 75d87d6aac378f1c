#include "volsnap/volsnap.h"

#include "object/annotation.h"

const char *const volsnap_plurals[_VOLSNAP_MAX] = { "volumesnapshotclasses", "volumesnapshotcontents",
						    "volumesnapshots" };

struct sv volsnap_content_name(struct arena *a, const struct obj *snapshot)
{
	return arena_svf(a, "snapcontent-%.*s", SV_ARG(obj_uid(snapshot)));
}

struct sv volsnap_content_of(struct arena *a, const struct obj *snapshot)
{
	struct sv name = val_str(obj_get(snapshot, F_status, F_boundVolumeSnapshotContentName));

	if (!name.n)
		name = val_str(obj_get(snapshot, F_spec, F_source, F_volumeSnapshotContentName));
	return name.n ? name : volsnap_content_name(a, snapshot);
}

bool volsnap_points_back(const struct obj *content, const struct obj *snapshot)
{
	const struct val *ref = obj_get(content, F_spec, F_volumeSnapshotRef);

	return sv_eq(val_get_str(ref, F_name), obj_name(snapshot)) &&
	       sv_eq(val_get_str(ref, F_namespace), obj_ns(snapshot)) &&
	       sv_eq(val_get_str(ref, F_uid), obj_uid(snapshot));
}

bool volsnap_bound(const struct obj *snapshot, const struct obj *content)
{
	return sv_eq(val_str(obj_get(snapshot, F_status, F_boundVolumeSnapshotContentName)), obj_name(content)) &&
	       volsnap_points_back(content, snapshot);
}

bool volsnap_ready(const struct obj *o)
{
	return val_bool(obj_get(o, F_status, F_readyToUse));
}

struct sv volsnap_source_of(const struct obj *claim)
{
	const struct val *from = obj_get(claim, F_spec, F_dataSourceRef);
	struct sv ns;

	if (!from)
		from = obj_get(claim, F_spec, F_dataSource);
	ns = val_get_str(from, F_namespace);
	return val_is(val_member(from, F_kind), "VolumeSnapshot") &&
		       val_is(val_member(from, F_apiGroup), VOLSNAP_GROUP) && (!ns.n || sv_eq(ns, obj_ns(claim)))
		   ? val_get_str(from, F_name)
		   : SV("");
}

bool volsnap_goes(const struct val *content)
{
	if (!val_get_str(content, F_metadata, F_deletionTimestamp).n)
		return false;
	return annotation_of(content, ANN_VOLSNAP_BEING_DELETED).n ||
	       (val_get_str(content, F_spec, F_source, F_snapshotHandle).n &&
		!val_get_str(content, F_spec, F_volumeSnapshotRef, F_uid).n);
}

struct sv volsnap_node(const struct val *content)
{
	struct sv label = val_str(val_member_sv(val_get(content, F_metadata, F_labels), SV(LABEL_VOLSNAP_NODE)));
	struct sv handle = val_get_str(content, F_spec, F_source, F_snapshotHandle);
	ssize_t end = sv_find(handle, '/');

	return label.n ? label : end > 0 ? sv_sub(handle, 0, (size_t)end) : SV("");
}
