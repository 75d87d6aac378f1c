/* Fields of workloads that say how much, how many and how long, each for itself, on the real API. JSON is written with
 * ' for ". */
#include "real.h"

#include "controllers/status.h"

#define APPS "/apis/apps/v1/namespaces/default"
#define BATCH "/apis/batch/v1/namespaces/default"
#define PODS "/api/v1/namespaces/default/pods"
#define POD "'template':{'metadata':{'labels':{'app':'w'}},'spec':{'containers':[{'name':'c','image':'a'}]}}"
#define ONCE "'template':{'spec':{'restartPolicy':'Never','containers':[{'name':'c','image':'a'}]}}"
#define SELECTOR "'selector':{'matchLabels':{'app':'w'}},"

static struct cluster start(void **state)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	return k;
}

static const char *json(struct cluster *k, const char *text)
{
	char *s = arena_strdup(&k->rig->arena, text);

	for (char *p = s; *p; p++)
		if (*p == '\'')
			*p = '"';
	return s;
}

static void make(struct cluster *k, const char *path, const char *body)
{
	expect(k->rig, 201, "POST", path, json(k, body));
}

static void change(struct cluster *k, const char *path, const char *body)
{
	expect_type(k->rig, 200, "PATCH", path, "application/merge-patch+json", json(k, body));
}

static const struct val *items(struct cluster *k, const char *path)
{
	return val_get(expect(k->rig, 200, "GET", path, NULL), F_items);
}

static int64_t status(struct cluster *k, const char *path, enum sym field)
{
	return val_get_int(expect(k->rig, 200, "GET", path, NULL), 0, F_status, field);
}

/* A change of the template that says which it is. */
static void revise(struct cluster *k, const char *path, int n)
{
	change(k, path,
	       arena_printf(&k->rig->arena, "{'spec':{'template':{'metadata':{'annotations':{'n':'%d'}}}}}", n));
}

static void test_set_ordinals(void **state)
{
	struct cluster k = start(state);

	make(&k, APPS "/statefulsets",
	     "{'metadata':{'name':'w'},'spec':{'replicas':2,'serviceName':'w','ordinals':{'start':5}," SELECTOR POD
	     "}}");
	cluster_run(&k, 10);
	expect(k.rig, 200, "GET", PODS "/w-5", NULL);
	expect(k.rig, 200, "GET", PODS "/w-6", NULL);
	assert_int_equal(val_len(items(&k, PODS)), 2);
	/* What is below the start goes when what is at the other end has come. */
	change(&k, APPS "/statefulsets/w", "{'spec':{'ordinals':{'start':6}}}");
	cluster_run(&k, 10);
	expect(k.rig, 404, "GET", PODS "/w-5", NULL);
	expect(k.rig, 200, "GET", PODS "/w-7", NULL);
	assert_int_equal(val_len(items(&k, PODS)), 2);
	cluster_finish(&k);
}

static void test_set_min_ready(void **state)
{
	struct cluster k = start(state);

	make(&k, APPS "/statefulsets",
	     "{'metadata':{'name':'w'},'spec':{'replicas':2,'serviceName':'w','minReadySeconds':30," SELECTOR POD "}}");
	cluster_run(&k, 20);
	/* The second waits for the first to be available. */
	assert_int_equal(val_len(items(&k, PODS)), 1);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_readyReplicas), 1);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_availableReplicas), 0);
	cluster_run(&k, 20);
	assert_int_equal(val_len(items(&k, PODS)), 2);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_availableReplicas), 1);
	cluster_run(&k, 40);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_availableReplicas), 2);
	cluster_finish(&k);
}

/* How many pods lack the newest revision, at most, while they are replaced. */
static size_t most_missing(struct cluster *k, int seconds, size_t all)
{
	size_t most = 0;

	for (int i = 0; i < seconds; i++) {
		size_t ready = 0;

		cluster_run(k, 1);
		VAL_EACH(items(k, PODS), p)
			ready += !val_get(p, F_metadata, F_deletionTimestamp) &&
				 condition_is(val_get(p, F_status, F_conditions), "Ready", "True");
		most = MAX(most, all - ready);
	}
	return most;
}

static void test_set_max_unavailable(void **state)
{
	struct cluster k = start(state);

	make(&k, APPS "/statefulsets",
	     "{'metadata':{'name':'w'},'spec':{'replicas':4,'serviceName':'w','podManagementPolicy':'Parallel',"
	     "'minReadySeconds':10,'updateStrategy':{'rollingUpdate':{'maxUnavailable':2}}," SELECTOR POD "}}");
	cluster_run(&k, 20);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_availableReplicas), 4);
	revise(&k, APPS "/statefulsets/w", 1);
	/* In time for two at once, not for one after the other. */
	cluster_run(&k, 35);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_updatedReplicas), 4);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_availableReplicas), 4);
	change(&k, APPS "/statefulsets/w", "{'spec':{'updateStrategy':{'rollingUpdate':{'maxUnavailable':1}}}}");
	revise(&k, APPS "/statefulsets/w", 2);
	assert_true(most_missing(&k, 25, 4) <= 1);
	assert_true(status(&k, APPS "/statefulsets/w", F_updatedReplicas) < 4);
	cluster_run(&k, 30);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_updatedReplicas), 4);
	cluster_finish(&k);
}

static void test_history(void **state)
{
	static const char *const kinds[] = { APPS "/statefulsets", APPS "/daemonsets" };
	struct cluster k = start(state);

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const char *one = arena_printf(&k.rig->arena, "%s/w", kinds[i]);

		make(&k, kinds[i], "{'metadata':{'name':'w'},'spec':{'revisionHistoryLimit':1," SELECTOR POD "}}");
		cluster_run(&k, 10);
		for (int n = 1; n <= 4; n++) {
			revise(&k, one, n);
			cluster_run(&k, 15);
		}
		/* what runs, and one before it */
		assert_int_equal(val_len(items(&k, APPS "/controllerrevisions")), 2);
		change(&k, one, "{'spec':{'revisionHistoryLimit':0}}");
		cluster_run(&k, 10);
		assert_int_equal(val_len(items(&k, APPS "/controllerrevisions")), 1);
		expect(k.rig, 200, "DELETE", one, NULL);
		cluster_run(&k, 10);
	}
	cluster_finish(&k);
}

static void test_daemon_min_ready(void **state)
{
	struct cluster k = start(state);

	make(&k, APPS "/daemonsets", "{'metadata':{'name':'w'},'spec':{'minReadySeconds':30," SELECTOR POD "}}");
	cluster_run(&k, 20);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_numberReady), 1);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_numberAvailable), 0);
	cluster_run(&k, 20);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_numberAvailable), 1);
	cluster_finish(&k);
}

static void test_daemon_on_delete(void **state)
{
	struct cluster k = start(state);
	const char *pod;

	make(&k, APPS "/daemonsets",
	     "{'metadata':{'name':'w'},'spec':{'updateStrategy':{'type':'OnDelete'}," SELECTOR POD "}}");
	cluster_run(&k, 5);
	revise(&k, APPS "/daemonsets/w", 1);
	cluster_run(&k, 20);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_updatedNumberScheduled), 0);
	pod = arena_printf(&k.rig->arena, PODS "/%.*s",
			   SV_ARG(val_get_str(val_at(items(&k, PODS), 0), F_metadata, F_name)));
	expect(k.rig, 200, "DELETE", pod, NULL);
	cluster_run(&k, 5);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_updatedNumberScheduled), 1);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_numberAvailable), 1);
	cluster_finish(&k);
}

/* Another's Job is left alone; one of our own by its full name is not. */
static void test_job_managed_by(void **state)
{
	struct cluster k = start(state);

	make(&k, BATCH "/jobs", "{'metadata':{'name':'theirs'},'spec':{'managedBy':'example.com/queue'," ONCE "}}");
	make(&k, BATCH "/jobs",
	     "{'metadata':{'name':'ours'},'spec':{'managedBy':'kubernetes.io/job-controller'," ONCE "}}");
	cluster_run(&k, 10);
	assert_int_equal(status(&k, BATCH "/jobs/ours", F_succeeded), 1);
	assert_int_equal(
	    val_len(val_get(expect(k.rig, 200, "GET", BATCH "/jobs/theirs", NULL), F_status, F_conditions)), 0);
	assert_int_equal(val_len(items(&k, PODS)), 1);
	cluster_finish(&k);
}

/* The selector that was given is the one, and no label of the server's comes with it. */
static void test_job_manual_selector(void **state)
{
	struct cluster k = start(state);
	const struct val *j;

	expect(k.rig, 422, "POST", BATCH "/jobs",
	       json(&k, "{'metadata':{'name':'j'},'spec':{" SELECTOR "'template':{'metadata':{'labels':{'app':'w'}},"
			"'spec':{'restartPolicy':'Never','containers':[{'name':'c','image':'a'}]}}}}"));
	make(&k, BATCH "/jobs",
	     "{'metadata':{'name':'j'},'spec':{'manualSelector':true," SELECTOR
	     "'template':{'metadata':{'labels':{'app':'w'}},'spec':{'restartPolicy':'Never','containers':[{'name':'c',"
	     "'image':'a'}]}}}}");
	j = expect(k.rig, 200, "GET", BATCH "/jobs/j", NULL);
	assert_int_equal(val_len(val_get(j, F_spec, F_selector, F_matchLabels)), 1);
	assert_int_equal(val_len(val_get(j, F_spec, F_template, F_metadata, F_labels)), 1);
	cluster_run(&k, 10);
	assert_int_equal(status(&k, BATCH "/jobs/j", F_succeeded), 1);
	cluster_finish(&k);
}

static int low_indexes_succeed(const struct obj *pod)
{
	int64_t i = -1;

	(void)sv_to_i64(val_str(val_member_sv(obj_get(pod, F_metadata, F_annotations),
					      SV("batch.kubernetes.io/job-completion-index"))),
			&i);
	return i < 2 ? 0 : -1;
}

static void test_job_succeeded_count(void **state)
{
	struct cluster k = start(state);
	const struct val *c;

	k.end = low_indexes_succeed;
	make(&k, BATCH "/jobs",
	     "{'metadata':{'name':'j'},'spec':{'completionMode':'Indexed','completions':4,'parallelism':4,"
	     "'successPolicy':{'rules':[{'succeededCount':3},{'succeededIndexes':'0-1,3','succeededCount':2}]}," ONCE
	     "}}");
	cluster_run(&k, 10);
	c = condition_find(val_get(expect(k.rig, 200, "GET", BATCH "/jobs/j", NULL), F_status, F_conditions),
			   "Complete");
	assert_val(val_member(c, F_reason), "SuccessPolicy");
	assert_val(val_member(c, F_message), "Matched rules at index 1");
	assert_int_equal(status(&k, BATCH "/jobs/j", F_succeeded), 2);
	cluster_finish(&k);
}

static void test_cronjob_limits(void **state)
{
	struct cluster k = start(state);

	make(&k, BATCH "/cronjobs",
	     "{'metadata':{'name':'c'},'spec':{'schedule':'* * * * *','successfulJobsHistoryLimit':1,"
	     "'failedJobsHistoryLimit':2,'jobTemplate':{'spec':{'backoffLimit':0," ONCE "}}}}");
	cluster_run(&k, 250);
	assert_int_equal(val_len(items(&k, BATCH "/jobs")), 1);
	k.fail = true;
	cluster_run(&k, 300);
	/* two that failed, and the last that did not */
	assert_int_equal(val_len(items(&k, BATCH "/jobs")), 3);
	change(&k, BATCH "/cronjobs/c", "{'spec':{'failedJobsHistoryLimit':0,'successfulJobsHistoryLimit':0}}");
	cluster_run(&k, 70);
	assert_int_equal(val_len(items(&k, BATCH "/jobs")), 0);
	cluster_finish(&k);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_set_ordinals),	T(test_set_min_ready),	     T(test_set_max_unavailable),
		T(test_history),	T(test_daemon_min_ready),    T(test_daemon_on_delete),
		T(test_job_managed_by), T(test_job_manual_selector), T(test_job_succeeded_count),
		T(test_cronjob_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
