/* model.h - from Node objects and this machine's addresses to what its kernel has to hold, as pure functions.
 *
 * A peer's end of the VXLAN needs nothing published, learned or agreed on: its MAC is made of the peer's first Pod
 * range, and the address that packets to a range are sent to is the first one of that family's range.
 *
 *	VXLAN, a peer with 10.42.7.0/24 and fd00:42:0:7::/64 at 192.0.2.7:
 *		route	10.42.7.0/24 by 10.42.7.0 on the device		fd00:42:0:7::/64 by fd00:42:0:7:: on the device
 *		neigh	10.42.7.0 is at ee:ca:0a:2a:07:00		fd00:42:0:7:: is at ee:ca:0a:2a:07:00
 *		fdb	ee:ca:0a:2a:07:00 is behind 192.0.2.7
 *	host-gw:
 *		route	10.42.7.0/24 by 192.0.2.7 on the link that 192.0.2.7 is on
 *
 * What a Node says of itself is not believed beyond what it may say: a range has to lie within the cluster's ranges and
 * apart from our own, an address must not be one of ours. Whose a range is when two Nodes name it is track.h's.
 */
#pragma once

#include "base/ip.h"
#include "base/vec.h"
#include "object/obj.h"

enum netd_kind { NETD_NONE, NETD_VXLAN, NETD_HOST_GW };

/* As people write it: "vxlan", "host-gw", "none". False and *ret_why (static text, what to do) for all others. */
bool netd_kind_parse(const char *s, enum netd_kind *ret, const char **ret_why);

#define NETD_VNI 1     /* as flannel's on Linux, so that firewalls need no new rule */
#define NETD_PORT 8472 /* UDP */
#define NETD_PROTO 202 /* rtm_protocol of our routes: 0xca, which nobody has registered */
/* A node whose pods are reached by another address than its InternalIP says so: "v4", "v4,v6". */
#define NETD_ADDRESSES "caravel.io/pod-network-addresses"

enum { NETD_V4, NETD_V6, NETD_FAMILIES };

static inline int netd_family(struct ip_addr a)
{
	return ip_is_v4(a) ? NETD_V4 : NETD_V6;
}

/* What a Node says. Missing: IP_NONE, and a range of IP_NONE. */
struct netd_node {
	struct ip_net range[NETD_FAMILIES];
	struct ip_addr addr[NETD_FAMILIES];
	int first; /* the family of its first range */
};
/* "v4", "v4,v6": what a flag says. False: it is something else. */
bool netd_cluster_parse(struct sv cidrs, struct ip_net ret[4], size_t *ret_n);
bool netd_ranges_cover(const struct ip_net *ranges, size_t n, struct ip_net net); /* no ranges: all that there is */
extern const char *const netd_node_paths[]; /* what is read of it: for object/keep.h */
void netd_node_read(const struct obj *node, struct netd_node *ret);
bool netd_node_same(const struct netd_node *a, const struct netd_node *b);

/* The kernel's side, as the backend sees it. */
struct netd_addr {
	struct ip_addr addr;
	int link; /* index */
};
struct netd_onlink {
	struct ip_net net; /* reached without a gateway */
	int link;
};
struct netd_machine {
	VEC(struct netd_addr) addrs;
	VEC(struct netd_onlink) onlink; /* of host-gw only */
	int mtu[NETD_FAMILIES];		/* of the link that our own Node's address is on; 0: it is on none */
	int link[NETD_FAMILIES];	/* and its index */
};
void netd_machine_release(struct netd_machine *m);
bool netd_machine_has(const struct netd_machine *m, struct ip_addr a);

/* The VXLAN device: made when the first peer is there. */
struct netd_device {
	bool wanted;
	uint8_t mac[6];
	int mtu;
	struct ip_addr local;		    /* of the underlay, whose family is that of all its packets */
	struct ip_addr vtep[NETD_FAMILIES]; /* its own addresses */
};
bool netd_device_same(const struct netd_device *a, const struct netd_device *b);

/* Whose packets carry the others: IPv4 where this node has it. */
int netd_underlay(const struct netd_node *self);
/* What pods may send at once, over an underlay of that MTU and family: 50 or 70 bytes less with VXLAN. 0 stays 0. */
int netd_pod_mtu(enum netd_kind kind, int family, int mtu);

/* An entry of the kernel: a key and its value. Bytes alone, no padding: keys are hashed as bytes. */
enum net_entry_type { NET_ROUTE = 1, NET_NEIGH, NET_FDB };
struct net_key {
	uint8_t type;
	uint8_t bits;	     /* of a route, as in struct ip_net; else 0 */
	uint8_t mac[6];	     /* of an FDB entry; else 0 */
	struct ip_addr addr; /* of routes and neighbours; else 0 */
};
struct net_value {
	struct ip_addr via; /* route: the gateway; FDB: the node; neighbour: 0 */
	uint8_t mac[6];	    /* neighbour; else 0 */
	uint16_t pad;	    /* 0 */
	int32_t link;	    /* a route on another link than the device; 0: on the device */
};
struct net_entry {
	struct net_key key;
	struct net_value value;
};
#define NETD_PEER_ENTRIES 5 /* two routes, two neighbours, one FDB entry */

struct netd_view {
	enum netd_kind kind;
	struct ip_net cluster[4]; /* none: every range is believed */
	size_t n_cluster;
	struct netd_node self;
	const struct netd_machine *machine;
};

/* What our own end has to be. False, *ret_why: it cannot be yet, or not here. */
bool netd_model_device(const struct netd_view *v, struct netd_device *ret, const char **ret_why);
/* The entries for one peer; *ret_why (static) when it, or one of its ranges, gets none for a reason that somebody
 * should hear of, else NULL. A peer without ranges or addresses is one that is just starting, and so are we without
 * ranges: none, and no reason. */
size_t netd_model_peer(const struct netd_view *v, const struct netd_node *peer, struct net_entry ret[NETD_PEER_ENTRIES],
		       const char **ret_why);
