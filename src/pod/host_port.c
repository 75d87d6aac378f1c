/* See host_port.h. */
#include "pod/host_port.h"

static const enum sym lists[] = { F_containers, F_initContainers };

size_t host_ports_parse(struct arena *a, const struct val *spec, struct host_port **ret)
{
	size_t n = 0;

	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		VAL_EACH(val_get(spec, lists[k]), c)
			n += val_len(val_get(c, F_ports));
	*ret = ARENA_ARRAY(a, struct host_port, n);
	n = 0;
	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		VAL_EACH(val_get(spec, lists[k]), c) {
			if (lists[k] == F_initContainers && !val_is(val_get(c, F_restartPolicy), "Always"))
				continue;
			VAL_EACH(val_get(c, F_ports), p) {
				int64_t port = val_get_int(p, 0, F_hostPort);
				struct host_port h = { val_get_str(p, F_hostIP), val_get_str(p, F_protocol), 0 };

				if (port <= 0 || port > 65535)
					continue;
				h.port = (int32_t)port;
				if (sv_is(h.ip, "0.0.0.0") || sv_is(h.ip, "::"))
					h.ip = SV("");
				if (!h.protocol.n)
					h.protocol = SV("TCP");
				(*ret)[n++] = h;
			}
		}
	return n;
}

bool host_ports_clash(const struct host_port *a, const struct host_port *b)
{
	return a->port == b->port && sv_eq(a->protocol, b->protocol) &&
	       (a->ip.n == 0 || b->ip.n == 0 || sv_eq(a->ip, b->ip));
}
