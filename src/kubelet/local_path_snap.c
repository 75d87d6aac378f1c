/* Snapshots of this node's volumes: what a driver's csi-snapshotter does, of contents of the driver
 * LOCAL_PATH_PROVISIONER that name this node (volsnap_node()). The snapshot controller makes and binds them.
 *
 *	content of a volume	taken ─▶ status: snapshotHandle NODE/snapshot-UID, creationTime, restoreSize, readyToUse
 *	content of a snapshot	looked at ─▶ the same
 *	its snapshot goes	policy Delete: files removed ─▶ finalizer; Retain: only that
 *
 * Files come before what is said of them, and go before it. */
#include "base/timefmt.h"
#include "kubelet/local/local_snapshot.h"
#include "kubelet/local_path-internal.h"

#define SNAP_CONTENT "snapcontent-"

const char *local_path_snap_name(struct local_path *l, struct arena *a, const struct obj *content)
{
	struct sv handle = val_str(obj_get(content, F_spec, F_source, F_snapshotHandle)), name = obj_name(content);
	const char *ret;

	if (!val_is(obj_get(content, F_spec, F_driver), LOCAL_PATH_PROVISIONER) ||
	    !sv_is(volsnap_node(obj_root(content)), l->node))
		return NULL;
	if (handle.n) {
		ssize_t slash = sv_find(handle, '/');

		ret = slash < 0 ? NULL : arena_cstr(a, sv_sub(handle, (size_t)slash + 1, handle.n));
	} else {
		ret = arena_printf(a, "snapshot-%.*s", SV_ARG(name));
		if (sv_starts(name, SV(SNAP_CONTENT))) /* as upstream calls what it has drivers make */
			ret = arena_printf(a, "snapshot-%.*s", SV_ARG(sv_sub(name, strlen(SNAP_CONTENT), name.n)));
	}
	return ret && local_name_ok(sv_from(ret)) ? ret : NULL;
}

/* --- what is said of a content --- */

static int snap_gone_is_fine(int rc, struct err *why, struct err *err)
{
	return rc == 0 || why->reason == ERR_NOT_FOUND ? 0 : err_move(err, why);
}

static int snap_write_status(struct local_path *l, const struct val *doc, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	return snap_gone_is_fine(
	    client_update_status(l->client, volsnap_resource(l->snaps, VOLSNAP_CONTENTS), doc, NULL, &why), &why, err);
}

static void snap_event(struct local_path *l, const struct obj *content, const char *reason, const char *text)
{
	recorder_event(l->recorder, volsnap_resource(l->snaps, VOLSNAP_CONTENTS), obj_root(content), "Warning", reason,
		       "%s", text);
}

/* Once for each reason; the run fails all the same, and comes again. */
static void snap_say_failed(struct local_path *l, struct obj *content, const char *reason, const char *what,
			    const struct err *why)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *text = arena_printf(&a, "%s%s", what, err_msg(why));
	struct val *doc, *status, *error;
	char time[TIME_TEXT_MAX];

	if (sv_is(val_str(obj_get(content, F_status, F_error, F_message)), text))
		return;
	doc = obj_edit(&a, content);
	status = val_ensure_map(&a, doc, F_status);
	val_set_bool(&a, status, F_readyToUse, false);
	error = val_set_map(&a, status, F_error);
	val_set_cstr(&a, error, F_message, text);
	val_set_str(&a, error, F_time, time_format(env_now_ns(l->env), false, time));
	if (snap_write_status(l, doc, NULL) == 0)
		snap_event(l, content, reason, text);
}

static int snap_say_ready(struct local_path *l, struct obj *content, const char *name, const struct local_snapshot *is,
			  int64_t bytes, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = obj_edit(&a, content), *status = val_ensure_map(&a, doc, F_status);

	val_set_strf(&a, status, F_snapshotHandle, "%s/%s", l->node, name);
	val_set_int(&a, status, F_creationTime, is->taken_ns);
	if (bytes > 0)
		val_set_int(&a, status, F_restoreSize, bytes);
	val_set_bool(&a, status, F_readyToUse, true);
	(void)val_del(status, F_error);
	return snap_write_status(l, doc, err);
}

/* --- runs --- */

/* The volume's capacity says what it was asked for with, which its files only bound. */
static int snap_take(struct local_path *l, struct obj *content, const char *name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv handle = val_str(obj_get(content, F_spec, F_source, F_volumeHandle));
	_cleanup_obj_ struct obj *volume = informer_lookup(l->volumes, SV(""), handle);
	const char *file = volume ? local_path_name(l, &a, volume) : NULL;
	struct local_snapshot is;
	int64_t bytes = volume ? volume_capacity_bytes(volume) : 0;

	/* Taken before, and not said: its volume may be gone by now. */
	if (!file && local_snapshot_look(&l->store, name, &is, NULL) < 0)
		err_set(&why, ERR_NOT_FOUND, "the volume %.*s is not one that this node has made", SV_ARG(handle));
	else if (file)
		(void)local_snapshot_take(&l->store, file, bytes, name, &is, &why);
	if (why.reason) {
		snap_say_failed(l, content, "SnapshotCreationFailed", "Failed to create snapshot: ", &why);
		return err_move(err, &why);
	}
	return snap_say_ready(l, content, name, &is, volume ? bytes : is.bytes, err);
}

static int snap_look(struct local_path *l, struct obj *content, const char *name, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct local_snapshot is;

	if (local_snapshot_look(&l->store, name, &is, &why) == 0)
		return snap_say_ready(l, content, name, &is, is.bytes, err);
	snap_say_failed(l, content, "SnapshotContentCheckandUpdateFailed",
			"Failed to check and update snapshot content: ", &why);
	return err_move(err, &why);
}

static int snap_go(struct local_path *l, struct obj *content, const char *name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc;

	if (!obj_has_finalizer(content, VOLSNAP_CONTENT_BOUND))
		return 0;
	if (val_is(obj_get(content, F_spec, F_deletionPolicy), "Delete") &&
	    local_snapshot_remove(&l->store, name, err) < 0) {
		snap_event(l, content, "SnapshotDeleteError", "Failed to delete snapshot");
		return -1;
	}
	doc = obj_edit(&a, content);
	(void)obj_set_finalizer(&a, doc, VOLSNAP_CONTENT_BOUND, false);
	return snap_gone_is_fine(
	    client_update(l->client, volsnap_resource(l->snaps, VOLSNAP_CONTENTS), doc, NULL, NULL, &why), &why, err);
}

static int reconcile_snap(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct local_path *l = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *content = informer_lookup(volsnap_informer(l->snaps, VOLSNAP_CONTENTS), SV(""), key);
	const char *name = content ? local_path_snap_name(l, &a, content) : NULL;

	(void)ret;
	if (!name)
		return 0;
	if (volsnap_goes(obj_root(content)))
		return snap_go(l, content, name, err);
	if (obj_deleting(content) || volsnap_ready(content))
		return 0; /* its snapshot's going brings us back */
	return val_str(obj_get(content, F_spec, F_source, F_snapshotHandle)).n ? snap_look(l, content, name, err)
									       : snap_take(l, content, name, err);
}

/* --- life --- */

static void snap_set(struct obj *o, void *ctx)
{
	workq_add(((struct local_path *)ctx)->snap_q, obj_name(o));
}

static void snap_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	snap_set(now, ctx);
}

/* Keys come from contents alone, so those are known by then. */
static bool snap_ready(void *ctx)
{
	return informer_factory_synced(((struct local_path *)ctx)->informers);
}

static void snap_made(struct volsnap_watch *w, void *ctx)
{
	static const struct informer_handler contents = { snap_set, snap_updated, NULL };

	informer_add_handler(volsnap_informer(w, VOLSNAP_CONTENTS), &contents, ctx);
}

void local_path_snap_new(struct local_path *l)
{
	l->snaps = volsnap_watch_new(l->client, 1 << VOLSNAP_CONTENTS);
	l->snap_q = workq_new(l->env, &(struct workq_opts){ .name = "local-path-snapshots",
							    .class = ENV_SLOW,
							    .workers = 1,
							    .reconcile = reconcile_snap,
							    .ctx = l,
							    .ready = snap_ready });
}

void local_path_snap_begin(struct local_path *l)
{
	volsnap_watch_start(l->snaps, snap_made, l);
}

void local_path_snap_free(struct local_path *l)
{
	workq_free(l->snap_q);
	volsnap_watch_free(l->snaps);
}
