/* Routes: to which listeners each parentRef attaches one, and why to no other. */
#include "gateway/gateway-internal.h"

#include "base/buf.h"
#include "base/strmap.h"
#include "gateway/texts.h"
#include "object/age.h"
#include "object/selector.h"

#include <stdlib.h>

#define GATES_MAX 20000
#define GATES_NAMESPACE_MAX 5000    /* who has an old route would push out those that are younger */
#define LOOKS_NAMESPACE_MAX 1000000 /* hostnames held against listeners, whether they go together or not */

/* What routes of a namespace have had so far. */
struct route_space {
	size_t gates, looks;
	const struct val *labels;
	bool asked; /* for its labels */
};

struct route_make {
	const struct gw_make *m;
	struct strmap spaces; /* namespace -> struct route_space *, the arena's */
	size_t gates;
	struct strmap gateways; /* "ns/name" -> struct gw_gateway * */
	struct strmap places;	/* place_key() -> how many matches it has */
	/* Of the parent at hand, whose own are made once it is known how many: */
	VEC(struct gw_attached) attached;
	VEC(struct sv) hosts;
};

/* A route while it is made. */
struct route_now {
	struct gw_route *r;
	struct route_space *space;
	size_t matches;		   /* of all its rules: each at each place is one gate */
	const struct obj *ingress; /* that has one of its hosts at the parent at hand, at: */
	struct sv host;
	uint16_t port;
	bool several;	   /* parents */
	struct strmap had; /* place_key() without path of those before, when there are several; no values */
	struct sv *paths;  /* of each of them, "e/path" or "p/path"; "" when there is none. NULL: not looked at yet */
};

static struct gw_gateway *route_parent(struct route_make *rm, const struct obj *o, const struct val *ref)
{
	struct sv ns = val_get_str(ref, F_namespace);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!gw_group_is(ref, GW_GROUP, GW_GROUP) || (val_get(ref, F_kind) && !val_is(val_get(ref, F_kind), "Gateway")))
		return NULL;
	return strmap_get(&rm->gateways, obj_path(&b, ns.n ? ns : obj_ns(o), val_get_str(ref, F_name)));
}

static bool listener_lets_in(const struct route_make *rm, const struct gw_listener *l, const struct route_now *now)
{
	const struct val *from = val_get(l->spec, F_allowedRoutes, F_namespaces);
	struct sv how = val_get_str(from, F_from), ns = obj_ns(now->r->o);
	struct route_space *space = now->space;

	if (!(l->kinds & 1U << now->r->kind) || !gw_condition_is(&l->conditions, "Accepted"))
		return false;
	if (sv_is(how, "All"))
		return true;
	if (!sv_is(how, "Selector"))
		return !sv_is(how, "None") && sv_eq(ns, obj_ns(l->gateway->o));
	if (!l->namespaces)
		return false;
	if (!space->asked)
		space->labels = rm->m->s->namespace_labels(rm->m->s->ctx, ns);
	space->asked = true;
	return selector_matches(l->namespaces, space->labels);
}

/* To rm->hosts, unless an older Ingress of another namespace has it. */
static void attach_host(struct route_make *rm, const struct gw_listener *l, struct route_now *now, struct sv host)
{
	const struct obj *o = now->r->o, *ingress = gw_ingress_before(rm->m->s->ingresses, l, host);

	if (!ingress || sv_eq(obj_ns(ingress), obj_ns(o)) || obj_age_cmp(o, ingress) < 0) {
		vec_push(&rm->hosts, host);
		return;
	}
	now->ingress = ingress;
	now->host = host;
	now->port = l->port;
}

/* For which hosts of the listener the route is, to rm->hosts; how many. */
static size_t attach_hosts(struct route_make *rm, const struct gw_listener *l, struct route_now *now)
{
	const struct val *hosts = obj_get(now->r->o, F_spec, F_hostnames);
	size_t before = rm->hosts.n;
	struct sv host;

	now->space->looks += MAX(val_len(hosts), 1);
	if (!val_len(hosts))
		attach_host(rm, l, now, l->host);
	VAL_EACH(hosts, h)
		if (gw_hosts_meet(l->host, val_str(h), &host))
			attach_host(rm, l, now, host);
	return rm->hosts.n - before;
}

/* Whether there is room for a route at that many places, beside all that have theirs already. */
static bool route_fits(const struct route_make *rm, const struct route_now *now, size_t places)
{
	size_t n = now->matches * places;

	return rm->gates + n <= GATES_MAX && now->space->gates + n <= GATES_NAMESPACE_MAX &&
	       now->space->looks <= LOOKS_NAMESPACE_MAX;
}

/* --- places: what one request may have to ask --- */

static void route_paths(const struct route_make *rm, struct route_now *now)
{
	size_t n = 0;

	now->paths = ARENA_ARRAY(rm->m->a, struct sv, now->matches + 1);
	VAL_EACH(obj_get(now->r->o, F_spec, F_rules), rule) {
		const struct val *matches = val_get(rule, F_matches);

		for (size_t i = 0; i < MAX(val_len(matches), 1); i++) {
			bool exact;
			struct sv path;

			if (gw_match_path(rm->m->a, now->r->kind, val_at(matches, i), &exact, &path))
				now->paths[n] = arena_svf(rm->m->a, "%c%.*s", exact ? 'e' : 'p', SV_ARG(path));
			n++;
		}
	}
}

static struct sv place_key(struct buf *b, const struct gw_listener *l, struct sv host, struct sv path)
{
	buf_clear(b);
	buf_printf(b, "%d %.*s %.*s %.*s", l->port, SV_ARG(l->host), SV_ARG(host), SV_ARG(path));
	return buf_sv(b);
}

/* Counts matches at the places of the parent at hand, in order, until one is full: how many it counted. stop: count
 * these no more. Gateways may have a place together: what the route has there by a parent before stands there once. */
static size_t places_count(struct route_make *rm, const struct route_now *now, bool more, size_t stop)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct sv *host = rm->hosts.p;
	size_t done = 0;

	for (size_t i = 0; i < rm->attached.n; i++)
		for (const struct sv *end = host + rm->attached.p[i].n_hosts; host < end; host++) {
			if (strmap_has(&now->had, place_key(&b, rm->attached.p[i].listener, *host, SV("")))) {
				done += now->matches;
				continue;
			}
			for (size_t k = 0; k < now->matches; k++) {
				struct sv key = place_key(&b, rm->attached.p[i].listener, *host, now->paths[k]);
				void **slot = strmap_slot(&rm->places, key);
				uintptr_t n = (uintptr_t)*slot;

				if (more ? n == GW_PLACE_MAX : done == stop)
					return done;
				*slot = (void *)(more ? n + 1 : n - 1);
				if (!more && n == 1)
					strmap_del(&rm->places, key);
				done++;
			}
		}
	return done;
}

/* False: one of its places is full, and it has none. */
static bool places_take(struct route_make *rm, struct route_now *now)
{
	size_t n = now->matches * rm->hosts.n, done;

	if (now->r->kind == GW_TLSROUTES)
		return true;
	if (!now->paths)
		route_paths(rm, now);
	now->space->looks += n;
	done = places_count(rm, now, true, 0);
	if (done == n)
		return true;
	(void)places_count(rm, now, false, done);
	return false;
}

/* Its places are the route's, for its other parents to know. */
static void places_keep(const struct route_make *rm, struct route_now *now)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct sv *host = rm->hosts.p;

	for (size_t i = 0; now->r->kind != GW_TLSROUTES && i < rm->attached.n; i++)
		for (const struct sv *end = host + rm->attached.p[i].n_hosts; host < end; host++)
			strmap_set(&now->had, place_key(&b, rm->attached.p[i].listener, *host, SV("")), now);
}

/* --- parents --- */

/* What stands in rm is the parent's, now that it is known how much it is. */
static void parent_keep(struct route_make *rm, struct gw_parent *p)
{
	struct sv *hosts;

	if (!rm->attached.n)
		return;
	p->n_attached = rm->attached.n;
	p->attached = ARENA_ARRAY(rm->m->a, struct gw_attached, p->n_attached);
	hosts = ARENA_ARRAY(rm->m->a, struct sv, rm->hosts.n);
	memcpy(hosts, rm->hosts.p, rm->hosts.n * sizeof(*hosts));
	for (size_t i = 0; i < p->n_attached; i++) {
		p->attached[i] = rm->attached.p[i];
		p->attached[i].hosts = hosts;
		hosts += p->attached[i].n_hosts;
	}
}

/* False: it would be more than is served; then nothing is attached. */
static bool parent_attach(struct route_make *rm, struct gw_gateway *g, struct route_now *now, struct gw_parent *p)
{
	struct sv section = val_get_str(p->ref, F_sectionName);
	uint16_t port = gw_port(val_get(p->ref, F_port));
	struct gw_conditions *c = &p->conditions;
	bool meant = false, let_in = false, fits = true;

	rm->attached.n = rm->hosts.n = 0;
	now->ingress = NULL;
	for (size_t i = 0; i < g->n_listeners && fits; i++) {
		struct gw_listener *l = &g->listeners[i];
		size_t n;

		if ((section.n && !sv_eq(section, l->name)) || (port && port != l->port))
			continue;
		meant = true;
		if (!listener_lets_in(rm, l, now))
			continue;
		let_in = true;
		n = attach_hosts(rm, l, now);
		fits = route_fits(rm, now, rm->hosts.n);
		if (n)
			vec_push(&rm->attached, ((struct gw_attached){ .listener = l, .n_hosts = n }));
	}
	if ((rm->attached.n || !fits) && now->ingress)
		gw_say(rm->m->a, c, "Accepted", true, "Accepted",
		       "Route is accepted, but host %.*s at port %d is that of ingress %.*s/%.*s, which is older",
		       SV_ARG(now->host), now->port, SV_ARG(obj_ns(now->ingress)), SV_ARG(obj_name(now->ingress)));
	else if (now->ingress)
		gw_say(rm->m->a, c, "Accepted", false, "HostnameConflict",
		       "host %.*s at port %d is that of ingress %.*s/%.*s, which is older", SV_ARG(now->host),
		       now->port, SV_ARG(obj_ns(now->ingress)), SV_ARG(obj_name(now->ingress)));
	else if (rm->attached.n || !fits)
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
	return fits;
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

static void parent_make(struct route_make *rm, struct gw_gateway *g, struct route_now *now,
			const struct rules_said *said, struct gw_parent *p)
{
	bool fits = parent_attach(rm, g, now, p);
	size_t n = now->matches * rm->hosts.n;

	parent_rules(rm, p, said);
	if (!gw_condition_is(&p->conditions, "Accepted"))
		return;
	if (!fits) {
		parent_drop(rm, p,
			    arena_printf(rm->m->a,
					 "its matches, hosts and listeners are more than are served here beside older "
					 "routes (%d, of a namespace %d)",
					 GATES_MAX, GATES_NAMESPACE_MAX));
		return;
	}
	if (!places_take(rm, now)) {
		parent_drop(rm, p,
			    arena_printf(rm->m->a,
					 "one path of a host would have more than %d matches beside those of older "
					 "routes: use several paths or hostnames",
					 GW_PLACE_MAX));
		return;
	}
	parent_keep(rm, p);
	if (now->several)
		places_keep(rm, now);
	for (size_t i = 0; i < p->n_attached; i++)
		((struct gw_listener *)(uintptr_t)p->attached[i].listener)->attached++;
	rm->gates += n;
	now->space->gates += n;
}

static struct route_space *route_space(struct route_make *rm, struct sv ns)
{
	void **slot = strmap_slot(&rm->spaces, ns);

	if (!*slot)
		*slot = ARENA_NEW(rm->m->a, struct route_space);
	return *slot;
}

static bool route_make(struct route_make *rm, const struct obj *o, enum gw_kind kind, struct gw_route *r)
{
	const struct val *refs = obj_get(o, F_spec, F_parentRefs);
	struct route_now now = { .r = r, .space = route_space(rm, obj_ns(o)) };
	struct rules_said said = { .n = 0 };

	*r = (struct gw_route){ .o = o, .kind = kind };
	VAL_EACH(refs, ref)
		r->n_parents += route_parent(rm, o, ref) != NULL;
	if (!r->n_parents)
		return false;
	VAL_EACH(obj_get(o, F_spec, F_rules), rule)
		now.matches += MAX(val_len(val_get(rule, F_matches)), 1);
	rules_look(rm, r, &said);
	now.several = r->n_parents > 1;
	r->parents = ARENA_ARRAY(rm->m->a, struct gw_parent, r->n_parents);
	r->n_parents = 0;
	VAL_EACH(refs, ref) {
		struct gw_gateway *g = route_parent(rm, o, ref);
		struct gw_parent *p = &r->parents[r->n_parents];

		if (!g)
			continue;
		p->ref = ref;
		parent_make(rm, g, &now, &said, p);
		r->n_parents++;
	}
	strmap_release(&now.had);
	return true;
}

struct aged {
	struct obj *o; /* first: obj_by_age() */
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
		qsort(all, n, sizeof(*all), obj_by_age);
	st->routes = ARENA_ARRAY(m->a, struct gw_route, n);
	for (size_t i = 0; i < n; i++)
		st->n_routes += route_make(&rm, all[i].o, all[i].kind, &st->routes[st->n_routes]);
	strmap_release(&rm.gateways);
	strmap_release(&rm.spaces);
	strmap_release(&rm.places);
	vec_release(&rm.attached);
	vec_release(&rm.hosts);
}
