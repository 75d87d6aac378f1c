#include "ingress/nodes.h"

#include "base/ip.h"
#include "object/annotation.h"
#include "object/condition.h"
#include "object/ingress_refs.h"

const char *const ing_node_paths[] = { "metadata annotations " INGRESS_NODE_ANNOTATION,
				       "metadata labels " INGRESS_NODE_LABEL,
				       "metadata deletionTimestamp",
				       "status addresses",
				       "status conditions",
				       NULL };

struct sv ing_node_ports(const struct obj *node)
{
	return annotation_of(obj_root(node), INGRESS_NODE_ANNOTATION);
}

static bool node_is_ready(const struct obj *node)
{
	return !obj_deleting(node) && condition_ready(obj_root(node));
}

bool ing_node_changed(const struct obj *old, const struct obj *now)
{
	return !sv_eq(ing_node_ports(old), ing_node_ports(now)) || node_is_ready(old) != node_is_ready(now) ||
	       ingress_node_role(obj_root(old)) != ingress_node_role(obj_root(now)) ||
	       !val_equal(obj_get(old, F_status, F_addresses), obj_get(now, F_status, F_addresses));
}

struct ing_part ing_part_of(struct obj *const *nodes, size_t n, struct sv own)
{
	struct sv first[2] = { SV_NULL, SV_NULL }; /* of those that say they serve, and of those that do not */
	struct ing_part ret = { .serves = false };
	bool chosen = false;

	for (size_t i = 0; i < n; i++)
		chosen |= ingress_node_role(obj_root(nodes[i])) == INGRESS_ROLE_CHOSEN;
	for (size_t i = 0; i < n; i++) {
		struct sv name = obj_name(nodes[i]), *at = &first[ing_node_ports(nodes[i]).n ? 0 : 1];

		if (!ingress_role_serves(ingress_node_role(obj_root(nodes[i])), chosen))
			continue;
		ret.serves |= sv_eq(name, own);
		if (node_is_ready(nodes[i]) && (!at->p || sv_cmp(name, *at) < 0))
			*at = name;
	}
	ret.tells = sv_eq(first[first[0].p ? 0 : 1], own);
	return ret;
}

bool ing_is_balancer(const struct obj *svc)
{
	return val_len(obj_get(svc, F_spec, F_externalIPs)) ||
	       (val_is(obj_get(svc, F_spec, F_type), "LoadBalancer") &&
		val_len(obj_get(svc, F_status, F_loadBalancer, F_ingress)));
}

/* However it is spelled: the proxy reads it, too. */
static bool nodes_is(struct sv text, struct ip_addr ip)
{
	struct ip_addr other;

	return ip_parse(text, &other) && ip_eq(other, ip);
}

static bool nodes_balancer_has(const struct obj *svc, struct ip_addr address)
{
	VAL_EACH(obj_get(svc, F_spec, F_externalIPs), ip)
		if (nodes_is(val_str(ip), address))
			return true;
	if (val_is(obj_get(svc, F_spec, F_type), "LoadBalancer"))
		VAL_EACH(obj_get(svc, F_status, F_loadBalancer, F_ingress), in)
			if (nodes_is(val_get_str(in, F_ip), address))
				return true;
	return false;
}

void ing_balancer_keys(const struct obj *o, struct index_keys *ret)
{
	if (!ing_is_balancer(o))
		return;
	VAL_EACH(obj_get(o, F_spec, F_ports), p)
		if (!val_get(p, F_protocol) || val_is(val_get(p, F_protocol), "TCP"))
			index_keys_add(ret, arena_svf(&ret->arena, "%d", (int)val_get_int(p, 0, F_port)));
}

const struct obj *ing_balancer_at(const struct obj *node, struct obj *const *services, size_t n)
{
	struct ip_addr ip;

	for (size_t i = 0; i < n; i++)
		VAL_EACH(obj_get(node, F_status, F_addresses), addr)
			if (ip_parse(val_get_str(addr, F_address), &ip) && nodes_balancer_has(services[i], ip))
				return services[i];
	return NULL;
}
