/* What Gateways and routes are told: refusals first. */
#include "gateway_kit.h"

static void test_nobodys(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, "{'kind':'GatewayClass','metadata':{'name':'theirs'},'spec':{'controllerName':'x.org/y'}}");
	rig_add(&r, "{'kind':'Gateway','metadata':{'namespace':'d','name':'g'},'spec':{'gatewayClassName':'theirs',"
		    "'listeners':[{'name':'a','port':80,'protocol':'HTTP'}]}}");
	rig_add(&r, ROUTE("d", "r", "{'name':'g'}", ""));
	rig_make(&r);
	assert_int_equal(r.st.n_classes + r.st.n_gateways + r.st.n_routes, 0);
	rig_end(&r);
}

static void test_listeners(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, CLASS);
	rig_add(&r, GATEWAY("g", "1",
			    HTTP("a", "80", "") "," HTTP(
				"b", "80",
				",'hostname':'b.org'") ","
						       "{'name':'udp','port':53,'protocol':'UDP'},"
						       "{'name':'no','port':443,'protocol':'HTTPS','hostname':'n.org','"
						       "tls':{'certificateRefs':[{'name':'bad'}]}},"
						       "{'name':'yes','port':443,'protocol':'HTTPS','hostname':'y.org',"
						       "'tls':{'certificateRefs':[{'name':'good'}]}},"
						       "{'name':'far','port':443,'protocol':'HTTPS','hostname':'f.org',"
						       "'tls':{'certificateRefs':[{'name':'good','namespace':'e'}]}},"
						       "{'name':'t','port':443,'protocol':'TLS','hostname':'t.org','"
						       "tls':{'mode':'Terminate'}}"));
	/* The younger does not turn a port round, nor has it a hostname that the older one of another namespace has. */
	rig_add(&r, GATEWAY("h", "2",
			    "{'name':'tls','port':80,'protocol':'HTTPS','hostname':'z.org','tls':{'certificateRefs':[{'"
			    "name':'good'}]}}"));
	rig_add(&r,
		"{'kind':'Gateway','metadata':{'namespace':'e','name':'i','creationTimestamp':'2026-01-03T00:00:00Z"
		"'},'spec':{'gatewayClassName':'ours','listeners':[" HTTP("same", "80", ",'hostname':'b.org'") "]}}");
	rig_make(&r);
	assert_string_equal(told(&r, listener(&r, 0, 0), "Programmed"), "True/Programmed");
	assert_string_equal(told(&r, listener(&r, 0, 1), "Conflicted"), "False/NoConflicts");
	assert_string_equal(told(&r, listener(&r, 0, 2), "Accepted"), "False/UnsupportedProtocol");
	assert_string_equal(told(&r, listener(&r, 0, 3), "ResolvedRefs"), "False/InvalidCertificateRef");
	assert_false(r.st.gateways[0].listeners[3].serves);
	assert_true(r.st.gateways[0].listeners[4].serves);
	assert_string_equal(told(&r, listener(&r, 0, 5), "ResolvedRefs"), "False/RefNotPermitted");
	assert_string_equal(told(&r, listener(&r, 0, 6), "Accepted"), "False/UnsupportedValue");
	assert_string_equal(told(&r, &r.st.gateways[0].conditions, "Accepted"), "True/ListenersNotValid");
	assert_string_equal(told(&r, listener(&r, 1, 0), "Accepted"), "False/PortUnavailable");
	assert_false(r.st.gateways[2].listeners[0].serves);
	assert_string_equal(told(&r, listener(&r, 2, 0), "Conflicted"), "True/HostnameConflict");
	rig_end(&r);
}

static void test_conflicts(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, CLASS);
	rig_add(&r,
		GATEWAY("g", "1",
			HTTP("a", "80", ",'hostname':'a.org'") "," HTTP("b", "80", ",'hostname':'a.org'") "," HTTP(
			    "c", "80", "") "," HTTP("d", "81", "") ",{'name':'e','port':81,'protocol':'TLS','hostname':"
								   "'x.org','tls':{'mode':'Passthrough'}}"));
	rig_make(&r);
	assert_string_equal(told(&r, listener(&r, 0, 0), "Conflicted"), "True/HostnameConflict");
	assert_string_equal(told(&r, listener(&r, 0, 1), "Conflicted"), "True/HostnameConflict");
	assert_string_equal(told(&r, listener(&r, 0, 2), "Conflicted"), "False/NoConflicts");
	assert_string_equal(told(&r, listener(&r, 0, 3), "Conflicted"), "True/ProtocolConflict");
	assert_string_equal(told(&r, listener(&r, 0, 4), "Conflicted"), "True/ProtocolConflict");
	assert_string_equal(told(&r, listener(&r, 0, 4), "Accepted"), "False/Invalid");
	/* One name cannot both end here and pass through; nor has a listener in conflict routes. */
	rig_add(&r, GATEWAY("h", "2",
			    "{'name':'a','port':443,'protocol':'HTTPS','tls':{'certificateRefs':[{'name':'good'}]}},"
			    "{'name':'b','port':443,'protocol':'TLS','tls':{'mode':'Passthrough'}}"));
	rig_add(&r, ROUTE("d", "r", "{'name':'h','sectionName':'a'}", ""));
	rig_make(&r);
	assert_string_equal(told(&r, listener(&r, 1, 0), "Conflicted"), "True/ProtocolConflict");
	assert_string_equal(told(&r, listener(&r, 1, 1), "Conflicted"), "True/ProtocolConflict");
	assert_string_equal(told(&r, &r.st.routes[0].parents[0].conditions, "Accepted"), "False/NotAllowedByListeners");
	assert_int_equal(r.st.gateways[1].listeners[0].attached, 0);
	rig_end(&r);
}

/* What is asked for and not served is said by who is accepted all the same. */
static void test_listener_sets(_unused_ void **state)
{
	static const char *const from[] = { "None", "All", "Same" };

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		struct rig r = { .s = { .ctx = NULL } };

		rig_add(&r, CLASS);
		rig_add(&r, arena_printf(&r.a,
					 "{'kind':'Gateway','metadata':{'namespace':'d','name':'g'},'spec':{"
					 "'gatewayClassName':'ours','allowedListeners':{'namespaces':{'from':'%s'}},"
					 "'listeners':[" HTTP("a", "80", "") "]}}",
					 from[i]));
		rig_make(&r);
		assert_string_equal(told(&r, &r.st.gateways[0].conditions, "Accepted"), "True/Accepted");
		assert_int_equal(strstr(gw_condition(&r.st.gateways[0].conditions, "Accepted")->message,
					"ListenerSets are not served") != NULL,
				 i > 0);
		rig_end(&r);
	}
}

/* A Gateway that is refused serves nothing, so it keeps no port and no host from those that are younger. */
static void test_refused_takes_nothing(_unused_ void **state)
{
	static const char *const why[] = { "'addresses':[{'value':'10.0.0.1'}]",
					   "'infrastructure':{'parametersRef':{'kind':'a'}}", "'tls':{'frontend':{}}" };

	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		struct rig r = { .s = { .ctx = NULL } };

		rig_add(&r, CLASS);
		rig_add(&r,
			arena_printf(&r.a,
				     "{'kind':'Gateway','metadata':{'namespace':'d','name':'old','creationTimestamp':"
				     "'2026-01-01T00:00:00Z'},'spec':{'gatewayClassName':'ours',%s,'listeners':["
				     "{'name':'a','port':443,'protocol':'HTTP'},{'name':'b','port':444,'protocol':"
				     "'TLS','hostname':'x.org','tls':{'mode':'Passthrough'}}]}}",
				     why[i]));
		rig_add(&r,
			GATEWAY("young", "2",
				"{'name':'a','port':443,'protocol':'HTTPS','tls':{'certificateRefs':[{'name':'good'}"
				"]}},{'name':'b','port':444,'protocol':'HTTPS','hostname':'x.org','tls':"
				"{'certificateRefs':[{'name':'good'}]}}"));
		rig_make(&r);
		assert_false(r.st.gateways[0].accepted);
		for (size_t k = 0; k < 2; k++) {
			assert_string_equal(told(&r, listener(&r, 0, k), "Programmed"), "False/Invalid");
			assert_string_equal(told(&r, listener(&r, 1, k), "Accepted"), "True/Accepted");
			assert_true(r.st.gateways[1].listeners[k].serves);
		}
		rig_end(&r);
	}
}

static void test_routes(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, CLASS);
	rig_add(&r, GATEWAY("g", "1",
			    HTTP("a", "80", ",'hostname':'*.x.org'") "," HTTP(
				"b", "81",
				",'allowedRoutes':{'namespaces':{'from':'Selector','selector':{'matchLabels':{'name':'"
				"e'}}}}") "," HTTP("c", "82",
						   ",'allowedRoutes':{'namespaces':{'from':'All'},'kinds':[{'kind':'"
						   "GRPCRoute'}]}")));
	rig_add(&r, ROUTE("d", "section", "{'name':'g','sectionName':'z'}", ""));
	rig_add(&r, ROUTE("d", "port", "{'name':'g','port':83}", ""));
	rig_add(&r, ROUTE("d", "kind", "{'name':'g','sectionName':'c'}", ""));
	rig_add(&r, ROUTE("f", "space", "{'name':'g','namespace':'d'}", ""));
	rig_add(&r, ROUTE("e", "picked", "{'name':'g','namespace':'d'}", ""));
	rig_add(&r, ROUTE("d", "host", "{'name':'g'}", ",'hostnames':['x.org','y.org']"));
	rig_add(&r, ROUTE("d", "fine", "{'name':'g'}", ",'hostnames':['y.org','a.b.x.org','*.c.x.org','*.org']"));
	rig_add(&r, ROUTE("d", "mesh", "{'name':'g','kind':'Service','group':''}", ""));
	rig_make(&r);
	assert_string_equal(parent(&r, "section", "Accepted"), "False/NoMatchingParent");
	assert_string_equal(parent(&r, "port", "Accepted"), "False/NoMatchingParent");
	assert_string_equal(parent(&r, "kind", "Accepted"), "False/NotAllowedByListeners");
	assert_string_equal(parent(&r, "space", "Accepted"), "False/NotAllowedByListeners");
	assert_string_equal(parent(&r, "picked", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "host", "Accepted"), "False/NoMatchingListenerHostname");
	assert_string_equal(parent(&r, "fine", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "mesh", "Accepted"), "none");
	for (size_t i = 0; i < r.st.n_routes; i++) {
		const struct gw_parent *p = &r.st.routes[i].parents[0];

		if (!sv_is(obj_name(r.st.routes[i].o), "fine"))
			continue;
		assert_int_equal(p->n_attached, 1);
		assert_int_equal(p->attached[0].n_hosts, 3);
		assert_sv(p->attached[0].hosts[0], "a.b.x.org");
		assert_sv(p->attached[0].hosts[1], "*.c.x.org");
		assert_sv(p->attached[0].hosts[2], "*.x.org");
	}
	assert_int_equal(r.st.gateways[0].listeners[0].attached, 1);
	assert_int_equal(r.st.gateways[0].listeners[1].attached, 1);
	rig_end(&r);
}

static void test_grants(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, CLASS);
	rig_add(&r, GATEWAY("g", "1", HTTP("a", "80", "")));
	rig_add(&r, "{'kind':'HTTPRoute','metadata':{'namespace':'d','name':'r'},'spec':{'parentRefs':[{'name':'g'}],"
		    "'rules':[{'backendRefs':[{'name':'a','namespace':'e','port':80}]}]}}");
	rig_make(&r);
	assert_string_equal(parent(&r, "r", "ResolvedRefs"), "False/RefNotPermitted");
	/* Of the wrong namespace, kind, group or name. */
#define GRANT(ns, kind, from, group, to)                                                              \
	"{'kind':'ReferenceGrant','metadata':{'namespace':'" ns "'},'spec':{'from':[{'group':'" group \
	"','kind':'" kind "','namespace':'" from "'}],'to':[{'group':'','kind':'Service'" to "}]}}"
#define GW "gateway.networking.k8s.io"
	rig_add(&r, GRANT("d", "HTTPRoute", "d", GW, ""));
	rig_add(&r, GRANT("e", "GRPCRoute", "d", GW, ""));
	rig_add(&r, GRANT("e", "HTTPRoute", "e", GW, ""));
	rig_add(&r, GRANT("e", "HTTPRoute", "d", "", ""));
	rig_add(&r, GRANT("e", "HTTPRoute", "d", GW, ",'name':'b'"));
	rig_make(&r);
	assert_string_equal(parent(&r, "r", "ResolvedRefs"), "False/RefNotPermitted");
	rig_add(&r, GRANT("e", "HTTPRoute", "d", GW, ",'name':'a'"));
	rig_make(&r);
	assert_string_equal(parent(&r, "r", "ResolvedRefs"), "True/ResolvedRefs");
	rig_end(&r);
}

static void test_hosts(_unused_ void **state)
{
	static const struct {
		const char *x, *y, *wanted; /* NULL: none */
	} cases[] = {
		{ "", "", "" },
		{ "", "a.org", "a.org" },
		{ "a.org", "a.org", "a.org" },
		{ "a.org", "b.org", NULL },
		{ "*.a.org", "a.org", NULL },
		{ "*.a.org", "b.a.org", "b.a.org" },
		{ "*.a.org", "c.b.a.org", "c.b.a.org" },
		{ "*.a.org", "ba.org", NULL },
		{ "*.a.org", "*.a.org", "*.a.org" },
		{ "*.a.org", "*.b.a.org", "*.b.a.org" },
		{ "*.a.org", "*.b.org", NULL },
		{ "*.", "a", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int turn = 0; turn < 2; turn++) {
			struct sv ret, x = sv_from(turn ? cases[i].y : cases[i].x),
				       y = sv_from(turn ? cases[i].x : cases[i].y);
			bool met = gw_hosts_meet(x, y, &ret);

			assert_int_equal(met, cases[i].wanted != NULL);
			if (met)
				assert_sv(ret, cases[i].wanted);
		}
}

static const char *unsupported(struct arena *a, enum gw_kind kind, const char *rule)
{
	char *json = arena_strdup(a, rule);

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	return gw_rule_unsupported(kind, json_decode(a, sv_from(json), NULL, NULL));
}

#define LABEL_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Names that no DNS has are nobody's: not accepted, and in nobody's way. */
static void test_hostnames(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, CLASS);
	rig_add(&r,
		GATEWAY("g", "1",
			"{'name':'long','port':80,'protocol':'TLS','tls':{'mode':'Passthrough'},'hostname':'*." LABEL_64
			".org'}," HTTP("any", "80", "")));
	rig_add(&r, ROUTE("d", "long", "{'name':'g','sectionName':'long'}", ""));
	rig_add(&r, ROUTE("d", "bad", "{'name':'g'}", ",'hostnames':['a.org','" LABEL_64 ".org']"));
	rig_add(&r, ROUTE("d", "fine", "{'name':'g'}", ",'hostnames':['a.org']"));
	rig_make(&r);
	assert_string_equal(told(&r, listener(&r, 0, 0), "Accepted"), "False/UnsupportedValue");
	assert_string_equal(told(&r, listener(&r, 0, 0), "Conflicted"), "False/NoConflicts");
	assert_string_equal(told(&r, listener(&r, 0, 1), "Programmed"), "True/Programmed");
	assert_string_equal(parent(&r, "long", "Accepted"), "False/NotAllowedByListeners");
	assert_string_equal(parent(&r, "bad", "Accepted"), "False/UnsupportedValue");
	assert_string_equal(parent(&r, "fine", "Accepted"), "True/Accepted");
	assert_int_equal(r.st.gateways[0].listeners[1].attached, 1);
	rig_end(&r);
}

static void test_rules(_unused_ void **state)
{
	static const char *const bad[] = {
		"{'matches':[{'path':{'type':'RegularExpression','value':'/a'}}]}",
		"{'matches':[{'headers':[{'name':'a','type':'RegularExpression','value':'/a'}]}]}",
		"{'matches':[{'headers':[{'name':'a b','value':'x'}]}]}",
		"{'matches':[{'headers':[{'name':'a','value':' x'}]}]}",
		"{'matches':[{'headers':[{'name':'a','value':'x\\ny'}]}]}",
		"{'matches':[{'path':{'value':'/a\\u0001'}}]}",
		"{'filters':[{'type':'RequestMirror'}]}",
		"{'filters':[{'type':'ExtensionRef'}]}",
		"{'filters':[{'requestHeaderModifier':{'set':[{'name':'a%','value':'x'}]}}]}",
		"{'filters':[{'type':'ResponseHeaderModifier','responseHeaderModifier':{'remove':['a:']}}]}",
		"{'filters':[{'type':'URLRewrite','urlRewrite':{'path':{'replacePrefixMatch':'/a b'}}}]}",
		"{'filters':[{'type':'RequestRedirect','requestRedirect':{'path':{'replaceFullPath':'a'}}}]}",
		"{'backendRefs':[{'name':'a','filters':[{'type':'URLRewrite'}]}]}",
		"{'matches':[{'path':{'type':'Glob','value':'/a'}}]}",
		"{'matches':[{'method':'GET x'}]}",
		"{'matches':[{'queryParams':[{'name':'a','type':'Glob','value':'x'}]}]}",
		"{'filters':[{'type':'ExternalAuth','externalAuth':{}}]}",
		"{'filters':[{'type':'URLRewrite','urlRewrite':{'hostname':'" LABEL_64 ".org'}}]}",
		"{'filters':[{'type':'URLRewrite','urlRewrite':{'hostname':'*.x.org'}}]}",
		"{'filters':[{'type':'URLRewrite','urlRewrite':{'path':{'type':'Glob'}}}]}",
		"{'filters':[{'type':'RequestRedirect','requestRedirect':{'hostname':'" LABEL_64 "'}}]}",
		"{'filters':[{'type':'RequestRedirect','requestRedirect':{'scheme':'ftp'}}]}",
		"{'filters':[{'type':'RequestRedirect','requestRedirect':{'statusCode':200}}]}",
		"{'filters':[{'type':'RequestRedirect','requestRedirect':{'port':70000}}]}",
		"{'filters':[{'type':'CORS','cors':{'allowOrigins':['http://a b']}}]}",
		"{'filters':[{'type':'CORS','cors':{'allowMethods':['GET','PUT,DELETE']}}]}",
		"{'filters':[{'type':'CORS','cors':{'allowHeaders':['']}}]}",
		"{'filters':[{'type':'CORS','cors':{'exposeHeaders':['a','b\\n']}}]}",
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!unsupported(&a, GW_HTTPROUTES, bad[i]))
			fail_msg("taken: %s", bad[i]);
	assert_null(
	    unsupported(&a, GW_HTTPROUTES,
			"{'matches':[{'path':{'type':'Exact','value':'/a'},'headers':[{'name':'A-b','value':'%[x]'}],"
			"'queryParams':[{'name':'a b','value':''}]}],'filters':[{'type':'CORS'}]}"));
	for (int n = 63; n <= 64; n++) { /* each with what is between them 16 bytes: 1022, and two more */
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		buf_adds(&b, "{'filters':[{'type':'CORS','cors':{'allowHeaders':['abcdefghijklmn'");
		for (int i = 1; i < n; i++)
			buf_adds(&b, ",'abcdefghijklmn'");
		buf_adds(&b, n == 64 ? ",'a','b']}}]}" : "]}}]}");
		assert_int_equal(unsupported(&a, GW_HTTPROUTES, buf_cstr(&b)) == NULL, n == 63);
	}
	assert_non_null(unsupported(&a, GW_GRPCROUTES, "{'matches':[{'method':{'type':'RegularExpression'}}]}"));
	assert_non_null(unsupported(&a, GW_GRPCROUTES, "{'matches':[{'method':{'service':'a\\u0001'}}]}"));
	assert_null(unsupported(&a, GW_GRPCROUTES, "{'matches':[{'method':{'service':'a.B','method':'C'}}]}"));
}

/* What says where a message ends, or how its connection goes on, is nobody's to write: in no case, filter, list, kind
 * of route, nor for one backend alone. */
static void test_framing_headers(_unused_ void **state)
{
	static const char *const names[] = { "Connection", "content-length", "TRANSFER-ENCODING", "Upgrade", "tE",
					     "trailer",	   "Keep-Alive",     "proxy-Connection",  "HOST" };
	static const char *const filters[] = { "requestHeaderModifier", "responseHeaderModifier" },
				 *const types[] = { "RequestHeaderModifier", "ResponseHeaderModifier" },
				 *const lists[] = { "'set':[{'name':'%s','value':'x'}]",
						    "'add':[{'name':'a','value':'x'},{'name':'%s','value':'x'}]",
						    "'remove':['a','%s']" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		for (size_t k = 0; k < 12; k++) {
			const char *list = arena_printf(&a, lists[k % 3], names[i]),
				   *filter = arena_printf(&a, "'filters':[{'type':'%s','%s':{%s}}]", types[k / 3 % 2],
							  filters[k / 3 % 2], list);
			const char *rule = k < 6 ? arena_printf(&a, "{%s}", filter)
						 : arena_printf(&a, "{'backendRefs':[{'name':'a',%s}]}", filter);

			for (int kind = GW_HTTPROUTES; kind <= GW_GRPCROUTES; kind++) {
				const char *why = unsupported(&a, (enum gw_kind)kind, rule);

				if (!why || !strcasestr(why, names[i]))
					fail_msg("%s: %s", rule, why ? why : "taken");
			}
		}
	assert_null(
	    unsupported(&a, GW_HTTPROUTES,
			"{'filters':[{'type':'RequestHeaderModifier','requestHeaderModifier':{'set':[{'name':"
			"'X-Host','value':'x'},{'name':'Content-Type','value':'x'},{'name':'t','value':'x'}]}}]}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobodys),
		cmocka_unit_test(test_listener_sets),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_refused_takes_nothing),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_grants),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_hostnames),

		cmocka_unit_test(test_framing_headers),
	};

	return cmocka_run_group_tests_name("gateway_state", tests, NULL, NULL);
}
