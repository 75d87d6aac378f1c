/* ReplicaSet and Deployment. */
#include "world.h"

#include "controllers/expectations.h"
#include "controllers/podutil.h"
#include "controllers/replicaset_rank.h"
#include "controllers/status.h"

#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const both[] = { "deployment-controller", "replicaset-controller", NULL };

#define TEMPLATE(image)                                                                           \
	"{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\"," \
	"\"image\":\"" image "\"}]}}"
#define RS(n)                                                                                          \
	"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":" n ",\"selector\":{\"matchLabels\":" \
	"{\"app\":\"web\"}},\"template\":" TEMPLATE("a") "}}"
#define DEPLOYMENT(n, more)                                                                                           \
	"{\"metadata\":{\"name\":\"web\",\"annotations\":{\"note\":\"x\","                                            \
	"\"kubectl.kubernetes.io/last-applied-configuration\":\"{}\"}},\"spec\":{\"replicas\":" n                     \
	",\"progressDeadlineSeconds\":600,\"revisionHistoryLimit\":2," more "\"selector\":{\"matchLabels\":{\"app\":" \
	"\"web\"}},\"template\":" TEMPLATE("a") "}}"
#define ROLLING                                                                                                        \
	"\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":\"25%\",\"maxUnavailable\":\"25%\"}" \
	"},"

static const struct resource *const rs_res = RES(apps_replicasets), *const d_res = RES(apps_deployments);

static void make(struct world *w, const struct resource *r, const char *json)
{
	obj_unref(fake_api_create(w->api, r, "default", json));
}

static void test_replicaset_scales(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct world *w = world_new(1, both);

	(void)state;
	make(w, rs_res, RS("5"));
	world_run(w, 5 * NS_PER_SEC);
	assert_int_equal(world_pods(w, "default", true), 5);
	assert_int_equal(world_int(w, rs_res, "default", "web", F_status, F_availableReplicas), 5);
	assert_int_equal(world_int(w, rs_res, "default", "web", F_status, F_fullyLabeledReplicas), 5);
	assert_true(sv_starts(world_event(w, &a, "SuccessfulCreate"), SV("Created pod: web-")));

	fake_api_patch(w->api, rs_res, "default", "web", NULL, "{\"spec\":{\"replicas\":2}}");
	world_run(w, 5 * NS_PER_SEC);
	assert_int_equal(world_pods(w, "default", false), 2);
	assert_int_equal(world_int(w, rs_res, "default", "web", F_status, F_replicas), 2);
	assert_int_equal(world_int(w, rs_res, "default", "web", F_status, F_observedGeneration), 2);
	assert_true(sv_starts(world_event(w, &a, "SuccessfulDelete"), SV("Deleted pod: web-")));

	/* Nothing to do means nothing written. */
	(void)fake_api_writes(w->api);
	world_run(w, 60 * NS_PER_SEC);
	assert_int_equal(fake_api_writes(w->api), 0);
	world_free(w);
}

static int64_t pods_ever;

static int count_creates(void *ctx, const char *verb, const struct resource *r, struct sv ns, struct sv name,
			 const struct val *doc, struct err *err)
{
	(void)ctx;
	(void)ns;
	(void)name;
	(void)doc;
	(void)err;
	pods_ever += r == RES(core_pods) && strcmp(verb, "create") == 0;
	return 0;
}

/* A quota of some pods. */
static int refuse_creates(void *ctx, const char *verb, const struct resource *r, struct sv ns, struct sv name,
			  const struct val *doc, struct err *err)
{
	(void)count_creates(ctx, verb, r, ns, name, doc, err);
	if (r == RES(core_pods) && strcmp(verb, "create") == 0 && pods_ever > 600)
		return err_set(err, ERR_FORBIDDEN, "exceeded quota");
	return 0;
}

/* More pods than there is memory for pointers to: they come some at a time, and what is changed meanwhile counts. */
static void test_set_without_end(void **state)
{
	static const char *const only[] = { "statefulset-controller", NULL };
	const struct resource *res = RES(apps_statefulsets);
	struct world *w = world_new(1, only);

	(void)state;
	w->no_kubelet = true;
	pods_ever = 0;
	fake_api_set_hook(w->api, refuse_creates, NULL);
	make(w, res,
	     "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":2147483647,\"podManagementPolicy\":\"Parallel\","
	     "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":" TEMPLATE("a") "}}");
	world_run(w, NS_PER_SEC / 5);
	assert_int_equal(world_pods(w, "default", false), 600);
	fake_api_patch(w->api, res, "default", "web", NULL, "{\"spec\":{\"replicas\":2}}");
	world_run(w, 2 * NS_PER_SEC);
	assert_int_equal(world_pods(w, "default", false), 2);
	world_free(w);
}

/* With a cache that lags seconds behind, runs in between must not make pods twice. */
static void test_stale_cache(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct world *w = world_new(seed, both);

		pods_ever = 0;
		fake_api_set_hook(w->api, count_creates, NULL);
		fake_api_set_lag(w->api, 3 * NS_PER_SEC);
		make(w, rs_res, RS("10"));
		for (int i = 0; i < 20; i++) {
			/* Touch it, so that it is looked at again and again. */
			fake_api_patch(w->api, rs_res, "default", "web", NULL,
				       i % 2 ? "{\"metadata\":{\"labels\":{\"x\":\"1\"}}}"
					     : "{\"metadata\":{\"labels\":{\"x\":\"2\"}}}");
			world_run(w, 500 * NS_PER_MS);
		}
		world_run(w, 20 * NS_PER_SEC);
		assert_int_equal(pods_ever, 10);
		assert_int_equal(world_pods(w, "default", true), 10);

		fake_api_patch(w->api, rs_res, "default", "web", NULL, "{\"spec\":{\"replicas\":4}}");
		for (int i = 0; i < 20; i++) {
			fake_api_patch(w->api, rs_res, "default", "web", NULL,
				       i % 2 ? "{\"metadata\":{\"labels\":{\"x\":\"1\"}}}"
					     : "{\"metadata\":{\"labels\":{\"x\":\"2\"}}}");
			world_run(w, 500 * NS_PER_MS);
			assert_true(world_pods(w, "default", false) >= 4);
		}
		world_run(w, 20 * NS_PER_SEC);
		assert_int_equal(world_pods(w, "default", false), 4);
		assert_int_equal(pods_ever, 10);
		world_free(w);
	}
}

static void end_running_pods(struct world *w)
{
	struct client *c = fake_api_client(w->api);
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	assert_int_equal(client_list(c, RES(core_pods), SV("default"), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++)
		if (pod_is_ready(l.items[i]) && !pod_is_terminal(l.items[i]))
			fake_api_patch(w->api, RES(core_pods), "default", arena_cstr(&a, obj_name(l.items[i])),
				       "status", "{\"status\":{\"phase\":\"Succeeded\"}}");
}

/* A Job sees its pods and its own counts late, and of different ages: neither one pod too many nor one counted
 * twice. */
static void test_job_stale_cache(void **state)
{
	static const char *const only[] = { "job-controller", NULL };

	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct world *w = world_new(seed, only);
		_cleanup_obj_ struct obj *job = NULL;

		pods_ever = 0;
		fake_api_set_hook(w->api, count_creates, NULL);
		fake_api_set_lag(w->api, (int64_t)(seed % 4) * NS_PER_SEC);
		make(w, RES(batch_jobs),
		     "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"completions\":10,\"parallelism\":4,\"selector\":{"
		     "\"matchLabels\":{\"app\":\"web\"}},\"template\":" TEMPLATE("a") "}}");
		for (int i = 0; i < 160; i++) {
			if (i % 20 == 0)
				fake_api_patch(w->api, RES(batch_jobs), "default", "j", NULL,
					       i % 40 ? "{\"metadata\":{\"labels\":{\"x\":\"1\"}}}"
						      : "{\"metadata\":{\"labels\":{\"x\":\"2\"}}}");
			world_run(w, 500 * NS_PER_MS);
			end_running_pods(w);
		}
		job = fake_api_get(w->api, RES(batch_jobs), "default", "j");
		assert_true(condition_is(obj_get(job, F_status, F_conditions), "Complete", "True"));
		assert_int_equal(val_int_or(obj_get(job, F_status, F_succeeded), 0), 10);
		assert_int_equal(val_int_or(obj_get(job, F_status, F_failed), 0), 0);
		assert_int_equal(pods_ever, 10);
		world_free(w);
	}
}

static void test_adoption(void **state)
{
	struct world *w = world_new(2, both);
	_cleanup_obj_ struct obj *orphan = NULL, *after = NULL, *gone = NULL;

	(void)state;
	orphan = fake_api_create(w->api, RES(core_pods), "default",
				 "{\"metadata\":{\"name\":\"orphan\",\"labels\":{\"app\":\"web\"}},\"spec\":{"
				 "\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}");
	make(w, rs_res, RS("3"));
	world_run(w, 5 * NS_PER_SEC);
	assert_int_equal(world_pods(w, "default", false), 3);
	after = fake_api_get(w->api, RES(core_pods), "default", "orphan");
	assert_sv(val_str(val_member(obj_controller_ref(after), F_name)), "web");

	/* A pod relabelled away is let go and replaced. */
	fake_api_patch(w->api, RES(core_pods), "default", "orphan", NULL,
		       "{\"metadata\":{\"labels\":{\"app\":\"debug\"}}}");
	world_run(w, 5 * NS_PER_SEC);
	gone = fake_api_get(w->api, RES(core_pods), "default", "orphan");
	assert_null(obj_controller_ref(gone));
	assert_int_equal(world_pods(w, "default", false), 4);
	world_free(w);
}

static int refuse_after;

static int quota(void *ctx, const char *verb, const struct resource *r, struct sv ns, struct sv name,
		 const struct val *doc, struct err *err)
{
	(void)ctx;
	(void)ns;
	(void)name;
	(void)doc;
	if (r != RES(core_pods) || strcmp(verb, "create") != 0)
		return 0;
	pods_ever++;
	return --refuse_after >= 0 ? 0 : err_set(err, ERR_FORBIDDEN, "exceeded quota");
}

static bool asked_for_pods(void *ctx)
{
	(void)ctx;
	return pods_ever > 0;
}

static void test_slow_start(void **state)
{
	struct world *w = world_new(3, both);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *rs = NULL;

	(void)state;
	pods_ever = 0;
	refuse_after = 3;
	fake_api_set_hook(w->api, quota, NULL);
	make(w, rs_res, RS("100"));
	assert_true(env_sim_run_until(w->env, NS_PER_SEC, asked_for_pods, w));
	assert_int_equal(pods_ever, 7); /* 1 + 2 went well, 4 did not, and that was the end of it */
	world_run(w, 2 * NS_PER_SEC);
	rs = fake_api_get(w->api, rs_res, "default", "web");
	assert_true(condition_is(obj_get(rs, F_status, F_conditions), "ReplicaFailure", "True"));
	assert_true(condition_reason_is(obj_get(rs, F_status, F_conditions), "ReplicaFailure", "FailedCreate"));
	assert_true(sv_starts(world_event(w, &a, "FailedCreate"), SV("Error creating: exceeded quota")));
	refuse_after = 1000;
	world_run(w, 60 * NS_PER_SEC);
	obj_unref(rs);
	rs = fake_api_get(w->api, rs_res, "default", "web");
	assert_null(condition_find(obj_get(rs, F_status, F_conditions), "ReplicaFailure"));
	assert_int_equal(world_pods(w, "default", true), 100);
	world_free(w);
}

static void test_min_ready(void **state)
{
	struct world *w = world_new(4, both);

	(void)state;
	make(w, rs_res,
	     "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":2,\"minReadySeconds\":30,\"selector\":{"
	     "\"matchLabels\":"
	     "{\"app\":\"web\"}},\"template\":" TEMPLATE("a") "}}");
	world_run(w, 20 * NS_PER_SEC);
	assert_int_equal(world_int(w, rs_res, "default", "web", F_status, F_readyReplicas), 2);
	assert_int_equal(world_int(w, rs_res, "default", "web", F_status, F_availableReplicas), 0);
	world_run(w, 15 * NS_PER_SEC);
	assert_int_equal(world_int(w, rs_res, "default", "web", F_status, F_availableReplicas), 2);
	world_free(w);
}

static struct obj *rank_pod(struct arena *a, const char *name, const char *node, const char *phase, bool ready,
			    const char *more)
{
	char *json = arena_printf(
	    a,
	    "{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"%s},\"spec\":{"
	    "\"nodeName\":\"%s\"},\"status\":{\"phase\":\"%s\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}"
	    "}",
	    name, name, more, node, phase, ready ? "True" : "False");

	return obj_link(a, obj_new(json_decode(a, sv_from(json), NULL, NULL), 0));
}

static void test_ranking(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *pods[] = {
		rank_pod(&a, "good", "n1", "Running", true, ""),
		rank_pod(&a, "shared", "n2", "Running", true, ""),
		rank_pod(&a, "cheap", "n3", "Running", true,
			 ",\"annotations\":{\"controller.kubernetes.io/pod-deletion-cost\":\"-5\"}"),
		rank_pod(&a, "unready", "n4", "Running", false, ""),
		rank_pod(&a, "pending", "n5", "Pending", false, ""),
		rank_pod(&a, "unassigned", "", "Pending", false, ""),
	};
	struct obj *peers[] = { pods[0], pods[1], rank_pod(&a, "other", "n2", "Running", true, "") };
	static const char *const want[] = { "unassigned", "pending", "unready", "cheap", "shared", "good" };

	(void)state;
	rank_pods_for_deletion(&a, pods, ARRAY_LEN(pods), peers, ARRAY_LEN(peers), INT64_C(1767225700) * NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(pods); i++)
		assert_sv(obj_name(pods[i]), want[i]);
}

static void test_expectations_lapse(void **state)
{
	struct env *e = env_sim_new(1, NS_PER_SEC, false);
	struct expectations *x = expectations_new(e);
	struct sv uid = SV("u");

	(void)state;
	assert_true(expectations_satisfied(x, SV("a")));
	expect_creations(x, SV("a"), 2);
	creation_observed(x, SV("a"));
	assert_false(expectations_satisfied(x, SV("a")));
	creation_observed(x, SV("a"));
	creation_observed(x, SV("a"));
	assert_true(expectations_satisfied(x, SV("a")));
	expect_deletions(x, SV("a"), &uid, 1);
	deletion_observed(x, SV("a"), SV("other"));
	assert_false(expectations_satisfied(x, SV("a")));
	env_sim_run(e, EXPECTATIONS_TTL_NS + NS_PER_SEC);
	assert_true(expectations_satisfied(x, SV("a")));
	expectations_free(x);
	env_sim_free(e);
}

/* --- Deployment --- */

static void check_bounds(struct world *w)
{
	size_t all = world_pods(w, "default", false), ready = world_pods(w, "default", true);

	w->seen_ready |= (int64_t)ready >= w->least;
	assert_true((int64_t)all <= w->most);
	if (w->seen_ready)
		assert_true((int64_t)ready >= w->least);
}

static bool complete(struct world *w)
{
	_cleanup_obj_ struct obj *d = fake_api_get(w->api, d_res, "default", "web");
	const struct val *st = obj_get(d, F_status);

	return val_get_int(st, 0, F_observedGeneration) == val_int_or(obj_get(d, F_metadata, F_generation), -1) &&
	       val_get_int(st, 0, F_updatedReplicas) == w->replicas && val_get_int(st, 0, F_replicas) == w->replicas &&
	       val_get_int(st, 0, F_availableReplicas) == w->replicas &&
	       condition_reason_is(val_member(st, F_conditions), "Progressing", "NewReplicaSetAvailable");
}

static struct sv annotation(struct world *w, struct arena *a, const struct resource *r, const char *name,
			    const char *ann)
{
	struct obj *o = fake_api_get(w->api, r, "default", name);

	assert_non_null(o);
	return annotation_of(obj_root(obj_link(a, o)), ann);
}

static size_t live_sets(struct world *w, struct arena *a, struct obj **ret_live)
{
	struct obj_list l = { 0 };
	size_t n = 0;

	assert_int_equal(client_list(fake_api_client(w->api), rs_res, SV("default"), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++)
		if (val_int_or(obj_get(l.items[i], F_spec, F_replicas), 0) > 0) {
			*ret_live = obj_link(a, obj_ref(l.items[i]));
			n++;
		}
	obj_list_release(&l);
	return n;
}

#define IMAGE(x) "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"" x "\"}]}}}}"

static void test_rolling_update(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct world *w = world_new(seed, both);
		struct obj *live = NULL;

		if (seed > 2)
			fake_api_set_lag(w->api, 300 * NS_PER_MS);
		w->replicas = 10;
		w->most = 13;
		w->least = 8;
		w->check = check_bounds;
		make(w, d_res, DEPLOYMENT("10", ROLLING));
		world_until(w, 120 * NS_PER_SEC, complete);
		assert_sv(annotation(w, &a, d_res, "web", "deployment.kubernetes.io/revision"), "1");
		assert_int_equal(live_sets(w, &a, &live), 1);
		assert_sv(annotation_of(obj_root(live), "deployment.kubernetes.io/desired-replicas"), "10");
		assert_sv(annotation_of(obj_root(live), "deployment.kubernetes.io/max-replicas"), "13");
		assert_sv(annotation_of(obj_root(live), "note"), "x");
		assert_sv(annotation_of(obj_root(live), "kubectl.kubernetes.io/last-applied-configuration"), "");
		assert_true(label_of(obj_root(live), "pod-template-hash").n > 0);

		fake_api_patch(w->api, d_res, "default", "web", NULL, IMAGE("b"));
		world_until(w, 300 * NS_PER_SEC, complete);
		assert_sv(annotation(w, &a, d_res, "web", "deployment.kubernetes.io/revision"), "2");
		assert_int_equal(fake_api_count(w->api, rs_res, "default"), 2);

		/* Back to the first template: its set is taken again and gets the next number. */
		fake_api_patch(w->api, d_res, "default", "web", NULL, IMAGE("a"));
		world_until(w, 300 * NS_PER_SEC, complete);
		assert_int_equal(fake_api_count(w->api, rs_res, "default"), 2);
		assert_int_equal(live_sets(w, &a, &live), 1);
		assert_sv(annotation_of(obj_root(live), "deployment.kubernetes.io/revision"), "3");
		assert_sv(annotation_of(obj_root(live), "deployment.kubernetes.io/revision-history"), "1");

		/* History: two old sets are kept. */
		fake_api_patch(w->api, d_res, "default", "web", NULL, IMAGE("c"));
		world_until(w, 300 * NS_PER_SEC, complete);
		fake_api_patch(w->api, d_res, "default", "web", NULL, IMAGE("d"));
		world_until(w, 300 * NS_PER_SEC, complete);
		world_run(w, 10 * NS_PER_SEC);
		assert_int_equal(fake_api_count(w->api, rs_res, "default"), 3);
		(void)fake_api_writes(w->api);
		world_run(w, 30 * NS_PER_SEC);
		assert_int_equal(fake_api_writes(w->api), 0);
		world_free(w);
	}
}

static void test_deadline(void **state)
{
	struct world *w = world_new(6, both);
	_cleanup_obj_ struct obj *d = NULL;

	(void)state;
	w->replicas = 4;
	w->most = 5;
	w->least = 3;
	w->check = check_bounds;
	w->broken_image = "bad";
	make(w, d_res, DEPLOYMENT("4", ROLLING));
	world_until(w, 60 * NS_PER_SEC, complete);
	fake_api_patch(w->api, d_res, "default", "web", NULL, IMAGE("bad"));
	world_run(w, 590 * NS_PER_SEC);
	d = fake_api_get(w->api, d_res, "default", "web");
	assert_true(condition_is(obj_get(d, F_status, F_conditions), "Progressing", "True"));
	world_run(w, 30 * NS_PER_SEC);
	obj_unref(d);
	d = fake_api_get(w->api, d_res, "default", "web");
	assert_true(condition_reason_is(obj_get(d, F_status, F_conditions), "Progressing", "ProgressDeadlineExceeded"));
	assert_true(condition_reason_is(obj_get(d, F_status, F_conditions), "Available", "MinimumReplicasAvailable"));
	assert_int_equal(world_pods(w, "default", true), 3);
	/* A good template unsticks it. */
	fake_api_patch(w->api, d_res, "default", "web", NULL, IMAGE("good"));
	world_until(w, 120 * NS_PER_SEC, complete);
	world_free(w);
}

static bool mixed;

static void check_recreate(struct world *w)
{
	struct obj_list l = { 0 };
	bool old = false, neu = false;

	assert_int_equal(client_list(fake_api_client(w->api), RES(core_pods), SV("default"), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++) {
		bool b = val_is(val_member(val_at(obj_get(l.items[i], F_spec, F_containers), 0), F_image), "b");

		old |= !b;
		neu |= b;
	}
	mixed |= old && neu;
	obj_list_release(&l);
}

static void test_recreate(void **state)
{
	struct world *w = world_new(7, both);

	(void)state;
	w->replicas = 3;
	w->check = check_recreate;
	mixed = false;
	make(w, d_res, DEPLOYMENT("3", "\"strategy\":{\"type\":\"Recreate\"},"));
	world_until(w, 60 * NS_PER_SEC, complete);
	fake_api_patch(w->api, d_res, "default", "web", NULL, IMAGE("b"));
	world_until(w, 60 * NS_PER_SEC, complete);
	assert_false(mixed);
	world_free(w);
}

static void test_pause_and_scale(void **state)
{
	struct world *w = world_new(8, both);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *d = NULL;
	struct obj *live = NULL;

	(void)state;
	w->replicas = 10;
	make(w, d_res, DEPLOYMENT("10", ROLLING));
	world_until(w, 60 * NS_PER_SEC, complete);
	w->broken_image = "b";
	fake_api_patch(w->api, d_res, "default", "web", NULL, IMAGE("b"));
	world_run(w, 10 * NS_PER_SEC); /* stuck: 8 old, 5 new */
	assert_int_equal(live_sets(w, &a, &live), 2);
	assert_int_equal(val_int_or(obj_get(live, F_spec, F_replicas), 0), 5);
	fake_api_patch(w->api, d_res, "default", "web", NULL, "{\"spec\":{\"paused\":true}}");
	world_run(w, NS_PER_SEC);
	d = fake_api_get(w->api, d_res, "default", "web");
	assert_true(condition_reason_is(obj_get(d, F_status, F_conditions), "Progressing", "DeploymentPaused"));
	/* To 20, at most 25 with surge: both sets grow in proportion, 8:5. */
	fake_api_patch(w->api, d_res, "default", "web", NULL, "{\"spec\":{\"replicas\":20}}");
	world_run(w, 5 * NS_PER_SEC);
	assert_int_equal(world_pods(w, "default", false), 25);
	assert_int_equal(live_sets(w, &a, &live), 2);
	assert_int_equal(val_int_or(obj_get(live, F_spec, F_replicas), 0), 10);
	w->broken_image = NULL;
	w->replicas = 20;
	fake_api_patch(w->api, d_res, "default", "web", NULL, "{\"spec\":{\"paused\":false}}");
	world_until(w, 120 * NS_PER_SEC, complete);
	/* Plain scaling of a finished rollout. */
	fake_api_patch(w->api, d_res, "default", "web", NULL, "{\"spec\":{\"replicas\":1}}");
	w->replicas = 1;
	world_until(w, 60 * NS_PER_SEC, complete);
	assert_int_equal(world_pods(w, "default", false), 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replicaset_scales),  cmocka_unit_test(test_set_without_end),
		cmocka_unit_test(test_stale_cache),	   cmocka_unit_test(test_job_stale_cache),
		cmocka_unit_test(test_adoption),	   cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_min_ready),	   cmocka_unit_test(test_ranking),
		cmocka_unit_test(test_expectations_lapse), cmocka_unit_test(test_rolling_update),
		cmocka_unit_test(test_deadline),	   cmocka_unit_test(test_recreate),
		cmocka_unit_test(test_pause_and_scale),
	};

	return cmocka_run_group_tests_name("workloads", tests, NULL, NULL);
}
