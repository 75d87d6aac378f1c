/* HorizontalPodAutoscaler through the whole server: what one version writes the other reads, lists, watches and owns,
 * and what each endpoint takes of it. The conversion itself is tested in unit/object/autoscaler. */
#include "harness.h"

#define NS "/namespaces/default/horizontalpodautoscalers"
#define V1 "/apis/autoscaling/v1" NS
#define V2 "/apis/autoscaling/v2" NS
#define MERGE "application/merge-patch+json"
#define JSON_PATCH "application/json-patch+json"
#define APPLY "application/apply-patch+yaml"
#define ANN "autoscaling.alpha.kubernetes.io/"
#define REF "\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"d\",\"apiVersion\":\"apps/v1\"}"
#define OBJECT(version, spec)                                                   \
	"{\"apiVersion\":\"autoscaling/" version                                \
	"\",\"kind\":\"HorizontalPodAutoscaler\",\"metadata\":{\"name\":\"h\"," \
	"\"annotations\":{\"a\":\"b\"}},\"spec\":{" REF ",\"maxReplicas\":3" spec "}}"
#define PODS                                                                                              \
	"{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"p\"},\"target\":{\"type\":\"AverageValue\"," \
	"\"averageValue\":\"1\"}}}"
#define CPU(n)                                                                                        \
	"{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\"," \
	"\"averageUtilization\":" n "}}}"

static void is_json(struct rig *r, const struct val *got, const char *want)
{
	const struct val *w = want ? json_decode(&r->arena, sv_from(want), NULL, NULL) : NULL;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	assert_true(!want || w);
	if (!want ? !got : got && val_equal(got, w))
		return;
	if (got)
		json_encode(&b, got);
	fail_msg("got  %s\nwant %s", got ? buf_cstr(&b) : "nothing", want ? want : "nothing");
}

static struct sv note(const struct val *o, const char *name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, ANN "%s", name);
	return val_str(val_member_sv(val_get(o, F_metadata, F_annotations), buf_sv(&b)));
}

static int64_t generation(const struct val *o)
{
	return val_get_int(o, 0, F_metadata, F_generation);
}

static void test_discovery(void **state)
{
	struct rig *r = *state;
	const struct val *v = expect(r, 200, "GET", "/apis/autoscaling", NULL);

	assert_val(val_get(v, F_preferredVersion, F_groupVersion), "autoscaling/v2");
	assert_val(val_get(val_at(val_get(v, F_versions), 0), F_groupVersion), "autoscaling/v2");
	assert_val(val_get(val_at(val_get(v, F_versions), 1), F_groupVersion), "autoscaling/v1");
	for (int i = 1; i <= 2; i++) {
		v = val_at(
		    val_get(expect(r, 200, "GET", i == 1 ? "/apis/autoscaling/v1" : "/apis/autoscaling/v2", NULL),
			    F_resources),
		    0);
		assert_val(val_get(v, F_name), "horizontalpodautoscalers");
		assert_val(val_get(v, F_storageVersionHash), "qwQve8ut294=");
		assert_val(val_at(val_get(v, F_shortNames), 0), "hpa");
		assert_val(val_at(val_get(v, F_categories), 0), "all");
	}
}

static void test_defaults(void **state)
{
	struct rig *r = *state;
	const struct val *v;

	/* A list that is empty is not one that is absent. */
	expect_status(r, 422, "Invalid",
		      "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
		      &(struct ask){ .method = "POST",
				     .path = V2 "?dryRun=All",
				     .body = OBJECT("v2", ",\"behavior\":{\"scaleDown\":{\"policies\":[]}}") });
	v = expect(r, 201, "POST", V2, OBJECT("v2", ",\"behavior\":{}"));

	is_json(r, val_get(v, F_spec, F_minReplicas), "1");
	is_json(r, val_get(v, F_spec, F_metrics), "[" CPU("80") "]");
	is_json(
	    r, val_get(v, F_spec, F_behavior),
	    "{\"scaleUp\":{\"stabilizationWindowSeconds\":0,\"selectPolicy\":\"Max\",\"policies\":[{\"type\":\"Pods\","
	    "\"value\":4,\"periodSeconds\":15},{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]},"
	    "\"scaleDown\":{\"selectPolicy\":\"Max\",\"policies\":[{\"type\":\"Percent\",\"value\":100,"
	    "\"periodSeconds\":15}]}}");
	is_json(r, val_get(v, F_status), "{\"desiredReplicas\":0,\"currentMetrics\":null}");
	assert_int_equal(generation(v), 1);
	expect(r, 200, "DELETE", V2 "/h", NULL);
	v = expect(r, 201, "POST", V1, OBJECT("v1", ""));
	is_json(r, val_get(v, F_spec),
		"{" REF ",\"minReplicas\":1,\"maxReplicas\":3,\"targetCPUUtilizationPercentage\":80}");
	is_json(r, val_get(v, F_status), "{\"currentReplicas\":0,\"desiredReplicas\":0}");
	is_json(r, val_get(v, F_metadata, F_annotations), "{\"a\":\"b\"}");
}

/* It is one object, and v2 in the store whoever wrote it. */
static void test_both_read(void **state)
{
	struct rig *r = *state;
	const struct val *v1 = expect(r, 201, "POST", V1, OBJECT("v1", ",\"targetCPUUtilizationPercentage\":50"));
	const struct val *v2 = expect(r, 200, "GET", V2 "/h", NULL), *list;

	is_json(r, val_get(v2, F_spec, F_metrics), "[" CPU("50") "]");
	assert_true(val_same(val_get(v1, F_metadata), val_get(v2, F_metadata)));
	v2 = expect_type(r, 200, "PATCH", V2 "/h", MERGE,
			 "{\"spec\":{\"metrics\":[" CPU("60") "," PODS "],\"behavior\":{}}}");
	v1 = expect(r, 200, "GET", V1 "/h", NULL);
	is_json(r, val_get(v1, F_spec, F_targetCPUUtilizationPercentage), "60");
	assert_sv(note(v1, "metrics"),
		  "[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"p\",\"targetAverageValue\":\"1\"}}]");
	assert_true(sv_starts(note(v1, "behavior"), SV("{\"ScaleUp\":{\"StabilizationWindowSeconds\":0,")));
	is_json(r, val_get(v2, F_metadata, F_annotations), "{\"a\":\"b\"}");
	/* A client of v1 that writes back what it read takes nothing away. */
	v1 = expect_type(r, 200, "PATCH", V1 "/h", MERGE, "{\"spec\":{\"maxReplicas\":7}}");
	is_json(r, val_get(v1, F_spec, F_maxReplicas), "7");
	v2 = expect(r, 200, "GET", V2 "/h", NULL);
	is_json(r, val_get(v2, F_spec, F_metrics), "[" PODS "," CPU("60") "]");
	assert_non_null(val_get(v2, F_spec, F_behavior, F_scaleUp));
	list = expect(r, 200, "GET", V1, NULL);
	assert_val(val_get(list, F_apiVersion), "autoscaling/v1");
	is_json(r, val_get(val_at(val_get(list, F_items), 0), F_spec, F_targetCPUUtilizationPercentage), "60");
	/* A version that was stored before is read, too. */
	rig_restart(r);
	is_json(r, val_get(expect(r, 200, "GET", V2 "/h", NULL), F_spec, F_metrics), "[" PODS "," CPU("60") "]");
}

static void test_generation(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", V1, OBJECT("v1", ""));
	assert_int_equal(
	    generation(expect_type(r, 200, "PATCH", V1 "/h", MERGE, "{\"metadata\":{\"annotations\":{\"x\":\"y\"}}}")),
	    1);
	assert_int_equal(generation(expect_type(r, 200, "PATCH", V1 "/h", MERGE, "{\"spec\":{\"maxReplicas\":9}}")), 2);
	/* What is wanted is in an annotation. */
	assert_int_equal(
	    generation(expect_type(r, 200, "PATCH", V1 "/h", MERGE,
				   "{\"metadata\":{\"annotations\":{\"" ANN "metrics\":"
				   "\"[{\\\"type\\\":\\\"Pods\\\",\\\"pods\\\":{\\\"metricName\\\":\\\"p\\\","
				   "\\\"targetAverageValue\\\":\\\"2\\\"}}]\"}}}")),
	    3);
	assert_int_equal(
	    generation(expect_type(r, 200, "PATCH", V1 "/h/status", MERGE, "{\"status\":{\"currentReplicas\":2}}")), 3);
}

#define NOTES(metric, condition)                                                               \
	"\"annotations\":{\"" ANN                                                              \
	"metrics\":\"[{\\\"type\\\":\\\"Pods\\\",\\\"pods\\\":{\\\"metricName\\\":\\\"" metric \
	"\\\",\\\"targetAverageValue\\\":\\\"2\\\"}}]\",\"" ANN                                \
	"conditions\":\"[{\\\"type\\\":\\\"AbleToScale\\\",\\\"status\\\":\\\"" condition "\\\"}]\"}"

/* Each endpoint takes its own part, of annotations as of fields. */
static void test_endpoints(void **state)
{
	struct rig *r = *state;
	const struct val *v =
	    expect(r, 201, "POST", V1,
		   "{\"metadata\":{\"name\":\"h\"," NOTES(
		       "one", "True") "},\"spec\":{" REF ",\"maxReplicas\":3},\"status\":{\"currentReplicas\":5}}");

	is_json(r, val_get(v, F_status), "{\"currentReplicas\":0,\"desiredReplicas\":0}");
	assert_int_equal(note(v, "conditions").n, 0);
	assert_true(sv_find_sv(note(v, "metrics"), SV("\"one\"")) > 0);
	v = expect_type(r, 200, "PATCH", V1 "/h/status", MERGE,
			"{\"metadata\":{" NOTES("two", "True") "},\"status\":{\"currentReplicas\":5,"
							       "\"currentCPUUtilizationPercentage\":6}}");
	assert_true(sv_find_sv(note(v, "metrics"), SV("\"one\"")) > 0);
	assert_true(sv_find_sv(note(v, "conditions"), SV("\"True\"")) > 0);
	is_json(r, val_get(v, F_status, F_currentReplicas), "5");
	v = expect(r, 200, "GET", V2 "/h", NULL);
	is_json(r, val_get(v, F_status, F_currentMetrics),
		"[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"current\":{\"averageUtilization\":6}}}]");
	assert_val(val_get(val_at(val_get(v, F_status, F_conditions), 0), F_status), "True");
	v = expect_type(r, 200, "PATCH", V1 "/h", MERGE,
			"{\"metadata\":{" NOTES("three", "False") "},\"status\":{\"currentReplicas\":9}}");
	assert_true(sv_find_sv(note(v, "metrics"), SV("\"three\"")) > 0);
	assert_true(sv_find_sv(note(v, "conditions"), SV("\"True\"")) > 0);
	is_json(r, val_get(v, F_status, F_currentReplicas), "5");
	v = expect_type(r, 200, "PATCH", V2 "/h/status", MERGE,
			"{\"spec\":{\"maxReplicas\":1},\"status\":{\"desiredReplicas\":4}}");
	is_json(r, val_get(v, F_spec, F_maxReplicas), "3");
	is_json(r, val_get(v, F_status, F_desiredReplicas), "4");
}

/* The paths are v2's, whichever version was sent. */
static void test_refusals(void **state)
{
	static const struct {
		const char *body, *why;
	} rows[] = {
		{ OBJECT("v1", ",\"targetCPUUtilizationPercentage\":0"),
		  "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0" },
		{ OBJECT("v1", ",\"minReplicas\":0"),
		  "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to "
		  "zero replicas" },
		{ OBJECT("v1", ",\"minReplicas\":4"),
		  "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`" },
		{ "{\"metadata\":{\"name\":\"h\"," NOTES("", "") "},\"spec\":{" REF ",\"maxReplicas\":3}}",
		  "spec.metrics[0].pods.metric.name: Required value: must specify a metric name" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_status(r, 422, "Invalid", rows[i].why,
			      &(struct ask){ .method = "POST", .path = V1, .body = rows[i].body });
	expect_status(r, 400, "BadRequest", "unknown field \"spec.metrics\"",
		      &(struct ask){ .method = "POST",
				     .path = V1 "?fieldValidation=Strict",
				     .body = OBJECT("v1", ",\"metrics\":[]") });
}

static const struct val *owner(const struct val *o, const char *manager)
{
	VAL_EACH(val_get(o, F_metadata, F_managedFields), m)
		if (val_is(val_member(m, F_manager), manager))
			return m;
	return NULL;
}

static bool owns(const struct val *o, const char *manager, const char *field)
{
	const struct val *spec = val_member_sv(val_member(owner(o, manager), F_fieldsV1), SV("f:spec"));

	assert_non_null(spec);
	return val_member_sv(spec, sv_from(field)) != NULL;
}

/* Who owns a field owns it in his version; who applies in the other hears of it. */
static void test_owners(void **state)
{
	struct rig *r = *state;
	const struct val *v = expect_type(r, 201, "PATCH", V1 "/h?fieldManager=one", APPLY,
					  OBJECT("v1", ",\"targetCPUUtilizationPercentage\":50"));

	assert_val(val_get(owner(v, "one"), F_apiVersion), "autoscaling/v1");
	expect_status(r, 409, "Conflict", "conflict with \"one\": .spec.maxReplicas",
		      &(struct ask){ .method = "PATCH",
				     .path = V2 "/h?fieldManager=two",
				     .type = APPLY,
				     .body = "{\"apiVersion\":\"autoscaling/v2\",\"kind\":\"HorizontalPodAutoscaler\","
					     "\"metadata\":{\"name\":\"h\"},\"spec\":{" REF ",\"maxReplicas\":4}}" });
	v = expect_type(
	    r, 200, "PATCH", V2 "/h?fieldManager=two&force=true", APPLY,
	    "{\"apiVersion\":\"autoscaling/v2\",\"kind\":\"HorizontalPodAutoscaler\",\"metadata\":{\"name\":"
	    "\"h\"},\"spec\":{" REF ",\"maxReplicas\":4,\"metrics\":[" CPU("60") "," PODS "]}}");
	is_json(r, val_get(v, F_spec, F_metrics), "[" CPU("60") "," PODS "]");
	assert_val(val_get(owner(v, "two"), F_apiVersion), "autoscaling/v2");
	/* The CPU percentage is the other's now as well. */
	assert_val(val_get(owner(v, "one"), F_apiVersion), "autoscaling/v1");
	assert_false(owns(v, "one", "f:targetCPUUtilizationPercentage"));
	/* What the default of v1 says is the creator's, as it is what was decoded. */
	expect(r, 200, "DELETE", V1 "/h", NULL);
	v = expect(r, 201, "POST", V1 "?fieldManager=three", OBJECT("v1", ""));
	assert_true(owns(v, "three", "f:targetCPUUtilizationPercentage"));
}

static void test_tables(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", V2, OBJECT("v2", ",\"metrics\":[" CPU("60") "," PODS "," PODS "]"));
	for (int i = 1; i <= 2; i++) {
		struct answer *a =
		    api(r, "GET", i == 1 ? V1 "/h" : V2 "/h", .accept = "application/json;as=Table;g=meta.k8s.io;v=v1");
		const struct val *cells = val_get(val_at(val_get(a->json, F_rows), 0), F_cells);

		assert_val(val_at(cells, 1), "Deployment/d");
		/* v1 has what is not its own first. */
		assert_val(val_at(cells, 2), i == 1 ? "<unknown>/1, <unknown>/1 + 1 more..."
						    : "cpu: <unknown>/60%, <unknown>/1 + 1 more...");
		assert_val(val_at(cells, 3), "1");
		is_json(r, val_at(cells, 4), "3");
		is_json(r, val_at(cells, 5), "0");
		answer_free(a);
	}
}

static void test_watch(void **state)
{
	struct rig *r = *state;
	struct answer *a = api(r, "GET", V1 "?watch=true");

	expect(r, 201, "POST", V2, OBJECT("v2", ",\"metrics\":[" PODS "]"));
	rig_run(r, NS_PER_SEC);
	assert_val(val_get(stream_line(a, 0), F_type), "ADDED");
	assert_val(val_get(stream_line(a, 0), F_object, F_apiVersion), "autoscaling/v1");
	assert_true(note(val_get(stream_line(a, 0), F_object), "metrics").n > 0);
	answer_gone(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_discovery, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_defaults, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_both_read, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_generation, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_endpoints, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refusals, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_owners, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_tables, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_watch, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("autoscaling", tests, NULL, NULL);
}
