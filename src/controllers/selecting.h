/* selecting.h - from a pod to the objects whose selector may match it, without looking at all of a namespace's.
 *
 * A selector that demands labels is found under one of them, the one that says most; a pod is asked for under each
 * label it has. What demands none (it has expressions only, or nothing) is found by every pod of the namespace.
 */
#pragma once

#include "client/informer.h"

#define INDEX_SELECTING "selecting"
/* Keys of an object by its spec.selector: a map of labels (Services, ReplicationControllers), or a LabelSelector. */
index_key_fn index_selecting_map, index_selecting_labels;

/* Those of the pod's namespace that may select labels, each once; the caller asks their selectors. informer has one of
 * the two indexes under INDEX_SELECTING. Held by the arena. */
struct obj **selecting(struct informer *i, struct arena *a, struct sv ns, const struct val *labels, size_t *ret_n);
