/* Gates as HAProxy is given them: which come after which, in which order those of a place are asked, and that texts are
 * values. Whether its Lua does what they say is in tests/e2e/test_gateway.py. */
#include "ingress_kit.h"

#include "base/b64.h"
#include "base/file.h"
#include "base/tree.h"
#include "ev/ev.h"
#include "ingress/command.h"
#include "ingress/from_gateway.h"
#include "ingress/gate_lua.h"
#include "ingress/gate_rule.h"
#include "net/tls.h"

#include <unistd.h>

struct rig {
	struct kit k;
	VEC(struct obj *) objects[_GW_KIND_MAX];
	VEC(char *) secrets; /* the arena's */
	struct ing_names names;
	int http, https;
	bool accepted; /* all rules of the first route, when it was rendered last */
};

static void rig_add(struct rig *r, const char *json)
{
	struct obj *o;

	kit_add(&r->k, json);
	if (!r->k.secrets.n)
		return;
	o = vec_pop(&r->k.secrets); /* where it puts what it does not know */
	for (int i = 0; i < _GW_KIND_MAX; i++)
		if (val_is(obj_get(o, F_kind), gw_kind_names[i]))
			vec_push(&r->objects[i], o);
}

static enum gw_service rig_service(void *ctx, struct sv ns, struct sv name, int64_t port)
{
	return gw_service_port(kit_service(ctx, ns, name), port);
}

static const struct val *rig_labels(_unused_ void *ctx, _unused_ struct sv ns)
{
	return NULL;
}

static const char *rig_certificate(_unused_ void *ctx, _unused_ struct sv ns, struct sv name)
{
	return sv_is(name, "bad") ? "is not there" : NULL;
}

static void rig_render(struct rig *r, struct ing_conf *ret)
{
	struct ing_source s = kit_source_at(&r->k, r->http, r->https);
	struct gw_source gs = {
		.namespace_labels = rig_labels, .service = rig_service, .certificate = rig_certificate, .ctx = &r->k
	};
	struct ing_listen l = {
		.threads = 1, .max_connections = 100, .own = 7, .http_port = r->http, .https_port = r->https
	};
	struct gw_ingresses ingresses = { .ports = { r->http, r->https } };
	struct gw_state st;

	gs.ingresses = &ingresses;
	for (int i = 0; i < _GW_KIND_MAX; i++) {
		gs.objects[i] = r->objects[i].p;
		gs.n[i] = r->objects[i].n;
	}
	kit_model(&r->k);
	ing_hosts_of(&r->k.m, &ingresses);
	gw_state_make(&r->k.a, &gs, &st);
	r->accepted = st.n_routes && gw_condition_is(&st.routes[0].parents[0].conditions, "Accepted") &&
		      !gw_condition(&st.routes[0].parents[0].conditions, "PartiallyInvalid");
	ing_from_gateways(&r->k.a, &s, &gs, &st, &r->k.m);
	l.gates = r->k.m.ports;
	l.n_gates = r->k.m.n_ports;
	ing_render(&r->k.a, &r->names, &r->k.m, &l, ret);
	gw_state_release(&st);
	gw_ingresses_release(&ingresses);
}

static void rig_end(struct rig *r)
{
	for (int i = 0; i < _GW_KIND_MAX; i++)
		vec_release(&r->objects[i]);
	vec_release(&r->secrets);
	ing_names_release(&r->names);
	kit_release(&r->k);
}

#define CLASS "{'kind':'GatewayClass','metadata':{'name':'c'},'spec':{'controllerName':'" GW_CONTROLLER "'}}"
#define GATEWAY                                                                                                  \
	"{'kind':'Gateway','metadata':{'namespace':'d','name':'g'},'spec':{'gatewayClassName':'c','listeners':[" \
	"{'name':'h','port':8080,'protocol':'HTTP'},{'name':'p','port':8443,'protocol':'TLS','tls':{'mode':"     \
	"'Passthrough'}}]}}"
#define LISTENERS "l8080|*| h\nl8443|*| t\n" /* of GATEWAY */
#define ROUTE(kind, name, more, rules)                                                                               \
	"{'kind':'" kind "','metadata':{'namespace':'d','name':'" name "'},'spec':{'parentRefs':[{'name':'g'}]" more \
	",'rules':[" rules "]}}"
#define BACK(name) "'backendRefs':[{'name':'" name "','port':80}]"
#define PATH(type, value) "'path':{'type':'" type "','value':'" value "'}"

static struct rig rig_new(void)
{
	struct rig r = { .k = { .m = { 0 } } };

	rig_add(&r, KIT_SERVICE("a"));
	rig_add(&r, KIT_SERVICE("b"));
	rig_add(&r, CLASS);
	rig_add(&r, GATEWAY);
	return r;
}

/* A place goes on to the nearest that its path is below, of its own host and port. */
static void test_chains(_unused_ void **state)
{
	struct rig r = rig_new();
	struct ing_conf c;

	rig_add(&r, ROUTE("HTTPRoute", "r", ",'hostnames':['x.org']",
			  "{'matches':[{" PATH("PathPrefix", "/") "},{" PATH("PathPrefix", "/a/b/") "},{" PATH(
			      "Exact", "/a/b") "},{" PATH("PathPrefix",
							  "/a/bc") "},{" PATH("Exact", "/a/b/c") "}]," BACK("a") "}"));
	rig_add(&r, ROUTE("HTTPRoute", "s", "", "{'matches':[{" PATH("PathPrefix", "/a") "}]," BACK("a") "}"));
	rig_render(&r, &c);
	assert_sv(c.maps[ING_MAP_GATES],
		  "e8080|*|x.org/a/b/c| c6\ne8080|*|x.org/a/b| c4\n" LISTENERS
		  "p8080|*|*/a/ c7\np8080|*|x.org/ c1\np8080|*|x.org/a/b/ c3\np8080|*|x.org/a/bc/ c5\n");
	assert_sv(c.maps[ING_MAP_VALUES],
		  "c1 1\nc1.1 b:b2=1\nc3 1 c1\nc3.1 b:b2=1\nc4 1 c3\nc4.1 b:b2=1\nc5 1 c1\nc5.1 b:b2=1\n"
		  "c6 1 c3\nc6.1 b:b2=1\nc7 1\nc7.1 b:b2=1\n");
	rig_end(&r);
}

/* Upstream's: method, headers, query, then who is older and comes first. */
static void test_order(_unused_ void **state)
{
	struct rig r = rig_new();
	struct ing_conf c;

	rig_add(&r, ROUTE("HTTPRoute", "r", "",
			  "{'matches':[{},{'queryParams':[{'name':'q','value':'1'}]},{'headers':[{'name':'A','value':'"
			  "x y'},{'name':'a',"
			  "'value':'z'}]},{'method':'GET'}]," BACK("a") "}"));
	rig_add(&r,
		ROUTE("HTTPRoute", "s", "",
		      "{'matches':[{'headers':[{'name':'b','value':'1'},{'name':'c','value':'|'}]}]," BACK("b") "}"));
	rig_render(&r, &c);
	assert_sv(c.maps[ING_MAP_GATES], LISTENERS "p8080|*|*/ c1\n");
	assert_sv(c.maps[ING_MAP_VALUES], "c1 5\nc1.1 b:b2=1 m:GET\nc1.2 b:b3=1 h:b:1 h:c:%7C\nc1.3 b:b2=1 h:a:x%20y\n"
					  "c1.4 b:b2=1 q:q:1\nc1.5 b:b2=1\n");
	rig_end(&r);
}

/* --- whose a host is --- */

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
}

/* What changes a match or a weight changes maps alone; another filter does not go by commands. */
static void test_changes(_unused_ void **state)
{
	static const char *const rules[] = {
		"{'matches':[{" PATH(
		    "Exact", "/a") "}],'backendRefs':[{'name':'a','port':80,'weight':1},{'name':'b','port':80}]}",
		"{'matches':[{" PATH(
		    "Exact",
		    "/b") ",'method':'PUT'}],'backendRefs':[{'name':'a','port':80,'weight':9},{'name':'b','port':80}]}",
		"{'matches':[{" PATH("Exact", "/b") "}],'timeouts':{'request':'1s'},'backendRefs':[{'name':'a','port':"
						    "80},{'name':'b','port':80}]}",
	};
	struct rig r = rig_new();
	struct ing_conf was, is;

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		_cleanup_free_ char *text = xasprintf(ROUTE("HTTPRoute", "r", "", "%s"), rules[i]);
		struct ing_steps steps;

		r.objects[GW_HTTPROUTES].n = 0;
		rig_add(&r, text);
		rig_render(&r, &is);
		if (i)
			assert_int_equal(ing_steps_between(&r.k.a, &was, &is, &steps), i == 1);
		was = is;
	}
	rig_end(&r);
}

/* The text with each %s of it replaced. */
static char *fill(const char *text, const char *with)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (; *text; text++)
		if (text[0] == '%' && text[1] == 's') {
			buf_adds(&b, with);
			text++;
		} else {
			buf_addc(&b, *text);
		}
	return xasprintf("%s", buf_cstr(&b));
}

/* What is said to be accepted is served, all of it, and what is refused is not. */
static void test_accepted_is_served(_unused_ void **state)
{
	static const char label[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const struct {
		const char *host, *rule;
		size_t gates; /* 0: refused */
	} cases[] = {
		{ "a.org", "", 1 },
		{ "%s.org", "", 1 },
		{ "a%s.org", "", 0 },
		{ "a.org", "'matches':[{'method':'PUT'},{'path':{'type':'Exact','value':'/a%2'}}]", 2 },
		{ "a.org", "'matches':[{'method':'P T'}]", 0 },
		{ "a.org", "'matches':[{'path':{'type':'Exact','value':'/a '}}]", 0 },
		{ "a.org", "'filters':[{'type':'URLRewrite','urlRewrite':{'hostname':'%s.org'}}]", 1 },
		{ "a.org", "'filters':[{'type':'URLRewrite','urlRewrite':{'hostname':'a%s.org'}}]", 0 },
		{ "a.org", "'filters':[{'type':'RequestRedirect','requestRedirect':{'hostname':'%s.org'}}]", 1 },
		{ "a.org", "'filters':[{'type':'RequestRedirect','requestRedirect':{'hostname':'a%s.org'}}]", 0 },
		{ "a.org", "'filters':[{'type':'CORS','cors':{'allowOrigins':['http://%s','http://b']}}]", 1 },
		{ "a.org", "'filters':[{'type':'CORS','cors':{'allowOrigins':['http://a','http://b c']}}]", 0 },
		{ "a.org", "'filters':[{'type':'ExternalAuth'}]", 0 },
	};
	struct rig r = rig_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_free_ char *host = fill(cases[i].host, label), *rule = fill(cases[i].rule, label);
		_cleanup_free_ char *text =
		    xasprintf(ROUTE("HTTPRoute", "r", ",'hostnames':['%s']", "{%s%s" BACK("a") "}"), host, rule,
			      rule[0] ? "," : "");
		const struct ing_filters *t;
		struct ing_conf c;

		r.objects[GW_HTTPROUTES].n = 0;
		rig_add(&r, text);
		rig_render(&r, &c);
		if (r.accepted != (cases[i].gates > 0) || r.k.m.n_gates != cases[i].gates)
			fail_msg("%s: accepted %d, %zu gates", text, r.accepted, r.k.m.n_gates);
		if (!cases[i].gates)
			continue;
		assert_sv(r.k.m.gates[0].host, host);
		t = r.k.m.gates[0].targets[0].filters;
		assert_int_equal(strstr(rule, "urlRewrite") != NULL, t->vhost.n > 0);
		assert_int_equal(strstr(rule, "requestRedirect") != NULL, t->gate->host.n > 0);
		assert_int_equal(strstr(rule, "http://b'") != NULL, sv_ends(t->gate->cors_origins, SV(" http://b")));
	}
	rig_end(&r);
}

static void test_durations(_unused_ void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = { { "500ms", 500 },	 { "1h1m1s1ms", 3661001 },
		      { "0s", 0 },	 { "0h0m0s0ms", 0 },
		      { "", -1 },	 { "10", -1 },
		      { "1d", -1 },	 { "s", -1 },
		      { "999999s", -1 }, { "99999h99999h99999h", INT64_C(86400000) },
		      { "1m", 60000 },	 { "99999h", INT64_C(86400000) } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(ing_gate_duration_ms(sv_from(cases[i].text)), cases[i].ms);
}

/* Zero is not nothing: upstream turns the timeout off. */
static void test_timeouts(_unused_ void **state)
{
	static const struct {
		const char *timeouts, *line;
	} cases[] = {
		{ "", "  timeout server 60s\n" },
		{ ",'timeouts':{}", "  timeout server 60s\n" },
		{ ",'timeouts':{'request':'0s'}", "  timeout server 86400000ms\n" },
		{ ",'timeouts':{'backendRequest':'0ms'}", "  timeout server 86400000ms\n" },
		{ ",'timeouts':{'request':'0s','backendRequest':'0s'}", "  timeout server 86400000ms\n" },
		{ ",'timeouts':{'request':'0s','backendRequest':'5s'}", "  timeout server 5000ms\n" },
		{ ",'timeouts':{'request':'7s','backendRequest':'0s'}", "  timeout server 7000ms\n" },
		{ ",'timeouts':{'request':'7s','backendRequest':'5s'}", "  timeout server 5000ms\n" },
		{ ",'timeouts':{'request':'7s'}", "  timeout server 7000ms\n" },
	};
	struct rig r = rig_new();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_free_ char *text =
		    xasprintf(ROUTE("HTTPRoute", "r", "", "{" BACK("a") "%s}"), cases[i].timeouts);
		struct ing_conf c;
		ssize_t at;

		r.objects[GW_HTTPROUTES].n = 0;
		rig_add(&r, text);
		rig_render(&r, &c);
		at = sv_find_sv(c.config, SV("\nbackend b"));
		assert_true(at >= 0);
		assert_true(sv_find_sv(c.config, SV("\n  timeout client 60s\n")) > 0); /* all hosts' */
		if (sv_find_sv(sv_sub(c.config, (size_t)at, c.config.n), sv_from(cases[i].line)) < 0)
			fail_msg("%s: no %s in %.*s", cases[i].timeouts, cases[i].line, SV_ARG(c.config));
	}
	rig_end(&r);
}

/* The program itself, too. */
static void test_haproxy_takes_it(_unused_ void **state)
{
	static const char *const argv[] = { "/usr/sbin/haproxy", "-c", "-f", "haproxy.cfg", NULL };
	char dir[] = "/tmp/test-gates-XXXXXX";
	struct rig r = rig_new();
	struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf out = BUF_INIT, errout = BUF_INIT;
	struct ing_conf c;
	int status = -1;

	if (access(argv[0], X_OK) < 0) {
		rig_end(&r);
		skip();
	}
	rig_add(&r, ROUTE("HTTPRoute", "r", "",
			  "{'matches':[{" PATH("PathPrefix", "/p") "}]," BACK(
			      "a") ",'timeouts':{'request':'10ms'},'filters':["
				   "{'type':'RequestHeaderModifier','requestHeaderModifier':{'set':[{'name':'A','value'"
				   ":'%[x] \\\" #'}],"
				   "'add':[{'name':'B','value':'1'}],'remove':['C']}},"
				   "{'type':'ResponseHeaderModifier','responseHeaderModifier':{'set':[{'name':'A','"
				   "value':'b'}],'remove':['C']}},"
				   "{'type':'URLRewrite','urlRewrite':{'hostname':'n.org','path':{'type':'"
				   "ReplacePrefixMatch','replacePrefixMatch':'/'}}},"
				   "{'type':'CORS','cors':{'allowOrigins':['*'],'allowMethods':['*'],'allowHeaders':['"
				   "x'],'exposeHeaders':['y'],"
				   "'allowCredentials':true,'maxAge':3}}]},"
				   "{'filters':[{'type':'RequestRedirect','requestRedirect':{'scheme':'https','"
				   "statusCode':308}}]}"));
	rig_add(&r, ROUTE("GRPCRoute", "g", "",
			  "{'matches':[{'method':{'service':'a.B','method':'C'}},{'method':{'method':'D'}}]," BACK(
			      "a") "}"));
	rig_add(&r, ROUTE("TLSRoute", "t", ",'hostnames':['t.org']", "{" BACK("a") "}"));
	rig_render(&r, &c);
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < ING_MAPS; i++)
		assert_int_equal(
		    file_write_again(arena_printf(&r.k.a, "%s/%s", dir, ing_map_names[i]), c.maps[i], 0600, &err), 0);
	assert_int_equal(file_write_again(arena_printf(&r.k.a, "%s/haproxy.cfg", dir), c.config, 0600, &err), 0);
	assert_int_equal(
	    file_write_again(arena_printf(&r.k.a, "%s/" ING_GATE_LUA, dir), sv_from(ing_gate_lua), 0600, &err), 0);
	assert_int_equal(
	    child_run(
		&(struct child_opts){ .argv = argv, .cwd = dir, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
		60 * NS_PER_SEC, 1 << 16, &out, &errout, &status, &err),
	    0);
	if (status || errout.n)
		fail_msg("%s%s", buf_cstr(&out), buf_cstr(&errout));
	assert_int_equal(tree_remove(dir, &err), 0);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chains),		 cmocka_unit_test(test_order),
		cmocka_unit_test(test_wider_listeners),	 cmocka_unit_test(test_listener_without_certificate),
		cmocka_unit_test(test_beside_ingresses), cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_changes),		 cmocka_unit_test(test_accepted_is_served),
		cmocka_unit_test(test_durations),	 cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_haproxy_takes_it)
	};

	return cmocka_run_group_tests_name("ingress_gates", tests, NULL, NULL);
}
