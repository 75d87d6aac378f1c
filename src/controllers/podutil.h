/* podutil.h - questions about a pod that every workload controller asks. Times are wall clock, ns. */
#pragma once

#include "base/arena.h"
#include "object/annotation.h"
#include "object/obj.h"

bool pod_is_ready(const struct obj *pod);
/* When the Ready condition became what it is; false when there is none. */
bool pod_ready_since(const struct obj *pod, int64_t *ret_ns);
/* Ready for min_ready_s seconds. When it is ready but not yet for long enough, *ret_wait_ns (may
 * be NULL) is lowered to the time left; 0 in it counts as "no wait yet". */
bool pod_is_available(const struct obj *pod, int64_t min_ready_s, int64_t now_ns, int64_t *ret_wait_ns);
bool pod_is_terminal(const struct obj *pod); /* phase Succeeded or Failed */
bool pod_is_active(const struct obj *pod);   /* neither terminal nor being deleted */
/* Being deleted and still holding resources. */
bool pod_is_terminating(const struct obj *pod);
int64_t pod_restarts(const struct obj *pod); /* of the container that restarted most */
int64_t pod_deletion_cost(const struct obj *pod);
/* Whether it may be told as an endpoint's or a load balancer's. A node writes its own addresses and its pods', and
 * every proxy serves what is told: no machine's loopback, for one. The API would refuse the others beside it, too. */
bool address_counts(struct sv ip);
struct sv pod_ip(const struct obj *pod, bool v6); /* of that family, "" when it has none */

/* int-or-percentage against total. False when v is neither. */
bool int_or_percent(const struct val *v, int64_t total, bool round_up, int64_t *ret);
/* The value of a label, "" when absent. */
struct sv label_of(const struct val *doc, const char *name);
/* For qsort(): struct obj * of one namespace, by name. */
int obj_by_name(const void *x, const void *y);
/* Is it in a list of strings? */
bool list_has_text(const struct val *list, struct sv text);
