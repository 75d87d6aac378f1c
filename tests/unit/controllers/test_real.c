/* All controllers on the real API server: what the fake one cannot tell, such as defaults, status
 * strategies, admission, finalizers and namespaces, must fit together. */
#include "../apiserver/harness.h"

#include "controllers/controllers.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdio.h>

struct cluster {
	struct rig *rig;
	struct controllers *c;
	bool fail; /* pods that end, end badly */
};

/* The node a daemon's pod is made for; n1 for all others. */
static struct sv asked_node(const struct obj *pod)
{
	const struct val *terms = obj_get(pod, F_spec, F_affinity, F_nodeAffinity,
					  F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms);
	const struct val *field = val_at(val_member(val_at(terms, 0), F_matchFields), 0);

	return field ? val_str(val_at(val_member(field, F_values), 0)) : SV("n1");
}

static void kubelet(struct cluster *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct client *c = k->rig->client;

	assert_int_equal(client_list(c, RES(core_pods), SV(""), NULL, &l, NULL), 0);
	for (size_t i = 0; i < l.n; i++) {
		struct obj *pod = l.items[i];
		struct val *doc, *st;

		if (obj_deleting(pod)) {
			struct client_delete_opts o = { .grace_seconds = 0 };

			assert_int_equal(client_delete(c, RES(core_pods), obj_ns(pod), obj_name(pod), &o, NULL), 0);
			continue;
		}
		if (pod_is_ready(pod) || pod_is_terminal(pod))
			continue;
		if (!val_str(obj_get(pod, F_spec, F_nodeName)).n) {
			struct val *bind = val_new_map(&a), *meta = val_set_map(&a, bind, F_metadata), *to;

			val_set_str(&a, meta, F_name, obj_name(pod));
			val_set_cstr(&a, bind, F_apiVersion, "v1");
			val_set_cstr(&a, bind, F_kind, "Binding");
			to = val_set_map(&a, bind, F_target);
			val_set_cstr(&a, to, F_kind, "Node");
			val_set_str(&a, to, F_name, asked_node(pod));
			if (client_create_sub(c, RES(core_pods), obj_ns(pod), obj_name(pod), "binding", bind, NULL,
					      &err) < 0)
				fail_msg("binding: %s", err_msg(&err));
			continue;
		}
		doc = obj_edit(&a, pod);
		st = val_ensure_map(&a, doc, F_status);
		if (val_is(obj_get(pod, F_spec, F_restartPolicy), "Never")) {
			val_set_cstr(&a, st, F_phase, k->fail ? "Failed" : "Succeeded");
		} else {
			val_set_cstr(&a, st, F_phase, "Running");
			val_set_strf(&a, st, F_podIP, "10.42.0.%d", (int)(obj_rev(pod) % 250) + 1);
			condition_set(&a, st, &(struct condition){ .type = "Ready", .status = "True", .reason = "" },
				      env_now_ns(k->rig->env));
		}
		if (client_update_status(c, RES(core_pods), doc, NULL, &err) < 0)
			fail_msg("status: %s", err_msg(&err));
	}
}

static void run(struct cluster *k, int seconds)
{
	for (int i = 0; i < seconds * 5; i++) {
		rig_run(k->rig, 200 * NS_PER_MS);
		kubelet(k);
	}
}

static struct cluster start(void **state)
{
	struct cluster k = { .rig = *state };

	k.c = controllers_new(&(struct controllers_opts){
	    .env = k.rig->env, .client = k.rig->client, .cluster_cidr = "10.42.0.0/16", .root_ca_pem = SV("PEM") });
	rig_run(k.rig, NS_PER_SEC);
	assert_true(controllers_synced(k.c));
	expect(k.rig, 201, "POST", "/api/v1/nodes",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}");
	rig_run(k.rig, NS_PER_SEC);
	return k;
}

static void finish(struct cluster *k)
{
	controllers_free(k->c);
	rig_run(k->rig, NS_PER_SEC);
}

#define DEPLOY                                                                                                        \
	"{\"apiVersion\":\"apps/"                                                                                     \
	"v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":3,"                      \
	"\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}}," \
	"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"a\",\"ports\":[{\"containerPort\":80}]}]}}}}"
#define D "/apis/apps/v1/namespaces/team/deployments/web"

static void test_deployment(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	const struct val *d;

	assert_val(val_get(expect(r, 200, "GET", "/api/v1/nodes/n1", NULL), F_spec, F_podCIDR), "10.42.0.0/24");
	expect(r, 201, "POST", "/api/v1/namespaces",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"team\"}}");
	run(&k, 1);
	expect(r, 200, "GET", "/api/v1/namespaces/team/serviceaccounts/default", NULL);
	expect(r, 200, "GET", "/api/v1/namespaces/team/configmaps/kube-root-ca.crt", NULL);
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/team/deployments", DEPLOY);
	expect(r, 201, "POST", "/api/v1/namespaces/team/services",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"selector\":{"
	       "\"app\":"
	       "\"web\"},\"ports\":[{\"port\":80}]}}");
	run(&k, 20);
	d = expect(r, 200, "GET", D, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_availableReplicas), 3);
	assert_true(condition_reason_is(val_get(d, F_status, F_conditions), "Progressing", "NewReplicaSetAvailable"));
	assert_sv(annotation_of(d, "deployment.kubernetes.io/revision"), "1");
	d = expect(r, 200, "GET", "/apis/discovery.k8s.io/v1/namespaces/team/endpointslices", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 1);
	assert_int_equal(val_len(val_member(val_at(val_get(d, F_items), 0), F_endpoints)), 3);

	expect_type(r, 200, "PATCH", D, "application/strategic-merge-patch+json",
		    "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"b\"}]}}}}");
	run(&k, 30);
	d = expect(r, 200, "GET", D, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedReplicas), 3);
	assert_int_equal(val_get_int(d, 0, F_status, F_replicas), 3);
	assert_sv(annotation_of(d, "deployment.kubernetes.io/revision"), "2");

	/* Orphaned ReplicaSets are taken back by a new Deployment of the same template. */
	expect(r, 200, "DELETE", D "?propagationPolicy=Orphan", NULL);
	run(&k, 5);
	d = expect(r, 200, "GET", "/apis/apps/v1/namespaces/team/replicasets", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 2);

	expect(r, 200, "DELETE", "/api/v1/namespaces/team", NULL);
	run(&k, 60);
	expect(r, 404, "GET", "/api/v1/namespaces/team", NULL);
	d = expect(r, 200, "GET", "/api/v1/pods", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 0);
	finish(&k);
}

static void test_foreground(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	const struct val *d;

	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/deployments", DEPLOY);
	run(&k, 10);
	expect(r, 200, "DELETE", "/apis/apps/v1/namespaces/default/deployments/web?propagationPolicy=Foreground", NULL);
	run(&k, 20);
	expect(r, 404, "GET", "/apis/apps/v1/namespaces/default/deployments/web", NULL);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 0);
	finish(&k);
}

#define JOB(name, more)                                                                                      \
	"{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"name\":\"" name "\"},\"spec\":{" more \
	"\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}}}"
#define JOBS "/apis/batch/v1/namespaces/default/jobs"

static void test_jobs(void **state)
{
	struct cluster k = start(state);
	struct rig *r = k.rig;
	const struct val *j;

	expect(r, 201, "POST", JOBS, JOB("many", "\"completions\":5,\"parallelism\":2,"));
	expect(
	    r, 201, "POST", JOBS,
	    JOB("indexed",
		"\"completions\":4,\"parallelism\":4,\"completionMode\":\"Indexed\",\"ttlSecondsAfterFinished\":60,"));
	expect(r, 201, "POST", JOBS, JOB("later", "\"suspend\":true,"));
	run(&k, 20);
	j = expect(r, 200, "GET", JOBS "/many", NULL);
	assert_true(condition_is(val_get(j, F_status, F_conditions), "Complete", "True"));
	assert_int_equal(val_get_int(j, 0, F_status, F_succeeded), 5);
	j = expect(r, 200, "GET", JOBS "/indexed", NULL);
	assert_true(condition_is(val_get(j, F_status, F_conditions), "Complete", "True"));
	assert_val(val_get(j, F_status, F_completedIndexes), "0-3");
	j = expect(r, 200, "GET", JOBS "/later", NULL);
	assert_true(condition_is(val_get(j, F_status, F_conditions), "Suspended", "True"));
	expect_type(r, 200, "PATCH", JOBS "/later", "application/merge-patch+json", "{\"spec\":{\"suspend\":false}}");
	run(&k, 60);
	j = expect(r, 200, "GET", JOBS "/later", NULL);
	assert_true(condition_is(val_get(j, F_status, F_conditions), "Complete", "True"));
	expect(r, 404, "GET", JOBS "/indexed", NULL); /* its time was over */

	/* One that always fails: three pods, then no more. */
	k.fail = true;
	expect(r, 201, "POST", JOBS, JOB("bad", "\"backoffLimit\":2,"));
	run(&k, 90);
	j = expect(r, 200, "GET", JOBS "/bad", NULL);
	assert_true(condition_reason_is(val_get(j, F_status, F_conditions), "Failed", "BackoffLimitExceeded"));
	assert_int_equal(val_get_int(j, 0, F_status, F_failed), 3);
	finish(&k);
}

#define DS "/apis/apps/v1/namespaces/default/daemonsets/agent"

static void test_daemonset(void **state)
{
	struct cluster k = start(state);
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
	run(&k, 10);
	d = expect(r, 200, "GET", DS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_desiredNumberScheduled), 2);
	assert_int_equal(val_get_int(d, 0, F_status, F_numberAvailable), 2);
	expect_type(r, 200, "PATCH", DS, "application/merge-patch+json",
		    "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"x\":\"1\"}}}}}");
	run(&k, 20);
	d = expect(r, 200, "GET", DS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedNumberScheduled), 2);
	assert_int_equal(val_get_int(d, 0, F_status, F_numberAvailable), 2);
	d = expect(r, 200, "GET", "/apis/apps/v1/namespaces/default/controllerrevisions", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 2);
	expect_type(r, 200, "PATCH", DS, "application/merge-patch+json",
		    "{\"spec\":{\"template\":{\"spec\":{\"nodeSelector\":{\"gpu\":\"yes\"}}}}}");
	run(&k, 20);
	d = expect(r, 200, "GET", DS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_desiredNumberScheduled), 1);
	assert_int_equal(val_get_int(d, 0, F_status, F_numberAvailable), 1);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods", NULL);
	assert_int_equal(val_len(val_get(d, F_items)), 1);
	finish(&k);
}

#define STS "/apis/apps/v1/namespaces/default/statefulsets/db"

static void test_statefulset(void **state)
{
	struct cluster k = start(state);
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
	run(&k, 20);
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
	run(&k, 20);
	d = expect(r, 200, "GET", STS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedReplicas), 1);
	/* One below it that dies comes back as it was. */
	expect(r, 200, "DELETE", "/api/v1/namespaces/default/pods/db-0", NULL);
	run(&k, 10);
	d = expect(r, 200, "GET", "/api/v1/namespaces/default/pods/db-0", NULL);
	assert_val(val_member(val_at(val_get(d, F_spec, F_containers), 0), F_image), "a");
	expect_type(r, 200, "PATCH", STS, "application/merge-patch+json",
		    "{\"spec\":{\"replicas\":2,\"updateStrategy\":{\"rollingUpdate\":{\"partition\":0}}}}");
	run(&k, 30);
	d = expect(r, 200, "GET", STS, NULL);
	assert_int_equal(val_get_int(d, 0, F_status, F_updatedReplicas), 2);
	assert_int_equal(val_get_int(d, 0, F_status, F_replicas), 2);
	assert_true(val_equal(val_get(d, F_status, F_currentRevision), val_get(d, F_status, F_updateRevision)));
	finish(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deployment, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_foreground, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_daemonset, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_statefulset, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_jobs, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("real", tests, NULL, NULL);
}
