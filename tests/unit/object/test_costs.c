/* No engine of this folder or of codec costs the square of what a client sizes: each runs on n and on 10 n members, in
 * the shapes that are worst for it. */
#include "costs.h"
#include "docs.h"

#include "base/vec.h"
#include "codec/cbor.h"
#include "codec/doc_items.h"
#include "codec/pbwire.h"
#include "codec/val_index.h"
#include "codec/yaml.h"
#include "object/apply.h"
#include "object/autoscaler.h"
#include "object/decode.h"
#include "object/list_index.h"
#include "object/obj.h"
#include "object/patch.h"
#include "object/protobuf.h"
#include "object/quantity.h"
#include "object/schema_build.h"
#include "object/cel/shard.h"
#include "object/selector.h"
#include "object/validate.h"

/* head, n elements, middle, n others, tail. In an element %zu is its number, from the last to the first when it is
 * written %zr; ' stands for ". Commas stand between them, but where one ends with a space, a line or a comma or begins
 * with one. */
struct text {
	const char *head, *element, *middle, *other, *tail;
};

static void add_elements(struct buf *b, const char *format, size_t n)
{
	bool comma = format && *format != ',' && !strchr(" \n,", format[strlen(format) - 1]);

	for (size_t i = 0; format && i < n; i++) {
		const char *at = format, *sign;

		if (i && comma)
			buf_addc(b, ',');
		for (; (sign = strstr(at, "%z")); at = sign + 3) {
			buf_add(b, at, (size_t)(sign - at));
			buf_printf(b, "%zu", sign[2] == 'r' ? n - 1 - i : i);
		}
		buf_adds(b, at);
	}
}

static struct sv text_of(struct arena *a, const struct text *t, size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char *out;

	buf_adds(&b, t->head);
	add_elements(&b, t->element, n);
	buf_adds(&b, t->middle ? t->middle : "");
	add_elements(&b, t->other, n);
	buf_adds(&b, t->tail ? t->tail : "");
	out = arena_strndup(a, b.p, b.n);
	for (char *p = out; *p; p++)
		if (*p == '\'')
			*p = '"';
	return sv_make(out, b.n);
}

static struct val *doc_of(struct arena *a, const struct text *t, size_t n)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv s = text_of(a, t, n);
	struct val *v = json_decode(a, s, NULL, &err);

	if (!v)
		fail_msg("%.*s: %s", (int)MIN(s.n, (size_t)200), s.p, err_msg(&err));
	return v;
}

/* --- decoders --- */

static bool hear_some(struct sv path, void *ctx)
{
	size_t *n = ctx;

	(void)path;
	return ++*n < STRICT_MAX;
}

static void hear_all(struct sv what, void *ctx)
{
	(void)what;
	(void)ctx;
}

static void run_json(struct cost *c, size_t n, const void *arg)
{
	for (int merge = 0; merge < 2; merge++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct budget values = BUDGET(doc_values_limit);
		struct sv s = text_of(&a, arg, n);
		size_t heard = 0;
		struct json_opts opts = {
			.duplicate = hear_some, .ctx = &heard, .merge = merge != 0, .values = &values
		};

		cost_begin(c);
		assert_non_null(json_decode(&a, s, &opts, NULL));
		cost_end(c);
	}
}

static void run_yaml(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv s = text_of(&a, arg, n);
	struct yaml_opts opts = { .duplicate = hear_all };
	struct val *v;

	cost_begin(c);
	v = yaml_decode_opts(&a, s, &opts, &err);
	cost_end(c);
	if (!v)
		fail_msg("%s", err_msg(&err));
}

/* A ConfigMap whose data has n entries of n keys or of one, with n fields that nobody knows. */
static void run_protobuf(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf cm = BUF_INIT, body = BUF_INIT;
	const bool *same = arg;
	size_t m;

	for (size_t i = 0; i < n; i++) {
		size_t meta = pb_open(&cm, 1);

		pb_map_entry(&cm, 12, *same ? SV("k") : arena_svf(&a, "k%zu", i), SV("v"));
		pb_sv_elem(&cm, 14, *same ? SV("f") : arena_svf(&a, "f%zu", i));
		pb_close(&cm, meta);
		pb_map_entry(&cm, 2, *same ? SV("k") : arena_svf(&a, "k%zu", i), SV("v"));
		pb_u64(&cm, 77, i + 1);
	}
	buf_add(&body, "k8s\0", 4);
	m = pb_open(&body, 1);
	pb_sv(&body, 1, SV("v1"));
	pb_sv(&body, 2, SV("ConfigMap"));
	pb_close(&body, m);
	pb_sv(&body, 2, buf_sv(&cm));
	cost_begin(c);
	assert_non_null(protobuf_decode(&a, buf_sv(&body), SV(""), SV(""), NULL, NULL));
	cost_end(c);
}

/* The same written: n members in no order, each a message. */
static void run_protobuf_write(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *cm = val_new_map(&a), *data = val_new_map(&a);

	(void)arg;
	for (size_t i = 0; i < n; i++)
		val_append_sv(&a, data, arena_svf(&a, "k%zu", i * 7919 % n), val_new_str(&a, SV("v")));
	val_set(&a, cm, F_data, data);
	cost_begin(c);
	protobuf_write(&b, schema_find(SV("core/v1.ConfigMap")), cm);
	cost_end(c);
}

/* A map of n members, a string of n pieces, a list of n lists. */
static void run_cbor(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT, again = BUF_INIT;
	const struct val *v;

	(void)arg;
	cbor_list_head(&b, 3);
	cbor_map_head(&b, n);
	for (size_t i = 0; i < n; i++) {
		cbor_string(&b, arena_svf(&a, "k%zu", i));
		cbor_string(&b, SV("\xff"));
	}
	buf_addc(&b, 0x5f);
	for (size_t i = 0; i < n; i++)
		cbor_string(&b, SV("piece"));
	buf_addc(&b, (char)0xff);
	cbor_list_head(&b, n);
	for (size_t i = 0; i < n; i++)
		cbor_list_head(&b, 0);
	cost_begin(c);
	v = cbor_decode(&a, buf_sv(&b), NULL, NULL);
	assert_non_null(v);
	cbor_encode(&again, v);
	cost_end(c);
}

#define MANY_KEYS                                  \
	{                                          \
		"{", "'k%zu':%zu", "}", NULL, NULL \
	}
#define MANY_ALIKE                                     \
	{                                              \
		"{", "'k':{'k%zu':1}", "}", NULL, NULL \
	}
#define MANY_FIELDS                                                         \
	{                                                                   \
		"{", "'name':{'name':1,'spec':{'x%zu':1}}", "}", NULL, NULL \
	}
#define TWICE                                                                \
	{                                                                    \
		"{", "'k%zu':1,'name':2,", NULL, "'k%zr':{'a':1},", "'x':1}" \
	}
#define LISTS                                                                               \
	{                                                                                   \
		"{'a':[", "{'name':'n%zu','x':null,'y':1.5e3}", "],'b':[", "[[[]]],", "0]}" \
	}
#define ESCAPED                                           \
	{                                                 \
		"['", "\\u00e9\\n<%zu ", "']", NULL, NULL \
	}

static const struct text json_many = MANY_KEYS, json_alike = MANY_ALIKE, json_fields = MANY_FIELDS, json_twice = TWICE,
			 json_lists = LISTS, json_escaped = ESCAPED,
			 json_list_again = { "{", "'a':[{'k%zu':1},[2]]", "}", NULL, NULL },
			 json_bad_bytes = { "['", "\xff\xfe%zu ", NULL, NULL, "']" },
			 json_deep = { "[", "{'a':{'b':{'c':{'d':{'e':[[[[{'k%zu':1}]]]]}}}}}", "]", NULL, NULL };
static const struct text yaml_many = { "a: 1\n", "k%zu: v\n", NULL, NULL, NULL },
			 yaml_twice = { "a: 1\n", "k%zu: v\n", NULL, "k%zr: w\n", NULL },
			 yaml_alike = { "a: 1\n", "a: {b%zu: 1}\n", NULL, NULL, NULL },
			 yaml_list = { "a:\n", "- name: n%zu\n  x: [1, ~, {}]\n", NULL, NULL, NULL },
			 yaml_anchors = { "a:\n", "- &a%zu {x: 1}\n", "b:\n", "- *a%zr\n", NULL },
			 yaml_merge = { "a: &a\n", "  k%zu: v\n", "b:\n  <<: *a\n", "  k%zr: w\n", NULL },
			 yaml_merges = { "a: &a {x: 1, y: 2}\nb:\n  <<:\n", "  - *a\n", NULL, NULL, NULL },
			 yaml_flow = { "# flow\n{", "'k%zu': [a, b]", "}\n", NULL, NULL },
			 yaml_literal = { "a: |\n", "  line %zu\n", NULL, NULL, NULL };
static const bool is_same = true, is_different = false;

static const struct cost_row decoders[] = {
	{ "JSON: many members", run_json, &json_many, 0 },
	{ "JSON: many equal members", run_json, &json_alike, 0 },
	{ "JSON: many equal fields", run_json, &json_fields, 0 },
	{ "JSON: every member twice", run_json, &json_twice, 0 },
	{ "JSON: many equal lists", run_json, &json_list_again, 0 },
	{ "JSON: lists", run_json, &json_lists, 0 },
	{ "JSON: escapes", run_json, &json_escaped, 0 },
	{ "JSON: no UTF-8", run_json, &json_bad_bytes, 0 },
	{ "JSON: deep", run_json, &json_deep, 0 },
	{ "YAML: many members", run_yaml, &yaml_many, 0 },
	{ "YAML: every member twice", run_yaml, &yaml_twice, 0 },
	{ "YAML: many equal members", run_yaml, &yaml_alike, 0 },
	{ "YAML: lists", run_yaml, &yaml_list, 0 },
	{ "YAML: anchors", run_yaml, &yaml_anchors, 0 },
	{ "YAML: a large map merged into another", run_yaml, &yaml_merge, 0 },
	{ "YAML: one map merged often", run_yaml, &yaml_merges, 0 },
	{ "YAML: flow", run_yaml, &yaml_flow, 0 },
	{ "YAML: a literal", run_yaml, &yaml_literal, 0 },
	{ "protobuf: many entries", run_protobuf, &is_different, 0 },
	{ "protobuf: many equal entries", run_protobuf, &is_same, 0 },
	{ "protobuf: written, in no order", run_protobuf_write, NULL, 0 },
	{ "CBOR", run_cbor, NULL, 0 },
};

static void test_decoders(void **state)
{
	(void)state;
	expect_linear(decoders, ARRAY_LEN(decoders));
}

/* --- what is done with one document --- */

static void run_encode(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *v = doc_of(&a, arg, n);

	cost_begin(c);
	json_encode(&b, v);
	json_encode_indent(&b, v, 2);
	yaml_encode(&b, v);
	(void)val_go_text(&a, v);
	(void)val_sorted(&a, v);
	obj_unref(obj_new(v, 1));
	cost_end(c);
}

/* With itself in the other order, and with what differs at the very end. */
static void run_compare(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *v = doc_of(&a, arg, n), *sorted = val_sorted(&a, v), *other = doc_of(&a, arg, n);
	struct budget values = BUDGET(doc_values_limit);

	val_set_sv(&a, other, SV("zz"), NULL);
	cost_begin(c);
	assert_true(val_equal(v, sorted));
	assert_true(val_same(v, sorted));
	assert_false(val_equal(v, other));
	assert_true(val_same(v, other));
	assert_true(val_hash(v) == val_hash(sorted));
	assert_int_equal(val_count(&values, v, NULL), 0);
	cost_end(c);
}

static const struct cost_row documents[] = {
	{ "encode: many members", run_encode, &json_many, 0 },
	{ "encode: lists", run_encode, &json_lists, 0 },
	{ "encode: escapes", run_encode, &json_escaped, 0 },
	{ "encode: deep", run_encode, &json_deep, 0 },
	{ "compare: many members", run_compare, &json_many, 0 },
	{ "compare: many members and fields", run_compare,
	  &(const struct text){ "{'name':1,", "'k%zu':{'b':1,'a':2}", ",'spec':{'z':1,", "'k%zr':1", "}}" }, 0 },
	{ "compare: lists", run_compare, &json_lists, 0 },
};

static void test_documents(void **state)
{
	(void)state;
	expect_linear(documents, ARRAY_LEN(documents));
}

/* --- typed documents --- */

struct typed_case {
	const char *type;
	struct text text;
};

#define POD_HEAD "{'kind':'Pod','apiVersion':'v1','metadata':{'name':'x'},'spec':{'containers':["
#define CM_HEAD "{'kind':'ConfigMap','apiVersion':'v1','metadata':{'name':'x',"

/* As body.c does it, then all that a write does with what came out, and twice: what is made is in another order. */
static void run_typed(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct typed_case *t = arg;
	const struct schema *s = schema_find(sv_from(t->type));
	const struct resource *r = resource_find(SV(""), SV("v1"), SV("pods"));
	struct sv text = text_of(&a, &t->text, n);

	assert_non_null(s);
	assert_non_null(r);
	for (int sorted = 0; sorted < 2; sorted++) {
		struct decode_report report = { .strict = VEC_INIT, .sorted = sorted != 0 };
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct field_errs fe, more;
		struct val *raw, *doc;
		struct sv repeated[] = { SV("metadata.labels.k0"), SV("spec.a.b.c"), SV("data.k1") };

		raw = json_decode(&a, text, &(struct json_opts){ .merge = true }, NULL);
		assert_non_null(raw);
		report.repeated = repeated;
		report.n_repeated = ARRAY_LEN(repeated);
		cost_begin(c);
		if (sorted)
			raw = val_sorted(&a, raw);
		doc = decode_typed(&a, s, raw, &report, NULL);
		assert_non_null(doc);
		default_typed(&a, s, doc);
		(void)zero_typed(&a, s, doc);
		empty_to_null(&a, s, doc);
		order_typed(&a, s, doc);
		field_errs_init(&fe, &a);
		field_errs_init(&more, &a);
		validate_typed(&fe, s, doc, doc, NULL);
		validate_object_meta(&more, r, val_get(doc, F_metadata), val_get(doc, F_metadata), fmt_dns_subdomain);
		field_errs_merge(&fe, &more);
		(void)field_errs_to_err(&fe, r, SV("x"), &err);
		cost_end(c);
		vec_release(&report.strict);
	}
}

static const struct typed_case typed_cases[] = {
	{ "core/v1.ConfigMap", { CM_HEAD "'a':1},'data':{", "'k%zu':'v'", "}}", NULL, NULL } },
	{ "core/v1.ConfigMap", { CM_HEAD "'labels':{", "'k%zu':'v'", "},'annotations':{", "'k%zr':'v'", "}}}" } },
	{ "core/v1.ConfigMap", { CM_HEAD "'labels':{", "'/ %zu':'v v'", "},'annotations':{", "' %zr':'v'", "}}}" } },
	{ "core/v1.ConfigMap", { CM_HEAD "'finalizers':[", "'a.b/f%zu'", "],'deletionTimestamp':null}}", NULL, NULL } },
	{ "core/v1.ConfigMap", { CM_HEAD "'finalizers':[", "'bad name %zu'", "]}}", NULL, NULL } },
	{ "core/v1.ConfigMap",
	  { CM_HEAD "'ownerReferences':[", "{'apiVersion':'v1','kind':'Pod','name':'p%zu','uid':'u%zu'}", "]}}", NULL,
	    NULL } },
	{ "core/v1.ConfigMap",
	  { CM_HEAD "'ownerReferences':[", "{'apiVersion':'v1','kind':'Event','controller':true}", "]}}", NULL,
	    NULL } },
	{ "core/v1.ConfigMap",
	  { CM_HEAD "'managedFields':[",
	    "{'manager':'m%zu','operation':'Update','fieldsType':'FieldsV1','fieldsV1':{'f:a':{}}}", "]}}", NULL,
	    NULL } },
	{ "core/v1.ConfigMap",
	  { CM_HEAD "'managedFields':[", "{'manager':'m%zu','operation':'?'}", "]}}", NULL, NULL } },
	{ "core/v1.ConfigMap", { CM_HEAD "'x':1}", ",'u%zu':{'v%zu':[1]}", "}", NULL, NULL } },
	{ "core/v1.ConfigMap", { CM_HEAD "'x':1},'data':{'k':'v'}", ",'data':{'k%zu':'v'}", "}", NULL, NULL } },
	{ "core/v1.Pod", { POD_HEAD, "{'name':'c%zu','image':'i'}", "]}}", NULL, NULL } },
	{ "core/v1.Pod",
	  { POD_HEAD, "{'name':'c%zu','unknown':1,'terminationMessagePolicy':'No'}", "]}}", NULL, NULL } },
	{ "core/v1.Pod", { POD_HEAD "{'name':'c','ports':[", "{'containerPort':%zu}", "]}]}}", NULL, NULL } },
	{ "core/v1.Pod",
	  { POD_HEAD "{'name':'c','resources':{'limits':{", "'example.com/r%zu':'1.5Gi'", "},'requests':{",
	    "'example.com/r%zr':%zu", "}}}]}}" } },
	{ "core/v1.Pod", { POD_HEAD "],'nodeSelector':{", "'k%zu':'v'", "},'volumes':[", "{'name':'v%zu'}", "]}}" } },
	{ "core/v1.Endpoints",
	  { "{'metadata':{},'subsets':[{'addresses':[", "{'ip':'10.0.0.%zu'}", "],'ports':[", "{'port':%zu}",
	    "]}]}" } },
	{ "apiextensions.k8s.io/v1.CustomResourceDefinition",
	  { "{'spec':{'versions':[{'name':'v1','schema':{'openAPIV3Schema':{'properties':{",
	    "'p%zu':{'type':'string','enum':[%zu]}", "}}}}]}}", NULL, NULL } },
};

/* A type of n fields, made at run time, and a document that has half of them, from the last to the first. */
static void run_typed_late(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct schema_maker m = {
		.a = &a, .names = sym_names_new(), .group = "example.com", .version = "v1", .kind = "Thing", .err = &err
	};
	struct buf type = BUF_INIT, text = BUF_INIT;
	const struct schema *s;
	const char *name = arg;
	struct field_errs fe;
	struct val *doc;

	buf_adds(&type, "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{");
	buf_adds(&text, "{\"kind\":\"Thing\",\"apiVersion\":\"example.com/v1\",\"spec\":{");
	for (size_t i = 0; i < n; i++) {
		buf_printf(&type, "%s\"%s%zu\":{\"type\":\"string\"%s}", i ? "," : "", name, i,
			   i % 4 == 1 ? ",\"default\":\"x\"" : "");
		if (i % 2 == 0)
			buf_printf(&text, "%s\"%s%zu\":\"v\"", i ? "," : "", name, n - i - 1);
	}
	buf_adds(&type, "}}}}");
	buf_adds(&text, "}}");
	s = schema_build(&m, json_decode(&a, buf_sv(&type), NULL, NULL));
	assert_non_null(s);
	doc = json_decode(&a, buf_sv(&text), NULL, NULL);
	assert_non_null(doc);
	cost_begin(c);
	doc = decode_typed(&a, s, doc, NULL, NULL);
	assert_non_null(doc);
	default_typed(&a, s, doc);
	(void)zero_typed(&a, s, doc);
	empty_to_null(&a, s, doc);
	order_typed(&a, s, doc);
	field_errs_init(&fe, &a);
	validate_typed(&fe, s, doc, doc, NULL);
	cost_end(c);
	assert_int_equal(fe.list.n, 0);
	assert_true(val_len(val_get(doc, F_spec)) >= n / 2);
	buf_release(&type);
	buf_release(&text);
	sym_names_free(m.names);
}

/* One long name, and many small things below it: of each its path is as long as the name. */
static void run_long_name(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct schema *s = schema_find(SV("apiextensions.k8s.io/v1.CustomResourceDefinition"));
	struct decode_report report = { .strict = VEC_INIT };
	struct sv repeated[] = { SV("spec.versions") };
	struct val *doc;

	assert_non_null(s);
	doc = doc_of(&a, arg, n);
	report.repeated = repeated;
	report.n_repeated = 1;
	cost_begin(c);
	assert_non_null(decode_typed(&a, s, doc, &report, NULL));
	cost_end(c);
	assert_true(report.strict.n > 0);
	vec_release(&report.strict);
}

static const struct text long_name = {
	"{'unknown':1,'spec':{'versions':[{'name':'v1','schema':{'openAPIV3Schema':{'properties':{'", "very-long-%zr ",
	"':{'allOf':[", "{'type':'string'},", "{}]}}}}}]}}"
};

/* Errors about the same: their paths together are no longer than what is said of them. */
static void run_long_path(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct field_errs fe;
	char *name = arena_alloc(&a, n * 8);

	(void)arg;
	memset(name, 'x', n * 8);
	field_errs_init(&fe, &a);
	cost_begin(c);
	for (size_t i = 0; i < n; i++) {
		struct fpath root = FPATH_ROOT(F_spec), key = FPATH_KEY(&root, sv_make(name, n * 8));
		struct fpath at = FPATH_AT(&key, i);

		fe_required(&fe, &at);
	}
	(void)field_errs_to_err(&fe, resource_find(SV(""), SV("v1"), SV("pods")), SV("x"), NULL);
	cost_end(c);
}

static void test_typed(void **state)
{
	struct cost_row rows[ARRAY_LEN(typed_cases)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rows[i] =
		    (struct cost_row){ typed_cases[i].text.element, run_typed, &typed_cases[i], i ? 0 : 3 * COST_N };
	expect_linear(rows, ARRAY_LEN(rows));
}

static void test_paths(void **state)
{
	const struct cost_row rows[] = {
		{ "strict: many below a long name", run_long_name, &long_name, 3000 },
		{ "a type made at run time", run_typed_late, "late", 0 },
		{ "a type made at run time: names as text", run_typed_late, "la<te", 0 },
		{ "errors: many below a long name", run_long_path, NULL, 3000 },
	};

	(void)state;
	expect_linear(rows, ARRAY_LEN(rows));
}

/* --- patches --- */

struct patch_row {
	const char *type; /* NULL: of no type */
	struct text doc, patch;
};

static void run_patch(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct patch_row *p = arg;
	struct val *doc = doc_of(&a, &p->doc, n), *patch = doc_of(&a, &p->patch, n), *out;

	cost_begin(c);
	if (patch->type == VAL_LIST)
		out = patch_json(&a, doc, patch, &err);
	else if (p->type)
		out = patch_strategic(&a, schema_find(sv_from(p->type)), doc, patch, &err);
	else
		out = patch_merge(&a, doc, patch, &err);
	cost_end(c);
	if (!out)
		fail_msg("%s %s: %s", p->patch.head, p->patch.element, err_msg(&err));
}

#define KEYS                                                \
	{                                                   \
		"{'data':{", "'k%zu':'v'", "}}", NULL, NULL \
	}
#define ITEMS                                        \
	{                                            \
		"{'data':[", "%zu", "]}", NULL, NULL \
	}
#define ENV                                                                                        \
	{                                                                                          \
		POD_HEAD "{'name':'c','env':[", "{'name':'E%zu','value':'v'}", "]}]}}", NULL, NULL \
	}
#define FINALIZERS                                                    \
	{                                                             \
		CM_HEAD "'finalizers':[", "'f%zu'", "]}}", NULL, NULL \
	}

static const struct patch_row merge_rows[] = {
	{ NULL, KEYS, { "{'data':{", "'k%zr':'w'", "}}", NULL, NULL } },
	{ NULL, KEYS, { "{'data':{", "'k%zr':null", "}}", NULL, NULL } },
	{ NULL, KEYS, { "{'data':{", "'n%zr':{'a':null,'b':{}}", "}}", NULL, NULL } },
	{ "core/v1.ConfigMap", KEYS, { "{'data':{", "'k%zr':'w'", ",", "'n%zu':'w'", "}}" } },
	{ "core/v1.ConfigMap", KEYS, { "{'data':{", "'k%zr':null", "}}", NULL, NULL } },
	{ "core/v1.ConfigMap", KEYS, { "{'data':{'$retainKeys':[", "'k%zr'", "]}}", NULL, NULL } },
	{ "core/v1.ConfigMap", FINALIZERS, { "{'metadata':{'finalizers':[", "'f%zr'", ",", "'g%zu'", "]}}" } },
	{ "core/v1.ConfigMap",
	  FINALIZERS,
	  { "{'metadata':{'$deleteFromPrimitiveList/finalizers':[", "'f%zr'", "]}}", NULL, NULL } },
	{ "core/v1.ConfigMap",
	  FINALIZERS,
	  { "{'metadata':{'$setElementOrder/finalizers':[", "'f%zr'", "]}}", NULL, NULL } },
	{ "core/v1.Pod", ENV, { POD_HEAD "{'name':'c','env':[", "{'name':'E%zr','value':'w'}", "]}]}}", NULL, NULL } },
	{ "core/v1.Pod",
	  ENV,
	  { POD_HEAD "{'name':'c','env':[", "{'name':'E%zr','$patch':'delete'}", "]}]}}", NULL, NULL } },
	{ "core/v1.Pod",
	  ENV,
	  { POD_HEAD "{'name':'c','$setElementOrder/env':[", "{'name':'E%zr'}", "],'env':[",
	    "{'name':'E%zr','value':'w'}", "]}]}}" } },
	{ "core/v1.Pod", ENV, { POD_HEAD "{'name':'c','env':[", "{'name':'F','value':'w'}", "]}]}}", NULL, NULL } },
};

static const struct patch_row json_rows[] = {
	{ NULL, KEYS, { "[", "{'op':'replace','path':'/data/k%zr','value':1}", "]", NULL, NULL } },
	{ NULL, KEYS, { "[", "{'op':'add','path':'/data/n%zr','value':1}", "]", NULL, NULL } },
	{ NULL, KEYS, { "[", "{'op':'remove','path':'/data/k%zr'}", "]", NULL, NULL } },
	{ NULL, KEYS, { "[", "{'op':'test','path':'/data/k%zr','value':'v'}", "]", NULL, NULL } },
	{ NULL, KEYS, { "[", "{'op':'copy','from':'/data/k%zr','path':'/data/n%zu'}", "]", NULL, NULL } },
	{ NULL, KEYS, { "[", "{'op':'move','from':'/data/k%zr','path':'/data/n%zu'}", "]", NULL, NULL } },
	{ NULL, ITEMS, { "[", "{'op':'add','path':'/data/-','value':1}", "]", NULL, NULL } },
	{ NULL, ITEMS, { "[", "{'op':'replace','path':'/data/%zr','value':1}", "]", NULL, NULL } },
};

static void test_patches(void **state)
{
	struct cost_row rows[ARRAY_LEN(merge_rows)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rows[i] = (struct cost_row){ merge_rows[i].patch.element, run_patch, &merge_rows[i], 0 };
	expect_linear(rows, ARRAY_LEN(rows));
}

static void test_json_patches(void **state)
{
	struct cost_row rows[ARRAY_LEN(json_rows)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rows[i] = (struct cost_row){ json_rows[i].patch.element, run_patch, &json_rows[i], 0 };
	expect_linear(rows, ARRAY_LEN(rows));
}

/* --- ownership --- */

/* Created by one manager, changed by another, applied by a third, which then applies the half of it. */
struct owned_case {
	const char *type, *version;
	struct text first, second, half;
};

static void run_owned(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct owned_case *o = arg;
	const struct schema *s = schema_find(sv_from(o->type));
	struct apply_opts one = { .manager = SV("one"), .api_version = sv_from(o->version), .now_ns = 1 };
	struct apply_opts two = one, three = one, four = one;
	struct val *first = doc_of(&a, &o->first, n), *second = doc_of(&a, &o->second, n);
	struct val *config = doc_of(&a, &o->second, n), *half = doc_of(&a, &o->half, n / 2), *live;

	assert_non_null(s);
	two.manager = SV("two");
	three.manager = SV("three");
	three.force = true;
	four.manager = SV("four");
	cost_begin(c);
	first = managed_update(&a, s, NULL, first, &one, &err);
	val_set(&a, val_member_mut(second, F_metadata), F_managedFields, val_get(first, F_metadata, F_managedFields));
	second = managed_update(&a, s, first, second, &two, &err);
	live = managed_apply(&a, s, second, config, &three, &err);
	assert_non_null(live);
	(void)managed_apply(&a, s, live, half, &four, &err); /* everything is in conflict */
	err_release(&err);
	live = managed_apply(&a, s, live, half, &three, &err);
	assert_non_null(live);
	cost_end(c);
}

#define CM "core/v1.ConfigMap", "v1"
#define POD "core/v1.Pod", "v1"

static const struct owned_case owned_cases[] = {
	{ CM,
	  { CM_HEAD "'a':1},'data':{", "'k%zu':'v'", "}}", NULL, NULL },
	  { CM_HEAD "'labels':{}},'data':{", "'k%zr':'w'", "}}", NULL, NULL },
	  { CM_HEAD "'labels':{}},'data':{", "'k%zr':'z'", "}}", NULL, NULL } },
	{ CM,
	  { CM_HEAD "'labels':{", "'k%zu':'v'", "}}}", NULL, NULL },
	  { CM_HEAD "'labels':{", "'k%zr':'w'", "},'annotations':{", "'k%zr':'w'", "}}}" },
	  { CM_HEAD "'labels':{", "'k%zr':'w'", "}}}", NULL, NULL } },
	{ CM,
	  { CM_HEAD "'finalizers':[", "'a/f%zu'", "]}}", NULL, NULL },
	  { CM_HEAD "'finalizers':[", "'a/f%zr'", ",", "'a/g%zr'", "]}}" },
	  { CM_HEAD "'finalizers':[", "'a/g%zr'", "]}}", NULL, NULL } },
	{ CM,
	  { CM_HEAD "'ownerReferences':[", "{'uid':'u%zu','name':'a'}", "]}}", NULL, NULL },
	  { CM_HEAD "'ownerReferences':[", "{'uid':'u%zr','name':'b'}", "]}}", NULL, NULL },
	  { CM_HEAD "'ownerReferences':[", "{'uid':'u%zr','name':'c'}", "]}}", NULL, NULL } },
	{ POD,
	  { POD_HEAD, "{'name':'c%zu','image':'i'}", "]}}", NULL, NULL },
	  { POD_HEAD, "{'name':'c%zr','image':'j'}", "]}}", NULL, NULL },
	  { POD_HEAD, "{'name':'c%zr','image':'k'}", "]}}", NULL, NULL } },
	{ POD,
	  { POD_HEAD "{'name':'c','env':[", "{'name':'e%zu','value':'i'}", "],'ports':[", "{'containerPort':%zu}",
	    "]}]}}" },
	  { POD_HEAD "{'name':'c','env':[", "{'name':'e%zr','value':'j'}", "],'ports':[",
	    "{'containerPort':%zr,'name':'n'}", "]}]}}" },
	  { POD_HEAD "{'name':'c','env':[", "{'name':'e%zr','value':'k'}", "],'ports':[",
	    "{'containerPort':%zr,'name':'m'}", "]}]}}" } },
};

/* n managers, each with a field of its own or all with the same, and an object with as many fields that all changes. */
static void run_managers(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct schema *s = schema_find(SV("core/v1.ConfigMap"));
	struct apply_opts o = { .manager = SV("m1"), .api_version = SV("v1"), .now_ns = NS_PER_SEC, .force = true };
	static const struct text keys = { CM_HEAD "'a':1},'data':{", "'k%zu':'v'", ",", "'l%zu':'v'", "}}" },
				 changed = { CM_HEAD "'labels':{}},'data':{", "'k%zu':'w'", ",", "'l%zu':'w'", "}}" };
	struct val *live = doc_of(&a, &keys, n), *neu = doc_of(&a, &changed, n), *config = doc_of(&a, &changed, n);
	const struct val *managers = val_get(doc_of(&a, arg, n), F_spec);

	val_set(&a, val_member_mut(live, F_metadata), F_managedFields, managers);
	val_set(&a, val_member_mut(neu, F_metadata), F_managedFields, managers);
	cost_begin(c);
	assert_non_null(managed_update(&a, s, live, neu, &o, &err));
	o.force = false;
	(void)managed_apply(&a, s, live, config, &o, &err);
	err_release(&err);
	o.force = true;
	assert_non_null(managed_apply(&a, s, live, config, &o, &err));
	cost_end(c);
}

#define MANAGER(name, operation, version, field)                                   \
	"{'manager':'" name "','operation':'" operation "','apiVersion':'" version \
	"','fieldsType':'FieldsV1','fieldsV1':{'f:data':{'f:" field "':{}}}}"

static const struct cost_row managers[] = {
	{ "managers of a field each", run_managers,
	  &(const struct text){ "{'spec':[", MANAGER("m%zu", "Apply", "v1", "k%zu"), "]}", NULL, NULL }, 100 },
	{ "managers of one field", run_managers,
	  &(const struct text){ "{'spec':[", MANAGER("m%zu", "Apply", "v1", "k1"), "]}", NULL, NULL }, 100 },
	{ "updaters of a field each", run_managers,
	  &(const struct text){ "{'spec':[", MANAGER("m%zu", "Update", "v1", "k%zu"), "]}", NULL, NULL }, 100 },
	{ "updaters of versions", run_managers,
	  &(const struct text){ "{'spec':[", MANAGER("m%zu", "Update", "v%zu", "k%zu"), "]}", NULL, NULL }, 100 },
	{ "the same manager again", run_managers,
	  &(const struct text){ "{'spec':[", MANAGER("m", "Apply", "v1", "k%zu"), "]}", NULL, NULL }, 100 },
};

static void test_ownership(void **state)
{
	struct cost_row rows[ARRAY_LEN(owned_cases)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rows[i] = (struct cost_row){ owned_cases[i].first.element, run_owned, &owned_cases[i], 0 };
	expect_linear(rows, ARRAY_LEN(rows));
}

static void test_managers(void **state)
{
	(void)state;
	expect_linear(managers, ARRAY_LEN(managers));
}

/* --- selectors, quantities --- */

/* So many ranges, and as many objects that are asked about. */
static void run_shards(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct shards *s;

	(void)arg;
	for (size_t i = n; i > 0; i--)
		buf_printf(&b, "%sshardRange(object.metadata.uid, '0x%015zx0', '0x%015zx1')", i < n ? " || " : "", i,
			   i);
	cost_begin(c);
	s = shards_parse(&a, buf_sv(&b), &err);
	if (!s)
		fail_msg("%s", err_msg(&err));
	for (size_t i = 0; i < n; i++)
		(void)shards_have(s, arena_svf(&a, "uid-%zu", i));
	cost_end(c);
	assert_int_equal(s->n, n);
}

static void run_selector(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *labels = doc_of(&a, &(const struct text)MANY_KEYS, n);
	const struct text *t = arg;
	const struct selector *s;

	cost_begin(c);
	if (*t->head == '{')
		s = selector_from_label_selector(&a, doc_of(&a, t, n), &err);
	else
		s = selector_parse(&a, text_of(&a, t, n), &err);
	if (!s)
		fail_msg("%s", err_msg(&err));
	(void)selector_matches(s, labels);
	selector_format(&b, s);
	cost_end(c);
}

/* As many values as there are objects to match. */
static void run_matches(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct selector *s = selector_from_label_selector(&a, doc_of(&a, arg, n), NULL);
	size_t found = 0;

	assert_non_null(s);
	cost_begin(c);
	for (size_t i = 0; i < n; i++) {
		struct val *labels = val_new_map(&a);

		val_set_str_sv(&a, labels, SV("k"), arena_svf(&a, "a%zu", 2 * i));
		found += selector_matches(s, labels);
	}
	cost_end(c);
	assert_int_equal(found, (n + 1) / 2);
}

/* As many requirements as there are objects to match, each of which meets them all. */
static void run_requirements(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct selector *s = selector_parse(&a, text_of(&a, arg, n), NULL);
	struct val *labels = val_new_map(&a);
	size_t found = 0;

	assert_non_null(s);
	val_set_str_sv(&a, labels, SV("a"), SV("v"));
	cost_begin(c);
	for (size_t i = 0; i < n; i++)
		found += selector_matches(s, labels);
	cost_end(c);
	assert_int_equal(found, n);
}

static void run_fields(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = text_of(&a, arg, n);

	cost_begin(c);
	assert_non_null(field_selector_parse(&a, text, NULL));
	cost_end(c);
}

/* Digits of any number, which are refused at some length, and sums of many. */
static void run_quantity(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = text_of(&a, arg, n), sum = SV("0");
	int64_t out;

	cost_begin(c);
	(void)quantity_milli(text, &out);
	(void)quantity_canonical(&a, text);
	for (size_t i = 0; i < n; i++)
		sum = quantity_add(&a, sum, SV("123456789Gi"));
	cost_end(c);
}

static const struct cost_row selectors[] = {
	{ "shard selector: many ranges", run_shards, NULL, 80 },
	{ "label selector: requirements", run_selector, &(const struct text){ "a", ",k%zr!=v", NULL, NULL, NULL }, 0 },
	{ "label selector: one key", run_selector, &(const struct text){ "a", ",k0!=v%zu", NULL, NULL, NULL }, 0 },
	{ "label selector: values", run_selector, &(const struct text){ "k0 notin (", "v%zr", ")", NULL, NULL }, 0 },
	{ "label selector: requirements with values", run_selector,
	  &(const struct text){ "k0 notin (", "v%zr", ")", ",k%zu notin (a,b)", NULL }, 0 },
	{ "LabelSelector: labels", run_selector,
	  &(const struct text){ "{'matchLabels':{", "'k%zr':'v'", "}}", NULL, NULL }, 0 },
	{ "LabelSelector: expressions", run_selector,
	  &(const struct text){ "{'matchExpressions':[", "{'key':'k%zr','operator':'NotIn','values':['a%zu']}", "]}",
				NULL, NULL },
	  0 },
	{ "label selector: requirements of many objects", run_requirements,
	  &(const struct text){ "a", ",!k%zu", NULL, NULL, NULL }, 0 },
	{ "label selector: one key of many objects", run_requirements,
	  &(const struct text){ "a=v", ",a!=v%zu", NULL, ",a in (v,v%zu)", NULL }, 0 },
	{ "LabelSelector: values of many objects", run_matches,
	  &(const struct text){ "{'matchExpressions':[{'key':'k','operator':'In','values':[", "'a%zr'", "]}]}", NULL,
				NULL },
	  0 },
	{ "field selector", run_fields, &(const struct text){ "a=b", ",k%zr!=v\\\\,", NULL, NULL, NULL }, 0 },
	{ "quantity: digits", run_quantity, &(const struct text){ "1", "\n", NULL, "%zu\n", "Gi" }, 0 },
};

static void test_selectors(void **state)
{
	(void)state;
	expect_linear(selectors, ARRAY_LEN(selectors));
}

/* --- indexes --- */

static void run_indexes(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *map = val_new_map(&a), *copy = val_new_map(&a), *list = val_new_list(&a);
	_cleanup_(val_index_release) struct val_index x = val_index_changing(map);
	struct list_index l = list_index_of(&a, list, F_name);

	(void)arg;
	cost_begin(c);
	for (size_t i = 0; i < n; i++) {
		struct val *element = val_new_map(&a);

		val_index_set(&x, &a, arena_svf(&a, "k%zu", i), NULL);
		val_set_str(&a, element, F_name, arena_svf(&a, "k%zu", i / 2));
		val_push(&a, list, element);
		list_index_grown(&l);
	}
	for (size_t i = 0; i < n; i++) {
		(void)val_index_get(&x, arena_svf(&a, "k%zu", n - i));
		(void)list_index_find(&l, val_at(list, n - 1 - i));
		if (i % 3)
			val_index_del(&x, arena_svf(&a, "k%zu", i));
	}
	for (size_t i = 0; i < n; i++) /* what comes and goes leaves no trace */
		val_index_set(&x, &a, SV("k"), NULL), val_index_del(&x, SV("k"));
	val_index_release(&x);
	val_put_all(&a, copy, map);
	val_add_missing(&a, copy, map);
	cost_end(c);
}

static void test_indexes(void **state)
{
	const struct cost_row row = { "indexes", run_indexes, NULL, 0 };

	(void)state;
	expect_linear(&row, 1);
}

/* --- versions --- */

/* To v2 and back, and what an annotation says with it. */
static void run_autoscaler(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *v1 = json_decode(&a, text_of(&a, arg, n), NULL, NULL), *v2;

	assert_non_null(v1);
	cost_begin(c);
	v2 = autoscaler_to_v2(&a, v1);
	v1 = autoscaler_to_v1(&a, v2);
	cost_end(c);
	assert_true(val_len(val_get(v2, F_spec, F_metrics)) > 0);
}

#define NOTED "{'metadata':{'annotations':{"
#define NOTED_METRICS NOTED "'autoscaling.alpha.kubernetes.io/metrics':'["
static const struct cost_row versions[] = {
	{ "autoscaler: annotations", run_autoscaler, &(const struct text){ NOTED, "'k%zr':'v'", "}}}", NULL, NULL },
	  0 },
	{ "autoscaler: metrics", run_autoscaler,
	  &(const struct text){ NOTED_METRICS, "{\\'type\\':\\'Pods\\',\\'pods\\':{\\'metricName\\':\\'m%zu\\'}}",
				"]'}}}", NULL, NULL },
	  0 },
	{ "autoscaler: one metric with many members", run_autoscaler,
	  &(const struct text){ NOTED_METRICS "{", "\\'k%zu\\':1", "}]'}}}", NULL, NULL }, 0 },
};

static void test_versions(void **state)
{
	(void)state;
	expect_linear(versions, ARRAY_LEN(versions));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decoders),  cmocka_unit_test(test_documents), cmocka_unit_test(test_typed),
		cmocka_unit_test(test_paths),	  cmocka_unit_test(test_patches),   cmocka_unit_test(test_json_patches),
		cmocka_unit_test(test_ownership), cmocka_unit_test(test_managers),  cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_indexes),	  cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
