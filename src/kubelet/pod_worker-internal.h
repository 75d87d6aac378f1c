/* pod_worker-internal.h - one run of a pod's sync as its parts see it: pod_worker.c decides what there is to do and has
 * the sandbox, pod_containers.c brings the containers to where they should be, pod_ending.c takes all of it away;
 * pod_sync.c is below these.
 *
 * A run belongs to one thread, and to one pod at a time (the queue's key).
 */
#pragma once

#include "kubelet/kpod.h"
#include "kubelet/pod_actual.h"

struct sync {
	struct kpod *p;
	struct kubelet *k;
	struct arena *a;
	struct obj *obj;
	const struct val *pod;
	struct pod_actual x;
	int64_t wake_ns; /* from now; NEVER_NS */
	bool vanished, refresh;
	bool changed; /* the runtime's side was changed: read again before writing the status */
};

/* pod_sync.c. Looks at the runtime's side again; each look is several calls, so only where something changed. */
int sync_look_again(struct sync *s, struct err *err);
void sync_wake(struct sync *s, int64_t ns); /* from now, at the latest */
bool sync_never_ran(const struct sync *s, const struct rt_container *rc);
void sync_network_is_gone(struct sync *s); /* its sandboxes are stopped */

/* Ephemeral containers (those of kubectl debug: started once, whatever the others do, and never again), then init
 * containers in order, then the others. */
void sync_containers(struct sync *s, struct err *err);

void sync_let_go(struct sync *s); /* of a pod that runs on without this agent (lost.h) */
int sync_stopping(struct sync *s, struct err *err);
int sync_stopped(struct sync *s, struct err *err);
