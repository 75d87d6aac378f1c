/* A whole node on the real runtime: API server, kubelet with its HTTPS server, private containerd, real pods.
 *
 * Skipped, saying why, without root, containerd or the CNI plugins. Waiting is by looking again: nothing here asserts
 * how long something took.
 */
#include "node_place.h"
#include "unit.h"

#include "apiserver/apiserver.h"
#include "codec/json.h"
#include "ev/ev.h"
#include "kubelet/cni.h"
#include "kubelet/containerd.h"
#include "kubelet/fsutil.h"
#include "kubelet/image.h"
#include "kubelet/kubelet.h"
#include "net/http_client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
	struct env *env;
	struct store *store;
	struct apiserver *api;
	struct client *client, *node_client;
	struct containerd *daemon;
	struct runtime *rt;
	struct kubelet *k;
	struct arena a;
	struct node_place place;
	struct sv cert, key;
	struct http_endpoint kubelet;
	struct http_pool *pool;
} w;

#define OK(call)                                                 \
	do {                                                     \
		struct err e_ = ERR_INIT;                        \
		if ((call) < 0)                                  \
			fail_msg("%s: %s", #call, err_msg(&e_)); \
	} while (0)

static char *path(const char *rest)
{
	return arena_printf(&w.a, "%s/%s", w.place.dir, rest);
}

static void start_kubelet(void)
{
	static const char *const ips[] = { "127.0.0.1", NULL };
	struct sv cert, key;
	struct err err = ERR_INIT;

	OK(apiserver_issue_server_cert(w.api, &w.a, "system:node:n1", NULL, ips, &cert, &key, &e_));
	w.k = kubelet_new(&(struct kubelet_opts){ .env = w.env,
						  .client = w.node_client,
						  .runtime = w.rt,
						  .node_name = "n1",
						  .node_ips = "127.0.0.1",
						  .root_dir = path("kubelet"),
						  .log_dir = w.place.log_dir,
						  .cluster_dns = "10.43.0.10",
						  .cgroup_root = w.place.cgroup_root,
						  .serving_cert = cert,
						  .serving_key = key,
						  .client_ca = apiserver_ca_pem(w.api) },
			  &err);
	if (!w.k)
		fail_msg("%s", err_msg(&err));
	w.kubelet = (struct http_endpoint){
		.host = "127.0.0.1",
		.port = kubelet_port(w.k),
		.tls = tls_client_ctx(&(struct tls_client_opts){ .ca_pem = apiserver_ca_pem(w.api),
								 .cert_pem = w.cert,
								 .key_pem = w.key },
				      &err),
	};
}

static void setup(void)
{
	static const char *const masters[] = { "system:masters", NULL }, *const nodes[] = { "system:nodes", NULL };
	char bridge[16];
	struct sv tar;

	w.env = env_real_new(16);
	node_place_take(&w.place, w.env);
	w.store = store_mem_new(w.env);
	struct err err = ERR_INIT;
	w.api =
	    apiserver_new(&(struct apiserver_opts){ .env = w.env, .store = w.store, .data_dir = w.place.dir }, &err);
	if (!w.api) {
		fprintf(stderr, "# %s\n", err_msg(&err));
		exit(1);
	}
	w.client = apiserver_client(w.api, "test", "test", masters);
	w.node_client = apiserver_client(w.api, "kubelet", "system:node:n1", nodes);
	OK(apiserver_issue_client_cert(w.api, &w.a, "test", masters, &w.cert, &w.key, &e_));
	cni_bridge_name(w.place.dir, bridge);
	OK(cni_write(&(struct cni_opts){ .conf_dir = path("cni/net.d"),
					 .state_dir = path("cni/state"),
					 .bridge = arena_strdup(&w.a, bridge),
					 .pod_cidr = w.place.pod_cidr },
		     &e_));
	w.daemon = containerd_start(&(struct containerd_opts){ .env = w.env, .data_dir = w.place.dir }, &err);
	if (!w.daemon || !(w.rt = runtime_cri_new(w.env, containerd_endpoint(w.daemon), &err))) {
		fprintf(stderr, "# %s\n", err_msg(&err));
		exit(1);
	}
	OK(image_build_demo(&w.a, "", &tar, &e_));
	OK(image_import_bytes(containerd_socket(w.daemon), w.place.dir, tar, &e_));
	w.pool = http_pool_new();
	start_kubelet();
}

static const struct val *json(const char *text)
{
	struct err err = ERR_INIT;
	struct val *v = json_decode(&w.a, sv_from(text), NULL, &err);

	if (!v)
		fail_msg("%s", err_msg(&err));
	return v;
}

static void create(const struct resource *r, const char *text)
{
	OK(client_create(w.client, r, SV("default"), json(text), NULL, NULL, &e_));
}

static const struct val *get_pod(const char *name)
{
	struct obj *o;

	if (client_get(w.client, RES(core_pods), SV("default"), sv_from(name), &o, NULL) < 0)
		return NULL;
	return obj_root(obj_link(&w.a, o));
}

static bool ready(const struct val *p)
{
	VAL_EACH(val_get(p, F_status, F_conditions), c)
		if (val_is(val_member(c, F_type), "Ready"))
			return val_is(val_member(c, F_status), "True");
	return false;
}

static bool succeeded(const struct val *p)
{
	return val_is(val_get(p, F_status, F_phase), "Succeeded");
}

static bool absent(const struct val *p)
{
	return !p;
}

/* Looks again until it is so; a minute at most. */
static const struct val *wait_pod(const char *name, bool (*so)(const struct val *p))
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *p = NULL;

	for (int i = 0; i < 6000; i++) {
		p = get_pod(name);
		if (so(p))
			return p;
		poll(NULL, 0, 10);
	}
	if (p)
		json_encode(&b, val_member(p, F_status));
	fail_msg("pod %s does not get there: %s", name, buf_cstr(&b));
	return NULL;
}

static struct sv kubelet_get(const char *target, int want)
{
	struct http_response r;

	OK(http_call(w.pool, &w.a, &w.kubelet, "GET", target, NULL, 0, SV(""), 20 * NS_PER_SEC, 8 << 20, &r, &e_));
	if (r.status != want)
		fail_msg("GET %s: %d %.*s", target, r.status, SV_ARG(r.body));
	return r.body;
}

static void test_node_is_ready(void **state)
{
	struct obj *o;
	bool ok = false;

	(void)state;
	for (int i = 0; i < 3000 && !ok; i++) {
		if (client_get(w.client, RES(core_nodes), SV(""), SV("n1"), &o, NULL) == 0)
			ok = ready(obj_root(obj_link(&w.a, o)));
		if (!ok)
			poll(NULL, 0, 10);
	}
	assert_true(ok);
	assert_true(
	    sv_starts(val_str(obj_get(o, F_status, F_nodeInfo, F_containerRuntimeVersion)), SV("containerd://")));
	assert_true(val_int_or(obj_get(o, F_status, F_daemonEndpoints, F_kubeletEndpoint, F_Port), 0) > 0);
	create(RES(core_serviceaccounts), "{\"metadata\":{\"name\":\"default\"}}");
	create(RES(core_configmaps), "{\"metadata\":{\"name\":\"kube-root-ca.crt\"},\"data\":{\"ca.crt\":\"x\"}}");
}

static void test_web_pod(void **state)
{
	const struct val *p;
	struct http_response r;
	struct http_endpoint ep = { .port = 8080 };
	struct sv logs;

	(void)state;
	create(RES(core_configmaps),
	       "{\"metadata\":{\"name\":\"site\"},\"data\":{\"index.html\":\"ahoy\\n\",\"KEY\":\"from-map\"}}");
	create(RES(core_secrets), "{\"metadata\":{\"name\":\"hush\"},\"data\":{\"word\":\"c2VjcmV0\"}}");
	create(
	    RES(core_pods),
	    "{\"metadata\":{\"name\":\"web\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"nodeName\":\"n1\","
	    "\"terminationGracePeriodSeconds\":1,"
	    "\"initContainers\":[{\"name\":\"init\",\"image\":\"caravel/demo:1\",\"imagePullPolicy\":\"IfNotPresent\","
	    "\"command\":[\"sh\",\"-c\",\"echo made > "
	    "/share/made\"],\"volumeMounts\":[{\"name\":\"share\",\"mountPath\":\"/share\"}]}],"
	    "\"containers\":[{\"name\":\"main\",\"image\":\"caravel/demo:1\",\"imagePullPolicy\":\"IfNotPresent\","
	    "\"command\":[\"sh\",\"-c\",\"echo $(POD_NAME) $KEY $IP; cat /share/made /sub/x.html /hush/word "
	    "/pod/labels; ls /var/run/secrets/kubernetes.io/serviceaccount; tail -n1 /etc/hosts; exec httpd -f -p 8080 "
	    "-h /site\"],"
	    "\"env\":[{\"name\":\"POD_NAME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}},{\"name\":"
	    "\"IP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIP\"}}}],"
	    "\"envFrom\":[{\"configMapRef\":{\"name\":\"site\"}}],"
	    "\"resources\":{\"requests\":{\"cpu\":\"50m\",\"memory\":\"16Mi\"},\"limits\":{\"memory\":\"64Mi\"}},"
	    "\"readinessProbe\":{\"httpGet\":{\"path\":\"/index.html\",\"port\":\"http\"},\"periodSeconds\":1},"
	    "\"livenessProbe\":{\"exec\":{\"command\":[\"true\"]},\"periodSeconds\":1},"
	    "\"ports\":[{\"name\":\"http\",\"containerPort\":8080}],"
	    "\"volumeMounts\":[{\"name\":\"site\",\"mountPath\":\"/site\"},{\"name\":\"share\",\"mountPath\":\"/"
	    "share\"},"
	    "{\"name\":\"site\",\"mountPath\":\"/sub/"
	    "x.html\",\"subPath\":\"index.html\"},{\"name\":\"hush\",\"mountPath\":\"/"
	    "hush\"},{\"name\":\"pod\",\"mountPath\":\"/pod\"}]}],"
	    "\"volumes\":[{\"name\":\"site\",\"configMap\":{\"name\":\"site\"}},{\"name\":\"share\",\"emptyDir\":{"
	    "\"medium\":\"Memory\"}},"
	    "{\"name\":\"hush\",\"secret\":{\"secretName\":\"hush\"}},{\"name\":\"pod\",\"downwardAPI\":{\"items\":[{"
	    "\"path\":\"labels\",\"fieldRef\":{\"fieldPath\":\"metadata.labels\"}}]}}]}}");
	p = wait_pod("web", ready);
	assert_true(val_is(val_get(p, F_status, F_qosClass), "Burstable"));
	ep.host = arena_cstr(&w.a, val_get_str(p, F_status, F_podIP));
	OK(http_call(w.pool, &w.a, &ep, "GET", "/index.html", NULL, 0, SV(""), 10 * NS_PER_SEC, 1 << 20, &r, &e_));
	assert_int_equal(r.status, 200);
	assert_sv(r.body, "ahoy\n");
	logs = kubelet_get("/containerLogs/default/web/main", 200);
	assert_true(sv_find_sv(logs, arena_svf(&w.a, "web from-map %s\n", ep.host)) >= 0);
	assert_true(sv_find_sv(logs, SV("made\nahoy\nsecret")) >= 0);
	assert_true(sv_find_sv(logs, SV("app=\"web\"")) >= 0);
	assert_true(sv_find_sv(logs, SV("ca.crt\nnamespace\ntoken\n")) >= 0);
	assert_true(sv_find_sv(logs, arena_svf(&w.a, "%s\tweb\n", ep.host)) >= 0);
	logs = kubelet_get("/containerLogs/default/web/main?tailLines=1&timestamps=true", 200);
	assert_true(sv_find_sv(logs, SV("Z ")) > 0);
	kubelet_get("/containerLogs/default/web/nope", 400);
	kubelet_get("/containerLogs/default/absent/main", 404);
	assert_true(sv_find_sv(kubelet_get("/pods", 200), SV("\"name\":\"web\"")) > 0);
	assert_true(sv_find_sv(kubelet_get("/stats/summary", 200), SV("\"name\":\"web\"")) > 0);
	assert_true(sv_find_sv(kubelet_get("/metrics", 200), SV("kubelet_running_pods 1\n")) > 0);
}

static void test_server_asks_who(void **state)
{
	struct http_endpoint ep = w.kubelet;
	struct http_response r;
	struct err err = ERR_INIT;

	(void)state;
	ep.tls = tls_client_ctx(&(struct tls_client_opts){ .ca_pem = apiserver_ca_pem(w.api) }, &err);
	OK(http_call(w.pool, &w.a, &ep, "GET", "/pods", NULL, 0, SV(""), 10 * NS_PER_SEC, 1 << 20, &r, &e_));
	assert_int_equal(r.status, 401);
	OK(http_call(w.pool, &w.a, &ep, "GET", "/healthz", NULL, 0, SV(""), 10 * NS_PER_SEC, 1 << 20, &r, &e_));
	assert_int_equal(r.status, 401); /* no page is for everybody */
	tls_ctx_unref(ep.tls);
}

static void test_job_with_message(void **state)
{
	const struct val *p, *t;
	struct sv logs;

	(void)state;
	create(RES(core_pods),
	       "{\"metadata\":{\"name\":\"job\"},\"spec\":{\"nodeName\":\"n1\",\"restartPolicy\":\"OnFailure\","
	       "\"containers\":"
	       "[{\"name\":\"c\",\"image\":\"caravel/demo:1\",\"imagePullPolicy\":\"Never\",\"command\":[\"sh\",\"-c\","
	       "\"echo line; echo bye > /dev/termination-log; test -e /keep/again || { touch /keep/again; exit 3; }\"],"
	       "\"volumeMounts\":[{\"name\":\"keep\",\"mountPath\":\"/"
	       "keep\"}]}],\"volumes\":[{\"name\":\"keep\",\"emptyDir\":{}}]}}");
	p = wait_pod("job", succeeded);
	t = val_at(val_get(p, F_status, F_containerStatuses), 0);
	assert_sv(val_get_str(t, F_state, F_terminated, F_message), "bye\n");
	assert_int_equal(val_get_int(t, 0, F_restartCount), 1);
	assert_int_equal(val_get_int(t, 0, F_lastState, F_terminated, F_exitCode), 3);
	logs = kubelet_get("/containerLogs/default/job/c?follow=true", 200);
	assert_sv(logs, "line\n");
	assert_sv(kubelet_get("/containerLogs/default/job/c?previous=true", 200), "line\n");
}

/* The agent goes and comes: nothing is restarted. */
static void test_agent_restart(void **state)
{
	const struct val *p = get_pod("web");
	struct sv id = val_get_str(val_at(val_get(p, F_status, F_containerStatuses), 0), F_containerID);

	(void)state;
	tls_ctx_unref(w.kubelet.tls);
	w.k = kubelet_free(w.k);
	start_kubelet();
	p = wait_pod("web", ready);
	poll(NULL, 0, 1500); /* probes run again; a wrong restart would come now */
	p = wait_pod("web", ready);
	assert_true(sv_eq(id, val_get_str(val_at(val_get(p, F_status, F_containerStatuses), 0), F_containerID)));
	assert_int_equal(val_get_int(val_at(val_get(p, F_status, F_containerStatuses), 0), -1, F_restartCount), 0);
}

static void test_delete(void **state)
{
	struct sv mounts;

	(void)state;
	OK(client_delete(w.client, RES(core_pods), SV("default"), SV("web"), NULL, &e_));
	OK(client_delete(w.client, RES(core_pods), SV("default"), SV("job"), NULL, &e_));
	wait_pod("web", absent);
	wait_pod("job", absent);
	for (int i = 0; i < 1000; i++) {
		struct rt_sandbox *s;
		size_t n;

		OK(w.rt->ops->list_sandboxes(w.rt, &w.a, SV(""), &s, &n, &e_));
		if (!n)
			break;
		assert_true(i < 999);
		poll(NULL, 0, 10);
	}
	OK(file_read(&w.a, "/proc/self/mountinfo", 4 << 20, &mounts, &e_));
	assert_true(sv_find_sv(mounts, sv_from(path("kubelet/pods"))) < 0);
}

static int finish(void)
{
	bool ok;

	tls_ctx_unref(w.kubelet.tls);
	http_pool_free(w.pool);
	w.k = kubelet_free(w.k);
	client_free(w.node_client);
	client_free(w.client);
	apiserver_shutdown(w.api);
	apiserver_free(w.api);
	store_close(w.store);
	w.rt->ops->free(w.rt);
	containerd_free(w.daemon);
	ok = node_place_leave(&w.place, w.env);
	arena_release(&w.a);
	env_real_free(w.env);
	return !ok;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_node_is_ready),	cmocka_unit_test(test_web_pod),
		cmocka_unit_test(test_server_asks_who), cmocka_unit_test(test_job_with_message),
		cmocka_unit_test(test_agent_restart),	cmocka_unit_test(test_delete),
	};
	int rc;

	if (geteuid() != 0 || access("/usr/bin/containerd", X_OK) < 0 || access("/bin/busybox", X_OK) < 0 ||
	    !cni_find_plugins()) {
		fprintf(stderr, "SKIPPED: a node needs root, containerd, runc, busybox-static and the CNI plugins\n");
		return 77;
	}
	setup();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	return rc | finish();
}
