#include "proxy/own_node.h"

#include <stdlib.h>

#define NETS_MAX 64 /* of a Node's own words */

const char *const own_node_paths[] = { "metadata labels topology.kubernetes.io/zone",
				       "spec podCIDR",
				       "spec podCIDRs",
				       "spec taints",
				       "status addresses",
				       NULL };

void nets_add(struct nets *n, struct ip_net net)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->v.n; i++) {
		if (ip_net_covers(n->v.p[i], net))
			return;
	}
	for (size_t i = 0; i < n->v.n; i++) {
		if (!ip_net_covers(net, n->v.p[i]))
			n->v.p[kept++] = n->v.p[i];
	}
	n->v.n = kept;
	vec_push(&n->v, net);
}

static void nets_add_text(struct nets *n, struct sv text)
{
	struct ip_net net;

	if (n->v.n < NETS_MAX && ip_net_parse(text, &net))
		nets_add(n, net);
}

struct families nets_families(const struct nets *n)
{
	struct families f;

	memset(&f, 0, sizeof(f)); /* compared as bytes */
	for (size_t i = 0; i < n->v.n; i++)
		families_add(&f, n->v.p[i]);
	return f;
}

static struct sv own_node_zone(const struct obj *node)
{
	return val_str(val_member_sv(obj_labels(node), SV("topology.kubernetes.io/zone")));
}

bool own_node_stays(const struct obj *node)
{
	VAL_EACH(obj_get(node, F_spec, F_taints), t) {
		if (val_is(val_get(t, F_key), "ToBeDeletedByClusterAutoscaler"))
			return false;
	}
	return !obj_deleting(node);
}

bool own_node_same(const struct obj *old, const struct obj *neu)
{
	return sv_eq(own_node_zone(old), own_node_zone(neu)) && own_node_stays(old) == own_node_stays(neu) &&
	       val_equal(obj_get(old, F_status, F_addresses), obj_get(neu, F_status, F_addresses)) &&
	       val_equal(obj_get(old, F_spec, F_podCIDRs), obj_get(neu, F_spec, F_podCIDRs)) &&
	       val_equal(obj_get(old, F_spec, F_podCIDR), obj_get(neu, F_spec, F_podCIDR));
}

void own_node_read(struct own_node *n, const struct obj *node)
{
	struct sv zone = own_node_zone(node);

	free(n->zone);
	n->zone = xstrndup(zone.p, zone.n);
	n->pods.v.n = n->internal.v.n = n->external.v.n = 0;
	VAL_EACH(obj_get(node, F_spec, F_podCIDRs), c)
		nets_add_text(&n->pods, val_str(c));
	if (n->pods.v.n == 0)
		nets_add_text(&n->pods, val_str(obj_get(node, F_spec, F_podCIDR)));
	VAL_EACH(obj_get(node, F_status, F_addresses), a) {
		if (val_is(val_get(a, F_type), "InternalIP"))
			nets_add_text(&n->internal, val_get_str(a, F_address));
		else if (val_is(val_get(a, F_type), "ExternalIP"))
			nets_add_text(&n->external, val_get_str(a, F_address));
	}
}

void own_node_release(struct own_node *n)
{
	free(n->zone);
	vec_release(&n->pods.v);
	vec_release(&n->internal.v);
	vec_release(&n->external.v);
}
