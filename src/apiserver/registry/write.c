/* The life of a write: attempts, the commit and its continuation. The verbs' own parts are in
 * create.c, update.c, patch.c and delete.c. */
#include "apiserver/registry/registry.h"
#include "apiserver/registry/validate/validate_kinds.h"
#include "object/decode.h"

#include <stdio.h>

struct sv resource_gv(struct arena *a, const struct resource *r)
{
	return *r->group ? arena_svf(a, "%s/%s", r->group, r->version) : sv_from(r->version);
}

void registry_adopt(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, enum verb verb)
{
	if (q->res)
		return;
	q->res = r;
	q->resource_request = true;
	q->verb = verb;
	q->group = sv_from(r->group);
	q->version = sv_from(r->version);
	q->plural = sv_from(r->plural);
	q->ns = r->namespaced ? ns : SV("");
	q->name = name;
	q->options_ok = true;
}

struct write_op *write_op_new(struct api_req *q, const struct resource *r, struct sv ns, struct sv name)
{
	struct write_op *op = ARENA_NEW(q->arena, struct write_op);

	op->q = q;
	op->a = q->arena;
	op->res = r;
	op->strat = strategy_for(r);
	op->ns = r->namespaced ? ns : SV("");
	op->name = name;
	op->sub = SV("");
	op->code = 200;
	return op;
}

void write_finish(struct write_op *op, struct obj *o, struct err *err)
{
	if (op->done) {
		op->done(op, o, err);
		if (err)
			err_release(err);
	} else if (err) {
		api_req_fail(op->q, err);
	} else {
		op->q->sink->object(op->q, op->code, o, NULL);
	}
}

void write_fail(struct write_op *op, struct err *err)
{
	write_finish(op, NULL, err);
}

void write_defaults(struct write_op *op)
{
	default_typed(op->a, op->res->schema, op->doc);
	if (op->strat->set_defaults)
		op->strat->set_defaults(op->q, op->doc);
}

void apply_opts_of(struct write_op *op, struct apply_opts *ret)
{
	*ret = (struct apply_opts){
		.manager = field_manager_of(op->q),
		.subresource = op->managed_sub.n ? op->managed_sub : op->sub,
		.api_version = resource_gv(op->a, op->res),
		.now_ns = env_now_ns(op->q->server->env),
		.force = op->q->force,
		.reset_fields = kept_fields(op->res, op->sub),
	};
}

int write_managed(struct write_op *op, const struct val *old, struct err *err)
{
	struct apply_opts o;
	struct val *doc;

	if (op->applied || op->unowned)
		return 0;
	apply_opts_of(op, &o);
	doc = managed_update(op->a, op->res->schema, old, op->doc, &o, err);
	if (!doc)
		return -1;
	op->doc = doc;
	/* Who sent an empty list owns it; everywhere else it is as none. */
	if (op->q->has_empty)
		empty_to_null(op->a, op->res->schema, op->doc);
	return 0;
}

int write_admit(struct write_op *op, bool mutate, enum admission_op kind, struct err *err)
{
	struct admission ad = {
		.q = op->q,
		.op = kind,
		.res = op->res,
		.subresource = op->sub,
		.ns = op->ns,
		.name = op->name,
		.doc = kind == ADMIT_DELETE ? NULL : op->doc,
		.old = op->old ? obj_root(op->old) : NULL,
	};

	if (op->skip_admission)
		return 0;
	return mutate ? admission_mutate(&ad, err) : admission_validate(&ad, err);
}

int write_validate(struct write_op *op, const struct val *old, struct err *err)
{
	validate_kind_fn *kind_rules = validate_kind_for(op->res);
	struct field_errs fe, rules;
	const char *sub = op->sub.n ? arena_cstr(op->a, op->sub) : NULL;

	/* Defaults and admission added members; rules that go along the type's fields search for none when they are
	 * in order. */
	val_thaw(op->a, op->doc);
	order_typed(op->a, op->res->schema, op->doc);
	op->ordered = true;
	field_errs_init(&fe, op->a);
	field_errs_init(&rules, op->a);
	validate_object_meta(&fe, op->res, val_member(op->doc, F_metadata), old ? val_member(old, F_metadata) : NULL,
			     op->strat->name_check ? op->strat->name_check : fmt_dns_subdomain);
	validate_typed(&fe, op->res->schema, op->doc, old, NULL);
	if (kind_rules)
		kind_rules(&rules, op->doc, old, sub);
	if (op->strat->validate)
		op->strat->validate(&rules, op->doc, old, sub);
	field_errs_merge(&fe, &rules);
	/* An Event is core's, whatever group it comes by. */
	if (field_errs_to_err(&fe, resource_storage(op->res), op->name, err) < 0)
		return -1;
	if (op->strat->warn && !op->sub.n)
		op->strat->warn(op->q, op->doc, old);
	return 0;
}

bool object_finalized(const struct resource *r, const struct val *doc)
{
	if (val_len(val_get(doc, F_metadata, F_finalizers)))
		return false;
	return r->id != R_core_namespaces || !val_len(val_get(doc, F_spec, F_finalizers));
}

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

void write_begin(struct apiserver *s)
{
	pthread_mutex_lock(&s->lock);
	s->writes++;
	pthread_mutex_unlock(&s->lock);
}

void write_answered(struct apiserver *s)
{
	pthread_mutex_lock(&s->lock);
	if (--s->writes == 0)
		pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
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

/* What is added here is nobody's: ownership is recorded before. */
void write_complete(struct write_op *op)
{
	if (zero_typed(op->a, op->res->schema, op->doc) || !op->ordered)
		order_typed(op->a, op->res->schema, op->doc);
	op->ordered = op->completed = true;
}

void write_commit(struct write_op *op)
{
	struct apiserver *s = op->q->server;
	const struct val *old = op->old ? obj_root(op->old) : NULL;
	const struct resource *stored = resource_storage(op->res);
	struct store_write w = { 0 };
	struct err err = ERR_INIT;
	struct val *meta, *root = op->doc;
	struct obj *built = NULL;

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
	w.key = store_key(op->a, op->res, op->ns, op->name);
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
	if (rc < 0) {
		write_fail(op, &err);
		return;
	}
	if (rc > 0) {
		write_finish(op, op->old, NULL);
		return;
	}
	/* A patch or a hook may have put a part of the old object into the new one: such a part is frozen, and what
	 * comes changes parts in place. */
	val_thaw(op->a, op->doc);
	if (op->raw)
		write_commit(op);
	else if (op->creating)
		create_finish(op);
	else
		update_finish(op);
}
