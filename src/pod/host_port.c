/* See host_port.h. */
#include "pod/host_port.h"

#include "base/buf.h"

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

/* What of it is a key: with its address, or of all addresses together. */
static struct sv host_port_key(struct buf *b, const struct host_port *h, bool with_ip)
{
	buf_clear(b);
	buf_printf(b, "%d/%.*s", h->port, SV_ARG(h->protocol));
	if (with_ip)
		buf_printf(b, "/%.*s", SV_ARG(h->ip));
	return buf_sv(b);
}

void host_ports_add(struct host_ports *s, const struct host_port *h)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (int with_ip = 0; with_ip < 2; with_ip++) {
		void **slot = strmap_slot(&s->users, host_port_key(&b, h, with_ip));

		*slot = (void *)((uintptr_t)*slot + 1);
	}
}

void host_ports_drop(struct host_ports *s, const struct host_port *h)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (int with_ip = 0; with_ip < 2; with_ip++) {
		struct sv key = host_port_key(&b, h, with_ip);
		void **slot = strmap_slot(&s->users, key);

		BUG_ON(!*slot);
		*slot = (void *)((uintptr_t)*slot - 1);
		if (!*slot)
			strmap_del(&s->users, key);
	}
}

bool host_ports_taken(const struct host_ports *s, const struct host_port *h)
{
	const struct host_port everywhere = { .ip = SV(""), .protocol = h->protocol, .port = h->port };
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!s->users.n)
		return false;
	if (!h->ip.n)
		return strmap_get(&s->users, host_port_key(&b, h, false));
	return strmap_get(&s->users, host_port_key(&b, h, true)) ||
	       strmap_get(&s->users, host_port_key(&b, &everywhere, true));
}

void host_ports_release(struct host_ports *s)
{
	strmap_release(&s->users);
}
