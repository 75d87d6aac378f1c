/* podnet.h - keeps the pod network's CNI configuration in step with the node's pod CIDRs and MTU.
 *
 * The CIDR is assigned by the node IPAM controller some time after the node has registered; until the file is
 * written the runtime says NetworkReady=false and the node is not Ready.
 */
#pragma once

#include "base/buf.h"
#include "client/client.h"
#include "kubelet/runtime.h"

struct podnet;

struct podnet_opts {
	struct client *client;
	const char *data_dir, *node_name;
	struct runtime *runtime;
	/* What a pod of this Node may send at once; 0: as the plugins like. Asked whenever the configuration is looked
	 * at: it follows the machine's links. NULL: 0. */
	int (*mtu)(const struct obj *node, void *ctx);
	void *mtu_ctx;
};
/* Configuration in data_dir/cni/net.d, addresses in data_dir/cni/state; bridge named after data_dir. */
struct podnet *podnet_start(const struct podnet_opts *o, struct err *err);
/* Looks whether what the pods' network needs on this machine is still there (configuration, bridge, forwarding), and
 * puts it back. As bridge_repair(). For a worker task, now and then; one at a time. */
int podnet_repair(struct podnet *p, struct buf *said);
struct podnet *podnet_stop(struct podnet *p); /* the network stays */
