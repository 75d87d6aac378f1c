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

static struct sv ports_key(struct arena *a, int port)
{
	return arena_svf(a, "%d", port);
}

static bool ports_has(const struct ing_wanted *w, int port)
{
	for (size_t i = 0; i < w->n_gates; i++)
		if (w->gates[i].port == port)
			return true;
	return false;
}

/* Those that are to be looked for now: of Ingresses' when somebody begins to want them, and again every ten seconds
 * while they are not ours; of Gateways' all again every ten seconds, and new ones at once. */
static size_t ports_due(struct ing_ports *p, struct arena *a, const struct ing_wanted *w, int64_t now,
			struct port_holder *ret)
{
	bool due = !p->looked_ns || now - p->looked_ns >= ING_PORTS_NS;
	size_t count = 0;

	for (int i = 0; i < ING_PORTS; i++) {
		bool wanted = p->asked[i] && (w->ingresses || ports_has(w, p->asked[i]));

		if (wanted && (!p->wanted[i] || (due && (p->taken[i] || p->balancer[i]))))
			ret[count++].port = (uint16_t)p->asked[i];
		p->wanted[i] = wanted;
	}
	if (due) {
		p->looked_ns = now;
		strmap_release(&p->gates);
		p->gates = STRMAP_INIT;
	}
	for (size_t i = 0; i < w->n_gates; i++) {
		uint16_t port = w->gates[i].port;

		if (port != p->asked[0] && port != p->asked[1] && !strmap_has(&p->gates, ports_key(a, port)))
			ret[count++].port = port;
	}
	return count;
}

static bool ports_free(const struct ing_ports *p, struct arena *a, int port)
{
	for (int i = 0; i < ING_PORTS; i++)
		if (port == p->asked[i])
			return !p->taken[i];
	return (uintptr_t)strmap_get(&p->gates, ports_key(a, port)) == 1;
}

static void ports_look(struct ing_ports *p, struct arena *a, struct haproxy *h, const struct ing_wanted *wanted,
		       int64_t now)
{
	static const char *const flags[ING_PORTS] = { "--ingress-http-port", "--ingress-https-port" };
	struct port_holder *look = ARENA_ARRAY(a, struct port_holder, wanted->n_gates + ING_PORTS);
	size_t n_look = ports_due(p, a, wanted, now, look);

	if (n_look)
		port_holders(a, look, n_look, haproxy_pids(h, a));
	for (size_t i = 0; i < n_look; i++) {
		int at = look[i].port == p->asked[0] ? 0 : look[i].port == p->asked[1] ? 1 : -1;

		if (at < 0) {
			strmap_set(&p->gates, ports_key(a, look[i].port), (void *)(uintptr_t)(look[i].who ? 2 : 1));
			if (look[i].who)
				log_debug("ingress", "another program has the port of a Gateway", "port", "%d: %s",
					  look[i].port, look[i].who);
			continue;
		}
		if (look[i].who && !p->taken[at])
			log_warn("ingress", "another program has the port, Ingresses are served without it", "port",
				 "%d: %s; %s N takes another", p->asked[at], look[i].who, flags[at]);
		p->taken[at] = look[i].who;
	}
}

/* Of the ports that Gateways wish those that are free here, or are Ingresses' and of one mind with them. */
static void ports_gates(struct ing_ports *p, struct arena *a, const struct ing_gate_port *wanted, size_t n,
			struct ing_listen *l)
{
	struct ing_gate_port *to = ARENA_ARRAY(a, struct ing_gate_port, n);

	l->gates = to;
	for (size_t i = 0; i < n; i++) {
		const struct ing_gate_port *g = &wanted[i];
		bool http = g->port == l->http_port, https = g->port == l->https_port;

		if (http || https ? g->tls != https : !ports_free(p, a, g->port))
			continue;
		to[l->n_gates] = *g;
		to[l->n_gates++].ends |= https;
	}
}

struct ing_listen ing_ports_listen(struct ing_ports *p, struct arena *a, struct haproxy *h,
				   const struct ing_wanted *wanted, int64_t now)
{
	struct rlimit files = { .rlim_max = 0 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct ing_listen l = { .threads = cpus > 1 ? 2 : 1 };
	int free_ports[ING_PORTS];

	ports_look(p, a, h, wanted, now);
	for (int i = 0; i < ING_PORTS; i++)
		free_ports[i] = !wanted->ingresses || p->taken[i] || p->balancer[i] ? 0 : p->asked[i];
	l.http_port = free_ports[0];
	l.https_port = free_ports[1];
	l.name_servers = access("/etc/resolv.conf", R_OK) == 0;
	l.v6 = access("/proc/net/if_inet6", F_OK) == 0;
	(void)getrlimit(RLIMIT_NOFILE, &files);
	l.max_connections = files.rlim_max == RLIM_INFINITY || files.rlim_max > 2 * CONNECTIONS_MAX + 200
				? CONNECTIONS_MAX
				: (int)MAX(((int64_t)files.rlim_max - 200) / 2, 100);
	ports_gates(p, a, wanted->gates, wanted->n_gates, &l);
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

bool ing_listen_same(const struct ing_listen *x, const struct ing_listen *y)
{
	return x->http_port == y->http_port && x->https_port == y->https_port && x->v6 == y->v6 &&
	       x->name_servers == y->name_servers && x->threads == y->threads &&
	       x->max_connections == y->max_connections && gates_same(x, y);
}
