/* Filters as tables: one node, one Pod, the message when it is refused ("" when it is not). */
#include "kit.h"

struct row {
	const char *labels, *node_spec, *node_status; /* NULL status: roomy */
	const char *pod;			      /* spec */
	const char *refused;			      /* after "0/1 nodes are available: "; "" fits */
};

static void run_table(struct kit *k, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		struct node_info *node =
		    kit_node_full(k, "n1", r->labels, r->node_spec, r->node_status ? r->node_status : ROOMY);
		struct pod_info *p = kit_pod(k, NULL, "p", "", r->pod);
		char want[256];

		if (r->refused[0]) {
			snprintf(want, sizeof(want), "0/1 nodes are available: 1 %s.", r->refused);
			kit_refused(k, p, want);
		} else {
			assert_string_equal(kit_find(k, p), "n1");
		}
		kit_remove(k, p);
		cache_remove_node(&k->cache, sv_from(node->name));
	}
}

#define CONTAINER(requests) "'containers':[{'name':'c','image':'i','resources':{'requests':{" requests "}}}]"

static void test_fit(void **state)
{
	static const struct row rows[] = {
		{ "", "", NULL, CONTAINER("'cpu':'4','memory':'8Gi'"), "" },
		{ "", "", NULL, CONTAINER("'cpu':'4001m'"), "Insufficient cpu" },
		{ "", "", NULL, CONTAINER("'memory':'8193Mi'"), "Insufficient memory" },
		{ "", "", NULL, CONTAINER("'example.com/gpu':'1'"), "Insufficient example.com/gpu" },
		{ "", "", "'allocatable':{'cpu':'4','pods':'1','example.com/gpu':'2'}",
		  CONTAINER("'example.com/gpu':'2'"), "" },
		{ "", "", "'allocatable':{'cpu':'4','pods':'0'}", CONTAINER("'cpu':'1'"), "Too many pods" },
		/* Init containers run before: the larger of both counts; overhead comes on top. */
		{ "", "", NULL, "'initContainers':[{'resources':{'requests':{'cpu':'4'}}}]," CONTAINER("'cpu':'3'"),
		  "" },
		{ "", "", NULL,
		  "'initContainers':[{'resources':{'requests':{'cpu':'4'}}}],'overhead':{'cpu':'1m'}," CONTAINER(
		      "'cpu':'1'"),
		  "Insufficient cpu" },
		/* A sidecar runs beside the containers and beside later init containers. */
		{ "", "", NULL,
		  "'initContainers':[{'restartPolicy':'Always','resources':{'requests':{'cpu':'2'}}}]," CONTAINER(
		      "'cpu':'3'"),
		  "Insufficient cpu" },
		{ "", "", NULL,
		  "'initContainers':[{'restartPolicy':'Always','resources':{'requests':{'cpu':'2'}}},{'resources':{'"
		  "requests':{'cpu':'3'}}}]," CONTAINER("'cpu':'1'"),
		  "Insufficient cpu" },
		{ "", "", NULL, "'resources':{'requests':{'cpu':'1'}}," CONTAINER("'cpu':'9'"), "" },
	};

	run_table(*state, rows, ARRAY_LEN(rows));
}

#define TAINT(effect) "'taints':[{'key':'dedicated','value':'db','effect':'" effect "'}]"

static void test_taints_and_cordon(void **state)
{
	static const char refused[] = "node(s) had untolerated taint {dedicated: db}";
	static const struct row rows[] = {
		{ "", TAINT("NoSchedule"), NULL, "", refused },
		{ "", TAINT("NoExecute"), NULL, "", refused },
		{ "", TAINT("PreferNoSchedule"), NULL, "", "" },
		{ "", TAINT("NoSchedule"), NULL, "'tolerations':[{'key':'dedicated','value':'db'}]", "" },
		{ "", TAINT("NoSchedule"), NULL, "'tolerations':[{'key':'dedicated','operator':'Exists'}]", "" },
		{ "", TAINT("NoSchedule"), NULL, "'tolerations':[{'operator':'Exists'}]", "" },
		{ "", TAINT("NoSchedule"), NULL, "'tolerations':[{'key':'dedicated','value':'web'}]", refused },
		{ "", TAINT("NoSchedule"), NULL,
		  "'tolerations':[{'key':'dedicated','operator':'Exists','effect':'NoExecute'}]", refused },
		{ "", "'unschedulable':true", NULL, "", "node(s) were unschedulable" },
		{ "", "'unschedulable':true", NULL,
		  "'tolerations':[{'key':'node.kubernetes.io/unschedulable','operator':'Exists'}]", "" },
	};

	run_table(*state, rows, ARRAY_LEN(rows));
}

#define REQUIRED(terms)                                                                                             \
	"'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[" terms \
	"]}}}"
#define EXPR(key, op, values) "{'matchExpressions':[{'key':'" key "','operator':'" op "','values':[" values "]}]}"

#define RESTARTS_ALL "'containers':[{'name':'c','restartPolicyRules':[{'action':'RestartAllContainers'}]}]"

static void test_declared_features(void **state)
{
	static const char refused[] = "node declared features check failed - unsatisfied requirements: "
				      "RestartAllContainersOnContainerExits";
	static const struct row rows[] = {
		{ "", "", NULL, RESTARTS_ALL, refused },
		{ "", "", ROOMY ",'declaredFeatures':['A','ExtendWebSocketsToKubelet']", RESTARTS_ALL, refused },
		{ "", "", ROOMY ",'declaredFeatures':['RestartAllContainersOnContainerExits','Z']", RESTARTS_ALL, "" },
		{ "", "", NULL, "'containers':[{'name':'c','restartPolicyRules':[{'action':'Restart'}]}]", "" },
		{ "", "", NULL,
		  "'hostNetwork':true,'hostUsers':false,'initContainers':[{'restartPolicyRules':[{'action':"
		  "'RestartAllContainers'}]}]",
		  "node declared features check failed - unsatisfied requirements: "
		  "RestartAllContainersOnContainerExits, "
		  "UserNamespacesHostNetworkSupport" },
		{ "", "", NULL, "'hostNetwork':true", "" },
	};
	struct kit *k = *state;
	struct node_info *n;
	struct pod_info *p;
	uint32_t ev;
	struct obj *o;

	run_table(k, rows, ARRAY_LEN(rows));
	/* A node that declares more later helps who waits for that, and nobody else. */
	p = kit_pod(k, NULL, "p", "", RESTARTS_ALL);
	kit_node(k, "n1", "");
	assert_string_equal(kit_find(k, p), "");
	o = kit_obj("{'kind':'Node','metadata':{'name':'n1','uid':'n1','labels':{'kubernetes.io/"
		    "hostname':'n1'}},'status':{" ROOMY
		    ",'declaredFeatures':['RestartAllContainersOnContainerExits']}}");
	n = cache_set_node(&k->cache, o, &ev);
	assert_int_equal(ev, EV_NODE_FEATURES);
	assert_true(plugin_table[PLUGIN_NODE_DECLARED_FEATURES]->hint(&k->cache, p,
								      &(struct sched_change){ .what = ev, .node = n }));
	obj_unref(o);
	assert_string_equal(kit_find(k, p), "n1");
}

static void test_node_affinity(void **state)
{
	static const char refused[] = "node(s) didn't match Pod's node affinity/selector";
	static const char labels[] = "'disk':'ssd','cores':'8'";
	static const struct row rows[] = {
		{ labels, "", NULL, "'nodeSelector':{'disk':'ssd'}", "" },
		{ labels, "", NULL, "'nodeSelector':{'disk':'hdd'}", refused },
		{ labels, "", NULL, "'nodeSelector':{'gone':''}", refused },
		{ labels, "", NULL, REQUIRED(EXPR("disk", "In", "'hdd','ssd'")), "" },
		{ labels, "", NULL, REQUIRED(EXPR("disk", "NotIn", "'ssd'")), refused },
		{ labels, "", NULL, REQUIRED(EXPR("other", "NotIn", "'ssd'")), "" },
		{ labels, "", NULL, REQUIRED(EXPR("other", "DoesNotExist", "")), "" },
		{ labels, "", NULL, REQUIRED(EXPR("other", "Exists", "")), refused },
		{ labels, "", NULL, REQUIRED(EXPR("cores", "Gt", "'7'")), "" },
		{ labels, "", NULL, REQUIRED(EXPR("cores", "Lt", "'8'")), refused },
		{ labels, "", NULL, REQUIRED(EXPR("cores", "Gt", "'x'")), refused },
		/* Terms are alternatives; an empty one matches nothing. */
		{ labels, "", NULL, REQUIRED(EXPR("disk", "In", "'hdd'") "," EXPR("cores", "In", "'8'")), "" },
		{ labels, "", NULL, REQUIRED("{}"), refused },
		{ labels, "", NULL,
		  REQUIRED("{'matchFields':[{'key':'metadata.name','operator':'In','values':['n1']}]}"), "" },
		{ labels, "", NULL,
		  REQUIRED("{'matchFields':[{'key':'metadata.name','operator':'In','values':['n2']}]}"), refused },
		{ labels, "", NULL, "'nodeName':'n2'", "node(s) didn't match the requested node name" },
	};

	run_table(*state, rows, ARRAY_LEN(rows));
}

#define PORT(n, more) "'containers':[{'ports':[{'hostPort':" #n more "}]}]"

static void test_ports(void **state)
{
	static const char refused[] =
	    "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
	struct kit *k = *state;
	struct pod_info *a, *b;

	kit_node(k, "n1", "");
	a = kit_pod(k, "n1", "a", "", PORT(80, ",'hostIP':'10.0.0.1'"));
	kit_refused(k, kit_pod(k, NULL, "p1", "", PORT(80, "")), refused);
	kit_refused(k, kit_pod(k, NULL, "p2", "", PORT(80, ",'hostIP':'10.0.0.1'")), refused);
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "p3", "", PORT(80, ",'hostIP':'10.0.0.2'"))), "n1");
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "p4", "", PORT(80, ",'protocol':'UDP'"))), "n1");
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "p5", "", PORT(81, ""))), "n1");

	/* Two users of one port: it is free only when both are gone, and its text outlives the first. */
	b = kit_pod(k, "n1", "b", "'other':'shape'", PORT(80, ",'hostIP':'10.0.0.1'"));
	kit_remove(k, b);
	b = kit_pod(k, "n1", "b", "'other':'shape'", PORT(80, ",'hostIP':'10.0.0.1'"));
	kit_remove(k, a);
	kit_refused(k, kit_pod(k, NULL, "p6", "", PORT(80, "")), refused);
	kit_remove(k, b);
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "p7", "", PORT(80, ""))), "n1");
}

static struct obj *balancer(const char *name, const char *spec, const char *ingress)
{
	return kit_obj("{'kind':'Service','metadata':{'name':'%s','namespace':'d'},'spec':{'type':'LoadBalancer',%s},"
		       "'status':{'loadBalancer':{'ingress':[%s]}}}",
		       name, spec, ingress);
}

/* Ports that load balancers have at nodes' addresses are no Pod's, until they are left; the rest is as without them. */
static void test_balancers(void **state)
{
	static const char refused[] =
	    "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.";
	struct kit *k = *state;
	struct obj *web = balancer("web", "'ports':[{'port':80,'protocol':'TCP'},{'port':53,'protocol':'UDP'}]",
				   "{'ip':'10.0.0.1'},{'ip':'fd00::2'}"),
		   *less = balancer("web", "'ports':[{'port':80,'protocol':'TCP'}]", "{'ip':'10.0.0.1'}"),
		   *foreign =
		       balancer("foreign", "'loadBalancerClass':'a/b','ports':[{'port':81}]", "{'ip':'10.0.0.1'}"),
		   *pending = balancer("pending", "'ports':[{'port':82}]", "");

	kit_node_full(k, "n1", "", "", ROOMY ",'addresses':[{'type':'InternalIP','address':'10.0.0.1'}]");
	kit_node_full(k, "n2", "", "",
		      ROOMY
		      ",'addresses':[{'type':'Hostname','address':'n2'},{'type':'InternalIP','address':'FD00::2'}]");
	assert_string_not_equal(kit_find(k, kit_pod(k, NULL, "before", "", PORT(80, ""))), "");
	assert_false(balancers_set(&k->cache.balancers, web, false));
	assert_false(balancers_set(&k->cache.balancers, foreign, false));
	assert_false(balancers_set(&k->cache.balancers, pending, false));
	kit_refused(k, kit_pod(k, NULL, "p1", "", PORT(80, "")), refused);
	kit_refused(k, kit_pod(k, NULL, "p2", "", PORT(53, ",'protocol':'UDP','hostIP':'10.0.0.1'")), refused);
	assert_string_not_equal(kit_find(k, kit_pod(k, NULL, "p3", "", PORT(53, ""))), "");
	assert_string_not_equal(kit_find(k, kit_pod(k, NULL, "p4", "", PORT(80, ",'hostIP':'127.0.0.1'"))), "");
	assert_string_not_equal(kit_find(k, kit_pod(k, NULL, "p5", "", PORT(81, ""))), "");
	assert_string_not_equal(kit_find(k, kit_pod(k, NULL, "p6", "", PORT(82, ""))), "");
	/* One address and one port fewer: somebody may be helped. */
	assert_true(balancers_set(&k->cache.balancers, less, false));
	assert_false(balancers_set(&k->cache.balancers, less, false));
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "p7", "", PORT(80, ""))), "n2");
	assert_true(balancers_set(&k->cache.balancers, less, true));
	assert_false(balancers_set(&k->cache.balancers, less, true));
	assert_string_not_equal(kit_find(k, kit_pod(k, NULL, "p8", "", PORT(80, ""))), "");
	obj_unref(web);
	obj_unref(less);
	obj_unref(foreign);
	obj_unref(pending);
}

static void test_message(void **state)
{
	struct kit *k = *state;
	struct pod_info *p;

	p = kit_pod(k, NULL, "p", "", CONTAINER("'cpu':'2','memory':'1Gi'"));
	kit_refused(k, p, "no nodes available to schedule pods");
	kit_node_full(k, "a", "", TAINT("NoSchedule"), ROOMY);
	kit_node_full(k, "b", "", TAINT("NoSchedule"), ROOMY);
	kit_node_full(k, "c", "", "", "'allocatable':{'cpu':'1','memory':'1Mi','pods':'9'}");
	kit_refused(
	    k, p,
	    "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 2 node(s) had untolerated taint "
	    "{dedicated: db}.");
	assert_int_equal(k->cs.rejected_by, 1u << PLUGIN_TAINT_TOLERATION | 1u << PLUGIN_NODE_RESOURCES_FIT);
	p = kit_pod(k, NULL, "d", "",
		    REQUIRED("{'matchFields':[{'key':'metadata.name','operator':'In','values':['c']}]}") "," CONTAINER(
			"'cpu':'2'"));
	kit_refused(k, p,
		    "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].");
}

/* --- scores --- */

static void test_least_allocated_and_balanced(void **state)
{
	struct kit *k = *state;

	kit_node(k, "busy", "");
	kit_node(k, "free", "");
	kit_pod(k, "busy", "a", "", CONTAINER("'cpu':'2','memory':'4Gi'"));
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "p", "", CONTAINER("'cpu':'1','memory':'2Gi'"))), "free");
	/* The same amount left, but lopsided. */
	kit_pod(k, "free", "b", "", CONTAINER("'cpu':'3','memory':'2Gi'"));
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "q", "", CONTAINER("'cpu':'1m','memory':'1Mi'"))), "busy");
}

static void test_preferred_nodes(void **state)
{
	struct kit *k = *state;

	kit_node(k, "a", "");
	kit_node(k, "b", "'disk':'ssd'");
	kit_node_full(k, "c", "", TAINT("PreferNoSchedule"), ROOMY);
	assert_string_equal(
	    kit_find(k, kit_pod(k, NULL, "p", "",
				"'affinity':{'nodeAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{'"
				"weight':5,'preference':" EXPR("disk", "Exists", "") "}]}}")),
	    "b");
	/* Two untainted nodes are alike: never the tainted one. */
	for (uint64_t i = 0; i < 20; i++) {
		k->start = 0;
		assert_string_not_equal(kit_find(k, kit_pod(k, NULL, "q", "", "")), "c");
	}
}

static void test_images(void **state)
{
	struct kit *k = *state;
	static const char images[] =
	    ROOMY ",'images':[{'names':['db:1','docker.io/x/db:latest'],'sizeBytes':2000000000}]";

	kit_node(k, "a", "");
	kit_node_full(k, "b", "", "", images);
	kit_node(k, "c", "");
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "p", "", "'containers':[{'image':'db:1'}]")), "b");
	assert_string_equal(kit_find(k, kit_pod(k, NULL, "q", "", "'containers':[{'image':'docker.io/x/db'}]")), "b");
	assert_int_equal(k->cache.images.n, 2);
	cache_remove_node(&k->cache, SV("b"));
	assert_int_equal(k->cache.images.n, 0);
}

/* --- how many nodes are looked at --- */

static void test_enough_and_rotation(void **state)
{
	struct kit *k = *state;
	char name[16];

	assert_int_equal(cycle_enough(99), 99);
	assert_int_equal(cycle_enough(100), 100);
	assert_int_equal(cycle_enough(1000), 420);
	assert_int_equal(cycle_enough(5000), 500);
	assert_int_equal(cycle_enough(50000), 2500);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		kit_node(k, name,
			 i < 200 ? "'topology.kubernetes.io/zone':'z1'" : "'topology.kubernetes.io/zone':'z2'");
	}
	kit_find(k, kit_pod(k, NULL, "p", "", ""));
	assert_int_equal(k->start, 144); /* 48 % of 300 */
	kit_find(k, kit_pod(k, NULL, "p", "", ""));
	assert_int_equal(k->start, 288);
	kit_find(k, kit_pod(k, NULL, "p", "", ""));
	assert_int_equal(k->start, 132);
	{
		/* Zones take turns. */
		size_t n;
		struct node_info **order = cache_order(&k->cache, &n);

		assert_int_equal(n, 300);
		for (size_t i = 0; i < 200; i += 2)
			assert_int_not_equal(order[i]->topo[k->cache.topo_zone],
					     order[i + 1]->topo[k->cache.topo_zone]);
	}
}

static void test_shapes_are_shared(void **state)
{
	struct kit *k = *state;
	struct pod_info *a = kit_pod(k, NULL, "a", "'app':'x'", CONTAINER("'cpu':'1'"));
	struct pod_info *b =
	    kit_pod(k, NULL, "b", "'app':'x'", "'volumes':[{'name':'token-b'}]," CONTAINER("'cpu':'1'"));
	struct pod_info *c = kit_pod(k, NULL, "c", "'app':'x'", CONTAINER("'cpu':'2'"));

	assert_ptr_equal(a->shape, b->shape);
	assert_ptr_not_equal(a->shape, c->shape);
	assert_int_equal(k->cache.shapes.n, 2);
	kit_remove(k, c);
	assert_int_equal(k->cache.shapes.n, 1);
}

/* Whoever was there before: what one asks for is not what another does that differs in one thing. */
static void test_shapes_differ(void **state)
{
	static const char *const labels[] = { "'app':'x'", "'app':'y'", "" };
	static const char *const specs[] = {
		"'containers':[{'image':'i'}]",
		"'containers':[{'image':'j'}]",
		"'containers':[{'image':'i'},{'image':'i'}]",
		"'containers':[{'image':'i','restartPolicy':'Always'}]",
		"'containers':[{'image':'i','ports':[{'containerPort':80}]}]",
		"'containers':[{'image':'i','resources':{'requests':{'cpu':'1'}}}]",
		"'containers':[{'image':'i','resources':{'requests':{'cpu':'1','memory':'1'}}}]",
		"'initContainers':[{'image':'i'}]",
		"'containers':[{'image':'i'}],'priority':1",
		"'containers':[{'image':'i'}],'preemptionPolicy':'Never'",
		"'containers':[{'image':'i'}],'nodeSelector':{'a':'b'}",
		"'containers':[{'image':'i'}],'tolerations':[{'operator':'Exists'}]",
		"'containers':[{'image':'i'}],'overhead':{'cpu':'1'}",
		"'containers':[{'image':'i'}],'resources':{'requests':{'cpu':'1'}}",
	};
	struct kit *k = *state;
	size_t n = 0;

	for (size_t l = 0; l < ARRAY_LEN(labels); l++) {
		for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
			struct pod_shape *shape = kit_pod(k, NULL, "p", labels[l], specs[i])->shape;

			assert_int_equal(k->cache.shapes.n, ++n);
			assert_ptr_equal(kit_pod(k, NULL, "q", labels[l], specs[i])->shape, shape);
			assert_int_equal(k->cache.shapes.n, n);
		}
	}
	/* An empty list is as none. */
	assert_ptr_equal(kit_pod(k, NULL, "p", "", "'containers':[{'image':'k','resources':{'requests':{}}}]")->shape,
			 kit_pod(k, NULL, "q", "", "'containers':[{'image':'k'}],'initContainers':[]")->shape);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		KIT_TEST(test_fit),
		KIT_TEST(test_taints_and_cordon),
		KIT_TEST(test_declared_features),
		KIT_TEST(test_node_affinity),
		KIT_TEST(test_ports),
		KIT_TEST(test_balancers),
		KIT_TEST(test_message),
		KIT_TEST(test_least_allocated_and_balanced),
		KIT_TEST(test_preferred_nodes),
		KIT_TEST(test_images),
		KIT_TEST(test_enough_and_rotation),
		KIT_TEST(test_shapes_are_shared),
		KIT_TEST(test_shapes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
