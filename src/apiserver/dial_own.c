/* This server's own addresses, which nobody may send it to. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/dial_address.h"

const struct dial_own *dial_own(struct apiserver *s, struct dial_own *ret)
{
	*ret = (struct dial_own){
		.addresses = s->o.own_addresses,
		.port = s->o.advertise_port,
		.loopback_node = s->o.loopback_node_ip,
	};
	return ret;
}
