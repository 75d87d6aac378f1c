/* What Gateways and routes are told: refusals first. */
#include "unit.h"

#include "base/buf.h"
#include "base/vec.h"
#include "codec/json.h"
#include "gateway/gateway.h"

struct rig {
	struct arena a;
	VEC(struct obj *) objects[_GW_KIND_MAX];
	struct gw_source s;
	struct gw_state st;
	size_t asked; /* for labels */
};

/* A list of documents with ' for ". */
static void rig_add(struct rig *r, const char *text)
{
	char *json = arena_strdup(&r->a, text);
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *v;

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	v = json_decode(&r->a, sv_from(json), NULL, &err);
	if (!v)
		fail_msg("%s: %s", json, err_msg(&err));
	for (int k = 0; k < _GW_KIND_MAX; k++)
		if (val_is(val_get(v, F_kind), gw_kind_names[k]))
			vec_push(&r->objects[k], obj_link(&r->a, obj_new(v, 1)));
}

static const struct val *rig_labels(void *ctx, struct sv ns)
{
	struct rig *r = ctx;
	struct val *labels = val_new_map(&r->a);

	r->asked++;
	val_set_str_sv(&r->a, labels, SV("name"), ns);
	return labels;
}

static enum gw_service rig_service(_unused_ void *ctx, _unused_ struct sv ns, struct sv name, int64_t port)
{
	return !sv_is(name, "a") ? GW_SERVICE_MISSING : port == 80 ? GW_SERVICE_OK : GW_SERVICE_NO_PORT;
}

static const char *rig_certificate(_unused_ void *ctx, _unused_ struct sv ns, struct sv name)
{
	return sv_is(name, "good") ? NULL : "is not there";
}

static void rig_make(struct rig *r)
{
	gw_state_release(&r->st);
	r->s.namespace_labels = rig_labels;
	r->s.service = rig_service;
	r->s.certificate = rig_certificate;
	r->s.ctx = r;
	for (int k = 0; k < _GW_KIND_MAX; k++) {
		r->s.objects[k] = r->objects[k].p;
		r->s.n[k] = r->objects[k].n;
	}
	gw_state_make(&r->a, &r->s, &r->st);
}

static void rig_end(struct rig *r)
{
	gw_state_release(&r->st);
	for (int k = 0; k < _GW_KIND_MAX; k++)
		vec_release(&r->objects[k]);
	arena_release(&r->a);
}

#define CLASS "{'kind':'GatewayClass','metadata':{'name':'ours'},'spec':{'controllerName':'" GW_CONTROLLER "'}}"
#define GATEWAY(name, at, listeners)                                                                        \
	"{'kind':'Gateway','metadata':{'namespace':'d','name':'" name "','creationTimestamp':'2026-01-0" at \
	"T00:00:00Z'},'spec':{'gatewayClassName':'ours','listeners':[" listeners "]}}"
#define HTTP(name, port, more) "{'name':'" name "','port':" port ",'protocol':'HTTP'" more "}"
#define ROUTE(ns, name, parent, more)                                                                           \
	"{'kind':'HTTPRoute','metadata':{'namespace':'" ns "','name':'" name "'},'spec':{'parentRefs':[" parent \
	"],'rules':[{'backendRefs':[{'name':'a','port':80}]}]" more "}}"

/* "True/Reason" */
static const char *told(struct rig *r, const struct gw_conditions *c, const char *type)
{
	const struct gw_condition *one = gw_condition(c, type);

	return one ? arena_printf(&r->a, "%s/%s", one->is ? "True" : "False", one->reason) : "";
}

static const struct gw_conditions *listener(struct rig *r, size_t gateway, size_t i)
{
	return &r->st.gateways[gateway].listeners[i].conditions;
}

static const char *parent(struct rig *r, const char *name, const char *type)
{
	for (size_t i = 0; i < r->st.n_routes; i++)
		if (sv_is(obj_name(r->st.routes[i].o), name))
			return told(r, &r->st.routes[i].parents[0].conditions, type);
	return "none";
}

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
	/* The younger does not turn a port round, nor has it a hostname that the older has. */
	rig_add(&r, GATEWAY("h", "2",
			    "{'name':'tls','port':80,'protocol':'HTTPS','hostname':'z.org','tls':{'certificateRefs':[{'"
			    "name':'good'}]}}"));
	rig_add(&r, GATEWAY("i", "3", HTTP("same", "80", ",'hostname':'b.org'")));
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
			/* The second is in the first's way but for its last port, which is one too many; then seven
			 * namespaces fit. */
			const char *wanted = g == 1 && i < share - 1 ? "False/Invalid"
					     : g == 1 || g > 8	     ? "False/PortUnavailable"
								     : "True/Accepted";

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
	gw_ingresses_release(&ingresses);
	ingress_classes_release(&classes);
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
		cmocka_unit_test(test_nobodys),		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_conflicts),	cmocka_unit_test(test_refused_takes_nothing),
		cmocka_unit_test(test_routes),		cmocka_unit_test(test_grants),
		cmocka_unit_test(test_hosts),		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_hostnames),	cmocka_unit_test(test_many_routes),
		cmocka_unit_test(test_hosts_of_others), cmocka_unit_test(test_full_places),
		cmocka_unit_test(test_port_shares),	cmocka_unit_test(test_hosts_of_ingresses),
		cmocka_unit_test(test_framing_headers),
	};

	return cmocka_run_group_tests_name("gateway_state", tests, NULL, NULL);
}
