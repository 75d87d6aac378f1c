/* What is said of a VolumeSnapshot. */
#include "base/buf.h"
#include "controllers/snapshot-internal.h"
#include "object/quantity.h"

#include <stdarg.h>

void snapshot_event(struct snapshots *c, const struct obj *snapshot, const char *type, const char *reason,
		    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	recorder_event_v(c->ctx->recorder, volsnap_resource(c->watch, VOLSNAP_SNAPSHOTS), obj_root(snapshot), type,
			 reason, fmt, ap);
	va_end(ap);
}

static int snapshot_written(int rc, struct err *why, struct err *err)
{
	return rc == 0 || why->reason == ERR_NOT_FOUND ? 0 : err_move(err, why);
}

int snapshot_write(struct snapshots *c, enum volsnap_kind kind, const struct val *doc, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	return snapshot_written(client_update(c->ctx->client, volsnap_resource(c->watch, kind), doc, NULL, NULL, &why),
				&why, err);
}

static int snapshot_write_status(struct snapshots *c, const struct val *doc, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	return snapshot_written(
	    client_update_status(c->ctx->client, volsnap_resource(c->watch, VOLSNAP_SNAPSHOTS), doc, NULL, &why), &why,
	    err);
}

int snapshot_fail(struct snapshots *c, struct obj *snapshot, bool not_ready, const char *reason, struct err *err,
		  const char *fmt, ...)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct val *doc, *status, *error;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (sv_is(val_str(obj_get(snapshot, F_status, F_error, F_message)), buf_cstr(&text)))
		return 0;
	doc = obj_edit(&a, snapshot);
	status = val_ensure_map(&a, doc, F_status);
	if (not_ready)
		val_set_bool(&a, status, F_readyToUse, false);
	error = val_set_map(&a, status, F_error);
	val_set_cstr(&a, error, F_message, buf_cstr(&text));
	val_set_str(&a, error, F_time, time_text(&a, env_now_ns(c->ctx->env)));
	if (snapshot_write_status(c, doc, err) < 0)
		return -1;
	snapshot_event(c, snapshot, "Warning", reason, "%s", buf_cstr(&text));
	return 0;
}

/* What is known of it stays; an error goes when it is ready. */
static void follow_status(struct arena *a, struct val *status, const struct obj *content)
{
	const struct val *from = obj_get(content, F_status), *size = val_member(from, F_restoreSize);
	int64_t created = val_get_int(from, 0, F_creationTime);
	bool ready = val_get_bool(from, F_readyToUse);

	if (!val_get_str(status, F_boundVolumeSnapshotContentName).n)
		val_set_str(a, status, F_boundVolumeSnapshotContentName, obj_name(content));
	if (!val_member(status, F_creationTime) && created > 0)
		val_set_str(a, status, F_creationTime, time_text(a, created));
	val_set_bool(a, status, F_readyToUse, ready);
	if (val_type(size) == VAL_INT && quantity_sign(val_get_str(status, F_restoreSize)) <= 0)
		val_set_str(a, status, F_restoreSize, quantity_from_bytes(a, size->i));
	if (ready)
		(void)val_del(status, F_error);
	else if (val_member(from, F_error))
		val_set(a, status, F_error, val_member(from, F_error));
}

int snapshot_follow(struct snapshots *c, struct obj *snapshot, const struct obj *content, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = obj_edit(&a, snapshot), *status = val_ensure_map(&a, doc, F_status);
	bool was = volsnap_ready(snapshot), created = obj_get(snapshot, F_status, F_creationTime);

	follow_status(&a, status, content);
	if (obj_get(snapshot, F_status) && val_equal(status, obj_get(snapshot, F_status)))
		return 0;
	if (snapshot_write_status(c, doc, err) < 0)
		return -1;
	if (!created && val_member(status, F_creationTime))
		snapshot_event(c, snapshot, "Normal", "SnapshotCreated",
			       "Snapshot %.*s/%.*s was successfully created by the CSI driver.",
			       SV_ARG(obj_ns(snapshot)), SV_ARG(obj_name(snapshot)));
	if (!was && val_get_bool(status, F_readyToUse))
		snapshot_event(c, snapshot, "Normal", "SnapshotReady", "Snapshot %.*s/%.*s is ready to use.",
			       SV_ARG(obj_ns(snapshot)), SV_ARG(obj_name(snapshot)));
	return 0;
}
