/* PodDisruptionBudgets: what the controller counts, and that evictions never take more than that. */
#include "real.h"

#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdio.h>

#define NS "/api/v1/namespaces/default"
#define PDBS "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
#define PDB(spec)                                                                                         \
	"{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"name\":\"web\"}," \
	"\"spec\":{" spec ",\"selector\":{\"matchLabels\":{\"app\":\"web\"}}}}"
#define DEPLOY(n)                                                                                                    \
	"{\"apiVersion\":\"apps/"                                                                                    \
	"v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":" n                     \
	",\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}" \
	"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}"
#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"

static void assert_counts(struct cluster *k, int allowed, int healthy, int desired, int expected)
{
	const struct val *d = expect(k->rig, 200, "GET", PDBS "/web", NULL), *st = val_get(d, F_status);

	assert_int_equal(val_get_int(st, -1, F_disruptionsAllowed), allowed);
	assert_int_equal(val_get_int(st, -1, F_currentHealthy), healthy);
	assert_int_equal(val_get_int(st, -1, F_desiredHealthy), desired);
	assert_int_equal(val_get_int(st, -1, F_expectedPods), expected);
	assert_int_equal(val_get_int(st, 0, F_observedGeneration), val_get_int(d, -1, F_metadata, F_generation));
	assert_true(condition_is(val_get(st, F_conditions), "DisruptionAllowed", allowed ? "True" : "False"));
}

static void change(struct cluster *k, const char *path, const char *patch)
{
	expect_type(k->rig, 200, "PATCH", path, "application/merge-patch+json", patch);
	cluster_run(k, 3);
}

static void test_counting(void **state)
{
	struct cluster k = cluster_start(state);
	int64_t rev;

	expect(k.rig, 201, "POST", PDBS, PDB("\"minAvailable\":2"));
	cluster_run(&k, 1);
	assert_counts(&k, 0, 0, 2, 0);
	expect(k.rig, 201, "POST", DEPLOYMENTS, DEPLOY("5"));
	cluster_run(&k, 5);
	assert_counts(&k, 3, 5, 2, 5);
	/* At rest nothing is written. */
	rev = rev_of(expect(k.rig, 200, "GET", PDBS "/web", NULL));
	cluster_run(&k, 15);
	assert_int_equal(rev_of(expect(k.rig, 200, "GET", PDBS "/web", NULL)), rev);
	/* Percentages are rounded up, of what the Deployment wants. */
	change(&k, PDBS "/web", "{\"spec\":{\"minAvailable\":\"50%\"}}");
	assert_counts(&k, 2, 5, 3, 5);
	change(&k, PDBS "/web", "{\"spec\":{\"minAvailable\":null,\"maxUnavailable\":\"30%\"}}");
	assert_counts(&k, 2, 5, 3, 5);
	change(&k, PDBS "/web", "{\"spec\":{\"maxUnavailable\":1}}");
	assert_counts(&k, 1, 5, 4, 5);
	change(&k, DEPLOYMENTS "/web", "{\"spec\":{\"replicas\":8}}");
	assert_counts(&k, 1, 8, 7, 8);
	/* Two ReplicaSets of one Deployment count once. */
	change(&k, DEPLOYMENTS "/web", "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"round\":\"2\"}}}}}");
	cluster_run(&k, 20);
	assert_counts(&k, 1, 8, 7, 8);
	cluster_finish(&k);
}

static void test_unknown_size(void **state)
{
	struct cluster k = cluster_start(state);
	const struct val *d;

	k.hold = true;
	expect(k.rig, 201, "POST", "/apis/batch/v1/namespaces/default/jobs",
	       "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},"
	       "\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}");
	expect(k.rig, 201, "POST", PDBS, PDB("\"maxUnavailable\":1"));
	cluster_run(&k, 3);
	d = expect(k.rig, 200, "GET", PDBS "/web", NULL);
	assert_true(condition_reason_is(val_get(d, F_status, F_conditions), "DisruptionAllowed", "SyncFailed"));
	assert_int_equal(val_get_int(d, -1, F_status, F_disruptionsAllowed), 0);
	/* A number needs no sizes. */
	change(&k, PDBS "/web", "{\"spec\":{\"maxUnavailable\":null,\"minAvailable\":1}}");
	assert_counts(&k, 0, 1, 1, 1);
	cluster_finish(&k);
}

static struct sv nth_pod(struct rig *r, size_t n)
{
	const struct val *items = val_get(expect(r, 200, "GET", NS "/pods", NULL), F_items);

	assert_true(n < val_len(items));
	return val_get_str(val_at(items, n), F_metadata, F_name);
}

/* Asks without waiting for the answer. */
static struct answer *evict_start(struct cluster *k, struct sv pod, const char *options)
{
	struct arena *a = &k->rig->arena;

	return api_start(
	    k->rig,
	    &(struct ask){
		.method = "POST",
		.path = arena_printf(a, NS "/pods/%.*s/eviction", SV_ARG(pod)),
		.body = arena_printf(
		    a, "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%.*s\"}%s}",
		    SV_ARG(pod), options) });
}

static struct answer *evict(struct cluster *k, struct sv pod, const char *options)
{
	struct answer *a = evict_start(k, pod, options);

	for (int i = 0; i < 100 && !a->answers; i++)
		rig_run(k->rig, 10 * NS_PER_MS);
	return a;
}

static int evict_code(struct cluster *k, struct sv pod, const char *options)
{
	struct answer *a = evict(k, pod, options);
	int code = a->code;

	answer_free(a);
	return code;
}

#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define ROLLOUTS "/apis/example.com/v1/namespaces/default/rollouts"

/* A kind of somebody else, whose controller is made of this test; scaled: it says where its size is. */
static void make_kind(struct cluster *k, const char *plural, const char *singular, const char *kind, const char *more)
{
	expect(k->rig, 201, "POST", CRDS,
	       arena_printf(
		   &k->rig->arena,
		   "{\"metadata\":{\"name\":\"%s.example.com\"},\"spec\":{\"group\":\"example.com\",\"scope\":"
		   "\"Namespaced\",\"names\":{\"plural\":\"%s\",\"singular\":\"%s\",\"kind\":\"%s\"},\"versions\":[{"
		   "\"name\":\"v1\",\"served\":true,\"storage\":true%s,\"schema\":{\"openAPIV3Schema\":{\"type\":"
		   "\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}]}}",
		   plural, plural, singular, kind, more));
	cluster_run(k, 3);
}

/* more: further members of their metadata */
static void owned_pods(struct cluster *k, const char *kind, const char *name, struct sv uid, int n, const char *more)
{
	for (int i = 0; i < n; i++)
		expect(
		    k->rig, 201, "POST", NS "/pods",
		    arena_printf(
			&k->rig->arena,
			"{\"metadata\":{%s\"generateName\":\"p-\",\"labels\":{\"app\":\"web\"},\"ownerReferences\":[{"
			"\"apiVersion\":\"example.com/v1\",\"kind\":\"%s\",\"name\":\"%s\",\"uid\":\"%.*s\","
			"\"controller\":true}]},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}",
			more, kind, name, SV_ARG(uid)));
	cluster_run(k, 5);
}

/* The size of an owner of a custom kind comes from its scale. */
static void test_custom_kinds(void **state)
{
	struct cluster k = cluster_start(state);
	const struct val *d;
	struct sv uid;

	make_kind(&k, "rollouts", "rollout", "Rollout",
		  ",\"subresources\":{\"scale\":{\"specReplicasPath\":\".spec.replicas\",\"statusReplicasPath\":"
		  "\".status.replicas\"}}");
	d = expect(k.rig, 201, "POST", ROLLOUTS,
		   "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Rollout\",\"metadata\":{\"name\":\"r\"},\"spec\":{"
		   "\"replicas\":4}}");
	uid = arena_sv(&k.rig->arena, val_get_str(d, F_metadata, F_uid));
	owned_pods(&k, "Rollout", "r", uid, 3, "");
	expect(k.rig, 201, "POST", PDBS, PDB("\"maxUnavailable\":2"));
	cluster_run(&k, 3);
	assert_counts(&k, 1, 3, 2, 4);
	assert_int_equal(evict_code(&k, nth_pod(k.rig, 0), ""), 201);
	cluster_run(&k, 3);
	assert_counts(&k, 0, 2, 2, 4);
	/* Its new size counts with the next of its pods. */
	expect_type(k.rig, 200, "PATCH", ROLLOUTS "/r/scale", "application/merge-patch+json",
		    "{\"spec\":{\"replicas\":3}}");
	owned_pods(&k, "Rollout", "r", uid, 1, "");
	assert_counts(&k, 2, 3, 1, 3);
	cluster_finish(&k);
}

static bool failed_with(struct cluster *k, const char *message)
{
	const struct val *d = expect(k->rig, 200, "GET", PDBS "/web", NULL);
	const struct val *c = condition_find(val_get(d, F_status, F_conditions), "DisruptionAllowed");

	assert_int_equal(val_get_int(d, -1, F_status, F_disruptionsAllowed), 0);
	return val_is(val_member(c, F_reason), "SyncFailed") && sv_starts(val_get_str(c, F_message), sv_from(message));
}

/* Without a scale, or with an owner that is not there or is called what no object is: nothing may go. */
static void test_custom_kinds_refused(void **state)
{
	struct cluster k = cluster_start(state);
	const struct val *d;

	make_kind(&k, "things", "thing", "Thing", "");
	make_kind(&k, "rollouts", "rollout", "Rollout",
		  ",\"subresources\":{\"scale\":{\"specReplicasPath\":\".spec.replicas\",\"statusReplicasPath\":"
		  "\".status.replicas\"}}");
	d = expect(k.rig, 201, "POST", "/apis/example.com/v1/namespaces/default/things",
		   "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"r\"}}");
	expect(k.rig, 201, "POST", PDBS, PDB("\"maxUnavailable\":1"));
	owned_pods(&k, "Thing", "r", val_get_str(d, F_metadata, F_uid), 1, "");
	assert_true(failed_with(&k, "things.example.com does not implement the scale subresource"));
	expect(k.rig, 200, "DELETE", NS "/pods", NULL);
	cluster_run(&k, 3);
	d = expect(k.rig, 201, "POST", ROLLOUTS,
		   "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Rollout\",\"metadata\":{\"name\":\"r\"},\"spec\":{"
		   "\"replicas\":9}}");
	/* The right uid under another name, as if the path led elsewhere; then a namesake. */
	static const char *const names[] = { "..", ".", "../../rollouts/r", "r?x=", "gone", "r" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		/* Held, as the garbage collector deletes what has such an owner. */
		owned_pods(&k, "Rollout", names[i],
			   i + 1 < ARRAY_LEN(names) ? val_get_str(d, F_metadata, F_uid) : SV("1"), 1,
			   "\"finalizers\":[\"example.com/hold\"],");
		assert_true(failed_with(&k, "found no controllers for pod"));
		change(&k, arena_printf(&k.rig->arena, NS "/pods/%.*s", SV_ARG(nth_pod(k.rig, 0))),
		       "{\"metadata\":{\"finalizers\":null}}");
		expect(k.rig, 200, "DELETE", NS "/pods", NULL);
		cluster_run(&k, 3);
	}
	cluster_finish(&k);
}

static void test_evictions(void **state)
{
	struct cluster k = cluster_start(state);
	const struct val *st, *d;
	struct sv names[4];
	struct answer *a, *at_once[4];
	size_t gone = 0;

	expect(k.rig, 201, "POST", DEPLOYMENTS, DEPLOY("4"));
	expect(k.rig, 201, "POST", PDBS, PDB("\"maxUnavailable\":2"));
	cluster_run(&k, 5);
	assert_counts(&k, 2, 4, 2, 4);
	/* A trial takes nothing. */
	assert_int_equal(evict_code(&k, nth_pod(k.rig, 0), ",\"deleteOptions\":{\"dryRun\":[\"All\"]}"), 201);
	assert_counts(&k, 2, 4, 2, 4);
	for (size_t i = 0; i < 4; i++)
		names[i] = nth_pod(k.rig, i);
	/* All at once: two may go. */
	for (size_t i = 0; i < 4; i++)
		at_once[i] = evict_start(&k, names[i], "");
	rig_run(k.rig, NS_PER_SEC);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(at_once[i]->answers, 1);
		gone += at_once[i]->code == 201;
		assert_true(at_once[i]->code == 201 || at_once[i]->code == 429);
		answer_free(at_once[i]);
	}
	assert_int_equal(gone, 2);
	a = evict(&k, names[3], "");
	st = api_json(a);
	assert_int_equal(a->code, 429);
	assert_val(val_get(st, F_reason), "TooManyRequests");
	assert_val(val_get(st, F_message), "Cannot evict pod as it would violate the pod's disruption budget.");
	st = val_at(val_get(st, F_details, F_causes), 0);
	assert_val(val_get(st, F_reason), "DisruptionBudget");
	assert_val(val_get(st, F_message), "The disruption budget web needs 2 healthy pods and has 2 currently");
	answer_free(a);
	/* The marks say why they go; their successors fill the budget again. */
	d = val_get(expect(k.rig, 200, "GET", NS "/pods", NULL), F_items);
	gone = 0;
	for (size_t i = 0; i < val_len(d); i++)
		gone += condition_reason_is(val_get(val_at(d, i), F_status, F_conditions), "DisruptionTarget",
					    "EvictionByEvictionAPI");
	assert_int_equal(gone, 2);
	cluster_run(&k, 10);
	assert_counts(&k, 2, 4, 2, 4);
	d = expect(k.rig, 200, "GET", PDBS "/web", NULL);
	assert_int_equal(val_len(val_get(d, F_status, F_disruptedPods)), 0);
	/* A changed budget counts when the controller has seen it, which it has not: it hangs. */
	env_sim_hold(k.rig->env, ENV_CONTROL);
	expect_type(k.rig, 200, "PATCH", PDBS "/web", "application/merge-patch+json",
		    "{\"spec\":{\"maxUnavailable\":3}}");
	a = evict(&k, nth_pod(k.rig, 0), "");
	env_sim_release(k.rig->env, ENV_CONTROL);
	assert_int_equal(a->code, 429);
	assert_int_equal(val_get_int(api_json(a), 0, F_details, F_retryAfterSeconds), 10);
	answer_free(a);
	cluster_finish(&k);
}

static void unready(struct cluster *k, struct sv pod)
{
	char path[256];

	snprintf(path, sizeof(path), NS "/pods/%.*s/status", SV_ARG(pod));
	expect_type(k->rig, 200, "PATCH", path, "application/strategic-merge-patch+json",
		    "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
}

/* Refused until the budget is made smaller, then larger, then taken away. */
static void test_blocked_until_changed(void **state)
{
	struct cluster k = cluster_start(state);

	expect(k.rig, 201, "POST", DEPLOYMENTS, DEPLOY("3"));
	expect(k.rig, 201, "POST", PDBS, PDB("\"minAvailable\":3"));
	cluster_run(&k, 5);
	assert_int_equal(evict_code(&k, nth_pod(k.rig, 0), ""), 429);
	change(&k, PDBS "/web", "{\"spec\":{\"minAvailable\":2}}");
	assert_int_equal(evict_code(&k, nth_pod(k.rig, 0), ""), 201);
	cluster_run(&k, 5);
	change(&k, PDBS "/web", "{\"spec\":{\"minAvailable\":3}}");
	assert_int_equal(evict_code(&k, nth_pod(k.rig, 0), ""), 429);
	expect(k.rig, 200, "DELETE", PDBS "/web", NULL);
	cluster_run(&k, 1);
	assert_int_equal(evict_code(&k, nth_pod(k.rig, 0), ""), 201);
	cluster_finish(&k);
}

static void test_unhealthy(void **state)
{
	struct cluster k = cluster_start(state);
	struct sv sick;

	expect(k.rig, 201, "POST", DEPLOYMENTS, DEPLOY("3"));
	expect(k.rig, 201, "POST", PDBS, PDB("\"minAvailable\":3"));
	cluster_run(&k, 5);
	assert_counts(&k, 0, 3, 3, 3);
	sick = nth_pod(k.rig, 0);
	unready(&k, sick);
	rig_run(k.rig, NS_PER_SEC);
	assert_counts(&k, 0, 2, 3, 3);
	assert_int_equal(evict_code(&k, sick, ""), 429); /* too few are healthy */
	expect_type(k.rig, 200, "PATCH", PDBS "/web", "application/merge-patch+json",
		    "{\"spec\":{\"unhealthyPodEvictionPolicy\":\"AlwaysAllow\"}}");
	assert_int_equal(evict_code(&k, sick, ""), 201);
	cluster_run(&k, 5);
	/* Enough are healthy: the others may go without asking, but not a healthy one. */
	change(&k, PDBS "/web", "{\"spec\":{\"unhealthyPodEvictionPolicy\":null,\"minAvailable\":2}}");
	sick = nth_pod(k.rig, 1);
	unready(&k, sick);
	rig_run(k.rig, NS_PER_SEC);
	assert_counts(&k, 0, 2, 2, 3);
	assert_int_equal(evict_code(&k, nth_pod(k.rig, 0), ""), 429);
	assert_int_equal(evict_code(&k, sick, ""), 201);
	cluster_finish(&k);
}

static void test_refusals(void **state)
{
	struct cluster k = cluster_start(state);
	struct sv pod;

	expect(k.rig, 201, "POST", DEPLOYMENTS, DEPLOY("1"));
	expect(k.rig, 201, "POST", PDBS, PDB("\"minAvailable\":0"));
	cluster_run(&k, 5);
	pod = nth_pod(k.rig, 0);
	expect(k.rig, 400, "POST", NS "/pods/x/eviction",
	       "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"y\"}}");
	expect(k.rig, 201, "POST", PDBS,
	       "{\"metadata\":{\"name\":\"two\"},\"spec\":{\"minAvailable\":0,\"selector\":{}}}");
	cluster_run(&k, 2);
	assert_int_equal(evict_code(&k, pod, ""), 500);
	cluster_finish(&k);
}

/* What was marked and then not deleted is unmarked. */
static void test_stale_mark(void **state)
{
	struct cluster k = cluster_start(state);
	struct sv pod;
	char path[256];
	const struct val *d;

	expect(k.rig, 201, "POST", DEPLOYMENTS, DEPLOY("1"));
	cluster_run(&k, 5);
	pod = nth_pod(k.rig, 0);
	snprintf(path, sizeof(path), NS "/pods/%.*s/status", SV_ARG(pod));
	expect_type(k.rig, 200, "PATCH", path, "application/strategic-merge-patch+json",
		    "{\"status\":{\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\",\"reason\":"
		    "\"PreemptionByScheduler\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}");
	rig_run(k.rig, 180 * NS_PER_SEC);
	snprintf(path, sizeof(path), NS "/pods/%.*s", SV_ARG(pod));
	d = expect(k.rig, 200, "GET", path, NULL);
	assert_true(condition_is(val_get(d, F_status, F_conditions), "DisruptionTarget", "False"));
	cluster_finish(&k);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_counting),
		T(test_unknown_size),
		T(test_evictions),
		T(test_blocked_until_changed),
		T(test_unhealthy),
		T(test_refusals),
		T(test_stale_mark),
		T(test_custom_kinds),
		T(test_custom_kinds_refused),
	};

	return cmocka_run_group_tests_name("disruption", tests, NULL, NULL);
}
