/* model.h - one NetworkPolicy taken apart, and whom it selects. Pure functions.
 *
 * What cannot be read (the API refuses such objects, but other versions of it may have stored them) allows nothing and
 * selects what it would select without it: restrictions stay, permissions go.
 */
#pragma once

#include "base/ip.h"
#include "object/obj.h"
#include "object/selector.h"

enum netpol_dir { NETPOL_INGRESS, NETPOL_EGRESS, NETPOL_DIRS };

/* Both ends included, and both of one family. */
struct netpol_range {
	struct ip_addr lo, hi;
};

struct netpol_ports {
	uint8_t proto;	  /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	bool all;	  /* of this protocol; the rest is empty then */
	struct netpol_span {
		uint16_t lo, hi;
	} *spans; /* sorted, apart from each other */
	size_t n_spans;
	struct sv *names; /* sorted, once each */
	size_t n_names;
};

/* Pods that other pods are allowed to speak with: those that one of these selects. */
struct netpol_peer {
	const struct selector *pods;	   /* NULL: all of the namespaces */
	const struct selector *namespaces; /* NULL: the policy's own alone */
};

struct netpol_rule {
	bool any_peer, any_port;
	struct netpol_peer *peers;
	size_t n_peers;
	struct sv selection;	     /* of equal ones the same bytes; "" without peers */
	struct netpol_range *ranges; /* of all ipBlocks, less their exceptions; sorted, apart from each other */
	size_t n_ranges;
	struct netpol_ports ports[3]; /* TCP, UDP, SCTP: in this order; empty ones allow nothing */
};

struct netpol_policy {
	struct sv ns, name;
	const struct selector *pods; /* never NULL; what it selects of its namespace */
	bool isolates[NETPOL_DIRS];
	struct netpol_rule *rules[NETPOL_DIRS];
	size_t n_rules[NETPOL_DIRS];
};

/* Everything in a, strings and selectors borrowed from o where they can be. */
void netpol_policy_read(struct arena *a, const struct obj *o, struct netpol_policy *ret);

/* ns_labels: NULL when the namespace is not known: as one without labels. */
bool netpol_peer_matches(const struct netpol_peer *p, struct sv policy_ns, struct sv pod_ns, const struct val *pod_labels,
			 const struct val *ns_labels);
/* What a pod calls so, by its containers and sidecars; how many, at most max. */
size_t netpol_named_ports(const struct obj *pod, uint8_t proto, struct sv name, uint16_t *ret, size_t max);
/* Is it a pod on the pods' network that has not ended? */
bool netpol_pod_speaks(const struct obj *pod);
const char *netpol_proto_name(uint8_t proto); /* "tcp" */
