/* A VolumeSnapshot that stays: its finalizers, its binding, from either side, and what is said of it. */
#include "controllers/snapshot-internal.h"

/* --- which content --- */

static int misbound(struct snapshots *c, struct obj *snapshot, struct sv content, struct err *err)
{
	return snapshot_fail(c, snapshot, true, "SnapshotContentMisbound", err,
			     "VolumeSnapshotContent [%.*s] is bound to a different snapshot", SV_ARG(content));
}

/* One that was there before: its user names it here, and this snapshot there. *ret NULL: it is not to be had, which is
 * said. */
static int existing_content(struct snapshots *c, struct obj *snapshot, struct obj **ret, struct err *err)
{
	struct sv name = val_str(obj_get(snapshot, F_spec, F_source, F_volumeSnapshotContentName));
	_cleanup_obj_ struct obj *content = informer_lookup(snapshots_known(c, VOLSNAP_CONTENTS), SV(""), name);
	const struct val *ref = obj_get(content, F_spec, F_volumeSnapshotRef);
	struct sv uid = val_get_str(ref, F_uid);

	*ret = NULL;
	if (!content)
		return snapshot_fail(c, snapshot, true, "SnapshotContentMissing", err,
				     "VolumeSnapshotContent is missing");
	if (!val_str(obj_get(content, F_spec, F_source, F_snapshotHandle)).n)
		return snapshot_fail(
		    c, snapshot, true, "SnapshotContentMismatch", err,
		    "VolumeSnapshotContent is dynamically provisioned while expecting a pre-provisioned one");
	if (!sv_eq(val_get_str(ref, F_name), obj_name(snapshot)) ||
	    !sv_eq(val_get_str(ref, F_namespace), obj_ns(snapshot)) || (uid.n && !sv_eq(uid, obj_uid(snapshot))))
		return misbound(c, snapshot, name, err);
	*ret = obj_ref(content);
	return 0;
}

/* One that was made for it, or is to be. */
static int own_content(struct snapshots *c, struct obj *snapshot, struct obj **ret, bool *ret_wrong, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv name = volsnap_content_name(&a, snapshot);
	_cleanup_obj_ struct obj *content = informer_lookup(snapshots_known(c, VOLSNAP_CONTENTS), SV(""), name);

	*ret = NULL;
	*ret_wrong = content;
	if (!content)
		return 0;
	if (!val_str(obj_get(content, F_spec, F_source, F_volumeHandle)).n)
		return snapshot_fail(c, snapshot, true, "SnapshotContentMismatch", err,
				     "VolumeSnapshotContent %.*s is pre-provisioned while expecting a dynamically "
				     "provisioned one",
				     SV_ARG(name));
	if (!volsnap_points_back(content, snapshot))
		return misbound(c, snapshot, name, err);
	*ret_wrong = false;
	*ret = obj_ref(content);
	return 0;
}

/* The user's content named us by name: from here on by uid. *ret_bound: it is, and may be followed. */
static int bind_existing(struct snapshots *c, struct obj *snapshot, struct obj *content, bool *ret_bound,
			 struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv class = val_str(obj_get(snapshot, F_spec, F_volumeSnapshotClassName));
	struct val *doc;

	*ret_bound = val_str(obj_get(content, F_spec, F_volumeSnapshotRef, F_uid)).n &&
		     (!class.n || obj_get(content, F_spec, F_volumeSnapshotClassName));
	if (*ret_bound)
		return 0;
	doc = obj_edit(&a, content);
	val_set_str(&a, val_get_mut(doc, F_spec, F_volumeSnapshotRef), F_uid, obj_uid(snapshot));
	if (class.n)
		val_set_str(&a, val_get_mut(doc, F_spec), F_volumeSnapshotClassName, class);
	if (snapshot_write(c, VOLSNAP_CONTENTS, doc, &why) == 0)
		return 0;
	if (why.reason != ERR_CONFLICT)
		(void)snapshot_fail(c, snapshot, true, "SnapshotBindFailed", NULL,
				    "Snapshot failed to bind VolumeSnapshotContent, %s", err_msg(&why));
	return err_move(err, &why);
}

/* --- the snapshot --- */

/* What is ready stays so whatever becomes of its content, but it is said. */
static int snapshot_check_ready(struct snapshots *c, struct obj *snapshot, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *content =
	    informer_lookup(snapshots_known(c, VOLSNAP_CONTENTS), SV(""), volsnap_content_of(&a, snapshot));

	if (!content)
		return snapshot_fail(c, snapshot, false, "SnapshotContentMissing", err,
				     "VolumeSnapshotContent is missing");
	if (!volsnap_points_back(content, snapshot))
		return snapshot_fail(c, snapshot, false, "SnapshotMisbound", err,
				     "VolumeSnapshotContent is not bound to the VolumeSnapshot correctly");
	return snapshot_follow(c, snapshot, content, err);
}

/* 1: written, and its event goes on. */
static int add_finalizers(struct snapshots *c, struct obj *snapshot, const struct obj *content, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = obj_edit(&a, snapshot);
	bool changed = obj_set_finalizer(&a, doc, VOLSNAP_AS_SOURCE, true);

	if (content && volsnap_bound(snapshot, content) && val_is(obj_get(content, F_spec, F_deletionPolicy), "Delete"))
		changed |= obj_set_finalizer(&a, doc, VOLSNAP_BOUND, true);
	if (!changed)
		return 0;
	return snapshot_write(c, VOLSNAP_SNAPSHOTS, doc, err) < 0 ? -1 : 1;
}

static int sync_existing(struct snapshots *c, struct obj *snapshot, struct err *err)
{
	_cleanup_obj_ struct obj *content = NULL;
	bool bound;
	int rc;

	if (existing_content(c, snapshot, &content, err) < 0)
		return -1;
	rc = add_finalizers(c, snapshot, content, err);
	if (rc || !content)
		return MIN(rc, 0);
	if (bind_existing(c, snapshot, content, &bound, err) < 0)
		return -1;
	return bound ? snapshot_follow(c, snapshot, content, err) : 0;
}

static int sync_own(struct snapshots *c, struct obj *snapshot, struct err *err)
{
	_cleanup_obj_ struct obj *content = NULL;
	bool wrong;
	int rc;

	if (own_content(c, snapshot, &content, &wrong, err) < 0)
		return -1;
	rc = add_finalizers(c, snapshot, content, err);
	if (rc || wrong)
		return MIN(rc, 0);
	if (content)
		return snapshot_follow(c, snapshot, content, err);
	rc = snapshot_choose_class(c, snapshot, err);
	return rc ? MIN(rc, 0) : snapshot_take(c, snapshot, err);
}

int snapshot_sync(struct snapshots *c, struct obj *snapshot, struct err *err)
{
	if (volsnap_ready(snapshot) && val_str(obj_get(snapshot, F_status, F_boundVolumeSnapshotContentName)).n) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_obj_ struct obj *content =
		    informer_lookup(snapshots_known(c, VOLSNAP_CONTENTS), SV(""), volsnap_content_of(&a, snapshot));
		int rc = add_finalizers(c, snapshot, content, err);

		return rc ? MIN(rc, 0) : snapshot_check_ready(c, snapshot, err);
	}
	/* Which of the two, and not both, is the schema's to say. */
	return val_str(obj_get(snapshot, F_spec, F_source, F_volumeSnapshotContentName)).n
		   ? sync_existing(c, snapshot, err)
		   : sync_own(c, snapshot, err);
}
