/* All controllers on the real API server: what the fake one cannot tell, such as defaults, status
 * strategies, admission, finalizers and namespaces, must fit together. */
#include "real.h"

#include "codec/json.h"
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "store/store.h"

#include <stdio.h>

#define DEPLOY                                                                                                        \
	"{\"apiVersion\":\"apps/"                                                                                     \
	"v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":3,"                      \
	"\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}}," \
	"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\",\"ports\":[{\"containerPort\":80}]}]}}}}"
#define D "/apis/apps/v1/namespaces/team/deployments/web"

static void test_deployment(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *d;

	assert_val(val_get(expect(r, 200, "GET", "/api/v1/nodes/n1", NULL), F_spec, F_podCIDR), "10.42.0.0/24");
	expect(r, 201, "POST", "/api/v1/namespaces",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"team\"}}");
	cluster_run(&k, 1);
	expect(r, 200, "GET", "/api/v1/namespaces/team/serviceaccounts/default", NULL);
	expect(r, 200, "GET", "/api/v1/namespaces/team/configmaps/kube-root-ca.crt", NULL);
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/team/deployments", DEPLOY);
	expect(r, 201, "POST", "/api/v1/namespaces/team/services",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"selector\":{"
	       "\"app\":"
	       "\"web\"},\"ports\":[{\"port\":80}]}}");
	cluster_run(&k, 20);
	d = expect(r, 200, "GET", D, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_availableReplicas), 3);
	assert_true(condition_reason_is(val_get(d, F_status, F_conditions), "Progressing", "NewReplicaSetAvailable"));
	assert_sv(annotation_of(d, "deployment.kubernetes.io/revision"), "1");
	d = expect(r, 200, "GET", "/apis/discovery.k8s.io/v1/namespaces/team/endpointslices", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 1);
	assert_int_equal(val_len(val_member(val_at(val_get(d, F_items), 0), F_endpoints)), 3);

	expect_type(r, 200, "PATCH", D, "application/strategic-merge-patch+json",
		    "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"b\"}]}}}}");
	cluster_run(&k, 30);
	d = expect(r, 200, "GET", D, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedReplicas), 3);
	assert_int_equal(val_get_int(d, 0, F_status, F_replicas), 3);
	assert_sv(annotation_of(d, "deployment.kubernetes.io/revision"), "2");

	/* Orphaned ReplicaSets are taken back by a new Deployment of the same template. */
	expect(r, 200, "DELETE", D "?propagationPolicy=Orphan", NULL);
	cluster_run(&k, 5);
	d = expect(r, 200, "GET", "/apis/apps/v1/namespaces/team/replicasets", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 2);

	expect(r, 200, "DELETE", "/api/v1/namespaces/team", NULL);
	cluster_run(&k, 60);
	expect(r, 404, "GET", "/api/v1/namespaces/team", NULL);
	d = expect(r, 200, "GET", "/api/v1/pods", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 0);
	cluster_finish(&k);
}

static void test_foreground(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *d;

	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/deployments", DEPLOY);
	cluster_run(&k, 10);
	expect(r, 200, "DELETE", "/apis/apps/v1/namespaces/default/deployments/web?propagationPolicy=Foreground", NULL);
	cluster_run(&k, 20);
	expect(r, 404, "GET", "/apis/apps/v1/namespaces/default/deployments/web", NULL);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 0);
	cluster_finish(&k);
}

#define JOB(name, more)                                                                                      \
	"{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"name\":\"" name "\"},\"spec\":{" more \
	"\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}"
#define JOBS "/apis/batch/v1/namespaces/default/jobs"

static void test_jobs(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *j;

	expect(r, 201, "POST", JOBS, JOB("many", "\"completions\":5,\"parallelism\":2,"));
	expect(
	    r, 201, "POST", JOBS,
	    JOB("indexed",
		"\"completions\":4,\"parallelism\":4,\"completionMode\":\"Indexed\",\"ttlSecondsAfterFinished\":60,"));
	expect(r, 201, "POST", JOBS, JOB("later", "\"suspend\":true,"));
	cluster_run(&k, 20);
	j = expect(r, 200, "GET", JOBS "/many", NULL);
	assert_true(condition_is(val_get(j, F_status, F_conditions), "Complete", "True"));
	assert_int_equal(val_get_int(j, 0, F_status, F_succeeded), 5);
	j = expect(r, 200, "GET", JOBS "/indexed", NULL);
	assert_true(condition_is(val_get(j, F_status, F_conditions), "Complete", "True"));
	assert_val(val_get(j, F_status, F_completedIndexes), "0-3");
	j = expect(r, 200, "GET", JOBS "/later", NULL);
	assert_true(condition_is(val_get(j, F_status, F_conditions), "Suspended", "True"));
	expect_type(r, 200, "PATCH", JOBS "/later", "application/merge-patch+json", "{\"spec\":{\"suspend\":false}}");
	cluster_run(&k, 60);
	j = expect(r, 200, "GET", JOBS "/later", NULL);
	assert_true(condition_is(val_get(j, F_status, F_conditions), "Complete", "True"));
	expect(r, 404, "GET", JOBS "/indexed", NULL); /* its time was over */

	/* One that always fails: three pods, then no more. */
	k.fail = true;
	expect(r, 201, "POST", JOBS, JOB("bad", "\"backoffLimit\":2,"));
	cluster_run(&k, 90);
	j = expect(r, 200, "GET", JOBS "/bad", NULL);
	assert_true(condition_reason_is(val_get(j, F_status, F_conditions), "Failed", "BackoffLimitExceeded"));
	assert_int_equal(val_get_int(j, 0, F_status, F_failed), 3);
	cluster_finish(&k);
}

#define DS "/apis/apps/v1/namespaces/default/daemonsets/agent"

static void test_daemonset(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *d;

	expect(r, 201, "POST", "/api/v1/nodes",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n2\",\"labels\":{\"gpu\":\"yes\"}}}");
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/daemonsets",
	       "{\"apiVersion\":\"apps/"
	       "v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"agent\"},\"spec\":{\"selector\":{"
	       "\"matchLabels\":{\"app\":\"agent\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"agent\"}},"
	       "\"spec\":{"
	       "\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}");
	cluster_run(&k, 10);
	d = expect(r, 200, "GET", DS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_desiredNumberScheduled), 2);
	assert_int_equal(val_get_int(d, 0, F_status, F_numberAvailable), 2);
	expect_type(r, 200, "PATCH", DS, "application/merge-patch+json",
		    "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"x\":\"1\"}}}}}");
	cluster_run(&k, 20);
	d = expect(r, 200, "GET", DS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedNumberScheduled), 2);
	assert_int_equal(val_get_int(d, 0, F_status, F_numberAvailable), 2);
	d = expect(r, 200, "GET", "/apis/apps/v1/namespaces/default/controllerrevisions", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 2);
	expect_type(r, 200, "PATCH", DS, "application/merge-patch+json",
		    "{\"spec\":{\"template\":{\"spec\":{\"nodeSelector\":{\"gpu\":\"yes\"}}}}}");
	cluster_run(&k, 20);
	d = expect(r, 200, "GET", DS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_desiredNumberScheduled), 1);
	assert_int_equal(val_get_int(d, 0, F_status, F_numberAvailable), 1);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 1);
	cluster_finish(&k);
}

static const struct val *items(struct rig *r, const char *path)
{
	return val_get(expect(r, 200, "GET", path, NULL), F_items);
}

static size_t ready_pods(struct rig *r)
{
	size_t n = 0;

	VAL_EACH(items(r, "/api/v1/namespaces/default/pods"), p)
		n += !val_get(p, F_metadata, F_deletionTimestamp) &&
		     condition_is(val_get(p, F_status, F_conditions), "Ready", "True");
	return n;
}

/* With maxSurge successors come first: no node is ever without a ready pod. */
static void test_daemonset_surge(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *d;
	size_t most = 0;

	for (int i = 2; i <= 4; i++)
		expect(r, 201, "POST", "/api/v1/nodes",
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"n%d\"}}", i));
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/daemonsets",
	       "{\"metadata\":{\"name\":\"agent\"},\"spec\":{\"updateStrategy\":{\"type\":\"RollingUpdate\","
	       "\"rollingUpdate\":{\"maxSurge\":\"25%\",\"maxUnavailable\":0}},\"selector\":{\"matchLabels\":{\"app\":"
	       "\"agent\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"agent\"}},\"spec\":{\"containers\":[{"
	       "\"name\":\"c\",\"image\":\"a\"}]}}}}");
	cluster_run(&k, 5);
	assert_int_equal(ready_pods(r), 4);
	expect_type(r, 200, "PATCH", DS, "application/merge-patch+json",
		    "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"x\":\"1\"}}}}}");
	for (int i = 0; i < 20; i++) {
		size_t n = val_len(items(r, "/api/v1/namespaces/default/pods"));

		most = MAX(most, n);
		cluster_run(&k, 1);
		assert_true(ready_pods(r) >= 4);
	}
	assert_int_equal(most, 5);
	d = expect(r, 200, "GET", DS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedNumberScheduled), 4);
	assert_int_equal(val_get_int(d, 0, F_status, F_numberAvailable), 4);
	assert_int_equal(val_len(items(r, "/api/v1/namespaces/default/pods")), 4);
	cluster_finish(&k);
}

/* Revisions whose name another object has: another name is found. Orphaned ones of the same template come back. */
static void test_revision_names(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *d, *rev;
	static const char sts[] =
	    "{\"metadata\":{\"name\":\"db\"},\"spec\":{\"replicas\":1,\"serviceName\":\"db\",\"selector\":{"
	    "\"matchLabels\":{\"app\":\"db\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"db\"}},\"spec\":{"
	    "\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}";
	const char *first;

	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/statefulsets", sts);
	cluster_run(&k, 5);
	rev = val_at(items(r, "/apis/apps/v1/namespaces/default/controllerrevisions"), 0);
	first = arena_cstr(&r->arena, val_get_str(rev, F_metadata, F_name));
	/* Orphaned with its pod, and taken back. */
	expect(r, 200, "DELETE", "/apis/apps/v1/namespaces/default/statefulsets/db?propagationPolicy=Orphan", NULL);
	cluster_run(&k, 5);
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/statefulsets", sts);
	cluster_run(&k, 5);
	d = expect(r, 200, "GET", "/apis/apps/v1/namespaces/default/statefulsets/db", NULL);
	assert_val(val_get(d, F_status, F_updateRevision), first);
	assert_int_equal(val_get_int(d, 0, F_status, F_collisionCount), 0);
	assert_int_equal(val_len(items(r, "/apis/apps/v1/namespaces/default/controllerrevisions")), 1);
	/* Gone for good; somebody else takes the name. */
	expect(r, 200, "DELETE", "/apis/apps/v1/namespaces/default/statefulsets/db", NULL);
	cluster_run(&k, 10);
	assert_int_equal(val_len(items(r, "/apis/apps/v1/namespaces/default/controllerrevisions")), 0);
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/controllerrevisions",
	       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"data\":{\"x\":1},\"revision\":7}", first));
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/statefulsets", sts);
	cluster_run(&k, 10);
	d = expect(r, 200, "GET", "/apis/apps/v1/namespaces/default/statefulsets/db", NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_collisionCount), 1);
	assert_int_equal(val_get_int(d, 0, F_status, F_availableReplicas), 1);
	assert_false(val_is(val_get(d, F_status, F_updateRevision), first));
	assert_int_equal(val_len(items(r, "/apis/apps/v1/namespaces/default/controllerrevisions")), 2);
	cluster_finish(&k);
}

#define STS "/apis/apps/v1/namespaces/default/statefulsets/db"

static void test_statefulset(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *d;

	expect(
	    r, 201, "POST", "/apis/apps/v1/namespaces/default/statefulsets",
	    "{\"apiVersion\":\"apps/"
	    "v1\",\"kind\":\"StatefulSet\",\"metadata\":{\"name\":\"db\"},\"spec\":{\"replicas\":3,"
	    "\"serviceName\":\"db\",\"selector\":{\"matchLabels\":{"
	    "\"app\":\"db\"}},\"template\":{\"metadata\":{"
	    "\"labels\":{"
	    "\"app\":\"db\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}},\"volumeClaimTemplates\":[{"
	    "\"metadata\":{\"name\":\"data\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
	    "\"requests\":{"
	    "\"storage\":\"1Gi\"}}}}]}}");
	rig_run(r, 500 * NS_PER_MS);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 1); /* the second waits for the first */
	cluster_run(&k, 20);
	d = expect(r, 200, "GET", STS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_availableReplicas), 3);
	assert_true(val_equal(val_get(d, F_status, F_currentRevision), val_get(d, F_status, F_updateRevision)));
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods/db-2", NULL);
	assert_val(val_get(d, F_spec, F_hostname), "db-2");
	assert_val(val_get(d, F_spec, F_subdomain), "db");
	expect(r, 200, "GET", "/api/v1/namespaces/default/persistentvolumeclaims/data-db-2", NULL);

	/* Only the highest is past the partition. */
	expect_type(r, 200, "PATCH", STS, "application/merge-patch+json",
		    "{\"spec\":{\"updateStrategy\":{\"rollingUpdate\":{\"partition\":2}},\"template\":{\"spec\":{"
		    "\"containers\":"
		    "[{\"name\":\"c\",\"image\":\"b\"}]}}}}");
	cluster_run(&k, 20);
	d = expect(r, 200, "GET", STS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedReplicas), 1);
	/* One below it that dies comes back as it was. */
	expect(r, 200, "DELETE", "/api/v1/namespaces/default/pods/db-0", NULL);
	cluster_run(&k, 10);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods/db-0", NULL);
	assert_val(val_member(val_at(val_get(d, F_spec, F_containers), 0), F_image), "a");
	expect_type(r, 200, "PATCH", STS, "application/merge-patch+json",
		    "{\"spec\":{\"replicas\":2,\"updateStrategy\":{\"rollingUpdate\":{\"partition\":0}}}}");
	cluster_run(&k, 30);
	d = expect(r, 200, "GET", STS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedReplicas), 2);
	assert_int_equal(val_get_int(d, 0, F_status, F_replicas), 2);
	assert_true(val_equal(val_get(d, F_status, F_currentRevision), val_get(d, F_status, F_updateRevision)));
	cluster_finish(&k);
}

/* Pods carry the name of their revision, those of an earlier version its hash: neither is replaced for that. The
 * revision's text is what clients encode themselves, its members sorted; change causes go with it. */
static void test_revision_labels(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	const struct val *d, *rev, *pod;
	struct sv name, uid;

	expect(
	    r, 201, "POST", "/apis/apps/v1/namespaces/default/statefulsets",
	    "{\"metadata\":{\"name\":\"db\",\"annotations\":{\"kubernetes.io/change-cause\":\"why\"}},\"spec\":{"
	    "\"replicas\":2,\"serviceName\":\"db\",\"podManagementPolicy\":\"Parallel\",\"selector\":{\"matchLabels\":{"
	    "\"app\":\"db\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"db\"}},\"spec\":{\"containers\":[{"
	    "\"name\":"
	    "\"c\",\"image\":\"a\"}]}}}}");
	cluster_run(&k, 10);
	d = expect(r, 200, "GET", STS, NULL);
	name = val_get_str(d, F_status, F_updateRevision);
	rev = val_at(items(r, "/apis/apps/v1/namespaces/default/controllerrevisions"), 0);
	assert_sv(val_get_str(rev, F_metadata, F_name), arena_cstr(&r->arena, name));
	assert_val(val_member_sv(val_get(rev, F_metadata, F_annotations), SV("kubernetes.io/change-cause")), "why");
	assert_true(sv_ends(
	    name, val_str(val_member_sv(val_get(rev, F_metadata, F_labels), SV("controller.kubernetes.io/hash")))));
	json_encode(&text, val_get(rev, F_data));
	assert_true(sv_starts(buf_sv(&text), SV("{\"spec\":{\"template\":{\"$patch\":\"replace\",\"metadata\":{")));
	pod = expect(r, 200, "GET", "/api/v1/namespaces/default/pods/db-0", NULL);
	uid = val_get_str(pod, F_metadata, F_uid);
	assert_sv(val_str(val_member_sv(val_get(pod, F_metadata, F_labels), SV("controller-revision-hash"))),
		  arena_cstr(&r->arena, name));

	/* As an earlier version left it. */
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/default/pods/db-0", "application/merge-patch+json",
		    arena_printf(&r->arena, "{\"metadata\":{\"labels\":{\"controller-revision-hash\":\"%.*s\"}}}",
				 SV_ARG(sv_sub(name, 3, name.n))));
	cluster_run(&k, 10);
	pod = expect(r, 200, "GET", "/api/v1/namespaces/default/pods/db-0", NULL);
	assert_sv(val_get_str(pod, F_metadata, F_uid), arena_cstr(&r->arena, uid));
	d = expect(r, 200, "GET", STS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedReplicas), 2);
	assert_int_equal(val_get_int(d, 0, F_status, F_currentReplicas), 2);
	cluster_finish(&k);
}

/* A name that leaves a label no room for its revision's still gets its pods. */
static void test_long_set_name(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	static const char name[] = "a-name-of-fifty-nine-letters-which-is-what-fits-for-a-pod-0";

	_Static_assert(sizeof(name) - 1 == 59, "with its ordinal a host name");
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/statefulsets",
	       arena_printf(
		   &r->arena,
		   "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"serviceName\":\"db\",\"selector\":{\"matchLabels\":"
		   "{\"app\":\"db\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"db\"}},\"spec\":{"
		   "\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}",
		   name));
	cluster_run(&k, 10);
	assert_int_equal(ready_pods(r), 1);
	cluster_finish(&k);
}

static const struct val *claim_owner(struct rig *r, int n)
{
	const struct val *c =
	    expect(r, 200, "GET",
		   arena_printf(&r->arena, "/api/v1/namespaces/default/persistentvolumeclaims/data-db-%d", n), NULL);

	return val_get(val_at(val_get(c, F_metadata, F_ownerReferences), 0), F_kind);
}

#define CLAIMS "/api/v1/namespaces/default/persistentvolumeclaims"

static void test_claim_retention(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	expect(
	    r, 201, "POST", "/apis/apps/v1/namespaces/default/statefulsets",
	    "{\"metadata\":{\"name\":\"db\"},\"spec\":{\"replicas\":3,\"serviceName\":\"db\",\"podManagementPolicy\":"
	    "\"Parallel\",\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":\"Retain\",\"whenScaled\":"
	    "\"Delete\"},\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxUnavailable\":2}},"
	    "\"selector\":{\"matchLabels\":{\"app\":\"db\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"db\"}},"
	    "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}},\"volumeClaimTemplates\":[{\"metadata\":{"
	    "\"name\":\"data\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{"
	    "\"storage\":\"1Gi\"}}}}]}}");
	cluster_run(&k, 5);
	assert_int_equal(val_len(items(r, CLAIMS)), 3);
	assert_null(claim_owner(r, 2));
	/* The claim goes with the pod that is one too many, and comes back new. */
	expect_type(r, 200, "PATCH", STS, "application/merge-patch+json", "{\"spec\":{\"replicas\":2}}");
	cluster_run(&k, 5);
	assert_int_equal(val_len(items(r, CLAIMS)), 2);
	expect_type(r, 200, "PATCH", STS, "application/merge-patch+json", "{\"spec\":{\"replicas\":3}}");
	cluster_run(&k, 5);
	assert_int_equal(val_len(items(r, CLAIMS)), 3);
	assert_int_equal(ready_pods(r), 3);
	/* A pod that is only replaced keeps its claim. */
	expect(r, 200, "DELETE", "/api/v1/namespaces/default/pods/db-1", NULL);
	cluster_run(&k, 5);
	assert_int_equal(val_len(items(r, CLAIMS)), 3);
	/* Two at a time. */
	expect_type(r, 200, "PATCH", STS, "application/merge-patch+json",
		    "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"x\":\"1\"}}}}}");
	rig_run(r, 500 * NS_PER_MS);
	assert_int_equal(ready_pods(r), 1);
	cluster_run(&k, 10);
	assert_int_equal(val_get_int(expect(r, 200, "GET", STS, NULL), 0, F_status, F_updatedReplicas), 3);
	/* The other way round: kept when shrinking, gone with the set. */
	expect_type(r, 200, "PATCH", STS, "application/merge-patch+json",
		    "{\"spec\":{\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":\"Delete\",\"whenScaled\":"
		    "\"Retain\"}}}");
	cluster_run(&k, 2);
	assert_val(claim_owner(r, 0), "StatefulSet");
	expect(r, 200, "DELETE", STS, NULL);
	cluster_run(&k, 10);
	assert_int_equal(val_len(items(r, CLAIMS)), 0);
	cluster_finish(&k);
}

#define RCS "/api/v1/namespaces/default/replicationcontrollers"

static void test_replicationcontroller(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *d;
	bool adopted = false;

	expect(r, 201, "POST", "/api/v1/namespaces/default/pods",
	       "{\"metadata\":{\"name\":\"orphan\",\"labels\":{\"app\":\"old\"}},\"spec\":{\"containers\":[{\"name\":"
	       "\"c\",\"image\":\"a\"}]}}");
	/* No selector: the template's labels. */
	expect(
	    r, 201, "POST", RCS,
	    "{\"metadata\":{\"name\":\"rc\"},\"spec\":{\"replicas\":3,\"template\":{\"metadata\":{\"labels\":{\"app\":"
	    "\"old\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}");
	cluster_run(&k, 5);
	d = expect(r, 200, "GET", RCS "/rc", NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_replicas), 3);
	assert_int_equal(val_get_int(d, 0, F_status, F_availableReplicas), 3);
	assert_int_equal(val_get_int(d, 0, F_status, F_fullyLabeledReplicas), 3);
	assert_int_equal(val_get_int(d, 0, F_status, F_observedGeneration), 1);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods/orphan", NULL);
	VAL_EACH(val_get(d, F_metadata, F_ownerReferences), ref)
		adopted |= val_is(val_get(ref, F_kind), "ReplicationController") &&
			   val_is(val_get(ref, F_apiVersion), "v1") && val_get_bool(ref, F_controller);
	assert_true(adopted);
	/* One that stops matching is let go and replaced. */
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/default/pods/orphan", "application/merge-patch+json",
		    "{\"metadata\":{\"labels\":{\"app\":\"mine\"}}}");
	cluster_run(&k, 5);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods/orphan", NULL);
	assert_int_equal(val_len(val_get(d, F_metadata, F_ownerReferences)), 0);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 4);
	expect_type(r, 200, "PATCH", RCS "/rc/scale", "application/merge-patch+json", "{\"spec\":{\"replicas\":1}}");
	cluster_run(&k, 5);
	d = expect(r, 200, "GET", RCS "/rc", NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_replicas), 1);
	cluster_finish(&k);
}

/* What cannot be read cannot be deleted by whoever empties the namespace; it says so, and goes on when it is gone. */
static void test_namespace_unreadable(void **state)
{
	struct store_write w = { .key = SV("/registry/secrets/team/broken"), .value = SV("{"), .expect_rev = 0 };
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *conditions;

	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"team\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/team/secrets", "{\"metadata\":{\"name\":\"good\"}}");
	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	expect(r, 200, "DELETE", "/api/v1/namespaces/team", NULL);
	cluster_run(&k, 30);
	expect(r, 404, "GET", "/api/v1/namespaces/team/secrets/good", NULL);
	conditions = val_get(expect(r, 200, "GET", "/api/v1/namespaces/team", NULL), F_status, F_conditions);
	assert_true(condition_reason_is(conditions, "NamespaceDeletionContentFailure", "ContentDeletionFailed"));
	assert_true(sv_find_sv(val_get_str(condition_find(conditions, "NamespaceDeletionContentFailure"), F_message),
			       SV("1 stored secrets. are set aside")) >= 0);
	assert_sv(val_get_str(condition_find(conditions, "NamespaceContentRemaining"), F_message),
		  "Some resources are remaining: secrets. has 1 resource instances");
	expect(r, 200, "DELETE", "/api/v1/namespaces/team/secrets/broken",
	       "{\"ignoreStoreReadErrorWithClusterBreakingPotential\":true}");
	cluster_run(&k, 20);
	expect(r, 404, "GET", "/api/v1/namespaces/team", NULL);
	cluster_finish(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deployment, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_foreground, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_namespace_unreadable, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_daemonset, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_daemonset_surge, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_revision_names, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_revision_labels, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_long_set_name, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_statefulset, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_claim_retention, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_replicationcontroller, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_jobs, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("real", tests, NULL, NULL);
}
