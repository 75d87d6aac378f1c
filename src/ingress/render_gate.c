/* Gates into the maps that gate_lua.h reads, and the sockets of Gateways.
 *
 * Whose a request is stands in lines of their own: one for each listener, and at the ports of Ingresses one for each
 * host of theirs that no listener with this very hostname had before them.
 *
 * Places are sorted, so that one whose path begins with another's stands behind that one, with others of the kind in
 * between alone: a stack of those that are open says whose gates come after a place's own. */
#include "ingress/render-internal.h"

#include "object/age.h"

#include <stdlib.h>

struct place {
	struct sv nest; /* "80|listener|host/path/" */
	bool exact;
	struct sv key, id; /* of gates.map; "c7" */
	size_t n;	   /* gates */
	struct sv after;   /* the id of whose gates come then; "" */
};

/* Whom hosts belong to. */
struct whose {
	struct strmap ingresses; /* host -> struct ing_host * */
	struct strmap listeners; /* "80|host" -> struct ing_gate_listener * */
};

static struct sv gate_host(struct sv host)
{
	return host.n ? host : SV("*");
}

/* Letters, digits and "-._~" alone, all else as %XX. */
static void gate_encode(struct buf *b, struct sv s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c && strchr("-._~", c))) {
			buf_addc(b, (char)c);
		} else {
			buf_addc(b, '%');
			buf_addc(b, hex[c >> 4]);
			buf_addc(b, hex[c & 15]);
		}
	}
}

static void gate_pairs(struct buf *b, char what, const struct ing_headers *h)
{
	for (size_t i = 0; i < h->n; i++) {
		buf_printf(b, " %c:", what);
		gate_encode(b, h->p[i].name);
		buf_addc(b, ':');
		gate_encode(b, h->p[i].value);
	}
}

static void gate_targets(struct render *r, struct buf *b, const struct ing_gate_target *t, size_t n,
			 const struct obj *from)
{
	buf_adds(b, "b:");
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%.*s=%u", i ? "," : "", SV_ARG(render_section(r, t[i].backend, t[i].filters, from)),
			   t[i].weight);
}

static struct sv gate_text(struct render *r, const struct ing_gate *g)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	gate_targets(r, &b, g->targets, g->n_targets, g->from);
	if (g->method.n) {
		buf_adds(&b, " m:");
		gate_encode(&b, g->method);
	}
	if (g->tail.n) {
		buf_adds(&b, " t:");
		gate_encode(&b, g->tail);
	}
	gate_pairs(&b, 'h', &g->headers);
	gate_pairs(&b, 'q', &g->queries);
	return arena_sv(r->a, buf_sv(&b));
}

static int place_order(const void *x, const void *y)
{
	const struct place *const *a = x, *const *b = y;
	int c = sv_cmp((*a)->nest, (*b)->nest);

	return c ? c : (int)(*a)->exact - (int)(*b)->exact;
}

static void places_link(struct render *r, struct place **places, size_t n)
{
	struct place **open = ARENA_ARRAY(r->a, struct place *, n);
	size_t depth = 0;

	if (n > 1)
		qsort(places, n, sizeof(*places), place_order);
	for (size_t i = 0; i < n; i++) {
		struct place *p = places[i];
		struct sv after = SV("");

		while (depth && !sv_starts(p->nest, open[depth - 1]->nest))
			depth--;
		if (depth)
			after = open[depth - 1]->id;
		if (!p->exact)
			open[depth++] = p;
		render_line(r, ING_MAP_GATES, p->key, p->id);
		render_line(r, ING_MAP_VALUES, p->id,
			    after.n ? arena_svf(r->a, "%zu %.*s", p->n, SV_ARG(after)) : arena_svf(r->a, "%zu", p->n));
	}
}

static bool gate_port_is_served(const struct render *r, uint16_t port)
{
	for (size_t i = 0; i < r->listen->n_gates; i++)
		if (r->listen->gates[i].port == port)
			return true;
	return false;
}

/* --- whose a host is --- */

static void whose_release(struct whose *w)
{
	strmap_release(&w->ingresses);
	strmap_release(&w->listeners);
}

static bool port_of_ingresses(const struct render *r, uint16_t port)
{
	return port && (port == r->listen->http_port || port == r->listen->https_port);
}

/* Lines of listeners, too. */
static void whose_fill(struct render *r, const struct ing_model *m, struct whose *w)
{
	for (size_t i = 0; i < m->n_hosts; i++)
		strmap_set(&w->ingresses, m->hosts[i].host, (void *)(uintptr_t)&m->hosts[i]);
	for (size_t i = 0; i < m->n_listeners; i++) {
		const struct ing_gate_listener *l = &m->listeners[i];
		struct sv key = arena_svf(r->a, "%d|%.*s", l->port, SV_ARG(gate_host(l->host)));

		if (!gate_port_is_served(r, l->port))
			continue;
		strmap_set(&w->listeners, key, (void *)(uintptr_t)l);
		render_line(r, ING_MAP_GATES, arena_svf(r->a, "l%.*s|", SV_ARG(key)), l->passes ? SV("t") : SV("h"));
	}
}

/* The Ingress that has the host at this port; NULL: none, or a listener's owner had it before. */
static const struct obj *whose_ingress(struct render *r, const struct whose *w, uint16_t port, struct sv host)
{
	const struct ing_host *h = port_of_ingresses(r, port) ? strmap_get(&w->ingresses, host) : NULL;
	const struct ing_gate_listener *l =
	    h ? strmap_get(&w->listeners, arena_svf(r->a, "%d|%.*s", port, SV_ARG(host))) : NULL;

	return h && (!l || obj_age_cmp(h->from, l->from) < 0) ? h->from : NULL;
}

static void whose_hosts(struct render *r, const struct ing_model *m, const struct whose *w)
{
	const int ports[] = { r->listen->http_port, r->listen->https_port };

	for (size_t p = 0; p < ARRAY_LEN(ports); p++)
		for (size_t i = 0; gate_port_is_served(r, (uint16_t)ports[p]) && i < m->n_hosts; i++)
			if (whose_ingress(r, w, (uint16_t)ports[p], m->hosts[i].host))
				render_line(r, ING_MAP_GATES,
					    arena_svf(r->a, "i%d|%.*s|", ports[p], SV_ARG(m->hosts[i].host)), SV("i"));
}

static void gates_of(struct render *r, const struct ing_model *m)
{
	_cleanup_(strmap_release) struct strmap known = STRMAP_INIT;
	struct place **places = ARENA_ARRAY(r->a, struct place *, m->n_gates);
	size_t n = 0;

	for (size_t i = 0; i < m->n_gates; i++) {
		const struct ing_gate *g = &m->gates[i];
		bool exact = g->path_kind == ING_PATH_EXACT;
		struct sv nest, key;
		struct place *p;

		if (!gate_port_is_served(r, g->port))
			continue;
		nest = arena_svf(r->a, "%d|%.*s|%.*s%.*s/", g->port, SV_ARG(gate_host(g->listener)),
				 SV_ARG(gate_host(g->host)), SV_ARG(g->path));
		key = exact ? arena_svf(r->a, "e%.*s|", SV_ARG(sv_sub(nest, 0, nest.n - 1)))
			    : arena_svf(r->a, "p%.*s", SV_ARG(nest));
		p = strmap_get(&known, key);
		if (!p) {
			p = places[n++] = ARENA_NEW(r->a, struct place);
			*p = (struct place){ .nest = nest, .exact = exact, .key = key };
			p->id =
			    arena_svf(r->a, "c%" PRIu64, render_number(r, arena_svf(r->a, "gates %.*s", SV_ARG(key))));
			strmap_set(&known, key, p);
		}
		render_line(r, ING_MAP_VALUES, arena_svf(r->a, "%.*s.%zu", SV_ARG(p->id), ++p->n), gate_text(r, g));
	}
	places_link(r, places, n);
}

/* --- connections that pass through --- */

static void passes_of(struct render *r, const struct ing_model *m)
{
	static const struct ing_filters pass = { .tcp = true, .connect_s = 2, .server_s = 3600, .tunnel_s = 3600 };
	struct ing_gate_target nobody = { .filters = &pass, .weight = 1 };

	for (size_t i = 0; i < m->n_passes; i++) {
		const struct ing_pass *p = &m->passes[i];
		struct ing_gate_target *t = ARENA_ARRAY(r->a, struct ing_gate_target, p->n_targets + 1);
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct sv key, id;

		if (!gate_port_is_served(r, p->port))
			continue;
		for (size_t k = 0; k < p->n_targets; k++) {
			t[k] = p->targets[k];
			t[k].filters = &pass;
			if (t[k].backend && t[k].backend->external.n)
				t[k].backend = NULL; /* a name is resolved for requests alone */
		}
		key = arena_svf(r->a, "t%d|%.*s|%.*s|", p->port, SV_ARG(gate_host(p->listener)),
				SV_ARG(gate_host(p->host)));
		id = arena_svf(r->a, "c%" PRIu64, render_number(r, arena_svf(r->a, "gates %.*s", SV_ARG(key))));
		gate_targets(r, &b, p->n_targets ? t : &nobody, MAX(p->n_targets, 1), p->from);
		render_line(r, ING_MAP_GATES, key, id);
		render_line(r, ING_MAP_VALUES, arena_svf(r->a, "%.*s.1", SV_ARG(id)), arena_sv(r->a, buf_sv(&b)));
	}
}

void render_gates(struct render *r, const struct ing_model *m)
{
	_cleanup_(whose_release) struct whose w = { .ingresses = STRMAP_INIT };

	r->gates = r->listen->n_gates > 0;
	if (!r->gates)
		return;
	whose_fill(r, m, &w);
	whose_hosts(r, m, &w);
	gates_of(r, m);
	passes_of(r, m);
}

/* --- sockets --- */

/* Where what does not pass through goes on. Its name is of this machine, so it has our own number in it. */
static struct sv gate_inner(const struct render *r, uint16_t port)
{
	return arena_svf(r->a, "abns@caravel-%08x-%d", r->listen->own, port);
}

void render_gate_binds(const struct render *r, struct buf *b)
{
	for (size_t i = 0; i < r->listen->n_gates; i++) {
		const struct ing_gate_port *g = &r->listen->gates[i];
		const char *tls = g->tls && g->ends ? arena_printf(r->a, ING_BIND_TLS, g->port) : "";

		if (g->passes && g->ends)
			buf_printf(b, "  bind %.*s name %d accept-proxy%s\n", SV_ARG(gate_inner(r, g->port)), g->port,
				   tls);
		if (g->passes)
			continue;
		buf_printf(b, "  bind 0.0.0.0:%d name %d%s\n", g->port, g->port, tls);
		if (r->listen->v6)
			buf_printf(b, "  bind :::%d name %d v6only%s\n", g->port, g->port, tls);
	}
}

bool render_gate_has(const struct render *r, int port)
{
	return gate_port_is_served(r, (uint16_t)port);
}

void render_gate_rules(const struct render *r, struct buf *b)
{
	const struct ing_listen *l = r->listen;

	if (!r->gates)
		return;
	buf_adds(b, "  http-request set-var(txn.port) so_name\n");
	if (l->http_port || l->https_port)
		buf_printf(b, "  acl ingresses so_name -m str %d %d\n", l->http_port ? l->http_port : l->https_port,
			   l->https_port ? l->https_port : l->http_port);
	else
		buf_adds(b, "  acl ingresses always_false\n");
	buf_adds(b, "  http-request lua.gate\n");
}

void render_pass_frontends(const struct render *r, struct buf *b)
{
	for (size_t i = 0; i < r->listen->n_gates; i++) {
		const struct ing_gate_port *g = &r->listen->gates[i];

		if (!g->passes)
			continue;
		buf_printf(b,
			   "frontend tls%d\n"
			   "  mode tcp\n"
			   "  no option idle-close-on-response\n"
			   "  timeout client 1h\n"
			   "  bind 0.0.0.0:%d\n",
			   g->port, g->port);
		if (r->listen->v6)
			buf_printf(b, "  bind :::%d v6only\n", g->port);
		buf_printf(b,
			   "  tcp-request inspect-delay 5s\n"
			   "  tcp-request content reject if !{ req.ssl_hello_type 1 } WAIT_END\n"
			   "  tcp-request content set-var(sess.port) str(%d) if { req.ssl_hello_type 1 }\n"
			   "  tcp-request content set-var(sess.sni) req.ssl_sni if { req.ssl_hello_type 1 }\n"
			   "  tcp-request content lua.gatepass if { req.ssl_hello_type 1 }\n"
			   "  tcp-request content reject if { var(sess.nobody) -m found }\n"
			   "  tcp-request content accept if { req.ssl_hello_type 1 }\n"
			   "  use_backend %%[var(sess.b)] if { var(sess.b) -m found }\n",
			   g->port);
		if (!g->ends)
			continue;
		buf_printf(b,
			   "  default_backend over%d\n"
			   "backend over%d\n"
			   "  mode tcp\n"
			   "  timeout server 1h\n"
			   "  server s %.*s send-proxy-v2\n",
			   g->port, g->port, SV_ARG(gate_inner(r, g->port)));
	}
}
