/* pod_state.h - how far a pod of this node has come, and what may follow.
 *
 *		    first sight, or adopted after a restart of the agent
 *				  │
 *				  ▼
 *	 spec changes, ┌───▶ POD_SYNC ────────────────┐
 *	 exits, probes └──────┘   │ deleted, deadline,  │ nothing left to run,
 *				  │ object gone	       │ nothing to restart
 *				  ▼		       │
 *			     POD_STOPPING ◀────────────┘
 *				  │ no container runs, sandbox stopped
 *				  ▼
 *			     POD_STOPPED  volumes and cgroup gone, final status written
 *				  │ object deleted (by us when it was being deleted)
 *				  ▼
 *			     POD_GONE	  containers, sandbox and logs removed; leaves the table
 *
 * Each state has one successor, so the table of edges is short, and stands in pod_state.c with why each is the only
 * one. A state is changed by pod_state_set() alone. An edge that is not there is a bug of ours, whatever pods,
 * runtimes and the API do: where tests run it ends the process, in a release it is logged and refused, and the pod
 * stays what it is.
 *
 * Threads: a pod's state is its sync's own. Whether it was taken is asked by other pods' syncs, too.
 */
#pragma once

#include <stdbool.h>

struct kpod;

enum pod_state { POD_SYNC, POD_STOPPING, POD_STOPPED, POD_GONE, _POD_STATE_MAX };

/* Has the pod a place on this node? Decided once (pod_admit.h), given up when nothing of it runs any more. */
enum pod_taken { TAKEN_UNKNOWN, TAKEN_YES, TAKEN_NO, _TAKEN_MAX };

const char *pod_state_name(enum pod_state s);
bool pod_state_may(enum pod_state from, enum pod_state to);
bool pod_taken_may(enum pod_taken from, enum pod_taken to);
bool pod_state_set(struct kpod *p, enum pod_state to); /* false: refused */
bool pod_taken_set(struct kpod *p, enum pod_taken to);
