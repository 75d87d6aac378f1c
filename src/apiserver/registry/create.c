/* POST: a new object, and the create half of PUT and apply. */
#include "apiserver/registry/registry.h"
#include "base/timefmt.h"
#include "object/decode.h"

#define GENERATED_SUFFIX 5
#define GENERATED_BASE_MAX 58 /* upstream: 63 less the suffix */

/* Suffix letters of upstream's names: no vowels, nothing that looks like another. */
static const char suffix_letters[] = "bcdfghjklmnpqrstvwxz2456789";

static struct sv generate_name(struct write_op *op)
{
	char suffix[GENERATED_SUFFIX];
	struct sv base = sv_sub(op->base_name, 0, GENERATED_BASE_MAX);
	/* One draw for all letters: what 27^5 leaves over of 2^64 values is no bias worth a loop. */
	uint64_t draw = env_random_u64(op->q->server->env);

	for (size_t i = 0; i < sizeof(suffix); i++) {
		suffix[i] = suffix_letters[draw % (sizeof(suffix_letters) - 1)];
		draw /= sizeof(suffix_letters) - 1;
	}
	return arena_svf(op->a, "%.*s%.*s", SV_ARG(base), (int)sizeof(suffix), suffix);
}

/* Namespace of the body against the path's. */
static int settle_namespace(struct write_op *op, struct err *err)
{
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);
	struct sv ns = val_get_str(meta, F_namespace);

	if (!op->res->namespaced) {
		val_del(meta, F_namespace);
		return 0;
	}
	if (!ns.n)
		val_set_str(op->a, meta, F_namespace, op->ns);
	else if (!sv_eq(ns, op->ns))
		return err_set(err, ERR_BAD_REQUEST,
			       "the namespace of the provided object does not match the namespace sent on the request");
	return 0;
}

static void system_fields(struct write_op *op)
{
	struct apiserver *s = op->q->server;
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);
	char text[TIME_TEXT_MAX], uid[37];

	val_del(meta, F_selfLink);
	val_del(meta, F_deletionTimestamp);
	val_del(meta, F_deletionGracePeriodSeconds);
	if (!op->strat->no_generation) /* else it is the client's, whatever it means by it */
		val_del(meta, F_generation);
	val_del(meta, F_resourceVersion);
	env_uuid(s->env, uid);
	val_set_cstr(op->a, meta, F_uid, uid);
	if (!op->strat->no_generation && !op->strat->late_generation)
		val_set_int(op->a, meta, F_generation, 1);
	val_set_str(op->a, meta, F_creationTimestamp, time_format(env_now_ns(s->env), false, text));
}

void create_finish(struct write_op *op)
{
	struct val *meta = val_ensure_map(op->a, op->doc, F_metadata);
	struct err err = ERR_INIT;

	op->creating = true;
	if (val_get_str(meta, F_resourceVersion).n && !val_is(val_get(meta, F_resourceVersion), "0")) {
		err_set(&err, ERR_UNKNOWN, "resourceVersion should not be set on objects to be created");
		write_fail(op, &err);
		return;
	}
	if (settle_namespace(op, &err) < 0)
		goto failed;
	if (write_managed(op, NULL, &err) < 0)
		goto failed;
	/* A kubelet registers its Node with the status it has; nobody else brings one along. */
	if (op->res->has_status && op->res->id != R_core_nodes)
		val_del(op->doc, F_status);
	op->name = val_get_str(op->doc, F_metadata, F_name);
	if (write_admit(op, true, ADMIT_CREATE, &err) < 0)
		goto failed;
	meta = val_ensure_map(op->a, op->doc, F_metadata);
	op->name = val_get_str(meta, F_name);
	if (op->generated_name || (!op->name.n && val_get_str(meta, F_generateName).n)) {
		op->generated_name = true;
		op->base_name = val_get_str(meta, F_generateName);
		op->name = generate_name(op);
		val_set_str(op->a, meta, F_name, op->name);
	}
	system_fields(op);
	if (op->strat->prepare_create)
		op->strat->prepare_create(op->q, op->doc);
	op->name = val_get_str(op->doc, F_metadata, F_name);
	if (write_validate(op, NULL, &err) < 0 || write_admit(op, false, ADMIT_CREATE, &err) < 0)
		goto failed;
	write_commit(op);
	return;
failed:
	write_fail(op, &err);
}

/* Each attempt starts from the body as it was: hooks have changed the last one. */
static int produce_body(struct write_op *op, struct err *err)
{
	(void)err;
	op->doc = op->ctx2;
	if (!val_get_str(op->doc, F_metadata, F_name).n)
		op->ctx2 = val_clone_nodes(op->a, op->doc);
	op->creating = true;
	return 0;
}

static void run_create(struct api_req *q, const struct resource *r, struct sv ns, struct val *doc,
		       void (*done)(struct write_op *op, struct obj *o, struct err *err), void *ctx, bool defaults)
{
	struct write_op *op = write_op_new(q, r, ns, SV_NULL);

	op->doc = doc;
	op->code = 201;
	op->done = done;
	op->ctx = ctx;
	if (defaults)
		write_defaults(op);
	op->ctx2 = op->doc;
	op->produce = produce_body;
	write_run(op);
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
		st->virtual_create(q, op->doc);
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
