#include "scheduler/plugins/plugins.h"

const struct plugin *const plugin_table[_PLUGIN_MAX] = {
	[PLUGIN_NODE_UNSCHEDULABLE] = &node_unschedulable,
	[PLUGIN_NODE_NAME] = &node_name,
	[PLUGIN_TAINT_TOLERATION] = &taint_toleration,
	[PLUGIN_NODE_AFFINITY] = &node_affinity,
	[PLUGIN_NODE_PORTS] = &node_ports,
	[PLUGIN_NODE_RESOURCES_FIT] = &node_resources_fit,
	[PLUGIN_POD_TOPOLOGY_SPREAD] = &pod_topology_spread,
	[PLUGIN_INTER_POD_AFFINITY] = &inter_pod_affinity,
	[PLUGIN_NODE_RESOURCES_BALANCED] = &node_resources_balanced,
	[PLUGIN_IMAGE_LOCALITY] = &image_locality,
};
