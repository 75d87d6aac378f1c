/* cache.h - the scheduler's picture of the cluster: nodes, and the Pods on them.
 *
 * It is ahead of the API: a Pod just placed is "assumed" on its node while its binding is
 * written, so that the next cycle counts it. What then happens to it:
 *
 *	          cache_assume            binding answered        informer reports it
 *	(queue) ──────────────▶ assumed ──────────────────▶ assumed, ──────────────────▶ on node
 *	   ▲                       │ binding failed          expiring │ nothing heard in time
 *	   └───────────────────────┴──────────────────────────────────┘
 *
 * A Pod may name a node that is not known (its Node object is late, or gone): such a node is kept
 * without an object, and takes no new Pods.
 *
 * One scheduling cycle runs under the scheduler's lock and reads this directly. Upstream copies
 * it into a snapshot first, because its cycles run without the lock; ours take so little time
 * that handing the lock over between two of them does the same for less.
 *
 * Questions about many Pods are answered by counters that every change keeps up to date:
 *	census	  how many Pods of a selection stand on each node
 *	standing  how many Pods on each node hold an affinity term that later Pods must respect
 *
 * Not thread-safe: the scheduler's lock protects it.
 */
#pragma once

#include "base/env.h"
#include "scheduler/balancers.h"
#include "scheduler/counts.h"
#include "scheduler/pod_info.h"
#include "scheduler/volumes.h"

struct taint {
	struct sv key, value, effect; /* views into the node's object */
	char *reason;		      /* "node(s) had untolerated taint {k: v}" */
	bool soft;		      /* PreferNoSchedule */
};

struct node_info {
	uint32_t slot;
	char *name;
	struct obj *obj; /* NULL: not known, only Pods on it are */
	const struct val *labels;
	bool unschedulable;
	unsigned features; /* declared: pod/node_features.h */
	struct taint *taints;
	size_t n_taints, n_hard_taints; /* hard ones first */
	struct resvec allocatable, requested;
	int64_t allowed_pods;
	int64_t nonzero[2];
	uint32_t n_pods;
	struct list pods;	 /* struct pod_info.on_node */
	struct host_ports ports; /* taken by Pods on it */
	uint32_t *topo;		 /* by topology key id: value id + 1, 0 when the label is missing */
	uint32_t *images;	 /* ids, sorted */
	size_t n_images;
	VEC(struct pod_info *) nominated;
	uint64_t generation; /* grows with every change */
};

struct census_list {
	struct census **p;
	size_t n, cap; /* a VEC */
};

struct cache_ns {
	char *name;
	unsigned refs;		     /* shapes */
	struct obj *obj;	     /* the Namespace, when known */
	struct list pods;	     /* struct pod_info.in_ns: on nodes */
	struct census_list censuses; /* that look at this namespace alone */
};

struct census {
	char *key;
	unsigned refs; /* shapes */
	struct arena arena;
	struct pod_sel *sels; /* a Pod is counted when all match */
	size_t n;
	struct sv owner; /* or, instead: Pods of this controller */
	struct cache_ns *ns;
	bool skip_deleting;
	struct counts counts;
};

enum standing_kind {
	STANDING_NEAR,	/* required affinity: draws matching Pods a little (hardPodAffinityWeight) */
	STANDING_APART, /* required anti-affinity: keeps matching Pods off */
	STANDING_WEIGHT /* preferred, of either sign */
};

struct standing {
	char *key;
	unsigned refs; /* shapes */
	struct arena arena;
	enum standing_kind kind;
	int32_t weight; /* negative: anti-affinity */
	uint32_t topo;
	struct pod_sel sel;
	struct counts counts;
};

struct topo_key {
	char *name;
	struct strmap values; /* label value -> struct topo_value * */
	VEC(uint32_t) free_ids;
	uint32_t n_ids; /* ids ever given: the size of an array by value id */
};

struct image {
	uint32_t id;
	int64_t size;
	uint32_t n_nodes;
};

struct cache {
	int64_t assume_ttl_ns;
	struct strmap nodes;	       /* name -> struct node_info * */
	VEC(struct node_info *) slots; /* by slot; NULL: free */
	VEC(struct node_info *) order; /* known nodes, zones taking turns */
	bool order_stale;
	struct strmap namespaces, shapes, censuses, owners, standings, images;
	struct census_list wide;	 /* censuses over several namespaces */
	VEC(struct standing *) standing; /* all, in order of appearance */
	VEC(struct topo_key) topo;
	struct volumes volumes;
	struct balancers balancers;
	struct strmap resources;  /* name -> id + 1 */
	VEC(char *) insufficient; /* by resource id: "Insufficient cpu" */
	VEC(char *) resource_names;
	uint32_t next_image;
	size_t n_pods;
	size_t n_nominated;
	struct list assumed;	      /* answered bindings, oldest first */
	struct pod_shape *last_shape; /* that was asked for, while it lives; else NULL */
	uint32_t topo_hostname, topo_zone;
	uint64_t generation;
};

#define CACHE_ASSUME_TTL_NS (15 * 60 * NS_PER_SEC)

void cache_init(struct cache *c);
void cache_release(struct cache *c); /* all Pods have been freed */

/* Node events, bits of enum sched_event (framework.h), into *ret_events. */
struct node_info *cache_set_node(struct cache *c, struct obj *o, uint32_t *ret_events);
bool cache_remove_node(struct cache *c, struct sv name);	     /* false: not known */
struct node_info *cache_node(const struct cache *c, struct sv name); /* NULL when not known */
/* Known nodes in the order to try them. View until the next node change. */
struct node_info **cache_order(struct cache *c, size_t *ret_n);

void cache_add_pod(struct cache *c, struct pod_info *p, struct sv node);
void cache_remove_pod(struct cache *c, struct pod_info *p);
/* A newer version of a Pod on a node; nothing is recounted unless its shape or state changed. */
void cache_update_pod(struct cache *c, struct pod_info *p, struct obj *o);
void cache_assume(struct cache *c, struct pod_info *p, struct node_info *n);
void cache_binding_done(struct cache *c, struct pod_info *p, int64_t now_ns); /* starts its expiry */
void cache_confirm(struct cache *c, struct pod_info *p);		      /* the API says so too */
struct pod_info *cache_expired(struct cache *c, int64_t now_ns);	      /* removed from its node; or NULL */
int64_t cache_next_expiry(const struct cache *c);			      /* 0: none */

/* Pods on a node for a while, as a thought: preemption and nominated Pods. Counters follow. */
void cache_put(struct cache *c, struct pod_info *p, struct node_info *n);
void cache_take(struct cache *c, struct pod_info *p);

void cache_nominate(struct cache *c, struct pod_info *p, struct sv node); /* "" withdraws */

struct cache_ns *cache_ns_get(struct cache *c, struct sv name); /* reference */
void cache_ns_unref(struct cache *c, struct cache_ns *ns);
void cache_set_namespace(struct cache *c, struct obj *o, bool gone);

/* --- names as numbers (cache_ids.c) --- */

#define TOPO_NOWHERE 2	   /* a label that no node has */
#define RESOURCE_NOWHERE 3 /* one that no node has */

uint32_t cache_resource(struct cache *c, struct sv name); /* id */
uint32_t cache_topo(struct cache *c, struct sv key);	  /* id */
/* The node had the labels was, and has now. */
void cache_node_topo(struct cache *c, struct node_info *n, uint32_t id, const struct val *was, const struct val *now);
void resvec_set(struct resvec *r, uint32_t id, int64_t v); /* grows (heap) */

/* --- censuses and standing terms (census.c) --- */

struct census *census_get(struct cache *c, const struct pod_sel *sels, size_t n, bool skip_deleting); /* reference */
struct census *census_of_owner(struct cache *c, struct pod_shape *s);				      /* reference */
void census_unref(struct cache *c, struct census *x);
struct standing *standing_get(struct cache *c, enum standing_kind kind, const struct affinity_term *t, int32_t weight);
void census_standing_unref(struct cache *c, struct standing *s);
void census_pod(struct cache *c, struct pod_info *p, int delta); /* p came to or goes from p->node */
void census_recount_wide(struct cache *c);			 /* namespaces' labels changed */
/* Adds counts, times weight, to dom (indexed by value id of topo, zeroed or accumulating). */
void counts_to_domains(const struct cache *c, const struct counts *counts, uint32_t topo, int64_t weight, int64_t *dom);
