/* service_lb_ports.h - which load balancer has which port of which node; service_lb.c's, on one thread.
 *
 * A node's addresses are shared by all load balancers, so each (node, protocol, port) is one Service's: whoever came
 * first. This is what the statuses of Services say (a restart reads them again), held here because a cache shows what
 * was written a moment ago only later.
 */
#pragma once

#include "base/arena.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "codec/doc.h"

struct lb_ports {
	struct strmap by_port;	  /* "NODE/TCP/80" -> the entry of the Service */
	struct strmap by_service; /* "ns/name" -> entry */
};

/* "TCP/80", as clients and indexes have it. */
struct sv lb_port_text(struct arena *a, struct sv protocol, int64_t port);

void lb_ports_release(struct lb_ports *p);

bool lb_ports_held(const struct lb_ports *p, struct sv service, struct sv node, const struct val *port);
/* All or none. False: *ret_holder is the Service that has *ret_port (a view of p and of the list). */
bool lb_ports_take(struct lb_ports *p, struct sv service, struct sv node, const struct val *ports,
		   struct sv *ret_holder, const struct val **ret_port);
/* Those on other nodes than these, or of ports that are not in the list, are free again; *ret_freed when there were
 * any. NULL, 0: all. */
void lb_ports_keep(struct lb_ports *p, struct sv service, const struct sv *nodes, size_t n_nodes,
		   const struct val *ports, bool *ret_freed);
