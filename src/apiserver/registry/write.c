/* The life of a write: its steps, the commit, what becomes of it, another attempt. The verbs' own parts are in
 * create.c, update.c, patch.c and delete.c, what they share in write_steps.c.
 *
 *	find ─ see ─ produce ─ begin ─ own ─ mutate ─ prepare ─ admit ─ settle ─ permit ─┐
 *	  ▲  ┌───────────────────────────────────────────────────────────────────────────┘
 *	  │  └─ reserve ─ unchanged ─ finish ─ convert ─ charge ─ store ═▶ conclude
 *	  │                                                                  │
 *	  └── somebody else was faster, may retry ───────────────────────────┘
 *
 * One loop walks them. A step that says REQ_LATER is asked again when it was resumed, so none changes anything before
 * the last time that it asks. The double line is the store's (commit.h): its thread sends the write on and does nothing
 * of it. */
#include "apiserver/registry/registry.h"
#include "apiserver/admission/resource_quota.h"
#include "apiserver/inflight.h"
#include "apiserver/storekey.h"
#include "object/obj_view.h"

enum {
	WRITE_ANSWER = 1, /* done, nothing is to be written: answer with op->answer, else old; as produce() */
	WRITE_GIVEN = 3,  /* somebody else's by now, or answered */
	WRITE_AGAIN = 4,  /* from the beginning */
};

/* --- the steps, in their order --- */

/* What the server does for itself goes on while not all can be read by which others' writes are judged, and so do its
 * nodes and its leaders. What its controllers make is judged as anybody's. */
static bool write_is_own(const struct write_op *op)
{
	const struct api_req *q = op->q;

	return q->trusted && (user_in_group(&q->user, SV("system:masters")) || sv_is(op->sub, "status") ||
			      resource_storage(op->res) == RES(coordination_leases));
}

static int write_op_find(struct write_op *op, struct err *err)
{
	struct apiserver *s = op->q->server;

	if (!write_is_own(op) && set_aside_unjudged(s, op->res, err) < 0)
		return -1;
	op->tombstone = op->creating = op->ordered = op->completed = op->thawed = false;
	op->answer = NULL;
	if (op->versions)
		write_versions_new(op); /* nothing is left of another attempt */
	op->old = op->fresh;
	op->fresh = NULL;
	if (!op->old && op->name.n && !op->generated_name)
		op->old = obj_link(op->a, wc_get(s->wc, op->res, op->ns, op->name));
	if (!op->old &&
	    (op->must_exist || (op->name.n && !op->generated_name && set_aside_rev(s, op->res, op->ns, op->name))))
		return set_aside_error(s, op->res, op->ns, op->name, err);
	return 0;
}

/* What is there, in the version that is written. */
static int see(struct write_op *op, struct err *err)
{
	return op->versions && op->old ? write_versions_old(op, err) : 0;
}

static int produce(struct write_op *op, struct err *err)
{
	int rc = op->produce(op, err);

	/* A patch or a hook may have put a part of the old object into the new one: such a part is frozen, and what
	 * comes changes parts in place. */
	if (rc == 0)
		val_thaw(op->a, op->doc);
	return rc;
}

static int write_op_begin(struct write_op *op, struct err *err)
{
	if (op->raw)
		return 0;
	return op->creating ? create_begin(op, err) : update_begin(op, err);
}

static int own(struct write_op *op, struct err *err)
{
	int rc = op->raw ? 0 : write_managed(op, op->creating || !op->old ? NULL : obj_root(op->old), err);

	if (rc == 0 && op->creating && !op->raw)
		create_owned(op);
	return rc;
}

static enum admission_op admission_of(const struct write_op *op)
{
	return op->del ? ADMIT_DELETE : op->creating ? ADMIT_CREATE : ADMIT_UPDATE;
}

static int write_op_mutate(struct write_op *op, struct err *err)
{
	return op->raw ? 0 : write_admit(op, true, admission_of(op), err);
}

static int prepare(struct write_op *op, struct err *err)
{
	if (op->raw)
		return 0;
	return op->creating ? create_prepare(op, err) : update_prepare(op, err);
}

static int admit(struct write_op *op, struct err *err)
{
	return op->raw && !op->del ? 0 : write_admit(op, false, admission_of(op), err);
}

static int write_op_settle(struct write_op *op, struct err *err)
{
	int rc;

	if (!op->settle)
		return op->raw || op->creating ? 0 : update_settle(op);
	rc = op->settle(op, err);
	if (rc == 0)
		val_thaw(op->a, op->doc);
	return rc;
}

static int permit(struct write_op *op, struct err *err)
{
	const struct strategy *strat = op->strat;
	int (*fn)(struct api_req * q, const struct val *old, const struct val *doc, struct err *err) =
	    op->sub.n ? (sv_is(op->sub, "status") ? strat->permit_status : NULL) : strat->permit;

	if (!fn || op->tombstone)
		return 0;
	return fn(op->q, op->old ? obj_root(op->old) : NULL, op->doc, err);
}

static int reserve(struct write_op *op, struct err *err)
{
	const struct req_plugins *p = op->q->server->plugins;
	const struct val *old = op->old ? obj_root(op->old) : NULL;
	struct val *doc = op->tombstone ? NULL : op->doc;
	int rc;

	if (op->q->asked == 0 && p && p->reserve) {
		rc = p->reserve(op->q, old, doc, &op->reserved.state_outside, err, p->ctx);
		if (rc != 0)
			return rc;
		op->reserved.has_outside = true;
		op->thawed = false;
	}
	if (op->q->asked == 0)
		op->q->has_result = false;
	op->q->asked = 1;
	if (op->strat->reserve && !op->sub.n) {
		rc = op->strat->reserve(op->q, old, doc, &op->reserved.state, err);
		if (rc != 0)
			return rc;
		op->reserved.has = true;
		op->ordered = op->completed = op->thawed = false; /* it has put in what it reserved */
	}
	op->q->asked = 0;
	return 0;
}

/* What would be written is there already, or is not to be written. */
static int unchanged(struct write_op *op, struct err *err)
{
	const struct val *old = op->old ? obj_root(op->old) : NULL;

	/* With the addresses that it left out the object may be the one that is there. */
	if (op->reserved.has && old && !op->tombstone && !op->creating && update_is_none(op, old) &&
	    !write_versions_stale(op))
		return WRITE_ANSWER;
	if (!op->q->dry_run)
		return 0;
	if (op->creating) {
		struct obj *o = wc_get(op->q->server->wc, op->res, op->ns, op->name);

		if (o) {
			(void)obj_link(op->a, o);
			return err_exists(err, op->res, op->name);
		}
	}
	op->ordered = false; /* an update has its resourceVersion at the end */
	if (op->doc)
		write_complete(op);
	/* What would be stored, as it would be read. */
	if (op->doc && op->versions && op->res->schema->custom) {
		int rc = write_versions_stored(op, err);

		if (rc)
			return rc;
	}
	op->answer = obj_link(op->a, obj_new(op->doc ? op->doc : old, 0));
	return WRITE_ANSWER;
}

static int write_op_finish(struct write_op *op, struct err *err)
{
	const struct req_plugins *p = op->q->server->plugins;
	struct val *meta;
	int rc;

	op->stored = op->doc;
	if (op->tombstone)
		return 0;
	if (p && p->convert && (rc = p->convert(op->q, op->doc, err, p->ctx)) != 0)
		return rc;
	/* The revision is the store's to say; the stored text does not repeat it. */
	if (!op->thawed || (p && p->convert))
		val_thaw(op->a, op->doc);
	meta = val_member_mut(op->doc, F_metadata);
	if (meta)
		val_del(meta, F_resourceVersion);
	if (!op->completed)
		write_complete(op);
	return 0;
}

/* To what is stored. */
static int convert(struct write_op *op, struct err *err)
{
	return op->versions && !op->tombstone ? write_versions_stored(op, err) : 0;
}

/* What quotas it uses of, and how much. Behind this nothing waits for anybody but the store. */
static int charge(struct write_op *op, struct err *err)
{
	struct admission ad = {
		.q = op->q,
		.op = op->creating ? ADMIT_CREATE : ADMIT_UPDATE,
		.res = op->res,
		.subresource = op->sub,
		.ns = op->ns,
		.name = op->name,
		.doc = op->doc,
		.old = op->creating || !op->old ? NULL : obj_root(op->old),
	};
	int rc;

	op->n_charges = 0;
	if (op->raw || op->tombstone || !quota_concerns(&ad))
		return 0;
	rc = quota_turn_take(op->q, op->ns, &op->reserved.turn);
	if (rc)
		return rc;
	return quota_charge(&ad, op->quotas.p, op->quotas.n, &op->charges, &op->n_charges, err);
}

/* The strategy's writes, the quotas', and what must be there with it. */
static void write_op_also(struct write_op *op, struct store_write *w)
{
	struct store_write *all;

	if (op->strat->also)
		w->also = op->strat->also(op->q, op->old ? obj_root(op->old) : NULL, op->tombstone ? NULL : op->doc,
					  &w->n_also);
	op->n_also_own = w->n_also;
	if (op->n_charges + op->n_bounds) {
		all = ARENA_ARRAY(op->a, struct store_write, w->n_also + op->n_charges + op->n_bounds);
		for (size_t i = 0; i < w->n_also; i++)
			all[i] = w->also[i];
		for (size_t i = 0; i < op->n_charges; i++)
			all[w->n_also + i] = op->charges[i];
		for (size_t i = 0; i < op->n_bounds; i++)
			all[w->n_also + op->n_charges + i] = op->bounds[i];
		w->also = all;
		w->n_also += op->n_charges + op->n_bounds;
	}
	op->also = w->also;
}

/* How long the store keeps what is forgotten by itself (event_ttl.c does so where no store does). */
static int64_t write_ttl_s(const struct apiserver *s)
{
	return MIN(MAX(s->o.event_ttl_ns / NS_PER_SEC, 1), STORE_TTL_MAX);
}

static void write_op_go_on(struct api_req *q, void *ctx);

static int store(struct write_op *op, struct err *err)
{
	struct apiserver *s = op->q->server;
	const struct req_plugins *p = s->plugins;
	struct store_write w = { 0 };
	struct obj *built = NULL;
	struct commit *c;
	int rc;

	if (write_bound(op, err) < 0)
		return -1;
	if (p && p->commit && (rc = p->commit(op->q, err, p->ctx)) != 0)
		return rc;
	if (!op->tombstone) {
		/* All that can be done before the revision is known is done here: the store's thread has all writes
		 * to do. The next revision mostly has as many digits as the one to come. */
		built = obj_link(op->a, obj_new(op->stored, wc_rev(s->wc) + 1));
		w.value = obj_json_stored(op->a, built);
		w.for_deletion = obj_deleting(built);
		if (w.value.n > OBJECT_BYTES_MAX)
			return err_set(err, ERR_TOO_LARGE, "etcdserver: request is too large");
	}
	write_op_also(op, &w);
	if (w.n_also > STORE_ALSO_MAX)
		return err_set(err, ERR_TOO_LARGE,
			       "this takes %zu numbers at once, at most %zu can be: please take them "
			       "in several writes",
			       w.n_also - op->n_bounds, STORE_ALSO_MAX - op->n_bounds);
	/* Lists, indices and RBAC go by the object, the store by the key. */
	if (built &&
	    (!sv_eq(obj_ns(built), op->res->namespaced ? op->ns : SV("")) || !sv_eq(obj_name(built), op->name)))
		return err_set(err, ERR_INTERNAL, "admission has changed the name or the namespace of the object");
	w.key = storekey(op->a, op->res, op->ns, op->name);
	w.expect_rev = op->creating ? 0 : obj_rev(op->old);
	w.tombstone = op->tombstone;
	w.ttl_s = op->strat->forgotten ? write_ttl_s(s) : 0;
	op->commit = c = commit_new(op->q, resource_storage(op->res));
	c->pw.built = obj_ref(built);
	c->reserved = op->reserved;
	op->reserved = (struct reserved){ .strat = op->strat };
	op->at++; /* it may be concluded before this returns */
	commit_go(c, &w, write_op_go_on, op);
	return WRITE_GIVEN;
}

/* --- what the store said --- */

static void write_op_quotas_free(void *p)
{
	struct write_op *op = p;

	vec_release(&op->quotas);
}

static bool being_deleted(struct write_op *op)
{
	const struct store_said *said = &op->commit->said;
	_cleanup_obj_ struct obj *o = said->there ? stored_parse(op->res, said->value, said->rev) : NULL;

	return o && obj_deleting(o);
}

/* A quota was changed: by its controller, by a user, by another server. */
static void quota_moved(struct write_op *op)
{
	const struct store_said *said = &op->commit->said;
	struct obj *o = said->there ? stored_parse(RES(core_resourcequotas), said->value, said->rev) : NULL;

	if (!o)
		return;
	if (!op->quotas.p)
		arena_defer(op->a, write_op_quotas_free, op);
	vec_push(&op->quotas, obj_link(op->a, o));
}

/* Another server has what was to be written with it, an address perhaps: there are others. */
static int mismatch_also(struct write_op *op, struct err *err)
{
	const struct store_said *said = &op->commit->said;
	struct sv key = op->also[said->which - 1].key;

	if (op->q->fence_rev && sv_eq(key, op->q->fence_key))
		return err_set(err, ERR_UNAVAILABLE, "%.*s leads no more here: another server does",
			       SV_ARG(op->q->user_agent));
	if (said->which <= op->n_also_own && op->strat->also_refused)
		op->strat->also_refused(op->q, key, said->there ? said->value : SV_NULL, said->there ? said->rev : 0);
	else if (said->which > op->n_also_own && said->which <= op->n_also_own + op->n_charges)
		quota_moved(op);
	/* Else its namespace or its definition has changed, and is looked at anew. */
	if (++op->also_attempt < ALSO_ATTEMPTS)
		return req_over(op->q, err) < 0 ? -1 : WRITE_AGAIN;
	err_set(err, ERR_UNAVAILABLE, "others have taken %.*s and all that was tried before it: please try again",
		SV_ARG(key));
	err->retry_after_s = 1;
	return -1;
}

/* As often as it takes, as upstream does: each race that is lost has another one won. */
static bool tries_again(const struct write_op *op)
{
	return op->retry && (op->attempt < WRITE_ATTEMPTS || op->a->bytes < WRITE_AGAIN_BYTES);
}

/* Somebody else was faster. */
static int mismatch(struct write_op *op, struct err *err)
{
	const struct store_said *said = &op->commit->said;

	op->attempt++;
	if (op->creating && op->base_name.n && op->attempt < GENERATE_NAME_ATTEMPTS)
		return WRITE_AGAIN;
	if (tries_again(op)) {
		if (op->attempt >= WRITE_ATTEMPTS && req_over(op->q, err) < 0)
			return -1;
		/* A cache behind another server's writes must not be asked again. */
		if (said->there) {
			_cleanup_obj_ struct obj *seen = wc_get(op->q->server->wc, op->res, op->ns, op->name);
			struct obj *o;

			if (!seen || obj_rev(seen) < said->rev) {
				o = stored_parse(op->res, said->value, said->rev);
				if (o)
					op->fresh = obj_link(op->a, o);
			}
		}
		return WRITE_AGAIN;
	}
	if (op->creating && being_deleted(op))
		return err_exists_deleting(err, op->res, op->name);
	if (op->creating)
		return set_aside_exists(op->q->server, op->res, op->ns, op->name, err);
	if (!said->there)
		return err_not_found(err, op->res, op->name);
	return err_modified(err, op->res, op->name);
}

static int conclude(struct write_op *op, struct err *err)
{
	struct commit *c = op->commit;
	struct obj *o = NULL;

	if (commit_said(c, err) < 0)
		return -1;
	reserved_end(op->q->server, &c->reserved, c->said.outcome == STORE_OK);
	switch (c->said.outcome) {
	case STORE_OK:
		break;
	case STORE_MISMATCH:
		return c->said.which ? mismatch_also(op, err) : mismatch(op, err);
	case STORE_FAILED:
		return err_move(err, &c->said.err);
	}
	req_passed(op->q, STEP_COMMITTED);
	o = TAKE(c->pw.result);
	if (o && c->pw.res != op->res) { /* as whoever asks next in this version sees it */
		struct obj *view = obj_keep_view(o, op->res, obj_new(op->doc, c->said.rev));

		(void)obj_link(op->a, o);
		o = obj_ref(view);
	}
	if (!o) /* a deletion, or a cache that lags */
		o = obj_new(op->doc ? op->doc : obj_root(op->old), c->said.rev);
	op->answer = obj_link(op->a, o);
	return WRITE_ANSWER;
}

/* --- the walk --- */

static const struct {
	int (*fn)(struct write_op *op, struct err *err);
	enum req_step behind; /* STEP_RECEIVED: none that has a name for others */
} steps[] = {
	{ write_op_find, STEP_RECEIVED },   { see, STEP_RECEIVED },	 { produce, STEP_DECODED },
	{ write_op_begin, STEP_RECEIVED },  { own, STEP_RECEIVED },	 { write_op_mutate, STEP_MUTATED },
	{ prepare, STEP_RECEIVED },	    { admit, STEP_VALIDATED },	 { write_op_settle, STEP_RECEIVED },
	{ permit, STEP_RECEIVED },	    { reserve, STEP_RECEIVED },	 { unchanged, STEP_RECEIVED },
	{ write_op_finish, STEP_RECEIVED }, { convert, STEP_RECEIVED },	 { charge, STEP_RECEIVED },
	{ store, STEP_RECEIVED },	    { conclude, STEP_RECEIVED },
};

static void write_op_walk(struct write_op *op, int rc, struct err *err);

static void write_op_woken(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;
	int rc = req_woken(q, &err);

	write_op_walk(ctx, rc, &err);
}

static void write_op_walk(struct write_op *op, int rc, struct err *err)
{
	while (rc == 0) {
		rc = steps[op->at].fn(op, err);
		if (rc == 0) {
			req_forget(op->q);
			if (steps[op->at++].behind)
				req_passed(op->q, steps[op->at - 1].behind);
			if (op->q->audit && op->doc && steps[op->at - 1].behind == STEP_DECODED)
				audit_request(op->q, op->doc);
		} else if (rc == REQ_LATER) {
			if (!req_park(op->q, write_op_woken, op))
				return;
			rc = req_woken(op->q, err);
		} else if (rc == WRITE_AGAIN) {
			rc = op->at = 0;
		}
	}
	if (rc == WRITE_GIVEN)
		return;
	op->q->asked = 0;
	op->q->hooks = NULL; /* of a wait that ended otherwise */
	reserved_end(op->q->server, &op->reserved, false);
	if (rc == WRITE_ANSWER)
		write_finish(op, op->answer ? op->answer : op->old, NULL);
	else
		write_fail(op, err);
}

static void write_op_go_on(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;

	(void)q;
	write_op_walk(ctx, 0, &err);
}

void write_run(struct write_op *op)
{
	struct err err = ERR_INIT;

	op->at = 0;
	op->reserved.strat = op->strat;
	write_op_walk(op, 0, &err);
}
