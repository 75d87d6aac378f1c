/* elem.h - one element of one nftables map or set of ours, packed into 48 bytes.
 *
 * The desired state of a Service is a sorted array of these; what changed is the difference of two
 * such arrays. See render.h for how each looks to nft.
 */
#pragma once

#include "base/vec.h"
#include "proxy/model.h"

enum elem_table {
	ELEM_SERVICE_IPS, /* address . protocol . port : verdict */
	ELEM_NODEPORTS,	  /* protocol . port : verdict */
	ELEM_INSIDE_IPS,  /* the same two for clients on this node or in pods, where they differ */
	ELEM_INSIDE_NODEPORTS,
	ELEM_OWN_IPS,	  /* as the first, for addresses that count only while they are this node's */
	ELEM_HOSTPORTS,	  /* as the second, of Pods */
	ELEM_REFUSED_IPS, /* frontends without endpoints */
	ELEM_REFUSED_NODEPORTS,
	ELEM_ENDPOINTS, /* frontend . index : address . port; of TCP, then UDP, then SCTP */
	ELEM_NODEPORT_ENDPOINTS = ELEM_ENDPOINTS + 3,	/* the same three */
	ELEM_CLUSTER_IPS = ELEM_NODEPORT_ENDPOINTS + 3, /* addresses that lead nowhere but to services */
	ELEM_HAIRPINS,	    /* endpoints on this node, twice: those that may meet themselves */
	ELEM_GUARDED_IPS,   /* frontends with loadBalancerSourceRanges */
	ELEM_SOURCE_RANGES, /* frontend . client range */
	ELEM_POD_RANGES,    /* pod addresses of this node */
	ELEM_NODEPORT_IPS,  /* this node's addresses that serve node ports, where not all do */
	_ELEM_TABLE_MAX
};

/* Each of them exists twice: elem.table is an elem_table for IPv4, and that + ELEM_V6 for IPv6. */
#define ELEM_V6 _ELEM_TABLE_MAX

/* Index of the first endpoint for inside clients of a split frontend; those of the others start at 0. */
#define ELEM_INSIDE_BASE 65536

struct elem {
	struct ip_addr addr;
	struct ip_addr other; /* of an endpoint, or a source range */
	uint32_t idx;	      /* of the endpoint */
	uint16_t port;
	uint8_t proto, table;
	uint64_t val; /* a verdict, an endpoint's port, or the length of a range's prefix; 0 in sets */
};

enum verdict_kind {
	VERDICT_PICK,	  /* a random one of `count` endpoints */
	VERDICT_AFFINITY, /* the frontend's own chain */
	VERDICT_REFUSE,
	VERDICT_DROP,
};

struct verdict {
	enum verdict_kind kind;
	enum masq_mode masq;
	bool inside;
	uint32_t count;
};

static inline bool elem_v6(const struct elem *e)
{
	return e->table >= ELEM_V6;
}

static inline enum elem_table elem_table(const struct elem *e)
{
	return (enum elem_table)(elem_v6(e) ? e->table - ELEM_V6 : e->table);
}

static inline uint8_t elem_table_of(enum elem_table t, bool v6)
{
	return (uint8_t)(v6 ? t + ELEM_V6 : t);
}

struct verdict verdict_unpack(uint64_t val);
bool elem_has_verdict(const struct elem *e);
bool elem_has_endpoint(const struct elem *e);
/* Of the three tables that begin at `first`, the protocol's. */
enum elem_table elem_proto_table(enum elem_table first, uint8_t proto);

static inline struct endpoint elem_endpoint(const struct elem *e)
{
	return (struct endpoint){ .addr = e->other, .port = (uint16_t)e->val };
}

struct elems {
	VEC(struct elem) v;
};

int elem_cmp_key(const struct elem *a, const struct elem *b);
bool elem_same_value(const struct elem *a, const struct elem *b); /* of two with one key */
bool elems_equal(const struct elems *a, const struct elems *b);	  /* both sorted */
void elems_sort(struct elems *e);				  /* and drops repeated keys */

/* Appends what one frontend needs. An endpoint known at some index in `old` (sorted) stays there as far as
 * indexes below the new count allow, so that one endpoint's coming or going changes a few elements, not all. */
void elems_add_frontend(struct elems *out, const struct frontend *f, const struct elems *old);
/* And ranges of addresses, into a set of them. */
void elems_add_ranges(struct elems *e, enum elem_table t, const struct ip_net *p, size_t n);
