/* pod_stop.h - ends a pod's containers, a step at a time. */
#pragma once

#include "kubelet/kpod.h"
#include "kubelet/pod_actual.h"

/* One step; true when no container of the pod runs any more. grace_s < 0: the pod's own. */
bool pod_stop_step(struct kpod *p, const struct val *pod, const struct pod_actual *x, int64_t grace_s,
		   int64_t *wake_ns);
/* One container, e.g. for a failed liveness probe; true when it does not run. why: for the event of the first
 * step, NULL: nothing special. */
bool container_stop_step(struct kpod *p, const struct val *pod, const struct val *spec, const struct rt_container *rc,
			 const char *why, int64_t grace_s, int64_t *wake_ns);
