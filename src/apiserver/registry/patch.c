/* PATCH: JSON patch, merge patch, strategic merge patch and server-side apply. */
#include "apiserver/registry/registry.h"
#include "object/decode.h"
#include "object/patch.h"

static const struct {
	const char *media;
	enum patch_type type;
	bool yaml;
} media_types[] = {
	{ "application/json-patch+json", PATCH_JSON, false },
	{ "application/merge-patch+json", PATCH_MERGE, false },
	{ "application/strategic-merge-patch+json", PATCH_STRATEGIC, false },
	{ "application/apply-patch+yaml", PATCH_APPLY, true },
	{ "application/apply-patch+json", PATCH_APPLY, false },
};

struct patch_ctx {
	enum patch_type type;
	struct val *patch; /* of apply: the typed configuration */
};

int patch_media(struct api_req *q, enum patch_type *ret, bool *ret_yaml, struct err *err)
{
	struct sv params, type = media_type(q->content_type, &params);
	bool custom = q->res->schema && q->res->schema->custom;

	for (size_t i = 0; i < ARRAY_LEN(media_types); i++) {
		/* Where lists merge by what Go's structs say, custom kinds have none. */
		if (custom && media_types[i].type == PATCH_STRATEGIC)
			continue;
		if (sv_is(type, media_types[i].media)) {
			*ret = media_types[i].type;
			*ret_yaml = media_types[i].yaml;
			return 0;
		}
	}
	return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
		       "the body of the request was in an unknown format - accepted media types include: "
		       "application/json-patch+json, application/merge-patch+json, %sapplication/apply-patch+yaml",
		       custom ? "" : "application/strategic-merge-patch+json, ");
}

struct val *patch_document(struct api_req *q, const struct schema *s, enum patch_type type, const struct val *live,
			   const struct val *patch, struct err *err)
{
	/* A strategic merge patch of null changes nothing, a merge patch of null is none. */
	if (type == PATCH_STRATEGIC && val_type(patch) == VAL_NULL)
		return val_clone_nodes(q->arena, live);
	if (type == PATCH_MERGE && val_type(patch) == VAL_NULL) {
		err_set(err, ERR_BAD_REQUEST, "Invalid JSON Patch");
		return NULL;
	}
	if (type != PATCH_JSON && val_type(patch) != VAL_MAP) {
		err_set(err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type map[string]interface {}",
			val_type_name(val_type(patch)));
		return NULL;
	}
	switch (type) {
	case PATCH_JSON:
		return patch_json(q->arena, live, patch, err);
	case PATCH_MERGE:
		return patch_merge(q->arena, live, patch, err);
	default:
		return patch_strategic(q->arena, s, live, patch, err);
	}
}

static int produce_patch(struct write_op *op, struct err *err)
{
	struct patch_ctx *p = op->ctx2;
	struct api_req *q = op->q;
	struct val *raw = patch_document(q, op->res->schema, p->type, obj_root(op->old), p->patch, err);

	if (!raw)
		return -1;
	op->doc =
	    typed_from_raw(q, op->res->schema, raw, resource_gv(op->a, op->res), sv_from(op->res->kind), true, err);
	if (!op->doc || update_check_name(q, op->doc, err) < 0)
		return -1;
	return write_defaults(op, err);
}

static int produce_apply(struct write_op *op, struct err *err)
{
	struct patch_ctx *p = op->ctx2;
	struct apply_opts o;
	struct sv uid = val_get_str(p->patch, F_metadata, F_uid),
		  rv = val_get_str(p->patch, F_metadata, F_resourceVersion);

	op->code = 200;
	if (!op->old) {
		if (op->sub.n)
			return err_not_found(err, op->res, op->name);
		if (uid.n)
			return err_conflict(
			    err, op->res, op->name,
			    "uid mismatch: the provided object specified uid %.*s, and no existing object was "
			    "found",
			    SV_ARG(uid));
		if (rv.n)
			return err_not_found(err, op->res, op->name);
		op->creating = true;
		op->code = 201;
	}
	apply_opts_of(op, &o);
	op->doc = managed_apply(op->a, op->res->schema, op->old ? obj_root(op->old) : NULL, p->patch, &o, err);
	if (!op->doc)
		return write_versions_waits(op) ? REQ_LATER : -1;
	if (body_judge_applied(op->q, err) < 0)
		return -1;
	op->applied = true;
	/* Own the nodes: the result may share them with the live object. */
	op->doc = typed_from_raw(op->q, op->res->schema, op->doc, resource_gv(op->a, op->res), sv_from(op->res->kind),
				 false, err);
	if (!op->doc)
		return -1;
	if (uid.n)
		val_set_str(op->a, val_ensure_map(op->a, op->doc, F_metadata), F_uid, uid);
	if (rv.n && op->old)
		val_set_str(op->a, val_ensure_map(op->a, op->doc, F_metadata), F_resourceVersion, rv);
	return write_defaults(op, err);
}

/* The configuration as it was written: fields that decoding would fill in are not the client's to own. Whether it is
 * well-formed the merge finds out. */
static struct val *apply_config(struct api_req *q, struct val *raw, struct err *err)
{
	struct sv av = val_get_str(raw, F_apiVersion), kind = val_get_str(raw, F_kind);

	if (val_type(raw) != VAL_MAP) {
		err_set(
		    err, ERR_BAD_REQUEST,
		    "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal %s into "
		    "Go value of type map[string]interface {}",
		    val_type_name(val_type(raw)));
		return NULL;
	}
	if (!sv_eq(av, resource_gv(q->arena, q->res)) || !sv_is(kind, q->res->kind)) {
		err_set(err, ERR_BAD_REQUEST, "invalid object type: %s%.*s, Kind=%.*s", sv_find(av, '/') < 0 ? "/" : "",
			SV_ARG(av), SV_ARG(kind));
		return NULL;
	}
	if (val_len(val_get(raw, F_metadata, F_managedFields))) {
		err_set(err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
		return NULL;
	}
	return update_check_name(q, raw, err) < 0 ? NULL : raw;
}

void registry_patch(struct api_req *q)
{
	struct write_op *op = write_op_new(q, q->res, q->ns, q->name);
	struct patch_ctx *p = ARENA_NEW(q->arena, struct patch_ctx);
	struct err err = ERR_INIT;
	bool yaml = false;

	op->sub = q->subresource;
	if (patch_media(q, &p->type, &yaml, &err) < 0 || api_options_parse(q, "PatchOptions", &err) < 0)
		goto failed;
	p->patch = body_patch(q, yaml, &err);
	if (!p->patch)
		goto failed;
	op->ctx2 = p;
	op->retry = true;
	if (p->type == PATCH_APPLY) {
		p->patch = apply_config(q, p->patch, &err);
		if (!p->patch)
			goto failed;
		op->produce = produce_apply;
	} else {
		op->must_exist = true;
		op->produce = produce_patch;
	}
	write_run(op);
	return;
failed:
	api_req_fail(q, &err);
}
