/* own_node.h - what a proxy needs to know of the Node that it runs on. */
#pragma once

#include "base/vec.h"
#include "proxy/model.h"

/* Ranges without overlaps, as sets of intervals have them. */
struct nets {
	VEC(struct ip_net) v;
};
void nets_add(struct nets *n, struct ip_net net);
struct families nets_families(const struct nets *n); /* the first of each */

struct own_node {
	char *zone;			      /* "": none; owned */
	struct nets pods, internal, external; /* its pod ranges, its InternalIPs, its ExternalIPs */
};
extern const char *const own_node_paths[]; /* what is read of it: for object/keep.h */
void own_node_read(struct own_node *n, const struct obj *node);
void own_node_release(struct own_node *n);
/* Nothing of the above, nor whether it stays, has changed. Statuses change often. */
bool own_node_same(const struct obj *old, const struct obj *neu);
bool own_node_stays(const struct obj *node); /* neither deleted nor about to be, by the cluster autoscaler's word */
