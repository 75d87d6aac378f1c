/* StatefulSets on the real API: which pods an update may take, what halts, what is made again and what is told of it.
 * JSON is written with ' for ". */
#include "real.h"

#include "controllers/podutil.h"

#define SETS "/apis/apps/v1/namespaces/default/statefulsets"
#define W SETS "/w"
#define PODS "/api/v1/namespaces/default/pods"
#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"
#define TEMPLATE                                                                                                       \
	"'selector':{'matchLabels':{'app':'w'}},'template':{'metadata':{'labels':{'app':'w'}},'spec':{'containers':[{" \
	"'name':'c','image':'a'}]}}"
#define CLAIM                                                                                                        \
	",'volumeClaimTemplates':[{'metadata':{'name':'data'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{" \
	"'requests':{'storage':'1Gi'}}}}]"

static const char *json(struct cluster *k, const char *text)
{
	char *s = arena_strdup(&k->rig->arena, text);

	for (char *p = s; *p; p++)
		if (*p == '\'')
			*p = '"';
	return s;
}

/* A StatefulSet w of three pods; more: further members of its spec. */
static void make(struct cluster *k, const char *more)
{
	expect(k->rig, 201, "POST", SETS,
	       json(k, arena_printf(&k->rig->arena,
				    "{'metadata':{'name':'w'},'spec':{'replicas':3,'serviceName':'w'," TEMPLATE "%s}}",
				    more)));
}

static void change(struct cluster *k, const char *path, const char *body)
{
	expect_type(k->rig, 200, "PATCH", path, "application/merge-patch+json", json(k, body));
}

static void revise(struct cluster *k)
{
	change(k, W, "{'spec':{'template':{'metadata':{'annotations':{'n':'1'}}}}}");
}

static int64_t status(struct cluster *k, enum sym field)
{
	return val_get_int(expect(k->rig, 200, "GET", W, NULL), 0, F_status, field);
}

static const struct val *pod(struct cluster *k, int n)
{
	return expect(k->rig, 200, "GET", arena_printf(&k->rig->arena, PODS "/w-%d", n), NULL);
}

/* Does pod n run the newest template? */
static bool is_new(struct cluster *k, int n)
{
	return val_len(val_get(pod(k, n), F_metadata, F_annotations)) == 1;
}

static size_t pods(struct cluster *k)
{
	return val_len(val_get(expect(k->rig, 200, "GET", PODS, NULL), F_items));
}

static void unready(struct cluster *k, int n)
{
	change(k, arena_printf(&k->rig->arena, PODS "/w-%d/status", n),
	       "{'status':{'conditions':[{'type':'Ready','status':'False'}]}}");
}

/* How often the set's events said this; 0: never. */
static int64_t said(struct cluster *k, const char *reason, const char *message)
{
	const struct val *d = expect(k->rig, 200, "GET", "/api/v1/namespaces/default/events", NULL);
	int64_t n = 0;

	VAL_EACH(val_get(d, F_items), e)
		if (val_is(val_get(e, F_reason), reason) && sv_starts(val_get_str(e, F_message), sv_from(message)))
			n += MAX(val_get_int(e, 1, F_count), 1);
	return n;
}

static bool ill_all(const struct obj *p)
{
	(void)p;
	return true;
}

static bool ill_old(const struct obj *p)
{
	return !obj_get(p, F_metadata, F_annotations);
}

static bool ill_first(const struct obj *p)
{
	return sv_is(obj_name(p), "w-0");
}

/* The partition counts from the first number, whatever it is: for what is replaced, and for what is made anew. */
static void partition_case(void **state, int partition, const char *policy)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	make(&k, arena_printf(&k.rig->arena,
			      ",'ordinals':{'start':5},'podManagementPolicy':'%s',"
			      "'updateStrategy':{'rollingUpdate':{'partition':%d}}",
			      policy, partition));
	cluster_run(&k, 15);
	assert_int_equal(status(&k, F_availableReplicas), 3);
	revise(&k);
	cluster_run(&k, 30);
	assert_int_equal(status(&k, F_updatedReplicas), 3 - partition);
	for (int i = 0; i < 3; i++)
		assert_int_equal(is_new(&k, 5 + i), i >= partition);
	expect(k.rig, 200, "DELETE", PODS "/w-5", NULL);
	expect(k.rig, 200, "DELETE", PODS "/w-7", NULL);
	cluster_run(&k, 15);
	assert_int_equal(status(&k, F_availableReplicas), 3);
	assert_int_equal(is_new(&k, 5), partition == 0);
	assert_int_equal(is_new(&k, 7), partition < 3);
	cluster_finish(&k);
}

#define PARTITION(n, policy)                                    \
	static void test_partition_##n##_##policy(void **state) \
	{                                                       \
		partition_case(state, n, #policy);              \
	}
PARTITION(0, OrderedReady)
PARTITION(1, OrderedReady)
PARTITION(3, OrderedReady)
PARTITION(0, Parallel)
PARTITION(1, Parallel)
PARTITION(3, Parallel)

/* One that is not available counts below the partition, too, and stays there. */
static void test_unavailable_below_partition(void **state)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	make(&k, ",'podManagementPolicy':'Parallel','updateStrategy':{'rollingUpdate':{'partition':1}}");
	cluster_run(&k, 5);
	k.ill = ill_first;
	unready(&k, 0);
	revise(&k);
	cluster_run(&k, 10);
	assert_int_equal(status(&k, F_updatedReplicas), 0);
	k.ill = NULL;
	cluster_run(&k, 15);
	assert_int_equal(status(&k, F_updatedReplicas), 2);
	assert_false(is_new(&k, 0));
	cluster_finish(&k);
}

/* Parallel: a template that never starts is replaced whole, and what serves waits until what does not is back. */
static void test_parallel_replaces_ill_first(void **state)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	k.ill = ill_old;
	make(&k, ",'podManagementPolicy':'Parallel'");
	cluster_run(&k, 3);
	assert_int_equal(status(&k, F_readyReplicas), 0);
	revise(&k);
	cluster_run(&k, 10);
	assert_int_equal(status(&k, F_updatedReplicas), 3);
	assert_int_equal(status(&k, F_availableReplicas), 3);
	cluster_finish(&k);
}

static void test_parallel_spends_no_healthy_one(void **state)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	make(&k, ",'podManagementPolicy':'Parallel'");
	cluster_run(&k, 5);
	k.ill = ill_first;
	unready(&k, 0);
	revise(&k);
	cluster_run(&k, 5); /* w-0 is new, and still ill */
	assert_true(is_new(&k, 0));
	assert_false(is_new(&k, 1));
	assert_false(is_new(&k, 2));
	k.ill = NULL;
	cluster_run(&k, 10);
	assert_int_equal(status(&k, F_updatedReplicas), 3);
	cluster_finish(&k);
}

/* A percentage of maxUnavailable is rounded down, and one is the least. */
static void test_percentage_rounds_down(void **state)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	make(&k, ",'podManagementPolicy':'Parallel','updateStrategy':{'rollingUpdate':{'maxUnavailable':'60%'}}");
	cluster_run(&k, 5);
	k.ill = ill_all;
	revise(&k);
	cluster_run(&k, 5);
	assert_int_equal(status(&k, F_updatedReplicas), 1);
	cluster_finish(&k);
}

/* OrderedReady: a set that is ill does not shrink but from a single such pod; Parallel does. */
static void test_ill_sets_do_not_shrink(void **state)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	make(&k, "");
	cluster_run(&k, 10);
	k.ill = ill_all;
	for (int i = 0; i < 3; i++)
		unready(&k, i);
	change(&k, W, "{'spec':{'replicas':0}}");
	cluster_run(&k, 10);
	assert_int_equal(pods(&k), 3);
	k.ill = ill_first; /* the lowest alone: those above it go, then it */
	cluster_run(&k, 15);
	assert_int_equal(pods(&k), 0);
	cluster_finish(&k);
}

static void test_on_delete_keeps_current(void **state)
{
	struct cluster k = cluster_start(state);
	const struct val *d;

	k.beat = true;
	make(&k, ",'updateStrategy':{'type':'OnDelete'}");
	cluster_run(&k, 10);
	revise(&k);
	cluster_run(&k, 10);
	assert_int_equal(status(&k, F_updatedReplicas), 0);
	for (int i = 0; i < 3; i++)
		expect(k.rig, 200, "DELETE", arena_printf(&k.rig->arena, PODS "/w-%d", i), NULL);
	cluster_run(&k, 15);
	assert_int_equal(status(&k, F_updatedReplicas), 3);
	assert_int_equal(status(&k, F_availableReplicas), 3);
	d = expect(k.rig, 200, "GET", W, NULL);
	assert_false(val_equal(val_get(d, F_status, F_currentRevision), val_get(d, F_status, F_updateRevision)));
	/* Rolling, the same pods are the end of the update. */
	change(&k, W, "{'spec':{'updateStrategy':{'type':'RollingUpdate'}}}");
	cluster_run(&k, 5);
	d = expect(k.rig, 200, "GET", W, NULL);
	assert_true(val_equal(val_get(d, F_status, F_currentRevision), val_get(d, F_status, F_updateRevision)));
	cluster_finish(&k);
}

/* A claim that goes while its pod is Pending is made again; one of a pod that runs is not. */
static void test_missing_claims_come_back(void **state)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	k.ill = ill_first;
	make(&k, ",'podManagementPolicy':'Parallel'" CLAIM);
	cluster_run(&k, 5);
	assert_int_equal(said(&k, "SuccessfulCreate", "create Claim data-w-0 Pod w-0 in StatefulSet w success"), 1);
	assert_int_equal(said(&k, "SuccessfulCreate", "create Pod w-0 in StatefulSet w successful"), 1);
	expect(k.rig, 200, "DELETE", CLAIMS "/data-w-0", NULL);
	change(&k, PODS "/w-0", "{'metadata':{'annotations':{'seen':'again'}}}");
	cluster_run(&k, 15);
	expect(k.rig, 200, "GET", CLAIMS "/data-w-0", NULL);
	assert_int_equal(said(&k, "SuccessfulCreate", "create Claim data-w-0 Pod w-0 in StatefulSet w success"), 2);
	assert_int_equal(said(&k, "SuccessfulCreate", "create Pod w-0 in StatefulSet w successful"), 1);
	cluster_finish(&k);
}

/* A quota on claims shows in the set's events, in upstream's words. */
static void test_refused_claims_are_told(void **state)
{
	struct cluster k = cluster_start(state);

	k.beat = true;
	expect(k.rig, 201, "POST", "/api/v1/namespaces/default/resourcequotas",
	       json(&k, "{'metadata':{'name':'q'},'spec':{'hard':{'persistentvolumeclaims':'1'}}}"));
	cluster_run(&k, 3);
	make(&k, CLAIM);
	cluster_run(&k, 10);
	assert_int_equal(pods(&k), 1);
	assert_true(said(&k, "FailedCreate",
			 "create Claim data-w-1 for Pod w-1 in StatefulSet w failed error: "
			 "persistentvolumeclaims \"data-w-1\" is forbidden: exceeded quota: q") > 0);
	assert_true(said(&k, "FailedCreate",
			 "create Pod w-1 in StatefulSet w failed error: failed to create PVC data-w-1: "
			 "persistentvolumeclaims \"data-w-1\" is forbidden") > 0);
	change(&k, "/api/v1/namespaces/default/resourcequotas/q", "{'spec':{'hard':{'persistentvolumeclaims':'9'}}}");
	cluster_run(&k, 40);
	assert_int_equal(status(&k, F_availableReplicas), 3);
	cluster_finish(&k);
}

/* The labels by which one pod is selected come back. */
static void test_names_are_repaired(void **state)
{
	struct cluster k = cluster_start(state);
	const struct val *labels;
	struct sv uid;

	k.beat = true;
	make(&k, "");
	cluster_run(&k, 10);
	uid = val_get_str(pod(&k, 1), F_metadata, F_uid);
	change(
	    &k, PODS "/w-1",
	    "{'metadata':{'labels':{'statefulset.kubernetes.io/pod-name':'w-9','apps.kubernetes.io/pod-index':null}}}");
	cluster_run(&k, 3);
	labels = val_get(pod(&k, 1), F_metadata, F_labels);
	assert_val(val_member_sv(labels, SV("statefulset.kubernetes.io/pod-name")), "w-1");
	assert_val(val_member_sv(labels, SV("apps.kubernetes.io/pod-index")), "1");
	assert_true(sv_eq(val_get_str(pod(&k, 1), F_metadata, F_uid), uid));
	assert_int_equal(said(&k, "SuccessfulUpdate", "update Pod w-1 in StatefulSet w successful"), 1);
	expect(k.rig, 200, "DELETE", PODS "/w-1", NULL);
	change(&k, W, "{'spec':{'replicas':2}}");
	cluster_run(&k, 10);
	assert_int_equal(said(&k, "SuccessfulDelete", "delete Pod w-2 in StatefulSet w successful"), 1);
	cluster_finish(&k);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_partition_0_OrderedReady),
		T(test_partition_1_OrderedReady),
		T(test_partition_3_OrderedReady),
		T(test_partition_0_Parallel),
		T(test_partition_1_Parallel),
		T(test_partition_3_Parallel),
		T(test_unavailable_below_partition),
		T(test_parallel_replaces_ill_first),
		T(test_parallel_spends_no_healthy_one),
		T(test_percentage_rounds_down),
		T(test_ill_sets_do_not_shrink),
		T(test_on_delete_keeps_current),
		T(test_missing_claims_come_back),
		T(test_refused_claims_are_told),
		T(test_names_are_repaired),
	};

	return cmocka_run_group_tests_name("statefulset", tests, NULL, NULL);
}
