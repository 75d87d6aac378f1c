#include "proxy/hostport.h"

#include <netinet/in.h>

/* Calls fn for each port of the containers that run as long as the pod does. True when fn was, for any. */
static bool each_port(const struct obj *pod, void (*fn)(const struct val *port, void *ctx), void *ctx)
{
	static const enum sym lists[] = { F_containers, F_initContainers };
	bool any = false;

	if (val_get_bool(obj_get(pod, F_spec), F_hostNetwork))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		VAL_EACH(obj_get(pod, F_spec, lists[i]), c) {
			if (lists[i] == F_initContainers && !val_is(val_get(c, F_restartPolicy), "Always"))
				continue;
			VAL_EACH(val_get(c, F_ports), p) {
				if (val_get_int(p, 0, F_hostPort) <= 0)
					continue;
				any = true;
				if (fn)
					fn(p, ctx);
			}
		}
	}
	return any;
}

bool pod_has_host_ports(const struct obj *pod)
{
	return each_port(pod, NULL, NULL);
}

/* The first of each family: IPv4's, IPv6's. */
struct pod_addresses {
	struct ip_addr of[2]; /* or IP_NONE */
};

static void pod_address(struct pod_addresses *p, struct sv text)
{
	struct ip_addr a;

	if (address_parse(text, &a) && !ip_is_none(a) && ip_is_none(p->of[!ip_is_v4(a)]))
		p->of[!ip_is_v4(a)] = a;
}

static struct pod_addresses pod_addresses(const struct obj *pod)
{
	struct pod_addresses p = { { IP_NONE, IP_NONE } };

	VAL_EACH(obj_get(pod, F_status, F_podIPs), ip)
		pod_address(&p, val_get_str(ip, F_ip));
	pod_address(&p, val_str(obj_get(pod, F_status, F_podIP)));
	return p;
}

struct ports {
	struct arena *a;
	struct pod_addresses pod;
	struct frontend *p;
	size_t n, room;
};

static void hostport_count(_unused_ const struct val *port, void *ctx)
{
	((struct ports *)ctx)->room++;
}

static void add_port_to(struct ports *l, struct frontend f, bool v6, uint16_t inner)
{
	if (ip_is_none(l->pod.of[v6]))
		return;
	f.key.v6 = ip_is_none(f.key.addr) && v6;
	for (size_t i = 0; i < l->n; i++) {
		if (memcmp(&l->p[i].key, &f.key, sizeof(f.key)) == 0)
			return;
	}
	f.outer.p = ARENA_NEW(l->a, struct endpoint);
	f.outer.p[0] = (struct endpoint){ .addr = l->pod.of[v6], .port = inner, .local = true };
	f.outer.n = 1;
	l->p[l->n++] = f;
}

static void add_port(const struct val *port, void *ctx)
{
	struct ports *l = ctx;
	int64_t host = val_get_int(port, 0, F_hostPort), inner = val_get_int(port, 0, F_containerPort);
	struct sv ip = val_get_str(port, F_hostIP);
	struct frontend f = { .masq = MASQ_LOOPBACK, .host_port = true };
	bool colon = sv_find(ip, ':') >= 0;

	if (host > 65535 || inner < 1 || inner > 65535 || !proto_parse(val_get_str(port, F_protocol), &f.key.proto))
		return;
	if (ip.n && !address_parse(ip, &f.key.addr))
		return;
	f.key.port = (uint16_t)host;
	f.own_address = !ip_is_none(f.key.addr);
	/* "0.0.0.0" and "::" are all addresses of their family. */
	if (!ip.n || !colon)
		add_port_to(l, f, false, (uint16_t)inner);
	if (!ip.n || colon)
		add_port_to(l, f, true, (uint16_t)inner);
}

struct frontend *hostport_model(struct arena *a, const struct obj *pod, size_t *ret_n)
{
	struct ports l = { .a = a };
	struct sv phase = val_str(obj_get(pod, F_status, F_phase));

	*ret_n = 0;
	/* An ended pod's address may be another's soon. */
	if (sv_is(phase, "Succeeded") || sv_is(phase, "Failed"))
		return NULL;
	l.pod = pod_addresses(pod);
	(void)each_port(pod, hostport_count, &l);
	l.p = ARENA_ARRAY(a, struct frontend, 2 * l.room + 1);
	(void)each_port(pod, add_port, &l);
	*ret_n = l.n;
	return l.p;
}
