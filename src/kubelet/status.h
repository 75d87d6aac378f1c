/* status.h - what a Pod's status says, computed from its parts. Pure: no clock, no calls; table-tested.
 *
 * Phases and conditions follow the kubelet's documented meaning (pod lifecycle): Pending until every container
 * was started once; Running while something runs or will run again; Succeeded and Failed when nothing will.
 */
#pragma once

#include "base/arena.h"
#include "kubelet/runtime.h"

struct status_container {
	const struct val *spec;
	bool init, sidecar, ephemeral;
	const struct rt_container *cur, *prev; /* newest instance and the one before, NULL when there is none */
	int restart_count;
	const char *wait_reason, *wait_message;	    /* why the next instance does not start, or NULL */
	bool waiting;				    /* cur ended and a restart is being held back: show waiting */
	bool started, ready;			    /* by probes and hooks */
	struct sv term_message, prev_message;	    /* termination messages of cur and prev */
	const struct val *resources;		    /* what cur runs with; NULL: what its spec says */
	const char *resize_reason, *resize_message; /* why that is not what its spec says, or NULL */
};

struct status_input {
	const struct val *pod; /* with its previous status */
	const struct status_container *c;
	size_t n;				  /* init containers first, in spec order */
	const struct status_container *ephemeral; /* say nothing about the pod as a whole */
	size_t n_ephemeral;
	const char *host_ips; /* the node's, separated by blanks; NULL, "": not known */
	const struct sv *pod_ips;
	size_t n_pod_ips;
	bool sandbox_ready;
	bool terminal;		      /* no container will run again */
	const char *reason, *message; /* Failed by the kubelet itself (deadline, eviction), or NULL */
	bool overdue;		      /* its deadline is over: unready, also while something runs */
	bool refused;		      /* never taken: with reason, nothing is said of containers and conditions */
	int64_t now_ns, start_ns;
};

/* The status document. */
struct val *status_compute(struct arena *a, const struct status_input *in);
/* The merge that turns `old` into `want`, for a strategic merge patch of the status subresource: NULL when they
 * say the same. Conditions and addresses of others are left alone. */
struct val *status_patch(struct arena *a, const struct val *old, const struct val *want);
