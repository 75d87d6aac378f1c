/* Routes: to which listeners each parentRef attaches one, and why to no other. */
#include "gateway/gateway-internal.h"

#include "base/buf.h"
#include "base/strmap.h"
#include "gateway/texts.h"
#include "object/selector.h"

#include <stdlib.h>

#define GATES_MAX 20000
#define GATES_NAMESPACE_MAX 5000 /* who has an old route would push out those that are younger */

struct route_make {
	const struct gw_make *m;
	struct strmap counts; /* namespace -> how many gates it has, as a pointer */
	size_t gates;
	struct strmap gateways; /* "ns/name" -> struct gw_gateway * */
};

static struct gw_gateway *route_parent(struct route_make *rm, const struct obj *o, const struct val *ref)
{
	struct sv ns = val_get_str(ref, F_namespace);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!gw_group_is(ref, GW_GROUP, GW_GROUP) || (val_get(ref, F_kind) && !val_is(val_get(ref, F_kind), "Gateway")))
		return NULL;
	return strmap_get(&rm->gateways, obj_path(&b, ns.n ? ns : obj_ns(o), val_get_str(ref, F_name)));
}

static bool listener_lets_in(const struct route_make *rm, const struct gw_listener *l, const struct gw_route *r)
{
	const struct val *from = val_get(l->spec, F_allowedRoutes, F_namespaces);
	struct sv how = val_get_str(from, F_from), ns = obj_ns(r->o);
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct selector *sel;

	if (!(l->kinds & 1U << r->kind) || !gw_condition_is(&l->conditions, "Accepted"))
		return false;
	if (sv_is(how, "All"))
		return true;
	if (!sv_is(how, "Selector"))
		return !sv_is(how, "None") && sv_eq(ns, obj_ns(l->gateway->o));
	sel = selector_from_label_selector(rm->m->a, val_get(from, F_selector), &err);
	return sel && val_get(from, F_selector) && selector_matches(sel, rm->m->s->namespace_labels(rm->m->s->ctx, ns));
}

/* For which hosts of the listener the route is. */
static void attach_hosts(const struct route_make *rm, const struct gw_listener *l, const struct gw_route *r,
			 struct gw_attached *ret)
{
	const struct val *hosts = obj_get(r->o, F_spec, F_hostnames);

	ret->listener = l;
	ret->hosts = ARENA_ARRAY(rm->m->a, struct sv, MAX(val_len(hosts), 1));
	if (!val_len(hosts))
		ret->hosts[ret->n_hosts++] = l->host;
	VAL_EACH(hosts, h)
		ret->n_hosts += gw_hosts_meet(l->host, val_str(h), &ret->hosts[ret->n_hosts]);
}

static void parent_attach(struct route_make *rm, struct gw_gateway *g, const struct gw_route *r, struct gw_parent *p)
{
	struct sv section = val_get_str(p->ref, F_sectionName);
	uint16_t port = gw_port(val_get(p->ref, F_port));
	struct gw_conditions *c = &p->conditions;
	bool meant = false, let_in = false;

	p->attached = ARENA_ARRAY(rm->m->a, struct gw_attached, g->n_listeners);
	for (size_t i = 0; i < g->n_listeners; i++) {
		struct gw_listener *l = &g->listeners[i];
		struct gw_attached *to = &p->attached[p->n_attached];

		if ((section.n && !sv_eq(section, l->name)) || (port && port != l->port))
			continue;
		meant = true;
		if (!listener_lets_in(rm, l, r))
			continue;
		let_in = true;
		attach_hosts(rm, l, r, to);
		if (!to->n_hosts)
			continue;
		p->n_attached++;
		l->attached++;
	}
	if (p->n_attached)
		gw_say(rm->m->a, c, "Accepted", true, "Accepted", "Route is accepted");
	else if (!meant)
		gw_say(rm->m->a, c, "Accepted", false, "NoMatchingParent",
		       "the Gateway has no listener of this name and port");
	else if (!let_in)
		gw_say(rm->m->a, c, "Accepted", false, "NotAllowedByListeners",
		       "no listener allows this kind of route of this namespace");
	else
		gw_say(rm->m->a, c, "Accepted", false, "NoMatchingListenerHostname",
		       "no listener has a hostname that goes with those of the route");
}

/* Of its rules: the first backend that leads nowhere, and how many rules cannot be served; none of them when a hostname
 * cannot. */
struct rules_said {
	const char *reason, *message, *unsupported, *host;
	size_t bad, n;
};

static void rules_look(const struct route_make *rm, const struct gw_route *r, struct rules_said *ret)
{
	VAL_EACH(obj_get(r->o, F_spec, F_hostnames), h)
		if (!gw_is_host(val_str(h)))
			ret->host = "a hostname is no DNS name: its labels are at most 63 bytes";
	VAL_EACH(obj_get(r->o, F_spec, F_rules), rule) {
		const char *why = gw_rule_unsupported(r->kind, rule);

		ret->n++;
		ret->bad += why != NULL;
		ret->unsupported = ret->unsupported ? ret->unsupported : why;
		VAL_EACH(val_get(rule, F_backendRefs), ref) {
			if (ret->reason)
				break;
			ret->reason = gw_backend_refused(rm->m->a, rm->m->s, rm->m->grants, r, ref, &ret->message);
		}
	}
}

static void parent_drop(const struct route_make *rm, struct gw_parent *p, const char *why)
{
	gw_say(rm->m->a, &p->conditions, "Accepted", false, "UnsupportedValue", "%s", why);
	for (size_t i = 0; i < p->n_attached; i++)
		((struct gw_listener *)(uintptr_t)p->attached[i].listener)->attached--;
	p->n_attached = 0;
}

static void parent_rules(const struct route_make *rm, struct gw_parent *p, const struct rules_said *said)
{
	struct gw_conditions *c = &p->conditions;

	gw_say(rm->m->a, c, "ResolvedRefs", !said->reason, said->reason ? said->reason : "ResolvedRefs", "%s",
	       said->reason ? said->message : "References are resolved");
	if (!gw_condition_is(c, "Accepted"))
		return;
	if (said->host) {
		parent_drop(rm, p, said->host);
	} else if (!said->bad) {
		return;
	} else if (said->bad == said->n) {
		parent_drop(rm, p, said->unsupported);
	} else {
		gw_say(rm->m->a, c, "PartiallyInvalid", true, "UnsupportedValue", "Dropped Rule: %s",
		       said->unsupported);
	}
}

/* Each match at each host of each listener is one gate. */
static size_t parent_gates(const struct gw_route *r, const struct gw_parent *p)
{
	size_t matches = 0, places = 0;

	VAL_EACH(obj_get(r->o, F_spec, F_rules), rule)
		matches += MAX(val_len(val_get(rule, F_matches)), 1);
	for (size_t i = 0; i < p->n_attached; i++)
		places += p->attached[i].n_hosts;
	return matches * places;
}

static void parent_count(struct route_make *rm, const struct gw_route *r, struct gw_parent *p)
{
	void **slot = strmap_slot(&rm->counts, obj_ns(r->o));
	size_t n = parent_gates(r, p), had = (size_t)(uintptr_t)*slot;

	if (rm->gates + n > GATES_MAX || had + n > GATES_NAMESPACE_MAX) {
		parent_drop(rm, p,
			    arena_printf(rm->m->a,
					 "its matches, hosts and listeners are more than are served here beside older "
					 "routes (%d, of a namespace %d)",
					 GATES_MAX, GATES_NAMESPACE_MAX));
		return;
	}
	rm->gates += n;
	*slot = (void *)(uintptr_t)(had + n);
}

static bool route_make(struct route_make *rm, const struct obj *o, enum gw_kind kind, struct gw_route *r)
{
	const struct val *refs = obj_get(o, F_spec, F_parentRefs);
	struct rules_said said = { .n = 0 };

	*r = (struct gw_route){ .o = o, .kind = kind };
	r->parents = ARENA_ARRAY(rm->m->a, struct gw_parent, val_len(refs));
	VAL_EACH(refs, ref) {
		struct gw_gateway *g = route_parent(rm, o, ref);

		if (!g)
			continue;
		if (!r->n_parents)
			rules_look(rm, r, &said);
		r->parents[r->n_parents].ref = ref;
		parent_attach(rm, g, r, &r->parents[r->n_parents]);
		parent_rules(rm, &r->parents[r->n_parents], &said);
		parent_count(rm, r, &r->parents[r->n_parents++]);
	}
	return r->n_parents;
}

struct aged {
	struct obj *o; /* first: gw_by_age() */
	enum gw_kind kind;
};

void gw_routes_make(const struct gw_make *m, struct gw_state *st)
{
	struct route_make rm = { .m = m };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct aged *all;
	size_t n = 0;

	if (!st->n_gateways)
		return;
	for (size_t i = 0; i < st->n_gateways; i++) {
		const struct obj *o = st->gateways[i].o;

		strmap_set(&rm.gateways, obj_path(&b, obj_ns(o), obj_name(o)), &st->gateways[i]);
	}
	for (int k = GW_HTTPROUTES; k <= GW_TLSROUTES; k++)
		n += m->s->n[k];
	all = ARENA_ARRAY(m->a, struct aged, n);
	n = 0;
	for (int k = GW_HTTPROUTES; k <= GW_TLSROUTES; k++)
		for (size_t i = 0; i < m->s->n[k]; i++)
			if (!obj_deleting(m->s->objects[k][i]))
				all[n++] = (struct aged){ m->s->objects[k][i], (enum gw_kind)k };
	if (n > 1)
		qsort(all, n, sizeof(*all), gw_by_age);
	st->routes = ARENA_ARRAY(m->a, struct gw_route, n);
	for (size_t i = 0; i < n; i++)
		st->n_routes += route_make(&rm, all[i].o, all[i].kind, &st->routes[st->n_routes]);
	strmap_release(&rm.gateways);
	strmap_release(&rm.counts);
}
