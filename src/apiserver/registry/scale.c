/* The scale subresource of everything that has .spec.replicas: a small view of the object.
 *
 * A change to the view becomes a change to the object's replicas, with the object's own
 * validation, ownership and concurrency. */
#include "apiserver/media.h"
#include "apiserver/registry/at.h"
#include "apiserver/registry/registry.h"
#include "object/api_kind.h"
#include "object/decode.h"

struct scale_ctx {
	enum patch_type type;
	bool put;
	struct val *patch;   /* PATCH */
	struct val *desired; /* PUT: a typed Scale */
};

/* Applying a Scale is applying the one field of the object that it shows. */
static int own_replicas(struct write_op *op, int64_t replicas, struct err *err)
{
	struct val *config = val_new_map(op->a), *meta;
	struct apply_opts o;

	val_set_str(op->a, config, F_apiVersion, resource_gv(op->a, op->res));
	val_set_cstr(op->a, config, F_kind, op->res->kind);
	val_set_str(op->a, val_set_map(op->a, config, F_metadata), F_name, op->name);
	(void)registry_scale_set(op->a, op->res, config, replicas);
	apply_opts_of(op, &o);
	config = managed_apply(op->a, op->res->schema, obj_root(op->old), config, &o, err);
	if (!config)
		return write_versions_waits(op) ? REQ_LATER : -1;
	op->applied = true;
	meta = val_ensure_map(op->a, op->doc, F_metadata);
	val_set(op->a, meta, F_managedFields, val_get(config, F_metadata, F_managedFields));
	return 0;
}

static int produce_scale(struct write_op *op, struct err *err)
{
	struct scale_ctx *c = op->ctx2;
	struct api_req *q = op->q;
	struct val *scale = c->desired, *meta;
	int64_t replicas;
	struct scale_shown shown;
	struct sv rv, uid;
	int rc;

	if (registry_scale_shown(op->a, op->res, obj_root(op->old), &shown, err) < 0)
		return -1;
	if (!c->put) {
		bool apply = c->type == PATCH_APPLY;
		struct val *raw;

		if (apply && apply_check(op->a, q->sub->schema, c->patch, err) < 0)
			return -1;
		raw = patch_document(q, q->sub->schema, apply ? PATCH_MERGE : c->type,
				     registry_scale_view(op->a, obj_root(op->old), &shown), c->patch, err);

		if (!raw)
			return -1;
		scale = typed_from_raw(q, q->sub->schema, raw, SV("autoscaling/v1"), SV("Scale"), !apply, err);
		if (!scale || (apply && body_judge_applied(q, err) < 0))
			return -1;
	}
	if (update_check_name(q, scale, err) < 0)
		return -1;
	replicas = val_get_int(scale, 0, F_spec, F_replicas);
	if (replicas < 0) {
		err_set(err, ERR_INVALID,
			"Scale.autoscaling \"%.*s\" is invalid: spec.replicas: Invalid value: %" PRId64
			": must be greater than or equal to 0",
			SV_ARG(op->name), replicas);
		err_add_cause(err, "FieldValueInvalid", SV("spec.replicas"),
			      "Invalid value: %" PRId64 ": must be greater than or equal to 0", replicas);
		return err_set_object(err, SV("autoscaling"), SV("Scale"), op->name);
	}
	op->doc = obj_edit(op->a, op->old);
	meta = val_ensure_map(op->a, op->doc, F_metadata);
	rv = val_get_str(scale, F_metadata, F_resourceVersion);
	uid = val_get_str(scale, F_metadata, F_uid);
	if (rv.n)
		val_set_str(op->a, meta, F_resourceVersion, rv);
	if (uid.n)
		val_set_str(op->a, meta, F_uid, uid);
	if (!registry_scale_set(op->a, op->res, op->doc, replicas))
		return err_set(err, ERR_INTERNAL, "value cannot be set because %s is not a map[string]interface{}",
			       registry_scale_path(op->res));
	if (!c->put && c->type == PATCH_APPLY && (rc = own_replicas(op, replicas, err)) != 0)
		return rc;
	op->retry = !c->put || !rv.n;
	return 0;
}

/* As a row or as metadata, which are told of every kind that can be scaled in the same words. */
static const struct column scale_columns[] = {
	{ "Name", "string", "name", "The object's name.", ".metadata.name", 0, NULL },
	{ "Desired", "integer", "", "Replicas that are wanted.", "or(.spec.replicas,0)", 0, NULL },
	{ "Available", "integer", "", "Replicas that there are.", "or(.status.replicas,0)", 0, NULL },
	{ "Age", "string", "", "How long ago the object was made.", "age(.metadata.creationTimestamp)", 0, NULL },
};

static void scale_answer_in_form(struct api_req *q, const struct val *view, int64_t rev)
{
	static const struct resource scales = { .group = "autoscaling",
						.version = "v1",
						.plural = "scales",
						.kind = "Scale",
						.columns = scale_columns,
						.n_columns = ARRAY_LEN(scale_columns) };
	_cleanup_(obj_unrefp) struct obj *o = obj_new(view, 0);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct http_chunk chunks[MEDIA_CHUNKS];

	q->form->object(q, &b, &scales, o, rev, true);
	q->sink->bytes(q, 200, media_of(q)->content_type, chunks, (size_t)media_text(q, buf_sv(&b), chunks));
}

static void scale_show(struct api_req *q, const struct resource *r, struct obj *o)
{
	struct err err = ERR_INIT;
	struct scale_shown shown;
	const struct val *view;

	if (registry_scale_shown(q->arena, r, obj_root(o), &shown, &err) == 0 && !shown.has_replicas)
		err_set(&err, ERR_INTERNAL, "Internal error occurred: the spec replicas field \"%s\" does not exist",
			registry_scale_path(r));
	if (err.reason != ERR_NONE) {
		api_req_fail(q, &err);
		return;
	}
	view = registry_scale_view(q->arena, obj_root(o), &shown);
	if (q->form && q->form->object && !q->sink->object)
		scale_answer_in_form(q, view, obj_rev(o));
	else
		answer_doc(q, 200, view);
}

static void scale_done(struct write_op *op, struct obj *o, struct err *err)
{
	if (err)
		api_req_fail(op->q, err);
	else
		scale_show(op->q, op->res, o);
}

static void scale_answer(struct api_req *q, struct obj *o)
{
	scale_show(q, q->res, o);
}

/* The group is that of the kind upstream looks for: it has a Scale of its own for these. */
static int scale_not_found(struct api_req *q, struct err *err)
{
	const char *own = strategy_for(q->res)->scale_group;
	struct sv group = own ? sv_from(own) : q->group;
	struct sv what =
	    resource_late(q->res) ? sv_from(q->res->plural) : arena_svf(q->arena, "%s/scale", q->res->plural);

	err_set(err, ERR_NOT_FOUND, "%.*s.%.*s \"%.*s\" not found", SV_ARG(what), SV_ARG(group), SV_ARG(q->name));
	return err_set_object(err, group, what, q->name);
}

/* What the Scale is of: as it is now, or at another moment. A reference. */
static int scale_find(struct api_req *q, struct obj **ret, struct err *err)
{
	int64_t rev;
	int rc = at_read(q, &rev, err);

	if (rc > 0)
		rc = at_object(q, rev, ret, err);
	else if (rc == 0)
		*ret = wc_get(q->server->wc, q->res, q->ns, q->name);
	if (rc < 0 || *ret)
		return rc;
	if (!rev && set_aside_rev(q->server, q->res, q->ns, q->name))
		return set_aside_error(q->server, q->res, q->ns, q->name, err);
	return scale_not_found(q, err);
}

static void scale_get(struct api_req *q)
{
	struct err err = ERR_INIT;
	struct obj *o;

	if (scale_find(q, &o, &err) < 0)
		api_req_fail(q, &err);
	else
		registry_read(q, o, scale_answer);
}

void registry_scale(struct api_req *q)
{
	struct scale_ctx *c = ARENA_NEW(q->arena, struct scale_ctx);
	struct write_op *op;
	struct err err = ERR_INIT;
	bool yaml;

	if (q->verb == VERB_GET) {
		scale_get(q);
		return;
	}
	c->put = q->verb == VERB_UPDATE;
	if (c->put) {
		if (api_options_parse(q, "UpdateOptions", &err) < 0)
			goto failed;
		c->desired = body_typed(q, q->sub->schema, SV("autoscaling/v1"), SV("Scale"), &err);
		if (!c->desired)
			goto failed;
	} else {
		if (patch_media(q, &c->type, &yaml, &err) < 0 || api_options_parse(q, "PatchOptions", &err) < 0)
			goto failed;
		c->patch = body_patch(q, yaml, &err);
		if (!c->patch)
			goto failed;
	}
	op = write_op_new(q, q->res, q->ns, q->name);
	op->must_exist = op->retry = true;
	op->managed_sub = SV("scale");
	op->produce = produce_scale;
	op->done = scale_done;
	op->ctx2 = c;
	write_run(op);
	return;
failed:
	api_req_fail(q, &err);
}
