#include "scheduler/balancers.h"

#include "base/buf.h"
#include "base/vec.h"
#include "pod/balancer.h"

#include <stdlib.h>

void balancers_release(struct balancers *b)
{
	STRMAP_EACH(&b->services, e)
		obj_unref(e->value);
	strmap_release(&b->services);
}

static const struct val *balancer_ingress(const struct obj *svc)
{
	return obj_get(svc, F_status, F_loadBalancer, F_ingress);
}

bool balancers_set(struct balancers *b, struct obj *svc, bool deleted)
{
	_cleanup_(buf_release) struct buf buf = BUF_INIT;
	struct sv key = obj_path(&buf, obj_ns(svc), obj_name(svc));
	bool has = !deleted && balancer_is_ours(svc) && val_len(balancer_ingress(svc)) > 0, left;
	struct obj *old = strmap_get(&b->services, key);

	left = old && (!has || !val_equal(balancer_ingress(old), balancer_ingress(svc)) ||
		       !val_equal(obj_get(old, F_spec, F_ports), obj_get(svc, F_spec, F_ports)));
	if (has)
		strmap_set(&b->services, key, obj_ref(svc));
	else if (old)
		strmap_del(&b->services, key);
	obj_unref(old);
	return left;
}

static struct sv balancer_port(struct buf *b, struct sv protocol, int64_t port)
{
	buf_clear(b);
	buf_printf(b, "%lld/", (long long)port);
	buf_addsv(b, protocol.n ? protocol : SV("TCP"));
	return buf_sv(b);
}

static bool balancer_has_one(const struct obj *svc, const struct strmap *ports)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(obj_get(svc, F_spec, F_ports), p)
		if (strmap_has(ports, balancer_port(&b, val_get_str(p, F_protocol), val_get_int(p, 0, F_port))))
			return true;
	return false;
}

size_t balancers_addresses(const struct balancers *b, struct arena *a, const struct host_port *ports, size_t n,
			   struct ip_addr **ret)
{
	_cleanup_(strmap_release) struct strmap wanted = STRMAP_INIT;
	_cleanup_(buf_release) struct buf buf = BUF_INIT;
	VEC(struct ip_addr) found = VEC_INIT;
	size_t found_n;

	for (size_t i = 0; i < n && b->services.n > 0; i++)
		if (balancer_meets(&ports[i]))
			strmap_set(&wanted, balancer_port(&buf, ports[i].protocol, ports[i].port), &wanted);
	if (wanted.n > 0)
		STRMAP_EACH(&b->services, e) {
			struct ip_addr ip;

			if (!balancer_has_one(e->value, &wanted))
				continue;
			VAL_EACH(balancer_ingress(e->value), in)
				if (ip_parse(val_get_str(in, F_ip), &ip))
					vec_push(&found, ip);
		}
	if (found.n > 1)
		qsort(found.p, found.n, sizeof(*found.p), ip_order);
	found_n = found.n;
	*ret = ARENA_ARRAY(a, struct ip_addr, found_n + 1);
	for (size_t i = 0; i < found_n; i++)
		(*ret)[i] = found.p[i];
	vec_release(&found);
	return found_n;
}

bool balancers_on_node(const struct obj *node, const struct ip_addr *addresses, size_t n)
{
	struct ip_addr ip;

	if (n > 0)
		VAL_EACH(obj_get(node, F_status, F_addresses), address)
			if (ip_parse(val_get_str(address, F_address), &ip) &&
			    bsearch(&ip, addresses, n, sizeof(*addresses), ip_order))
				return true;
	return false;
}
