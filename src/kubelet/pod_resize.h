/* pod_resize.h - a running pod is given the resources that its spec says now. */
#pragma once

#include "kubelet/kpod.h"
#include "kubelet/runtime.h"

/* The Linux resources of a container's configuration. */
void container_resources(const struct val *pod, const struct val *spec, struct rt_container_config *c);
/* What the sandbox itself may use beside them, and what they may use together. */
void pod_room(const struct val *pod, struct rt_sandbox_config *c);
/* Gives a running container what its spec says now; true when that needs a restart. */
bool container_resize_step(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec,
			   struct kcont *c, int64_t *wake_ns);
/* The pod's own cgroup follows what its spec says; after its containers. */
void pod_resize_step(struct kpod *p, const struct val *pod, int64_t *wake_ns);
/* It was started with what the spec says. */
void container_resources_given(const struct val *pod, const struct val *spec, struct kcont *c);
