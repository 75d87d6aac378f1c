#include "unit.h"
#include "everything.h"

#include "base/strmap.h"
#include "codec/json.h"
#include "codec/pbwire.h"
#include "object/openapi.h"

#include <stdlib.h>

static const struct val *parse(struct arena *a, const struct buf *b)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *v = json_decode(a, buf_sv(b), NULL, &err);

	if (!v)
		fail_msg("%s", err_msg(&err));
	return v;
}

/* Every $ref in v leads to a definition. */
static void check_refs(const struct val *v, const struct val *definitions, const char *prefix)
{
	VAL_EACH(v, item)
		check_refs(item, definitions, prefix);
	VAL_EACH_MEMBER(v, m) {
		if (m.sym == F__ref && val_type(m.value) == VAL_STR) {
			struct sv ref = val_str(m.value);

			assert_true(sv_starts(ref, sv_from(prefix)));
			if (!val_member_sv(definitions, sv_sub(ref, strlen(prefix), ref.n)))
				fail_msg("%.*s leads nowhere", SV_ARG(ref));
		} else {
			check_refs(m.value, definitions, prefix);
		}
	}
}

/* Operation ids are unique; every operation has a 200 answer and says what it is about. */
static void check_operations(struct strmap *ids, const struct val *paths)
{
	VAL_EACH_MEMBER(paths, path) {
		assert_true(sv_starts(path.key, SV("/api")));
		VAL_EACH_MEMBER(path.value, op) {
			struct sv id = val_str(val_member_sv(op.value, SV("operationId")));

			if (sv_is(op.key, "parameters"))
				continue;
			assert_true(id.n > 0);
			if (strmap_set(ids, id, ids))
				fail_msg("operation %.*s is there twice", SV_ARG(id));
			assert_non_null(val_member_sv(val_member_sv(op.value, SV("responses")), SV("200")));
			assert_true(val_member_sv(op.value, SV("x-kubernetes-group-version-kind")) != NULL);
		}
	}
}

static const struct val *at(const struct val *v, const char *path)
{
	struct sv rest = sv_from(path), step;

	while (sv_split(&rest, '|', &step))
		v = val_member_sv(v, step);
	return v;
}

static void test_v3_of_every_group(void **state)
{
	_cleanup_(strmap_release) struct strmap ids = STRMAP_INIT;

	(void)state;
	for (size_t i = 0; i < group_version_count; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct sv group = sv_from(group_version_all[i].group), version = sv_from(group_version_all[i].version);
		const struct val *doc;

		assert_true(openapi_v3(&b, group, version, NULL, 0));
		doc = parse(&a, &b);
		check_refs(doc, at(doc, "components|schemas"), "#/components/schemas/");
		check_operations(&ids, at(doc, "paths"));
		assert_true(openapi_v3_hash(group, version, NULL, 0) != 0);
	}
	assert_true(strmap_has(&ids, SV("listCoreV1NamespacedPod")));
	assert_true(strmap_has(&ids, SV("listCoreV1PodForAllNamespaces")));
	assert_true(strmap_has(&ids, SV("deleteCoreV1CollectionNamespacedPod")));
	assert_true(strmap_has(&ids, SV("replaceAppsV1NamespacedDeploymentScale")));
	assert_true(strmap_has(&ids, SV("readRbacAuthorizationV1ClusterRole")));
	assert_true(strmap_has(&ids, SV("connectGetCoreV1NamespacedPodExec")));
}

static void test_v3_details(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *schemas, *pods, *v;

	(void)state;
	assert_true(openapi_v3(&b, SV("apps"), SV("v1"), NULL, 0));
	schemas = at(parse(&a, &b), "components|schemas");
	v = at(schemas, "io.k8s.api.core.v1.Container|properties|ports");
	assert_true(val_is(at(v, "type"), "array"));
	assert_true(val_is(at(v, "x-kubernetes-list-type"), "map"));
	assert_int_equal(val_len(at(v, "x-kubernetes-list-map-keys")), 2);
	assert_true(val_is(at(v, "x-kubernetes-patch-merge-key"), "containerPort"));
	assert_true(val_is(at(v, "x-kubernetes-patch-strategy"), "merge"));
	v = at(schemas, "io.k8s.api.apps.v1.DeploymentSpec|properties|strategy");
	assert_true(val_is(at(v, "x-kubernetes-patch-strategy"), "retainKeys"));
	assert_true(
	    val_is(at(schemas, "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector|x-kubernetes-map-type"), "atomic"));
	v = val_at(at(schemas, "io.k8s.api.apps.v1.Deployment|x-kubernetes-group-version-kind"), 0);
	assert_true(val_is(at(v, "group"), "apps") && val_is(at(v, "version"), "v1") &&
		    val_is(at(v, "kind"), "Deployment"));
	v = val_at(at(schemas, "io.k8s.apimachinery.pkg.apis.meta.v1.Status|x-kubernetes-group-version-kind"), 0);
	assert_true(val_is(at(v, "group"), "") && val_is(at(v, "version"), "v1"));

	/* kubectl looks for fieldValidation among the parameters of the kind's patch operation. */
	pods = at(parse(&a, &b), "paths|/apis/apps/v1/namespaces/{namespace}/deployments/{name}|patch");
	assert_true(val_is(at(pods, "x-kubernetes-action"), "patch"));
	v = NULL;
	VAL_EACH(at(pods, "parameters"), p)
		if (val_is(at(p, "name"), "fieldValidation"))
			v = p;
	assert_non_null(v);
	assert_non_null(at(pods, "requestBody|content|application/strategic-merge-patch+json|schema|$ref"));
	assert_false(openapi_v3(&b, SV("nobody"), SV("v1"), NULL, 0));
	assert_int_equal(openapi_v3_hash(SV("nobody"), SV("v1"), NULL, 0), 0);
}

static void test_v2(void **state)
{
	_cleanup_(strmap_release) struct strmap ids = STRMAP_INIT;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *doc;

	(void)state;
	openapi_v2(&b, NULL, 0, NULL);
	doc = parse(&a, &b);
	assert_true(val_is(at(doc, "swagger"), "2.0"));
	check_refs(doc, at(doc, "definitions"), "#/definitions/");
	check_operations(&ids, at(doc, "paths"));
	assert_true(val_is(at(doc, "definitions|io.k8s.apimachinery.pkg.api.resource.Quantity|type"), "string"));
}

static void test_custom(void **state)
{
	static const char *const none[] = { NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct subresource status = { .name = "status",
				      .kind = "CronTab",
				      .group = "stable.example.com",
				      .version = "v1",
				      .verbs = 1 << VERB_GET | 1 << VERB_UPDATE };
	struct resource r = { .group = "stable.example.com",
			      .version = "v1",
			      .plural = "crontabs",
			      .singular = "crontab",
			      .kind = "CronTab",
			      .list_kind = "CronTabList",
			      .short_names = none,
			      .categories = none,
			      .selectable_fields = none,
			      .subresources = &status,
			      .n_subresources = 1,
			      .verbs = 0xff,
			      .namespaced = true };
	struct openapi_custom custom = { .resource = &r, .hash = 7 };
	const struct val *doc, *kind;

	(void)state;
	custom.schema = json_decode(&a,
				    SV("{\"type\":\"object\",\"description\":\"d\",\"properties\":{\"spec\":{\"type\":"
				       "\"object\"},\"kind\":{\"type\":\"string\"}},\"required\":[\"spec\"]}"),
				    NULL, NULL);
	assert_non_null(custom.schema);
	openapi_v3_index(&b, &custom, 1);
	doc = parse(&a, &b);
	assert_int_equal(val_len(at(doc, "paths")), group_version_count + 1);
	assert_true(sv_starts(val_str(at(doc, "paths|api/v1|serverRelativeURL")), SV("/openapi/v3/api/v1?hash=")));
	assert_non_null(at(doc, "paths|apis/stable.example.com/v1|serverRelativeURL"));

	buf_clear(&b);
	assert_true(openapi_v3(&b, SV("stable.example.com"), SV("v1"), &custom, 1));
	doc = parse(&a, &b);
	check_refs(doc, at(doc, "components|schemas"), "#/components/schemas/");
	kind = at(doc, "components|schemas|com.example.stable.v1.CronTab");
	assert_int_equal(val_len(at(kind, "properties")), 4);
	assert_true(val_is(at(kind, "description"), "d"));
	assert_int_equal(val_len(at(kind, "required")), 1);
	assert_non_null(at(doc, "components|schemas|com.example.stable.v1.CronTabList"));
	assert_non_null(at(doc, "paths|/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/status|put"));

	buf_clear(&b);
	openapi_v2(&b, &custom, 1, NULL);
	doc = parse(&a, &b);
	check_refs(doc, at(doc, "definitions"), "#/definitions/");
	kind = at(doc, "definitions|com.example.stable.v1.CronTab");
	assert_int_equal(val_len(at(kind, "properties")), 4);
	assert_non_null(at(kind, "properties|metadata|$ref"));
}

static struct buf taken;
static size_t n_pieces;

static void take_piece(struct buf *b)
{
	buf_addsv(&taken, buf_sv(b));
	buf_clear(b);
	n_pieces++;
}

/* Whoever takes version 2 piece by piece has the same at the end, and no piece is all of it. */
static void test_v2_in_pieces(void **state)
{
	static void (*const writers[])(struct buf *, const struct openapi_custom *, size_t,
				       openapi_piece_fn *) = { openapi_v2, openapi_v2_proto };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
		_cleanup_(buf_release) struct buf whole = BUF_INIT, rest = BUF_INIT;

		n_pieces = 0;
		writers[i](&whole, NULL, 0, NULL);
		writers[i](&rest, NULL, 0, take_piece);
		buf_addsv(&taken, buf_sv(&rest));
		assert_true(n_pieces > 10);
		assert_true(sv_eq(buf_sv(&taken), buf_sv(&whole)));
		buf_release(&taken);
		taken = (struct buf)BUF_INIT;
	}
}

/* The entry of that name in a message of them at field 1. SV_NULL: there is none. */
static struct sv entry(struct sv map, const char *name, size_t *ret_n)
{
	struct sv found = SV_NULL;

	*ret_n = 0;
	PB_EACH(map, r, f) {
		++*ret_n;
		if (f.no == 1 && sv_is(pb_get_sv(f.bytes, 1), name))
			found = pb_get_sv(f.bytes, 2);
	}
	return found;
}

/* Of a SchemaOrReference the property, one as well. */
static struct sv property(struct sv schema_or_ref, const char *name)
{
	size_t n;

	return entry(pb_get_sv(pb_get_sv(schema_or_ref, 1), 31), name, &n);
}

static void test_v3_proto(void **state)
{
	static const char text[] =
	    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":5,\"default\":"
	    "\"x\"},\"b\":{\"type\":\"number\",\"minimum\":1.5,\"default\":false},\"c\":{\"type\":\"array\","
	    "\"items\":{\"anyOf\":[{\"type\":\"integer\"}]}},\"d\":{\"type\":\"object\","
	    "\"additionalProperties\":{\"type\":\"string\"},\"default\":{}}}}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf json = BUF_INIT, b = BUF_INIT;
	struct resource r = { .group = "stable.example.com",
			      .version = "v1",
			      .plural = "crontabs",
			      .kind = "CronTab",
			      .list_kind = "CronTabList",
			      .namespaced = true,
			      .verbs = 0xff };
	const struct openapi_custom custom = { &r, json_decode(&a, sv_from(text), NULL, NULL), 7 };
	const struct val *doc;
	struct sv schemas, kind, v;
	double d = 0;
	size_t n;

	(void)state;
	assert_true(openapi_v3(&json, SV("apps"), SV("v1"), NULL, 0));
	assert_true(openapi_v3_proto(&b, SV("apps"), SV("v1"), NULL, 0));
	assert_true(pb_valid(buf_sv(&b)));
	doc = parse(&a, &json);
	assert_sv(pb_get_sv(buf_sv(&b), 1), "3.0.0");
	v = entry(pb_get_sv(buf_sv(&b), 4), "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", &n);
	assert_int_equal(n, val_len(at(doc, "paths")));
	assert_true(pb_get_sv(pb_get_sv(v, 5), 8).n > 0); /* put.responses */
	schemas = pb_get_sv(pb_get_sv(buf_sv(&b), 5), 1);
	kind = entry(schemas, "io.k8s.api.apps.v1.Deployment", &n);
	assert_int_equal(n, val_len(at(doc, "components|schemas")));
	v = property(kind, "spec"); /* a reference, in an allOf where it has a default */
	assert_true(pb_get_sv(v, 1).n || pb_get_sv(v, 2).n);
	buf_clear(&b);
	assert_true(openapi_v3_proto(&b, SV("stable.example.com"), SV("v1"), &custom, 1));
	assert_true(pb_valid(buf_sv(&b)));
	kind = entry(pb_get_sv(pb_get_sv(buf_sv(&b), 5), 1), "com.example.stable.v1.CronTab", &n);
	v = pb_get_sv(property(kind, "a"), 1);
	assert_int_equal(pb_get_u64(v, 15), 5);
	assert_sv(pb_get_sv(pb_get_sv(v, 33), 3), "x");
	v = pb_get_sv(property(kind, "b"), 1);
	PB_EACH(v, r13, f)
		if (f.no == 13)
			memcpy(&d, &f.u, sizeof(d));
	assert_true(d == 1.5);
	assert_int_equal(pb_get_sv(v, 33).n, 2); /* false is said */
	v = pb_get_sv(pb_get_sv(pb_get_sv(property(kind, "c"), 1), 30), 1);
	assert_sv(pb_get_sv(pb_get_sv(pb_get_sv(pb_get_sv(v, 1), 28), 1), 25), "integer");
	v = pb_get_sv(property(kind, "d"), 1);
	assert_sv(pb_get_sv(pb_get_sv(pb_get_sv(pb_get_sv(v, 32), 1), 1), 25), "string");
	buf_clear(&b);
	assert_false(openapi_v3_proto(&b, SV("none.example.com"), SV("v1"), NULL, 0));
	assert_int_equal(b.n, 0);
}

/* What a value looks like in the definitions of the two versions. ' stands for ". */
static const struct {
	const char *written, *v2, *v3; /* v3 NULL: as written */
} custom_values[] = {
	{ "{'type':'string','maxLength':5,'default':'x'}", "{'type':'string','maxLength':5,'default':'x'}", NULL },
	{ "{'type':'object','properties':{'b':{'type':'integer','nullable':true},'c':{}},'required':['b','c']}",
	  "{'type':'object','required':['c'],'properties':{'b':{},'c':{}}}", NULL },
	{ "{'type':'integer','anyOf':[{'minimum':1}],'allOf':[{}],'oneOf':[{}],'not':{'enum':[5]}}",
	  "{'type':'integer'}", NULL },
	{ "{'type':'object','nullable':true,'properties':{'b':{'type':'string'}}}", "{}", NULL },
	{ "{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'b':{'type':'string'}}}",
	  "{'type':'object','x-kubernetes-preserve-unknown-fields':true}", NULL },
	{ "{'type':'array','x-kubernetes-preserve-unknown-fields':true,'items':{'type':'string'}}",
	  "{'x-kubernetes-preserve-unknown-fields':true}", NULL },
	{ "{'type':'array','items':{'type':'string','nullable':true}}", "{'type':'array','items':{}}", NULL },
	{ "{'type':'object','additionalProperties':{'type':'string','oneOf':[{}]}}",
	  "{'type':'object','additionalProperties':{'type':'string'}}", NULL },
};

static const struct val *quoted(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);

	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return json_decode(a, sv_from(copy), NULL, NULL);
}

static void test_custom_values(void **state)
{
	static const char *const none[] = { NULL };
	struct resource r = { .group = "g.example.com",
			      .version = "v1",
			      .plural = "ts",
			      .singular = "t",
			      .kind = "T",
			      .list_kind = "TList",
			      .short_names = none,
			      .categories = none,
			      .selectable_fields = none,
			      .verbs = 0xff };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(custom_values); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		const char *v3 = custom_values[i].v3 ? custom_values[i].v3 : custom_values[i].written;
		struct openapi_custom custom = { .resource = &r, .hash = i };

		custom.schema =
		    quoted(&a, arena_printf(&a, "{'type':'object','properties':{'a':%s}}", custom_values[i].written));
		openapi_v2(&b, &custom, 1, NULL);
		if (!val_equal(at(parse(&a, &b), "definitions|com.example.g.v1.T|properties|a"),
			       quoted(&a, custom_values[i].v2)))
			fail_msg("v2 of %s", custom_values[i].written);
		buf_clear(&b);
		assert_true(openapi_v3(&b, SV("g.example.com"), SV("v1"), &custom, 1));
		if (!val_equal(at(parse(&a, &b), "components|schemas|com.example.g.v1.T|properties|a"), quoted(&a, v3)))
			fail_msg("v3 of %s", custom_values[i].written);
	}
}

/* An embedded resource has what every object has. */
static void test_custom_embedded(void **state)
{
	static const char *const none[] = { NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct resource r = { .group = "g.example.com",
			      .version = "v1",
			      .plural = "ts",
			      .singular = "t",
			      .kind = "T",
			      .list_kind = "TList",
			      .short_names = none,
			      .categories = none,
			      .selectable_fields = none,
			      .verbs = 0xff };
	struct openapi_custom custom = { .resource = &r };
	const struct val *doc, *e;

	(void)state;
	custom.schema =
	    quoted(&a, "{'type':'object','properties':{'e':{'type':'object','x-kubernetes-embedded-resource':true,"
		       "'properties':{'spec':{'type':'object'},'kind':{'enum':['K']}}}}}");
	for (int v3 = 0; v3 < 2; v3++) {
		buf_clear(&b);
		if (v3)
			openapi_v3(&b, SV("g.example.com"), SV("v1"), &custom, 1);
		else
			openapi_v2(&b, &custom, 1, NULL);
		doc = parse(&a, &b);
		check_refs(doc, at(doc, v3 ? "components|schemas" : "definitions"),
			   v3 ? "#/components/schemas/" : "#/definitions/");
		e = at(doc, v3 ? "components|schemas|com.example.g.v1.T|properties|e"
			       : "definitions|com.example.g.v1.T|properties|e");
		assert_int_equal(val_len(at(e, "properties")), 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v3_of_every_group),
		cmocka_unit_test(test_v3_details),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v2_in_pieces),
		cmocka_unit_test(test_v3_proto),
		cmocka_unit_test(test_custom),
		cmocka_unit_test(test_custom_values),
		cmocka_unit_test(test_custom_embedded),
	};

	everything_on();
	return cmocka_run_group_tests_name("openapi", tests, NULL, NULL);
}
