/* What one has of what only one can have, or all together only so much of: hostnames, ports, places, memory. */
#include "gateway_kit.h"

/* Of Gateways of several namespaces that name one hostname the oldest has it, by its name when they are as old; what
 * is attached to the others reaches nothing. Another hostname of a port, or another port, is nobody's trouble. */
static void test_hosts_of_others(_unused_ void **state)
{
	static const char gateway[] =
	    "{'kind':'Gateway','metadata':{'namespace':'%s','name':'g','creationTimestamp':'2026-01-0%d"
	    "T00:00:00Z'},'spec':{'gatewayClassName':'ours','listeners':[" HTTP(
		"same", "80",
		",'hostname':'*.x.org'") "," HTTP("own", "80",
						  ",'hostname':'%s.x.org'") "," HTTP("any", "80",
										     "") ","
											 "{'name':'tls','port':443,'"
											 "protocol':'HTTPS','hostname':"
											 "'t.org','tls':"
											 "{'certificateRefs':[{'name':'"
											 "good'}]}},{'name':'pass','"
											 "port':443,"
											 "'protocol':'TLS','hostname':'"
											 "p.org','tls':{'mode':'"
											 "Passthrough'}}]}}";
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, CLASS);
	rig_add(&r, arena_printf(&r.a, gateway, "young", 2, "young"));
	rig_add(&r, arena_printf(&r.a, gateway, "b", 1, "b"));
	rig_add(&r, arena_printf(&r.a, gateway, "a", 1, "a"));
	rig_add(&r, ROUTE("young", "caught", "{'name':'g','sectionName':'same'}", ""));
	rig_make(&r);
	assert_sv(obj_ns(r.st.gateways[0].o), "a");
	for (size_t g = 0; g < 3; g++)
		for (size_t i = 0; i < 5; i++) {
			bool fine = g == 0 || i == 1; /* whose hostname nobody else has */

			assert_string_equal(told(&r, listener(&r, g, i), "Conflicted"),
					    fine ? "False/NoConflicts" : "True/HostnameConflict");
			assert_string_equal(told(&r, listener(&r, g, i), "Programmed"),
					    fine ? "True/Programmed" : "False/Invalid");
			assert_int_equal(r.st.gateways[g].listeners[i].claims, fine);
		}
	assert_non_null(strstr(gw_condition(listener(&r, 2, 0), "Conflicted")->message, "Gateway a/g"));
	assert_string_equal(told(&r, &r.st.routes[0].parents[0].conditions, "Accepted"), "False/NotAllowedByListeners");
	assert_int_equal(r.st.routes[0].parents[0].n_attached, 0);
	/* The oldest is gone: the next has them. */
	r.objects[GW_GATEWAYS].n = 2;
	rig_make(&r);
	assert_string_equal(told(&r, listener(&r, 0, 0), "Programmed"), "True/Programmed");
	assert_sv(obj_ns(r.st.gateways[0].o), "b");
	rig_end(&r);
}

#define OF_NAMESPACE(ns, name, age, listeners)                                                                    \
	"{'kind':'Gateway','metadata':{'namespace':'" ns "','name':'" name "','creationTimestamp':'2026-01-0" age \
	"T00:00:00Z'},'spec':{'gatewayClassName':'ours','listeners':[" listeners "]}}"
#define FROM(how) ",'allowedRoutes':{'namespaces':{'from':'" how "'}}"
#define PASS(more) "{'name':'p','port':443,'protocol':'TLS','tls':{'mode':'Passthrough'}" more "}"
#define ENDS(more) "{'name':'s','port':443,'protocol':'HTTPS','tls':{'certificateRefs':[{'name':'good'}]}" more "}"

/* Gateways of one namespace have a port and hostname together; each lets in what it allows. No other namespace's does,
 * not even between them, nor one that would have it in another way. */
static void test_places_of_one_namespace(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, CLASS);
	rig_add(&r, OF_NAMESPACE("d", "all", "3", HTTP("h", "80", FROM("All"))));
	rig_add(&r, OF_NAMESPACE("e", "theirs", "2", HTTP("h", "80", FROM("All"))));
	rig_add(&r, OF_NAMESPACE("d", "same", "1", HTTP("h", "80", FROM("Same")) "," ENDS("")));
	rig_add(&r, OF_NAMESPACE("d", "turned", "4", PASS("")));
	rig_add(&r, ROUTE("e", "held", "{'namespace':'d','name':'same'}", ""));
	rig_add(&r, ROUTE("e", "let", "{'namespace':'d','name':'all'}", ""));
	rig_add(&r, ROUTE("d", "own", "{'name':'same'},{'name':'all'}", ""));
	rig_add(&r, ROUTE("e", "lost", "{'name':'theirs'}", ""));
	rig_make(&r);
	assert_string_equal(told(&r, listener(&r, 1, 0), "Conflicted"), "True/HostnameConflict");
	assert_string_equal(told(&r, listener(&r, 1, 0), "Programmed"), "False/Invalid");
	assert_false(r.st.gateways[1].listeners[0].claims);
	assert_non_null(strstr(gw_condition(listener(&r, 1, 0), "Conflicted")->message, "Gateway d/same"));
	assert_string_equal(parent(&r, "lost", "Accepted"), "False/NotAllowedByListeners");
	assert_string_equal(parent(&r, "held", "Accepted"), "False/NotAllowedByListeners");
	assert_string_equal(told(&r, listener(&r, 3, 0), "Accepted"), "False/PortUnavailable");
	for (size_t g = 0; g < 3; g += 2) {
		assert_string_equal(told(&r, listener(&r, g, 0), "Accepted"), "True/Accepted");
		assert_string_equal(told(&r, listener(&r, g, 0), "Conflicted"), "False/NoConflicts");
		assert_string_equal(told(&r, listener(&r, g, 0), "Programmed"), "True/Programmed");
		assert_true(r.st.gateways[g].listeners[0].first == &r.st.gateways[0].listeners[0]);
	}
	assert_string_equal(parent(&r, "let", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "own", "Accepted"), "True/Accepted");
	assert_int_equal(r.st.gateways[0].listeners[0].attached, 1);
	assert_int_equal(r.st.gateways[2].listeners[0].attached, 2);
	/* The oldest is gone: the other namespace's is the oldest now, and has it. */
	r.objects[GW_GATEWAYS].p[2] = r.objects[GW_GATEWAYS].p[--r.objects[GW_GATEWAYS].n];
	rig_make(&r);
	assert_string_equal(told(&r, listener(&r, 0, 0), "Programmed"), "True/Programmed");
	assert_string_equal(told(&r, listener(&r, 1, 0), "Conflicted"), "True/HostnameConflict");
	assert_string_equal(told(&r, listener(&r, 2, 0), "Programmed"), "True/Programmed");
	assert_string_equal(parent(&r, "let", "Accepted"), "False/NotAllowedByListeners");
	assert_string_equal(parent(&r, "lost", "Accepted"), "True/Accepted");
	rig_end(&r);
}

/* One namespace does not take all ports: what is above its share is told, and free for others. */
static void test_port_shares(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };
	const size_t share = GW_PORTS_NAMESPACE_MAX;

	rig_add(&r, CLASS);
	for (int g = 0; g < 11; g++) { /* two of one namespace, whose ports are others' than the nine younger ones' */
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		for (size_t i = 0; i < share; i++)
			buf_printf(&b, "%s" HTTP("l%zu", "%zu", ""), i ? "," : "", i,
				   1000 + (g ? (size_t)g - 1 : 0) * 100 + i + (g == 1 ? 1 : 0));
		rig_add(&r, arena_printf(
				&r.a,
				"{'kind':'Gateway','metadata':{'namespace':'n%02d','name':'g%d','creationTimestamp':"
				"'2026-01-%02dT00:00:00Z'},'spec':{'gatewayClassName':'ours','listeners':[%s]}}",
				g ? g - (g == 1) : 0, g, 1 + g, buf_cstr(&b)));
	}
	rig_make(&r);
	for (size_t g = 0; g < 11; g++)
		for (size_t i = 0; i < share; i++) {
			/* The second shares the first's but for its last port, which is one too many; then seven
			 * namespaces fit. */
			const char *wanted =
			    (g == 1 && i == share - 1) || g > 8 ? "False/PortUnavailable" : "True/Accepted";

			if (strcmp(told(&r, listener(&r, g, i), "Accepted"), wanted) != 0)
				fail_msg("%zu %zu: %s", g, i, told(&r, listener(&r, g, i), "Accepted"));
			assert_int_equal(r.st.gateways[g].listeners[i].serves, wanted[0] == 'T');
		}
	assert_non_null(strstr(gw_condition(listener(&r, 1, share - 1), "Accepted")->message, "64 of a namespace"));
	rig_end(&r);
}

static struct obj *rig_ingress(struct rig *r, const char *ns, const char *name, int day, const char *more)
{
	char *json = arena_printf(&r->a,
				  "{'kind':'Ingress','metadata':{'namespace':'%s','name':'%s','creationTimestamp':"
				  "'2026-01-%02dT00:00:00Z'},'spec':{'ingressClassName':'c',%s}}",
				  ns, name, day, more);

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	return obj_link(&r->a, obj_new(json_decode(&r->a, sv_from(json), NULL, NULL), 1));
}

#define ING_RULE(host) "'rules':[{'host':'" host "','http':{'paths':[{}]}}]"

/* A host that an older Ingress of another namespace names is none of a route's, where Ingresses are served; both are
 * told, and of the Ingresses the oldest counts. */
static void test_hosts_of_ingresses(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };
	struct ingress_classes classes = { .default_ours = false };
	struct gw_ingresses ingresses;
	struct obj *all[] = {
		rig_ingress(&r, "e", "younger", 3, ING_RULE("x.org")),
		rig_ingress(&r, "e", "older", 1, ING_RULE("x.org")),
		rig_ingress(&r, "e", "tls", 1, "'tls':[{'hosts':['y.org']}]"),
		rig_ingress(&r, "d", "own", 1, ING_RULE("z.org")),
		rig_ingress(&r, "e", "late", 9, ING_RULE("w.org")),
		rig_ingress(&r, "e", "none", 1, "'rules':[{'host':'v.org'}]"),
	};
#define OF(name, age, host)                                                                                    \
	"{'kind':'HTTPRoute','metadata':{'namespace':'d','name':'" name "','creationTimestamp':'2026-01-0" age \
	"T00:00:00Z'},'spec':{'hostnames':[" host "],'parentRefs':[{'name':'g'}],'rules':[{}]}}"

	strmap_set(&classes.ours, SV("c"), &r);
	gw_ingresses_of(all, ARRAY_LEN(all), &classes, &ingresses);
	ingresses.ports[0] = 80;
	r.s.ingresses = &ingresses;
	rig_add(&r, CLASS);
	rig_add(&r, GATEWAY("g", "2", HTTP("a", "80", "") "," HTTP("x", "80", ",'hostname':'x.org'")));
	rig_add(&r, OF("x", "2", "'x.org'"));
	rig_add(&r, OF("xy", "2", "'x.org','y.org'"));
	rig_add(&r, OF("xv", "2", "'x.org','v.org'"));
	rig_add(&r, OF("z", "2", "'z.org'"));
	rig_add(&r, OF("w", "2", "'w.org'"));
	rig_make(&r);
	assert_string_equal(parent(&r, "x", "Accepted"), "False/HostnameConflict");
	assert_string_equal(parent(&r, "xy", "Accepted"), "False/HostnameConflict");
	assert_string_equal(parent(&r, "xv", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "z", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "w", "Accepted"), "True/Accepted");
	for (size_t i = 0; i < r.st.n_routes; i++) {
		const struct gw_parent *p = &r.st.routes[i].parents[0];

		if (!sv_is(obj_name(r.st.routes[i].o), "xv"))
			continue;
		assert_int_equal(p->n_attached, 1);
		assert_int_equal(p->attached[0].n_hosts, 1);
		assert_sv(p->attached[0].hosts[0], "v.org");
		assert_string_equal(gw_condition(&p->conditions, "Accepted")->message,
				    "Route is accepted, but host x.org at port 80 is that of ingress e/older, which is "
				    "older");
	}
	assert_non_null(strstr(gw_condition(listener(&r, 0, 1), "Programmed")->message, "ingress e/older"));
	/* At a port that is none of Ingresses'. */
	ingresses.ports[0] = 81;
	rig_make(&r);
	assert_string_equal(parent(&r, "x", "Accepted"), "True/Accepted");
	assert_string_equal(gw_condition(listener(&r, 0, 1), "Programmed")->message, "Listener is programmed");
	/* A place is as old as its oldest listener, whichever a route names. */
	ingresses.ports[0] = 80;
	rig_add(&r, OF_NAMESPACE("e", "new", "8", HTTP("w", "80", ",'hostname':'w.org'" FROM("All"))));
	rig_add(&r, "{'kind':'HTTPRoute','metadata':{'namespace':'d','name':'place','creationTimestamp':'2026-01-10T00:"
		    "00:00Z'},'spec':{'parentRefs':[{'namespace':'e','name':'new'}],'rules':[{}]}}");
	rig_make(&r);
	assert_string_equal(parent(&r, "place", "Accepted"), "True/Accepted");
	strmap_set(&ingresses.hosts, SV("w.org"), all[1]); /* older than new */
	rig_make(&r);
	assert_string_equal(parent(&r, "place", "Accepted"), "False/HostnameConflict");
	rig_add(&r, OF_NAMESPACE("e", "a", "1", HTTP("w", "80", ",'hostname':'w.org'"))); /* older than that */
	rig_make(&r);
	assert_string_equal(parent(&r, "place", "Accepted"), "True/Accepted");
	gw_ingresses_release(&ingresses);
	ingress_classes_release(&classes);
	rig_end(&r);
}

/* Of a Gateway with 64 ports that lets in namespaces by their labels. */
static void rig_add_wide(struct rig *r)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (int i = 0; i < 64; i++)
		buf_printf(
		    &b,
		    "%s{'name':'l%d','port':%d,'protocol':'HTTP','hostname':'*.x.org','allowedRoutes':{'namespaces':{"
		    "'from':'Selector','selector':{'matchExpressions':[{'key':'name','operator':'In','values':["
		    "'d','e']}]}}}}",
		    i ? "," : "", i, 8000 + i);
	rig_add(r, CLASS);
	rig_add(r, arena_printf(&r->a, GATEWAY("g", "1", "%s"), buf_cstr(&b)));
}

static void rig_add_routes(struct rig *r, const char *ns, size_t n, const char *parent, const char *host)
{
	for (size_t i = 0; i < n; i++)
		rig_add(r,
			arena_printf(&r->a, ROUTE("%s", "r%03zu", "%s", ",'hostnames':['%s']"), ns, i, parent, host));
}

/* What attaches counts, against a share of its namespace, and what does not attach keeps no memory. */
static void test_many_routes(_unused_ void **state)
{
	struct rig r = { .s = { .ctx = NULL } };
	size_t before, of[3];

	rig_add_wide(&r);
	rig_add_routes(&r, "d", 100, "{'name':'g','namespace':'d'}", "a.x.org"); /* of 64 gates each */
	rig_add_routes(&r, "e", 2, "{'name':'g','namespace':'d'}", "b.x.org");
	rig_add_routes(&r, "f", 1, "{'name':'g','namespace':'d'}", "c.x.org");
	rig_make(&r);
	assert_int_equal(r.asked, 3);
	assert_int_equal(r.st.n_routes, 103);
	for (size_t i = 0; i < r.st.n_routes; i++) {
		const struct gw_parent *p = &r.st.routes[i].parents[0];
		bool fits = i < 5000 / 64 || i >= 100;

		assert_string_equal(told(&r, &p->conditions, "Accepted"), i == 102 ? "False/NotAllowedByListeners"
									  : fits   ? "True/Accepted"
										   : "False/UnsupportedValue");
		assert_int_equal(p->n_attached, fits && i < 102 ? 64 : 0);
	}
	assert_int_equal(r.st.gateways[0].listeners[63].attached, 5000 / 64 + 2);
	rig_end(&r);
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		r = (struct rig){ .s = { .ctx = NULL } };
		rig_add_wide(&r);
		rig_add_routes(&r, "d", 10, "{'name':'g'}", i == 0 ? "y.org" : "a.x.org");
		rig_add_routes(&r, "f", i == 2 ? 100 : 0, "{'name':'g','namespace':'d'}", "a.x.org");
		before = r.a.bytes;
		rig_make(&r);
		of[i] = r.a.bytes - before;
		rig_end(&r);
	}
	assert_true(of[0] + 10 * 64 * sizeof(struct gw_attached) <= of[1]); /* ten that attach, and ten that do not */
	assert_true(of[2] - of[1] < 100 * 64 * sizeof(struct gw_attached));
}

/* A request asks each match of its place: of the older routes as many as are bounded, in whatever spelling. */
static void test_full_places(_unused_ void **state)
{
	static const char *const paths[] = { "/a", "/%61/", "/a//" };
	struct rig r = { .s = { .ctx = NULL } };
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	rig_add(&r, CLASS);
	rig_add(&r, GATEWAY("g", "1", HTTP("a", "80", "") "," HTTP("b", "81", "")));
	for (int i = 0; i < 100; i++)
		buf_printf(&b, "%s{'path':{'value':'%s'},'headers':[{'name':'h','value':'%d'}]}", i ? "," : "",
			   paths[i % 3], i);
	for (int i = 0; i < 4; i++)
		rig_add(&r, arena_printf(
				&r.a,
				"{'kind':'HTTPRoute','metadata':{'namespace':'d','name':'r%d'},'spec':{'parentRefs'"
				":[{'name':'g','sectionName':'%s'}],'rules':[{'matches':[%s],'backendRefs':["
				"{'name':'a','port':80}]}]}}",
				i, i == 3 ? "b" : "a", buf_cstr(&b)));
	rig_add(&r, ROUTE("d", "s", "{'name':'g'}", "")); /* another path, both listeners */
	rig_make(&r);
	assert_string_equal(parent(&r, "r0", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "r1", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "r2", "Accepted"), "False/UnsupportedValue");
	assert_non_null(strstr(gw_condition(&r.st.routes[2].parents[0].conditions, "Accepted")->message, "256"));
	assert_int_equal(r.st.routes[2].parents[0].n_attached, 0);
	assert_string_equal(parent(&r, "r3", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "s", "Accepted"), "True/Accepted");
	assert_int_equal(r.st.gateways[0].listeners[0].attached, 3);
	/* What was refused took nothing: 56 more of the place fit. */
	r.objects[GW_HTTPROUTES].n = 3;
	buf_clear(&b);
	for (int i = 0; i < 56; i++)
		buf_printf(&b, "%s{'path':{'value':'/a'},'method':'GET'}", i ? "," : "");
	rig_add(&r, arena_printf(&r.a,
				 "{'kind':'HTTPRoute','metadata':{'namespace':'d','name':'t'},'spec':{'parentRefs'"
				 ":[{'name':'g','sectionName':'a'}],'rules':[{'matches':[%s],'backendRefs':["
				 "{'name':'a','port':80}]}]}}",
				 buf_cstr(&b)));
	rig_add(&r, ROUTE("d", "u", "{'name':'g'}", ""));
	rig_make(&r);
	assert_string_equal(parent(&r, "r2", "Accepted"), "False/UnsupportedValue");
	assert_string_equal(parent(&r, "t", "Accepted"), "True/Accepted");
	assert_string_equal(parent(&r, "u", "Accepted"), "True/Accepted");
	rig_end(&r);
}

/* What a route has at one place by two Gateways it has there once; what it does not get there it gives back. */
static void test_places_by_two_parents(_unused_ void **state)
{
	static const size_t matches[] = { 200, 57, 56 };
	struct rig r = { .s = { .ctx = NULL } };

	rig_add(&r, CLASS);
	rig_add(&r, GATEWAY("g", "1", HTTP("a", "80", "")));
	rig_add(&r, GATEWAY("h", "2", HTTP("a", "80", "") "," HTTP("b", "81", "")));
	for (size_t i = 0; i < ARRAY_LEN(matches); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		for (size_t k = 0; k < matches[i]; k++)
			buf_printf(&b, "%s{'path':{'value':'/a'},'headers':[{'name':'h','value':'%zu'}]}", k ? "," : "",
				   k);
		rig_add(&r, arena_printf(
				&r.a,
				"{'kind':'HTTPRoute','metadata':{'namespace':'d','name':'r%zu'},'spec':{'parentRefs'"
				":[{'name':'g'},{'name':'h'}],'rules':[{'matches':[%s]}]}}",
				i, buf_cstr(&b)));
	}
	rig_make(&r);
	for (size_t i = 0; i < ARRAY_LEN(matches); i++)
		for (size_t p = 0; p < 2; p++)
			assert_string_equal(told(&r, &r.st.routes[i].parents[p].conditions, "Accepted"),
					    i == 1 ? "False/UnsupportedValue" : "True/Accepted");
	assert_int_equal(r.st.gateways[0].listeners[0].attached, 2);
	assert_int_equal(r.st.gateways[1].listeners[0].attached, 2);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts_of_others),	      cmocka_unit_test(test_port_shares),
		cmocka_unit_test(test_hosts_of_ingresses),    cmocka_unit_test(test_many_routes),
		cmocka_unit_test(test_full_places),	      cmocka_unit_test(test_places_of_one_namespace),
		cmocka_unit_test(test_places_by_two_parents),
	};

	return cmocka_run_group_tests_name("gateway_shares", tests, NULL, NULL);
}
