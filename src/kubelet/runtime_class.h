/* runtime_class.h - how the runtime is to run a pod: the handler that its RuntimeClass names (KEP-585).
 *
 * A class is looked up when a sandbox is made, in a local copy that the first pod with a class begins, so that such a
 * pod comes back while the API is away; what the copy does not have (yet) is asked of the API. Whether the runtime
 * knows the handler, the runtime says. Pods that wait for a class are kicked when one comes or changes.
 *
 * Threads: any.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "kubelet/runtime.h"

struct kubelet;
struct runtime_classes;

struct runtime_classes *runtime_classes_new(struct kubelet *k);
struct runtime_classes *runtime_classes_free(struct runtime_classes *c); /* no handler runs after */

/* The handler, in the arena, of the class of that name; of none ("") it is "", the runtime's own choice. ERR_NOT_FOUND:
 * there is no such class. */
int runtime_class_handler(struct runtime_classes *c, struct arena *a, struct sv name, struct sv *ret, struct err *err);
/* The same, and what can be asked of it, as the runtime says now; of a handler that it does not tell of: nothing. */
int runtime_class_look(struct runtime_classes *c, struct arena *a, struct sv name, struct rt_handler *ret,
		       struct err *err);
