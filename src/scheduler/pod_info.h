/* pod_info.h - what the scheduler knows of a Pod: its shape, and the Pod itself.
 *
 * A shape is everything scheduling asks of a Pod (requests, ports, tolerations, affinity,
 * spread, labels, priority), parsed once into numbers and matchers. Pods made from one template
 * ask for the same, so they share one shape: a thousand replicas cost one parse, and what remains
 * per Pod is one small struct. Shapes are found by a text holding the fields they depend on and
 * nothing else, and live as long as a Pod has them.
 *
 * Everything here belongs to the scheduler's lock.
 */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "object/obj.h"
#include "object/selector.h"
#include "pod/host_port.h"
#include "pod/node_match.h"

struct cache;
struct cache_ns;
struct census;
struct standing;

/* Amounts by resource id (cache.h): thousandths of a core for cpu, else whole units. */
enum { RES_CPU, RES_MEMORY, RES_EPHEMERAL, RES_FIRST_OTHER };

struct resvec {
	int64_t *v;
	uint32_t n; /* resources from n on are 0 */
};

static inline int64_t resvec_get(const struct resvec *r, uint32_t id)
{
	return id < r->n ? r->v[id] : 0;
}

/* Which Pods a term speaks about: Pods of some namespaces with some labels. */
struct pod_sel {
	struct sv src; /* the JSON it was made from: its identity */
	const struct sv *namespaces;
	size_t n;
	const struct selector *by_ns; /* also namespaces with these labels; NULL: no */
	const struct selector *labels;
};

struct affinity_term {
	struct pod_sel sel;
	uint32_t topo; /* topology key's id */
	int32_t weight;
};

struct terms {
	struct affinity_term *p;
	size_t n;
};

struct spread {
	struct pod_sel sel;
	uint32_t topo;
	int32_t max_skew, min_domains;
	bool hard, honor_affinity, honor_taints;
	bool self;	       /* the Pod itself is of the counted kind */
	struct census *census; /* made when first needed */
};

struct pod_shape {
	char *key;	       /* in cache->shapes */
	const struct val *doc; /* the same, read */
	unsigned refs;
	struct arena arena;
	struct cache_ns *ns;
	const struct val *labels;
	struct sv owner; /* uid of the controller, or "" */
	int32_t priority;
	bool never_preempts;

	struct resvec req;
	int64_t nonzero[2]; /* cpu and memory, assuming a little where nothing was asked (scoring only) */
	struct host_port *ports;
	size_t n_ports;
	struct toleration *tolerations;
	size_t n_tolerations;
	struct sv *images; /* with tag */
	size_t n_images;

	struct node_want nodes;

	struct terms near, apart;		      /* required affinity and anti-affinity */
	struct terms near_preferred, apart_preferred; /* preferred */
	bool near_self;				      /* the Pod matches all its own required affinity terms */
	struct census *near_census;		      /* Pods matching all terms of near */
	struct census **apart_census, **near_preferred_census, **apart_preferred_census;
	struct spread *spread;
	size_t n_spread;
	struct census *owner_census; /* Pods of the same controller: default spreading */
	struct standing **standing;  /* what this Pod asks of later ones, once it runs */
	size_t n_standing;
};

struct job;

enum pod_place {
	POD_NOWHERE,	   /* being scheduled, or known only by name */
	POD_ACTIVE,	   /* in the queue: next */
	POD_BACKOFF,	   /* in the queue: waiting for a moment */
	POD_UNSCHEDULABLE, /* in the queue: waiting for an event */
	POD_GATED,	   /* in the queue: schedulingGates */
	POD_ON_NODE,	   /* in the cache; assumed until the API says so too */
};

struct pod_info {
	struct obj *obj;	 /* newest version seen */
	struct pod_shape *shape; /* reference */
	enum pod_place place;
	bool deleting;

	/* queue */
	size_t heap_at;
	struct list waiting; /* unschedulable or gated */
	uint64_t seq;	     /* order among equal priorities */
	int64_t queued_ns, backoff_until_ns, parked_ns;
	unsigned attempts;
	bool failed;	      /* POD_BACKOFF: after an error, in the heap of those */
	uint32_t rejected_by; /* bits of plugins */
	struct sv nominated;  /* node that preemption is making room on; "" none; owned */

	/* cache */
	struct node_info *node;
	struct list on_node, in_ns;
	bool assumed;
	struct list assumed_link;
	int64_t expires_ns; /* of an assumed Pod whose binding was answered; 0 before */
	bool binding;	    /* a binding is under way and holds a pointer to us */
	struct job *wanted; /* job that has not begun, or NULL (bind.c) */
	struct job *making; /* job whose API call is under way, or NULL */
	bool gone;	    /* deleted meanwhile: freed when the binding ends */
};

struct pod_info *pod_info_new(struct cache *c, struct obj *o);	       /* takes a reference of its own */
void pod_info_set(struct cache *c, struct pod_info *p, struct obj *o); /* a newer version of a Pod in no node */
struct pod_info *pod_info_free(struct cache *c, struct pod_info *p);

static inline struct sv pod_uid(const struct pod_info *p)
{
	return obj_uid(p->obj);
}

/* --- shapes --- */

struct pod_shape *pod_shape_get(struct cache *c, const struct val *pod); /* reference */
/* The shape that p has when it becomes neu. */
struct pod_shape *pod_shape_after(struct cache *c, const struct pod_info *p, const struct val *neu); /* reference */
void pod_shape_unref(struct cache *c, struct pod_shape *s);

/* Makes sel from its src text in arena a. */
void pod_sel_init(struct arena *a, struct pod_sel *sel, struct sv src);
bool pod_sel_matches(const struct pod_sel *sel, const struct cache_ns *ns, const struct val *labels);
