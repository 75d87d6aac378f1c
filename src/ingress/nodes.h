/* nodes.h - what Nodes and Services say about who serves Ingresses, who tells of them, and whose a port is; pure.
 *
 * Every node makes the same model, so one tells Events for all: the first by name of those that serve, or, while none
 * does, of those that are to.
 */
#pragma once

#include "client/index.h"
#include "object/obj.h"

extern const char *const ing_node_paths[]; /* what of Nodes is read (object/keep.h) */

struct ing_part {
	bool serves; /* this node is one of those that are to (object/ingress_refs.h) */
	bool tells;
};
struct ing_part ing_part_of(struct obj *const *nodes, size_t n, struct sv own);
/* Is what nodes do another thing now? Heartbeats are not. */
bool ing_node_changed(const struct obj *old, const struct obj *now);
struct sv ing_node_ports(const struct obj *node); /* what it says it serves: "80,443", or "" */

/* A Service with addresses that may be nodes': the proxy leads their ports away before anybody who listens. */
bool ing_is_balancer(const struct obj *svc);
/* Of such ones: "80" for each TCP port. */
void ing_balancer_keys(const struct obj *svc, struct index_keys *ret);
/* The first of these Services that has an address of the node; NULL: none. */
const struct obj *ing_balancer_at(const struct obj *node, struct obj *const *services, size_t n);
