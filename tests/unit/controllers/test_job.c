/* Jobs on the real API: counting, the policies, what becomes of their pods. */
#include "real.h"

#include "controllers/status.h"
#include "controllers/template.h"

#include <stdio.h>

#define JOBS "/apis/batch/v1/namespaces/default/jobs"
#define PODS "/api/v1/namespaces/default/pods"
#define JOB(spec)                                                                                               \
	"{\"metadata\":{\"name\":\"j\"},\"spec\":{" spec "\"template\":{\"spec\":{\"restartPolicy\":\"Never\"," \
	"\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}"
#define FINALIZER "batch.kubernetes.io/job-tracking"

static const struct val *job(struct cluster *k)
{
	return expect(k->rig, 200, "GET", JOBS "/j", NULL);
}

static const struct val *pods(struct cluster *k)
{
	return val_get(expect(k->rig, 200, "GET", PODS, NULL), F_items);
}

static size_t tracked(struct cluster *k)
{
	size_t n = 0;

	VAL_EACH(pods(k), p)
		VAL_EACH(val_get(p, F_metadata, F_finalizers), f)
			n += val_is(f, FINALIZER);
	return n;
}

static void patch(struct cluster *k, const char *doc)
{
	expect_type(k->rig, 200, "PATCH", JOBS "/j", "application/merge-patch+json", doc);
}

static void assert_condition(struct cluster *k, const char *type, const char *reason, const char *message)
{
	const struct val *c = condition_find(val_get(job(k), F_status, F_conditions), type);

	assert_val(val_member(c, F_status), "True");
	assert_val(val_member(c, F_reason), reason);
	if (message)
		assert_val(val_member(c, F_message), message);
}

static int64_t count(struct cluster *k, enum sym field)
{
	return val_get_int(job(k), 0, F_status, field);
}

static int running(const struct obj *pod)
{
	(void)pod;
	return -1;
}

static int64_t index_of(const struct obj *pod)
{
	int64_t i = -1;

	(void)sv_to_i64(val_str(val_member_sv(obj_get(pod, F_metadata, F_annotations),
					      SV("batch.kubernetes.io/job-completion-index"))),
			&i);
	return i;
}

/* A pod that is deleted by force the moment it ended is counted nevertheless. */
static void test_counted_once(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *list;

	expect(r, 201, "POST", JOBS, JOB("\"completions\":3,\"parallelism\":3,"));
	k.end = running;
	cluster_run(&k, 2);
	assert_int_equal(tracked(&k), 3);
	assert_int_equal(count(&k, F_active), 3);
	assert_int_equal(count(&k, F_ready), 3);
	list = pods(&k);
	for (size_t i = 0; i < 2; i++) {
		char *pod = arena_cstr(&r->arena, val_get_str(val_at(list, i), F_metadata, F_name));

		expect_type(r, 200, "PATCH", arena_printf(&r->arena, PODS "/%s/status", pod),
			    "application/merge-patch+json", "{\"status\":{\"phase\":\"Succeeded\"}}");
		expect(r, 200, "DELETE", arena_printf(&r->arena, PODS "/%s?gracePeriodSeconds=0", pod), NULL);
	}
	cluster_run(&k, 3);
	assert_int_equal(count(&k, F_succeeded), 2);
	assert_int_equal(count(&k, F_active), 1);
	assert_int_equal(val_len(pods(&k)), 1);
	k.end = NULL;
	expect(r, 200, "DELETE",
	       arena_printf(&r->arena, PODS "/%.*s?gracePeriodSeconds=0",
			    SV_ARG(val_get_str(val_at(pods(&k), 0), F_metadata, F_name))),
	       NULL);
	cluster_run(&k, 25); /* one that was deleted running has failed; its successor waits */
	assert_int_equal(count(&k, F_succeeded), 3);
	assert_int_equal(count(&k, F_failed), 1);
	assert_condition(&k, "Complete", "CompletionsReached", "Reached expected number of succeeded pods");
	assert_int_equal(tracked(&k), 0);
	assert_int_equal(val_len(val_get(job(&k), F_status, F_uncountedTerminatedPods)), 0);
	cluster_finish(&k);
}

/* Nothing keeps the pods when the Job goes. */
static void test_deleted(void **state)
{
	static const char *const policies[] = { "Background", "Foreground", "Orphan" };
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	k.end = running;
	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		expect(r, 201, "POST", JOBS, JOB("\"parallelism\":2,"));
		cluster_run(&k, 3);
		assert_int_equal(tracked(&k), 2);
		expect(r, 200, "DELETE", arena_printf(&r->arena, JOBS "/j?propagationPolicy=%s", policies[i]), NULL);
		cluster_run(&k, 5);
		expect(r, 404, "GET", JOBS "/j", NULL);
		assert_int_equal(val_len(pods(&k)), i == 2 ? 2 : 0);
		assert_int_equal(tracked(&k), 0);
	}
	cluster_finish(&k);
}

static int exits_3(const struct obj *pod)
{
	(void)pod;
	return 3;
}

static int exits_42(const struct obj *pod)
{
	(void)pod;
	return 42;
}

#define POLICY                                                                                                         \
	"\"podFailurePolicy\":{\"rules\":[{\"action\":\"Ignore\",\"onPodConditions\":[{\"type\":\"DisruptionTarget\"}" \
	"]},"                                                                                                          \
	"{\"action\":\"FailJob\",\"onExitCodes\":{\"containerName\":\"c\",\"operator\":\"In\",\"values\":[42]}}]},"

static void test_failure_policy(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const char *pod;

	k.end = exits_3;
	expect(r, 201, "POST", JOBS, JOB(POLICY "\"backoffLimit\":5,"));
	cluster_run(&k, 5);
	assert_int_equal(count(&k, F_failed), 1);
	/* The second is disrupted: it does not count. */
	k.end = running;
	cluster_run(&k, 12);
	pod = arena_cstr(&r->arena, val_get_str(val_at(pods(&k), 0), F_metadata, F_name));
	VAL_EACH(pods(&k), p)
		if (val_is(val_get(p, F_status, F_phase), "Running"))
			pod = arena_cstr(&r->arena, val_get_str(p, F_metadata, F_name));
	expect_type(r, 200, "PATCH", arena_printf(&r->arena, PODS "/%s/status", pod),
		    "application/strategic-merge-patch+json",
		    "{\"status\":{\"phase\":\"Failed\",\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":"
		    "\"True\"}]}}");
	k.end = exits_42;
	cluster_run(&k, 40);
	assert_int_equal(count(&k, F_failed), 2);
	assert_condition(&k, "FailureTarget", "PodFailurePolicy", NULL);
	assert_condition(&k, "Failed", "PodFailurePolicy", NULL);
	assert_true(
	    sv_find_sv(val_get_str(condition_find(val_get(job(&k), F_status, F_conditions), "Failed"), F_message),
		       SV("failed with exit code 42 matching FailJob rule at index 1")) > 0);
	assert_int_equal(tracked(&k), 0);
	cluster_finish(&k);
}

/* Each pod is evicted once: with a limit of no failures at all, the Job ends well. */
static void test_evictions_are_ignored(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *first;

	k.end = running;
	expect(r, 201, "POST", JOBS,
	       JOB("\"completionMode\":\"Indexed\",\"completions\":2,\"parallelism\":2,\"backoffLimit\":0,"
		   "\"podFailurePolicy\":{\"rules\":[{\"action\":\"Ignore\",\"onPodConditions\":[{\"type\":"
		   "\"DisruptionTarget\",\"status\":\"True\"}]},{\"action\":\"FailJob\",\"onExitCodes\":{\"operator\":"
		   "\"NotIn\",\"values\":[0]}}]},"));
	cluster_run(&k, 5);
	first = pods(&k);
	assert_int_equal(val_len(first), 2);
	VAL_EACH(first, p) {
		const char *pod = arena_printf(&r->arena, PODS "/%.*s", SV_ARG(val_get_str(p, F_metadata, F_name)));

		expect(r, 201, "POST", arena_printf(&r->arena, "%s/eviction", pod),
		       arena_printf(
			   &r->arena,
			   "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%.*s\"}}",
			   SV_ARG(val_get_str(p, F_metadata, F_name))));
		/* As a node says of what it has ended. */
		expect_type(r, 200, "PATCH", arena_printf(&r->arena, "%s/status", pod),
			    "application/strategic-merge-patch+json", "{\"status\":{\"phase\":\"Failed\"}}");
	}
	cluster_run(&k, 5);
	assert_int_equal(val_len(pods(&k)), 2);
	VAL_EACH(pods(&k), p)
		VAL_EACH(first, q)
			assert_false(val_equal(val_get(p, F_metadata, F_uid), val_get(q, F_metadata, F_uid)));
	assert_int_equal(count(&k, F_failed), 0);
	assert_int_equal(count(&k, F_active), 2);
	VAL_EACH(pods(&k), p)
		expect_type(r, 200, "PATCH",
			    arena_printf(&r->arena, PODS "/%.*s/status", SV_ARG(val_get_str(p, F_metadata, F_name))),
			    "application/strategic-merge-patch+json", "{\"status\":{\"phase\":\"Succeeded\"}}");
	cluster_run(&k, 5);
	assert_condition(&k, "Complete", "CompletionsReached", NULL);
	assert_int_equal(count(&k, F_failed), 0);
	cluster_finish(&k);
}

static int odd_fails(const struct obj *pod)
{
	return index_of(pod) % 2 == 1;
}

static void test_limit_per_index(void **state)
{
	struct cluster k = cluster_start(state);

	k.end = odd_fails;
	expect(k.rig, 201, "POST", JOBS,
	       JOB("\"completionMode\":\"Indexed\",\"completions\":5,\"parallelism\":5,\"backoffLimitPerIndex\":1,"));
	cluster_run(&k, 5);
	assert_val(val_get(job(&k), F_status, F_completedIndexes), "0,2,4");
	assert_val(val_get(job(&k), F_status, F_failedIndexes), "");
	cluster_run(&k, 30);
	/* Two tries each, then the index is given up; the rest went through. */
	assert_val(val_get(job(&k), F_status, F_failedIndexes), "1,3");
	assert_condition(&k, "Failed", "FailedIndexes", "Job has failed indexes");
	assert_int_equal(count(&k, F_failed), 4);
	assert_int_equal(count(&k, F_succeeded), 3);
	assert_int_equal(val_len(pods(&k)), 7);
	assert_int_equal(tracked(&k), 0);
	cluster_finish(&k);
}

static void test_too_many_indexes(void **state)
{
	struct cluster k = cluster_start(state);

	k.end = odd_fails;
	expect(k.rig, 201, "POST", JOBS,
	       JOB("\"completionMode\":\"Indexed\",\"completions\":6,\"parallelism\":2,\"backoffLimitPerIndex\":0,"
		   "\"maxFailedIndexes\":1,"));
	cluster_run(&k, 10);
	assert_condition(&k, "Failed", "MaxFailedIndexesExceeded",
			 "Job has exceeded the specified maximal number of failed indexes");
	cluster_finish(&k);
}

static int only_0(const struct obj *pod)
{
	return index_of(pod) == 0 ? 0 : -1;
}

static void test_success_policy(void **state)
{
	struct cluster k = cluster_start(state);

	k.end = only_0;
	expect(k.rig, 201, "POST", JOBS,
	       JOB("\"completionMode\":\"Indexed\",\"completions\":4,\"parallelism\":4,\"successPolicy\":{\"rules\":[{"
		   "\"succeededIndexes\":\"2-3\"},{\"succeededIndexes\":\"0\"}]},"));
	cluster_run(&k, 10);
	assert_condition(&k, "Complete", "SuccessPolicy", "Matched rules at index 1");
	assert_int_equal(count(&k, F_succeeded), 1);
	assert_int_equal(count(&k, F_failed), 0);
	assert_int_equal(count(&k, F_active), 0);
	assert_int_equal(val_len(pods(&k)), 1);
	cluster_finish(&k);
}

/* All of them, or only so many. */
static void test_success_counts(void **state)
{
	struct cluster k = cluster_start(state);

	expect(k.rig, 201, "POST", JOBS,
	       JOB("\"completionMode\":\"Indexed\",\"completions\":2,\"parallelism\":2,\"successPolicy\":{\"rules\":[{"
		   "\"succeededIndexes\":\"0-1\"}]},"));
	cluster_run(&k, 10);
	assert_condition(&k, "SuccessCriteriaMet", "SuccessPolicy", NULL);
	assert_condition(&k, "Complete", "SuccessPolicy", NULL);
	assert_int_equal(count(&k, F_succeeded), 2);
	expect(k.rig, 200, "DELETE", JOBS "/j?propagationPolicy=Background", NULL);
	cluster_run(&k, 10);
	k.end = only_0;
	expect(k.rig, 201, "POST", JOBS,
	       JOB("\"completionMode\":\"Indexed\",\"completions\":5,\"parallelism\":2,\"successPolicy\":{\"rules\":[{"
		   "\"succeededCount\":1}]},"));
	cluster_run(&k, 10);
	assert_condition(&k, "SuccessCriteriaMet", "SuccessPolicy", NULL);
	assert_condition(&k, "Complete", "SuccessPolicy", NULL);
	assert_val(val_get(job(&k), F_status, F_completedIndexes), "0");
	cluster_finish(&k);
}

static void test_suspend(void **state)
{
	struct cluster k = cluster_start(state);

	k.end = running;
	expect(k.rig, 201, "POST", JOBS,
	       JOB("\"completionMode\":\"Indexed\",\"completions\":3,\"parallelism\":3,\"backoffLimitPerIndex\":0,"));
	cluster_run(&k, 3);
	patch(&k, "{\"spec\":{\"suspend\":true}}");
	cluster_run(&k, 5);
	/* Taken away, not failed. */
	assert_int_equal(val_len(pods(&k)), 0);
	assert_int_equal(count(&k, F_failed), 0);
	assert_condition(&k, "Suspended", "JobSuspended", "Job suspended");
	k.end = NULL;
	patch(&k, "{\"spec\":{\"suspend\":false}}");
	cluster_run(&k, 5);
	assert_condition(&k, "Complete", "CompletionsReached", NULL);
	assert_int_equal(count(&k, F_failed), 0);
	cluster_finish(&k);
}

static void test_shrink(void **state)
{
	struct cluster k = cluster_start(state);

	k.end = running;
	expect(k.rig, 201, "POST", JOBS, JOB("\"completions\":9,\"parallelism\":4,"));
	cluster_run(&k, 3);
	patch(&k, "{\"spec\":{\"parallelism\":1}}");
	cluster_run(&k, 3);
	assert_int_equal(count(&k, F_active), 1);
	assert_int_equal(count(&k, F_failed), 0);
	patch(&k, "{\"spec\":{\"activeDeadlineSeconds\":20}}");
	cluster_run(&k, 25);
	assert_condition(&k, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline");
	assert_int_equal(count(&k, F_failed), 1);
	assert_int_equal(val_len(pods(&k)), 0);
	cluster_finish(&k);
}

/* An orphan that matches is taken in, and counted when it ends. */
static void test_adopts(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const char *pod;

	k.end = running;
	expect(r, 201, "POST", JOBS, JOB("\"completions\":2,\"parallelism\":2,"));
	cluster_run(&k, 3);
	pod = arena_printf(&r->arena, PODS "/%.*s", SV_ARG(val_get_str(val_at(pods(&k), 0), F_metadata, F_name)));
	expect_type(r, 200, "PATCH", pod, "application/merge-patch+json", "{\"metadata\":{\"ownerReferences\":null}}");
	cluster_run(&k, 3);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", pod, NULL), F_metadata, F_ownerReferences)), 1);
	assert_int_equal(tracked(&k), 2);
	expect_type(r, 200, "PATCH", pod, "application/merge-patch+json", "{\"metadata\":{\"labels\":null}}");
	cluster_run(&k, 3);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", pod, NULL), F_metadata, F_ownerReferences)), 0);
	assert_int_equal(val_len(pods(&k)), 3);
	assert_int_equal(tracked(&k), 2);
	cluster_finish(&k);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_counted_once),	  T(test_deleted),	  T(test_failure_policy), T(test_limit_per_index),
		T(test_too_many_indexes), T(test_success_policy), T(test_success_counts), T(test_evictions_are_ignored),
		T(test_suspend),	  T(test_shrink),	  T(test_adopts),
	};

	return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
