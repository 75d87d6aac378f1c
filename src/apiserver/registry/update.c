/* PUT, and changes to objects inside other requests. */
#include "apiserver/registry/registry.h"

static int must_be_specified(struct write_op *op, struct err *err)
{
	/* Of a custom kind upstream names the resource there. */
	const char *what = op->res->schema->custom ? op->res->plural : op->res->kind;

	err_set(err, ERR_INVALID,
		"%s%s%s \"%.*s\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for "
		"an update",
		what, *op->res->group ? "." : "", op->res->group, SV_ARG(op->name));
	err_add_cause(err, "FieldValueInvalid", SV("metadata.resourceVersion"),
		      "Invalid value: 0x0: must be specified for an update");
	return err_set_object(err, sv_from(op->res->group), sv_from(what), op->name);
}

static int produce_put(struct write_op *op, struct err *err)
{
	op->doc = op->ctx2;
	if (!val_get_str(op->doc, F_metadata, F_resourceVersion).n || op->strat->also)
		op->ctx2 = val_clone_nodes(op->a, op->doc); /* for another attempt */
	op->code = op->old ? 200 : 201;
	if (!op->old) {
		if (!op->strat->create_on_update)
			return err_not_found(err, op->res, op->name);
		/* An object that was meant to be there in this version is gone. */
		if (val_get_str(op->doc, F_metadata, F_uid).n || val_get_str(op->doc, F_metadata, F_resourceVersion).n)
			return err_not_found(err, op->res, op->name);
		op->creating = true;
		return 0;
	}
	op->retry = !val_get_str(op->doc, F_metadata, F_resourceVersion).n;
	if (op->retry && !op->strat->unconditional_update)
		return must_be_specified(op, err);
	return 0;
}

int update_check_name(struct api_req *q, const struct val *doc, struct err *err)
{
	struct sv name = val_get_str(doc, F_metadata, F_name), ns = val_get_str(doc, F_metadata, F_namespace);

	if (!name.n)
		return err_set(err, ERR_BAD_REQUEST,
			       "the name of the object (%.*s based on URL) was undeterminable: name must be provided",
			       SV_ARG(q->name));
	if (!sv_eq(name, q->name))
		return err_set(err, ERR_BAD_REQUEST,
			       "the name of the object (%.*s) does not match the name on the URL (%.*s)", SV_ARG(name),
			       SV_ARG(q->name));
	if (q->res->namespaced && ns.n && !sv_eq(ns, q->ns))
		return err_set(err, ERR_BAD_REQUEST,
			       "the namespace of the provided object does not match the namespace sent on the request");
	return 0;
}

void registry_update(struct api_req *q)
{
	struct write_op *op = write_op_new(q, q->res, q->ns, q->name);
	struct err err = ERR_INIT;

	op->sub = q->subresource;
	if (api_options_parse(q, "UpdateOptions", &err) < 0)
		goto failed;
	op->doc = body_typed(q, q->res->schema, resource_gv(q->arena, q->res), sv_from(q->res->kind), &err);
	if (!op->doc)
		goto failed;
	if (q->trusted && !val_get_str(op->doc, F_metadata, F_name).n)
		val_set_str(q->arena, val_ensure_map(q->arena, op->doc, F_metadata), F_name, q->name);
	if (update_check_name(q, op->doc, &err) < 0)
		goto failed;
	/* "0" is any version, as none is. */
	if (val_is(val_get(op->doc, F_metadata, F_resourceVersion), "0"))
		val_del(val_get_mut(op->doc, F_metadata), F_resourceVersion);
	if (write_defaults(op, &err) < 0)
		goto failed;
	op->ctx2 = op->doc;
	op->must_exist = q->subresource.n != 0;
	op->produce = produce_put;
	write_run(op);
	return;
failed:
	api_req_fail(q, &err);
}

/* --- updates inside other requests --- */

struct update_cb {
	int (*change)(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err);
	void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx);
	void *ctx;
};

static int produce_change(struct write_op *op, struct err *err)
{
	struct update_cb *cb = op->ctx;

	op->doc = obj_edit(op->a, op->old);
	return cb->change(op->q, obj_root(op->old), op->doc, cb->ctx, err);
}

static void update_cb_done(struct write_op *op, struct obj *o, struct err *err)
{
	struct update_cb *cb = op->ctx;

	cb->done(op->q, o, err, cb->ctx);
}

void registry_update_async(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, const char *sub,
			   int (*change)(struct api_req *q, const struct val *old, struct val *doc, void *ctx,
					 struct err *err),
			   void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx), void *ctx)
{
	struct write_op *op;
	struct update_cb *cb = ARENA_NEW(q->arena, struct update_cb);

	*cb = (struct update_cb){ .change = change, .done = done, .ctx = ctx };
	registry_adopt(q, r, ns, name, VERB_UPDATE);
	op = write_op_new(q, r, ns, name);
	op->sub = sub ? sv_from(sub) : SV("");
	op->must_exist = op->retry = true;
	op->produce = produce_change;
	op->done = update_cb_done;
	op->ctx = cb;
	op->unowned = sv_is(op->sub, "binding");
	write_run(op);
}
