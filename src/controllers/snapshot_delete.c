/* A VolumeSnapshot that goes, and contents. Upstream's order:
 *
 *	no claim is being filled from it ─▶ content: annotation being-deleted ─▶ policy Delete: content deleted, and the
 *	snapshot's bound-protection stays until the driver's side has let it go; Retain: the content stays ─▶ finalizers
 */
#include "controllers/snapshot-internal.h"
#include "object/annotation.h"

/* Is a volume being made of it? A claim that has its volume is a copy. */
static bool being_restored(struct snapshots *c, const struct obj *snapshot)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj **claims;
	size_t n;

	claims = informer_by_ref(c->claims, &a, CLAIMS_BY_SNAPSHOT, obj_ns(snapshot), obj_name(snapshot), &n);
	for (size_t i = 0; i < n; i++)
		if (val_is(obj_get(claims[i], F_status, F_phase), "Pending"))
			return true;
	return false;
}

/* 1: written. */
static int mark_content(struct snapshots *c, struct obj *content, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc;

	if (annotation_of(obj_root(content), ANN_VOLSNAP_BEING_DELETED).n)
		return 0;
	doc = obj_edit(&a, content);
	annotation_set(&a, doc, ANN_VOLSNAP_BEING_DELETED, SV("yes"));
	return snapshot_write(c, VOLSNAP_CONTENTS, doc, err) < 0 ? -1 : 1;
}

static int snapshot_delete_content(struct snapshots *c, struct obj *snapshot, const struct obj *content,
				   struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct client_delete_opts o = CLIENT_DELETE_OPTS;

	if (obj_deleting(content))
		return 0;
	o.precondition_uid = obj_uid(content);
	if (client_delete(c->ctx->client, volsnap_resource(c->watch, VOLSNAP_CONTENTS), SV(""), obj_name(content), &o,
			  &why) == 0 ||
	    why.reason == ERR_NOT_FOUND)
		return 0;
	snapshot_event(c, snapshot, "Warning", "SnapshotContentObjectDeleteError",
		       "Failed to delete snapshot content API object");
	return err_move(err, &why);
}

static bool is_candidate(const struct obj *snapshot)
{
	return obj_deleting(snapshot) &&
	       (obj_has_finalizer(snapshot, VOLSNAP_AS_SOURCE) || obj_has_finalizer(snapshot, VOLSNAP_BOUND));
}

/* A cache that is behind has not seen the content that was just made: what is deleted for good is asked for. */
static int find_content(struct snapshots *c, struct obj *snapshot, struct arena *a, struct obj **ret, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	*ret = NULL;
	if (client_get(c->ctx->client, volsnap_resource(c->watch, VOLSNAP_CONTENTS), SV(""),
		       volsnap_content_of(a, snapshot), ret, &why) < 0) {
		*ret = NULL;
		return why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	}
	if (!volsnap_points_back(*ret, snapshot))
		*ret = obj_unref(*ret); /* another's */
	return 0;
}

int snapshot_go(struct snapshots *c, struct obj *snapshot, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *content = NULL;
	struct val *doc;
	bool with_content, changed;

	if (!is_candidate(snapshot))
		return 0;
	if (find_content(c, snapshot, &a, &content, err) < 0)
		return -1;
	if (content && being_restored(c, snapshot)) {
		snapshot_event(c, snapshot, "Warning", "SnapshotDeletePending",
			       "Snapshot is being used to restore a PVC");
		return 0; /* the claim's event brings us back */
	}
	with_content = content && val_is(obj_get(content, F_spec, F_deletionPolicy), "Delete");
	if (content) {
		int rc = mark_content(c, content, err);

		if (rc < 0)
			return -1;
		if (with_content && snapshot_delete_content(c, snapshot, content, err) < 0)
			return -1;
	}
	/* The claim's first: nobody finds it without the snapshot. */
	if (snapshot_release_claim(c, snapshot, true, err) < 0)
		return -1;
	doc = obj_edit(&a, snapshot);
	changed = obj_set_finalizer(&a, doc, VOLSNAP_AS_SOURCE, false);
	if (!with_content)
		changed |= obj_set_finalizer(&a, doc, VOLSNAP_BOUND, false);
	return changed ? snapshot_write(c, VOLSNAP_SNAPSHOTS, doc, err) : 0;
}

/* Of one that nobody has bound yet nothing is done: it waits for its snapshot. One whose snapshot is not there stays,
 * too: who brings his objects to another cluster must not lose what they name. */
int snapshot_content_sync(struct snapshots *c, struct obj *content, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *ref = obj_get(content, F_spec, F_volumeSnapshotRef);
	_cleanup_obj_ struct obj *snapshot = NULL;
	struct val *doc;

	if (!val_get_str(ref, F_uid).n)
		return 0;
	if (!obj_deleting(content) && !obj_has_finalizer(content, VOLSNAP_CONTENT_BOUND)) {
		doc = obj_edit(&a, content);
		(void)obj_set_finalizer(&a, doc, VOLSNAP_CONTENT_BOUND, true);
		return snapshot_write(c, VOLSNAP_CONTENTS, doc, err);
	}
	snapshot = informer_lookup(snapshots_known(c, VOLSNAP_SNAPSHOTS), val_get_str(ref, F_namespace),
				   val_get_str(ref, F_name));
	if (snapshot && volsnap_points_back(content, snapshot) && is_candidate(snapshot))
		return MIN(mark_content(c, content, err), 0);
	return 0;
}
