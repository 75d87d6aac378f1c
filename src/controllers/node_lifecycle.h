/* node_lifecycle.h - the parts of the node lifecycle controller, shared by node_*.c, and what others ask of a lost
 * node.
 *
 * Taints of a node are decided from its conditions; who must leave because of them is decided by
 * taint_eviction.c, which looks at the taints alone.
 */
#pragma once

#include "base/arena.h"
#include "object/obj.h"

#define TAINT_NOT_READY "node.kubernetes.io/not-ready"
#define TAINT_UNREACHABLE "node.kubernetes.io/unreachable"

/* The taints that the node's conditions and spec ask for, laid over those it has: taints that are
 * not this controller's business stay. no_execute: NULL, or the key to set with that effect; the
 * other one is removed. False when nothing changes. */
bool node_taints(struct arena *a, const struct obj *node, const char *no_execute, int64_t now_ns, struct val **ret);
/* Does its admin say that it is switched off (taint node.kubernetes.io/out-of-service)? */
bool node_out_of_service(const struct obj *node);
