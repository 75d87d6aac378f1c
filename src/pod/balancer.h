/* balancer.h - which Services the built-in load balancer serves at the nodes' own addresses. Pure. */
#pragma once

#include "object/obj.h"

/* Type LoadBalancer, without a loadBalancerClass or with ours. */
bool balancer_is_ours(const struct obj *svc);
