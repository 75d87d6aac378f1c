#include "pod/balancer.h"

#include "base/ip.h"

#define BALANCER_CLASS "caravel.io/service-lb"

bool balancer_is_ours(const struct obj *svc)
{
	struct sv class = val_str(obj_get(svc, F_spec, F_loadBalancerClass));

	return val_is(obj_get(svc, F_spec, F_type), "LoadBalancer") && (!class.n || sv_is(class, BALANCER_CLASS));
}

bool balancer_meets(const struct host_port *h)
{
	struct ip_addr ip;

	return !ip_parse(h->ip, &ip) || !ip_is_loopback(ip);
}
