/* What one change costs a controller, with n things around it and with ten times as many: it may look at all of them
 * once, but not at all for each. */
#include "costs.h"
#include "world.h"

#include "base/buf.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

#define N 20 /* and ten times as many */

#define TEMPLATE                                                                                               \
	"\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\"," \
	"\"image\":\"a\",\"ports\":[{\"name\":\"http\",\"containerPort\":8080}]}]}}"
#define SELECTOR "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},"

struct sync_case {
	const char *controllers[4];		  /* that run */
	const struct resource *res;		  /* of what they look after */
	const char *json;			  /* %zu: how many pods */
	enum { OWN, OWN_OF_NODES, BY_HAND } pods; /* its own, on one node or one on each; or made before */
	bool budget;				  /* they are protected by one */
};

static void make(struct world *w, const struct resource *r, const char *json)
{
	obj_unref(fake_api_create(w->api, r, r->namespaced ? "default" : "", json));
}

static size_t wanted;

static bool all_ready(struct world *w)
{
	return world_pods(w, "default", true) == wanted;
}

/* The name of some pod. */
static char *any_pod(struct world *w)
{
	struct obj_list l = { 0 };
	char *name;

	assert_int_equal(client_list(fake_api_client(w->api), RES(core_pods), SV("default"), NULL, &l, NULL), 0);
	assert_true(l.n > 0);
	name = xstrndup(obj_name(l.items[l.n / 2]).p, obj_name(l.items[l.n / 2]).n);
	obj_list_release(&l);
	return name;
}

/* Everything is as it should be; then one pod is not ready any more. */
static void run_sync(struct cost *c, size_t n, const void *arg)
{
	const struct sync_case *s = arg;
	struct world *w = world_new(1, s->controllers);
	_cleanup_free_ char *json = xasprintf(s->json, n), *pod = NULL;

	wanted = n;
	for (size_t i = 0; i < (s->pods == OWN_OF_NODES ? n : 1); i++) {
		_cleanup_free_ char *node = xasprintf(
		    "{\"metadata\":{\"name\":\"node-%zu\"},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
		    "\"True\"}]}}",
		    i);

		make(w, RES(core_nodes), node);
	}
	make(w, s->res, json);
	if (s->budget)
		make(w, RES(policy_poddisruptionbudgets),
		     "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"minAvailable\":1," SELECTOR "\"x\":1}}");
	for (size_t i = 0; s->pods == BY_HAND && i < n; i++) {
		_cleanup_free_ char *one = xasprintf(
		    "{\"metadata\":{\"name\":\"p-%zu\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"nodeName\":\"node-0\","
		    "\"containers\":[{\"name\":\"c\",\"image\":\"a\",\"ports\":[{\"name\":\"http\",\"containerPort\":"
		    "8080}]}]}}",
		    i);

		make(w, RES(core_pods), one);
	}
	world_until(w, 600 * NS_PER_SEC, all_ready);
	world_run(w, 10 * NS_PER_SEC);
	w->no_kubelet = true;
	pod = any_pod(w);
	cost_begin(c);
	fake_api_patch(w->api, RES(core_pods), "default", pod, "status",
		       "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
	world_run(w, 2 * NS_PER_SEC);
	cost_end(c);
	world_free(w);
}

#define SYNC(the_name, ...)                                                 \
	{                                                                   \
		the_name, run_sync, &(const struct sync_case)__VA_ARGS__, N \
	}

static void test_one_change(void **state)
{
	const struct cost_row rows[] = {
		SYNC("replicaset",
		     { { "replicaset-controller" },
		       RES(apps_replicasets),
		       "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%zu," SELECTOR TEMPLATE "}}",
		       OWN,
		       false }),
		SYNC("deployment",
		     { { "deployment-controller", "replicaset-controller" },
		       RES(apps_deployments),
		       "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%zu," SELECTOR TEMPLATE "}}",
		       OWN,
		       false }),
		SYNC("statefulset",
		     { { "statefulset-controller" },
		       RES(apps_statefulsets),
		       "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%zu,\"podManagementPolicy\":"
		       "\"Parallel\"," SELECTOR TEMPLATE "}}",
		       OWN,
		       false }),
		SYNC("daemonset", { { "daemonset-controller" },
				    RES(apps_daemonsets),
				    "{\"metadata\":{\"name\":\"web%.0zu\"},\"spec\":{" SELECTOR TEMPLATE "}}",
				    OWN_OF_NODES,
				    false }),
		SYNC("endpointslices",
		     { { "endpointslice-controller" },
		       RES(core_services),
		       "{\"metadata\":{\"name\":\"web%.0zu\"},\"spec\":{\"selector\":{\"app\":\"web\"},"
		       "\"ports\":[{\"name\":\"http\",\"port\":80,\"targetPort\":\"http\"}]}}",
		       BY_HAND,
		       false }),
		SYNC("endpoints",
		     { { "endpoints-controller" },
		       RES(core_services),
		       "{\"metadata\":{\"name\":\"web%.0zu\"},\"spec\":{\"selector\":{\"app\":\"web\"},\"ports\":"
		       "[{\"name\":\"http\",\"port\":80,\"targetPort\":\"http\"}]}}",
		       BY_HAND,
		       false }),
		SYNC("disruption",
		     { { "disruption-controller", "replicaset-controller" },
		       RES(apps_replicasets),
		       "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%zu," SELECTOR TEMPLATE "}}",
		       OWN,
		       true }),
		SYNC(
		    "job",
		    { { "job-controller" },
		      RES(batch_jobs),
		      "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"parallelism\":%1$zu,\"completions\":%1$zu," SELECTOR
		      "\"manualSelector\":true,\"completionMode\":\"Indexed\",\"backoffLimit\":6," TEMPLATE "}}",
		      OWN,
		      false }),
	};

	(void)state;
	expect_linear(rows, ARRAY_LEN(rows));
}

/* An owner goes, and n with it; n others stay. */
static void run_collect(struct cost *c, size_t n, const void *arg)
{
	static const char *const only[] = { "garbage-collector-controller", NULL };
	struct world *w = world_new(1, only);
	_cleanup_obj_ struct obj *owner =
	    fake_api_create(w->api, RES(core_configmaps), "default", "{\"metadata\":{\"name\":\"owner\"}}");

	(void)arg;
	for (size_t i = 0; i < 2 * n; i++) {
		_cleanup_free_ char *json = xasprintf(
		    "{\"metadata\":{\"name\":\"c-%zu\"%s%.*s%s}}", i,
		    i % 2 ? ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"owner\","
			    "\"uid\":\""
			  : "",
		    i % 2 ? (int)obj_uid(owner).n : 0, obj_uid(owner).p, i % 2 ? "\"}]" : "");

		make(w, RES(core_configmaps), json);
	}
	world_run(w, 5 * NS_PER_SEC);
	cost_begin(c);
	fake_api_delete(w->api, RES(core_configmaps), "default", "owner", NULL);
	world_run(w, 30 * NS_PER_SEC);
	cost_end(c);
	assert_int_equal(fake_api_count(w->api, RES(core_configmaps), "default"), n);
	world_free(w);
}

static void test_collect(void **state)
{
	const struct cost_row row = { "garbage collection", run_collect, NULL, 100 };

	(void)state;
	expect_linear(&row, 1);
}

/* Endpoints by hand with n subsets, each a slice, whose order changes, and one of them. */
static void run_mirror(struct cost *c, size_t n, const void *arg)
{
	static const char *const only[] = { "endpointslice-mirroring-controller", NULL };
	struct world *w = world_new(1, only);

	(void)arg;
	make(w, RES(core_services), "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
	for (int round = 0; round < 2; round++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		buf_adds(&b, "{\"metadata\":{\"name\":\"web\"},\"subsets\":[");
		for (size_t i = 0; i < n; i++) {
			buf_printf(&b, "%s{\"addresses\":[{\"ip\":\"10.9.%d.%zu\"}],\"ports\":[", i ? "," : "",
				   round && i == n / 2, (round ? n - i : i + 1) % 200 + 1);
			for (int k = 0; k < 9; k++) /* all but the last are alike */
				buf_printf(&b, "{\"name\":\"p%d\",\"port\":%d,\"protocol\":\"TCP\"},", k, k + 1);
			buf_printf(&b, "{\"name\":\"q\",\"port\":%zu,\"protocol\":\"TCP\"}]}",
				   (round ? n - i : i + 1) + 100);
		}
		buf_adds(&b, "]}");
		if (round) {
			cost_begin(c);
			fake_api_patch(w->api, RES(core_endpoints), "default", "web", NULL, buf_cstr(&b));
		} else {
			make(w, RES(core_endpoints), buf_cstr(&b));
		}
		world_run(w, 30 * NS_PER_SEC);
	}
	cost_end(c);
	assert_int_equal(fake_api_count(w->api, RES(discovery_endpointslices), "default"), n);
	world_free(w);
}

static void test_mirror(void **state)
{
	const struct cost_row row = { "endpointslice mirroring", run_mirror, NULL, 100 };

	(void)state;
	expect_linear(&row, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_change), cmocka_unit_test(test_collect),
					    cmocka_unit_test(test_mirror) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
