/* dev_net.h - the network of `caravel dev`: a bridge, and for each node a network namespace with a veth to it. IPv4,
 * IPv6 or both, as the cluster's pods have them.
 *
 *	host ── cvd1a2b3c4d (bridge, .1) ──┬── veth ── namespace cvd1a2b3c4d-1: eth0 (.11), default route by .1
 *	  │                                └── veth ── namespace cvd1a2b3c4d-2: eth0 (.12)
 *	  └── masquerade of what leaves the bridge's ranges (nft tables ip and ip6 cvd1a2b3c4d)
 *
 * All names are made of the data directory, so that clusters live side by side, and what a killed one left is found
 * again. The range is one of 198.18.0.0/15, which is set aside for networks of this kind (RFC 2544), that this machine
 * has no route to; that of IPv6 is a unique local /64 with 40 bits of the name (RFC 4193). Namespaces are those of
 * iproute2: `ip netns exec cvd1a2b3c4d-1 bash` is in a node.
 *
 * Texts for ip(8) and nft(8) hold generated names and numbers only. Blocking.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"

#define DEV_NODES_MAX 50

struct dev_net {
	char name[16];	       /* bridge, table, and what all names begin with */
	uint32_t base;	       /* of the /24, host order; 0: none chosen */
	struct ip_addr prefix; /* of the /64 */
	bool has[2];	       /* IPv4, IPv6 */
	bool first;	       /* which of them comes first: an index of has */
};

/* Of IPv4; chooses nothing yet. */
void dev_net_init(struct dev_net *n, const char *data_dir);
/* Of the families that pods have, in their order: "10.42.0.0/16,fd00:42::/56". False: it is no such list. */
bool dev_net_families(struct dev_net *n, const char *cluster_cidr);
/* A range of its own: the first, from one made of the name on, that routes (the text of /proc/net/route) lead not to.
 * False: all 512 are taken. */
bool dev_net_choose(struct dev_net *n, struct sv routes);

const char *dev_net_ns(const struct dev_net *n, struct arena *a, int node);	 /* "cvd1a2b3c4d-2" */
const char *dev_net_ns_path(const struct dev_net *n, struct arena *a, int node); /* "/run/netns/..." */
/* Node 0: the bridge's. */
const char *dev_net_address(const struct dev_net *n, struct arena *a, int node, bool v6);
const char *dev_net_addresses(const struct dev_net *n, struct arena *a, int node); /* all it has: "A", "A,B" */

/* Nodes 1 to nodes. */
int dev_net_up(const struct dev_net *n, int nodes, struct err *err);
/* All that there is of it, whoever made it and however many; 1 when there was something. */
int dev_net_down(const struct dev_net *n, struct err *err);
/* Is there anything of it? The largest number of a node's namespace, 0 when there is but a bridge, -1: nothing. */
int dev_net_left(const struct dev_net *n);
