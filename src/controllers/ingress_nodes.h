/* ingress_nodes.h - the nodes that serve requests from outside, as addresses of what they serve: of Ingresses
 * (ingress_status.c) and Gateways (gateway.c).
 *
 * A node says in its annotation at which ports it serves; those that are Ready and may serve count. The addresses are
 * the ExternalIPs of a node, or its InternalIPs if it has none.
 */
#pragma once

#include "base/strmap.h"
#include "object/obj.h"

bool ingress_node_serves(const struct obj *node, bool any_chosen);
bool ingress_node_has_port(const struct obj *node, int port);	     /* one that it says it serves */
void ingress_node_ports(const struct obj *node, struct strmap *ret); /* adds all of them, as "80"; no values */
/* Would the addresses be others now? Heartbeats change nothing of this. */
bool ingress_node_changed(const struct obj *old, const struct obj *now);
/* Those of the nodes that want (NULL: any) says yes to, by name, each once. In a. */
struct sv *ingress_node_addresses(struct arena *a, struct obj **nodes, size_t n,
				  bool (*want)(const struct obj *node, void *ctx), void *ctx, size_t *ret_n);
