#include "ingress/render-internal.h"

#include "ingress/apr1.h"
#include "ingress/filters.h"
#include "ingress/gate_lua.h"
#include "object/obj.h"

#include <stdlib.h>

#define HOPS_MAX 5	    /* trusted proxies one behind the other */
#define SPLIT_PARTS 1000000 /* of which weights are shares */

const char *const ing_map_names[ING_MAPS] = { "exact.map", "prefix.map", "values.map", "gates.map" };

/* --- choices --- */

/* By header and cookie, which decide both ways; then by weight, whose bounds are values: they change while HAProxy
 * runs. */
static void split_rules(struct render *r, struct sv s, const struct ing_route *route, const struct sv *names)
{
	struct buf *b = &r->splits;
	uint64_t total = 0, below = 0;

	for (size_t i = 0; i < route->n_targets; i++)
		total += route->targets[i].weight;
	buf_printf(b, "  acl %.*s var(txn.b) -m str %.*s\n", SV_ARG(s), SV_ARG(s));
	buf_printf(b, "  http-request set-var(txn.n) rand(%d) if %.*s\n", SPLIT_PARTS, SV_ARG(s));
	for (size_t i = 1; i < route->n_targets; i++) {
		const struct ing_target *t = &route->targets[i];
		bool header = t->header.n && render_may(r, ING_PLACE_NAME, t->header),
		     cookie = t->cookie.n && render_may(r, ING_PLACE_NAME, t->cookie);

		if (header && t->header_value.n) {
			struct sv key = arena_svf(r->a, "%.*s.v%zu", SV_ARG(s), i);

			render_line(r, ING_MAP_VALUES, key, t->header_value);
			buf_printf(
			    b,
			    "  http-request set-var(txn.v) str(%.*s),map_str(values.map) if %.*s\n"
			    "  http-request set-var(txn.b) str(%.*s) if %.*s { req.hdr(%.*s),strcmp(txn.v) eq 0 }\n",
			    SV_ARG(key), SV_ARG(s), SV_ARG(names[i]), SV_ARG(s), SV_ARG(t->header));
		} else if (header) {
			buf_printf(b,
				   "  http-request set-var(txn.b) str(%.*s) if %.*s { req.hdr(%.*s) -m str always }\n"
				   "  http-request set-var(txn.b) str(%.*s) if %.*s { req.hdr(%.*s) -m str never }\n",
				   SV_ARG(names[i]), SV_ARG(s), SV_ARG(t->header), SV_ARG(names[0]), SV_ARG(s),
				   SV_ARG(t->header));
		}
		if (cookie)
			buf_printf(b,
				   "  http-request set-var(txn.b) str(%.*s) if %.*s { req.cook(%.*s) -m str always }\n"
				   "  http-request set-var(txn.b) str(%.*s) if %.*s { req.cook(%.*s) -m str never }\n",
				   SV_ARG(names[i]), SV_ARG(s), SV_ARG(t->cookie), SV_ARG(names[0]), SV_ARG(s),
				   SV_ARG(t->cookie));
	}
	for (size_t i = 1; i < route->n_targets; i++) {
		struct sv key = arena_svf(r->a, "%.*s.w%zu", SV_ARG(s), i);

		below += route->targets[i].weight;
		render_line(r, ING_MAP_VALUES, key, arena_svf(r->a, "%" PRIu64, below * SPLIT_PARTS / MAX(total, 1)));
		buf_printf(b,
			   "  http-request set-var(txn.w) str(%.*s),map_str(values.map) if %.*s\n"
			   "  http-request set-var(txn.b) str(%.*s) if %.*s { var(txn.n),sub(txn.w) lt 0 }\n",
			   SV_ARG(key), SV_ARG(s), SV_ARG(names[i]), SV_ARG(s));
	}
	buf_printf(b, "  http-request set-var(txn.b) str(%.*s) if %.*s\n", SV_ARG(names[0]), SV_ARG(s));
}

/* Where a route leads to: a section, or a choice between some. */
static struct sv render_route(struct render *r, const struct ing_route *route)
{
	_cleanup_(buf_release) struct buf meaning = BUF_INIT;
	struct sv names[ING_TARGETS_MAX], s;

	for (size_t i = 0; i < route->n_targets; i++)
		names[i] = render_section(r, route->targets[i].backend, route->filters, route->from);
	if (route->n_targets == 1)
		return names[0];
	buf_adds(&meaning, "split");
	for (size_t i = 0; i < route->n_targets; i++) {
		const struct ing_target *t = &route->targets[i];

		buf_printf(&meaning, " %.*s %.*s %.*s %.*s", SV_ARG(names[i]), SV_ARG(t->header),
			   SV_ARG(t->header_value), SV_ARG(t->cookie));
		/* Those of one canary have one weight, whichever route it is beside. */
		if (t->from)
			buf_printf(&meaning, " %.*s/%.*s", SV_ARG(obj_ns(t->from)), SV_ARG(obj_name(t->from)));
		buf_addc(&meaning, '\n');
	}
	s = arena_svf(r->a, "s%" PRIu64, render_number(r, buf_sv(&meaning)));
	if (!strmap_set(&r->split_done, s, r))
		split_rules(r, s, route, names);
	return s;
}

/* --- the whole --- */

static void out_global(const struct render *r, struct buf *b)
{
	const struct ing_listen *l = r->listen;

	buf_printf(
	    b,
	    "global\n"
	    "  expose-experimental-directives\n"
	    "  stats timeout 10s\n"
	    "  log stdout format raw local0 notice\n"
	    "  nbthread %d\n"
	    "  maxconn %d\n"
	    "  tune.ssl.cachesize 2000\n"
	    "  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n"
	    "defaults\n"
	    "  mode http\n"
	    "  option redispatch 1\n"
	    "  option dontlognull\n"
	    "  option idle-close-on-response\n" /* who is followed lets kept connections have their next answer */
	    "  retries 3\n"
	    "  retry-on conn-failure empty-response\n"
	    "  timeout client 60s\n" /* until a request is at a backend, whose own timeout counts from then on */
	    "  timeout http-request 10s\n"
	    "  timeout http-keep-alive 60s\n"
	    "  timeout queue 10s\n"
	    "  timeout connect 2s\n"
	    "  default-server tcp-ut 5s\n" /* kept connections to a machine that is gone */
	    "  timeout server 60s\n"
	    "  timeout tunnel 1h\n",
	    l->threads, l->max_connections);
	if (r->apr1)
		buf_adds(b, "global\n  lua-load " ING_APR1_LUA "\n");
	if (r->gates)
		buf_adds(b, "global\n  lua-load " ING_GATE_LUA "\n");
	if (r->external)
		buf_printf(b, "resolvers host\n%s  hold valid 10s\n", l->name_servers ? "  parse-resolv-conf\n" : "");
}

/* Who the client is, and how it came: its own words do not count, those of a proxy that is trusted do. Each of these
 * says who came to it, so the last name is the nearest; the first that is not trusted is the client. */
static void out_client(const struct render *r, struct buf *b)
{
	static const char *const told[] = { "Host", "Port" };

	buf_adds(b, "  http-request set-var(txn.proto) str(http)\n"
		    "  http-request set-var(txn.proto) str(https) if { ssl_fc }\n");
	if (r->listen->trusted.n) {
		buf_adds(b, "  http-request set-var(txn.hop) int(0)\n"
			    "  http-request set-var(txn.peer) str(trusted) if trusted\n"
			    "  http-request set-var(txn.proto) req.hdr(X-Forwarded-Proto) if trusted "
			    "{ req.fhdr(X-Forwarded-Proto) -m str http https }\n");
		for (int hop = 1; hop <= HOPS_MAX; hop++)
			buf_printf(
			    b,
			    "  http-request set-var(txn.hop) int(%d) if trusted { var(txn.hop) -m int %d } "
			    "{ req.hdr_ip(X-Forwarded-For,-%d) -m found }\n"
			    "  http-request set-src req.hdr_ip(X-Forwarded-For,-%d) if { var(txn.hop) -m int %d }\n",
			    hop, hop - 1, hop, hop, hop);
	}
	buf_adds(b, "  http-request del-header Forwarded\n"
		    "  http-request del-header X-Forwarded-Prefix\n"
		    "  http-request set-header X-Real-IP %[src]\n"
		    "  http-request set-header X-Forwarded-For %[src]\n"
		    "  http-request set-header X-Forwarded-Proto %[var(txn.proto)]\n");
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		buf_printf(b, "  http-request set-header X-Forwarded-%s %s%s%s%s\n", told[i],
			   i ? "%[dst_port]" : "%[req.hdr(Host)]",
			   r->listen->trusted.n ? " unless { var(txn.peer) -m found } { req.hdr(X-Forwarded-" : "",
			   r->listen->trusted.n ? told[i] : "", r->listen->trusted.n ? ") -m found }" : "");
}

/* By which gates know where a request came in. */
static const char *socket_name(const struct render *r, int port)
{
	return r->gates ? arena_printf(r->a, " name %d", port) : "";
}

/* The path is what it means: without ".", ".." and needless escapes, for us and for the backend; doubled slashes are
 * one for us alone. */
static void out_frontend(const struct render *r, struct buf *b)
{
	static const struct {
		const char *host, *sample;
	} lookups[] = {
		{ "h", "exact" },   { "hp", "prefix" }, { "w", "exact" },
		{ "wp", "prefix" }, { "a", "exact" },	{ "ap", "prefix" },
	};
	/* A socket for each family: on one for both, clients by IPv4 would have mapped addresses. */
	buf_adds(b, "frontend web\n");
	for (int v6 = 0; v6 <= r->listen->v6; v6++) {
		const char *any = v6 ? ":::" : "0.0.0.0:", *only = v6 ? " v6only" : "";

		if (r->listen->http_port && !render_gate_has(r, r->listen->http_port))
			buf_printf(b, "  bind %s%d%s%s\n", any, r->listen->http_port, only,
				   socket_name(r, r->listen->http_port));
		if (r->listen->https_port && !render_gate_has(r, r->listen->https_port))
			buf_printf(b, "  bind %s%d%s" ING_BIND_TLS "%s\n", any, r->listen->https_port, only,
				   r->listen->https_port, socket_name(r, r->listen->https_port));
	}
	render_gate_binds(r, b);
	ing_filters_nets(b, "trusted", &r->listen->trusted);
	if (r->listen->trusted.n && r->listen->proxy_protocol)
		buf_adds(b, "  tcp-request connection expect-proxy layer4 if trusted\n");
	/* A dot at its end is not another name. */
	buf_adds(b, "  http-request set-var(txn.host) req.hdr(Host),host_only,lower,rtrim(.)\n"
		    "  http-request deny deny_status 400 unless { var(txn.host) -m reg ^[][a-z0-9._:-]*$ } "
		    "{ var(txn.host) -m len 0:253 }\n" /* each label is looked for */
		    "  http-request normalize-uri fragment-strip\n"
		    "  http-request normalize-uri percent-to-uppercase\n"
		    "  http-request normalize-uri percent-decode-unreserved\n"
		    "  http-request normalize-uri path-strip-dot\n"
		    "  http-request normalize-uri path-strip-dotdot full\n"
		    "  http-request set-var(txn.url) pathq\n"
		    "  http-request normalize-uri path-merge-slashes\n"
		    "  http-request set-var(txn.path) path\n"
		    "  http-request set-pathq %[var(txn.url)]\n"
		    "  http-request disable-l7-retry unless { method GET HEAD OPTIONS }\n");
	out_client(r, b);
	buf_adds(b, "  http-request set-var(txn.h) var(txn.host),concat(,txn.path)\n"
		    "  http-request set-var(txn.hp) var(txn.h),concat(/)\n"
		    "  http-request set-var(txn.w) var(txn.host),regsub(^[^.]+,*),concat(,txn.path)\n"
		    "  http-request set-var(txn.wp) var(txn.w),concat(/)\n"
		    "  http-request set-var(txn.a) str(*),concat(,txn.path)\n"
		    "  http-request set-var(txn.ap) var(txn.a),concat(/)\n");
	render_gate_rules(r, b);
	for (size_t i = 0; i < ARRAY_LEN(lookups); i++)
		buf_printf(b, "  http-request set-var(txn.b) var(txn.%s),map_%s(%s.map)%s\n", lookups[i].host,
			   i % 2 ? "beg" : "str", lookups[i].sample,
			   r->gates ? " if ingresses !{ var(txn.b) -m found }"
			   : i	    ? " unless { var(txn.b) -m found }"
				    : "");
	buf_printf(b, "  http-request set-var(txn.b) str(*),map_str(exact.map) %s\n",
		   r->gates ? "if ingresses !{ var(txn.b) -m found }" : "unless { var(txn.b) -m found }");
	buf_addsv(b, buf_sv(&r->splits));
	buf_adds(
	    b, "  use_backend %[var(txn.b)] if { var(txn.b) -m found }\n"
	       "  default_backend none\n"
	       "backend none\n"
	       "  http-request return status 404 content-type text/plain string 'no Ingress has this host and path'\n");
}

static int line_order(const void *x, const void *y)
{
	const struct line *a = x, *b = y;

	return sv_cmp(a->key, b->key);
}

static struct sv render_map(struct render *r, int map)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct lines *l = &r->maps[map];

	if (l->n > 1)
		qsort(l->p, l->n, sizeof(*l->p), line_order);
	for (size_t i = 0; i < l->n; i++)
		buf_printf(&b, "%.*s %.*s\n", SV_ARG(l->p[i].key), SV_ARG(l->p[i].value));
	return arena_sv(r->a, buf_sv(&b));
}

static int known_order(const void *x, const void *y)
{
	const struct known *const *a = x, *const *b = y;

	return ((*a)->number > (*b)->number) - ((*a)->number < (*b)->number);
}

static void render_sections(struct render *r, struct buf *config, struct buf *shape, struct ing_conf *ret)
{
	if (r->sections.n > 1)
		qsort(r->sections.p, r->sections.n, sizeof(*r->sections.p), known_order);
	ret->n_sections = r->sections.n;
	ret->sections = ARENA_ARRAY(r->a, struct ing_section, r->sections.n);
	for (size_t i = 0; i < r->sections.n; i++) {
		const struct known *k = r->sections.p[i];
		struct ing_section *s = &ret->sections[i];

		buf_addsv(config, k->text);
		buf_addsv(shape, k->text);
		render_servers(r, config, shape, k);
		s->name = k->name;
		s->n_slots = k->n_slots;
		s->slots = ARENA_ARRAY(r->a, struct ing_endpoint, k->n_slots);
		if (k->n_slots)
			memcpy(s->slots, k->slots, k->n_slots * sizeof(*s->slots));
	}
}

void ing_render(struct arena *a, struct ing_names *names, const struct ing_model *m, const struct ing_listen *l,
		struct ing_conf *ret)
{
	struct render r = { .a = a, .names = names, .listen = l };
	_cleanup_(buf_release) struct buf tail = BUF_INIT, tail_shape = BUF_INIT, config = BUF_INIT, shape = BUF_INIT;

	*ret = (struct ing_conf){ .n_sections = 0 };
	for (size_t i = 0; i < m->n_routes; i++)
		render_line(&r,
			    m->routes[i].path_kind == ING_PATH_PREFIX && !m->routes[i].fallback ? ING_MAP_PREFIX
												: ING_MAP_EXACT,
			    ing_route_key(a, &m->routes[i]), render_route(&r, &m->routes[i]));
	render_gates(&r, m);
	render_sections(&r, &tail, &tail_shape, ret);
	out_global(&r, &config);
	out_frontend(&r, &config);
	render_pass_frontends(&r, &config);
	buf_addsv(&shape, buf_sv(&config));
	buf_addsv(&config, buf_sv(&tail));
	buf_addsv(&shape, buf_sv(&tail_shape));
	ret->config = arena_sv(a, buf_sv(&config));
	ret->shape = arena_sv(a, buf_sv(&shape));
	for (int i = 0; i < ING_MAPS; i++) {
		ret->maps[i] = render_map(&r, i);
		vec_release(&r.maps[i]);
	}
	render_certificates(&r, m, ret);
	ret->refused = r.refused;
	render_names_sweep(names);
	vec_release(&r.sections);
	strmap_release(&r.met);
	strmap_release(&r.split_done);
	buf_release(&r.splits);
}
