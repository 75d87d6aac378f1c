#include "controllers/service_lb_ports.h"

#include <stdlib.h>

struct lb_entry {
	char *service;	    /* "ns/name" */
	VEC(char *) claims; /* "NODE/TCP/80" */
};

static void lb_entry_free(void *ctx)
{
	struct lb_entry *e = ctx;

	for (size_t i = 0; i < e->claims.n; i++)
		free(e->claims.p[i]);
	vec_release(&e->claims);
	free(e->service);
	free(e);
}

void lb_ports_release(struct lb_ports *p)
{
	strmap_release(&p->by_port);
	strmap_release_with(&p->by_service, lb_entry_free);
}

struct sv lb_port_text(struct arena *a, struct sv protocol, int64_t port)
{
	return arena_svf(a, "%.*s/%" PRId64, SV_ARG(protocol.n ? protocol : SV("TCP")), port);
}

static struct sv lb_port_key(struct arena *a, struct sv node, const struct val *port)
{
	struct sv text = lb_port_text(a, val_get_str(port, F_protocol), val_get_int(port, 0, F_port));

	return arena_svf(a, "%.*s/%.*s", SV_ARG(node), SV_ARG(text));
}

bool lb_ports_held(const struct lb_ports *p, struct sv service, struct sv node, const struct val *port)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct lb_entry *e = strmap_get(&p->by_port, lb_port_key(&a, node, port));

	return e && sv_is(service, e->service);
}

static struct lb_entry *lb_entry_of(struct lb_ports *p, struct sv service)
{
	struct lb_entry **slot = (struct lb_entry **)(void *)strmap_slot(&p->by_service, service);

	if (!*slot) {
		*slot = xcalloc(1, sizeof(**slot));
		(*slot)->service = xstrndup(service.p, service.n);
	}
	return *slot;
}

bool lb_ports_take(struct lb_ports *p, struct sv service, struct sv node, const struct val *ports,
		   struct sv *ret_holder, const struct val **ret_port)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct lb_entry *e;

	VAL_EACH(ports, port) {
		const struct lb_entry *had = strmap_get(&p->by_port, lb_port_key(&a, node, port));

		if (!had || sv_is(service, had->service))
			continue;
		*ret_holder = sv_from(had->service);
		*ret_port = port;
		return false;
	}
	e = lb_entry_of(p, service);
	VAL_EACH(ports, port) {
		struct sv key = lb_port_key(&a, node, port);

		if (!strmap_set(&p->by_port, key, e))
			vec_push(&e->claims, xstrndup(key.p, key.n));
	}
	return true;
}

void lb_ports_keep(struct lb_ports *p, struct sv service, const struct sv *nodes, size_t n_nodes,
		   const struct val *ports, bool *ret_freed)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(strmap_release) struct strmap keep = STRMAP_INIT;
	struct lb_entry *e = strmap_get(&p->by_service, service);
	size_t kept = 0;

	if (!e)
		return;
	for (size_t i = 0; i < n_nodes; i++)
		VAL_EACH(ports, port)
			strmap_set(&keep, lb_port_key(&a, nodes[i], port), e);
	for (size_t i = 0; i < e->claims.n; i++) {
		char *key = e->claims.p[i];

		if (strmap_has(&keep, sv_from(key))) {
			e->claims.p[kept++] = key;
			continue;
		}
		strmap_del(&p->by_port, sv_from(key));
		free(key);
		*ret_freed = true;
	}
	e->claims.n = kept;
	if (!kept)
		lb_entry_free(strmap_del(&p->by_service, service));
}
