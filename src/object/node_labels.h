/* node_labels.h - the labels a node may not give itself.
 *
 * Pods are placed by labels: a kubelet says what its node is (architecture, zone, whatever else an operator likes), not
 * what may run on it. Everything of node-restriction.kubernetes.io is reserved, and of kubernetes.io and k8s.io all but
 * a short list and the domains kubelet.kubernetes.io and node.kubernetes.io.
 */
#pragma once

#include "base/base.h"

bool node_label_reserved(struct sv key);

/* Of a Node: the hash of the key that its agent has (net/key.h), which says so itself, at every start. Whoever asks for
 * a certificate of that name with another key is refused as long as the Node is there. NODE_KEY_SERVER: a server's own
 * node, which has no key. */
#define NODE_KEY_ANNOTATION "caravel.io/node-key"
#define NODE_KEY_SERVER "server"
