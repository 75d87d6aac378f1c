/* The life of a write: attempts, the commit and its continuation. The verbs' own parts are in
 * create.c, update.c, patch.c and delete.c, what they share in write_steps.c. */
#include "apiserver/registry/registry.h"
#include "apiserver/storekey.h"

static void undo(struct write_op *op)
{
	if (op->has_reserved && op->strat->rollback)
		op->strat->rollback(op->q, op->reserved);
	op->has_reserved = false;
	op->reserved = NULL;
}

static void retry_now(struct api_req *q, void *ctx)
{
	(void)q;
	write_run(ctx);
}

static bool being_deleted(struct write_op *op, const struct store_kv *current)
{
	_cleanup_obj_ struct obj *o =
	    current && !current->deleted ? stored_parse(op->res, current->value, current->mod_rev) : NULL;

	return o && obj_deleting(o);
}

/* Somebody else was faster. */
static void mismatch(struct write_op *op, const struct store_kv *current)
{
	struct err err = ERR_INIT;

	op->attempt++;
	if (op->creating && op->base_name.n && op->attempt < GENERATE_NAME_ATTEMPTS) {
		api_req_post(op->q, retry_now, op);
		return;
	}
	if (op->retry && op->attempt < WRITE_ATTEMPTS) {
		/* A cache behind another server's writes must not be asked again. */
		if (current && !current->deleted) {
			_cleanup_obj_ struct obj *seen = wc_get(op->q->server->wc, op->res, op->ns, op->name);
			struct obj *o;

			if (!seen || obj_rev(seen) < current->mod_rev) {
				o = stored_parse(op->res, current->value, current->mod_rev);
				if (o)
					op->fresh = obj_link(op->a, o);
			}
		}
		api_req_post(op->q, retry_now, op);
		return;
	}
	if (op->creating && being_deleted(op, current))
		err_exists_deleting(&err, op->res, op->name);
	else if (op->creating)
		set_aside_exists(op->q->server, op->res, op->ns, op->name, &err);
	else if (!current || current->deleted)
		err_not_found(&err, op->res, op->name);
	else
		err_modified(&err, op->res, op->name);
	write_fail(op, &err);
}

static void conclude(const struct store_result *r, struct write_op *op);

static void committed(const struct store_result *r, void *ctx)
{
	struct write_op *op = ctx;
	struct apiserver *s = op->q->server;

	conclude(r, op); /* op and its request may be gone after it */
	write_answered(s);
}

static void conclude(const struct store_result *r, struct write_op *op)
{
	struct err err = ERR_INIT;
	struct obj *o;

	switch (r->outcome) {
	case STORE_OK:
		if (op->has_reserved && op->strat->commit)
			op->strat->commit(op->q, op->reserved);
		o = op->pw.result;
		if (o && op->pw.res != op->res) { /* stored in another form than the client's */
			obj_unref(o);
			o = NULL;
		}
		if (!o) /* a deletion, or a cache that lags */
			o = obj_new(op->doc ? op->doc : obj_root(op->old), r->rev);
		(void)obj_link(op->a, o);
		write_finish(op, o, NULL);
		return;
	case STORE_MISMATCH:
		undo(op);
		mismatch(op, r->current);
		return;
	case STORE_FAILED:
		undo(op);
		if (r->err) {
			err_set(&err, r->err->reason, "%s", err_msg(r->err));
			err.retry_after_s = r->err->retry_after_s;
		} else {
			err_set(&err, ERR_INTERNAL, "the write failed");
		}
		write_fail(op, &err);
		return;
	}
}

static void write_commit(struct write_op *op)
{
	struct apiserver *s = op->q->server;
	const struct val *old = op->old ? obj_root(op->old) : NULL;
	const struct resource *stored = resource_storage(op->res);
	struct store_write w = { 0 };
	struct err err = ERR_INIT;
	struct val *meta, *root = op->doc;
	struct obj *built = NULL;

	if (op->strat->permit && !op->sub.n && !op->tombstone && op->strat->permit(op->q, old, op->doc, &err) < 0) {
		write_fail(op, &err);
		return;
	}
	if (op->strat->reserve && !op->sub.n &&
	    op->strat->reserve(op->q, old, op->tombstone ? NULL : op->doc, &op->reserved, &err) < 0) {
		write_fail(op, &err);
		return;
	}
	op->has_reserved = op->strat->reserve != NULL && !op->sub.n;
	if (op->has_reserved) /* it has put in what it reserved */
		op->ordered = op->completed = false;
	/* With the addresses that it left out the object may be the one that is there. */
	if (op->has_reserved && old && !op->tombstone && !op->creating && update_is_none(op, old)) {
		undo(op);
		write_finish(op, op->old, NULL);
		return;
	}
	if (op->q->dry_run) {
		struct obj *o = op->creating ? wc_get(s->wc, op->res, op->ns, op->name) : NULL;

		if (o) {
			err_exists(&err, op->res, op->name);
			(void)obj_link(op->a, o);
			undo(op);
			write_fail(op, &err);
			return;
		}

		op->ordered = false; /* an update has its resourceVersion at the end */
		if (op->doc)
			write_complete(op);
		o = obj_new(op->doc ? op->doc : old, 0);
		undo(op);
		write_finish(op, obj_link(op->a, o), NULL);
		return;
	}
	if (!op->tombstone) {
		/* The revision is the store's to say; the stored text does not repeat it. */
		val_thaw(op->a, op->doc);
		meta = val_member_mut(op->doc, F_metadata);
		if (meta)
			val_del(meta, F_resourceVersion);
		if (!op->completed)
			write_complete(op);
		if (stored != op->res)
			root = op->strat->to_stored(op->a, op->doc);
		if (!root) {
			undo(op);
			err_set(&err, ERR_INTERNAL, "the object cannot be stored as %s", stored->kind);
			write_fail(op, &err);
			return;
		}
		/* All that can be done before the revision is known is done here: the store's thread has all writes
		 * to do. The next revision mostly has as many digits as the one to come. */
		built = obj_link(op->a, obj_new(root, wc_rev(s->wc) + 1));
		w.value = obj_json_stored(op->a, built);
		w.for_deletion = obj_deleting(built);
		if (w.value.n > OBJECT_BYTES_MAX) {
			undo(op);
			err_set(&err, ERR_TOO_LARGE, "etcdserver: request is too large");
			write_fail(op, &err);
			return;
		}
	}
	op->pw = (struct pending_write){ .res = stored, .root = root, .built = built };
	w.key = storekey(op->a, op->res, op->ns, op->name);
	w.expect_rev = op->creating ? 0 : obj_rev(op->old);
	w.tombstone = op->tombstone;
	w.cookie = &op->pw;
	write_begin(s);
	store_commit(s->store, &w, committed, op);
}

void write_run(struct write_op *op)
{
	struct apiserver *s = op->q->server;
	struct err err = ERR_INIT;
	int rc;

	op->tombstone = op->creating = op->ordered = op->completed = false;
	op->old = op->fresh;
	op->fresh = NULL;
	if (!op->old && op->name.n && !op->generated_name)
		op->old = obj_link(op->a, wc_get(s->wc, op->res, op->ns, op->name));
	if (!op->old &&
	    (op->must_exist || (op->name.n && !op->generated_name && set_aside_rev(s, op->res, op->ns, op->name)))) {
		set_aside_error(s, op->res, op->ns, op->name, &err);
		write_fail(op, &err);
		return;
	}
	rc = op->produce(op, &err);
	if (rc == 0) {
		/* A patch or a hook may have put a part of the old object into the new one: such a part is frozen, and
		 * what comes changes parts in place. */
		val_thaw(op->a, op->doc);
		if (!op->raw)
			rc = op->creating ? create_finish(op, &err) : update_finish(op, &err);
	}
	if (rc < 0)
		write_fail(op, &err);
	else if (rc > 0)
		write_finish(op, op->old, NULL);
	else
		write_commit(op);
}
