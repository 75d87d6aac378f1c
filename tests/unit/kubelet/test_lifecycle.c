/* Pods from creation to removal. */
#include "agent.h"

#include "kubelet/node_status.h"
#include "kubelet/volumes/volumes.h"

static void test_node_registers(void **state)
{
	struct world *w = *state;
	const struct val *n = expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL), *l;

	assert_val(val_member_sv(val_get(n, F_metadata, F_labels), SV("kubernetes.io/hostname")), "n1");
	assert_val(val_member_sv(val_get(n, F_metadata, F_labels), SV("node-role.kubernetes.io/control-plane")),
		   "true");
	assert_val(cond(n, "Ready"), "True");
	assert_val(cond(n, "DiskPressure"), "False");
	assert_val(val_member_sv(val_get(n, F_status, F_allocatable), SV("cpu")), "4");
	assert_val(val_get(n, F_status, F_nodeInfo, F_containerRuntimeVersion), "fake://1.0.0");
	l = expect(w->rig, 200, "GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", NULL);
	assert_val(val_get(l, F_spec, F_holderIdentity), "n1");
	assert_int_equal(events(w, "n1", "Starting", "Starting kubelet."), 1);
	assert_int_equal(events(w, "n1", "NodeReady", "Node n1 status is now: NodeReady"), 1);
	n = expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL);
	l = expect(w->rig, 200, "GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", NULL);
	/* Nothing changes: the lease is renewed, the node is left alone. */
	int64_t rev = rev_of(n), lease = rev_of(l);

	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_int_equal(rev_of(expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL)), rev);
	assert_true(rev_of(expect(w->rig, 200, "GET",
				  "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", NULL)) > lease);
	rig_run(w->rig, 300 * NS_PER_SEC);
	assert_true(rev_of(expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL)) > rev);
}

static void test_runs_and_is_deleted(void **state)
{
	struct world *w = *state;
	const struct val *p;
	struct rt_container *c;
	size_t n;

	make(w, "web", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"},{\"name\":\"b\",\"image\":\"demo:2\"}]");
	rig_run(w->rig, NS_PER_SEC);
	p = pod(w, "web");
	assert_val(phase(p), "Running");
	assert_val(cond(p, "Ready"), "True");
	assert_val(cond(p, "Initialized"), "True");
	assert_val(cond(p, "PodReadyToStartContainers"), "True");
	assert_val(val_get(p, F_status, F_hostIP), "192.0.2.1");
	assert_true(val_get_str(p, F_status, F_podIP).n > 0);
	assert_true(val_get_bool(cs(p, 0), F_ready));
	assert_true(sv_starts(val_get_str(cs(p, 1), F_containerID), SV("containerd://container-")));
	int64_t rev = rev_of(p);

	rig_run(w->rig, 120 * NS_PER_SEC); /* quiet: no writes */
	assert_int_equal(rev_of(pod(w, "web")), rev);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/web", NULL);
	rig_run(w->rig, 5 * NS_PER_SEC);
	gone(w, "web");
	assert_int_equal(w->rt->ops->list_containers(w->rt, &w->rig->arena, SV(""), &c, &n, NULL), 0);
	assert_int_equal(n, 0);
}

/* Each question costs a real runtime about a millisecond of a pod's start. */
static void test_few_questions(void **state)
{
	struct world *w = *state;
	size_t lists = runtime_fake_calls(w->rt, "list_sandboxes"),
	       looks = runtime_fake_calls(w->rt, "container_status");

	make(w, "one", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	assert_val(phase(pod(w, "one")), "Running");
	lists = runtime_fake_calls(w->rt, "list_sandboxes") - lists;
	looks = runtime_fake_calls(w->rt, "container_status") - looks;
	/* Before and after the sandbox, after the start; and as often for what follows from that and its status. */
	assert_true(lists <= 6);
	assert_true(looks <= 3);
}

static void test_grace_period(void **state)
{
	struct world *w = *state;

	runtime_fake_ignore_term(w->rt, true);
	make(w, "slow", "\"terminationGracePeriodSeconds\":20,\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/slow", NULL);
	rig_run(w->rig, 19 * NS_PER_SEC);
	assert_true(val_get(pod(w, "slow"), F_metadata, F_deletionTimestamp) != NULL);
	rig_run(w->rig, 3 * NS_PER_SEC);
	gone(w, "slow");
}

static void test_crash_loop(void **state)
{
	struct world *w = *state;
	const struct val *p;
	struct sv uid;

	make(w, "crash", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	uid = uid_of(pod(w, "crash"));
	assert_true(runtime_fake_exit(w->rt, uid, SV("a"), 3, "Error"));
	rig_run(w->rig, NS_PER_SEC);
	p = pod(w, "crash"); /* the first time at once */
	assert_val(phase(p), "Running");
	assert_int_equal(val_get_int(cs(p, 0), 0, F_restartCount), 1);
	assert_int_equal(val_get_int(cs(p, 0), 0, F_lastState, F_terminated, F_exitCode), 3);
	assert_true(runtime_fake_exit(w->rt, uid, SV("a"), 4, "Error"));
	rig_run(w->rig, NS_PER_SEC);
	p = pod(w, "crash");
	assert_val(val_get(cs(p, 0), F_state, F_waiting, F_reason), "CrashLoopBackOff");
	assert_true(sv_starts(val_get_str(cs(p, 0), F_state, F_waiting, F_message),
			      SV("back-off 10s restarting failed container=a")));
	assert_int_equal(val_get_int(cs(p, 0), 0, F_lastState, F_terminated, F_exitCode), 4);
	assert_val(cond(p, "Ready"), "False");
	assert_val(phase(p), "Running");
	rig_run(w->rig, 8 * NS_PER_SEC);
	assert_true(val_get(cs(pod(w, "crash"), 0), F_state, F_waiting) != NULL);
	rig_run(w->rig, 2 * NS_PER_SEC);
	p = pod(w, "crash");
	assert_true(val_get(cs(p, 0), F_state, F_running) != NULL);
	assert_int_equal(val_get_int(cs(p, 0), 0, F_restartCount), 2);
	assert_true(runtime_fake_exit(w->rt, uid, SV("a"), 5, "Error"));
	rig_run(w->rig, 15 * NS_PER_SEC);
	assert_true(val_get(cs(pod(w, "crash"), 0), F_state, F_waiting) != NULL); /* 20 s now */
	rig_run(w->rig, 6 * NS_PER_SEC);
	assert_int_equal(val_get_int(cs(pod(w, "crash"), 0), 0, F_restartCount), 3);
	/* A new agent finds it as it is. */
	w->k = kubelet_free(w->k);
	start_kubelet(w);
	rig_run(w->rig, 5 * NS_PER_SEC);
	p = pod(w, "crash");
	assert_int_equal(val_get_int(cs(p, 0), 0, F_restartCount), 3);
	assert_true(val_get(cs(p, 0), F_state, F_running) != NULL);
	assert_val(cond(p, "Ready"), "True");
}

static void test_completes(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make(w, "job", "\"restartPolicy\":\"OnFailure\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	assert_true(runtime_fake_exit(w->rt, uid_of(pod(w, "job")), SV("a"), 1, "Error"));
	rig_run(w->rig, NS_PER_SEC);
	assert_val(phase(pod(w, "job")), "Running");
	assert_true(runtime_fake_exit(w->rt, uid_of(pod(w, "job")), SV("a"), 0, "Completed"));
	rig_run(w->rig, NS_PER_SEC);
	p = pod(w, "job");
	assert_val(phase(p), "Succeeded");
	assert_val(cond(p, "Ready"), "False");
	assert_val(val_get(cs(p, 0), F_state, F_terminated, F_reason), "Completed");
	assert_val(cond(p, "PodReadyToStartContainers"), "False");
	make(w, "never", "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	assert_true(runtime_fake_exit(w->rt, uid_of(pod(w, "never")), SV("a"), 9, "Error"));
	rig_run(w->rig, NS_PER_SEC);
	assert_val(phase(pod(w, "never")), "Failed");
}

static void test_init_containers(void **state)
{
	struct world *w = *state;
	const struct val *p;
	struct sv uid;

	make(w, "init",
	     "\"initContainers\":[{\"name\":\"i1\",\"image\":\"demo\"},{\"name\":\"side\",\"image\":\"demo\","
	     "\"restartPolicy\":\"Always\"},{\"name\":\"i2\",\"image\":\"demo\"}],"
	     "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	p = pod(w, "init");
	uid = uid_of(p);
	assert_val(phase(p), "Pending");
	assert_val(cond(p, "Initialized"), "False");
	assert_val(val_get(cs(p, 0), F_state, F_waiting, F_reason), "PodInitializing");
	assert_false(runtime_fake_exit(w->rt, uid, SV("side"), 0, "Completed"));
	assert_true(runtime_fake_exit(w->rt, uid, SV("i1"), 0, "Completed"));
	rig_run(w->rig, NS_PER_SEC);
	assert_val(phase(pod(w, "init")), "Pending");
	assert_true(runtime_fake_exit(w->rt, uid, SV("i2"), 0, "Completed"));
	rig_run(w->rig, NS_PER_SEC);
	p = pod(w, "init");
	assert_val(phase(p), "Running");
	assert_val(cond(p, "Initialized"), "True");
	assert_val(cond(p, "Ready"), "True");
	/* The sidecar comes back, and ends with the pod. */
	assert_true(runtime_fake_exit(w->rt, uid, SV("side"), 0, "Completed"));
	rig_run(w->rig, NS_PER_SEC);
	p = pod(w, "init");
	assert_int_equal(val_get_int(val_at(val_get(p, F_status, F_initContainerStatuses), 1), 0, F_restartCount), 1);
	assert_true(runtime_fake_exit(w->rt, uid, SV("a"), 0, "Completed"));
	rig_run(w->rig, 2 * NS_PER_SEC);
	p = pod(w, "init");
	assert_val(phase(p), "Succeeded");
	assert_false(runtime_fake_exit(w->rt, uid, SV("side"), 0, "Completed"));
}

/* An init container with a policy of its own: again by its rule, then for good. */
static void test_init_rules(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make(w, "init",
	     "\"initContainers\":[{\"name\":\"i\",\"image\":\"demo\",\"restartPolicy\":\"Never\","
	     "\"restartPolicyRules\":[{"
	     "\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"In\",\"values\":[42]}}]}],\"containers\":[{\"name\":"
	     "\"a\","
	     "\"image\":\"demo\"}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_true(runtime_fake_exit(w->rt, uid_of(pod(w, "init")), SV("i"), 42, "Error"));
	rig_run(w->rig, 15 * NS_PER_SEC);
	p = pod(w, "init");
	assert_val(phase(p), "Pending");
	assert_int_equal(val_get_int(val_at(val_get(p, F_status, F_initContainerStatuses), 0), 0, F_restartCount), 1);
	assert_true(runtime_fake_exit(w->rt, uid_of(p), SV("i"), 1, "Error"));
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(phase(pod(w, "init")), "Failed"); /* though the pod restarts always */
}

static void test_probes(void **state)
{
	struct world *w = *state;
	const struct val *p;

	runtime_fake_exec_result(w->rt, 1, "no");
	make(w, "probed",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\","
	     "\"readinessProbe\":{\"exec\":{\"command\":[\"x\"]},\"periodSeconds\":2},"
	     "\"startupProbe\":{\"exec\":{\"command\":[\"x\"]},\"periodSeconds\":1,\"failureThreshold\":5}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	p = pod(w, "probed");
	assert_val(phase(p), "Running");
	assert_val(cond(p, "Ready"), "False");
	assert_false(val_get_bool(cs(p, 0), F_started));
	runtime_fake_exec_result(w->rt, 0, "yes");
	rig_run(w->rig, 3 * NS_PER_SEC);
	p = pod(w, "probed");
	assert_true(val_get_bool(cs(p, 0), F_started));
	assert_val(cond(p, "Ready"), "True");
	runtime_fake_exec_result(w->rt, 1, "no");
	rig_run(w->rig, 10 * NS_PER_SEC);
	p = pod(w, "probed");
	assert_val(cond(p, "Ready"), "False");
	assert_int_equal(val_get_int(cs(p, 0), 0, F_restartCount), 0);
	/* Startup that never comes: restarted after five failures. */
	make(w, "stuck",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\","
	     "\"startupProbe\":{\"exec\":{\"command\":[\"x\"]},\"periodSeconds\":1,\"failureThreshold\":5}}]");
	rig_run(w->rig, 8 * NS_PER_SEC);
	assert_int_equal(val_get_int(cs(pod(w, "stuck"), 0), 0, F_restartCount), 1);
}

/* One answer is not enough where several are asked for, and one that differs begins the count anew. */
static void test_probe_success_threshold(void **state)
{
	struct world *w = *state;

	runtime_fake_exec_result(w->rt, 0, "");
	make(w, "thrice",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"readinessProbe\":{\"exec\":{\"command\":[\"x\"]},"
	     "\"periodSeconds\":10,\"successThreshold\":3,\"failureThreshold\":5}}]");
	rig_run(w->rig, 15 * NS_PER_SEC); /* two in a row */
	assert_val(cond(pod(w, "thrice"), "Ready"), "False");
	runtime_fake_exec_result(w->rt, 1, "");
	rig_run(w->rig, 10 * NS_PER_SEC);
	runtime_fake_exec_result(w->rt, 0, "");
	rig_run(w->rig, 20 * NS_PER_SEC);
	assert_val(cond(pod(w, "thrice"), "Ready"), "False");
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_val(cond(pod(w, "thrice"), "Ready"), "True");
}

/* A probe's own grace counts when it is the probe that ends the container, instead of the pod's. */
static void test_probe_grace(void **state)
{
	static const char *const kinds[] = { "livenessProbe", "startupProbe" };
	struct world *w = *state;

	runtime_fake_ignore_term(w->rt, true);
	runtime_fake_exec_result(w->rt, 1, "");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (int own = 0; own < 2; own++) {
			char name[16], spec[512];

			snprintf(name, sizeof(name), "p%zu-%d", i, own);
			snprintf(
			    spec, sizeof(spec),
			    "\"terminationGracePeriodSeconds\":60,\"containers\":[{\"name\":\"a\",\"image\":\"demo\","
			    "\"%s\":{\"exec\":{\"command\":[\"x\"]},\"periodSeconds\":1,\"failureThreshold\":1,"
			    "\"initialDelaySeconds\":1%s}}]",
			    kinds[i], own ? ",\"terminationGracePeriodSeconds\":5" : "");
			make(w, name, spec);
			rig_run(w->rig, 5 * NS_PER_SEC);
			assert_int_equal(val_get_int(cs(pod(w, name), 0), -1, F_restartCount), 0);
			rig_run(w->rig, 5 * NS_PER_SEC);
			assert_int_equal(val_get_int(cs(pod(w, name), 0), -1, F_restartCount), own);
			assert_int_equal(val_get_int(cs(pod(w, name), 0), 0, F_lastState, F_terminated, F_exitCode),
					 own ? 137 : 0);
		}
}

/* A claim's volume is the directory of what it is bound to, and read-only where the pod says so. */
static void test_claims(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	const char *path;
	const struct val *p;
	bool ro;

	expect(w->rig, 201, "POST", "/api/v1/persistentvolumes",
	       "{\"metadata\":{\"name\":\"pv\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":["
	       "\"ReadWriteOnce\"],\"hostPath\":{\"path\":\"/\",\"type\":\"Directory\"}}}");
	expect(w->rig, 201, "POST", "/api/v1/namespaces/default/persistentvolumeclaims",
	       "{\"metadata\":{\"name\":\"mine\"},\"spec\":{\"volumeName\":\"pv\",\"storageClassName\":\"\","
	       "\"accessModes\":["
	       "\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}");
	make(w, "claims",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}],\"volumes\":[{\"name\":\"rw\","
	     "\"persistentVolumeClaim\":"
	     "{\"claimName\":\"mine\"}},{\"name\":\"ro\",\"persistentVolumeClaim\":{\"claimName\":\"mine\","
	     "\"readOnly\":true}}"
	     ",{\"name\":\"none\",\"persistentVolumeClaim\":{\"claimName\":\"other\"}}]");
	p = pod(w, "claims");
	assert_int_equal(volume_path(w->k, &w->rig->arena, p, SV("rw"), &path, &ro, &err), -1);
	assert_string_equal(err_msg(&err), "PVC is not bound");
	err_release(&err);
	expect_type(w->rig, 200, "PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/mine/status",
		    "application/merge-patch+json", "{\"status\":{\"phase\":\"Bound\"}}");
	assert_int_equal(volume_path(w->k, &w->rig->arena, p, SV("rw"), &path, &ro, &err), 0);
	assert_string_equal(path, "/");
	assert_false(ro);
	assert_int_equal(volume_path(w->k, &w->rig->arena, p, SV("ro"), &path, &ro, &err), 0);
	assert_string_equal(path, "/");
	assert_true(ro);
	assert_int_equal(volume_path(w->k, &w->rig->arena, p, SV("none"), &path, &ro, &err), -1);
	assert_string_equal(err_msg(&err), "persistentvolumeclaims \"other\" not found");
	err_release(&err);
}

static void test_liveness(void **state)
{
	struct world *w = *state;

	runtime_fake_exec_result(w->rt, 0, "");
	make(w, "alive",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\","
	     "\"livenessProbe\":{\"exec\":{\"command\":[\"x\"]},\"periodSeconds\":1}}]");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_int_equal(val_get_int(cs(pod(w, "alive"), 0), 0, F_restartCount), 0);
	runtime_fake_exec_result(w->rt, 1, "");
	rig_run(w->rig, 4 * NS_PER_SEC);
	assert_int_equal(val_get_int(cs(pod(w, "alive"), 0), 0, F_restartCount), 1);
	/* said with the reason, and not again without */
	assert_true(events(w, "alive", "Killing", "Container a failed liveness probe, will be restarted") > 0);
	assert_int_equal(events(w, "alive", "Killing", "Stopping container a"), 0);
}

static void test_hooks(void **state)
{
	struct world *w = *state;
	const struct val *p;

	runtime_fake_exec_result(w->rt, 0, "");
	make(w, "hooked",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"lifecycle\":{\"postStart\":{\"sleep\":{\"seconds\":"
	     "3}},"
	     "\"preStop\":{\"sleep\":{\"seconds\":5}}}},{\"name\":\"b\",\"image\":\"demo\"}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	p = pod(w, "hooked");
	assert_true(val_get(cs(p, 1), F_state, F_waiting) != NULL); /* the second waits for the first's hook */
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(cond(pod(w, "hooked"), "Ready"), "True");
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/hooked", NULL);
	rig_run(w->rig, 4 * NS_PER_SEC);
	assert_true(val_get(cs(pod(w, "hooked"), 0), F_state, F_running) != NULL);
	rig_run(w->rig, 3 * NS_PER_SEC);
	gone(w, "hooked");
}

/* What a failing hook prints may be secret: it is not in the event. */
static void test_failed_hook(void **state)
{
	struct world *w = *state;

	runtime_fake_exec_result(w->rt, 1, "hunter2");
	make(w, "hooked",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"lifecycle\":{\"postStart\":{\"exec\":{\"command\":["
	     "\"x\"]}}}}]");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_true(val_get_int(cs(pod(w, "hooked"), 0), 0, F_restartCount) > 0);
	assert_true(events(w, "hooked", "FailedPostStartHook", "PostStartHook failed") > 0);
	assert_true(events(w, "hooked", "Killing", "FailedPostStartHook") > 0);
}

/* A kernel setting that is not the pod's alone: refused, once and for all. */
static void test_refused(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make(w, "safe",
	     "\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.ip_unprivileged_port_start\",\"value\":\"80\"}]},"
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	make(w, "unsafe",
	     "\"securityContext\":{\"sysctls\":[{\"name\":\"kernel.msgmax\",\"value\":\"1\"}]},"
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(phase(pod(w, "safe")), "Running");
	p = pod(w, "unsafe");
	assert_val(phase(p), "Failed");
	assert_val(val_get(p, F_status, F_reason), "SysctlForbidden");
	assert_val(val_get(p, F_status, F_message),
		   "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
	assert_int_equal(events(w, "unsafe", "SysctlForbidden", "forbidden sysctl: \"kernel.msgmax\" not allowlisted"),
			 1);
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_int_equal(rev_of(pod(w, "unsafe")), rev_of(p));
}

/* Taken, and then there was no room for its volumes: it fails, so that another one is made elsewhere. */
static void test_no_room_for_volumes(void **state)
{
	struct world *w = *state;
	const struct val *p;

	no_volumes = "VolumeAttachmentLimitExceeded";
	make(w, "full", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 5 * NS_PER_SEC);
	no_volumes = NULL;
	p = pod(w, "full");
	assert_val(phase(p), "Failed");
	assert_val(val_get(p, F_status, F_reason), "VolumeAttachmentLimitExceeded");
	assert_val(val_get(p, F_status, F_message),
		   "Pod was rejected: Node has reached its volume attachment limit, rejecting pod");
	assert_int_equal(events(w, "full", "VolumeAttachmentLimitExceeded",
				"Node has reached its volume attachment limit, rejecting pod"),
			 1);
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_int_equal(rev_of(pod(w, "full")), rev_of(p));
}

/* A pod that was deleted at once takes nothing from its successor, although its containers are still going. */
static void test_forced_deletion_frees_its_place(void **state)
{
	static const char spec[] =
	    "\"terminationGracePeriodSeconds\":60,\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"ports\":[{"
	    "\"containerPort\":80,\"hostPort\":8080}],\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]";
	struct world *w = *state;

	make(w, "door", spec);
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(phase(pod(w, "door")), "Running");
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/door?gracePeriodSeconds=0", NULL);
	make(w, "gate", spec);
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_val(phase(pod(w, "gate")), "Running");
}

/* Bound here by hand, or by somebody who knew less than the node: refused with upstream's reason, and only said. */
static void test_refused_by_filters(void **state)
{
	static const struct {
		const char *name, *spec, *reason, *message;
	} cases[] = {
		{ "cpu",
		  "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"cpu\":\"64\"}}}]",
		  "OutOfcpu",
		  "Pod was rejected: Node didn't have enough resource: cpu, requested: 64000, used: 1500, capacity: "
		  "4000" },
		{ "memory",
		  "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"memory\":\"9Gi\"}}"
		  "}]",
		  "OutOfmemory",
		  "Pod was rejected: Node didn't have enough resource: memory, requested: 9663676416, used: 0, "
		  "capacity: 8589934592" },
		{ "huge",
		  "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"cpu\":\"1\"},"
		  "\"limits\":{"
		  "\"hugepages-2Mi\":\"2Mi\",\"cpu\":\"1\"}}}]",
		  "OutOfhugepages-2Mi",
		  "Pod was rejected: Node didn't have enough resource: hugepages-2Mi, requested: 2097152, used: 0, "
		  "capacity: 0" },
		{ "selector", "\"nodeSelector\":{\"a\":\"zzz\"},\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]",
		  "NodeAffinity",
		  "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node "
		  "affinity/selector" },
		{ "affinity",
		  "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{"
		  "\"nodeSelectorTerms\":[{"
		  "\"matchExpressions\":[{\"key\":\"x\",\"operator\":\"Exists\"}]}]}}},\"containers\":[{\"name\":\"a\","
		  "\"image\":"
		  "\"demo\"}]",
		  "NodeAffinity",
		  "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node "
		  "affinity/selector" },
		{ "port",
		  "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"ports\":[{\"containerPort\":80,\"hostPort\":"
		  "8080}]}]",
		  "NodePorts",
		  "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod "
		  "ports" },
		{ "windows", "\"os\":{\"name\":\"windows\"},\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]",
		  "PodOSNotSupported", "Pod was rejected: Failed to admit pod as the OS field doesn't match node OS" },
		{ "groups",
		  "\"securityContext\":{\"supplementalGroupsPolicy\":\"Strict\"},\"containers\":[{\"name\":\"a\","
		  "\"image\":\"demo\"}]",
		  "SupplementalGroupsPolicyNotSupported",
		  "Pod was rejected: SupplementalGroupsPolicy=Strict is not supported in this node" },
		{ "all",
		  "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"restartPolicy\":"
		  "\"Never\","
		  "\"restartPolicyRules\":[{\"action\":\"RestartAllContainers\",\"exitCodes\":{\"operator\":\"In\","
		  "\"values\":[1]}}]}]",
		  "PodFeatureUnsupported",
		  "Pod was rejected: Pod requires node features that are not available: "
		  "RestartAllContainersOnContainerExits" },
	};
	struct world *w = *state;
	const struct val *p;

	make(w, "first",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"ports\":[{\"containerPort\":80,\"hostPort\":8080}],"
	     "\"resources\":{\"requests\":{\"cpu\":\"1500m\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		make(w, cases[i].name, cases[i].spec);
	/* An extended resource that the node does not have is the whole cluster's to count. */
	make(w, "elsewhere",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"limits\":{\"example.com/"
	     "x\":\"1\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(phase(pod(w, "first")), "Running");
	assert_val(phase(pod(w, "elsewhere")), "Running");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		p = pod(w, cases[i].name);
		assert_val(phase(p), "Failed");
		assert_val(val_get(p, F_status, F_reason), cases[i].reason);
		assert_val(val_get(p, F_status, F_message), cases[i].message);
		assert_null(val_get(p, F_status, F_containerStatuses));
		assert_null(val_get(p, F_status, F_conditions));
		assert_null(val_get(p, F_status, F_hostIP));
		assert_non_null(val_get(p, F_status, F_startTime));
		assert_int_equal(
		    events(w, cases[i].name, cases[i].reason, cases[i].message + strlen("Pod was rejected: ")), 1);
	}
}

/* The answer is given once: neither another agent nor a node that changed gives another. */
static void test_refusal_and_place_outlive_the_agent(void **state)
{
	struct world *w = *state;
	int64_t rev;

	make(w, "early",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	make(w, "late",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"cpu\":\"2\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(val_get(pod(w, "late"), F_status, F_reason), "OutOfcpu");
	rev = rev_of(pod(w, "late"));
	w->k = kubelet_free(w->k);
	make(w, "away",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"cpu\":\"2\"}}}]");
	expect_type(w->rig, 200, "PATCH", "/api/v1/nodes/n1", "application/merge-patch+json",
		    "{\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}}");
	start_kubelet(w);
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(phase(pod(w, "early")), "Running");
	assert_int_equal(rev_of(pod(w, "late")), rev);
	/* Bound while the agent was away: the pod that runs has its place, whichever is looked at first. */
	assert_val(val_get(pod(w, "away"), F_status, F_reason), "OutOfcpu");
	/* The place of a pod that ended is free. */
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/early?gracePeriodSeconds=0", NULL);
	rig_run(w->rig, 10 * NS_PER_SEC);
	make(w, "taint",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]");
	make(w, "tolerant",
	     "\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}],\"containers\":[{\"name\":\"a\",\"image\":"
	     "\"demo\","
	     "\"resources\":{\"requests\":{\"cpu\":\"3\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(val_get(pod(w, "taint"), F_status, F_reason), "TaintToleration");
	assert_val(phase(pod(w, "tolerant")), "Running");
}

/* What the node itself needs makes its room: the least that is enough, of the lowest class. */
static void test_critical_preempts(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make(w, "sure",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":"
	     "\"1Gi\"}}}]");
	make(w, "big",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"cpu\":\"2\"}}}]");
	make(w, "small",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(phase(pod(w, "small")), "Running");
	make(w, "critical",
	     "\"priorityClassName\":\"system-node-critical\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\","
	     "\"resources\":"
	     "{\"requests\":{\"cpu\":\"1\"}}}]");
	rig_run(w->rig, 40 * NS_PER_SEC);
	assert_val(phase(pod(w, "critical")), "Running");
	assert_val(phase(pod(w, "big")), "Running");
	assert_val(phase(pod(w, "sure")), "Running");
	p = pod(w, "small");
	assert_val(phase(p), "Failed");
	assert_val(val_get(p, F_status, F_reason), "Preempting");
	assert_val(val_get(p, F_status, F_message), "Preempted in order to admit critical pod");
	assert_val(cond(p, "DisruptionTarget"), "True");
	assert_int_equal(events(w, "small", "Preempting", "Preempted in order to admit critical pod"), 1);
	make(w, "huge",
	     "\"priorityClassName\":\"system-node-critical\",\"containers\":[{\"name\":\"a\",\"image\":\"demo\","
	     "\"resources\":"
	     "{\"requests\":{\"cpu\":\"5\"}}}]");
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_val(val_get(pod(w, "huge"), F_status, F_reason), "UnexpectedAdmissionError");
	assert_val(phase(pod(w, "big")), "Running");
}

#define ONE "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]"

/* What this machine cannot isolate or give is refused by name; nothing runs without it. */
static void test_isolation_is_given_or_refused(void **state)
{
	static const struct {
		const char *name, *spec, *message;
	} sandboxes[] = {
		{ "users", "\"hostUsers\":false," ONE,
		  "can't set `spec.hostUsers: false`, runtime does not support user namespaces" },
		{ "claim", "\"resourceClaims\":[{\"name\":\"gpu\",\"resourceClaimName\":\"x\"}]," ONE,
		  "Failed to prepare dynamic resources: resource claim \"gpu\" cannot be given by this node, which has "
		  "no "
		  "dynamic resources" },
		{ "fqdn", "\"setHostnameAsFQDN\":true,\"subdomain\":\"s123456789012345678901234567890123456789\"," ONE,
		  "failed to construct FQDN from Pod hostname and cluster domain, FQDN "
		  "fqdn.s123456789012345678901234567890123456789.default.svc.cluster.local is too long (64 characters "
		  "is "
		  "the max, 71 characters requested)" },
	};
	static const struct {
		const char *name, *spec, *message;
	} containers[] = {
		{ "device",
		  "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"x\"}}],\"containers\":[{"
		  "\"name\":\"a\","
		  "\"image\":\"demo\",\"volumeDevices\":[{\"name\":\"v\",\"devicePath\":\"/dev/x\"}]}]",
		  "volumeDevices: volume \"v\" cannot be given as a block device by this node" },
		{ "rro",
		  "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"containers\":[{\"name\":\"a\",\"image\":\"demo\","
		  "\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/v\",\"readOnly\":true,\"recursiveReadOnly\":"
		  "\"Enabled\"}]}]",
		  "volume \"v\" requested recursive read-only mode, but it is not supported by the runtime" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(sandboxes); i++)
		make(w, sandboxes[i].name, sandboxes[i].spec);
	for (size_t i = 0; i < ARRAY_LEN(containers); i++)
		make(w, containers[i].name, containers[i].spec);
	make(w, "armor", "\"securityContext\":{\"appArmorProfile\":{\"type\":\"RuntimeDefault\"}}," ONE);
	make(w, "armed",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"securityContext\":{\"appArmorProfile\":{"
	     "\"type\":\"Unconfined\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(sandboxes); i++) {
		char event[256];

		snprintf(event, sizeof(event), "Failed to create pod sandbox: %s", sandboxes[i].message);
		assert_val(phase(pod(w, sandboxes[i].name)), "Pending");
		assert_true(events(w, sandboxes[i].name, "FailedCreatePodSandBox", event) > 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(containers); i++) {
		const struct val *waiting = val_get(cs(pod(w, containers[i].name), 0), F_state, F_waiting);

		assert_val(val_get(waiting, F_reason), "CreateContainerConfigError");
		assert_val(val_get(waiting, F_message), containers[i].message);
	}
	assert_val(val_get(pod(w, "armor"), F_status, F_reason), "AppArmor");
	assert_val(val_get(pod(w, "armor"), F_status, F_message),
		   "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host");
	assert_val(phase(pod(w, "armed")), "Running");
	/* Alpha: dropped, as upstream does, so that nobody counts on it. */
	make(w, "signal",
	     "\"os\":{\"name\":\"linux\"},\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"lifecycle\":{"
	     "\"stopSignal\":\"SIGUSR1\"}}]");
	assert_null(val_get(val_at(val_get(pod(w, "signal"), F_spec, F_containers), 0), F_lifecycle, F_stopSignal));
}

/* "name: ..." of every container that was made. */
static void note_made(const struct rt_container_config *c, const struct rt_sandbox_config *sc, void *ctx)
{
	struct buf *b = ctx;

	buf_printf(b, "%.*s: selinux %.*s:%.*s:%.*s:%.*s in %.*s:%.*s:%.*s:%.*s apparmor %.*s", SV_ARG(c->name),
		   SV_ARG(c->selinux.user), SV_ARG(c->selinux.role), SV_ARG(c->selinux.type), SV_ARG(c->selinux.level),
		   SV_ARG(sc->selinux.user), SV_ARG(sc->selinux.role), SV_ARG(sc->selinux.type),
		   SV_ARG(sc->selinux.level), SV_ARG(c->apparmor));
	for (size_t i = 0; i < c->n_annotations; i++)
		if (sv_is(c->annotations[i].key, "io.kubernetes.container.terminationMessagePolicy"))
			buf_printf(b, " policy %.*s", SV_ARG(c->annotations[i].value));
	for (size_t i = 0; i < c->n_envs; i++)
		if (sv_is(c->envs[i].key, "M"))
			buf_printf(b, " M=%.*s", SV_ARG(c->envs[i].value));
	buf_printf(b, "%s\n", sc->host_ipc && c->host_ipc ? " ipc" : "");
}

static void test_what_the_runtime_is_told(void **state)
{
	struct world *w = *state;
	struct buf b = BUF_INIT;

	have_apparmor = true;
	runtime_fake_on_create(w->rt, note_made, &b);
	expect(
	    w->rig, 201, "POST", "/api/v1/namespaces/default/pods",
	    "{\"metadata\":{\"name\":\"told\",\"annotations\":{\"container.apparmor.security.beta.kubernetes.io/b\":"
	    "\"localhost/"
	    "old\"}},\"spec\":{\"nodeName\":\"n1\",\"hostIPC\":true,\"securityContext\":{\"seLinuxOptions\":{"
	    "\"user\":\"u\",\"role\":\"r\",\"type\":\"t\",\"level\":\"s0\"}},\"containers\":[{\"name\":\"a\",\"image\":"
	    "\"demo\",\"terminationMessagePolicy\":\"FallbackToLogsOnError\",\"resources\":{\"limits\":{\"memory\":"
	    "\"8Mi\"}},"
	    "\"env\":[{\"name\":\"M\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.memory\"}}}],"
	    "\"securityContext\":{\"seLinuxOptions\":{\"level\":\"s1\"},\"appArmorProfile\":{\"type\":\"Localhost\","
	    "\"localhostProfile\":\"mine\"}}},{\"name\":\"b\",\"image\":\"demo\"}]}}");
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_val(phase(pod(w, "told")), "Running");
	assert_string_equal(
	    buf_cstr(&b),
	    "a: selinux :::s1 in u:r:t:s0 apparmor localhost/mine policy FallbackToLogsOnError M=8388608 ipc\n"
	    "b: selinux u:r:t:s0 in u:r:t:s0 apparmor localhost/old policy File ipc\n");
	runtime_fake_on_create(w->rt, NULL, NULL);
	buf_release(&b);
}

/* The agent is replaced while a pod is being stopped: the period is not granted anew, the hook not run again. */
static void test_stopping_outlives_the_agent(void **state)
{
	struct world *w = *state;

	runtime_fake_exec_result(w->rt, 0, "");
	runtime_fake_ignore_term(w->rt, true);
	make(w, "late",
	     "\"terminationGracePeriodSeconds\":30,\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"lifecycle\":{"
	     "\"preStop\":{\"exec\":{\"command\":[\"x\"]}}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/late", NULL);
	rig_run(w->rig, 2 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "exec_sync"), 1);
	restart_kubelet(w, 10 * NS_PER_SEC);
	rig_run(w->rig, 15 * NS_PER_SEC); /* 27 s since it was deleted */
	assert_int_equal(runtime_fake_calls(w->rt, "exec_sync"), 1);
	assert_true(val_get(cs(pod(w, "late"), 0), F_state, F_running) != NULL);
	rig_run(w->rig, 5 * NS_PER_SEC);
	gone(w, "late");
	assert_int_equal(runtime_fake_calls(w->rt, "exec_sync"), 1);
	assert_int_equal(runtime_fake_calls(w->rt, "stop_container"),
			 2); /* TERM by the first agent, KILL by the second */
}

/* A hook that was interrupted is run again, in the time that is left; nobody waits for one past the period. */
static void test_hook_outlives_the_agent(void **state)
{
	static const struct {
		const char *name;
		int64_t away_s;
	} table[] = { { "soon", 3 }, { "long", 60 } };
	struct world *w = *state;

	runtime_fake_ignore_term(w->rt, true);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char path[80];
		size_t stops;

		make(w, table[i].name,
		     "\"terminationGracePeriodSeconds\":30,\"containers\":[{\"name\":\"a\",\"image\":\"demo\","
		     "\"lifecycle\":{\"preStop\":{\"sleep\":{\"seconds\":29}}}}]");
		rig_run(w->rig, 2 * NS_PER_SEC);
		snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%s", table[i].name);
		expect(w->rig, 200, "DELETE", path, NULL);
		rig_run(w->rig, 5 * NS_PER_SEC);
		stops = runtime_fake_calls(w->rt, "stop_container");
		restart_kubelet(w, table[i].away_s * NS_PER_SEC);
		if (table[i].away_s < 25) {
			rig_run(w->rig, 15 * NS_PER_SEC);
			assert_int_equal(runtime_fake_calls(w->rt, "stop_container"),
					 stops); /* the hook has its time */
			rig_run(w->rig, 8 * NS_PER_SEC);
		}
		rig_run(w->rig, 4 * NS_PER_SEC);
		gone(w, table[i].name);
		assert_int_equal(runtime_fake_calls(w->rt, "stop_container"), stops + 2); /* TERM, KILL */
	}
}

/* The pod as a whole: its cgroup follows, its containers are left alone. */
static void test_resize_pod_level(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make(w, "p",
	     "\"resources\":{\"limits\":{\"memory\":\"64Mi\",\"cpu\":\"1\"}},\"containers\":[{\"name\":\"a\",\"image\":"
	     "\"demo\","
	     "\"resources\":{\"requests\":{\"cpu\":\"100m\"},\"limits\":{\"memory\":\"32Mi\",\"cpu\":\"100m\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	p = pod(w, "p");
	assert_val(phase(p), "Running");
	/* Defaulted: what the container requests, else the pod's own limit. */
	assert_val(val_member_sv(val_get(p, F_spec, F_resources, F_requests), SV("cpu")), "100m");
	assert_val(val_member_sv(val_get(p, F_spec, F_resources, F_requests), SV("memory")), "32Mi");
	assert_val(val_get(p, F_status, F_qosClass), "Burstable");
	assert_int_equal(cgroup_memory, 64 << 20);
	expect_type(w->rig, 200, "PATCH", "/api/v1/namespaces/default/pods/p/resize",
		    "application/strategic-merge-patch+json",
		    "{\"spec\":{\"resources\":{\"limits\":{\"memory\":\"96Mi\"}}}}");
	rig_run(w->rig, 2 * NS_PER_SEC);
	p = pod(w, "p");
	assert_int_equal(cgroup_memory, 96 << 20);
	assert_val(val_member_sv(val_get(p, F_status, F_resources, F_limits), SV("memory")), "96Mi");
	assert_int_equal(val_get_int(cs(p, 0), -1, F_restartCount), 0);
	/* Neither removed, nor into another class. */
	expect_type(w->rig, 422, "PATCH", "/api/v1/namespaces/default/pods/p/resize",
		    "application/strategic-merge-patch+json",
		    "{\"spec\":{\"resources\":{\"limits\":{\"memory\":null}}}}");
	expect_type(w->rig, 422, "PATCH", "/api/v1/namespaces/default/pods/p/resize",
		    "application/strategic-merge-patch+json",
		    "{\"spec\":{\"resources\":{\"requests\":{\"memory\":\"96Mi\",\"cpu\":\"1\"}}}}");
}

static void test_full_volume(void **state)
{
	struct world *w = *state;
	const struct val *p;

	emptydir_size = 1 << 20;
	make(
	    w, "full",
	    "\"terminationGracePeriodSeconds\":600,\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"sizeLimit\":\"1Mi\"}}],"
	    "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	make(w, "free",
	     "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_val(phase(pod(w, "full")), "Running");
	emptydir_size++;
	rig_run(w->rig, 15 * NS_PER_SEC);
	p = pod(w, "full");
	assert_val(phase(p), "Failed");
	assert_val(val_get(p, F_status, F_reason), "Evicted");
	assert_val(val_get(p, F_status, F_message), "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ");
	assert_val(phase(pod(w, "free")), "Running");
}

static void resize(struct world *w, const char *name, const char *resources)
{
	char path[128], body[512];

	snprintf(path, sizeof(path), "/api/v1/namespaces/default/pods/%s/resize", name);
	snprintf(body, sizeof(body), "{\"spec\":{\"containers\":[{\"name\":\"a\",\"resources\":%s}]}}", resources);
	expect_type(w->rig, 200, "PATCH", path, "application/strategic-merge-patch+json", body);
	rig_run(w->rig, 3 * NS_PER_SEC);
}

static void test_resize(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make(w, "grows",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"resizePolicy\":[{\"resourceName\":\"memory\","
	     "\"restartPolicy\":\"RestartContainer\"}],\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":"
	     "\"16Mi\"},\"limits\":{\"cpu\":\"200m\",\"memory\":\"64Mi\"}}}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	p = pod(w, "grows");
	assert_val(val_member_sv(val_get(cs(p, 0), F_resources, F_limits), SV("cpu")), "200m");
	assert_val(val_member_sv(val_get(cs(p, 0), F_allocatedResources), SV("cpu")), "100m");
	assert_int_equal(runtime_fake_calls(w->rt, "update_resources"), 0);

	resize(w, "grows", "{\"limits\":{\"cpu\":\"300m\"}}"); /* in place */
	p = pod(w, "grows");
	assert_int_equal(runtime_fake_calls(w->rt, "update_resources"), 1);
	assert_val(val_member_sv(val_get(cs(p, 0), F_resources, F_limits), SV("cpu")), "300m");
	assert_int_equal(val_get_int(cs(p, 0), -1, F_restartCount), 0);
	assert_int_equal(val_get_int(p, 0, F_status, F_observedGeneration), 2);

	/* More than the node has: the API server refuses it; where it believes the node has more, the node does. */
	expect_type(w->rig, 403, "PATCH", "/api/v1/namespaces/default/pods/grows/resize",
		    "application/strategic-merge-patch+json",
		    "{\"spec\":{\"containers\":[{\"name\":\"a\",\"resources\":{\"requests\":{\"cpu\":\"9000\"},"
		    "\"limits\":{\"cpu\":\"9000\"}}}]}}");
	expect_type(w->rig, 200, "PATCH", "/api/v1/nodes/n1/status", "application/merge-patch+json",
		    "{\"status\":{\"capacity\":{\"cpu\":\"10000\"},\"allocatable\":{\"cpu\":\"10000\"}}}");
	resize(w, "grows", "{\"requests\":{\"cpu\":\"9000\"},\"limits\":{\"cpu\":\"9000\"}}"); /* never */
	p = pod(w, "grows");
	assert_val(cond(p, "PodResizePending"), "True");
	assert_val(val_member_sv(val_get(cs(p, 0), F_resources, F_limits), SV("cpu")), "300m");
	assert_int_equal(runtime_fake_calls(w->rt, "update_resources"), 1);

	runtime_fake_fail(w->rt, "update_resources", 100);
	resize(w, "grows", "{\"requests\":{\"cpu\":\"150m\"},\"limits\":{\"cpu\":\"400m\"}}"); /* not at once */
	p = pod(w, "grows");
	assert_null(cond(p, "PodResizePending"));
	assert_val(cond(p, "PodResizeInProgress"), "True");
	runtime_fake_fail(w->rt, "update_resources", 0);
	rig_run(w->rig, 15 * NS_PER_SEC);
	p = pod(w, "grows");
	assert_null(cond(p, "PodResizeInProgress"));
	assert_val(val_member_sv(val_get(cs(p, 0), F_resources, F_limits), SV("cpu")), "400m");
	assert_int_equal(val_get_int(cs(p, 0), -1, F_restartCount), 0);

	resize(w, "grows", "{\"limits\":{\"memory\":\"128Mi\"}}"); /* its policy asks for a restart */
	p = pod(w, "grows");
	assert_int_equal(val_get_int(cs(p, 0), -1, F_restartCount), 1);
	assert_val(val_member_sv(val_get(cs(p, 0), F_resources, F_limits), SV("memory")), "128Mi");

	/* an agent that starts anew has nothing to do */
	size_t calls = runtime_fake_calls(w->rt, "update_resources");

	w->k = kubelet_free(w->k);
	start_kubelet(w);
	rig_run(w->rig, 5 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "update_resources"), calls);
	assert_int_equal(val_get_int(cs(pod(w, "grows"), 0), -1, F_restartCount), 1);
}

static void test_images(void **state)
{
	struct world *w = *state;
	const struct val *p;

	runtime_fake_strict_images(w->rt, true);
	make(w, "absent", "\"containers\":[{\"name\":\"a\",\"image\":\"nowhere.example/x:1\"}]");
	make(w, "never", "\"containers\":[{\"name\":\"a\",\"image\":\"x:1\",\"imagePullPolicy\":\"Never\"}]");
	make(w, "bad", "\"containers\":[{\"name\":\"a\",\"image\":\"UPPER:1\"}]");
	rig_run(w->rig, NS_PER_SEC / 10);
	assert_val(val_get(cs(pod(w, "absent"), 0), F_state, F_waiting, F_reason), "ErrImagePull");
	assert_val(val_get(cs(pod(w, "never"), 0), F_state, F_waiting, F_reason), "ErrImageNeverPull");
	assert_val(val_get(cs(pod(w, "bad"), 0), F_state, F_waiting, F_reason), "InvalidImageName");
	rig_run(w->rig, 3 * NS_PER_SEC);
	p = pod(w, "absent");
	assert_val(val_get(cs(p, 0), F_state, F_waiting, F_reason), "ImagePullBackOff");
	assert_val(phase(p), "Pending");
	runtime_fake_add_image(w->rt, "nowhere.example/x:1");
	rig_run(w->rig, 15 * NS_PER_SEC);
	assert_val(phase(pod(w, "absent")), "Running");
}

#define PRIVATE "registry.example/private:1"

static void make_secret(struct world *w, const char *name, const char *config_base64)
{
	char body[512];

	snprintf(body, sizeof(body),
		 "{\"metadata\":{\"name\":\"%s\"},\"type\":\"kubernetes.io/dockerconfigjson\","
		 "\"data\":{\".dockerconfigjson\":\"%s\"}}",
		 name, config_base64);
	expect(w->rig, 201, "POST", "/api/v1/namespaces/default/secrets", body);
}

static void make_private(struct world *w, const char *name, const char *secrets, const char *policy)
{
	char spec[512];

	snprintf(spec, sizeof(spec),
		 "\"imagePullSecrets\":[%s],\"containers\":[{\"name\":\"a\",\"image\":\"" PRIVATE
		 "\",\"imagePullPolicy\":\"%s\"}]",
		 secrets, policy);
	make(w, name, spec);
}

/* A private image is for those who can pull it, also when it is on the node already or somebody else pulls it now. */
static void test_private_images(void **state)
{
	struct world *w = *state;
	const struct val *p;

	runtime_fake_private_image(w->rt, PRIVATE, "right");
	/* {"auths":{"registry.example":{"username":"u","password":"right"}}}, and "wrong" */
	make_secret(w, "right",
		    "eyJhdXRocyI6eyJyZWdpc3RyeS5leGFtcGxlIjp7InVzZXJuYW1lIjoidSIsInBhc3N3b3JkIjoicmlnaHQifX19");
	make_secret(w, "wrong",
		    "eyJhdXRocyI6eyJyZWdpc3RyeS5leGFtcGxlIjp7InVzZXJuYW1lIjoidSIsInBhc3N3b3JkIjoid3JvbmcifX19");
	/* All at once: neither gets what is not his, nor fails for another's mistake. */
	make_private(w, "wrong", "{\"name\":\"wrong\"}", "IfNotPresent");
	make_private(w, "owner", "{\"name\":\"right\"}", "IfNotPresent");
	make_private(w, "none", "", "IfNotPresent");
	make_private(w, "both", "{\"name\":\"wrong\"},{\"name\":\"right\"}", "IfNotPresent");
	rig_run(w->rig, NS_PER_SEC);
	assert_val(phase(pod(w, "owner")), "Running");
	assert_val(phase(pod(w, "both")), "Running");
	/* Later: the image is there, and nothing changes. */
	make_private(w, "late", "", "IfNotPresent");
	make_private(w, "never", "", "Never");
	make_private(w, "always", "", "Always");
	make_private(w, "friend", "{\"name\":\"right\"}", "Never");
	rig_run(w->rig, 60 * NS_PER_SEC);
	for (size_t i = 0; i < 4; i++) {
		static const char *const refused[] = { "wrong", "none", "late", "always" };

		p = pod(w, refused[i]);
		assert_val(phase(p), "Pending");
		assert_val(val_get(cs(p, 0), F_state, F_waiting, F_reason), "ImagePullBackOff");
	}
	assert_val(val_get(cs(pod(w, "never"), 0), F_state, F_waiting, F_reason), "ErrImageNeverPull");
	assert_val(phase(pod(w, "friend")), "Running");
	/* What was there before anybody pulled it is everybody's. */
	runtime_fake_add_image(w->rt, "registry.example/preloaded:1");
	runtime_fake_private_image(w->rt, "registry.example/preloaded:1", "right");
	make(w, "preloaded", "\"containers\":[{\"name\":\"a\",\"image\":\"registry.example/preloaded:1\"}]");
	rig_run(w->rig, NS_PER_SEC);
	assert_val(phase(pod(w, "preloaded")), "Running");
}

/* More pulls than run at once: each has its turn. */
static void test_many_pulls(void **state)
{
	struct world *w = *state;
	char name[32], spec[128];

	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		snprintf(spec, sizeof(spec), "\"containers\":[{\"name\":\"a\",\"image\":\"image:%d\"}]", i);
		make(w, name, spec);
	}
	rig_run(w->rig, 2 * NS_PER_SEC);
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_val(phase(pod(w, name)), "Running");
	}
}

static const struct val *ready(struct world *w)
{
	VAL_EACH(val_get(expect(w->rig, 200, "GET", "/api/v1/nodes/n1", NULL), F_status, F_conditions), c)
		if (val_is(val_member(c, F_type), "Ready"))
			return c;
	return NULL;
}

/* Within ten seconds the Node says so, once; whoever owns the runtime hears of it after a while. */
static void test_runtime_hangs(void **state)
{
	struct world *w = *state;
	size_t calls;

	make(w, "before",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"livenessProbe\":{\"exec\":{\"command\":[\"ok\"]},"
	     "\"periodSeconds\":4,\"failureThreshold\":3}}]");
	rig_run(w->rig, NS_PER_SEC);
	hung = 0;
	calls = runtime_fake_calls(w->rt, "status") + runtime_fake_calls(w->rt, "list_images");
	runtime_fake_hang(w->rt, true);
	node_status_hurry(w->k); /* in the midst of a report */
	rig_run(w->rig, 9 * NS_PER_SEC);
	assert_int_equal(runtime_fake_calls(w->rt, "status") + runtime_fake_calls(w->rt, "list_images"), calls);
	assert_val(val_member(ready(w), F_status), "False");
	assert_val(val_member(ready(w), F_reason), "KubeletNotReady");
	assert_true(sv_starts(val_get_str(ready(w), F_message), SV("container runtime is down: it hangs")));
	assert_int_equal(hung, 0);
	calls = runtime_fake_calls(w->rt, "list_containers");
	make(w, "meanwhile", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 15 * NS_PER_SEC);
	assert_int_equal(hung, 1);
	assert_int_equal(runtime_fake_calls(w->rt, "list_containers"), calls); /* nobody waits in calls */
	rig_run(w->rig, 180 * NS_PER_SEC);
	assert_in_range(hung, 3, 4);
	assert_true(sv_find_sv(val_get_str(ready(w), F_message),
			       SV("PLEG is not healthy: pleg was last seen active 3m0s")) >= 0);
	assert_int_equal(events(w, "n1", "NodeNotReady", "Node n1 status is now: NodeNotReady"), 1);
	runtime_fake_hang(w->rt, false);
	rig_run(w->rig, 12 * NS_PER_SEC);
	assert_val(val_member(ready(w), F_status), "True");
	assert_val(phase(pod(w, "meanwhile")), "Running");
	assert_val(phase(pod(w, "before")), "Running"); /* and its probe's failures were not the container's */
	assert_int_equal(val_get_int(cs(pod(w, "before"), 0), -1, F_restartCount), 0);
	assert_int_equal(events(w, "n1", "ContainerRuntimeUp", "The container runtime answers again"), 1);
}

/* A restart of the runtime is no news; one that stays away is. */
static void test_runtime_is_gone(void **state)
{
	struct world *w = *state;

	runtime_fake_fail(w->rt, "version", 2);
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_val(val_member(ready(w), F_status), "True");
	runtime_fake_fail(w->rt, "version", 1000);
	rig_run(w->rig, 9 * NS_PER_SEC);
	assert_val(val_member(ready(w), F_status), "False");
	assert_true(sv_starts(val_get_str(ready(w), F_message), SV("container runtime is down: it is gone")));
	runtime_fake_fail(w->rt, "version", 0);
	rig_run(w->rig, 3 * NS_PER_SEC);
	assert_val(val_member(ready(w), F_status), "True");
}

static void test_sandbox_dies(void **state)
{
	struct world *w = *state;
	const struct val *p;
	struct sv ip;

	make(w, "box", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	p = pod(w, "box");
	ip = val_get_str(p, F_status, F_podIP);
	assert_true(runtime_fake_kill_sandbox(w->rt, uid_of(p)));
	rig_run(w->rig, 5 * NS_PER_SEC);
	p = pod(w, "box");
	assert_val(phase(p), "Running");
	assert_val(cond(p, "Ready"), "True");
	assert_false(sv_eq(val_get_str(p, F_status, F_podIP), ip));
	assert_int_equal(val_len(val_get(p, F_status, F_podIPs)), 1);
	assert_int_equal(val_get_int(cs(p, 0), 0, F_restartCount), 1);
}

static void test_deadline(void **state)
{
	struct world *w = *state;
	const struct val *p;

	make(w, "late", "\"activeDeadlineSeconds\":5,\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 4 * NS_PER_SEC);
	assert_val(phase(pod(w, "late")), "Running");
	rig_run(w->rig, 3 * NS_PER_SEC);
	p = pod(w, "late");
	assert_val(phase(p), "Failed");
	assert_val(val_get(p, F_status, F_reason), "DeadlineExceeded");
	assert_non_null(val_get(cs(p, 0), F_state, F_terminated));
}

/* A pod is not said to have failed while something of it still runs. */
static void test_deadline_waits_for_the_end(void **state)
{
	struct world *w = *state;
	const struct val *p;

	runtime_fake_ignore_term(w->rt, true);
	make(w, "late",
	     "\"activeDeadlineSeconds\":5,\"terminationGracePeriodSeconds\":20,"
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 15 * NS_PER_SEC);
	p = pod(w, "late");
	assert_val(phase(p), "Running");
	assert_non_null(val_get(cs(p, 0), F_state, F_running));
	rig_run(w->rig, 15 * NS_PER_SEC);
	p = pod(w, "late");
	assert_val(phase(p), "Failed");
	assert_int_equal(val_get_int(cs(p, 0), 0, F_state, F_terminated, F_exitCode), 137);
}

/* What a pod refers to and is not there is somebody else's to mend: the wait for it does not grow. */
static void test_missing_config_is_looked_for_again(void **state)
{
	struct world *w = *state;

	make(w, "asks",
	     "\"containers\":[{\"name\":\"a\",\"image\":\"demo\",\"env\":[{\"name\":\"X\",\"valueFrom\":"
	     "{\"configMapKeyRef\":{\"name\":\"cm\",\"key\":\"k\"}}}]}]");
	rig_run(w->rig, 300 * NS_PER_SEC);
	assert_val(val_get(cs(pod(w, "asks"), 0), F_state, F_waiting, F_reason), "CreateContainerConfigError");
	expect(w->rig, 201, "POST", "/api/v1/namespaces/default/configmaps",
	       "{\"metadata\":{\"name\":\"cm\"},\"data\":{\"k\":\"v\"}}");
	rig_run(w->rig, 15 * NS_PER_SEC);
	assert_val(phase(pod(w, "asks")), "Running");
}

static void test_ephemeral_container_runs_once(void **state)
{
	struct world *w = *state;
	const struct val *p, *s;
	struct sv uid;

	make(w, "web", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 2 * NS_PER_SEC);
	expect_type(w->rig, 200, "PATCH", "/api/v1/namespaces/default/pods/web/ephemeralcontainers",
		    "application/strategic-merge-patch+json",
		    "{\"spec\":{\"ephemeralContainers\":[{\"name\":\"look\",\"image\":\"demo\",\"targetContainerName\":"
		    "\"a\"}]}}");
	rig_run(w->rig, 2 * NS_PER_SEC);
	p = pod(w, "web");
	uid = uid_of(p);
	s = val_at(val_get(p, F_status, F_ephemeralContainerStatuses), 0);
	assert_val(val_member(s, F_name), "look");
	assert_non_null(val_get(s, F_state, F_running));
	assert_false(val_get_bool(s, F_ready)); /* it serves nobody */
	assert_int_equal(val_len(val_get(p, F_status, F_containerStatuses)), 1);
	assert_true(runtime_fake_exit(w->rt, uid, SV("look"), 1, "Error"));
	rig_run(w->rig, 60 * NS_PER_SEC);
	p = pod(w, "web");
	s = val_at(val_get(p, F_status, F_ephemeralContainerStatuses), 0);
	assert_int_equal(val_get_int(s, 0, F_state, F_terminated, F_exitCode), 1);
	assert_int_equal(val_get_int(s, -1, F_restartCount), 0);
	assert_val(phase(p), "Running");
	assert_val(cond(p, "Ready"), "True");
}

static void test_waits_for_the_network(void **state)
{
	struct world *w = *state;
	size_t sandboxes = runtime_fake_calls(w->rt, "run_sandbox"), events = 0;

	runtime_fake_network(w->rt, false);
	rig_run(w->rig, 15 * NS_PER_SEC); /* the node's status has seen it */
	make(w, "waits", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	make(w, "host", "\"hostNetwork\":true,\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_val(phase(pod(w, "waits")), "Pending");
	assert_val(phase(pod(w, "host")), "Running");
	assert_int_equal(runtime_fake_calls(w->rt, "run_sandbox"), sandboxes + 1);
	VAL_EACH(val_member(expect(w->rig, 200, "GET", "/api/v1/namespaces/default/events", NULL), F_items), e)
		events += val_is(val_member(e, F_reason), "NetworkNotReady");
	assert_int_equal(events, 1);
	runtime_fake_network(w->rt, true);
	rig_run(w->rig, 10 * NS_PER_SEC);
	assert_val(phase(pod(w, "waits")), "Running");
}

static void test_runtime_failures_are_retried(void **state)
{
	struct world *w = *state;

	runtime_fake_fail(w->rt, "run_sandbox", 2);
	runtime_fake_fail(w->rt, "start_container", 1);
	runtime_fake_fail(w->rt, "list_containers", 3);
	make(w, "flaky", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, 60 * NS_PER_SEC);
	assert_val(phase(pod(w, "flaky")), "Running");
	runtime_fake_fail(w->rt, "stop_container", 1);
	runtime_fake_fail(w->rt, "stop_sandbox", 1);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/flaky", NULL);
	rig_run(w->rig, 10 * NS_PER_SEC);
	gone(w, "flaky");
}

static void test_orphans_are_removed(void **state)
{
	struct world *w = *state;
	struct rt_sandbox *s;
	size_t n;

	make(w, "left", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	w->k = kubelet_free(w->k);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/left?gracePeriodSeconds=0", NULL);
	start_kubelet(w);
	rig_run(w->rig, 30 * NS_PER_SEC);
	assert_int_equal(w->rt->ops->list_sandboxes(w->rt, &w->rig->arena, SV(""), &s, &n, NULL), 0);
	assert_int_equal(n, 0);
}

static struct {
	struct rig *rig;
	const struct runtime_ops *ops;
	int inside, most;
} slow;

/* It takes a while, in which all that waits for nothing goes on. */
static int slow_stop(struct runtime *r, struct sv id, int64_t timeout_s, int64_t wait_ns, struct err *err)
{
	slow.inside++;
	slow.most = MAX(slow.most, slow.inside);
	rig_run(slow.rig, 0);
	slow.inside--;
	return slow.ops->stop_container(r, id, timeout_s, wait_ns, err);
}

/* Ended beside each other: none waits for all before it, and no relist for any. */
static void test_many_orphans(void **state)
{
	struct world *w = *state;
	struct runtime_ops ops = *w->rt->ops;
	struct rt_sandbox *s;
	char name[32];
	size_t n;

	slow = (typeof(slow)){ .rig = w->rig, .ops = w->rt->ops };
	ops.stop_container = slow_stop;
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "left-%d", i);
		make(w, name, "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	}
	rig_run(w->rig, NS_PER_SEC);
	w->k = kubelet_free(w->k);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods?gracePeriodSeconds=0", NULL);
	w->rt->ops = &ops;
	start_kubelet(w);
	rig_run(w->rig, 30 * NS_PER_SEC);
	w->rt->ops = slow.ops;
	assert_int_equal(slow.most, 8);
	assert_int_equal(w->rt->ops->list_sandboxes(w->rt, &w->rig->arena, SV(""), &s, &n, NULL), 0);
	assert_int_equal(n, 0);
}

/* Nobody wanted it to go. Deleted, it goes like any other. */
static void test_pods_set_aside_run_on(void **state)
{
	static const char *const masters[] = { "system:masters", NULL };
	char dir[] = "/tmp/caravel-lifecycle-XXXXXX";
	struct world *w = *state;
	struct rt_sandbox *s;
	size_t n;

	assert_non_null(mkdtemp(dir));
	make(w, "bad", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	make(w, "good", "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	rig_run(w->rig, NS_PER_SEC);
	w->k = kubelet_free(w->k);
	assert_int_equal(quarantine_add(dir, SV("/registry/pods/default/bad"), NULL), 0);
	quarantine_load(dir);
	rig_run(w->rig, NS_PER_SEC);
	w->client = client_free(w->client);
	rig_restart(w->rig);
	w->client = apiserver_client(w->rig->server, "kubelet", "system:node:n1", masters);
	start_kubelet(w);
	rig_run(w->rig, 120 * NS_PER_SEC);
	assert_val(phase(pod(w, "good")), "Running");
	assert_int_equal(w->rt->ops->list_sandboxes(w->rt, &w->rig->arena, SV(""), &s, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_true(s[0].ready && s[1].ready);
	expect(w->rig, 200, "DELETE", "/api/v1/namespaces/default/pods/bad", NULL);
	rig_run(w->rig, 120 * NS_PER_SEC);
	assert_int_equal(w->rt->ops->list_sandboxes(w->rt, &w->rig->arena, SV(""), &s, &n, NULL), 0);
	assert_int_equal(n, 1);
	quarantine_load("/nonexistent");
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void test_many(void **state)
{
	struct world *w = *state;
	char name[32];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		make(w, name, "\"containers\":[{\"name\":\"a\",\"image\":\"demo\"}]");
	}
	rig_run(w->rig, 5 * NS_PER_SEC);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_val(phase(pod(w, name)), "Running");
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_node_registers),
		T(test_runs_and_is_deleted),
		T(test_few_questions),
		T(test_grace_period),
		T(test_crash_loop),
		T(test_completes),
		T(test_init_containers),
		T(test_init_rules),
		T(test_probes),
		T(test_probe_success_threshold),
		T(test_probe_grace),
		T(test_claims),
		T(test_liveness),
		T(test_hooks),
		T(test_resize),
		T(test_resize_pod_level),
		T(test_full_volume),
		T(test_failed_hook),
		T(test_refused),
		T(test_no_room_for_volumes),
		T(test_refused_by_filters),
		T(test_forced_deletion_frees_its_place),
		T(test_refusal_and_place_outlive_the_agent),
		T(test_critical_preempts),
		T(test_isolation_is_given_or_refused),
		T(test_what_the_runtime_is_told),
		T(test_stopping_outlives_the_agent),
		T(test_hook_outlives_the_agent),
		T(test_images),
		T(test_private_images),
		T(test_many_pulls),
		T(test_runtime_hangs),
		T(test_runtime_is_gone),
		T(test_sandbox_dies),
		T(test_deadline),
		T(test_deadline_waits_for_the_end),
		T(test_missing_config_is_looked_for_again),
		T(test_ephemeral_container_runs_once),
		T(test_waits_for_the_network),
		T(test_runtime_failures_are_retried),
		T(test_orphans_are_removed),
		T(test_many_orphans),
		T(test_pods_set_aside_run_on),
		T(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
