/* Whose a host is, among listeners and Ingresses, as HAProxy is given it; refusals first. */
#include "gates_kit.h"

#include "base/b64.h"
#include "net/tls.h"

#define OWNED(kind, ns, name, age)                                                              \
	"{'kind':'" kind "','metadata':{'namespace':'" ns "','name':'" name "','uid':'" ns name \
	"','creationTimestamp':'2026-01-0" age "T00:00:00Z'},'spec':"
#define OWNED_GATEWAY(ns, name, age, listeners) \
	OWNED("Gateway", ns, name, age) "{'gatewayClassName':'c','listeners':[" listeners "]}}"
#define ALL ",'allowedRoutes':{'namespaces':{'from':'All'}}"
#define HTTP(name, port, more) "{'name':'" name "','port':" port ",'protocol':'HTTP'" more ALL "}"
#define PASS(name, port, more) \
	"{'name':'" name "','port':" port ",'protocol':'TLS','tls':{'mode':'Passthrough'}" more ALL "}"
#define HTTPS(name, port, more)                                                                          \
	"{'name':'" name "','port':" port ",'protocol':'HTTPS','tls':{'certificateRefs':[{'name':'good'" \
	"}]}" more ALL "}"
#define HOST(h) ",'hostname':'" h "'"
#define OWNED_ROUTE(kind, ns, name, age, gateway, hosts, path) \
	OWNED(kind, ns, name, age)                             \
	"{'parentRefs':[" gateway "],'hostnames':[" hosts      \
	"],'rules':[{'matches':[{" PATH("PathPrefix", path) "}]," BACK("a") "}]}}"
#define PARENT(ns, name) "{'namespace':'" ns "','name':'" name "'}"
#define OWNED_INGRESS(ns, name, age, host)                                                     \
	"{'kind':'Ingress','metadata':{'namespace':'" ns "','name':'" name "','uid':'" ns name \
	"','creationTimestamp':'2026-01-0" age                                                 \
	"T00:00:00Z'},'spec':{'rules':[" KIT_RULE(host, KIT_PATH("/", "Prefix", "a")) "]}}"

static struct rig rig_empty(int http, int https)
{
	struct rig r = { .k = { .m = { 0 } }, .http = http, .https = https };

	rig_add(&r, KIT_CLASS);
	rig_add(&r, CLASS);
	return r;
}

/* The keys of gates.map alone, with a blank behind each. */
static struct sv rig_keys(struct rig *r)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct ing_conf c;
	struct sv line, text;

	rig_render(r, &c);
	text = c.maps[ING_MAP_GATES];
	while (sv_split(&text, '\n', &line))
		buf_printf(&b, "%.*s ", SV_ARG(sv_sub(line, 0, (size_t)MAX(sv_find(line, ' '), 0))));
	return arena_sv(&r->k.a, sv_trim(buf_sv(&b)));
}

/* A route for another's hostname, at a wider listener of one's own, stands behind that listener's name alone. */
static void test_wider_listeners(_unused_ void **state)
{
	struct rig r = rig_empty(0, 0);

	rig_add(&r, OWNED_GATEWAY("d", "theirs", "2",
				  HTTP("h", "8080", HOST("shop.x.org")) "," HTTPS(
				      "s", "8443", HOST("shop.x.org")) "," HTTP("none", "8081", HOST("shop.x.org"))));
	rig_add(&r, OWNED_GATEWAY("evil", "wide", "1",
				  HTTP("any", "8080", "") "," HTTP("wild", "8080",
								   HOST("*.x.org")) "," PASS("pass", "8443", "")));
	rig_add(&r, OWNED_ROUTE("HTTPRoute", "evil", "r", "1", PARENT("evil", "wide"), "'shop.x.org'", "/"));
	rig_add(&r, OWNED_ROUTE("TLSRoute", "evil", "t", "1", PARENT("evil", "wide"), "'shop.x.org'", "/"));
	assert_sv(rig_keys(&r),
		  "l8080|*.x.org| l8080|*| l8080|shop.x.org| l8081|shop.x.org| l8443|*| l8443|shop.x.org| "
		  "p8080|*.x.org|shop.x.org/ p8080|*|shop.x.org/ t8443|*|shop.x.org|");
	rig_end(&r);
}

/* A hostname stays its owner's while nothing serves it. */
static void test_listener_without_certificate(_unused_ void **state)
{
	struct rig r = rig_empty(0, 0);

	rig_add(&r, OWNED_GATEWAY("d", "theirs", "2",
				  "{'name':'s','port':8443,'protocol':'HTTPS','hostname':'x.org',"
				  "'tls':{'certificateRefs':[{'name':'bad'}]}}"));
	rig_add(&r, OWNED_GATEWAY("evil", "wide", "1", PASS("pass", "8443", "")));
	assert_sv(rig_keys(&r), "l8443|*| l8443|x.org|");
	rig_end(&r);
}

/* At the ports of Ingresses alone. */
static void test_beside_ingresses(_unused_ void **state)
{
	static const struct {
		const char *ingress, *gateway, *route, *tls_route, *keys;
	} cases[] = {
		/* Wider: the route is asked unless another namespace's Ingress is older. */
		{ OWNED_INGRESS("d", "i", "1", "x.org"), OWNED_GATEWAY("evil", "g", "1", HTTP("h", "80", "")),
		  OWNED_ROUTE("HTTPRoute", "evil", "r", "2", PARENT("evil", "g"), "'x.org'", "/"), NULL,
		  "i80|x.org| l80|*|" },
		{ OWNED_INGRESS("d", "i", "3", "x.org"), OWNED_GATEWAY("evil", "g", "1", HTTP("h", "80", "")),
		  OWNED_ROUTE("HTTPRoute", "evil", "r", "2", PARENT("evil", "g"), "'x.org'", "/"), NULL,
		  "i80|x.org| l80|*| p80|*|x.org/" },
		{ OWNED_INGRESS("d", "i", "1", "x.org"), OWNED_GATEWAY("evil", "g", "1", HTTP("h", "80", "")),
		  OWNED_ROUTE("HTTPRoute", "d", "r", "2", PARENT("evil", "g"), "'x.org'", "/"), NULL,
		  "i80|x.org| l80|*| p80|*|x.org/" },
		{ OWNED_INGRESS("d", "i", "1", "x.org"), OWNED_GATEWAY("evil", "g", "1", HTTP("h", "81", "")),
		  OWNED_ROUTE("HTTPRoute", "evil", "r", "2", PARENT("evil", "g"), "'x.org'", "/"), NULL,
		  "l81|*| p81|*|x.org/" },
		/* The same hostname is the older's. */
		{ OWNED_INGRESS("d", "i", "1", "x.org"),
		  OWNED_GATEWAY("evil", "g", "2", HTTP("h", "80", HOST("x.org"))),
		  OWNED_ROUTE("HTTPRoute", "evil", "r", "2", PARENT("evil", "g"), "'x.org'", "/"), NULL,
		  "i80|x.org| l80|x.org|" },
		{ OWNED_INGRESS("d", "i", "3", "x.org"),
		  OWNED_GATEWAY("evil", "g", "2", HTTP("h", "80", HOST("x.org"))),
		  OWNED_ROUTE("HTTPRoute", "evil", "r", "4", PARENT("evil", "g"), "'x.org'", "/"), NULL,
		  "l80|x.org| p80|x.org|x.org/" },
		/* What passes through, too, and by spec.tls alone. */
		{ OWNED_INGRESS("d", "i", "1", "x.org"), OWNED_GATEWAY("evil", "g", "1", PASS("h", "443", "")),
		  OWNED_ROUTE("HTTPRoute", "evil", "r", "2", PARENT("evil", "g"), "'x.org'", "/"),
		  OWNED_ROUTE("TLSRoute", "evil", "r", "2", PARENT("evil", "g"), "'x.org'", "/"),
		  "i443|x.org| l443|*|" },
		{ "{'kind':'Ingress','metadata':{'namespace':'d','name':'i','creationTimestamp':'2026-01-01T00:00:00Z'}"
		  ",'spec':{'tls':[{'hosts':['x.org']}],'defaultBackend':{'service':{'name':'a','port':{'number':80}}"
		  "}}}",
		  OWNED_GATEWAY("evil", "g", "1", PASS("h", "443", "")),
		  OWNED_ROUTE("HTTPRoute", "evil", "r", "2", PARENT("evil", "g"), "'x.org'", "/"),
		  OWNED_ROUTE("TLSRoute", "evil", "r", "2", PARENT("evil", "g"), "'x.org'", "/"),
		  "i443|x.org| l443|*|" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r = rig_empty(80, 443);

		rig_add(&r, cases[i].ingress);
		rig_add(&r, cases[i].gateway);
		rig_add(&r, cases[i].route);
		if (cases[i].tls_route)
			rig_add(&r, cases[i].tls_route);
		if (!sv_is(rig_keys(&r), cases[i].keys))
			fail_msg("%zu: %.*s", i, SV_ARG(rig_keys(&r)));
		assert_int_equal(
		    strstr(buf_cstr(&r.k.said), "i: host x.org at port 80 is that of gateway evil/g") != NULL, i == 5);
		rig_end(&r);
	}
}

/* Of one place all Gateways of its namespace have it together: one line, and gates by the age of their routes; another
 * namespace's route is there by the listener that lets it in, and that namespace's own listener is not. */
static void test_gateways_of_one_namespace(_unused_ void **state)
{
	struct rig r = rig_empty(0, 0);
	struct ing_conf c;

	rig_add(&r, OWNED_GATEWAY("d", "all", "3", HTTP("h", "8080", "") "," PASS("p", "8443", "")));
	rig_add(&r, OWNED_GATEWAY("evil", "theirs", "2", HTTP("h", "8080", "") "," PASS("p", "8443", "")));
	rig_add(&r,
		OWNED_GATEWAY("d", "same", "1", "{'name':'h','port':8080,'protocol':'HTTP'}," PASS("p", "8443", "")));
	rig_add(&r, OWNED_ROUTE("HTTPRoute", "d", "young", "4", PARENT("d", "same"), "'x.org'", "/"));
	rig_add(&r,
		OWNED_ROUTE("HTTPRoute", "d", "old", "2", PARENT("d", "all") "," PARENT("d", "same"), "'x.org'", "/"));
	rig_add(&r, OWNED_ROUTE("HTTPRoute", "evil", "b", "3", PARENT("d", "all"), "'x.org'", "/"));
	rig_add(&r, OWNED_ROUTE("HTTPRoute", "d", "b", "3", PARENT("d", "same"), "'x.org'", "/"));
	rig_add(&r, OWNED_ROUTE("HTTPRoute", "evil", "held", "1", PARENT("d", "same"), "'z.org'", "/"));
	rig_add(&r, OWNED_ROUTE("HTTPRoute", "evil", "lost", "1", PARENT("evil", "theirs"), "'x.org'", "/"));
	rig_add(&r, OWNED_ROUTE("TLSRoute", "evil", "lost", "1", PARENT("evil", "theirs"), "'x.org'", "/"));
	rig_add(&r, OWNED_ROUTE("TLSRoute", "d", "young", "3", PARENT("d", "same"), "'x.org'", "/"));
	rig_add(&r, OWNED_ROUTE("TLSRoute", "d", "old", "2", PARENT("d", "all"), "'x.org'", "/"));
	assert_sv(rig_keys(&r), "l8080|*| l8443|*| p8080|*|x.org/ t8443|*|x.org|");
	rig_render(&r, &c);
	assert_int_equal(r.k.m.n_listeners, 2);
	assert_sv(obj_name(r.k.m.listeners[0].from), "same");
	assert_int_equal(r.k.m.n_passes, 1);
	assert_sv(obj_name(r.k.m.passes[0].from), "old");
	assert_int_equal(r.k.m.n_gates, 4);
	assert_sv(obj_name(r.k.m.gates[0].from), "old");
	assert_sv(obj_ns(r.k.m.gates[1].from), "d"); /* of one age, by namespace */
	assert_sv(obj_ns(r.k.m.gates[2].from), "evil");
	assert_sv(obj_name(r.k.m.gates[2].from), "b");
	assert_sv(obj_name(r.k.m.gates[3].from), "young");
	rig_end(&r);
}

/* A Secret of a certificate with these names; NULL behind the last. */
static void rig_add_secret(struct rig *r, const char *ns, const char *name, const char *const *names)
{
	struct cert_opts o = { .common_name = "c",
			       .dns_names = names,
			       .not_before_ns = CLOCK_FLOOR_NS,
			       .not_after_ns = INT64_MAX / 2,
			       .server = true };
	struct sv cert, key;

	assert_int_equal(cert_make(&r->k.a, &o, SV(""), SV(""), &cert, &key, NULL), 0);
	cert = b64_encode(&r->k.a, cert);
	key = b64_encode(&r->k.a, key);
	vec_push(&r->secrets, arena_printf(&r->k.a,
					   "{'kind':'Secret','type':'kubernetes.io/tls','metadata':{'namespace':'%s',"
					   "'name':'%s','uid':'%s%s'},'data':{'tls.crt':'%.*s','tls.key':'%.*s'}}",
					   ns, name, ns, name, SV_ARG(cert), SV_ARG(key)));
}

/* The lists as "443: file(hosts) ...", the files as the names of their Secrets. */
static struct sv rig_lists(struct rig *r)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct ing_conf c;

	for (size_t i = 0; i < r->secrets.n; i++)
		kit_add(&r->k, r->secrets.p[i]); /* rig_add() takes them away */
	rig_render(r, &c);
	for (size_t i = 0; i < c.n_lists; i++) {
		struct sv text = c.lists[i].text, line, file;

		buf_printf(&b, "%.*s:", SV_ARG(sv_sub(c.lists[i].file, 9, c.lists[i].file.n - 13)));
		while (sv_split(&text, '\n', &line) && sv_split(&line, ' ', &file)) {
			struct sv key = file;

			for (size_t k = 0; k < c.n_pems; k++)
				if (sv_eq(c.pems[k].file, file))
					for (size_t m = 0; m < r->k.m.n_certificates; m++)
						if (sv_eq(r->k.m.certificates[m].pem, c.pems[k].pem))
							key = r->k.m.certificates[m].key;
			if (file.n)
				buf_printf(&b, " %.*s(%.*s)", SV_ARG(key), SV_ARG(line));
		}
		buf_adds(&b, "; ");
	}
	return arena_sv(&r->k.a, sv_trim(buf_sv(&b)));
}

/* Whoever listens at another port, or without hostname and with another's name in a certificate, shows none of his for
 * a hostname that is not his. */
static void test_certificates(_unused_ void **state)
{
	static const char *const none[] = { NULL }, *const stolen[] = { "x.org",   "a.wild.org", "*.wild.org", "in.org",
									"own.org", "bad_name",	 NULL };
	struct rig r = rig_empty(80, 443);

	rig_add_secret(&r, "d", "ingress", none);
	rig_add_secret(&r, "d", "good", none);
	rig_add_secret(&r, "evil", "good", stolen);
	rig_add_secret(&r, "evil", "more", stolen);
	rig_add(&r,
		"{'kind':'Ingress','metadata':{'namespace':'d','name':'i','creationTimestamp':'2026-01-05T00:00:00Z'},"
		"'spec':{'tls':[{'hosts':['in.org'],'secretName':'ingress'}],'rules':[" KIT_RULE(
		    "in.org", KIT_PATH("/", "Prefix", "a")) "]}}");
	rig_add(&r, OWNED_GATEWAY("d", "g", "5",
				  HTTPS("x", "443", HOST("x.org")) "," HTTPS("w", "443", HOST("*.wild.org"))));
	rig_add(&r, OWNED_GATEWAY(
			"evil", "g", "1",
			HTTPS("x", "9443", HOST("x.org")) ",{'name':'any','port':443,'protocol':'HTTPS','tls':{"
							  "'certificateRefs':[{'name':'good'},{'name':'more'}]}}"));
	assert_sv(rig_lists(&r), "443: evil/good(nobody.invalid) default.pem() d/ingress(in.org) evil/more(own.org) "
				 "d/good(x.org *.wild.org); 9443: default.pem() evil/good(x.org);");
	/* Of an Ingress and a listener with one host the older one's is shown. */
	rig_add(&r, OWNED_GATEWAY("d", "in", "4", HTTPS("in", "443", HOST("in.org"))));
	assert_true(sv_find_sv(rig_lists(&r), SV("d/good(in.org x.org *.wild.org)")) > 0);
	assert_int_equal(sv_find_sv(rig_lists(&r), SV("d/ingress")), -1);
	rig_end(&r);

	/* Of one place the oldest listener's is shown that can be; the others' for no name but their own. */
	r = rig_empty(80, 443);
	rig_add_secret(&r, "d", "good", stolen);
	rig_add_secret(&r, "d", "more", stolen);
	rig_add(&r, OWNED_GATEWAY("d", "young", "3", HTTPS("x", "9443", HOST("x.org")) "," HTTPS("any", "9444", "")));
	rig_add(&r,
		OWNED_GATEWAY(
		    "d", "middle", "2",
		    "{'name':'x','port':9443,'protocol':'HTTPS','hostname':'x.org','tls':{'certificateRefs':[{'name':"
		    "'more'}]}},{'name':'any','port':9444,'protocol':'HTTPS','tls':{'certificateRefs':[{'name':"
		    "'more'}]}},{'name':'own','port':9444,'protocol':'HTTPS','hostname':'x.org','tls':{"
		    "'certificateRefs':[{'name':'more'}]}}"));
	rig_add(&r, OWNED_GATEWAY("d", "old", "1",
				  "{'name':'x','port':9443,'protocol':'HTTPS','hostname':'x.org','tls':{"
				  "'certificateRefs':[{'name':'bad'}]}}"));
	assert_sv(rig_lists(&r),
		  "443: default.pem(); 9443: default.pem() d/more(x.org); 9444: d/more(x.org) default.pem() "
		  "d/good(a.wild.org *.wild.org in.org own.org);");
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wider_listeners),	 cmocka_unit_test(test_listener_without_certificate),
		cmocka_unit_test(test_beside_ingresses), cmocka_unit_test(test_gateways_of_one_namespace),
		cmocka_unit_test(test_certificates),
	};

	return cmocka_run_group_tests_name("ingress_owners", tests, NULL, NULL);
}
