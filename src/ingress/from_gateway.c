/* Routes come the oldest first, so gates of a place are in the order of their routes already; what else counts sorts
 * them, and a stable sort keeps the rest. */
#include "ingress/from_gateway.h"

#include "base/buf.h"
#include "base/vec.h"
#include "ingress/backend.h"
#include "ingress/check.h"
#include "ingress/gate_rule.h"
#include "net/tls.h"
#include "object/age.h"

#include <stdlib.h>

#define CERT_NAMES_MAX 100 /* of one certificate */

struct numbered_gate {
	struct ing_gate gate;
	size_t number;
};

struct from_gw {
	struct arena *a;
	const struct ing_source *s;
	const struct gw_source *gs;
	const struct gw_state *st;
	struct strmap backends; /* "ns/service:port" -> struct ing_backend * */
	struct strmap apps;	/* the same -> enum gw_app, as a pointer */
	struct strmap places;	/* of passes; no values */
	VEC(struct numbered_gate) gates;
	VEC(struct ing_pass) passes;
	VEC(struct ing_gate_port) ports;
	VEC(struct ing_gate_listener) listeners;
	VEC(struct ing_certificate) certs;
	VEC(struct ing_shown) shown;
	struct strmap port_of;	 /* "80" -> its number in ports and 1 */
	struct strmap cert_of;	 /* "ns/name" -> its number in certs and 1 */
	struct strmap shown_for; /* "443 host" of places and names of certificates; no values */
	struct strmap claimed;	 /* "443 host" of listeners; no values */
};

/* --- backends --- */

/* What a backendRef leads to. NULL: nothing, though it may. */
static struct ing_backend *gw_backend(struct from_gw *f, const struct obj *from, const struct val *ref,
				      enum gw_app *ret_app)
{
	struct sv ns = val_get_str(ref, F_namespace), name = val_get_str(ref, F_name), key;
	int64_t port = val_get_int(ref, 0, F_port);
	struct val *like, *number;
	struct ing_backend *b;
	struct obj *service;

	ns = ns.n ? ns : obj_ns(from);
	key = arena_svf(f->a, "%.*s/%.*s:%lld", SV_ARG(ns), SV_ARG(name), (long long)port);
	b = strmap_get(&f->backends, key);
	*ret_app = (enum gw_app)(uintptr_t)strmap_get(&f->apps, key);
	if (b)
		return b;
	b = ARENA_NEW(f->a, struct ing_backend);
	b->key = key;
	strmap_set(&f->backends, key, b);
	f->s->uses(f->s->ctx, ns, name);
	service = f->s->service(f->s->ctx, ns, name);
	if (!service)
		return b;
	like = val_new_map(f->a);
	number = val_new_map(f->a);
	val_set_int(f->a, number, F_number, port);
	val_set(f->a, like, F_port, number);
	(void)ing_backend_fill(f->a, f->s, b, service, like);
	VAL_EACH(obj_get(service, F_spec, F_ports), p)
		if (val_get_int(p, 0, F_port) == port)
			*ret_app = gw_app_protocol(val_get_str(p, F_appProtocol));
	strmap_set(&f->apps, key, (void *)(uintptr_t)*ret_app);
	return b;
}

static uint32_t gw_weight(const struct val *ref)
{
	int64_t w = val_get_int(ref, 1, F_weight);

	return w < 0 ? 0 : (uint32_t)MIN(w, 1000000);
}

static void gw_targets(struct from_gw *f, const struct gw_route *route, const struct ing_gate_rule *r,
		       struct ing_gate *g, size_t match)
{
	const struct val *refs = val_get(r->rule, F_backendRefs);
	const char *message;
	size_t at = 0;

	if (ing_gate_redirects(r->rule))
		refs = NULL;
	VAL_EACH(refs, ref) {
		struct ing_gate_target *t = &g->targets[g->n_targets];
		enum gw_app app = GW_APP_HTTP;

		at++;
		if (!gw_weight(ref) || g->n_targets == ING_GATE_TARGETS_MAX)
			continue;
		t->weight = gw_weight(ref);
		if (!gw_backend_refused(f->a, f->gs, &f->st->grants, route, ref, &message))
			t->backend = gw_backend(f, route->o, ref, &app);
		t->filters = ing_gate_filters(f->a, r, g, (struct ing_gate_at){ match, at }, ref, app, !t->backend);
		g->n_targets++;
	}
	if (!g->n_targets)
		g->targets[g->n_targets++] = (struct ing_gate_target){
			.filters =
			    ing_gate_filters(f->a, r, g, (struct ing_gate_at){ match, 0 }, NULL, GW_APP_HTTP, true),
			.weight = 1,
		};
}

/* --- gates --- */

/* A gate at every place where the route is attached. */
static void gw_gate_places(struct from_gw *f, const struct gw_route *route, struct ing_gate *g)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;

	for (size_t i = 0; i < route->n_parents; i++)
		for (size_t k = 0; k < route->parents[i].n_attached; k++) {
			const struct gw_attached *at = &route->parents[i].attached[k];

			if (!at->listener->serves)
				continue;
			for (size_t h = 0; h < at->n_hosts; h++) {
				struct sv place = arena_svf(f->a, "%d %.*s %.*s", at->listener->port,
							    SV_ARG(at->listener->host), SV_ARG(at->hosts[h]));

				if (strmap_has(&seen, place) || (at->hosts[h].n && !ing_is_host(at->hosts[h])))
					continue;
				strmap_set(&seen, place, g);
				g->port = at->listener->port;
				g->listener = at->listener->host;
				g->host = at->hosts[h];
				vec_push(&f->gates, ((struct numbered_gate){ *g, f->gates.n }));
			}
		}
}

static void gw_rule(struct from_gw *f, const struct gw_route *route, const struct val *rule, size_t number)
{
	struct ing_gate_rule r = { route->kind, route->o, rule, number };
	const struct val *matches = val_get(rule, F_matches);
	struct ing_gate shared = { .n_targets = 0 };
	size_t n = MAX(val_len(matches), 1);

	if (gw_rule_unsupported(route->kind, rule))
		return;
	for (size_t i = 0; i < n; i++) {
		struct ing_gate g = { .from = route->o };

		if (!ing_gate_match(f->a, &r, val_at(matches, i), &g))
			continue;
		if (!shared.n_targets || ing_gate_by_match(rule)) {
			gw_targets(f, route, &r, &g, i);
			shared = g;
		} else {
			memcpy(g.targets, shared.targets, sizeof(g.targets));
			g.n_targets = shared.n_targets;
		}
		gw_gate_places(f, route, &g);
	}
}

/* --- connections that pass through --- */

static void gw_pass(struct from_gw *f, const struct gw_route *route, const struct gw_attached *at, struct sv host)
{
	struct ing_pass p = {
		.port = at->listener->port, .listener = at->listener->host, .host = host, .from = route->o
	};
	struct sv place = arena_svf(f->a, "%d %.*s %.*s", p.port, SV_ARG(p.listener), SV_ARG(host));
	const struct val *rule = val_at(obj_get(route->o, F_spec, F_rules), 0);
	const char *message;

	if (strmap_has(&f->places, place) || (host.n && !ing_is_host(host)))
		return;
	strmap_set(&f->places, place, f);
	VAL_EACH(val_get(rule, F_backendRefs), ref) {
		struct ing_gate_target *t = &p.targets[p.n_targets];
		enum gw_app app;

		if (!gw_weight(ref) || p.n_targets == ING_GATE_TARGETS_MAX ||
		    gw_backend_refused(f->a, f->gs, &f->st->grants, route, ref, &message))
			continue;
		t->backend = gw_backend(f, route->o, ref, &app);
		t->weight = gw_weight(ref);
		p.n_targets++;
	}
	vec_push(&f->passes, p);
}

static void gw_tls_route(struct from_gw *f, const struct gw_route *route)
{
	for (size_t i = 0; i < route->n_parents; i++)
		for (size_t k = 0; k < route->parents[i].n_attached; k++) {
			const struct gw_attached *at = &route->parents[i].attached[k];

			for (size_t h = 0; at->listener->serves && h < at->n_hosts; h++)
				gw_pass(f, route, at, at->hosts[h]);
		}
}

/* --- listeners --- */

static void gw_port_add(struct from_gw *f, const struct gw_listener *l)
{
	struct sv key = arena_svf(f->a, "%d", l->port);
	size_t at = (size_t)(uintptr_t)strmap_get(&f->port_of, key);

	if (at) {
		f->ports.p[at - 1].passes |= l->protocol == GW_PASSTHROUGH;
		f->ports.p[at - 1].ends |= l->protocol != GW_PASSTHROUGH;
		return;
	}
	vec_push(&f->ports, ((struct ing_gate_port){ l->port, l->protocol != GW_HTTP, l->protocol == GW_PASSTHROUGH,
						     l->protocol != GW_PASSTHROUGH }));
	strmap_set(&f->port_of, key, (void *)(uintptr_t)f->ports.n);
}

/* Its number and 1; 0: it cannot be shown. */
static size_t gw_certificate(struct from_gw *f, const struct gw_secret *secret)
{
	struct sv key = arena_svf(f->a, "%.*s/%.*s", SV_ARG(secret->ns), SV_ARG(secret->name)), pem;
	size_t at = (size_t)(uintptr_t)strmap_get(&f->cert_of, key);

	if (at || tls_secret_pem(f->a, f->s->checked, key, f->s->secret(f->s->ctx, secret->ns, secret->name), &pem))
		return at;
	vec_push(&f->certs, ((struct ing_certificate){ key, pem }));
	strmap_set(&f->cert_of, key, (void *)(uintptr_t)f->certs.n);
	return f->certs.n;
}

static struct sv gw_host_key(struct from_gw *f, uint16_t port, struct sv host)
{
	return arena_svf(f->a, "%d %.*s", port, SV_ARG(host));
}

/* Is the name, or a wildcard that stands for it, that of a listener of the port, or of an Ingress? */
static bool gw_is_named(struct from_gw *f, uint16_t port, struct sv host)
{
	for (;;) {
		ssize_t dot;

		if (strmap_has(&f->claimed, gw_host_key(f, port, host)) ||
		    (gw_ingresses_at(f->gs->ingresses, port) && strmap_has(&f->gs->ingresses->hosts, host)))
			return true;
		host = sv_starts(host, SV("*.")) ? sv_sub(host, 2, host.n) : host;
		dot = sv_find(host, '.');
		if (dot < 0)
			return false;
		host = arena_svf(f->a, "*%.*s", SV_ARG(sv_sub(host, (size_t)dot, host.n)));
	}
}

/* The first of a place that can be shown is for the hostname. Of one without hostname the others are for the names that
 * they have themselves, but for those that are somebody's. */
static void gw_show(struct from_gw *f, const struct gw_listener *l)
{
	struct sv place = gw_host_key(f, l->port, l->host);
	const struct obj *owner = l->first->gateway->o;
	bool first = !strmap_has(&f->shown_for, place);

	for (size_t i = 0; i < l->n_secrets && (first || !l->host.n); i++) {
		size_t at = gw_certificate(f, &l->secrets[i]), n;
		struct sv *names;

		if (!at)
			continue;
		if (first) {
			first = false;
			strmap_set(&f->shown_for, place, f);
			vec_push(&f->shown, ((struct ing_shown){ l->port, l->host, at - 1, owner }));
			continue;
		}
		n = cert_dns_names(f->a, f->certs.p[at - 1].pem, CERT_NAMES_MAX, &names);
		for (size_t k = 0; k < n; k++) {
			struct sv key = gw_host_key(f, l->port, names[k]);

			if (!ing_is_host(names[k]) || gw_is_named(f, l->port, names[k]) ||
			    strmap_set(&f->shown_for, key, f))
				continue;
			vec_push(&f->shown, ((struct ing_shown){ l->port, names[k], at - 1, owner }));
		}
	}
}

/* Whose the host is where Ingresses are served, too: model.h. */
static void gw_claim(struct from_gw *f, const struct gw_listener *l)
{
	const struct obj *owner = l->gateway->o, *ingress = strmap_get(&f->gs->ingresses->hosts, l->host);

	if (strmap_set(&f->claimed, gw_host_key(f, l->port, l->host), f)) /* by an older one of its place */
		return;
	vec_push(&f->listeners, ((struct ing_gate_listener){ l->port, l->host, l->protocol == GW_PASSTHROUGH, owner }));
	if (ingress && gw_ingresses_at(f->gs->ingresses, l->port) && obj_age_cmp(owner, ingress) < 0)
		f->s->say(f->s->ctx, ingress, "IngressConflict",
			  arena_printf(f->a, "host %.*s at port %d is that of gateway %.*s/%.*s, which is older",
				       SV_ARG(l->host), l->port, SV_ARG(obj_ns(owner)), SV_ARG(obj_name(owner))));
}

static void gw_listeners(struct from_gw *f, const struct ing_model *m)
{
	for (size_t i = 0; i < m->n_certificates; i++) {
		vec_push(&f->certs, m->certificates[i]);
		strmap_set(&f->cert_of, m->certificates[i].key, (void *)(uintptr_t)(i + 1));
	}
	for (size_t i = 0; i < m->n_shown; i++)
		vec_push(&f->shown, m->shown[i]);
	for (int show = 0; show < 2; show++) /* when it is known whose all hosts are */
		for (size_t i = 0; i < f->st->n_gateways; i++)
			for (size_t k = 0; k < f->st->gateways[i].n_listeners; k++) {
				const struct gw_listener *l = &f->st->gateways[i].listeners[k];

				if (!show && l->claims)
					gw_claim(f, l);
				if (!show && l->serves)
					gw_port_add(f, l);
				if (show && l->serves && l->protocol == GW_HTTPS)
					gw_show(f, l);
			}
}

/* --- the whole --- */

/* Of one place, as upstream orders matches; of one route as they stand. */
static int gw_gate_order(const void *x, const void *y)
{
	const struct numbered_gate *a = x, *b = y;
	int c = (b->gate.method.n > 0) - (a->gate.method.n > 0);

	c = c ? c : (b->gate.tail.n > a->gate.tail.n) - (b->gate.tail.n < a->gate.tail.n);
	c = c ? c : (b->gate.headers.n > a->gate.headers.n) - (b->gate.headers.n < a->gate.headers.n);
	c = c ? c : (b->gate.queries.n > a->gate.queries.n) - (b->gate.queries.n < a->gate.queries.n);
	return c ? c : (a->number > b->number) - (a->number < b->number);
}

#define COPY_OUT(a, v, to, ret_n)                                      \
	do {                                                           \
		(to) = arena_zalloc_array((a), (v).n, sizeof(*(v).p)); \
		(ret_n) = (v).n;                                       \
		if ((v).n)                                             \
			memcpy((to), (v).p, (v).n * sizeof(*(v).p));   \
		vec_release(&(v));                                     \
	} while (0)

void ing_hosts_of(const struct ing_model *m, struct gw_ingresses *ret)
{
	for (size_t i = 0; i < m->n_hosts; i++)
		strmap_set(&ret->hosts, m->hosts[i].host, (void *)(uintptr_t)m->hosts[i].from);
}

void ing_from_gateways(struct arena *a, const struct ing_source *s, const struct gw_source *gs,
		       const struct gw_state *st, struct ing_model *m)
{
	struct from_gw f = { .a = a, .s = s, .gs = gs, .st = st };

	gw_listeners(&f, m);
	for (size_t i = 0; i < st->n_routes; i++) {
		const struct gw_route *route = &st->routes[i];
		size_t number = 0;

		if (route->kind == GW_TLSROUTES)
			gw_tls_route(&f, route);
		else
			VAL_EACH(obj_get(route->o, F_spec, F_rules), rule)
				gw_rule(&f, route, rule, number++);
	}
	if (f.gates.n > 1)
		qsort(f.gates.p, f.gates.n, sizeof(*f.gates.p), gw_gate_order);
	m->n_gates = f.gates.n;
	m->gates = ARENA_ARRAY(a, struct ing_gate, f.gates.n);
	for (size_t i = 0; i < f.gates.n; i++)
		m->gates[i] = f.gates.p[i].gate;
	vec_release(&f.gates);
	COPY_OUT(a, f.passes, m->passes, m->n_passes);
	COPY_OUT(a, f.ports, m->ports, m->n_ports);
	COPY_OUT(a, f.listeners, m->listeners, m->n_listeners);
	COPY_OUT(a, f.certs, m->certificates, m->n_certificates);
	COPY_OUT(a, f.shown, m->shown, m->n_shown);
	strmap_release(&f.backends);
	strmap_release(&f.apps);
	strmap_release(&f.places);
	strmap_release(&f.port_of);
	strmap_release(&f.cert_of);
	strmap_release(&f.shown_for);
	strmap_release(&f.claimed);
}
