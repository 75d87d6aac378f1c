#include "controllers/gateway_status.h"

#include "controllers/status.h"
#include "gateway/crds.h"

#include <stdlib.h>

/* Names of upstream's, in order. What is not here is not served, and says so in a condition. */
static const char *const gateway_features[] = {
	"GRPCRoute",
	"GRPCRouteNamedRouteRule",
	"Gateway",
	"GatewayPort8080",
	"HTTPRoute",
	"HTTPRoute303RedirectStatusCode",
	"HTTPRoute307RedirectStatusCode",
	"HTTPRoute308RedirectStatusCode",
	"HTTPRouteBackendProtocolH2C",
	"HTTPRouteBackendProtocolWebSocket",
	"HTTPRouteBackendRequestHeaderModification",
	"HTTPRouteBackendTimeout",
	"HTTPRouteCORS",
	"HTTPRouteDestinationPortMatching",
	"HTTPRouteHostRewrite",
	"HTTPRouteMethodMatching",
	"HTTPRouteNamedRouteRule",
	"HTTPRouteParentRefPort",
	"HTTPRoutePathRedirect",
	"HTTPRoutePathRewrite",
	"HTTPRoutePortRedirect",
	"HTTPRouteQueryParamMatching",
	"HTTPRouteRequestTimeout",
	"HTTPRouteResponseHeaderModification",
	"HTTPRouteSchemeRedirect",
	"ReferenceGrant",
	"TLSRoute",
};

/* --- conditions --- */

static void said_condition(const struct gateway_said *w, const struct obj *o, struct val *list, const struct val *old,
			   const struct gw_condition *c)
{
	const struct val *was = condition_find(old, c->type);
	const char *status = c->is ? "True" : "False";
	struct val *one = val_new_map(w->a);
	struct sv since = val_is(val_member(was, F_status), status) ? val_get_str(was, F_lastTransitionTime)
								    : time_text(w->a, w->now_ns);

	val_set_str(w->a, one, F_lastTransitionTime, since);
	val_set_cstr(w->a, one, F_message, c->message);
	val_set_int(w->a, one, F_observedGeneration, val_int_or(obj_get(o, F_metadata, F_generation), 0));
	val_set_cstr(w->a, one, F_reason, c->reason);
	val_set_cstr(w->a, one, F_status, status);
	val_set_cstr(w->a, one, F_type, c->type);
	val_push(w->a, list, one);
}

static struct val *said_conditions(const struct gateway_said *w, const struct obj *o, const struct val *old,
				   const struct gw_conditions *c)
{
	struct val *list = val_new_list(w->a);

	for (size_t i = 0; i < c->n; i++)
		said_condition(w, o, list, old, &c->p[i]);
	return list;
}

static struct val *said_status(const struct gateway_said *w, const struct obj *o, struct val *status)
{
	struct val *doc;

	if (val_same(obj_get(o, F_status), status))
		return NULL;
	doc = obj_edit_status(w->a, obj_root(o));
	val_set(w->a, doc, F_status, status);
	return doc;
}

/* --- each kind --- */

/* The next major version will be another API. */
static bool bundle_is_supported(struct sv bundle)
{
	return sv_starts(bundle, SV("v1.")) || sv_is(bundle, "v0.0.0-dev");
}

struct val *gateway_class_status(const struct gateway_said *w, const struct obj *class, struct sv bundle)
{
	struct gw_conditions c = { .n = 2 };
	struct val *status = val_new_map(w->a), *features;
	bool params = obj_get(class, F_spec, F_parametersRef) != NULL, supported = bundle_is_supported(bundle);

	c.p[0] = (struct gw_condition){ "Accepted", params ? "InvalidParameters" : "Accepted", !params,
					params ? "parametersRef is not supported" : "GatewayClass is accepted" };
	c.p[1] =
	    (struct gw_condition){ "SupportedVersion", supported ? "SupportedVersion" : "UnsupportedVersion", supported,
				   arena_printf(w->a, "the kinds are of Gateway API %.*s; versions v1 are supported",
						SV_ARG(bundle.n ? bundle : SV("of no version"))) };
	val_set(w->a, status, F_conditions, said_conditions(w, class, obj_get(class, F_status, F_conditions), &c));
	features = val_set_list(w->a, status, F_supportedFeatures);
	for (size_t i = 0; i < ARRAY_LEN(gateway_features); i++)
		val_set_cstr(w->a, val_push(w->a, features, val_new_map(w->a)), F_name, gateway_features[i]);
	return said_status(w, class, status);
}

static const struct val *said_listener_before(const struct gw_gateway *g, struct sv name)
{
	VAL_EACH(obj_get(g->o, F_status, F_listeners), l)
		if (sv_eq(val_get_str(l, F_name), name))
			return l;
	return NULL;
}

static bool port_is_served(const struct strmap *ports, const struct gw_listener *l, struct arena *a)
{
	return strmap_has(ports, arena_svf(a, "%d", l->port));
}

static struct val *said_listener(const struct gateway_said *w, const struct gw_listener *l, const struct strmap *ports)
{
	const struct val *old = said_listener_before(l->gateway, l->name);
	struct gw_conditions c = l->conditions;
	struct val *one = val_new_map(w->a), *kinds;

	if (l->serves && !port_is_served(ports, l, w->a))
		for (size_t i = 0; i < c.n; i++)
			if (strcmp(c.p[i].type, "Programmed") == 0)
				c.p[i] = (struct gw_condition){
					"Programmed", "Pending", false,
					arena_printf(w->a,
						     "no node serves port %d: HAProxy is not running there, or the "
						     "port is another program's or a Service's",
						     l->port)
				};
	val_set_int(w->a, one, F_attachedRoutes, (int64_t)l->attached);
	val_set(w->a, one, F_conditions, said_conditions(w, l->gateway->o, val_member(old, F_conditions), &c));
	val_set_str(w->a, one, F_name, l->name);
	kinds = val_set_list(w->a, one, F_supportedKinds);
	for (unsigned k = GW_HTTPROUTES; k <= GW_TLSROUTES; k++) {
		struct val *kind;

		if (!(l->kinds & 1U << k))
			continue;
		kind = val_push(w->a, kinds, val_new_map(w->a));
		val_set_cstr(w->a, kind, F_group, GW_GROUP);
		val_set_cstr(w->a, kind, F_kind, gw_kind_names[k]);
	}
	return one;
}

static void said_programmed(const struct gateway_said *w, const struct gw_gateway *g, const struct strmap *ports,
			    size_t n_addresses, struct gw_conditions *c)
{
	struct gw_condition one = { "Programmed", "Programmed", true, "Gateway is programmed" };
	size_t serving = 0;

	for (size_t i = 0; i < g->n_listeners; i++)
		serving += g->listeners[i].serves && port_is_served(ports, &g->listeners[i], w->a);
	if (!g->accepted) {
		one = (struct gw_condition){ "Programmed", "Invalid", false, "Gateway is not accepted" };
	} else if (!n_addresses || !serving) {
		one = (struct gw_condition){ "Programmed", n_addresses ? "Pending" : "AddressNotAssigned", false,
					     "no node serves a port of it" };
	}
	c->p[c->n++] = one;
}

struct val *gateway_status(const struct gateway_said *w, const struct gw_gateway *g, const struct strmap *ports,
			   const struct sv *addresses, size_t n_addresses)
{
	struct val *status = val_new_map(w->a), *list;
	struct gw_conditions c = g->conditions;

	list = val_set_list(w->a, status, F_addresses);
	for (size_t i = 0; g->accepted && i < MIN(n_addresses, 16); i++) {
		struct val *one = val_push(w->a, list, val_new_map(w->a));

		val_set_cstr(w->a, one, F_type, "IPAddress");
		val_set_str(w->a, one, F_value, addresses[i]);
	}
	said_programmed(w, g, ports, n_addresses, &c);
	val_set(w->a, status, F_conditions, said_conditions(w, g->o, obj_get(g->o, F_status, F_conditions), &c));
	list = val_set_list(w->a, status, F_listeners);
	for (size_t i = 0; i < g->n_listeners; i++)
		val_push(w->a, list, said_listener(w, &g->listeners[i], ports));
	return said_status(w, g->o, status);
}

static const struct val *said_parent_before(const struct obj *o, const struct val *ref)
{
	VAL_EACH(obj_get(o, F_status, F_parents), p)
		if (val_is(val_get(p, F_controllerName), GW_CONTROLLER) && val_equal(val_get(p, F_parentRef), ref))
			return p;
	return NULL;
}

struct val *gateway_route_status(const struct gateway_said *w, const struct obj *o, const struct gw_route *route)
{
	struct val *status = val_new_map(w->a), *list = val_set_list(w->a, status, F_parents);
	bool ours = route != NULL;

	VAL_EACH(obj_get(o, F_status, F_parents), p) {
		if (val_is(val_get(p, F_controllerName), GW_CONTROLLER))
			ours = true;
		else
			val_push(w->a, list, p);
	}
	if (!ours)
		return NULL;
	for (size_t i = 0; route && i < route->n_parents; i++) {
		const struct gw_parent *p = &route->parents[i];
		struct val *one = val_push(w->a, list, val_new_map(w->a));

		val_set(w->a, one, F_conditions,
			said_conditions(w, o, val_get(said_parent_before(o, p->ref), F_conditions), &p->conditions));
		val_set_cstr(w->a, one, F_controllerName, GW_CONTROLLER);
		val_set(w->a, one, F_parentRef, p->ref);
	}
	return said_status(w, o, status);
}
