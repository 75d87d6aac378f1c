/* node_usage.h - what kubelets say that their nodes and pods use: asked when somebody wants to know, kept for a while.
 *
 *	request ─▶ node_usage_wait() ─▶ GET NODE/stats/summary?only_cpu_and_memory=true, of many nodes at once
 *	                 └─ all have answered, or 5 s ─▶ node_usage_get()
 *
 * A node that answered, or did not, is not asked again within USAGE_KEEP_NS. Nobody asks while nobody wants to know. A
 * node's word is taken of itself and of what runs there alone, which the reader of a pod's numbers sees to (its uid).
 *
 * Bounds: USAGE_CALLS_MAX calls at once; an answer of at most USAGE_ANSWER_MAX bytes, of which what matters is kept.
 * Threads: any.
 */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "base/strmap.h"

#define USAGE_KEEP_NS (10 * NS_PER_SEC)
#define USAGE_TIMEOUT_NS (5 * NS_PER_SEC)
#define USAGE_CALLS_MAX 64
#define USAGE_ANSWER_MAX ((size_t)16 * 1024 * 1024)

/* At one moment, in the mean of a time before it. */
struct used {
	int64_t at_ns, window_ns;
	uint64_t nano_cores, bytes;
};

struct used_container {
	char *name; /* owned */
	struct used used;
};

/* Of a pod, each of whose containers is known. */
struct used_pod {
	VEC(struct used_container) containers;
};

/* What a node said; immutable, counted. */
struct node_usage {
	atomic_int refs;
	bool known; /* of the node itself */
	struct used node;
	struct strmap pods; /* uid -> struct used_pod *, owned */
};

struct node_usages *node_usages_new(struct apiserver *s);
struct node_usages *node_usages_free(struct node_usages *u); /* behind the end of all calls */
/* A step of q (steps.h): REQ_LATER while any of these nodes is asked, at most once for q; then 0. *waited: begins
 * false. */
int node_usage_wait(struct api_req *q, const struct sv *nodes, size_t n, bool *waited);
/* A reference, or NULL: it has not said anything lately. */
struct node_usage *node_usage_get(struct apiserver *s, struct sv node);
void node_usage_unref(struct node_usage *u);
/* Of an answer, any bytes. For tests and fuzzing, too. NULL with *err: it is none. */
struct node_usage *node_usage_parse(struct sv body, struct err *err);
