/* The scale subresource of everything that has .spec.replicas: a small view of the object.
 *
 * A change to the view becomes a change to the object's replicas, with the object's own
 * validation, ownership and concurrency. */
#include "apiserver/registry/registry.h"
#include "object/api_kind.h"
#include "object/decode.h"

struct scale_ctx {
	enum patch_type type;
	bool put;
	struct val *patch;   /* PATCH */
	struct val *desired; /* PUT: a typed Scale */
};

static struct sv selector_text(struct arena *a, const struct resource *r, const struct val *sel)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct selector *s;

	if (!sel)
		return SV("");
	s = strategy_for(r)->map_selector ? selector_from_map(a, sel) : selector_from_label_selector(a, sel, NULL);
	if (s)
		selector_format(&b, s);
	return arena_sv(a, buf_sv(&b));
}

/* What a Scale shows of an object. */
struct shown {
	int64_t replicas, status_replicas;
	struct sv selector;
	bool has_replicas;
};

/* Where a custom kind says. -1: something else is there. */
static int scale_shown_custom(const struct api_scale *at, const struct val *o, struct shown *ret, struct err *err)
{
	const struct val *n;

	if (custom_scale_value(o, at->replicas, VAL_INT, &n, err) < 0)
		return -1;
	ret->has_replicas = n != NULL;
	ret->replicas = val_int_or(n, 0);
	if (custom_scale_value(o, at->status_replicas, VAL_INT, &n, err) < 0)
		return -1;
	ret->status_replicas = val_int_or(n, 0);
	if (at->selector && *at->selector) {
		if (custom_scale_value(o, at->selector, VAL_STR, &n, err) < 0)
			return -1;
		ret->selector = val_str(n);
	}
	return 0;
}

static int scale_shown(struct arena *a, const struct resource *r, const struct val *o, struct shown *ret,
		       struct err *err)
{
	const struct api_scale *at = resource_late(r) ? api_kind_scale(api_kind_of(r)) : NULL;

	*ret = (struct shown){ .selector = SV("") };
	if (at)
		return scale_shown_custom(at, o, ret, err);
	ret->has_replicas = true;
	ret->replicas = val_get_int(o, 0, F_spec, F_replicas);
	ret->status_replicas = val_get_int(o, 0, F_status, F_replicas);
	ret->selector = selector_text(a, r, val_get(o, F_spec, F_selector));
	return 0;
}

static struct val *scale_of(struct arena *a, const struct val *o, const struct shown *shown)
{
	static const enum sym from_meta[] = { F_name, F_namespace, F_uid, F_resourceVersion, F_creationTimestamp };
	struct val *scale = val_new_map(a), *m;

	val_set_cstr(a, scale, F_kind, "Scale");
	val_set_cstr(a, scale, F_apiVersion, "autoscaling/v1");
	m = val_new_map(a);
	for (size_t i = 0; i < ARRAY_LEN(from_meta); i++) {
		const struct val *v = val_get(o, F_metadata, from_meta[i]);

		if (v)
			val_set(a, m, from_meta[i], v);
	}
	val_set(a, scale, F_metadata, m);
	m = val_new_map(a);
	if (shown->replicas)
		val_set_int(a, m, F_replicas, shown->replicas);
	val_set(a, scale, F_spec, m);
	m = val_new_map(a);
	val_set_int(a, m, F_replicas, shown->status_replicas);
	if (shown->selector.n)
		val_set_str(a, m, F_selector, shown->selector);
	val_set(a, scale, F_status, m);
	return scale;
}

/* Where replicas are put. */
static const char *replicas_path(const struct resource *r)
{
	const struct api_scale *at = resource_late(r) ? api_kind_scale(api_kind_of(r)) : NULL;

	return at ? at->replicas : ".spec.replicas";
}

/* NULL: something stands in the way. */
static struct val *replicas_set(struct arena *a, const struct resource *r, struct val *doc, int64_t replicas)
{
	struct sv rest = sv_from(replicas_path(r)), part;
	struct val *at = doc;

	rest = sv_sub(rest, 1, rest.n);
	while (sv_split(&rest, '.', &part)) {
		struct val *next = val_member_sv_mut(at, part);

		if (!rest.n) {
			val_set_sv(a, at, part, val_new_int(a, replicas));
			return doc;
		}
		if (next && val_type(next) != VAL_MAP)
			return NULL;
		at = next ? next : val_set_sv(a, at, part, val_new_map(a));
	}
	return NULL;
}

/* Applying a Scale is applying the one field of the object that it shows. */
static int own_replicas(struct write_op *op, int64_t replicas, struct err *err)
{
	struct val *config = val_new_map(op->a), *meta;
	struct apply_opts o;

	val_set_str(op->a, config, F_apiVersion, resource_gv(op->a, op->res));
	val_set_cstr(op->a, config, F_kind, op->res->kind);
	val_set_str(op->a, val_set_map(op->a, config, F_metadata), F_name, op->name);
	(void)replicas_set(op->a, op->res, config, replicas);
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
	struct shown shown;
	struct sv rv, uid;
	int rc;

	if (scale_shown(op->a, op->res, obj_root(op->old), &shown, err) < 0)
		return -1;
	if (!c->put) {
		bool apply = c->type == PATCH_APPLY;
		struct val *raw;

		if (apply && apply_check(op->a, q->sub->schema, c->patch, err) < 0)
			return -1;
		raw = patch_document(q, q->sub->schema, apply ? PATCH_MERGE : c->type,
				     scale_of(op->a, obj_root(op->old), &shown), c->patch, err);

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
	if (!replicas_set(op->a, op->res, op->doc, replicas))
		return err_set(err, ERR_INTERNAL,
			       "value cannot be set because %s is not a map[string]interface{}",
			       replicas_path(op->res));
	if (!c->put && c->type == PATCH_APPLY && (rc = own_replicas(op, replicas, err)) != 0)
		return rc;
	op->retry = !c->put || !rv.n;
	return 0;
}

static void scale_show(struct api_req *q, const struct resource *r, struct obj *o)
{
	struct err err = ERR_INIT;
	struct shown shown;

	if (scale_shown(q->arena, r, obj_root(o), &shown, &err) == 0 && !shown.has_replicas)
		err_set(&err, ERR_INTERNAL, "Internal error occurred: the spec replicas field \"%s\" does not exist",
			replicas_path(r));
	if (err.reason != ERR_NONE)
		api_req_fail(q, &err);
	else
		answer_doc(q, 200, scale_of(q->arena, obj_root(o), &shown));
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

void registry_scale(struct api_req *q)
{
	struct scale_ctx *c = ARENA_NEW(q->arena, struct scale_ctx);
	struct write_op *op;
	struct err err = ERR_INIT;
	struct obj *o;
	bool yaml;

	if (q->verb == VERB_GET) {
		o = registry_peek(q, q->res, q->ns, q->name);
		if (!o && set_aside_rev(q->server, q->res, q->ns, q->name)) {
			set_aside_error(q->server, q->res, q->ns, q->name, &err);
			goto failed;
		}
		if (!o) {
			/* The group is that of the kind upstream looks for: it has a Scale of its own for these. */
			const char *own = strategy_for(q->res)->scale_group;
			struct sv group = own ? sv_from(own) : q->group;
			struct sv what = arena_svf(q->arena, "%s/scale", q->res->plural);

			err_set(&err, ERR_NOT_FOUND, "%.*s.%.*s \"%.*s\" not found", SV_ARG(what), SV_ARG(group),
				SV_ARG(q->name));
			err_set_object(&err, group, what, q->name);
			goto failed;
		}
		registry_read(q, obj_ref(o), scale_answer);
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
