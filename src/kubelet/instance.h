/* instance.h - a container's instances: which one probes, hooks and stopping are about, and whether one ever ran. */
#pragma once

#include "kubelet/kpod.h"

struct rt_container;

/* A new instance: probes, hooks and stopping anew. Sync only. */
void kcont_reset(struct kpod *p, struct kcont *c, struct sv id);
/* Was it made, and never ran, as far as anybody knows? told: the newest status of the pod. */
bool instance_never_ran(const struct kcont *c, const struct val *told, const struct rt_container *rc);
