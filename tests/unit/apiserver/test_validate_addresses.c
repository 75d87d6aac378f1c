/* Addresses and networks of older fields: what is ambiguous is refused where it is new, and kept where it is old. */
#include "validate_table.h"

#define SERVICE(spec) \
	"{'metadata':{'name':'s'},'spec':{'type':'LoadBalancer','ports':[{'port':80,'targetPort':80}]," spec "}}"
#define OPEN                                                                                                      \
	"'clusterIP':'10.0.0.9','clusterIPs':['10.0.0.9'],'ipFamilies':['IPv4'],'allocateLoadBalancerNodePorts':" \
	"true,'internalTrafficPolicy':'Cluster','externalTrafficPolicy':'Cluster',"

static void test_services(void **state)
{
	const struct resource *r = RES(core_services);
	const struct kind_case cases[] = {
		{ r, SERVICE(OPEN "'externalIPs':['1.2.3.4','2001:DB8:0::4']"), NULL, NULL, NULL },
		{ r, SERVICE(OPEN "'externalIPs':['1.2.03.4','::ffff:1.2.3.4','1.2.3','']"), NULL, NULL,
		  "[spec.externalIPs[0]: Invalid value: '1.2.03.4': must not have leading 0s, spec.externalIPs[1]: "
		  "Invalid value: '::ffff:1.2.3.4': must not be an IPv4-mapped IPv6 address, spec.externalIPs[2]: "
		  "Invalid value: '1.2.3': must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff), "
		  "spec.externalIPs[3]: Invalid value: '': must be a valid IP address, (e.g. 10.9.8.7 or "
		  "2001:db8::ffff)]" },
		{ r, SERVICE(OPEN "'externalIPs':['1.2.03.4']"), SERVICE(OPEN "'externalIPs':['1.2.03.4']"), NULL,
		  NULL },
		{ r, SERVICE(OPEN "'loadBalancerSourceRanges':[' 10.0.0.0/8 ','10.0.0.1/8','10.0.0.0/08']"), NULL, NULL,
		  "[spec.LoadBalancerSourceRanges[1]: Invalid value: '10.0.0.1/8': must not have bits set beyond the "
		  "prefix length, spec.LoadBalancerSourceRanges[2]: Invalid value: '10.0.0.0/08': must not have "
		  "leading 0s in IP or prefix length]" },
		{ r,
		  "{'metadata':{'name':'s','annotations':{'service.beta.kubernetes.io/load-balancer-source-ranges':"
		  "'10.0.0.0/8, x'}},'spec':{'type':'LoadBalancer','ports':[{'port':80,'targetPort':80}]," OPEN
		  "'selector':{}}}",
		  NULL, NULL,
		  "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: 'x': "
		  "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)" },
		{ r, "{'spec':{'type':'LoadBalancer'},'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3.4'}]}}}", "{}",
		  "status",
		  "status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set" },
		{ r,
		  "{'spec':{'type':'LoadBalancer'},'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3.4','ipMode':"
		  "'X'},{'hostname':'a','ipMode':'VIP'},{'ip':'01.2.3.4','ipMode':'VIP'}]}}}",
		  "{}", "status",
		  "[status.loadBalancer.ingress[0].ipMode: Unsupported value: 'X': supported values: 'Proxy', 'VIP', "
		  "status.loadBalancer.ingress[1].ipMode: Forbidden: may not be specified when `ip` is not set, "
		  "status.loadBalancer.ingress[2].ip: Invalid value: '01.2.3.4': must not have leading 0s]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define POLICY(cidr, not ) \
	"{'spec':{'podSelector':{},'ingress':[{'from':[{'ipBlock':{'cidr':'" cidr "','except':['" not "']}}]}]}}"

static void test_networks(void **state)
{
	const struct resource *np = RES(networking_networkpolicies), *sc = RES(networking_servicecidrs),
			      *in = RES(networking_ingresses), *node = RES(core_nodes),
			      *es = RES(discovery_endpointslices), *ep = RES(core_endpoints);
	const struct kind_case cases[] = {
		{ np, POLICY("10.0.0.0/8", "10.1.0.0/16"), NULL, NULL, NULL },
		{ np, POLICY("::ffff:10.0.0.0/104", "10.1.2.3/16"), NULL, NULL,
		  "[spec.ingress[0].from[0].ipBlock.cidr: Invalid value: '::ffff:10.0.0.0/104': must not have an "
		  "IPv4-mapped IPv6 address, spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "
		  "'10.1.2.3/16': must not have bits set beyond the prefix length]" },
		{ np, POLICY("10.0.0.1/8", "10.1.2.3/16"), POLICY("10.0.0.1/8", "10.1.2.3/16"), NULL, NULL },
		{ np, POLICY("10.0.0.1/8", "10.1.2.3/16"), POLICY("10.0.0.1/8", "10.1.0.0/16"), NULL,
		  "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: '10.1.2.3/16': must not have bits set "
		  "beyond the prefix length" },
		{ sc, "{'spec':{'cidrs':['010.0.0.0/16']}}", NULL, NULL,
		  "spec.cidrs[0]: Invalid value: '010.0.0.0/16': must not have leading 0s in IP or prefix length" },
		{ sc, "{'spec':{'cidrs':['2001:DB8::/64']}}", NULL, NULL,
		  "spec.cidrs[0]: Invalid value: '2001:DB8::/64': must be in canonical form ('2001:db8::/64')" },
		{ in, "{'status':{'loadBalancer':{'ingress':[{'ip':'1.2.3.04'}]}}}", "{}", "status",
		  "status.loadBalancer.ingress[0].ip: Invalid value: '1.2.3.04': must not have leading 0s" },
		{ node, "{'spec':{'podCIDRs':['10.0.0.1/24']}}", NULL, NULL,
		  "spec.podCIDRs[0]: Invalid value: '10.0.0.1/24': must not have bits set beyond the prefix length" },
		{ node, "{'spec':{'podCIDRs':['10.0.0.1/24']}}", "{'spec':{'podCIDRs':['10.0.0.1/24']}}", NULL, NULL },
		{ es, "{'addressType':'IPv6','endpoints':[{'addresses':['::ffff:10.1.2.3']}]}", NULL, NULL,
		  "endpoints[0].addresses[0]: Invalid value: '::ffff:10.1.2.3': must not be an IPv4-mapped IPv6 "
		  "address" },
		{ ep, "{'subsets':[{'addresses':[{'ip':'10.0.0.09'}]}]}", NULL, NULL,
		  "subsets[0].addresses[0].ip: Invalid value: '10.0.0.09': must not have leading 0s" },
		{ ep, "{'subsets':[{'notReadyAddresses':[{'ip':'10.0.0.09'}]}]}",
		  "{'subsets':[{'addresses':[{'ip':'10.0.0.09'}]}]}", NULL, NULL },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

#define SPEC(more) "{'metadata':{'name':'p'},'spec':{'containers':[{'name':'c','image':'i'}]," more "}}"

static void test_pods(void **state)
{
	const struct resource *r = RES(core_pods);
	const struct kind_case cases[] = {
		{ r, SPEC("'hostAliases':[{'ip':'010.0.0.1'}],'dnsConfig':{'nameservers':['::ffff:1.1.1.1']}"), NULL,
		  NULL,
		  "[spec.dnsConfig.nameservers[0]: Invalid value: '::ffff:1.1.1.1': must not be an IPv4-mapped IPv6 "
		  "address, spec.hostAliases[0].ip: Invalid value: '010.0.0.1': must not have leading 0s]" },
		{ r, SPEC("'hostAliases':[{'ip':'010.0.0.1'}]"), SPEC("'hostAliases':[{'ip':'010.0.0.1'}]"), NULL,
		  NULL },
		{ r, "{'status':{'podIPs':[{'ip':'10.0.0.01'}]}}", "{}", "status",
		  "status.podIPs[0]: Invalid value: '10.0.0.01': must not have leading 0s" },
		{ r, "{'status':{'podIPs':[{'ip':'10.0.0.01'}]}}", "{'status':{'podIPs':[{'ip':'10.0.0.01'}]}}",
		  "status", NULL },
		{ r,
		  "{'status':{'qosClass':'Burstable','observedGeneration':-1,'conditions':[{'type':'Ready',"
		  "'observedGeneration':-2}]}}",
		  "{'status':{'qosClass':'BestEffort'}}", "status",
		  "[status.qosClass: Invalid value: 'Burstable': field is immutable, status.observedGeneration: "
		  "Invalid value: -1: must be greater than or equal to 0, status.conditions[0].observedGeneration: "
		  "Invalid value: -2: must be greater than or equal to 0]" },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

static void test_counters_and_features(void **state)
{
	const struct resource *d = RES(apps_deployments), *node = RES(core_nodes);
	const struct kind_case cases[] = {
		{ d, "{'status':{'terminatingReplicas':-1}}", "{}", "status",
		  "status.terminatingReplicas: Invalid value: -1: must be greater than or equal to 0" },
		{ node, "{'status':{'declaredFeatures':['A','B/C']}}", "{}", "status", NULL },
		{ node, "{'status':{'declaredFeatures':['B','A','A','x y']}}", "{}", "status",
		  "[status.declaredFeatures[1]: Invalid value: 'A': must be sorted, status.declaredFeatures[2]: "
		  "Duplicate value: 'A', status.declaredFeatures[3]: Invalid value: 'x y': must be a valid feature "
		  "name]" },
		{ node, "{'status':{'declaredFeatures':['B','A']}}", "{'status':{'declaredFeatures':['B','A']}}",
		  "status", NULL },
	};

	(void)state;
	run(cases, ARRAY_LEN(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_pods),
		cmocka_unit_test(test_counters_and_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
