/* Unknown and repeated fields, on every way by which a typed value comes in, by each fieldValidation.
 *
 * Strict refuses with 400 (create, update), 422 (what a patch makes) or 400 in YAML's words (apply); Warn, which is
 * the default, says the same in warnings and takes the rest; Ignore takes the rest. An apply configuration is judged
 * by its type before all that: what its type does not declare is refused by all three, with 500. */
#include "harness.h"

#include <stdio.h>

#define DEP "/apis/apps/v1/namespaces/default/deployments"
#define APPLY "application/apply-patch+yaml"
#define MERGE "application/merge-patch+json"
#define STRATEGIC "application/strategic-merge-patch+json"
#define JSON_PATCH "application/json-patch+json"
#define YAML "application/yaml"

/* A deployment d whose pods tolerate t. */
#define DOC(meta, t)                                                                                        \
	"{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"d\"" meta             \
	"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{" \
	"\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],\"tolerations\":[" t "]}}}}"
#define POD_PATCH(text) "{\"spec\":{\"template\":{\"spec\":{" text "}}}}"

#define SCALE(more)                                                                                      \
	"{\"apiVersion\":\"autoscaling/v1\",\"kind\":\"Scale\",\"metadata\":{\"name\":\"d\"},\"spec\":{" \
	"\"replicas\":1," more "}}"

#define UNKNOWN "unknown field \"spec.template.spec.tolerations[0].frob\""
#define REPEATED "duplicate field \"spec.template.spec.tolerations[0].key\""
#define FROB "{\"key\":\"k\",\"frob\":1}"
#define TWICE "{\"key\":\"k\",\"key\":\"l\"}"
#define HANDLED "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: "

static const struct {
	const char *method, *at, *type, *body; /* at: below DEP */
	int strict;			       /* the code by Strict; the others take it ... */
	const char *refused;		       /* and a piece of its message */
	const char *warned;		       /* by Warn */
	int always;			       /* ... unless this is their code, too */
} ways[] = {
	{ "POST", "", NULL, DOC("", FROB), 400, HANDLED UNKNOWN, UNKNOWN, 0 },
	{ "POST", "", NULL, DOC("", TWICE), 400, HANDLED REPEATED, REPEATED, 0 },
	{ "POST", "", YAML, DOC("", FROB), 400, HANDLED UNKNOWN, UNKNOWN, 0 },
	{ "POST", "", YAML, DOC("", TWICE), 400,
	  HANDLED "yaml: unmarshal errors:\n  line 1: key \"key\" already set in map",
	  "line 1: key \"key\" already set in map", 0 },
	{ "PUT", "/d", NULL, DOC("", FROB), 400, HANDLED UNKNOWN, UNKNOWN, 0 },
	{ "PUT", "/d", NULL, DOC("", TWICE), 400, HANDLED REPEATED, REPEATED, 0 },
	{ "PUT", "/d", YAML, DOC("", FROB), 400, HANDLED UNKNOWN, UNKNOWN, 0 },
	{ "PUT", "/d/status", NULL, DOC("", FROB), 400, HANDLED UNKNOWN, UNKNOWN, 0 },
	{ "PATCH", "/d", MERGE, POD_PATCH("\"tolerations\":[" FROB "]"), 422, "strict decoding error: " UNKNOWN,
	  UNKNOWN, 0 },
	{ "PATCH", "/d", MERGE, POD_PATCH("\"tolerations\":[" TWICE "]"), 422, "strict decoding error: " REPEATED,
	  REPEATED, 0 },
	{ "PATCH", "/d", STRATEGIC, POD_PATCH("\"tolerations\":[" FROB "]"), 422, "strict decoding error: " UNKNOWN,
	  UNKNOWN, 0 },
	{ "PATCH", "/d", STRATEGIC, POD_PATCH("\"tolerations\":[" TWICE "]"), 422, "strict decoding error: " REPEATED,
	  REPEATED, 0 },
	{ "PATCH", "/d/status", STRATEGIC, "{\"status\":{\"frob\":1}}", 422,
	  "strict decoding error: unknown field \"status.frob\"", "unknown field \"status.frob\"", 0 },
	{ "PATCH", "/d", JSON_PATCH,
	  "[{\"op\":\"add\",\"path\":\"/spec/template/spec/tolerations\",\"value\":[" FROB "]}]", 422,
	  "strict decoding error: " UNKNOWN, UNKNOWN, 0 },
	{ "PATCH", "/d", JSON_PATCH,
	  "[{\"op\":\"add\",\"path\":\"/metadata/annotations\",\"value\":{\"a\":\"b\"},\"frob\":1}]", 422,
	  "strict decoding error: json patch unknown field \"[0].frob\"", "json patch unknown field \"[0].frob\"", 0 },
	{ "PATCH", "/d", JSON_PATCH,
	  "[{\"op\":\"add\",\"path\":\"/metadata/annotations\",\"value\":{\"a\":\"b\"},\"value\":{\"a\":\"c\"}}]", 422,
	  "strict decoding error: json patch duplicate field \"[0].value\"", "json patch duplicate field \"[0].value\"",
	  0 },
	{ "PATCH", "/d?fieldManager=m", APPLY, DOC("", FROB), 500,
	  ": .spec.template.spec.tolerations[0].frob: field not declared in schema", NULL, 500 },
	{ "PATCH", "/d/status?fieldManager=m", APPLY, DOC("", FROB), 500,
	  ": .spec.template.spec.tolerations[0].frob: field not declared in schema", NULL, 500 },
	{ "PATCH", "/d?fieldManager=m&force=true", APPLY, DOC("", TWICE), 400,
	  "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 1: key \"key\" "
	  "already "
	  "set in map",
	  "line 1: key \"key\" already set in map", 0 },
	/* A Scale is a type of its own. */
	{ "PUT", "/d/scale", NULL, SCALE("\"frob\":1"), 400,
	  "Scale in version \"v1\" cannot be handled as a Scale: strict decoding error: unknown field \"spec.frob\"",
	  "unknown field \"spec.frob\"", 0 },
	{ "PATCH", "/d/scale", MERGE, SCALE("\"frob\":1"), 422, "strict decoding error: unknown field \"spec.frob\"",
	  "unknown field \"spec.frob\"", 0 },
	{ "PATCH", "/d/scale?fieldManager=m&force=true", APPLY, SCALE("\"frob\":1"), 500,
	  "failed to create typed patch object (/d; autoscaling/v1, Kind=Scale): .spec.frob: field not declared in "
	  "schema",
	  NULL, 500 },
	{ "PATCH", "/d/scale?fieldManager=m&force=true", APPLY, SCALE("\"replicas\":2"), 400,
	  "yaml: unmarshal errors:\n  line 1: key \"replicas\" already set in map",
	  "line 1: key \"replicas\" already set in map", 0 },
	/* The type first, then what is there twice. */
	{ "PATCH", "/d?fieldManager=m&force=true", APPLY, DOC("", TWICE "," FROB), 500,
	  ": .spec.template.spec.tolerations[1].frob: field not declared in schema", NULL, 500 },
};

static struct answer *way_ask(struct rig *r, size_t i, const char *validation)
{
	char path[200];
	const char *at = ways[i].at;

	snprintf(path, sizeof(path), "%s%s%cdryRun=All%s%s", DEP, at, strchr(at, '?') ? '&' : '?',
		 *validation ? "&fieldValidation=" : "", validation);
	return api(r, ways[i].method, path, .body = ways[i].body, .type = ways[i].type);
}

static void test_ways(void **state)
{
	struct rig *r = *state;
	static const char *const soft[] = { "Warn", "", "Ignore" };
	int64_t before;

	expect(r, 201, "POST", DEP, DOC("", ""));
	before = rev_of(expect(r, 200, "GET", DEP, NULL));
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct answer *a = way_ask(r, i, "Strict");

		if (a->code != ways[i].strict ||
		    sv_find_sv(val_str(val_get(a->json, F_message)), sv_from(ways[i].refused)) < 0)
			print_error("way %zu: %.*s\n", i, SV_ARG(buf_sv(&a->body)));
		assert_int_equal(a->code, ways[i].strict);
		assert_true(sv_find_sv(val_str(val_get(a->json, F_message)), sv_from(ways[i].refused)) >= 0);
		assert_int_equal(a->q.n_warnings, 0);
		answer_free(a);
		for (size_t k = 0; k < ARRAY_LEN(soft); k++) {
			int code = ways[i].always ? ways[i].always : *ways[i].at ? 200 : 409;

			a = way_ask(r, i, soft[k]);
			if (a->code != code)
				print_error("way %zu %s: %.*s\n", i, soft[k], SV_ARG(buf_sv(&a->body)));
			assert_int_equal(a->code, code);
			if (*soft[k] == 'I' || !ways[i].warned) {
				assert_int_equal(a->q.n_warnings, 0);
			} else {
				assert_int_equal(a->q.n_warnings, 1);
				assert_sv(a->q.warnings[0], ways[i].warned);
			}
			answer_free(a);
		}
	}
	assert_int_equal(rev_of(expect(r, 200, "GET", DEP, NULL)), before);
}

/* A member that is there twice is decoded twice into one and the same struct or map: what the first had and the second
 * has not stays. All repetitions are told, also those inside the first. */
static void test_repeated_maps(void **state)
{
	static const char body[] = "{\"metadata\":{\"name\":\"x\",\"name\":\"y\",\"labels\":{\"l\":\"1\"}},"
				   "\"data\":{\"a\":\"1\",\"a\":\"2\"},\"data\":{\"b\":\"1\"},"
				   "\"metadata\":{\"labels\":{\"m\":\"2\"}}}";
	static const char *const told[] = { "metadata.name", "data.a", "data", "metadata" };
	struct rig *r = *state;
	struct answer *a;

	a = api(r, "POST", "/api/v1/namespaces/default/configmaps?fieldValidation=Warn", .body = body);
	assert_int_equal(a->code, 201);
	assert_val(val_get(a->json, F_metadata, F_name), "y");
	assert_int_equal(val_len(val_get(a->json, F_metadata, F_labels)), 2);
	assert_val(val_member_sv(val_get(a->json, F_data), SV("a")), "2");
	assert_val(val_member_sv(val_get(a->json, F_data), SV("b")), "1");
	assert_int_equal(a->q.n_warnings, 4);
	for (size_t i = 0; i < a->q.n_warnings; i++) {
		size_t k = 0;

		while (k < 4 && !sv_eq(a->q.warnings[i], arena_svf(&r->arena, "duplicate field \"%s\"", told[k])))
			k++;
		assert_true(k < 4);
	}
	answer_free(a);
	a = api(r, "POST", "/api/v1/namespaces/default/configmaps?fieldValidation=Strict",
		.body = "{\"metadata\":{\"name\":\"x\"},\"data\":{\"a\":\"1\",\"a\":\"2\"},\"data\":{}}");
	assert_int_equal(a->code, 400);
	assert_true(sv_ends(val_str(val_get(a->json, F_message)),
			    SV("strict decoding error: duplicate field \"data.a\", duplicate field \"data\"")));
	answer_free(a);
}

/* A complaint has a path, and a path may begin with a long name: a hundred of them would be a hundred bodies. */
static void test_long_paths(void **state)
{
	enum { LONG = 200000 };
	struct rig *r = *state;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct answer *a;

	expect(r, 201, "POST", DEP, DOC("", "{\"operator\":\"Exists\"}"));
	buf_adds(&b, "{\"");
	while (b.n < LONG)
		buf_adds(&b, "long");
	buf_adds(&b, "\":{\"a\":1");
	for (int i = 0; i < 100; i++)
		buf_adds(&b, ",\"a\":1");
	buf_adds(&b, "}}");
	a = api(r, "PATCH", DEP "/d?fieldValidation=Strict", .body = buf_cstr(&b), .type = MERGE);
	assert_int_equal(a->code, 422);
	assert_true(a->body.n < 20 * LONG);
	answer_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ways, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_repeated_maps, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_long_paths, rig_setup, rig_teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("field_validation", tests, NULL, NULL);
}
