/* Nodes: heartbeats, taints, eviction, pod ranges, pods of nodes that are gone; and roles. */
#include "world.h"

#include "base/timefmt.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const nodes[] = { "node-lifecycle-controller", "taint-eviction-controller", NULL };
static const struct resource *const node_res = RES(core_nodes), *const pod_res = RES(core_pods),
				    *const lease_res = RES(coordination_leases);

static void make(struct world *w, const struct resource *r, const char *ns, const char *json)
{
	obj_unref(fake_api_create(w->api, r, ns, json));
}

static void make_node(struct world *w, const char *name)
{
	_cleanup_free_ char *json = xasprintf(
	    "{\"metadata\":{\"name\":\"%s\"},\"status\":{\"conditions\":["
	    "{\"type\":\"MemoryPressure\",\"status\":\"False\"},{\"type\":\"DiskPressure\",\"status\":\"False\"},"
	    "{\"type\":\"PIDPressure\",\"status\":\"False\"},{\"type\":\"Ready\",\"status\":\"True\",\"reason\":"
	    "\"KubeletReady\"}]}}",
	    name);
	_cleanup_free_ char *lease =
	    xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"holderIdentity\":\"%s\"}}", name, name);

	make(w, node_res, "", json);
	make(w, lease_res, "kube-node-lease", lease);
}

static void renew(struct world *w, const char *name)
{
	char text[TIME_TEXT_MAX];
	struct sv now = time_format(env_now_ns(w->env), true, text);
	_cleanup_free_ char *json = xasprintf("{\"spec\":{\"renewTime\":\"%.*s\"}}", SV_ARG(now));

	fake_api_patch(w->api, lease_res, "kube-node-lease", name, NULL, json);
}

static void run_renewing(struct world *w, int seconds, const char *const *alive)
{
	for (int s = 0; s < seconds; s++) {
		if (s % 10 == 0)
			for (const char *const *n = alive; *n; n++)
				renew(w, *n);
		world_run(w, NS_PER_SEC);
	}
}

static bool tainted(struct world *w, const char *node, const char *key, const char *effect)
{
	_cleanup_obj_ struct obj *o = fake_api_get(w->api, node_res, "", node);

	VAL_EACH(obj_get(o, F_spec, F_taints), t)
		if (val_is(val_member(t, F_key), key) && val_is(val_member(t, F_effect), effect))
			return true;
	return false;
}

static bool node_condition(struct world *w, const char *node, const char *type, const char *status)
{
	_cleanup_obj_ struct obj *o = fake_api_get(w->api, node_res, "", node);

	return condition_is(obj_get(o, F_status, F_conditions), type, status);
}

static void make_pod(struct world *w, const char *name, const char *node, const char *tolerations)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":\"%s\",\"tolerations\":[%s],"
		      "\"containers\":[{\"name\":\"c\",\"image\":\"a\"}]}}",
		      name, node, tolerations);

	make(w, pod_res, "default", json);
}

static bool going(struct world *w, const char *pod)
{
	_cleanup_obj_ struct obj *o = fake_api_get(w->api, pod_res, "default", pod);

	return !o || obj_deleting(o);
}

#define FOR_300                          \
	"{\"key\":\"node.kubernetes.io/" \
	"unreachable\",\"operator\":\"Exists\",\"effect\":\"NoExecute\",\"tolerationSeconds\":300}"

static void test_silent_node(void **state)
{
	struct world *w = world_new(1, nodes);
	static const char *const both[] = { "a", "b", NULL }, *const only_a[] = { "a", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = NULL, *pod = NULL;
	const struct val *ready;

	(void)state;
	make_node(w, "a");
	make_node(w, "b");
	make_pod(w, "stays", "b", "{\"operator\":\"Exists\"}");
	make_pod(w, "usual", "b", FOR_300);
	make_pod(w, "elsewhere", "a", FOR_300);
	run_renewing(w, 300, both);
	assert_true(node_condition(w, "b", "Ready", "True"));
	assert_false(tainted(w, "b", "node.kubernetes.io/unreachable", "NoSchedule"));

	/* b's last word was up to 10 s ago: still in the grace after 25 s, not after 50. */
	w->no_kubelet = true;
	run_renewing(w, 25, only_a);
	assert_true(node_condition(w, "b", "Ready", "True"));
	run_renewing(w, 25, only_a);
	node = fake_api_get(w->api, node_res, "", "b");
	ready = condition_find(obj_get(node, F_status, F_conditions), "Ready");
	assert_sv(val_get_str(ready, F_status), "Unknown");
	assert_sv(val_get_str(ready, F_reason), "NodeStatusUnknown");
	assert_sv(val_get_str(ready, F_message), "Kubelet stopped posting node status.");
	assert_true(node_condition(w, "b", "DiskPressure", "Unknown"));
	assert_true(tainted(w, "b", "node.kubernetes.io/unreachable", "NoSchedule"));
	assert_true(tainted(w, "b", "node.kubernetes.io/unreachable", "NoExecute"));
	pod = fake_api_get(w->api, pod_res, "default", "usual");
	assert_false(pod_is_ready(pod));
	assert_false(going(w, "usual"));
	assert_true(node_condition(w, "a", "Ready", "True"));

	run_renewing(w, 280, only_a);
	assert_false(going(w, "usual"));
	run_renewing(w, 30, only_a);
	assert_true(going(w, "usual"));
	assert_false(going(w, "stays"));
	assert_false(going(w, "elsewhere"));
	assert_true(world_event(w, &a, "TaintManagerEviction").n > 0);

	/* Back again. */
	fake_api_patch(
	    w->api, node_res, "", "b", "status",
	    "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\"}]}}");
	run_renewing(w, 20, both);
	assert_true(node_condition(w, "b", "Ready", "True"));
	assert_false(tainted(w, "b", "node.kubernetes.io/unreachable", "NoSchedule"));
	assert_false(tainted(w, "b", "node.kubernetes.io/unreachable", "NoExecute"));
	world_free(w);
}

static void test_all_silent(void **state)
{
	struct world *w = world_new(2, nodes);

	(void)state;
	make_node(w, "a");
	make_pod(w, "p", "a", "");
	world_run(w, 600 * NS_PER_SEC);
	/* The only node is silent: nobody is evicted, as there is nowhere to go. */
	assert_true(tainted(w, "a", "node.kubernetes.io/unreachable", "NoSchedule"));
	assert_false(tainted(w, "a", "node.kubernetes.io/unreachable", "NoExecute"));
	assert_false(going(w, "p"));
	world_free(w);
}

static void test_conditions_to_taints(void **state)
{
	struct world *w = world_new(3, nodes);

	(void)state;
	make_node(w, "a");
	fake_api_patch(w->api, node_res, "", "a", NULL,
		       "{\"spec\":{\"unschedulable\":true,\"taints\":[{\"key\":\"mine\",\"effect\":\"NoSchedule\"}]}}");
	fake_api_patch(
	    w->api, node_res, "", "a", "status",
	    "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},{\"type\":\"MemoryPressure\","
	    "\"status\":\"True\"}]}}");
	world_run(w, NS_PER_SEC);
	assert_true(tainted(w, "a", "node.kubernetes.io/unschedulable", "NoSchedule"));
	assert_true(tainted(w, "a", "node.kubernetes.io/memory-pressure", "NoSchedule"));
	assert_true(tainted(w, "a", "mine", "NoSchedule"));
	fake_api_patch(w->api, node_res, "", "a", NULL, "{\"spec\":{\"unschedulable\":false}}");
	world_run(w, NS_PER_SEC);
	assert_false(tainted(w, "a", "node.kubernetes.io/unschedulable", "NoSchedule"));
	assert_true(tainted(w, "a", "mine", "NoSchedule"));
	world_free(w);
}

static void test_ipam(void **state)
{
	static const char *const only[] = { "node-ipam-controller", NULL };
	struct controllers_opts o = { .cluster_cidr = "10.42.0.0/22" };
	struct world *w = world_new_opts(4, only, &o);
	_cleanup_obj_ struct obj *late = NULL;
	const char *const names[] = { "a", "b", "c", "d" };
	unsigned seen = 0;

	(void)state;
	fake_api_set_lag(w->api, 200 * NS_PER_MS);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		make_node(w, names[i]);
	make_node(w, "late");
	world_run(w, 10 * NS_PER_SEC);
	late = fake_api_get(w->api, node_res, "", "late");
	for (size_t i = 0; i <= ARRAY_LEN(names); i++) {
		_cleanup_obj_ struct obj *n = fake_api_get(w->api, node_res, "", i < 4 ? names[i] : "late");
		struct sv cidr = val_str(obj_get(n, F_spec, F_podCIDR));

		if (!cidr.n)
			continue;
		assert_true(sv_starts(cidr, SV("10.42.")) && sv_ends(cidr, SV(".0/24")));
		assert_true(sv_eq(val_str(val_at(obj_get(n, F_spec, F_podCIDRs), 0)), cidr));
		seen |= 1u << (cidr.p[6] - '0');
	}
	assert_int_equal(seen, 15); /* all four, each once: one node of five waits */
	world_free(w);
}

/* "10.42.1.0/24 fd00:42:0:1::/64", or "" */
static const char *ranges_of(struct arena *a, struct world *w, const char *name)
{
	_cleanup_obj_ struct obj *n = fake_api_get(w->api, node_res, "", name);
	const char *text = "";

	VAL_EACH(obj_get(n, F_spec, F_podCIDRs), c)
		text = arena_printf(a, "%s%s%.*s", text, *text ? " " : "", SV_ARG(val_str(c)));
	return text;
}

static void test_ipam_families(void **state)
{
	static const struct {
		const char *cidr;
		int v4, v6;
		const char *first, *second;
	} rows[] = {
		{ "10.42.0.0/16", 0, 0, "10.42.0.0/24", "10.42.1.0/24" },
		{ "fd00:42::/56", 0, 0, "fd00:42::/64", "fd00:42:0:1::/64" },
		{ "10.42.0.0/16,fd00:42::/56", 0, 0, "10.42.0.0/24 fd00:42::/64", "10.42.1.0/24 fd00:42:0:1::/64" },
		{ "fd00:42::/56, 10.42.0.0/16", 26, 72, "fd00:42::/72 10.42.0.0/26",
		  "fd00:42:0:0:100::/72 10.42.0.64/26" },
		/* host bits of the flag do not count; a range that is smaller than a node's gives none */
		{ "10.42.7.9/16,fd00:42::/80", 0, 0, "10.42.0.0/24", "10.42.1.0/24" },
	};
	static const char *const only[] = { "node-ipam-controller", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct controllers_opts o = { .cluster_cidr = rows[i].cidr,
					      .node_mask_v4 = rows[i].v4,
					      .node_mask_v6 = rows[i].v6 };
		struct world *w = world_new_opts(4, only, &o);
		_cleanup_obj_ struct obj *n = NULL;

		make_node(w, "a");
		world_run(w, NS_PER_SEC);
		make_node(w, "b");
		world_run(w, NS_PER_SEC);
		assert_string_equal(ranges_of(&a, w, "a"), rows[i].first);
		assert_string_equal(ranges_of(&a, w, "b"), rows[i].second);
		n = fake_api_get(w->api, node_res, "", "b");
		assert_true(sv_starts(sv_from(rows[i].second), val_str(obj_get(n, F_spec, F_podCIDR))));
		world_free(w);
	}
}

/* What nodes have by other hands is not given again, whatever its length; what a gone node had is, at once. */
static void test_ipam_returns(void **state)
{
	static const char *const only[] = { "node-ipam-controller", NULL };
	struct controllers_opts o = { .cluster_cidr = "10.42.0.0/22,fd00:42::/56" };
	struct world *w = world_new_opts(4, only, &o);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	/* Half a range, one that is written in another way, one that is not of ours. */
	make(w, node_res, "", "{\"metadata\":{\"name\":\"old\"},\"spec\":{\"podCIDRs\":[\"10.42.1.128/25\"]}}");
	make(w, node_res, "", "{\"metadata\":{\"name\":\"six\"},\"spec\":{\"podCIDRs\":[\"fd00:0042:0:0::/63\"]}}");
	make(w, node_res, "", "{\"metadata\":{\"name\":\"far\"},\"spec\":{\"podCIDRs\":[\"10.99.0.0/24\"]}}");
	world_run(w, NS_PER_SEC);
	make_node(w, "a");
	make_node(w, "b");
	make_node(w, "c");
	make_node(w, "waits");
	world_run(w, 10 * NS_PER_SEC);
	assert_string_equal(ranges_of(&a, w, "a"), "10.42.0.0/24 fd00:42:0:2::/64");
	assert_string_equal(ranges_of(&a, w, "b"), "10.42.2.0/24 fd00:42:0:3::/64");
	assert_string_equal(ranges_of(&a, w, "c"), "10.42.3.0/24 fd00:42:0:4::/64");
	/* All families or none, and it is said. */
	assert_string_equal(ranges_of(&a, w, "waits"), "");
	assert_sv(world_event(w, &a, "CIDRNotAvailable"), "Node waits status is now: CIDRNotAvailable");
	fake_api_delete(w->api, node_res, "", "far", NULL);
	world_run(w, NS_PER_SEC);
	assert_string_equal(ranges_of(&a, w, "waits"), "");
	fake_api_delete(w->api, node_res, "", "b", NULL);
	world_run(w, NS_PER_SEC);
	assert_true(sv_starts(sv_from(ranges_of(&a, w, "waits")), SV("10.42.2.0/24 ")));
	/* A whole range taken by one. */
	fake_api_delete(w->api, node_res, "", "a", NULL);
	fake_api_delete(w->api, node_res, "", "c", NULL);
	fake_api_delete(w->api, node_res, "", "waits", NULL);
	make(w, node_res, "", "{\"metadata\":{\"name\":\"all\"},\"spec\":{\"podCIDRs\":[\"fd00:42::/48\"]}}");
	world_run(w, NS_PER_SEC);
	make_node(w, "z");
	world_run(w, 10 * NS_PER_SEC);
	assert_string_equal(ranges_of(&a, w, "z"), "");
	fake_api_delete(w->api, node_res, "", "all", NULL);
	world_run(w, NS_PER_SEC);
	assert_true(sv_starts(sv_from(ranges_of(&a, w, "z")), SV("10.42.")));
	world_free(w);
}

static void test_podgc(void **state)
{
	static const char *const only[] = { "pod-garbage-collector-controller", NULL };
	struct world *w = world_new(5, only);

	(void)state;
	w->no_kubelet = true;
	make_node(w, "a");
	make_pod(w, "kept", "a", "");
	make_pod(w, "lost", "gone", "");
	make(w, pod_res, "default",
	     "{\"metadata\":{\"name\":\"unbound\",\"finalizers\":[\"x/y\"]},\"spec\":{\"containers\":[]}}");
	world_run(w, 35 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, pod_res, "default"), 3);
	world_run(w, 60 * NS_PER_SEC);
	assert_int_equal(fake_api_count(w->api, pod_res, "default"), 2);
	assert_false(going(w, "kept"));
	world_free(w);
}

static bool has_role(struct world *w, const char *name)
{
	_cleanup_obj_ struct obj *o = fake_api_get(w->api, node_res, "", name);

	return val_is(val_member_sv(obj_labels(o), SV("node-role.kubernetes.io/control-plane")), "true");
}

static void test_role(void **state)
{
	static const char *const only[] = { "node-role-controller", NULL };
	struct controllers_opts o = { .server_node = "here" };
	struct world *w = world_new_opts(7, only, &o);

	(void)state;
	make_node(w, "here");
	make_node(w, "there");
	world_run(w, NS_PER_SEC);
	assert_true(has_role(w, "here"));
	assert_false(has_role(w, "there"));
	/* who takes it away means it */
	fake_api_patch(w->api, node_res, "", "here", NULL,
		       "{\"metadata\":{\"labels\":{\"node-role.kubernetes.io/control-plane\":null}}}");
	world_run(w, NS_PER_SEC);
	assert_false(has_role(w, "here"));
	world_free(w);
}

static void test_aggregation(void **state)
{
	static const char *const only[] = { "clusterrole-aggregation-controller", NULL };
	struct world *w = world_new(6, only);
	_cleanup_obj_ struct obj *o = NULL;
	const struct resource *r = RES(rbac_clusterroles);

	(void)state;
	make(
	    w, r, "",
	    "{\"metadata\":{\"name\":\"view\"},\"aggregationRule\":{\"clusterRoleSelectors\":[{\"matchLabels\":{\"to\":"
	    "\"view\"}}]},\"rules\":[]}");
	make(w, r, "",
	     "{\"metadata\":{\"name\":\"crd\",\"labels\":{\"to\":\"view\"}},\"rules\":[{\"apiGroups\":[\"x\"],"
	     "\"resources\":"
	     "[\"y\"],\"verbs\":[\"get\"]}]}");
	/* the same rule in other words, and one that differs */
	make(w, r, "",
	     "{\"metadata\":{\"name\":\"crd-too\",\"labels\":{\"to\":\"view\"}},\"rules\":[{\"verbs\":[\"get\"],"
	     "\"resourceNames\":[],\"resources\":[\"y\"],\"apiGroups\":[\"x\"]},{\"apiGroups\":[\"x\"],"
	     "\"resourceNames\":[\"y\"],\"verbs\":[\"get\"]}]}");
	world_run(w, NS_PER_SEC);
	o = fake_api_get(w->api, r, "", "view");
	assert_int_equal(val_len(obj_get(o, F_rules)), 2);
	fake_api_delete(w->api, r, "", "crd", NULL);
	fake_api_delete(w->api, r, "", "crd-too", NULL);
	world_run(w, NS_PER_SEC);
	obj_unref(o);
	o = fake_api_get(w->api, r, "", "view");
	assert_int_equal(val_len(obj_get(o, F_rules)), 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_node),
		cmocka_unit_test(test_all_silent),
		cmocka_unit_test(test_conditions_to_taints),
		cmocka_unit_test(test_ipam),
		cmocka_unit_test(test_ipam_families),
		cmocka_unit_test(test_ipam_returns),
		cmocka_unit_test(test_podgc),
		cmocka_unit_test(test_role),
		cmocka_unit_test(test_aggregation),
	};

	return cmocka_run_group_tests_name("nodes", tests, NULL, NULL);
}
