/* model.h - one NetworkPolicy taken apart, and whom it selects. Pure functions.
 *
 * What cannot be read (the API refuses such objects, but another version of it may have stored them) restricts as if it
 * could, and allows nothing.
 */
#pragma once

#include "base/ip.h"
#include "object/obj.h"
#include "object/selector.h"

enum netpol_dir { NETPOL_INGRESS, NETPOL_EGRESS, NETPOL_DIRS };
enum { NETPOL_PROTOS = 3 }; /* TCP, UDP, SCTP: in this order, wherever they are counted */

/* Both ends included. */
struct netpol_range {
	struct ip_addr lo, hi;
	bool v4; /* an IPv6 range may begin where mapped addresses do: its ends do not tell */
};

struct netpol_span {
	uint16_t lo, hi;
};

struct netpol_ports {
	bool all;		   /* of this protocol; the rest is empty then */
	struct netpol_span *spans; /* sorted, apart from each other */
	size_t n_spans;
	struct sv *names; /* sorted, once each */
	size_t n_names;
};

/* Pods by their labels, of namespaces by theirs. */
struct netpol_peer {
	const struct selector *pods, *namespaces;
	bool own_namespace; /* the policy's alone; namespaces is NULL then */
};

struct netpol_rule {
	bool any_peer, any_port;
	struct netpol_peer *peers;
	size_t n_peers;
	struct sv selection; /* what peers select, as text: equal ones, of any policy, have equal texts */
	struct netpol_range
	    *ranges; /* of all ipBlocks, less their exceptions; sorted by family, apart from each other */
	size_t n_ranges;
	struct netpol_ports ports[NETPOL_PROTOS];
};

struct netpol_policy {
	struct sv ns, name;
	const struct selector *pods; /* of its namespace */
	bool isolates[NETPOL_DIRS];
	struct netpol_rule *rules[NETPOL_DIRS];
	size_t n_rules[NETPOL_DIRS];
	size_t n_sets; /* different selections and names of ports */
	bool cut;      /* it has more than it may: what is over allows nothing */
};

/* Different selections and names of ports, of one policy and of all of a namespace's: a megabyte of names would hold up
 * the kernel's table for minutes, and with it everybody's policies. */
#define NETPOL_POLICY_SETS_MAX 200
#define NETPOL_NAMESPACE_SETS_MAX 2000

/* In a; strings are borrowed from o. sets_max: how many its namespace has left. */
void netpol_policy_read(struct arena *a, const struct obj *o, size_t sets_max, struct netpol_policy *ret);

/* Is it in one of the rule's ipBlocks? */
bool netpol_in_ranges(const struct netpol_rule *r, struct ip_addr ip);
bool netpol_peer_matches(const struct netpol_peer *p, struct sv policy_ns, struct sv pod_ns,
			 const struct val *pod_labels, const struct val *ns_labels);
/* What of Pods and Namespaces is read here, in known.c, sets.c and commit.c: for object/keep.h. */
extern const char *const netpol_pod_paths[], *const netpol_namespace_paths[];
/* What a pod's containers and sidecars call so; how many, at most max. */
size_t netpol_named_ports(const struct obj *pod, unsigned proto, struct sv name, uint16_t *ret, size_t max);
/* Is it on the pods' network, and has not ended? */
bool netpol_pod_speaks(const struct obj *pod);
/* Nothing that concerns us differs between two versions of a pod. */
bool netpol_pod_same(const struct obj *a, const struct obj *b);

extern const char *const netpol_proto_names[NETPOL_PROTOS]; /* "tcp" */
extern const uint8_t netpol_proto_numbers[NETPOL_PROTOS];   /* IPPROTO_TCP */
