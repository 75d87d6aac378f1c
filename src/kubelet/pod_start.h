/* pod_start.h - a pod's sandbox and the instances of its containers: configured, made, started. */
#pragma once

#include "kubelet/kpod.h"
#include "kubelet/pod_actual.h"

int pod_sandbox_start(struct kpod *p, struct arena *a, const struct val *pod, const struct pod_actual *x,
		      struct err *err);
/* Creates and starts an instance. On failure the wait reason is set as well. told: the newest status of the pod. */
int pod_container_start(struct kpod *p, struct arena *a, const struct val *pod, const struct val *told,
			const struct val *spec, const struct pod_actual *x, struct sv image_ref, struct err *err);
