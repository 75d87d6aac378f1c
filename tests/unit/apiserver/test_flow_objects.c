/* Priority and fairness by its objects: what there is at the start and is kept up, who comes by which schema, what the
 * status says; and the arithmetic below. */
#include "harness.h"

#include "apiserver/flow/flow-internal.h"

#include <string.h>

#define LEVELS "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
#define SCHEMAS "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
#define MERGE "application/merge-patch+json"

static const char *uid_of(struct rig *r, const char *path)
{
	return arena_cstr(&r->arena, val_get_str(expect(r, 200, "GET", path, NULL), F_metadata, F_uid));
}

/* By which schema and level this came. */
static void came_by(struct rig *r, const struct ask *ask, const char *schema, const char *level)
{
	struct answer *a = api_ask(r, ask);
	struct http_header h[FLOW_HEADERS];

	assert_int_equal(flow_headers(&a->q, h), 2);
	assert_sv(h[0].name, "x-kubernetes-pf-flowschema-uid");
	assert_sv(h[0].value, uid_of(r, arena_printf(&r->arena, SCHEMAS "/%s", schema)));
	assert_sv(h[1].name, "x-kubernetes-pf-prioritylevel-uid");
	assert_sv(h[1].value, uid_of(r, arena_printf(&r->arena, LEVELS "/%s", level)));
	answer_free(a);
}

#define AS(m, p, u, ...) (&(struct ask){ .method = (m), .path = (p), .user = (u), ##__VA_ARGS__ })

static void test_defaults_match(void **state)
{
	static const struct sv node[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } };
	static const struct sv account[] = { { "system:serviceaccounts", 22 }, { "system:authenticated", 20 } };
	static const char lease[] = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x";
	struct rig *r = *state;

	came_by(r, AS("GET", "/api/v1/pods", NULL), "exempt", "exempt");
	came_by(r, AS("GET", "/healthz", "somebody"), "probes", "exempt");
	came_by(r, AS("GET", "/readyz/etcd", "somebody"), "probes", "exempt");
	came_by(r, AS("GET", "/version", "somebody"), "global-default", "global-default");
	came_by(r, AS("GET", "/api/v1/pods", "somebody"), "global-default", "global-default");
	came_by(r, AS("GET", "/api/v1/pods", "somebody", .no_groups = true), "catch-all", "catch-all");
	came_by(r, AS("GET", "/api/v1/pods", "system:node:n", .groups = node, .n_groups = 2), "system-nodes", "system");
	came_by(r, AS("PATCH", "/api/v1/nodes/n/status", "system:node:n", .groups = node, .n_groups = 2),
		"system-node-high", "node-high");
	came_by(r, AS("GET", lease, "system:node:n", .groups = node, .n_groups = 2), "system-node-high", "node-high");
	came_by(r, AS("GET", lease, "system:kube-scheduler"), "system-leader-election", "leader-election");
	came_by(r, AS("GET", "/api/v1/pods", "system:kube-scheduler"), "kube-scheduler", "workload-high");
	came_by(r, AS("GET", "/api/v1/namespaces/a/endpoints/e", "system:kube-controller-manager"),
		"endpoint-controller", "workload-high");
	came_by(r, AS("GET", "/api/v1/pods", "system:serviceaccount:kube-system:x", .groups = account, .n_groups = 2),
		"kube-system-service-accounts", "workload-high");
	came_by(r, AS("GET", "/api/v1/pods", "system:serviceaccount:kube-systems:x", .groups = account, .n_groups = 2),
		"service-accounts", "workload-low");
	came_by(r, AS("DELETE", "/api/v1/namespaces/none", "somebody"), "global-default", "global-default");
}

static const struct val *dangling(struct rig *r, const char *schema)
{
	const struct val *fs = expect(r, 200, "GET", arena_printf(&r->arena, SCHEMAS "/%s", schema), NULL);

	return val_at(val_get(fs, F_status, F_conditions), 0);
}

#define SCHEMA(name, level, subject, rule)                                                                  \
	"{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"" level \
	"\"},\"matchingPrecedence\":50,\"rules\":[{\"subjects\":[" subject "]," rule "}]}}"
#define ACCOUNT(ns, name) \
	"{\"kind\":\"ServiceAccount\",\"serviceAccount\":{\"namespace\":\"" ns "\",\"name\":\"" name "\"}}"
#define USER(name) "{\"kind\":\"User\",\"user\":{\"name\":\"" name "\"}}"

/* A schema for a level that is not there yet takes nobody; it says so, and no longer when the level comes. */
static void test_own_objects(void **state)
{
	static const char pods[] = "/api/v1/namespaces/a/pods";
	struct rig *r = *state;

	expect(r, 201, "POST", SCHEMAS,
	       SCHEMA("mine", "mine", ACCOUNT("a", "b"),
		      "\"resourceRules\":[{\"verbs\":[\"list\",\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\","
		      "\"pods/status\"],\"namespaces\":[\"a\"]}],\"nonResourceRules\":[{\"verbs\":[\"*\"],"
		      "\"nonResourceURLs\":[\"/logs/*\",\"/version\"]}]"));
	rig_run(r, NS_PER_SEC);
	assert_val(val_member(dangling(r, "mine"), F_type), "Dangling");
	assert_val(val_member(dangling(r, "mine"), F_status), "True");
	assert_val(val_member(dangling(r, "mine"), F_reason), "NotFound");
	assert_val(val_member(dangling(r, "mine"), F_message),
		   "This FlowSchema references the PriorityLevelConfiguration object named \"mine\" but there is no "
		   "such object");
	came_by(r, AS("GET", pods, "system:serviceaccount:a:b"), "global-default", "global-default");

	expect(r, 201, "POST", LEVELS,
	       "{\"metadata\":{\"name\":\"mine\"},\"spec\":{\"type\":\"Limited\",\"limited\":{\"limitResponse\":{"
	       "\"type\":\"Reject\"}}}}");
	rig_run(r, NS_PER_SEC);
	assert_val(val_member(dangling(r, "mine"), F_status), "False");
	assert_val(val_member(dangling(r, "mine"), F_reason), "Found");
	came_by(r, AS("GET", pods, "system:serviceaccount:a:b"), "mine", "mine");
	came_by(r, AS("GET", "/api/v1/namespaces/a/pods/p/status", "system:serviceaccount:a:b"), "mine", "mine");
	came_by(r, AS("GET", "/version", "system:serviceaccount:a:b"), "mine", "mine");
	came_by(r, AS("GET", "/logs/x/y", "system:serviceaccount:a:b"), "mine", "mine");
	/* Somebody else, another verb, subresource, group, namespace, none at all, a path beside. */
	came_by(r, AS("GET", pods, "system:serviceaccount:a:bb"), "global-default", "global-default");
	came_by(r, AS("DELETE", pods, "system:serviceaccount:a:b"), "global-default", "global-default");
	came_by(r, AS("GET", "/api/v1/namespaces/a/pods/p/scale", "system:serviceaccount:a:b"), "global-default",
		"global-default");
	came_by(r, AS("GET", "/apis/apps/v1/namespaces/a/pods", "system:serviceaccount:a:b"), "global-default",
		"global-default");
	came_by(r, AS("GET", "/api/v1/namespaces/b/pods", "system:serviceaccount:a:b"), "global-default",
		"global-default");
	came_by(r, AS("GET", "/api/v1/pods", "system:serviceaccount:a:b"), "global-default", "global-default");
	came_by(r, AS("GET", "/logsx", "system:serviceaccount:a:b"), "global-default", "global-default");
	came_by(r, AS("GET", "/versions", "system:serviceaccount:a:b"), "global-default", "global-default");

	expect(r, 200, "DELETE", SCHEMAS "/mine", NULL);
	rig_run(r, NS_PER_SEC);
	came_by(r, AS("GET", pods, "system:serviceaccount:a:b"), "global-default", "global-default");
}

/* Of equal precedence the name decides. */
static void test_order(void **state)
{
	struct rig *r = *state;

#define ANY                                                                                                  \
	"\"resourceRules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"namespaces\":[" \
	"\"*\"],\"clusterScope\":true}]"
	expect(r, 201, "POST", SCHEMAS, SCHEMA("b", "system", USER("x"), ANY));
	expect(r, 201, "POST", SCHEMAS, SCHEMA("a", "node-high", USER("*"), ANY));
	rig_run(r, NS_PER_SEC);
	came_by(r, AS("GET", "/api/v1/pods", "x"), "a", "node-high");
	came_by(r, AS("GET", "/api/v1/pods", NULL), "exempt", "exempt"); /* first, whatever others say */
}

/* --- kept up --- */

static int64_t shares_of(struct rig *r, const char *level)
{
	return val_get_int(expect(r, 200, "GET", arena_printf(&r->arena, LEVELS "/%s", level), NULL), -1, F_spec,
			   F_limited, F_nominalConcurrencyShares);
}

static void test_kept_up(void **state)
{
	struct rig *r = *state;

	/* What is mandatory comes back, and what is suggested, too. */
	expect(r, 200, "DELETE", SCHEMAS "/exempt", NULL);
	expect(r, 200, "DELETE", LEVELS "/catch-all", NULL);
	expect(r, 200, "DELETE", LEVELS "/system", NULL);
	rig_run(r, NS_PER_SEC);
	expect(r, 200, "GET", "/api/v1/pods", NULL); /* meanwhile they count all the same */
	assert_val(val_member(dangling(r, "system-nodes"), F_status), "True");
	rig_run(r, 61 * NS_PER_SEC);
	expect(r, 200, "GET", SCHEMAS "/exempt", NULL);
	expect(r, 200, "GET", LEVELS "/catch-all", NULL);
	assert_int_equal(shares_of(r, "system"), 30);
	rig_run(r, NS_PER_SEC);
	assert_val(val_member(dangling(r, "system-nodes"), F_status), "False");

	/* Of what is suggested the annotation decides; */
	expect_type(r, 200, "PATCH", LEVELS "/system", MERGE,
		    "{\"spec\":{\"limited\":{\"nominalConcurrencyShares\":77}}}");
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(shares_of(r, "system"), 30);
	expect_type(r, 200, "PATCH", LEVELS "/system", MERGE,
		    "{\"metadata\":{\"annotations\":{\"apf.kubernetes.io/autoupdate-spec\":\"false\"}},\"spec\":{"
		    "\"limited\":{\"nominalConcurrencyShares\":77}}}");
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(shares_of(r, "system"), 77);
	/* without it who has changed the spec keeps it. */
	expect_type(r, 200, "PATCH", LEVELS "/system", MERGE, "{\"metadata\":{\"annotations\":null}}");
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(shares_of(r, "system"), 77);
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", LEVELS "/system", NULL), F_metadata, F_annotations),
				 SV("apf.kubernetes.io/autoupdate-spec")),
		   "false");
	/* What the exempt level lends is its owner's. */
	expect_type(r, 200, "PATCH", LEVELS "/exempt", MERGE,
		    "{\"spec\":{\"exempt\":{\"nominalConcurrencyShares\":10,\"lendablePercent\":50}}}");
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(val_get_int(expect(r, 200, "GET", LEVELS "/exempt", NULL), -1, F_spec, F_exempt,
				     F_nominalConcurrencyShares),
			 10);
	/* One that an older server had made goes. */
	expect(r, 201, "POST", SCHEMAS,
	       "{\"metadata\":{\"name\":\"old\",\"annotations\":{\"apf.kubernetes.io/autoupdate-spec\":\"true\"}},"
	       "\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"system\"}}}");
	expect(r, 201, "POST", SCHEMAS,
	       "{\"metadata\":{\"name\":\"own\",\"annotations\":{\"apf.kubernetes.io/autoupdate-spec\":\"false\"}},"
	       "\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"system\"}}}");
	rig_run(r, 61 * NS_PER_SEC);
	expect(r, 404, "GET", SCHEMAS "/old", NULL);
	expect(r, 200, "GET", SCHEMAS "/own", NULL);
}

/* A start that has nothing to change writes nothing. */
static void test_restart_is_quiet(void **state)
{
	struct rig *r = *state;
	int64_t before, after;

	rig_run(r, NS_PER_SEC);
	before = rev_of(expect(r, 200, "GET", SCHEMAS, NULL));
	rig_restart(r);
	rig_run(r, NS_PER_SEC);
	after = rev_of(expect(r, 200, "GET", SCHEMAS, NULL));
	assert_int_equal(before, after);
}

/* --- arithmetic --- */

static void test_hands(void **state)
{
	uint32_t hand[FLOW_HAND_MAX], dealt[128] = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t hash = i * UINT64_C(0x9e3779b97f4a7c15) ^ (i << 7);

		flow_hand(hash, 128, 6, hand);
		for (int k = 0; k < 6; k++) {
			assert_true(hand[k] < 128);
			dealt[hand[k]]++;
			for (int m = 0; m < k; m++)
				assert_int_not_equal(hand[k], hand[m]);
		}
	}
	for (int i = 0; i < 128; i++)
		assert_in_range(dealt[i], 500, 1500); /* 937 each */
	flow_hand(UINT64_MAX, 3, 3, hand);
	assert_int_equal(hand[0] + hand[1] + hand[2], 3);
	flow_hand(7, 1, 1, hand);
	assert_int_equal(hand[0], 0);
}

static void test_division(void **state)
{
	struct flow_part p[] = { { .target = 10, .least = 5, .most = 600 },
				 { .target = 30, .least = 5, .most = 600 },
				 { .target = 0, .least = 20, .most = 20 } };
	double sum = 0;

	(void)state;
	flow_divide(p, 3, 100);
	for (int i = 0; i < 3; i++)
		sum += p[i].ret;
	assert_true(sum > 99.9 && sum < 100.1);
	assert_true(p[0].ret > 19.9 && p[0].ret < 20.1 && p[1].ret > 59.9 && p[2].ret > 19.9);
	/* More than there is, or less: each has its least, or its most. */
	flow_divide(p, 3, 1);
	assert_true(p[0].ret > 4.9 && p[0].ret < 5.1);
	flow_divide(p, 3, 1e9);
	assert_true(p[0].ret > 599 && p[1].ret > 599 && p[2].ret < 20.1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_defaults_match),
					    T(test_own_objects),
					    T(test_order),
					    T(test_kept_up),
					    T(test_restart_is_quiet),
					    cmocka_unit_test(test_hands),
					    cmocka_unit_test(test_division) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
