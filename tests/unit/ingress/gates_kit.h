/* gates_kit.h - Ingresses, Gateways and routes in JSON, and what HAProxy is given of them. */
#pragma once

#include "ingress_kit.h"

#include "ingress/from_gateway.h"

struct rig {
	struct kit k;
	VEC(struct obj *) objects[_GW_KIND_MAX];
	VEC(char *) secrets; /* the arena's */
	struct ing_names names;
	int http, https;
	bool accepted; /* all rules of the first route, when it was rendered last */
};

static inline void rig_add(struct rig *r, const char *json)
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

static inline enum gw_service rig_service(void *ctx, struct sv ns, struct sv name, int64_t port)
{
	return gw_service_port(kit_service(ctx, ns, name), port);
}

static inline const struct val *rig_labels(_unused_ void *ctx, _unused_ struct sv ns)
{
	return NULL;
}

static inline const char *rig_certificate(_unused_ void *ctx, _unused_ struct sv ns, struct sv name)
{
	return sv_is(name, "bad") ? "is not there" : NULL;
}

static inline void rig_render(struct rig *r, struct ing_conf *ret)
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

static inline void rig_end(struct rig *r)
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

static inline struct rig rig_new(void)
{
	struct rig r = { .k = { .m = { 0 } } };

	rig_add(&r, KIT_SERVICE("a"));
	rig_add(&r, KIT_SERVICE("b"));
	rig_add(&r, CLASS);
	rig_add(&r, GATEWAY);
	return r;
}
