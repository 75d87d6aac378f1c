#include "pod/balancer.h"

#define BALANCER_CLASS "caravel.io/service-lb"

bool balancer_is_ours(const struct obj *svc)
{
	struct sv class = val_str(obj_get(svc, F_spec, F_loadBalancerClass));

	return val_is(obj_get(svc, F_spec, F_type), "LoadBalancer") && (!class.n || sv_is(class, BALANCER_CLASS));
}
