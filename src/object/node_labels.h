/* node_labels.h - the labels a node may not give itself.
 *
 * Pods are placed by labels: a kubelet says what its node is (architecture, zone, whatever else an operator likes), not
 * what may run on it. Everything of node-restriction.kubernetes.io is reserved, and of kubernetes.io and k8s.io all but
 * a short list and the domains kubelet.kubernetes.io and node.kubernetes.io.
 */
#pragma once

#include "base/base.h"

bool node_label_reserved(struct sv key);
