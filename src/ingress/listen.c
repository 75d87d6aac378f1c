#include "ingress/listen.h"

#include "base/log.h"
#include "ingress/haproxy.h"
#include "ingress/ports.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096

void ing_ports_release(struct ing_ports *p)
{
	for (int i = 0; i < ING_PORTS; i++)
		free(p->balancer[i]);
	strmap_release(&p->gates);
}

bool ing_ports_set_balancer(struct ing_ports *p, int i, struct sv who)
{
	if (sv_eq(who, sv_from(p->balancer[i])))
		return false;
	free(p->balancer[i]);
	p->balancer[i] = who.n ? xstrndup(who.p, who.n) : NULL;
	return true;
}

static void ports_look(struct ing_ports *p, struct arena *a, struct haproxy *h, int i, int64_t now)
{
	static const char *const flags[ING_PORTS] = { "--ingress-http-port", "--ingress-https-port" };
	const char *who;

	if (!p->asked[i] || (p->looked_ns && !(p->taken[i] && now - p->looked_ns >= ING_PORTS_NS)))
		return;
	who = port_holder(a, p->asked[i], haproxy_pids(h, a));
	if (who && !p->taken[i])
		log_warn("ingress", "another program has the port, Ingresses are served without it", "port",
			 "%d: %s; %s N takes another", p->asked[i], who, flags[i]);
	p->taken[i] = who;
}

struct ing_listen ing_ports_listen(struct ing_ports *p, struct arena *a, struct haproxy *h, int64_t now)
{
	struct rlimit files = { .rlim_max = 0 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct ing_listen l = { .threads = cpus > 1 ? 2 : 1 };
	int free_ports[ING_PORTS];

	for (int i = 0; i < ING_PORTS; i++) {
		ports_look(p, a, h, i, now);
		free_ports[i] = p->taken[i] || p->balancer[i] ? 0 : p->asked[i];
	}
	if (!p->looked_ns || now - p->looked_ns >= ING_PORTS_NS) {
		p->looked_ns = now;
		strmap_release(&p->gates); /* they are looked for again */
		p->gates = STRMAP_INIT;
	}
	l.http_port = free_ports[0];
	l.https_port = free_ports[1];
	l.name_servers = access("/etc/resolv.conf", R_OK) == 0;
	l.v6 = access("/proc/net/if_inet6", F_OK) == 0;
	(void)getrlimit(RLIMIT_NOFILE, &files);
	l.max_connections = files.rlim_max == RLIM_INFINITY || files.rlim_max > 2 * CONNECTIONS_MAX + 200
				? CONNECTIONS_MAX
				: (int)MAX(((int64_t)files.rlim_max - 200) / 2, 100);
	return l;
}

static bool gates_same(const struct ing_listen *x, const struct ing_listen *y)
{
	bool same = x->n_gates == y->n_gates;

	for (size_t i = 0; same && i < x->n_gates; i++) {
		const struct ing_gate_port *a = &x->gates[i], *b = &y->gates[i];

		same = a->port == b->port && a->tls == b->tls && a->passes == b->passes && a->ends == b->ends;
	}
	return same;
}

/* True: it is free. */
static bool gate_port_free(struct ing_ports *p, struct arena *a, struct haproxy *h, int port)
{
	struct sv key = arena_svf(a, "%d", port);
	uintptr_t known = (uintptr_t)strmap_get(&p->gates, key);
	const char *who;

	if (!known) {
		who = port_holder(a, port, haproxy_pids(h, a));
		known = who ? 2 : 1;
		strmap_set(&p->gates, key, (void *)known);
		if (who)
			log_debug("ingress", "another program has the port of a Gateway", "port", "%d: %s", port, who);
	}
	return known == 1;
}

void ing_ports_gates(struct ing_ports *p, struct arena *a, struct haproxy *h, const struct ing_gate_port *wanted,
		     size_t n, struct ing_listen *l)
{
	struct ing_gate_port *to = ARENA_ARRAY(a, struct ing_gate_port, n);

	l->gates = to;
	l->n_gates = 0;
	for (size_t i = 0; i < n; i++) {
		const struct ing_gate_port *g = &wanted[i];
		bool http = g->port == l->http_port, https = g->port == l->https_port;

		if (http || https ? g->tls != https : !gate_port_free(p, a, h, g->port))
			continue;
		to[l->n_gates] = *g;
		to[l->n_gates++].ends |= https;
	}
}

bool ing_listen_same(const struct ing_listen *x, const struct ing_listen *y)
{
	return x->http_port == y->http_port && x->https_port == y->https_port && x->v6 == y->v6 &&
	       x->name_servers == y->name_servers && x->threads == y->threads &&
	       x->max_connections == y->max_connections && gates_same(x, y);
}
