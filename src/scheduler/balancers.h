/* balancers.h - load balancers whose addresses are nodes' own (controllers/service_lb): a port that one has on a node
 * is no host port for a Pod there, as if a Pod had it. Whoever came first has a port; the controller leaves those of
 * Pods.
 *
 * What a Service has is what its status says. Not thread-safe: the scheduler's lock protects it.
 */
#pragma once

#include "base/ip.h"
#include "base/strmap.h"
#include "object/obj.h"
#include "pod/host_port.h"

struct balancers {
	struct strmap services; /* "ns/name" -> struct obj *, of those that have addresses */
};

void balancers_release(struct balancers *b);
/* Any Service; others are ignored. Does it leave an address or a port that it had? */
bool balancers_set(struct balancers *b, struct obj *svc, bool deleted);

/* Where one of these host ports is a load balancer's (pod/balancer.h), in the arena, sorted; how many. */
size_t balancers_addresses(const struct balancers *b, struct arena *a, const struct host_port *ports, size_t n,
			   struct ip_addr **ret);
/* Has the node one of them? */
bool balancers_on_node(const struct obj *node, const struct ip_addr *addresses, size_t n);
