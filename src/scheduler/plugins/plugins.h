/* plugins.h - the plugins, one file each; see scheduler/framework.h for what they may do. */
#pragma once

#include "scheduler/framework.h"

extern const struct plugin plugin_node_unschedulable, plugin_node_name, plugin_taint_toleration, plugin_node_affinity,
    plugin_node_ports, plugin_node_resources_fit, plugin_pod_topology_spread, plugin_inter_pod_affinity,
    plugin_node_resources_balanced, plugin_image_locality, plugin_volume_binding, plugin_node_declared_features,
    plugin_node_volume_limits;

/* The first taint of n that keeps the Pod away (NoSchedule, NoExecute) and that no toleration covers, or NULL. */
const struct taint *untolerated_taint(const struct pod_shape *s, const struct node_info *n);
/* (allocatable - used) in hundredths, 0 when there is none. */
