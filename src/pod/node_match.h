/* node_match.h - may a Pod of this spec be on this node? nodeSelector, node affinity, taints.
 *
 * What a spec asks of nodes is parsed once (struct node_want, views into the spec and the arena) and then asked of
 * each node. Scheduler, node agent and the DaemonSet controller share it. Pure.
 */
#pragma once

#include "base/arena.h"
#include "object/obj.h"

struct toleration {
	struct sv key, value, effect; /* "" : any */
	bool exists, known;	      /* known: the operator is one we understand */
};

struct toleration toleration_parse(const struct val *toleration); /* views into it */
bool toleration_covers(const struct toleration *t, struct sv key, struct sv value, struct sv effect);
bool tolerates_taint(const struct val *toleration, const struct val *taint);
/* False when a taint with the effect is not tolerated. */
bool tolerates_node(const struct val *tolerations, const struct obj *node, const char *effect);

enum node_op { NODE_IN, NODE_NOT_IN, NODE_EXISTS, NODE_NOT_EXISTS, NODE_GT, NODE_LT, NODE_NEVER };

/* One requirement on a node's labels, or (name set) on its name. */
struct node_req {
	enum node_op op;
	bool name;
	struct sv key;
	const struct sv *values;
	size_t n;
	int64_t bound;
};

struct node_term {
	const struct node_req *reqs; /* all must hold; none at all matches nothing */
	size_t n;
	int32_t weight; /* preferred terms */
};

struct node_want {
	bool required; /* selector or terms restrict the nodes */
	const struct node_req *selector;
	size_t n_selector;
	bool has_terms;
	const struct node_term *terms; /* one must match, when has_terms */
	size_t n_terms;
	const struct node_term *preferred;
	size_t n_preferred;
	struct sv only_node; /* required terms name exactly this node (DaemonSet Pods); else "" */
};

/* spec: a document with nodeSelector and affinity. */
void node_want_parse(struct arena *a, const struct val *spec, struct node_want *ret);
/* A NodeSelector by itself, as a PersistentVolume has one. NULL: any node. */
void node_want_parse_selector(struct arena *a, const struct val *node_selector, struct node_want *ret);
/* nodeSelector and required node affinity. */
bool node_want_matches(const struct node_want *w, const struct val *labels, struct sv name);
bool node_reqs_match(const struct node_req *r, size_t n, const struct val *labels, struct sv name);
