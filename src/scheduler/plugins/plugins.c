#include "scheduler/plugins/plugins.h"

const struct plugin *const plugin_table[_PLUGIN_MAX] = {
	[PLUGIN_NODE_UNSCHEDULABLE] = &plugin_node_unschedulable,
	[PLUGIN_NODE_NAME] = &plugin_node_name,
	[PLUGIN_TAINT_TOLERATION] = &plugin_taint_toleration,
	[PLUGIN_NODE_AFFINITY] = &plugin_node_affinity,
	[PLUGIN_NODE_PORTS] = &plugin_node_ports,
	[PLUGIN_NODE_RESOURCES_FIT] = &plugin_node_resources_fit,
	[PLUGIN_NODE_VOLUME_LIMITS] = &plugin_node_volume_limits,
	[PLUGIN_VOLUME_BINDING] = &plugin_volume_binding,
	[PLUGIN_POD_TOPOLOGY_SPREAD] = &plugin_pod_topology_spread,
	[PLUGIN_INTER_POD_AFFINITY] = &plugin_inter_pod_affinity,
	[PLUGIN_NODE_DECLARED_FEATURES] = &plugin_node_declared_features,
	[PLUGIN_NODE_RESOURCES_BALANCED] = &plugin_node_resources_balanced,
	[PLUGIN_IMAGE_LOCALITY] = &plugin_image_locality,
};
