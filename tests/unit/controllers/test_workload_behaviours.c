/* What upstream's suite asks of workloads, step by step, on the real API with kubelets made of a loop: sizes by the
 * scale subresource, order, canaries, rollbacks, adoption. tests/fields/apps.tsv says which behaviour is shown where.
 * JSON is written with ' for ". */
#include "real.h"

#include "codec/json.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#define APPS "/apis/apps/v1/namespaces/default"
#define CORE "/api/v1/namespaces/default"
#define PODS CORE "/pods"
#define MERGE "application/merge-patch+json"
#define POD "'template':{'metadata':{'labels':{'app':'w'}},'spec':{'containers':[{'name':'c','image':'a'}]}}"
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
	expect_type(k->rig, 200, "PATCH", path, MERGE, json(k, body));
}

static const struct val *get(struct cluster *k, const char *path)
{
	return expect(k->rig, 200, "GET", path, NULL);
}

static int64_t status(struct cluster *k, const char *path, enum sym field)
{
	return val_get_int(get(k, path), 0, F_status, field);
}

static size_t count(struct cluster *k, const char *path)
{
	return val_len(val_get(get(k, path), F_items));
}

static const char *pod_path(struct cluster *k, int n)
{
	return arena_printf(&k->rig->arena, PODS "/w-%d", n);
}

static const char *image(struct cluster *k, int n)
{
	const struct val *c = val_at(val_get(get(k, pod_path(k, n)), F_spec, F_containers), 0);

	return arena_cstr(&k->rig->arena, val_get_str(c, F_image));
}

static void set_image(struct cluster *k, const char *path, const char *to)
{
	change(k, path,
	       arena_printf(&k->rig->arena, "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'%s'}]}}}}",
			    to));
}

static void unready(struct cluster *k, int n)
{
	change(k, arena_printf(&k->rig->arena, "%s/status", pod_path(k, n)),
	       "{'status':{'conditions':[{'type':'Ready','status':'False'}]}}");
}

static bool ill_all(const struct obj *p)
{
	(void)p;
	return true;
}

static bool ill_second(const struct obj *p)
{
	return sv_is(obj_name(p), "w-1");
}

static bool ill_image(const struct obj *p)
{
	return val_is(val_member(val_at(obj_get(p, F_spec, F_containers), 0), F_image), "bad");
}

/* Each kind with a size: read, replaced and patched by its scale, and pods follow. */
static void test_scales(void **state)
{
	static const char *const kinds[] = { APPS "/deployments", APPS "/replicasets", APPS "/statefulsets",
					     CORE "/replicationcontrollers" };
	struct cluster k = start(state);

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const char *one = arena_printf(&k.rig->arena, "%s/w", kinds[i]);
		const char *scale = arena_printf(&k.rig->arena, "%s/scale", one);
		bool rc = i + 1 == ARRAY_LEN(kinds);
		_cleanup_(buf_release) struct buf text = BUF_INIT;
		struct val *doc;

		make(&k, kinds[i],
		     arena_printf(&k.rig->arena, "{'metadata':{'name':'w'},'spec':{'replicas':1,%s" POD "}}",
				  rc ? "'selector':{'app':'w'}," : SELECTOR));
		cluster_run(&k, 5);
		assert_val(val_get(get(&k, scale), F_kind), "Scale");
		assert_int_equal(val_get_int(get(&k, scale), 0, F_spec, F_replicas), 1);
		assert_int_equal(val_get_int(get(&k, scale), 0, F_status, F_replicas), 1);
		doc = val_clone(&k.rig->arena, get(&k, scale));
		val_set_int(&k.rig->arena, val_ensure_map(&k.rig->arena, doc, F_spec), F_replicas, 2);
		json_encode(&text, doc);
		expect(k.rig, 200, "PUT", scale, buf_cstr(&text));
		assert_int_equal(val_get_int(get(&k, one), 0, F_spec, F_replicas), 2);
		cluster_run(&k, 8);
		assert_int_equal(status(&k, one, F_readyReplicas), 2);
		change(&k, scale, "{'spec':{'replicas':4}}");
		cluster_run(&k, 15);
		assert_int_equal(status(&k, one, F_readyReplicas), 4);
		assert_int_equal(val_get_int(get(&k, scale), 0, F_status, F_replicas), 4);
		expect(k.rig, 200, "DELETE", arena_printf(&k.rig->arena, "%s?propagationPolicy=Background", one), NULL);
		cluster_run(&k, 10);
		assert_int_equal(count(&k, PODS), 0);
	}
	cluster_finish(&k);
}

/* Up from the lowest, down from the highest, and neither while one is ill. */
static void test_set_order(void **state)
{
	struct cluster k = start(state);
	const struct val *list;
	int64_t made = 0;

	make(&k, APPS "/statefulsets",
	     "{'metadata':{'name':'w'},'spec':{'replicas':1,'serviceName':'w'," SELECTOR POD "}}");
	cluster_run(&k, 5);
	k.ill = ill_all;
	unready(&k, 0);
	change(&k, APPS "/statefulsets/w", "{'spec':{'replicas':3}}");
	cluster_run(&k, 10);
	assert_int_equal(count(&k, PODS), 1);
	k.ill = NULL;
	cluster_run(&k, 15);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_readyReplicas), 3);
	list = val_get(get(&k, PODS), F_items);
	for (int n = 0; n < 3; n++) {
		int64_t at = 0;

		assert_true(time_get(val_get(get(&k, pod_path(&k, n)), F_metadata, F_creationTimestamp), &at));
		assert_true(at >= made);
		made = at;
	}
	assert_int_equal(val_len(list), 3);
	k.ill = ill_all;
	for (int n = 0; n < 3; n++)
		unready(&k, n);
	change(&k, APPS "/statefulsets/w", "{'spec':{'replicas':0}}");
	cluster_run(&k, 10);
	assert_int_equal(count(&k, PODS), 3);
	k.ill = NULL;
	for (int n = 3; n-- > 0;) { /* one after the other */
		for (int i = 0; i < 50 && count(&k, PODS) > (size_t)n; i++) {
			for (int lower = 0; lower < n; lower++)
				expect(k.rig, 200, "GET", pod_path(&k, lower), NULL);
			rig_run(k.rig, 100 * NS_PER_MS);
			cluster_run(&k, 1);
		}
		expect(k.rig, 404, "GET", pod_path(&k, n), NULL);
	}
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_replicas), 0);
	cluster_finish(&k);
}

/* Parallel: ill pods hold nothing up, in neither direction. */
static void test_set_burst(void **state)
{
	struct cluster k = start(state);

	make(
	    &k, APPS "/statefulsets",
	    "{'metadata':{'name':'w'},'spec':{'replicas':1,'serviceName':'w','podManagementPolicy':'Parallel'," SELECTOR
		POD "}}");
	cluster_run(&k, 5);
	k.ill = ill_all;
	unready(&k, 0);
	change(&k, APPS "/statefulsets/w", "{'spec':{'replicas':3}}");
	cluster_run(&k, 5);
	assert_int_equal(count(&k, PODS), 3);
	k.ill = NULL;
	cluster_run(&k, 5);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_readyReplicas), 3);
	k.ill = ill_all;
	for (int n = 0; n < 3; n++)
		unready(&k, n);
	change(&k, APPS "/statefulsets/w", "{'spec':{'replicas':0}}");
	cluster_run(&k, 10);
	assert_int_equal(count(&k, PODS), 0);
	cluster_finish(&k);
}

/* A template rolls out and back: the revision of before is used again. */
static void test_set_rolls_back(void **state)
{
	struct cluster k = start(state);
	const struct val *d;
	struct sv first;

	make(&k, APPS "/statefulsets",
	     "{'metadata':{'name':'w'},'spec':{'replicas':3,'serviceName':'w'," SELECTOR POD "}}");
	cluster_run(&k, 15);
	first = arena_sv(&k.rig->arena, val_get_str(get(&k, APPS "/statefulsets/w"), F_status, F_currentRevision));
	assert_true(sv_eq(val_get_str(get(&k, APPS "/statefulsets/w"), F_status, F_updateRevision), first));
	for (int round = 0; round < 2; round++) {
		/* One is ill: the others wait for it. */
		k.ill = ill_second;
		unready(&k, 1);
		set_image(&k, APPS "/statefulsets/w", round ? "a" : "b");
		cluster_run(&k, 5);
		assert_string_equal(image(&k, 2), round ? "b" : "a");
		k.ill = NULL;
		cluster_run(&k, 1);
		d = get(&k, APPS "/statefulsets/w");
		assert_false(
		    val_equal(val_get(d, F_status, F_currentRevision), val_get(d, F_status, F_updateRevision)));
		assert_int_equal(sv_eq(val_get_str(d, F_status, F_updateRevision), first), round);
		cluster_run(&k, 25);
		d = get(&k, APPS "/statefulsets/w");
		assert_true(val_equal(val_get(d, F_status, F_currentRevision), val_get(d, F_status, F_updateRevision)));
		for (int n = 0; n < 3; n++)
			assert_string_equal(image(&k, n), round ? "a" : "b");
	}
	assert_int_equal(count(&k, APPS "/controllerrevisions"), 2);
	cluster_finish(&k);
}

/* The partition holds all, then all but one, then fewer; what is deleted meanwhile comes back on its side. */
static void test_set_canary(void **state)
{
	struct cluster k = start(state);

	make(&k, APPS "/statefulsets",
	     "{'metadata':{'name':'w'},'spec':{'replicas':3,'serviceName':'w',"
	     "'updateStrategy':{'rollingUpdate':{'partition':3}}," SELECTOR POD "}}");
	cluster_run(&k, 15);
	set_image(&k, APPS "/statefulsets/w", "b");
	cluster_run(&k, 10);
	for (int n = 0; n < 3; n++)
		assert_string_equal(image(&k, n), "a");
	for (int partition = 2; partition >= 0; partition--) {
		change(&k, APPS "/statefulsets/w",
		       arena_printf(&k.rig->arena, "{'spec':{'updateStrategy':{'rollingUpdate':{'partition':%d}}}}",
				    partition));
		cluster_run(&k, 10);
		expect(k.rig, 200, "DELETE", pod_path(&k, 0), NULL);
		expect(k.rig, 200, "DELETE", pod_path(&k, 2), NULL);
		cluster_run(&k, 15);
		for (int n = 0; n < 3; n++)
			assert_string_equal(image(&k, n), n < partition ? "a" : "b");
	}
	cluster_finish(&k);
}

/* What a node turns away, as for a port that is taken, is deleted and made again until it can stay. */
static void test_set_recreates_failed(void **state)
{
	struct cluster k = start(state);
	struct sv uid;

	k.ill = ill_all;
	make(&k, APPS "/statefulsets",
	     "{'metadata':{'name':'w'},'spec':{'replicas':1,'serviceName':'w'," SELECTOR POD "}}");
	cluster_run(&k, 3);
	for (int i = 0; i < 2; i++) {
		uid = val_get_str(get(&k, pod_path(&k, 0)), F_metadata, F_uid);
		change(&k, PODS "/w-0/status", "{'status':{'phase':'Failed','reason':'NodePorts'}}");
		cluster_run(&k, 3);
		assert_false(sv_eq(val_get_str(get(&k, pod_path(&k, 0)), F_metadata, F_uid), uid));
	}
	k.ill = NULL;
	cluster_run(&k, 5);
	assert_int_equal(status(&k, APPS "/statefulsets/w", F_readyReplicas), 1);
	cluster_finish(&k);
}

/* A bad template that is taken back before it is everywhere leaves the pods it did not reach. */
static void test_daemon_rolls_back(void **state)
{
	struct cluster k = start(state);
	const struct val *before, *after;
	size_t same = 0;

	make(&k, "/api/v1/nodes", "{'metadata':{'name':'n2'}}");
	make(&k, "/api/v1/nodes", "{'metadata':{'name':'n3'}}");
	make(&k, APPS "/daemonsets", "{'metadata':{'name':'w'},'spec':{" SELECTOR POD "}}");
	cluster_run(&k, 5);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_numberAvailable), 3);
	before = val_get(get(&k, PODS), F_items);
	k.ill = ill_image;
	set_image(&k, APPS "/daemonsets/w", "bad");
	cluster_run(&k, 5);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_updatedNumberScheduled), 1);
	set_image(&k, APPS "/daemonsets/w", "a");
	cluster_run(&k, 10);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_numberAvailable), 3);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_updatedNumberScheduled), 3);
	after = val_get(get(&k, PODS), F_items);
	VAL_EACH(after, p)
		VAL_EACH(before, q)
			same += val_equal(val_get(p, F_metadata, F_uid), val_get(q, F_metadata, F_uid));
	assert_int_equal(same, 2);
	assert_int_equal(count(&k, APPS "/controllerrevisions"), 2);
	cluster_finish(&k);
}

/* The label of a node brings a daemon there, another takes it away; the update strategy is no part of that. */
static void test_daemon_follows_labels(void **state)
{
	struct cluster k = start(state);

	make(&k, APPS "/daemonsets",
	     "{'metadata':{'name':'w'},'spec':{" SELECTOR "'template':{'metadata':{'labels':{'app':'w'}},'spec':{"
	     "'nodeSelector':{'color':'blue'},'containers':[{'name':'c','image':'a'}]}}}}");
	cluster_run(&k, 5);
	assert_int_equal(count(&k, PODS), 0);
	change(&k, "/api/v1/nodes/n1", "{'metadata':{'labels':{'color':'blue'}}}");
	cluster_run(&k, 5);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_numberReady), 1);
	change(&k, "/api/v1/nodes/n1", "{'metadata':{'labels':{'color':'green'}}}");
	cluster_run(&k, 5);
	assert_int_equal(count(&k, PODS), 0);
	change(&k, APPS "/daemonsets/w",
	       "{'spec':{'updateStrategy':{'type':'RollingUpdate'},'template':{'spec':{'nodeSelector':{'color':'green'}"
	       "}}}}");
	cluster_run(&k, 5);
	assert_int_equal(status(&k, APPS "/daemonsets/w", F_numberReady), 1);
	cluster_finish(&k);
}

/* A quota of two pods: the ReplicationController of three says so, and stops saying it when two are enough. */
static void test_quota_is_a_condition(void **state)
{
	struct cluster k = start(state);

	make(&k, CORE "/resourcequotas", "{'metadata':{'name':'q'},'spec':{'hard':{'pods':'2'}}}");
	cluster_run(&k, 3);
	make(&k, CORE "/replicationcontrollers",
	     "{'metadata':{'name':'w'},'spec':{'replicas':3,'selector':{'app':'w'}," POD "}}");
	cluster_run(&k, 5);
	assert_true(condition_reason_is(val_get(get(&k, CORE "/replicationcontrollers/w"), F_status, F_conditions),
					"ReplicaFailure", "FailedCreate"));
	assert_int_equal(count(&k, PODS), 2);
	change(&k, CORE "/replicationcontrollers/w", "{'spec':{'replicas':2}}");
	cluster_run(&k, 5);
	assert_null(condition_find(val_get(get(&k, CORE "/replicationcontrollers/w"), F_status, F_conditions),
				   "ReplicaFailure"));
	cluster_finish(&k);
}

/* Pods without an owner that a new ReplicationController selects become its own. */
static void test_adopts_on_creation(void **state)
{
	struct cluster k = start(state);
	const struct val *ref;

	make(&k, PODS,
	     "{'metadata':{'name':'alone','labels':{'app':'w'}},'spec':{'containers':[{'name':'c','image':'a'}]}}");
	cluster_run(&k, 3);
	make(&k, CORE "/replicationcontrollers",
	     "{'metadata':{'name':'w'},'spec':{'replicas':1,'selector':{'app':'w'}," POD "}}");
	cluster_run(&k, 3);
	assert_int_equal(count(&k, PODS), 1);
	ref = val_at(val_get(get(&k, PODS "/alone"), F_metadata, F_ownerReferences), 0);
	assert_val(val_get(ref, F_name), "w");
	change(&k, PODS "/alone", "{'metadata':{'labels':{'app':'other'}}}");
	cluster_run(&k, 5);
	assert_int_equal(count(&k, PODS), 2);
	assert_int_equal(val_len(val_get(get(&k, PODS "/alone"), F_metadata, F_ownerReferences)), 0);
	cluster_finish(&k);
}

/* Only the sets that the history limit keeps stay, of those that have no pods. */
static void test_old_sets_go(void **state)
{
	struct cluster k = start(state);

	make(&k, PODS,
	     "{'metadata':{'name':'alone','labels':{'app':'w'}},'spec':{'containers':[{'name':'c','image':'a'}]}}");
	make(&k, APPS "/replicasets",
	     "{'metadata':{'name':'old','labels':{'app':'w'}},'spec':{'replicas':1," SELECTOR POD "}}");
	cluster_run(&k, 5);
	make(&k, APPS "/deployments",
	     "{'metadata':{'name':'w'},'spec':{'replicas':1,'revisionHistoryLimit':0," SELECTOR
	     "'template':{'metadata':{'labels':{'app':'w'}},'spec':{'containers':[{'name':'c','image':'b'}]}}}}");
	cluster_run(&k, 15);
	expect(k.rig, 404, "GET", APPS "/replicasets/old", NULL);
	assert_int_equal(count(&k, APPS "/replicasets"), 1);
	assert_int_equal(status(&k, APPS "/deployments/w", F_availableReplicas), 1);
	cluster_finish(&k);
}

/* A set that a Deployment takes over counts in its history: the next revision is one more. */
static void test_adopted_revision_counts(void **state)
{
	struct cluster k = start(state);
	const struct val *d;

	make(&k, APPS "/replicasets",
	     "{'metadata':{'name':'old','labels':{'app':'w'},'annotations':{'deployment.kubernetes.io/revision':"
	     "'3546343826724305832'}},'spec':{'replicas':1," SELECTOR POD "}}");
	cluster_run(&k, 5);
	make(&k, APPS "/deployments",
	     "{'metadata':{'name':'w'},'spec':{'replicas':1," SELECTOR
	     "'template':{'metadata':{'labels':{'app':'w'}},'spec':{'containers':[{'name':'c','image':'b'}]}}}}");
	cluster_run(&k, 15);
	d = get(&k, APPS "/deployments/w");
	assert_sv(annotation_of(d, "deployment.kubernetes.io/revision"), "3546343826724305833");
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedReplicas), 1);
	assert_int_equal(val_get_int(d, 0, F_status, F_availableReplicas), 1);
	assert_int_equal(status(&k, APPS "/replicasets/old", F_replicas), 0);
	assert_int_equal(count(&k, APPS "/replicasets"), 2);
	cluster_finish(&k);
}

/* A ReplicaSet is scaled, then patched in size and template: its pods are more, those it has stay as they are. */
static void test_replicaset_is_patched(void **state)
{
	struct cluster k = start(state);

	make(&k, APPS "/replicasets", "{'metadata':{'name':'w'},'spec':{'replicas':1," SELECTOR POD "}}");
	cluster_run(&k, 3);
	change(&k, APPS "/replicasets/w/scale", "{'spec':{'replicas':2}}");
	cluster_run(&k, 3);
	assert_int_equal(status(&k, APPS "/replicasets/w", F_readyReplicas), 2);
	change(&k, APPS "/replicasets/w", "{'metadata':{'labels':{'test-rs':'patched'}},'spec':{'replicas':3}}");
	set_image(&k, APPS "/replicasets/w", "b");
	cluster_run(&k, 3);
	assert_int_equal(status(&k, APPS "/replicasets/w", F_readyReplicas), 3);
	assert_val(val_member_sv(val_get(get(&k, APPS "/replicasets/w"), F_metadata, F_labels), SV("test-rs")),
		   "patched");
	cluster_finish(&k);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_scales),
		T(test_set_order),
		T(test_set_burst),
		T(test_set_rolls_back),
		T(test_set_canary),
		T(test_set_recreates_failed),
		T(test_daemon_rolls_back),
		T(test_daemon_follows_labels),
		T(test_quota_is_a_condition),
		T(test_adopts_on_creation),
		T(test_old_sets_go),
		T(test_adopted_revision_counts),
		T(test_replicaset_is_patched),
	};

	return cmocka_run_group_tests_name("workload_behaviours", tests, NULL, NULL);
}
