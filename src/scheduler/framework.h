/* framework.h - the contract between the scheduling cycle and its plugins.
 *
 * A plugin is a constant table of functions, each for one point of the cycle; it leaves out the
 * points it has no part in. It keeps no state of its own: what it works out for one Pod at
 * prefilter or prescore lives in the cycle's arena, reached through cycle_state.data[plugin].
 *
 *	prefilter ─▶ filter (each node) ─▶ prescore ─▶ score (each node) ─▶ normalize ─▶ (assume, bind)
 *	     └──────────────┴─▶ (no node) postfilter: preemption
 *
 * To add one: a file under plugins/, an entry in enum plugin_id and in plugin_table (plugins.c),
 * the events that may help a Pod it rejected, and a table test.
 *
 * Reserve, permit and prebind are not points here. A Pod whose claims wait for a node is not held while they bind: the
 * claims are told the node (volumes.h), the node is promised to the Pod, and when they are bound it goes through
 * another cycle.
 *
 * Threads: everything is called under the scheduler's lock.
 */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "scheduler/cache.h"

enum sched_outcome {
	SCHED_OK,
	SCHED_SKIP,	     /* prefilter, prescore: this plugin has nothing to say about this Pod */
	SCHED_UNSCHEDULABLE, /* not now: other Pods going away could help */
	SCHED_UNRESOLVABLE,  /* not here, whatever Pods go away: preemption need not look */
	SCHED_ERROR
};

/* What happens in the cluster, as bits: a rejected Pod waits until something happens that may
 * help it (queueing hints). */
enum sched_event {
	EV_NODE_ADD = 1 << 0,
	EV_NODE_ALLOCATABLE = 1 << 1,
	EV_NODE_LABELS = 1 << 2,
	EV_NODE_TAINTS = 1 << 3, /* and spec.unschedulable */
	EV_NODE_DELETE = 1 << 4,
	EV_POD_ADD = 1 << 5,	/* a Pod was assigned */
	EV_POD_UPDATE = 1 << 6, /* an assigned Pod's labels or requests changed, or it began to terminate */
	EV_POD_DELETE = 1 << 7, /* an assigned Pod is gone */
	EV_NAMESPACE = 1 << 8,
	EV_CLAIM = 1 << 9,     /* a PersistentVolumeClaim came or changed */
	EV_VOLUME = 1 << 10,   /* a PersistentVolume, a StorageClass or what drivers say did; a VolumeAttachment went */
	EV_BALANCER = 1 << 11, /* a load balancer left a port of a node */
	EV_NODE_FEATURES = 1 << 12, /* status.declaredFeatures */
	EV_NODE_ANY = EV_NODE_ADD | EV_NODE_ALLOCATABLE | EV_NODE_LABELS | EV_NODE_TAINTS | EV_NODE_FEATURES,
};

struct sched_change {
	uint32_t what;		      /* bits */
	const struct node_info *node; /* of node events, as it is now; NULL for deleted ones */
	const struct pod_info *pod;   /* of Pod events */
	const struct obj *claim;      /* of EV_CLAIM */
};

enum plugin_id {
	PLUGIN_NODE_UNSCHEDULABLE,
	PLUGIN_NODE_NAME,
	PLUGIN_TAINT_TOLERATION,
	PLUGIN_NODE_AFFINITY,
	PLUGIN_NODE_PORTS,
	PLUGIN_NODE_RESOURCES_FIT,
	PLUGIN_NODE_VOLUME_LIMITS,
	PLUGIN_VOLUME_BINDING,
	PLUGIN_POD_TOPOLOGY_SPREAD,
	PLUGIN_INTER_POD_AFFINITY,
	PLUGIN_NODE_DECLARED_FEATURES,
	PLUGIN_NODE_RESOURCES_BALANCED,
	PLUGIN_IMAGE_LOCALITY,
	_PLUGIN_MAX
};

#define REASONS_MAX 64 /* distinct reasons of one cycle; further ones are not told */
#define NODE_SCORE_MAX 100

struct reason {
	const char *text; /* constant, or lives as long as the cache is unchanged */
	uint32_t nodes;
};

/* One Pod's way through the cycle. */
struct cycle_state {
	struct cache *cache;
	struct pod_info *pod;
	const struct pod_shape *shape;
	struct arena *arena;
	void *data[_PLUGIN_MAX];
	uint32_t skip_filter, skip_score; /* bits of plugins */
	const struct node_info *only;	  /* prefilter: no other node can do */
	bool none;			  /* prefilter: no node can do */
	uint32_t only_by;		  /* bit of the plugin that said so */
	struct sv no_node_because;	  /* prefilter: why none can, where it is not for the nodes' sake */

	uint32_t rejected_by; /* bits of the plugins that rejected a node */
	const char *why[16];  /* the node under way: reasons of its rejection */
	unsigned n_why;
	struct reason reasons[REASONS_MAX];
	unsigned n_reasons;
	uint8_t *outcome; /* enum sched_outcome by node slot; SCHED_OK where not tried */
	uint64_t chance;  /* for ties; from env_random, once a cycle */
	struct env *env;  /* for the clock of metrics; NULL: nobody measures */
	int64_t score_from_ns;

	/* For preemption only: the PodDisruptionBudgets there are. */
	struct obj *const *budgets;
	size_t n_budgets;
};

struct plugin {
	const char *name; /* as in upstream's configuration */
	uint32_t events;  /* that may make a Pod it rejected schedulable */
	int weight;	  /* of its score */

	/* May this change help p, which the plugin rejected? NULL: every one of `events` may. */
	bool (*hint)(struct cache *c, const struct pod_info *p, const struct sched_change *change);

	enum sched_outcome (*prefilter)(struct cycle_state *cs);
	/* No allocation here. A rejection names its reasons with cycle_why(). */
	enum sched_outcome (*filter)(struct cycle_state *cs, const struct node_info *n);
	/* What prefilter counted, after `other` was put on n (+1) or taken off (-1) as a thought. */
	void (*pod_moved)(struct cycle_state *cs, const struct pod_info *other, const struct node_info *n, int delta);

	enum sched_outcome (*prescore)(struct cycle_state *cs, struct node_info *const *nodes, size_t n);
	int64_t (*score)(struct cycle_state *cs, const struct node_info *n);
	/* Brings scores (one for each of nodes) into 0..NODE_SCORE_MAX. NULL: they are. */
	void (*normalize)(struct cycle_state *cs, struct node_info *const *nodes, int64_t *scores, size_t n);
};

extern const struct plugin *const plugin_table[_PLUGIN_MAX]; /* in the order filters run */

static inline void cycle_why(struct cycle_state *cs, const char *text)
{
	if (cs->n_why < ARRAY_LEN(cs->why))
		cs->why[cs->n_why++] = text;
}

/* Begins a cycle for p: runs prefilter. Not SCHED_OK: no node can do, or a plugin failed. */
enum sched_outcome cycle_begin(struct cycle_state *cs, struct cache *c, struct pod_info *p, struct arena *a);
/* The same, also with the Pods that were promised this node and go first. */
enum sched_outcome cycle_filter_nominated(struct cycle_state *cs, struct node_info *n);
void cycle_count_reason(struct cycle_state *cs, const char *text, uint32_t nodes);
void cycle_count_reasons(struct cycle_state *cs, uint32_t nodes); /* cs->why into cs->reasons */
/* Puts other on n (delta 1) or takes it off (-1) as a thought, in the cache and for the plugins. */
void cycle_move_pod(struct cycle_state *cs, struct pod_info *other, struct node_info *n, int delta);
/* How many feasible nodes are enough in a cluster of n (percentageOfNodesToScore 0: adaptive). */
size_t cycle_enough(size_t n);
/* The node for the Pod, or NULL with the reasons in cs. *start rotates over the nodes. */
struct node_info *cycle_find(struct cycle_state *cs, size_t *start);
/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {k: v}." */
struct sv cycle_message(struct cycle_state *cs);

/* VolumeBinding: what the Pod's claims are to be told now that it goes to n. Empty: they are all bound. */
void volume_binding_work(struct cycle_state *cs, const struct node_info *n, claim_works *ret);

/* 100 for the highest score (or, reversed, the lowest), the others in proportion. */
void normalize_to_max(int64_t *scores, size_t n, bool reverse);

/* Preemption (postfilter): the node to make room on and the Pods to delete there, or NULL with why. */
struct preemption {
	struct node_info *node;
	struct pod_info **victims;
	size_t n;
	struct sv message; /* "preemption: 0/3 nodes are available: ..." when there is none */
};
bool preemption_find(struct cycle_state *cs, struct preemption *ret);
