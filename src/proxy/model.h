/* model.h - what one Service asks of this node, as plain values (for a Pod's host ports see hostport.h).
 *
 *	Service + its EndpointSlices + who this node is ─▶ frontends, each with its endpoints
 *
 * A frontend is an address and port that clients use: the ClusterIP, an external or load balancer
 * address, or a node port (IP_NONE: any address of this node, of one family). Which endpoints it leads to
 * follows from readiness, from the traffic policies and from topology hints (KEP-1669 terminating
 * endpoints, KEP-2086 internalTrafficPolicy, KEP-2433 hints). Everything here is a function of
 * its inputs: no state, no I/O. Results live in the arena.
 *
 * A Service is served in the families of its cluster IPs, each by itself: addresses, slices and node ports of another
 * do not count. Ports are in host byte order.
 */
#pragma once

#include "base/arena.h"
#include "base/ip.h"
#include "object/obj.h"

#define PROXY_ENDPOINTS_MAX 60000 /* of one frontend; more are left out */
/* Of one Service: frontends with their endpoints and source ranges. Its author multiplies ports, externalIPs and
 * endpoints with each other on every node; what comes behind so many is left out. */
#define PROXY_ELEMENTS_MAX 200000

struct endpoint {
	struct ip_addr addr;
	uint16_t port;
	bool local; /* runs on this node */
};

struct endpoints {
	struct endpoint *p; /* sorted, without duplicates */
	size_t n;
};

struct frontend_key {
	struct ip_addr addr; /* IP_NONE: a node port */
	uint16_t port;
	uint8_t proto; /* IPPROTO_TCP, _UDP, _SCTP */
	uint8_t v6;    /* of a node port: IPv6's. Of others 0: the address says it */
};

static inline bool frontend_v6(const struct frontend_key *k)
{
	return ip_is_none(k->addr) ? k->v6 : !ip_is_v4(k->addr);
}

/* Whose connections get this node's address as their source, so that replies find the way back. */
enum masq_mode {
	MASQ_NONE,
	MASQ_OUTSIDE, /* those from outside the pod network */
	MASQ_ALL,
	MASQ_LOOPBACK, /* those from 127.0.0.0/8 or ::1: host ports */
	_MASQ_MAX
};

struct frontend {
	struct frontend_key key;
	bool cluster_ip;
	bool host_port;	     /* of a Pod: on every address of this node, whatever of these serve node ports */
	bool own_address;    /* counts only while the address is this node's: a host port with a hostIP */
	bool split;	     /* pods and this node itself use `inside` in place of `outer` */
	bool drop;	     /* without endpoints for this client: silence instead of a refusal */
	enum masq_mode masq; /* for outer; inside is always MASQ_OUTSIDE */
	uint32_t affinity_s; /* ClientIP affinity's timeout; 0: none */
	struct endpoints outer, inside;
	struct endpoints lasting; /* UDP, SCTP: all that serve, whatever policy and readiness say: their flows go on */
	struct ip_net *ranges;	  /* who may connect, without overlaps; of this family */
	size_t n_ranges;
	bool firewalled; /* ranges count, even none: a list without one of this family lets nobody of it in */
};

/* What is read of Services and slices, here and by the proxy's own marks: for object/keep.h. */
extern const char *const model_service_paths[], *const model_slice_paths[];

struct node_view {
	struct sv name, zone;
	/* Its ExternalIPs and InternalIPs. What is sent to the former may come to the latter, as clouds translate: a
	 * load balancer that has one of the former is served at the latter, too. */
	const struct ip_net *external, *internal;
	size_t n_external, n_internal;
	/* The cluster's names: each datagram is a question by itself. A client that has the port of an earlier one must
	 * not be led to the server that answered that, which may be gone while this one is asked. */
	bool questions;
	bool leaves; /* what serves here is about to end: it counts only where nothing else serves */
};

/* slices are those of svc. Frontends come in a fixed order, each key once. */
struct frontend *service_model(struct arena *a, const struct obj *svc, struct obj *const *slices, size_t n_slices,
			       const struct node_view *node, size_t *ret_n);

/* The port on which this node is to tell whether it has ready endpoints of the Service, and how many it has; 0: none.
 */
int service_health_port(const struct obj *svc, struct obj *const *slices, size_t n_slices, const struct node_view *node,
			size_t *ret_local);

int endpoint_cmp(const struct endpoint *a, const struct endpoint *b); /* by address and port */

/* An address of either family; "0.0.0.0" and "::", which nobody has, are IP_NONE. */
bool address_parse(struct sv s, struct ip_addr *ret);
bool proto_parse(struct sv s, uint8_t *ret); /* "TCP", "UDP", "SCTP"; "" is TCP */

/* At most one range of each family: [0] of IPv4, [1] of IPv6. */
struct families {
	struct ip_net net[2];
	bool has[2];
};
void families_add(struct families *f, struct ip_net net); /* unless there is one of its family */
/* The first of each family of a comma-separated list ("10.42.0.0/16,fd42::/48"); what is no range is left out. */
struct families families_parse(struct sv s);
