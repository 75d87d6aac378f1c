/* POST, and objects that are made inside other requests. */
#include "apiserver/registry/registry.h"
#include "object/decode.h"

/* Each attempt starts from the body as it was: hooks have changed the last one. */
static int produce_body(struct write_op *op, struct err *err)
{
	(void)err;
	op->doc = op->ctx2;
	if (!val_get_str(op->doc, F_metadata, F_name).n || op->strat->also)
		op->ctx2 = val_clone_nodes(op->a, op->doc);
	op->creating = true;
	return 0;
}

static void run_create(struct api_req *q, const struct resource *r, struct sv ns, struct val *doc,
		       void (*done)(struct write_op *op, struct obj *o, struct err *err), void *ctx, bool defaults)
{
	struct write_op *op = write_op_new(q, r, ns, SV_NULL);
	struct err err = ERR_INIT;

	op->doc = doc;
	op->code = 201;
	op->done = done;
	op->ctx = ctx;
	if (defaults && write_defaults(op, &err) < 0) {
		write_fail(op, &err);
		return;
	}
	op->ctx2 = op->doc;
	op->produce = produce_body;
	write_run(op);
}

static int create_virtual(struct api_req *q, void *doc, struct err *err)
{
	return strategy_for(q->res)->virtual_create(q, doc, err);
}

void registry_create(struct api_req *q)
{
	const struct strategy *st = strategy_for(q->res);
	struct err err = ERR_INIT;
	struct write_op *op;
	struct val *doc;

	if (api_options_parse(q, "CreateOptions", &err) < 0)
		goto failed;
	if (q->res->namespaced && !q->ns.n) {
		err_set(&err, ERR_BAD_REQUEST, "an empty namespace may not be set during creation");
		goto failed;
	}
	if (write_open(q->res, &err) < 0)
		goto failed;
	doc = body_typed(q, q->res->schema, resource_gv(q->arena, q->res), sv_from(q->res->kind), &err);
	if (!doc)
		goto failed;
	if (st->virtual_create) {
		default_typed(q->arena, q->res->schema, doc);
		if (st->set_defaults)
			st->set_defaults(q, doc);
		/* Reviews come back with an owner of their spec, as everything that is created. */
		op = write_op_new(q, q->res, q->ns, SV_NULL);
		op->doc = doc;
		if (write_managed(op, NULL, &err) < 0)
			goto failed;
		req_ask(q, create_virtual, op->doc);
		return;
	}
	run_create(q, q->res, q->ns, doc, NULL, NULL, true);
	return;
failed:
	api_req_fail(q, &err);
}

struct create_cb {
	void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx);
	void *ctx;
};

static void create_cb_done(struct write_op *op, struct obj *o, struct err *err)
{
	struct create_cb *cb = op->ctx;

	cb->done(op->q, o, err, cb->ctx);
}

void registry_create_async(struct api_req *q, const struct resource *r, struct sv ns, struct val *doc,
			   void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx), void *ctx)
{
	struct create_cb *cb = ARENA_NEW(q->arena, struct create_cb);
	struct err err = ERR_INIT;
	struct val *typed;

	cb->done = done;
	cb->ctx = ctx;
	registry_adopt(q, r, ns, val_get_str(doc, F_metadata, F_name), VERB_CREATE);
	typed = typed_from_raw(q, r->schema, doc, resource_gv(q->arena, r), sv_from(r->kind), false, &err);
	if (!typed) {
		done(q, NULL, &err, ctx);
		err_release(&err);
		return;
	}
	run_create(q, r, ns, typed, create_cb_done, cb, true);
}
