/* From the bytes of a request to a typed, defaulted document, with upstream's complaints. */
#include "apiserver/registry/registry.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "codec/cbor.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "object/decode.h"
#include "object/feature.h"
#include "object/protobuf.h"

/* What the parser noticed: paths of repeated members (JSON), or whole sentences (YAML). */
struct strictness {
	struct arena *a;
	VEC(struct sv) list;
	size_t bytes; /* of those in the list */
	bool yaml;
};

/* False when there are enough. */
static bool note_duplicate(struct sv path, void *ctx)
{
	struct strictness *st = ctx;

	if (st->list.n >= STRICT_MAX || st->bytes > STRICT_BYTES_MAX)
		return false;
	vec_push(&st->list, arena_sv(st->a, path));
	st->bytes += path.n;
	return true;
}

static void note_line(struct sv what, void *ctx)
{
	(void)note_duplicate(what, ctx);
}

int err_body_type(bool custom, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
		       "the body of the request was in an unknown format - accepted media types include: "
		       "application/json, application/yaml%s%s",
		       custom ? "" : ", " PROTOBUF_MEDIA_TYPE,
		       feature_on(FG_CBORServingAndStorage) ? ", " CBOR_MEDIA_TYPE : "");
}

bool body_is_cbor(struct sv type)
{
	return sv_is(type, CBOR_MEDIA_TYPE) && feature_on(FG_CBORServingAndStorage);
}

/* Upstream's words for a body of which not even the kind can be told: with its beginning, as text when it
 * looks like JSON and in hex when not. */
static int unrecognized(struct api_req *q, struct sv kind, struct err *err, const char *why)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t n = MIN(q->body.n, (size_t)30);

	if (!q->body.n)
		buf_adds(&b, "<empty>");
	else if (q->body.p[0] == '{')
		for (size_t i = 0; i < n; i++) /* cut anywhere, and perhaps no UTF-8 in the first place */
			buf_addsv(&b, (unsigned char)q->body.p[i] < 0x80 ? sv_sub(q->body, i, 1) : SV("\xef\xbf\xbd"));
	else
		for (size_t i = 0; i < n; i++)
			buf_printf(&b, "%02x", (unsigned char)q->body.p[i]);
	if (q->body.n > n)
		buf_adds(&b, " ...");
	return err_set(err, ERR_BAD_REQUEST, "the object provided is unrecognized (must be of type %.*s): %s (%s)",
		       SV_ARG(kind), why, buf_cstr(&b));
}

static struct val *parse(struct api_req *q, bool yaml, struct sv kind, struct strictness *st, struct err *err)
{
	static const char converting[] = "error converting YAML to JSON: ";
	struct budget values = BUDGET(doc_values_limit);
	struct err inner = ERR_INIT;
	struct val *v;

	if (yaml)
		v = yaml_decode_opts(q->arena, q->body,
				     &(struct yaml_opts){ .duplicate = note_line, .ctx = st, .values = &values },
				     &inner);
	else
		v = json_decode(
		    q->arena, q->body,
		    &(struct json_opts){
			.borrow_text = true, .duplicate = note_duplicate, .ctx = st, .merge = true, .values = &values },
		    &inner);
	if (v)
		return v;
	if (budget_over(&values)) {
		(void)err_move(err, &inner);
		return NULL;
	}
	if (!yaml)
		err_wrap(&inner, "couldn't get version/kind; json parse error");
	unrecognized(q, kind, err,
		     err_msg(&inner) +
			 (sv_starts(sv_from(err_msg(&inner)), sv_from(converting)) ? sizeof(converting) - 1 : 0));
	err_release(&inner);
	return NULL;
}

/* A body in protobuf that says what it is, and is not. */
static int bad_message(struct api_req *q, struct sv api_version, struct sv kind, struct err *err, const char *why)
{
	struct sv said = kind, group, version;

	if (!protobuf_names(q->body, &api_version, &said) || !api_version_split(api_version, &group, &version))
		return unrecognized(q, kind, err, why);
	return err_set(err, ERR_BAD_REQUEST, "%.*s in version \"%.*s\" cannot be handled as a %.*s: %s", SV_ARG(said),
		       SV_ARG(version), SV_ARG(kind), why);
}

/* A member that is there twice is an error of its own here, whatever fieldValidation says. */
static struct val *parse_cbor(struct api_req *q, struct sv kind, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	struct err inner = ERR_INIT;
	struct val *v = cbor_decode(q->arena, q->body, &values, &inner);

	if (budget_over(&values)) {
		(void)err_move(err, &inner);
		return NULL;
	}
	if (!v) {
		err_wrap(&inner, "unable to determine group/version/kind");
		(void)unrecognized(q, kind, err, arena_strdup(q->arena, err_msg(&inner)));
	}
	err_release(&inner);
	return v;
}

/* A patch, but not server-side apply. */
static bool plain_patch(const struct api_req *q)
{
	return q->verb == VERB_PATCH && !sv_starts(q->content_type, SV("application/apply-patch"));
}

static bool strategic_patch(const struct api_req *q)
{
	return sv_starts(q->content_type, SV("application/strategic-merge-patch+json"));
}

/* What a patch makes of the object is as invalid as the patch: upstream says 422, of no kind. It shows the patch, but
 * what is said to a client is noted in the audit log, too, at levels that show no body: a Secret's is not shown. */
static int bad_patch(struct api_req *q, struct err *err, const char *why)
{
	struct sv text = q->body;

	/* A strategic merge patch is shown as the map it was read to. */
	if (strategic_patch(q)) {
		const struct val *v = json_decode(q->arena, q->body, NULL, NULL);

		text = v ? val_go_text(q->arena, v) : text;
	}
	text = q->res == RES(core_secrets) ? SV("<secret contents redacted>") : utf8_cut(text, 1024);
	err_set(err, ERR_INVALID, " \"\" is invalid: patch: Invalid value: \"%.*s\": %s", SV_ARG(text), why);
	return err_add_cause(err, "FieldValueInvalid", SV("patch"), "Invalid value: \"%.*s\": %s", SV_ARG(text), why);
}

static void warn_of(struct api_req *q, struct buf *b, struct sv one)
{
	if (sv_is(q->field_validation, "Warn")) {
		api_req_warn(q, "%.*s", SV_ARG(one));
		return;
	}
	buf_adds(b, b->n ? ", " : "");
	buf_addsv(b, one);
}

/* Unknown and duplicate fields: refused, warned about or ignored. */
static int judge(struct api_req *q, struct strictness *st, const struct decode_report *report, struct sv kind,
		 struct sv version, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (sv_is(q->field_validation, "Ignore"))
		return 0;
	for (size_t i = 0; i < q->n_patch_strict; i++)
		warn_of(q, &b, q->patch_strict[i]);
	/* Of YAML upstream makes one error with a line for each key. */
	for (size_t i = 0; st->yaml && i < st->list.n; i++) {
		if (sv_is(q->field_validation, "Warn"))
			api_req_warn(q, "%.*s", SV_ARG(st->list.p[i]));
		else
			buf_printf(&b, "%s\n  %.*s", i ? "" : "yaml: unmarshal errors:", SV_ARG(st->list.p[i]));
	}
	for (size_t i = 0; i < report->strict.n; i++)
		warn_of(q, &b, report->strict.p[i]);
	if (!b.n)
		return 0;
	if (plain_patch(q))
		return bad_patch(q, err, arena_printf(q->arena, "strict decoding error: %s", buf_cstr(&b)));
	return err_set(err, ERR_BAD_REQUEST,
		       "%.*s in version \"%.*s\" cannot be handled as a %.*s: strict decoding error: %s", SV_ARG(kind),
		       SV_ARG(version), SV_ARG(kind), buf_cstr(&b));
}

/* Lists are kinds, too; "List" itself is the core group's. */
static bool is_list_kind(struct api_req *q, struct sv g, struct sv v, struct sv k)
{
	const struct api_version *served = api_served(q->api, g, v);

	if (!g.n && sv_is(v, "v1") && sv_is(k, "List"))
		return true;
	for (size_t i = 0; served && i < served->n; i++)
		if (sv_is(k, served->resources[i]->list_kind))
			return true;
	return false;
}

/* A kind that is not the endpoint's: known or not, upstream fails to make one of the other. */
static int wrong_kind(struct api_req *q, struct sv k, struct sv av, struct sv kind, struct sv api_version,
		      struct err *err)
{
	struct sv g = SV(""), v = SV("");
	const char *why;

	(void)api_version_split(av, &g, &v);
	if (api_find_kind(q->api, g, v, k) && sv_eq(k, kind))
		return err_set(err, ERR_BAD_REQUEST,
			       "the API version in the data (%.*s) does not match the expected API version (%.*s)",
			       SV_ARG(av), SV_ARG(api_version));
	if (api_find_kind(q->api, g, v, k) || is_list_kind(q, g, v, k)) {
		struct sv ours = SV(""), version, pack;

		(void)api_version_split(api_version, &ours, &version);
		pack = api_group_package(ours);

		why = arena_printf(q->arena, "converting (%.*s.%.*s) to (%.*s.%.*s): unknown conversion", SV_ARG(v),
				   SV_ARG(k), SV_ARG(pack), SV_ARG(kind));
	} else {
		why = arena_printf(q->arena,
				   "no kind \"%.*s\" is registered for version \"%.*s\" in scheme "
				   "\"pkg/api/legacyscheme/scheme.go:30\"",
				   SV_ARG(k), SV_ARG(av));
	}
	return err_set(err, ERR_BAD_REQUEST, "%.*s in version \"%.*s\" cannot be handled as a %.*s: %s", SV_ARG(k),
		       SV_ARG(v), SV_ARG(kind), why);
}

static const char *go_word(const struct val *v)
{
	switch (val_type(v)) {
	case VAL_BOOL:
		return "bool";
	case VAL_INT:
	case VAL_FLOAT:
		return "number";
	default:
		return val_type_name(val_type(v));
	}
}

/* A version in which nothing is served any more, but which bodies may still name: the kind is the same in it. */
static bool older_version(struct sv av, struct sv kind, struct sv api_version)
{
	return sv_is(kind, "Eviction") && sv_is(av, "policy/v1beta1") && sv_is(api_version, "policy/v1");
}

/* Of a custom kind any kind can be read; it is not valid then. */
static int wrong_custom_kind(struct api_req *q, const struct val *raw, struct sv k, struct sv kind, struct err *err)
{
	struct resource said = *q->res;
	struct field_errs fe;
	struct fpath at = FPATH_ROOT(F_kind);

	said.kind = arena_cstr(q->arena, k);
	field_errs_init(&fe, q->arena);
	fe_add(&fe, FE_INVALID, &at, val_member(raw, F_kind), "must be %.*s", SV_ARG(kind));
	return field_errs_to_err(&fe, &said, val_get_str(raw, F_metadata, F_name), err);
}

/* apiVersion and kind: must be the endpoint's own, or absent. Returns raw with both set. */
static const struct val *with_type(struct api_req *q, const struct val *raw, struct sv api_version, struct sv kind,
				   bool custom, struct err *err)
{
	static const enum sym both[] = { F_apiVersion, F_kind };
	struct sv av = val_get_str(raw, F_apiVersion), k = val_get_str(raw, F_kind), g, v;
	struct val *full;

	if (val_type(raw) != VAL_MAP && val_type(raw) != VAL_NULL) {
		unrecognized(q, kind, err,
			     arena_printf(q->arena,
					  "couldn't get version/kind; json parse error: json: cannot unmarshal %s into "
					  "Go value of type struct { APIVersion string "
					  "\"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
					  "\"json:\\\"kind,omitempty\\\"\" }",
					  go_word(raw)));
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		const struct val *m = val_member(raw, both[i]);

		if (!m || val_type(m) == VAL_STR || val_type(m) == VAL_NULL)
			continue;
		unrecognized(q, kind, err,
			     arena_printf(q->arena,
					  "couldn't get version/kind; json parse error: json: cannot unmarshal %s into "
					  "Go struct field .%.*s of type string",
					  go_word(m), SV_ARG(sym_name(both[i]))));
		return NULL;
	}
	if (av.n && !api_version_split(av, &g, &v)) {
		unrecognized(q, kind, err, arena_printf(q->arena, "unexpected GroupVersion string: %.*s", SV_ARG(av)));
		return NULL;
	}
	if (older_version(av, kind, api_version))
		av = SV("");
	if (custom && k.n && !sv_eq(k, kind) && (!av.n || sv_eq(av, api_version))) {
		(void)wrong_custom_kind(q, raw, k, kind, err);
		return NULL;
	}
	if (custom && av.n && !sv_eq(av, api_version)) {
		err_set(err, ERR_BAD_REQUEST,
			"the API version in the data (%.*s) does not match the expected API version (%.*s)", SV_ARG(av),
			SV_ARG(api_version));
		return NULL;
	}
	if ((k.n && !sv_eq(k, kind)) || (av.n && !sv_eq(av, api_version))) {
		wrong_kind(q, k.n ? k : kind, av.n ? av : api_version, kind, api_version, err);
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
		val_append_member(q->arena, full, m.sym, m.key, m.value);
	}
	return full;
}

static struct val *to_typed(struct api_req *q, const struct schema *s, const struct val *raw, struct sv api_version,
			    struct sv kind, struct strictness *st, struct err *err)
{
	struct decode_report report = { .strict = VEC_INIT };
	struct val *doc = NULL;
	struct sv g, v;

	report.bare = plain_patch(q);
	report.converter = report.bare && strategic_patch(q);
	if (st) {
		report.sorted = st->yaml;
		report.repeated = st->yaml ? NULL : st->list.p;
		report.n_repeated = st->yaml ? 0 : st->list.n;
	}
	raw = with_type(q, raw, api_version, kind, s->custom != NULL, err);
	if (raw)
		doc = decode_typed(q->arena, s, raw, st ? &report : NULL, err);
	if (raw && !doc && plain_patch(q) && !q->trusted) {
		const char *why = arena_strdup(q->arena, err_msg(err));

		err_release(err);
		(void)bad_patch(q, err, why);
	}
	q->has_empty = doc && report.has_empty;
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
	if (sv_is(type, PROTOBUF_MEDIA_TYPE) && !s->custom) {
		struct budget values = BUDGET(doc_values_limit);
		struct err inner = ERR_INIT;

		raw = protobuf_decode(q->arena, q->body, api_version, kind, &values, &inner);
		if (budget_over(&values))
			(void)err_move(err, &inner);
		else if (!raw)
			(void)bad_message(q, api_version, kind, err, arena_strdup(q->arena, err_msg(&inner)));
		err_release(&inner);
		return raw ? to_typed(q, s, raw, api_version, kind, NULL, err) : NULL;
	}
	if (body_is_cbor(type)) {
		raw = parse_cbor(q, kind, err);
		return raw ? to_typed(q, s, raw, api_version, kind, &st, err) : NULL;
	}
	if (type.n && !sv_is(type, "application/json") && !sv_is(type, "application/yaml")) {
		err_body_type(s->custom != NULL, err);
		return NULL;
	}
	st.yaml = sv_is(type, "application/yaml");
	raw = parse(q, st.yaml, kind, &st, err);
	if (raw)
		doc = to_typed(q, s, raw, api_version, kind, &st, err);
	vec_release(&st.list);
	return doc;
}

/* The operations of a JSON patch have a type, too. Unknown and repeated members go into st's list in the order of the
 * operations. */
static void note_operations(struct strictness *st, const struct val *ops)
{
	static const char *const known[] = { "op", "path", "from", "value" };
	size_t n = st->list.n, next = 0, i = 0;
	struct sv *repeated = ARENA_ARRAY(st->a, struct sv, n + 1);

	if (n)
		memcpy(repeated, st->list.p, n * sizeof(*repeated));
	st->list.n = st->bytes = 0;
	VAL_EACH(ops, op) {
		struct sv at = arena_svf(st->a, "[%zu]", i++);

		for (; next < n && sv_starts(repeated[next], at); next++)
			(void)note_duplicate(
			    arena_svf(st->a, "json patch duplicate field \"%.*s\"", SV_ARG(repeated[next])), st);
		VAL_EACH_MEMBER(op, m) {
			size_t k = 0;

			while (k < ARRAY_LEN(known) && !sv_is(m.key, known[k]))
				k++;
			if (k == ARRAY_LEN(known) && st->list.n < STRICT_MAX)
				(void)note_duplicate(arena_svf(st->a, "json patch unknown field \"%.*s.%.*s\"",
							       SV_ARG(at), SV_ARG(m.key)),
						     st);
		}
	}
}

/* Repeated members of a patch, as sentences, until it is known what the patch makes. operations: of a JSON patch, or
 * NULL. */
static void keep_patch_notes(struct api_req *q, struct strictness *st, const struct val *operations)
{
	if (sv_is(q->field_validation, "Ignore"))
		return;
	if (operations)
		note_operations(st, operations);
	if (!st->list.n)
		return;
	for (size_t i = 0; !st->yaml && !operations && i < st->list.n; i++)
		st->list.p[i] = arena_svf(q->arena, "duplicate field \"%.*s\"", SV_ARG(st->list.p[i]));
	q->n_patch_strict = st->list.n;
	q->patch_strict = ARENA_ARRAY(q->arena, struct sv, st->list.n);
	memcpy(q->patch_strict, st->list.p, st->list.n * sizeof(*st->list.p));
	q->patch_strict_yaml = st->yaml;
}

int body_judge_applied(struct api_req *q, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < q->n_patch_strict; i++) {
		if (sv_is(q->field_validation, "Warn"))
			api_req_warn(q, "%.*s", SV_ARG(q->patch_strict[i]));
		else
			buf_printf(&b, "%s%.*s",
				   q->patch_strict_yaml ? "\n  "
				   : i			? ", "
							: "",
				   SV_ARG(q->patch_strict[i]));
	}
	if (!b.n)
		return 0;
	return err_set(err, ERR_BAD_REQUEST, "error strict decoding YAML: error converting YAML to JSON: yaml: %s%s",
		       q->patch_strict_yaml ? "unmarshal errors:" : "", buf_cstr(&b));
}

struct val *body_patch(struct api_req *q, bool yaml, struct err *err)
{
	struct strictness st = { .a = q->arena, .list = VEC_INIT, .yaml = yaml };
	bool json_patch = sv_starts(q->content_type, SV("application/json-patch+json"));
	bool cbor = sv_starts(q->content_type, SV("application/apply-patch+cbor"));
	struct budget values = BUDGET(doc_values_limit);
	struct val *v;

	if (q->body_doc)
		return val_clone_nodes(q->arena, q->body_doc);
	if (yaml && !sv_trim(q->body).n)
		return val_new_map(q->arena);
	if (cbor)
		v = cbor_decode(q->arena, q->body, &values, err);
	else if (yaml)
		v = yaml_decode_opts(q->arena, q->body,
				     &(struct yaml_opts){ .duplicate = note_line, .ctx = &st, .values = &values }, err);
	else
		v = json_decode(q->arena, q->body,
				&(struct json_opts){
				    .borrow_text = true, .duplicate = note_duplicate, .ctx = &st, .values = &values },
				err);
	if (!v && !budget_over(&values) && !strategic_patch(q))
		err_wrap(err, yaml ? "error decoding YAML" : cbor ? "error decoding CBOR" : "error decoding patch");
	if (v)
		keep_patch_notes(q, &st, json_patch ? v : NULL);
	vec_release(&st.list);
	return v;
}
