/* node_match.h - may a pod of this spec be on this node? nodeName, nodeSelector, required node
 * affinity, taints: what a DaemonSet decides before there is a pod for a scheduler to look at. */
#pragma once

#include "object/obj.h"

bool tolerates_taint(const struct val *toleration, const struct val *taint);
/* False when a taint with the effect is not tolerated. */
bool tolerates_node(const struct val *tolerations, const struct obj *node, const char *effect);
bool node_selected(const struct val *pod_spec, const struct obj *node);
