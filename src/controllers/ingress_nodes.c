#include "controllers/ingress_nodes.h"

#include "base/strmap.h"
#include "base/vec.h"
#include "controllers/podutil.h"
#include "object/annotation.h"
#include "object/condition.h"
#include "object/ingress_refs.h"

#include <stdlib.h>

bool ingress_node_serves(const struct obj *node, bool any_chosen)
{
	return annotation_of(obj_root(node), INGRESS_NODE_ANNOTATION).n &&
	       ingress_role_serves(ingress_node_role(obj_root(node)), any_chosen) && !obj_deleting(node) &&
	       condition_ready(obj_root(node));
}

bool ingress_node_has_port(const struct obj *node, int port)
{
	struct sv list = annotation_of(obj_root(node), INGRESS_NODE_ANNOTATION), one;
	int64_t n;

	while (sv_split(&list, ',', &one))
		if (sv_to_i64(one, &n) && n == port)
			return true;
	return false;
}

void ingress_node_ports(const struct obj *node, struct strmap *ret)
{
	struct sv list = annotation_of(obj_root(node), INGRESS_NODE_ANNOTATION), one;

	while (sv_split(&list, ',', &one))
		strmap_set(ret, one, ret);
}

bool ingress_node_changed(const struct obj *old, const struct obj *now)
{
	return ingress_node_serves(old, false) != ingress_node_serves(now, false) ||
	       ingress_node_role(obj_root(old)) != ingress_node_role(obj_root(now)) ||
	       !sv_eq(annotation_of(obj_root(old), INGRESS_NODE_ANNOTATION),
		      annotation_of(obj_root(now), INGRESS_NODE_ANNOTATION)) ||
	       !val_equal(obj_get(old, F_status, F_addresses), obj_get(now, F_status, F_addresses));
}

struct node_addresses {
	struct arena *a;
	struct strmap seen;
	VEC(struct sv) all;
};

static void node_addresses_add(struct node_addresses *to, const struct obj *node)
{
	const char *const types[] = { "ExternalIP", "InternalIP" };
	bool found = false;

	for (size_t t = 0; !found && t < ARRAY_LEN(types); t++)
		VAL_EACH(obj_get(node, F_status, F_addresses), addr) {
			struct sv ip = val_get_str(addr, F_address);

			if (!val_is(val_get(addr, F_type), types[t]) || !ip.n)
				continue;
			found = true;
			if (!strmap_has(&to->seen, ip))
				vec_push(&to->all, arena_sv(to->a, ip));
			strmap_set(&to->seen, ip, to);
		}
}

struct sv *ingress_node_addresses(struct arena *a, struct obj **nodes, size_t n,
				  bool (*want)(const struct obj *node, void *ctx), void *ctx, size_t *ret_n)
{
	struct node_addresses to = { .a = a, .seen = STRMAP_INIT };
	bool chosen = false;
	struct sv *ret;

	if (n > 1)
		qsort(nodes, n, sizeof(struct obj *), obj_by_name);
	for (size_t i = 0; i < n; i++)
		chosen |= ingress_node_role(obj_root(nodes[i])) == INGRESS_ROLE_CHOSEN;
	for (size_t i = 0; i < n; i++)
		if (ingress_node_serves(nodes[i], chosen) && (!want || want(nodes[i], ctx)))
			node_addresses_add(&to, nodes[i]);
	*ret_n = to.all.n;
	ret = ARENA_ARRAY(a, struct sv, to.all.n);
	if (to.all.n)
		memcpy(ret, to.all.p, to.all.n * sizeof(*ret));
	vec_release(&to.all);
	strmap_release(&to.seen);
	return ret;
}
