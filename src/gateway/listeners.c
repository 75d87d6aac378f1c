/* Gateways of ours, the oldest first, and what becomes of their listeners.
 *
 * Conflicts are found by port in maps, so that many listeners cost what they are and not their square. */
#include "gateway/gateway-internal.h"

#include "base/strmap.h"
#include "gateway/texts.h"
#include "object/age.h"
#include "object/selector.h"

#include <stdlib.h>

#define ROUTES_HTTP (1U << GW_HTTPROUTES | 1U << GW_GRPCROUTES)
#define ROUTES_TLS (1U << GW_TLSROUTES)

/* --- what one says by itself --- */

static enum gw_protocol listener_protocol(const struct val *l)
{
	const struct val *p = val_get(l, F_protocol);

	if (val_is(p, "HTTP"))
		return GW_HTTP;
	if (val_is(p, "HTTPS") && !val_is(val_get(l, F_tls, F_mode), "Passthrough"))
		return GW_HTTPS;
	return val_is(p, "TLS") && val_is(val_get(l, F_tls, F_mode), "Passthrough") ? GW_PASSTHROUGH : GW_UNSUPPORTED;
}

/* Those it asks for of those that its protocol can have. */
static void listener_kinds(const struct gw_make *m, struct gw_listener *l)
{
	unsigned can = l->protocol == GW_PASSTHROUGH ? ROUTES_TLS : l->protocol == GW_UNSUPPORTED ? 0 : ROUTES_HTTP;
	const struct val *asked = val_get(l->spec, F_allowedRoutes, F_kinds);

	l->kinds = val_len(asked) ? 0 : can;
	VAL_EACH(asked, k) {
		unsigned bit = 0;

		for (unsigned i = GW_HTTPROUTES; i <= GW_TLSROUTES; i++)
			if (gw_group_is(k, GW_GROUP, GW_GROUP) && val_is(val_get(k, F_kind), gw_kind_names[i]))
				bit = can & 1U << i;
		l->kinds |= bit;
		if (!bit)
			gw_say(m->a, &l->conditions, "ResolvedRefs", false, "InvalidRouteKinds",
			       "%.*s is no kind of route that protocol %.*s can have", SV_ARG(val_get_str(k, F_kind)),
			       SV_ARG(val_get_str(l->spec, F_protocol)));
	}
}

static void listener_namespaces(const struct gw_make *m, struct gw_listener *l)
{
	const struct val *from = val_get(l->spec, F_allowedRoutes, F_namespaces);
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (val_is(val_get(from, F_from), "Selector") && val_get(from, F_selector))
		l->namespaces = selector_from_label_selector(m->a, val_get(from, F_selector), &err);
}

static void listener_certificates(const struct gw_make *m, struct gw_listener *l)
{
	const struct gw_source *s = m->s;
	const struct val *refs = val_get(l->spec, F_tls, F_certificateRefs);
	struct sv own = obj_ns(l->gateway->o);
	const char *reason = "InvalidCertificateRef";

	if (l->protocol != GW_HTTPS)
		return;
	l->secrets = ARENA_ARRAY(m->a, struct gw_secret, val_len(refs));
	if (!val_len(refs))
		gw_say(m->a, &l->conditions, "ResolvedRefs", false, reason, "no certificate is named");
	VAL_EACH(refs, ref) {
		struct sv ns = val_get_str(ref, F_namespace), name = val_get_str(ref, F_name);
		const char *why;

		ns = ns.n ? ns : own;
		if (!gw_group_is(ref, "", "") || (val_get(ref, F_kind) && !val_is(val_get(ref, F_kind), "Secret"))) {
			gw_say(m->a, &l->conditions, "ResolvedRefs", false, reason, "certificates are in Secrets");
			continue;
		}
		if (!sv_eq(ns, own) && !gw_granted(m->grants, "Gateway", own, "Secret", ns, name)) {
			gw_say(m->a, &l->conditions, "ResolvedRefs", false, "RefNotPermitted",
			       "no ReferenceGrant of namespace %.*s permits the reference to Secret %.*s", SV_ARG(ns),
			       SV_ARG(name));
			continue;
		}
		why = s->certificate(s->ctx, ns, name);
		if (why)
			gw_say(m->a, &l->conditions, "ResolvedRefs", false, reason, "Secret %.*s/%.*s %s", SV_ARG(ns),
			       SV_ARG(name), why);
		else
			l->secrets[l->n_secrets++] = (struct gw_secret){ ns, name };
	}
}

/* What nobody can ask for: such a name is in nobody's way, either. */
static bool listener_host_fine(const struct gw_listener *l)
{
	return !l->host.n || gw_is_host(l->host);
}

static bool listener_is_none(const struct gw_listener *l)
{
	return l->protocol == GW_UNSUPPORTED || !listener_host_fine(l);
}

static void listener_read(const struct gw_make *m, struct gw_listener *l)
{
	l->name = val_get_str(l->spec, F_name);
	l->host = val_get_str(l->spec, F_hostname);
	l->port = gw_port(val_get(l->spec, F_port));
	l->protocol = listener_protocol(l->spec);
	gw_say(m->a, &l->conditions, "Accepted", true, "Accepted", "Listener is accepted");
	gw_say(m->a, &l->conditions, "Conflicted", false, "NoConflicts", "Listener has no conflicts");
	gw_say(m->a, &l->conditions, "ResolvedRefs", true, "ResolvedRefs", "References are resolved");
	if (l->protocol == GW_UNSUPPORTED && val_is(val_get(l->spec, F_protocol), "TLS"))
		gw_say(m->a, &l->conditions, "Accepted", false, "UnsupportedValue",
		       "of protocol TLS the mode Passthrough is supported");
	else if (l->protocol == GW_UNSUPPORTED)
		gw_say(m->a, &l->conditions, "Accepted", false, "UnsupportedProtocol",
		       "protocols that are supported are HTTP, HTTPS and TLS");
	else if (!listener_host_fine(l))
		gw_say(m->a, &l->conditions, "Accepted", false, "UnsupportedValue",
		       "hostname is no DNS name: its labels are at most 63 bytes");
	listener_kinds(m, l);
	listener_namespaces(m, l);
	listener_certificates(m, l);
}

/* --- in each other's way --- */

static struct sv port_key(struct arena *a, const struct gw_listener *l)
{
	return arena_svf(a, "%d", l->port);
}

static struct sv host_key(struct arena *a, const struct gw_listener *l)
{
	return arena_svf(a, "%d %.*s", l->port, SV_ARG(l->host));
}

static void listener_conflict(const struct gw_make *m, struct gw_listener *l, const char *reason, const char *message)
{
	gw_say(m->a, &l->conditions, "Conflicted", true, reason, "%s", message);
	gw_say(m->a, &l->conditions, "Accepted", false, "Invalid", "Listener is in conflict with another");
}

/* Two of one port and hostname. */
static void listeners_collide(const struct gw_make *m, struct gw_listener *x, struct gw_listener *y)
{
	const char *reason = x->protocol == y->protocol ? "HostnameConflict" : "ProtocolConflict";

	listener_conflict(m, x, reason, "another listener has this port and hostname");
	listener_conflict(m, y, reason, "another listener has this port and hostname");
}

/* Within one Gateway: all that are in each other's way are Conflicted. */
static void gateway_conflicts(const struct gw_make *m, struct gw_gateway *g)
{
	static const char other[] = "another listener of the port has a protocol that does not go with this one";
	_cleanup_(strmap_release) struct strmap ports = STRMAP_INIT, hosts = STRMAP_INIT;
	bool *mixed = ARENA_ARRAY(m->a, bool, g->n_listeners);

	for (size_t i = 0; i < g->n_listeners; i++) {
		struct gw_listener *l = &g->listeners[i], *first;
		void **slot;

		if (listener_is_none(l))
			continue;
		slot = strmap_slot(&ports, port_key(m->a, l));
		first = *slot;
		*slot = first ? first : l;
		if (first && (first->protocol == GW_HTTP) != (l->protocol == GW_HTTP))
			mixed[first - g->listeners] = true;
		slot = strmap_slot(&hosts, host_key(m->a, l));
		if (*slot)
			listeners_collide(m, *slot, l);
		*slot = l;
	}
	for (size_t i = 0; i < g->n_listeners; i++) {
		struct gw_listener *l = &g->listeners[i], *first = strmap_get(&ports, port_key(m->a, l));

		if (!listener_is_none(l) && first && mixed[first - g->listeners])
			listener_conflict(m, l, "ProtocolConflict", other);
	}
}

static struct gw_listener *slot_first(struct strmap *map, struct sv key, struct gw_listener *l)
{
	void **slot = strmap_slot(map, key);
	struct gw_listener *first = *slot;

	*slot = first ? first : l;
	return first;
}

static bool listener_same_way(const struct gw_listener *x, const struct gw_listener *y)
{
	return (x->protocol == GW_HTTP) == (y->protocol == GW_HTTP);
}

/* Of one that is younger than first, which has the port in another way. */
static void listener_port_gone(const struct gw_make *m, struct gw_listener *l, const struct gw_listener *first)
{
	gw_say(m->a, &l->conditions, "Accepted", false, "PortUnavailable",
	       "port %d is served in another way for Gateway %.*s/%.*s, which is older", l->port,
	       SV_ARG(obj_ns(first->gateway->o)), SV_ARG(obj_name(first->gateway->o)));
}

/* Ports that have been opened so far, and by whom. */
struct listener_ports {
	struct strmap first; /* port_key() -> its oldest listener */
	struct strmap of;    /* namespace -> how many it opened, as a pointer */
	size_t n;
};

static void listener_ports_release(struct listener_ports *p)
{
	strmap_release(&p->first);
	strmap_release(&p->of);
}

/* False: nobody had the port, and l may not open one more. *ret_first: who had it before l; NULL: nobody. */
static bool listener_port(const struct gw_make *m, struct listener_ports *p, struct gw_listener *l,
			  struct gw_listener **ret_first)
{
	struct sv key = port_key(m->a, l);
	void **of;

	*ret_first = strmap_get(&p->first, key);
	if (*ret_first)
		return true;
	of = strmap_slot(&p->of, obj_ns(l->gateway->o));
	if (p->n < GW_PORTS_MAX && (uintptr_t)*of < GW_PORTS_NAMESPACE_MAX) {
		*of = (void *)((uintptr_t)*of + 1);
		p->n++;
		strmap_set(&p->first, key, l);
		return true;
	}
	gw_say(m->a, &l->conditions, "Accepted", false, "PortUnavailable",
	       "older listeners have as many ports as are served: %d of a namespace, %d in all; share a port by "
	       "hostnames",
	       GW_PORTS_NAMESPACE_MAX, GW_PORTS_MAX);
	return false;
}

/* Among Gateways the older says what a port is for, and it and others of its namespace have the hosts that it names;
 * one that is refused serves nothing, so it says nothing. */
static void listeners_share(const struct gw_make *m, struct gw_state *st)
{
	_cleanup_(strmap_release) struct strmap hosts = STRMAP_INIT;
	_cleanup_(listener_ports_release) struct listener_ports ports = { .n = 0 };

	for (size_t i = 0; i < st->n_gateways; i++)
		for (size_t k = 0; k < st->gateways[i].n_listeners; k++) {
			struct gw_listener *l = &st->gateways[i].listeners[k], *first;

			if (!st->gateways[i].accepted || listener_is_none(l) ||
			    gw_condition_is(&l->conditions, "Conflicted"))
				continue;
			if (!listener_port(m, &ports, l, &first))
				continue;
			if (first && !listener_same_way(first, l)) {
				listener_port_gone(m, l, first);
				continue;
			}
			first = slot_first(&hosts, host_key(m->a, l), l);
			if (first && first->protocol != l->protocol)
				listener_port_gone(m, l, first);
			else if (first && sv_eq(obj_ns(first->gateway->o), obj_ns(l->gateway->o)))
				l->first = first;
			else if (first)
				listener_conflict(
				    m, l, "HostnameConflict",
				    arena_printf(m->a,
						 "Gateway %.*s/%.*s of another namespace, which is older, "
						 "has this port and hostname",
						 SV_ARG(obj_ns(first->gateway->o)),
						 SV_ARG(obj_name(first->gateway->o))));
		}
}

/* --- the Gateway's own --- */

static const char *gateway_refused(struct arena *a, const struct gw_gateway *g, const char **ret_reason)
{
	*ret_reason = "UnsupportedAddress";
	if (val_len(obj_get(g->o, F_spec, F_addresses)))
		return "addresses cannot be asked for: a Gateway has those of the nodes that serve";
	*ret_reason = "InvalidParameters";
	if (obj_get(g->o, F_spec, F_infrastructure, F_parametersRef))
		return "infrastructure.parametersRef is not supported";
	*ret_reason = "Invalid";
	if (obj_get(g->o, F_spec, F_tls))
		return arena_printf(a, "spec.tls is not supported: certificates of clients and towards backends");
	return NULL;
}

static bool gateway_wants_listener_sets(const struct obj *o)
{
	const struct val *from =
	    val_get(val_member_sv(obj_get(o, F_spec), SV("allowedListeners")), F_namespaces, F_from);

	return from && !val_is(from, "None");
}

static void gateway_make(const struct gw_make *m, struct gw_gateway *g, const struct obj *o)
{
	const struct val *spec = obj_get(o, F_spec, F_listeners);
	const char *reason, *why;

	g->o = o;
	g->listeners = ARENA_ARRAY(m->a, struct gw_listener, val_len(spec));
	VAL_EACH(spec, l) {
		struct gw_listener *to = &g->listeners[g->n_listeners++];

		to->gateway = g;
		to->first = to;
		to->spec = l;
		listener_read(m, to);
	}
	gateway_conflicts(m, g);
	why = gateway_refused(m->a, g, &reason);
	g->accepted = !why;
	gw_say(m->a, &g->conditions, "Accepted", !why, why ? reason : "Accepted", "%s",
	       why ? why
	       : gateway_wants_listener_sets(o)
		   ? "Gateway is accepted, but for allowedListeners: ListenerSets are not served"
		   : "Gateway is accepted");
}

/* It is, but for what an older Ingress has. */
static const char *listener_programmed(const struct gw_make *m, const struct gw_listener *l)
{
	const struct obj *ingress = l->host.n ? gw_ingress_before(m->s->ingresses, l, l->host) : NULL;

	if (!ingress)
		return "Listener is programmed";
	return arena_printf(m->a,
			    "Listener is programmed, but its hostname is that of ingress %.*s/%.*s, which is older: of "
			    "routes those of that namespace are served",
			    SV_ARG(obj_ns(ingress)), SV_ARG(obj_name(ingress)));
}

static void gateway_finish(const struct gw_make *m, struct gw_gateway *g)
{
	size_t bad = 0;

	for (size_t i = 0; i < g->n_listeners; i++) {
		struct gw_listener *l = &g->listeners[i];
		bool fine = gw_condition_is(&l->conditions, "Accepted");

		bad += !fine;
		l->claims = fine && g->accepted;
		l->serves = l->claims && (l->protocol != GW_HTTPS || l->n_secrets);
		gw_say(m->a, &l->conditions, "Programmed", l->serves, l->serves ? "Programmed" : "Invalid", "%s",
		       l->serves ? listener_programmed(m, l) : "Listener is not valid");
	}
	if (g->accepted && bad) /* some are served all the same */
		gw_say(m->a, &g->conditions, "Accepted", bad < g->n_listeners, "ListenersNotValid",
		       "%zu of %zu listeners are not valid", bad, g->n_listeners);
	g->accepted &= bad < g->n_listeners;
}

void gw_listeners_make(const struct gw_make *m, struct gw_state *st)
{
	_cleanup_(strmap_release) struct strmap classes = STRMAP_INIT;
	struct obj **all = m->s->objects[GW_GATEWAYS], **ours = ARENA_ARRAY(m->a, struct obj *, m->s->n[GW_GATEWAYS]);
	size_t n = 0;

	for (size_t i = 0; i < st->n_classes; i++)
		strmap_set(&classes, obj_name(st->classes[i]), st);
	for (size_t i = 0; i < m->s->n[GW_GATEWAYS]; i++)
		if (strmap_has(&classes, val_get_str(obj_root(all[i]), F_spec, F_gatewayClassName)) &&
		    !obj_deleting(all[i]))
			ours[n++] = all[i];
	if (n > 1)
		qsort(ours, n, sizeof(*ours), obj_by_age);
	st->gateways = ARENA_ARRAY(m->a, struct gw_gateway, n);
	st->n_gateways = n;
	for (size_t i = 0; i < n; i++)
		gateway_make(m, &st->gateways[i], ours[i]);
	listeners_share(m, st);
	for (size_t i = 0; i < n; i++)
		gateway_finish(m, &st->gateways[i]);
}
