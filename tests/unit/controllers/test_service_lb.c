/* Services of type LoadBalancer: whose port of which node is whose, and which addresses that means. */
#include "world.h"

#include <stdio.h>

static const char *const only[] = { "service-lb-controller", NULL };

static void lb_make(struct world *w, const struct resource *r, const char *json)
{
	obj_unref(fake_api_create(w->api, r, r->namespaced ? "default" : "", json));
}

static void lb_make_node(struct world *w, const char *name, const char *labels, const char *addresses)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"metadata\":{\"name\":\"%s\",\"labels\":{%s}},\"status\":{\"addresses\":[%s],"
		      "\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":10250}},"
		      "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
		      name, labels, addresses);

	lb_make(w, RES(core_nodes), json);
}

#define INTERNAL(ip) "{\"type\":\"InternalIP\",\"address\":\"" ip "\"}"
#define EXTERNAL(ip) "{\"type\":\"ExternalIP\",\"address\":\"" ip "\"}"

static void lb_make_service(struct world *w, const char *name, int port, const char *more_spec)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"type\":\"LoadBalancer\",\"ipFamilies\":[\"IPv4\"],%s"
		      "\"ports\":[{\"port\":%d,\"protocol\":\"TCP\"}]}}",
		      name, more_spec, port);

	lb_make(w, RES(core_services), json);
}

static struct world *lb_world(void)
{
	struct world *w = world_new(1, only);

	lb_make_node(w, "n1", "", INTERNAL("10.0.0.1") "," INTERNAL("fd00::1"));
	lb_make_node(w, "n2", "", INTERNAL("10.0.0.2") "," INTERNAL("fd00::2"));
	return w;
}

/* After a while the ingress addresses of the Service are these, "10.0.0.1 10.0.0.2". */
static void lb_expect_at(struct world *w, const char *name, const char *want, int line)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *svc = NULL;
	const char *text = "";

	world_run(w, NS_PER_SEC);
	svc = fake_api_get(w->api, RES(core_services), "default", name);
	VAL_EACH(obj_get(svc, F_status, F_loadBalancer, F_ingress), in) {
		assert_sv(val_get_str(in, F_ipMode), "VIP");
		text = arena_printf(&a, "%s%s%.*s", text, *text ? " " : "", SV_ARG(val_get_str(in, F_ip)));
	}
	if (strcmp(text, want) != 0)
		fail_msg("line %d: %s has '%s', not '%s'", line, name, text, want);
}
#define lb_expect(w, name, want) lb_expect_at((w), (name), (want), __LINE__)

static void lb_expect_why(struct world *w, const char *part)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = world_event(w, &a, "UnAvailableLoadBalancer");

	if (sv_find_sv(text, sv_from(part)) < 0)
		fail_msg("'%.*s' does not say '%s'", SV_ARG(text), part);
}

static void lb_ready(struct world *w, const char *node, const char *status)
{
	_cleanup_free_ char *json =
	    xasprintf("{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}", status);

	fake_api_patch(w->api, RES(core_nodes), "", node, "status", json);
}

static void test_lb_addresses(void **state)
{
	struct world *w = lb_world();

	(void)state;
	lb_make_service(w, "web", 80, "");
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	lb_make_service(w, "six", 81, "\"loadBalancerClass\":\"caravel.io/service-lb\",");
	fake_api_patch(w->api, RES(core_services), "default", "six", NULL,
		       "{\"spec\":{\"ipFamilies\":[\"IPv6\",\"IPv4\"]}}");
	lb_expect(w, "six", "fd00::1 fd00::2 10.0.0.1 10.0.0.2");
	lb_make_service(w, "foreign", 82, "\"loadBalancerClass\":\"example.com/other\",");
	lb_expect(w, "foreign", "");
	lb_make_service(w, "one", 83, "\"loadBalancerIP\":\"10.0.0.2\",");
	lb_expect(w, "one", "10.0.0.2");
	lb_make_service(w, "nobodys", 84, "\"loadBalancerIP\":\"10.0.0.9\",");
	lb_expect(w, "nobodys", "10.0.0.1 10.0.0.2");
	/* Nothing more is written when nothing changes. */
	(void)fake_api_writes(w->api);
	world_run(w, 60 * NS_PER_SEC);
	assert_int_equal(fake_api_writes(w->api), 0);
	/* A node that falls silent, is excluded, has an address for those outside, goes. */
	lb_ready(w, "n1", "Unknown");
	lb_expect(w, "web", "10.0.0.2");
	lb_ready(w, "n1", "True");
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	fake_api_patch(
	    w->api, RES(core_nodes), "", "n2", NULL,
	    "{\"metadata\":{\"labels\":{\"node.kubernetes.io/exclude-from-external-load-balancers\":\"\"}}}");
	lb_expect(w, "web", "10.0.0.1");
	fake_api_patch(w->api, RES(core_nodes), "", "n1", "status",
		       "{\"status\":{\"addresses\":[" INTERNAL("10.0.0.1") "," EXTERNAL("192.0.2.1") "]}}");
	lb_expect(w, "web", "192.0.2.1");
	fake_api_delete(w->api, RES(core_nodes), "", "n1", NULL);
	lb_expect(w, "web", "");
	lb_expect_why(w, "no node that is ready");
	world_free(w);
}

/* What every proxy would serve then, in place of what each machine has there. */
static void test_lb_addresses_of_a_liar(void **state)
{
	struct world *w = lb_world();

	(void)state;
	lb_make_node(w, "n3", "",
		     INTERNAL("127.0.0.1") "," INTERNAL("::1") "," INTERNAL("169.254.169.254") "," INTERNAL(
			 "0.0.0.0") "," INTERNAL("fe80::1") "," EXTERNAL("127.0.0.53"));
	lb_make_service(w, "web", 80, "");
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	lb_make_service(w, "named", 81, "\"loadBalancerIP\":\"127.0.0.1\",");
	lb_expect(w, "named", "10.0.0.1 10.0.0.2");
	world_free(w);
}

/* Every port of every node would be one Service's, by a line of its author. */
static void test_lb_not_all_ports(void **state)
{
	struct world *w = lb_world();
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	for (int i = 0; i < 1001; i++)
		buf_printf(&b, "%s{\"name\":\"p%d\",\"port\":%d,\"protocol\":\"TCP\"}", i ? "," : "", i, i + 20);
	lb_make_service(w, "all", 80, "");
	lb_expect(w, "all", "10.0.0.1 10.0.0.2");
	{
		_cleanup_free_ char *json = xasprintf("{\"spec\":{\"ports\":[%s]}}", buf_cstr(&b));

		fake_api_patch(w->api, RES(core_services), "default", "all", NULL, json);
	}
	lb_expect(w, "all", "");
	lb_expect_why(w, "it has more than 1000 ports");
	lb_make_service(w, "web", 80, "");
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	world_free(w);
}

static void test_lb_labels(void **state)
{
	struct world *w = lb_world();

	(void)state;
	lb_make_service(w, "web", 80, "");
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	fake_api_patch(w->api, RES(core_nodes), "", "n2", NULL,
		       "{\"metadata\":{\"labels\":{\"svccontroller.k3s.cattle.io/enablelb\":\"true\","
		       "\"svccontroller.k3s.cattle.io/lbpool\":\"outer\"}}}");
	lb_expect(w, "web", "10.0.0.2");
	fake_api_patch(
	    w->api, RES(core_nodes), "", "n1", NULL,
	    "{\"metadata\":{\"labels\":{\"caravel.io/enablelb\":\"true\",\"caravel.io/lbpool\":\"inner\"}}}");
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	fake_api_patch(w->api, RES(core_services), "default", "web", NULL,
		       "{\"metadata\":{\"labels\":{\"svccontroller.k3s.cattle.io/lbpool\":\"inner\"}}}");
	lb_expect(w, "web", "10.0.0.1");
	fake_api_patch(w->api, RES(core_nodes), "", "n1", NULL,
		       "{\"metadata\":{\"labels\":{\"caravel.io/enablelb\":\"false\"}}}");
	lb_expect(w, "web", "");
	world_free(w);
}

static void test_lb_first_has_it(void **state)
{
	struct world *w = lb_world();

	(void)state;
	lb_make_service(w, "web", 80, "");
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	lb_make_service(w, "late", 80, "");
	lb_expect(w, "late", "");
	lb_expect_why(w, "port TCP/80 of node n1 is taken by Service default/web");
	/* Another protocol is another port. */
	lb_make_service(w, "udp", 1000, "");
	fake_api_patch(w->api, RES(core_services), "default", "udp", NULL,
		       "{\"spec\":{\"ports\":[{\"port\":80,\"protocol\":\"UDP\"}]}}");
	lb_expect(w, "udp", "10.0.0.1 10.0.0.2");
	/* What statuses say counts after a restart, whoever is looked at first. */
	world_restart(w, only);
	world_run(w, NS_PER_SEC);
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	lb_expect(w, "late", "");
	/* One port of several is one too many; what is freed goes to who waits. */
	fake_api_patch(w->api, RES(core_services), "default", "web", NULL,
		       "{\"spec\":{\"ports\":[{\"port\":81,\"protocol\":\"TCP\"}]}}");
	lb_expect(w, "late", "10.0.0.1 10.0.0.2");
	lb_make_service(w, "third", 82, "");
	fake_api_patch(
	    w->api, RES(core_services), "default", "third", NULL,
	    "{\"spec\":{\"ports\":[{\"port\":82,\"protocol\":\"TCP\"},{\"port\":80,\"protocol\":\"TCP\"}]}}");
	lb_expect(w, "third", "");
	fake_api_delete(w->api, RES(core_services), "default", "late", NULL);
	lb_expect(w, "third", "10.0.0.1 10.0.0.2");
	/* Another type has none, and leaves its ports. */
	fake_api_patch(w->api, RES(core_services), "default", "third", NULL, "{\"spec\":{\"type\":\"ClusterIP\"}}");
	lb_expect(w, "third", "");
	lb_make_service(w, "fourth", 80, "");
	lb_expect(w, "fourth", "10.0.0.1 10.0.0.2");
	world_free(w);
}

/* What runs as long as the pod does has its ports, sidecars too; a pod that is being deleted has them to its end. */
static void test_lb_host_ports(void **state)
{
	struct world *w = lb_world();

	(void)state;
	lb_make(
	    w, RES(core_pods),
	    "{\"metadata\":{\"name\":\"p\",\"finalizers\":[\"a/b\"]},\"spec\":{\"nodeName\":\"n1\",\"initContainers\":["
	    "{\"name\":\"first\",\"image\":\"a\",\"ports\":[{\"containerPort\":81,\"hostPort\":81}]},"
	    "{\"name\":\"beside\",\"image\":\"a\",\"restartPolicy\":\"Always\","
	    "\"ports\":[{\"containerPort\":82,\"hostPort\":82}]}],\"containers\":[{\"name\":\"c\",\"image\":\"a\","
	    "\"ports\":["
	    "{\"containerPort\":83,\"hostPort\":83,\"hostIP\":\"127.0.0.1\"},"
	    "{\"containerPort\":84,\"hostPort\":84,\"hostIP\":\"0.0.0.0\"}]}]}}");
	world_run(w, NS_PER_SEC);
	lb_make_service(w, "first", 81, "");
	lb_make_service(w, "beside", 82, "");
	lb_make_service(w, "inner", 83, "");
	lb_make_service(w, "main", 84, "");
	lb_expect(w, "first", "10.0.0.1 10.0.0.2");
	lb_expect(w, "beside", "10.0.0.2");
	lb_expect(w, "inner", "10.0.0.1 10.0.0.2");
	lb_expect(w, "main", "10.0.0.2");
	fake_api_delete(w->api, RES(core_pods), "default", "p", NULL);
	lb_expect(w, "beside", "10.0.0.2");
	fake_api_patch(w->api, RES(core_pods), "default", "p", "status", "{\"status\":{\"phase\":\"Succeeded\"}}");
	lb_expect(w, "beside", "10.0.0.1 10.0.0.2");
	lb_expect(w, "main", "10.0.0.1 10.0.0.2");
	world_free(w);
}

static void test_lb_taken_by_others(void **state)
{
	struct world *w = lb_world();

	(void)state;
	lb_make(
	    w, RES(core_pods),
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"image\":"
	    "\"a\",\"ports\":[{\"containerPort\":80,\"hostPort\":80,\"protocol\":\"TCP\"}]}]}}");
	lb_make(
	    w, RES(core_services),
	    "{\"metadata\":{\"name\":\"np\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":30080,"
	    "\"protocol\":\"TCP\"}]}}");
	lb_make(w, RES(discovery_endpointslices),
		"{\"metadata\":{\"name\":\"kubernetes\"},\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":["
		"\"10.0.0.2\"]}],\"ports\":[{\"port\":6443,\"protocol\":\"TCP\"}]}");
	world_run(w, NS_PER_SEC);
	lb_make_service(w, "web", 80, "");
	lb_expect(w, "web", "10.0.0.2");
	lb_make_service(w, "high", 30080, "");
	lb_expect(w, "high", "");
	lb_expect_why(w, "taken by the node port of Service default/np");
	lb_make_service(w, "kubelets", 10250, "");
	lb_expect(w, "kubelets", "");
	lb_make_service(w, "api", 6443, "");
	lb_expect(w, "api", "10.0.0.1");
	/* Servers that say so on their Node. */
	fake_api_patch(w->api, RES(core_nodes), "", "n1", NULL,
		       "{\"metadata\":{\"annotations\":{\"caravel.io/ingress-ports\":\"8080,8443\","
		       "\"caravel.io/dns-port\":\"10053\"}}}");
	lb_make_service(w, "http", 8443, "");
	lb_expect(w, "http", "10.0.0.2");
	lb_make_service(w, "names", 10053, "");
	lb_expect(w, "names", "10.0.0.2");
	fake_api_patch(w->api, RES(core_nodes), "", "n1", NULL,
		       "{\"metadata\":{\"annotations\":{\"caravel.io/ingress-ports\":null}}}");
	lb_expect(w, "http", "10.0.0.1 10.0.0.2");
	fake_api_delete(w->api, RES(core_services), "default", "np", NULL);
	lb_expect(w, "high", "10.0.0.1 10.0.0.2");
	fake_api_patch(w->api, RES(core_pods), "default", "p", "status", "{\"status\":{\"phase\":\"Succeeded\"}}");
	lb_expect(w, "web", "10.0.0.1 10.0.0.2");
	world_free(w);
}

static void test_lb_local(void **state)
{
	struct world *w = lb_world();

	(void)state;
	lb_make_service(w, "web", 80, "\"externalTrafficPolicy\":\"Local\",");
	lb_expect(w, "web", "");
	lb_expect_why(w, "no node with a ready endpoint");
	lb_make(
	    w, RES(discovery_endpointslices),
	    "{\"metadata\":{\"name\":\"web-1\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},\"addressType\":"
	    "\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.42.0.2\"],\"nodeName\":\"n2\",\"conditions\":{\"ready\":true}"
	    "},"
	    "{\"addresses\":[\"10.42.1.2\"],\"nodeName\":\"n1\",\"conditions\":{\"ready\":false}}]}");
	lb_expect(w, "web", "10.0.0.2");
	/* Another one may have the port where this one has no endpoint. */
	lb_make_service(w, "other", 80, "");
	lb_expect(w, "other", "10.0.0.1");
	fake_api_delete(w->api, RES(discovery_endpointslices), "default", "web-1", NULL);
	lb_expect(w, "web", "");
	lb_expect(w, "other", "10.0.0.1 10.0.0.2");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lb_addresses),	   cmocka_unit_test(test_lb_addresses_of_a_liar),
		cmocka_unit_test(test_lb_not_all_ports),   cmocka_unit_test(test_lb_labels),
		cmocka_unit_test(test_lb_first_has_it),	   cmocka_unit_test(test_lb_host_ports),
		cmocka_unit_test(test_lb_taken_by_others), cmocka_unit_test(test_lb_local),
	};

	return cmocka_run_group_tests_name("service_lb", tests, NULL, NULL);
}
