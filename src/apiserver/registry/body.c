/* From the bytes of a request to a typed, defaulted document, with upstream's complaints. */
#include "apiserver/registry/registry.h"
#include "base/vec.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "object/decode.h"
#include "object/protobuf.h"

struct strictness {
	struct arena *a;
	VEC(struct sv) list;
};

static void note_duplicate(struct sv path, void *ctx)
{
	struct strictness *st = ctx;

	if (st->list.n < 100)
		vec_push(&st->list, arena_svf(st->a, "duplicate field \"%.*s\"", SV_ARG(path)));
}

static int unsupported(struct api_req *q, struct err *err)
{
	(void)q;
	return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
		       "the body of the request was in an unknown format - accepted media types include: "
		       "application/json, application/yaml, " PROTOBUF_MEDIA_TYPE);
}

static struct val *parse(struct api_req *q, bool yaml, struct strictness *st, struct err *err)
{
	struct val *v;

	if (!sv_trim(q->body).n) {
		err_set(err, ERR_BAD_REQUEST, "the body of the request is empty");
		return NULL;
	}
	if (yaml)
		v = yaml_decode(q->arena, q->body, err);
	else
		v = json_decode(q->arena, q->body,
				&(struct json_opts){ .borrow_text = true, .duplicate = note_duplicate, .ctx = st },
				err);
	if (!v)
		err_wrap(err, "couldn't get version/kind; json parse error");
	return v;
}

/* A patch, but not server-side apply. */
static bool plain_patch(const struct api_req *q)
{
	return q->verb == VERB_PATCH && !sv_starts(q->content_type, SV("application/apply-patch"));
}

/* What a patch makes of the object is as invalid as the patch: upstream says 422, of no kind. */
static int bad_patch(struct api_req *q, struct err *err, const char *why)
{
	int n = (int)MIN(q->body.n, (size_t)1024);

	err_set(err, ERR_INVALID, " \"\" is invalid: patch: Invalid value: \"%.*s\": %s", n, q->body.p ? q->body.p : "",
		why);
	return err_add_cause(err, "FieldValueInvalid", SV("patch"), "Invalid value: \"%.*s\": %s", n,
			     q->body.p ? q->body.p : "", why);
}

/* Unknown and duplicate fields: refused, warned about or ignored. */
static int judge(struct api_req *q, struct strictness *st, const struct decode_report *report, struct sv kind,
		 struct sv version, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (sv_is(q->field_validation, "Ignore") || !(q->n_patch_strict + st->list.n + report->strict.n))
		return 0;
	for (size_t i = 0; i < q->n_patch_strict; i++) {
		buf_adds(&b, b.n ? ", " : "");
		buf_addsv(&b, q->patch_strict[i]);
	}
	for (size_t i = 0; i < st->list.n + report->strict.n; i++) {
		struct sv one = i < st->list.n ? st->list.p[i] : report->strict.p[i - st->list.n];

		if (sv_is(q->field_validation, "Warn")) {
			api_req_warn(q, "%.*s", SV_ARG(one));
			continue;
		}
		buf_adds(&b, b.n ? ", " : "");
		buf_addsv(&b, one);
	}
	if (!b.n)
		return 0;
	if (plain_patch(q))
		return bad_patch(q, err, arena_printf(q->arena, "strict decoding error: %s", buf_cstr(&b)));
	return err_set(err, ERR_BAD_REQUEST,
		       "%.*s in version \"%.*s\" cannot be handled as a %.*s: strict decoding error: %s", SV_ARG(kind),
		       SV_ARG(version), SV_ARG(kind), buf_cstr(&b));
}

/* apiVersion and kind: must be the endpoint's own, or absent. Returns raw with both set. */
static const struct val *with_type(struct api_req *q, const struct val *raw, struct sv api_version, struct sv kind,
				   struct err *err)
{
	struct sv av = val_get_str(raw, F_apiVersion), k = val_get_str(raw, F_kind), g, v;
	struct val *full;

	if (val_type(raw) != VAL_MAP) {
		err_set(err, ERR_BAD_REQUEST,
			"couldn't get version/kind; json parse error: json: cannot unmarshal %s into Go value of type "
			"struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
			"\"json:\\\"kind,omitempty\\\"\" }",
			val_type_name(val_type(raw)));
		return NULL;
	}
	if (av.n && !api_version_split(av, &g, &v)) {
		err_set(err, ERR_BAD_REQUEST, "unexpected GroupVersion string: %.*s", SV_ARG(av));
		return NULL;
	}
	if (k.n && av.n && !sv_eq(k, kind) && sv_eq(av, api_version)) {
		err_set(err, ERR_BAD_REQUEST, "%.*s in version \"%.*s\" cannot be handled as a %.*s", SV_ARG(k),
			SV_ARG(v), SV_ARG(kind));
		return NULL;
	}
	if (av.n && !sv_eq(av, api_version)) {
		err_set(err, ERR_BAD_REQUEST,
			"the API version in the data (%.*s) does not match the expected API version (%.*s)", SV_ARG(av),
			SV_ARG(api_version));
		return NULL;
	}
	if (k.n && !sv_eq(k, kind)) {
		err_set(err, ERR_BAD_REQUEST, "%.*s cannot be handled as a %.*s", SV_ARG(k), SV_ARG(kind));
		return NULL;
	}
	if (av.n && k.n)
		return raw;
	full = val_new_map(q->arena);
	val_set_str(q->arena, full, F_apiVersion, api_version);
	val_set_str(q->arena, full, F_kind, kind);
	VAL_EACH_MEMBER(raw, m) {
		if (m.sym == F_apiVersion || m.sym == F_kind)
			continue;
		if (m.sym)
			val_set(q->arena, full, m.sym, m.value);
		else
			val_set_sv(q->arena, full, m.key, m.value);
	}
	return full;
}

static struct val *to_typed(struct api_req *q, const struct schema *s, const struct val *raw, struct sv api_version,
			    struct sv kind, struct strictness *st, struct err *err)
{
	struct decode_report report = { .strict = VEC_INIT };
	struct val *doc = NULL;
	struct sv g, v;

	raw = with_type(q, raw, api_version, kind, err);
	if (raw)
		doc = decode_typed(q->arena, s, raw, st ? &report : NULL, err);
	if (raw && !doc && plain_patch(q) && !q->trusted) {
		struct sv why = arena_sv(q->arena, sv_from(err_msg(err)));
		ssize_t at = sv_find_sv(why, SV(": json: "));

		err_release(err);
		(void)bad_patch(q, err, arena_cstr(q->arena, at < 0 ? why : sv_sub(why, (size_t)at + 2, why.n)));
	}
	(void)api_version_split(api_version, &g, &v);
	if (doc && st && judge(q, st, &report, kind, v, err) < 0)
		doc = NULL;
	vec_release(&report.strict);
	return doc;
}

struct val *typed_from_raw(struct api_req *q, const struct schema *s, const struct val *raw, struct sv api_version,
			   struct sv kind, bool strict, struct err *err)
{
	struct strictness st = { .a = q->arena, .list = VEC_INIT };

	return to_typed(q, s, raw, api_version, kind, strict && !q->trusted ? &st : NULL, err);
}

struct val *body_typed(struct api_req *q, const struct schema *s, struct sv api_version, struct sv kind,
		       struct err *err)
{
	struct strictness st = { .a = q->arena, .list = VEC_INIT };
	struct sv params, type = media_type(q->content_type, &params);
	struct val *raw, *doc = NULL;

	if (q->body_doc)
		return to_typed(q, s, q->body_doc, api_version, kind, q->trusted ? NULL : &st, err);
	if (sv_is(type, PROTOBUF_MEDIA_TYPE)) {
		raw = protobuf_decode(q->arena, q->body, err);
		return raw ? to_typed(q, s, raw, api_version, kind, NULL, err) : NULL;
	}
	if (type.n && !sv_is(type, "application/json") && !sv_is(type, "application/yaml") && !sv_is(type, "*/*")) {
		unsupported(q, err);
		return NULL;
	}
	raw = parse(q, sv_is(type, "application/yaml"), &st, err);
	if (raw)
		doc = to_typed(q, s, raw, api_version, kind, &st, err);
	vec_release(&st.list);
	return doc;
}

struct val *body_patch(struct api_req *q, bool yaml, struct err *err)
{
	struct strictness st = { .a = q->arena, .list = VEC_INIT };
	struct val *v;

	if (q->body_doc)
		return val_clone_nodes(q->arena, q->body_doc);
	if (!sv_trim(q->body).n) {
		err_set(err, ERR_BAD_REQUEST, "the body of the request is empty");
		return NULL;
	}
	v = yaml
		? yaml_decode(q->arena, q->body, err)
		: json_decode(q->arena, q->body,
			      &(struct json_opts){ .borrow_text = true, .duplicate = note_duplicate, .ctx = &st }, err);
	if (!v)
		err_wrap(err, yaml ? "error decoding YAML" : "error decoding patch");
	else if (st.list.n && sv_is(q->field_validation, "Warn"))
		for (size_t i = 0; i < st.list.n; i++)
			api_req_warn(q, "%.*s", SV_ARG(st.list.p[i]));
	else if (st.list.n && sv_is(q->field_validation, "Strict") && plain_patch(q)) {
		q->n_patch_strict = st.list.n;
		q->patch_strict = ARENA_ARRAY(q->arena, struct sv, st.list.n);
		memcpy(q->patch_strict, st.list.p, st.list.n * sizeof(*st.list.p));
	} else if (st.list.n && sv_is(q->field_validation, "Strict")) {
		err_set(err, ERR_BAD_REQUEST, "error decoding patch: strict decoding error: %.*s",
			SV_ARG(st.list.p[0]));
		v = NULL;
	}
	vec_release(&st.list);
	return v;
}
