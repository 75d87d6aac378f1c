/* plugins.h - the plugins, one file each; see scheduler/framework.h for what they may do. */
#pragma once

#include "scheduler/framework.h"

extern const struct plugin node_unschedulable, node_name, taint_toleration, node_affinity, node_ports,
    node_resources_fit, pod_topology_spread, inter_pod_affinity, node_resources_balanced, image_locality;

/* The first taint of n among [from, to) that no toleration covers, or NULL. */
const struct taint *untolerated_taint(const struct pod_shape *s, const struct node_info *n);
/* (allocatable - used) in hundredths, 0 when there is none. */
int64_t free_percent(int64_t allocatable, int64_t used);
