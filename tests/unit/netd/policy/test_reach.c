/* Who reaches whom: the behaviours of upstream's test/e2e/network/netpol, as tables. */
#include "policy_kit.h"

#define ALL(dir, whom) "'" dir "':[{'" whom "':[]}]"
#define SEL_POD(p) "'podSelector':{'matchLabels':{'pod':'" p "'}}"
#define SEL_NS(n) "'namespaceSelector':{'matchLabels':{'ns':'" n "'}}"
#define EVERY_POD "'podSelector':{}"
#define INGRESS(rules) "'policyTypes':['Ingress'],'ingress':[" rules "]"
#define EGRESS(rules) "'policyTypes':['Egress'],'egress':[" rules "]"

static void table(const char *policy, unsigned proto, uint16_t port, const char *rules)
{
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, policy);
	expect(&w, proto, port, rules);
	pworld_release(&w);
}

static void test_without_policies(_unused_ void **state)
{
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	expect(&w, TCP, 80, "");
	assert_false(netpol_track_there(w.t));
	pworld_release(&w);
}

static void test_defaults(_unused_ void **state)
{
	/* default deny ingress, egress, both */
	table(POLICY("x", "p", EVERY_POD "," INGRESS("")), TCP, 80, "-*/*>x/*");
	table(POLICY("x", "p", EVERY_POD "," EGRESS("")), TCP, 80, "-x/*>*/*");
	table(POLICY("x", "p", EVERY_POD ",'policyTypes':['Ingress','Egress']"), TCP, 80, "-*/*>x/* -x/*>*/*");
	/* policyTypes that nobody filled in: ingress, and egress with rules of it */
	table(POLICY("x", "p", EVERY_POD), TCP, 80, "-*/*>x/*");
	table(POLICY("x", "p", EVERY_POD ",'egress':[{}]"), TCP, 80, "-*/*>x/*");
	table(POLICY("x", "p", EVERY_POD ",'egress':[{'to':[{" SEL_POD("b") "}]}]"), TCP, 80,
	      "-*/*>x/* -x/*>*/*"); /* x/a may send to x/b, which takes nothing */
	/* rules of a direction that is not restricted say nothing */
	table(POLICY("x", "p",
		     EVERY_POD ",'policyTypes':['Egress'],'ingress':[{'from':[{" SEL_POD("b") "}]}],"
											      "'egress':[{}]"),
	      TCP, 80, "");
	/* allow all, in three spellings */
	table(POLICY("x", "p", EVERY_POD "," INGRESS("{}")), TCP, 80, "");
	table(POLICY("x", "p", EVERY_POD "," INGRESS("{'from':[],'ports':[]}")), SCTP, 81, "");
	table(POLICY("x", "p", EVERY_POD "," EGRESS("{}")), UDP, 80, "");
	/* a podSelector for some */
	table(POLICY("x", "p", SEL_POD("a") "," INGRESS("")), TCP, 80, "-*/*>x/a");
	table(
	    POLICY("x", "p",
		   "'podSelector':{'matchExpressions':[{'key':'pod','operator':'NotIn','values':['a']}]}," INGRESS("")),
	    TCP, 80, "-*/*>x/b -*/*>x/c");
}

static void test_peers(_unused_ void **state)
{
	table(POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{" SEL_POD("b") "}]}")), TCP, 80,
	      "-*/*>x/a +x/b>x/a"); /* of its own namespace */
	table(POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{" EVERY_POD "}]}")), TCP, 80, "-*/*>x/a +x/*>x/a");
	table(POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{" SEL_NS("y") "}]}")), TCP, 80, "-*/*>x/a +y/*>x/a");
	table(POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{'namespaceSelector':{}}]}")), TCP, 80, "");
	table(POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{" SEL_NS("y") "," SEL_POD("b") "}]}")), TCP, 80,
	      "-*/*>x/a +y/b>x/a"); /* both: and */
	table(POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{" SEL_NS("y") "},{" SEL_POD("b") "}]}")), TCP, 80,
	      "-*/*>x/a +y/*>x/a +x/b>x/a"); /* two: or */
	table(POLICY("x", "p",
		     SEL_POD("a") "," INGRESS(
			 "{'from':[{'namespaceSelector':{'matchExpressions':[{'key':'ns','operator':'NotIn',"
			 "'values':['x']}]},'podSelector':{'matchExpressions':[{'key':'pod','operator':'In',"
			 "'values':['b','c']}]}}]}")),
	      TCP, 80, "-*/*>x/a +y/b>x/a +y/c>x/a +z/b>x/a +z/c>x/a");
	/* egress */
	table(POLICY("x", "p", SEL_POD("a") "," EGRESS("{'to':[{" SEL_NS("y") "," SEL_POD("b") "}]}")), TCP, 80,
	      "-x/a>*/* +x/a>y/b");
	/* nobody has the label */
	table(POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{" SEL_POD("d") "}]}")), TCP, 80, "-*/*>x/a");
}

static void test_blocks(_unused_ void **state)
{
	/* y/a, as an address */
	table(POLICY("x", "p",
		     SEL_POD("a") "," INGRESS("{'from':[{'ipBlock':{'cidr':'192.168.2.1/32'}},"
					      "{'ipBlock':{'cidr':'fd00::2:1/128'}}]}")),
	      TCP, 80, "-*/*>x/a +y/a>x/a");
	table(POLICY("x", "p",
		     SEL_POD("a") "," EGRESS(
			 "{'to':[{'ipBlock':{'cidr':'0.0.0.0/0',"
			 "'except':['192.168.2.0/30']}},{'ipBlock':{'cidr':'::/0','except':['fd00::2:0/112']}}]}")),
	      TCP, 80, "-x/a>y/*");
	/* what one block excepts another allows */
	table(POLICY("x", "p",
		     SEL_POD("a") "," INGRESS("{'from':[{'ipBlock':{'cidr':'192.168.0.0/16',"
					      "'except':['192.168.2.0/24']}},{'ipBlock':{'cidr':'192.168.2.3/"
					      "32'}},{'ipBlock':{'cidr':'fd00::/16',"
					      "'except':['fd00::2:1/128','fd00::2:2/128','fd00::2:0/128']}}]}")),
	      TCP, 80, "-y/a>x/a -y/b>x/a");
}

static bool from_end(struct pworld *w, const char *end)
{
	struct ip_addr ip = kit_ip(end);

	return netpol_track_allows(w->t, ip, ip_of("x/a", !ip_is_v4(ip)), TCP, 80);
}

/* What another node sends of its own comes from the first address of its range: a block with the node's address means
 * it. Nodes come, change and go. */
static void test_nodes(_unused_ void **state)
{
	static const char two[] =
	    KIT_PEER("n2", "'10.42.2.0/24','fd00:42:0:2::/64'", KIT_ADDR("192.0.2.2") "," KIT_ADDR("2001:db8::2"));
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	tell(&w, two);
	tell(&w, KIT_PEER("n1", "'10.42.1.0/24'", KIT_ADDR("192.0.2.1"))); /* this one's pods are always reached */
	tell(&w, KIT_PEER("n3", "'10.42.3.0/24'", KIT_ADDR("192.0.2.3")));
	put(&w,
	    POLICY("x", "p",
		   SEL_POD("a") "," INGRESS("{'from':[{'ipBlock':{'cidr':'192.0.2.0/30','except':['192.0.2.3/32']}},"
					    "{'ipBlock':{'cidr':'2001:db8::2/128'}}]}")));
	assert_true(from_end(&w, "10.42.2.0"));
	assert_true(from_end(&w, "fd00:42:0:2::"));
	assert_true(from_end(&w, "192.0.2.2"));
	assert_false(from_end(&w, "10.42.2.1"));
	assert_false(from_end(&w, "10.42.1.0"));
	assert_false(from_end(&w, "10.42.3.0"));
	assert_true(last_has(&w, "192.0.2.0-192.0.2.2, 10.42.2.0 }"));
	/* What says nothing new, or of nobody whom a rule means, writes nothing. */
	put(&w, two);
	assert_int_equal(w.last.n, 0);
	put(&w, KIT_PEER("n4", "'10.42.4.0/24'", KIT_ADDR("198.51.100.4")));
	assert_int_equal(w.last.n, 0);
	put(&w, KIT_PEER("n4", "'10.42.4.0/24'", KIT_ADDR("192.0.2.0")));
	assert_true(last_has(&w, "delete table inet tab"));
	assert_true(from_end(&w, "10.42.4.0"));
	put(&w, KIT_PEER("n2", "'10.42.2.0/24'", KIT_ADDR("192.0.2.9")));
	assert_false(from_end(&w, "10.42.2.0"));
	if (netpol_track_node(w.t, SV("n4"), NULL))
		netpol_track_reset(w.t);
	commit(&w);
	assert_false(from_end(&w, "10.42.4.0"));
	assert_false(last_has(&w, "10.42."));
	/* Nothing twice in one set. */
	drop_policy(&w, "x", "p");
	put(&w, POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{'ipBlock':{'cidr':'0.0.0.0/0'}}]}")));
	assert_true(from_end(&w, "10.42.3.0"));
	assert_false(last_has(&w, "10.42."));
	pworld_release(&w);
}

static void test_ports(_unused_ void **state)
{
	static const char web[] = POLICY("x", "p", SEL_POD("a") "," INGRESS("{'ports':[{'port':80}]}"));
	static const char named[] =
	    POLICY("x", "p", SEL_POD("a") "," INGRESS("{'ports':[{'port':'serve-81','protocol':'UDP'}]}"));
	static const char range[] = POLICY("x", "p", SEL_POD("a") "," EGRESS("{'ports':[{'port':81,'endPort':90}]}"));
	static const char sctp[] = POLICY("x", "p", SEL_POD("a") "," INGRESS("{'ports':[{'protocol':'SCTP'}]}"));
	static const char both[] =
	    POLICY("x", "p",
		   SEL_POD("a") "," INGRESS("{'from':[{" SEL_NS("y") "}],'ports':[{'port':80}]},{'from':[{" SEL_NS(
		       "z") "}],"
			    "'ports':[{'port':81},{'port':80,'protocol':'UDP'}]}"));
	static const char egress_named[] =
	    POLICY("x", "p", SEL_POD("a") "," EGRESS("{'to':[{" SEL_NS("y") "}],'ports':[{'port':'serve-80'}]}"));

	table(web, TCP, 80, "");
	table(web, TCP, 81, "-*/*>x/a");
	table(web, UDP, 80, "-*/*>x/a");
	table(named, UDP, 81, "");
	table(named, TCP, 81, "-*/*>x/a");
	table(named, UDP, 80, "-*/*>x/a");
	table(range, TCP, 80, "-x/a>*/*");
	table(range, TCP, 81, "");
	table(range, TCP, 90, "");
	table(range, TCP, 91, "-x/a>*/*");
	table(sctp, SCTP, 80, "");
	table(sctp, TCP, 80, "-*/*>x/a");
	table(both, TCP, 80, "-*/*>x/a +y/*>x/a");
	table(both, TCP, 81, "-*/*>x/a +z/*>x/a");
	table(both, UDP, 80, "-*/*>x/a +z/*>x/a");
	table(egress_named, TCP, 80, "-x/a>*/* +x/a>y/*");
	table(egress_named, TCP, 81, "-x/a>*/*");
}

/* Each pod's own number for a name, and none where there is none. */
static void test_names_differ(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "p", EVERY_POD "," INGRESS("{'ports':[{'port':'web'}]}")));
	expect(&w, TCP, 80, "-*/*>x/*");
	drop_pod(&w, "x", "b");
	drop_pod(&w, "x", "c");
	put(&w, pod_text(&a, 'x', 'b', "'pod':'b'", "{'name':'web','containerPort':80}"));
	put(&w, pod_text(&a, 'x', 'c', "'pod':'c'", "{'name':'web','containerPort':8080}"));
	expect(&w, TCP, 80, "-*/*>x/* +*/*>x/b");
	expect(&w, TCP, 8080, "-*/*>x/* +*/*>x/c");
	/* a sidecar's; what only runs at the beginning has none */
	drop_pod(&w, "x", "b");
	put(&w, "{'kind':'Pod','metadata':{'name':'b','namespace':'x','uid':'xb','labels':{'pod':'b'}},'spec':{"
		"'nodeName':'n1','containers':[{'name':'c'}],'initContainers':["
		"{'name':'i','ports':[{'name':'web','containerPort':80}]},"
		"{'name':'s','restartPolicy':'Always','ports':[{'name':'web','containerPort':8080}]}]},"
		"'status':{'podIPs':[{'ip':'192.168.1.2'},{'ip':'fd00::1:2'}]}}");
	expect(&w, TCP, 80, "-*/*>x/*");
	expect(&w, TCP, 8080, "-*/*>x/* +*/*>x/b +*/*>x/c");
	pworld_release(&w);
}

static void test_stacked(_unused_ void **state)
{
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "deny", EVERY_POD "," INGRESS("")));
	put(&w, POLICY("x", "web", SEL_POD("a") "," INGRESS("{'from':[{" SEL_NS("y") "}],'ports':[{'port':80}]}")));
	put(&w, POLICY("x", "more", SEL_POD("a") "," INGRESS("{'from':[{" SEL_NS("z") "}],'ports':[{'port':81}]}")));
	expect(&w, TCP, 80, "-*/*>x/* +y/*>x/a");
	expect(&w, TCP, 81, "-*/*>x/* +z/*>x/a");
	/* the client's side forbids what the server's allows, and the other way round */
	put(&w, POLICY("y", "out", SEL_POD("b") "," EGRESS("{'to':[{" SEL_NS("z") "}]}")));
	expect(&w, TCP, 80, "-*/*>x/* +y/*>x/a -y/b>*/* +y/b>z/*");
	/* an edit */
	put(&w, POLICY("x", "web", SEL_POD("b") "," INGRESS("{}")));
	expect(&w, TCP, 80, "-*/*>x/* +*/*>x/b -y/b>*/* +y/b>z/*");
	/* and the end, one by one */
	drop_policy(&w, "y", "out");
	drop_policy(&w, "x", "deny");
	expect(&w, TCP, 80, "-*/*>x/a");
	drop_policy(&w, "x", "web");
	drop_policy(&w, "x", "more");
	expect(&w, TCP, 80, "");
	assert_int_equal(netpol_track_policies(w.t), 0);
	pworld_release(&w);
}

static void test_label_flips(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "p", SEL_POD("a") "," INGRESS("{'from':[{" SEL_NS("y") "," SEL_POD("b") "}]}")));
	expect(&w, TCP, 80, "-*/*>x/a +y/b>x/a");
	put(&w, pod_text(&a, 'y', 'c', "'pod':'b'", POD_PORTS)); /* a peer comes */
	expect(&w, TCP, 80, "-*/*>x/a +y/b>x/a +y/c>x/a");
	put(&w, pod_text(&a, 'y', 'b', "'pod':'q'", POD_PORTS)); /* and one goes */
	expect(&w, TCP, 80, "-*/*>x/a +y/c>x/a");
	put(&w, "{'kind':'Namespace','metadata':{'name':'y','labels':{'ns':'q'}}}");
	expect(&w, TCP, 80, "-*/*>x/a");
	put(&w, "{'kind':'Namespace','metadata':{'name':'z','labels':{'ns':'y'}}}");
	expect(&w, TCP, 80, "-*/*>x/a +z/b>x/a");
	put(&w, pod_text(&a, 'x', 'a', "'pod':'q'", POD_PORTS)); /* the selected one is none any more, and another is */
	expect(&w, TCP, 80, "");
	put(&w, pod_text(&a, 'x', 'c', "'pod':'a'", POD_PORTS));
	expect(&w, TCP, 80, "-*/*>x/c +z/b>x/c");
	pworld_release(&w);
}

static void test_who_is_a_pod(_unused_ void **state)
{
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, POLICY("x", "p", EVERY_POD "," INGRESS("{'from':[{" SEL_POD("b") "},{'namespaceSelector':{}}]}")));
	expect(&w, TCP, 80, "");
	/* ended ones are no peers, nor are those of the host's network */
	put(&w, "{'kind':'Pod','metadata':{'name':'b','namespace':'x','uid':'xb','labels':{'pod':'b'}},'spec':"
		"{'nodeName':'n1'},'status':{'phase':'Succeeded','podIPs':[{'ip':'192.168.1.2'},{'ip':'fd00::1:2'}]}}");
	put(&w, "{'kind':'Pod','metadata':{'name':'c','namespace':'y','uid':'yc','labels':{'pod':'c'}},'spec':"
		"{'nodeName':'n1','hostNetwork':true},'status':{'podIPs':[{'ip':'192.168.2.3'},{'ip':'fd00::2:3'}]}}");
	put(&w, "{'kind':'Pod','metadata':{'name':'c','namespace':'x','uid':'xc','labels':{'pod':'c'}},'spec':"
		"{'nodeName':'n1','hostNetwork':true},'status':{'podIPs':[{'ip':'192.168.1.3'},{'ip':'fd00::1:3'}]}}");
	expect(&w, TCP, 80, "-x/b>x/* -y/c>x/* -x/c>x/* +*/*>x/b +*/*>x/c");
	pworld_release(&w);
}

/* Other nodes' pods are peers; their policies are their nodes'. */
static void test_elsewhere(_unused_ void **state)
{
	struct pworld w;

	pworld_init(&w);
	nine_pods(&w);
	put(&w, "{'kind':'Pod','metadata':{'name':'a','namespace':'x','uid':'xa','labels':{'pod':'a'}},'spec':"
		"{'nodeName':'n2'},'status':{'podIPs':[{'ip':'192.168.1.1'},{'ip':'fd00::1:1'}]}}");
	put(&w, POLICY("x", "p", SEL_POD("a") ",'policyTypes':['Ingress','Egress']"));
	expect(&w, TCP, 80, "");
	assert_false(netpol_track_there(w.t));
	put(&w, POLICY("y", "p", SEL_POD("a") "," INGRESS("{'from':[{" SEL_NS("x") "," SEL_POD("a") "}]}")));
	expect(&w, TCP, 80, "-*/*>y/a +x/a>y/a");
	pworld_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_policies),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_names_differ),
		cmocka_unit_test(test_stacked),
		cmocka_unit_test(test_label_flips),
		cmocka_unit_test(test_who_is_a_pod),
		cmocka_unit_test(test_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
