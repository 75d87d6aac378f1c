/* hostport.h - what one Pod's host ports ask of this node, as plain values.
 *
 *	Pod (spec.containers[*].ports[*].hostPort, status.podIPs) ─▶ frontends with one endpoint: the pod
 *
 * A host port is there from the moment the pod has an address until it has ended or is gone from the API,
 * whether the pod is ready or not. Without a hostIP it is a node port in all but name; with one it counts on
 * that address alone, and only while the address is this node's own: a pod cannot take traffic that merely
 * passes through. The pod sees its clients' addresses, except those no reply would find its way to: 127.0.0.1,
 * and its own. Pods on the host's network need nothing.
 *
 * A pod with addresses of both families has its ports in both, where no hostIP says which. A function of its input:
 * no state, no I/O. SCTP is treated as TCP and UDP are, and works where the
 * kernel tracks it (CONFIG_NF_CT_PROTO_SCTP).
 */
#pragma once

#include "proxy/model.h"

/* Cheap: whether it has any, now or later. Ports of a Pod never change. */
bool pod_has_host_ports(const struct obj *pod);
/* In the order of the Pod, each key once; results live in the arena. */
struct frontend *hostport_model(struct arena *a, const struct obj *pod, size_t *ret_n);
