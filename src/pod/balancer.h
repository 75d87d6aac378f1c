/* balancer.h - which Services the built-in load balancer serves at the nodes' own addresses. Pure. */
#pragma once

#include "object/obj.h"
#include "pod/host_port.h"

/* Type LoadBalancer, without a loadBalancerClass or with ours. */
bool balancer_is_ours(const struct obj *svc);
/* Can a Pod not have this host port on a node where one has the port, nor the other way round? Those of loopback are in
 * nobody's way; other addresses of a node are not told apart. */
bool balancer_meets(const struct host_port *h);
