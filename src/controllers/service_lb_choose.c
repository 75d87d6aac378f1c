/* Which nodes a Service of type LoadBalancer gets, and so which addresses: the rules are at the top of service_lb.c. */
#include "base/buf.h"
#include "base/ip.h"
#include "controllers/podutil.h"
#include "controllers/service_lb-internal.h"
#include "controllers/status.h"
#include "object/annotation.h"
#include "object/ingress_refs.h"
#include "object/slice.h"

#include <stdlib.h>

#define LABEL_EXCLUDE "node.kubernetes.io/exclude-from-external-load-balancers"
#define LB_PORTS_MAX 1000 /* of a Service: each is claimed on every node, and gone for everybody else */

bool lb_is_local(const struct obj *svc)
{
	return val_is(obj_get(svc, F_spec, F_externalTrafficPolicy), "Local");
}

/* --- which nodes --- */

bool lb_node_ready(const struct obj *node)
{
	return !obj_deleting(node) && condition_ready(obj_root(node)) &&
	       !val_member_sv(obj_labels(node), SV(LABEL_EXCLUDE));
}

/* k3s's, or ours of the same name. */
static struct sv lb_label(const struct obj *o, const char *k3s, const char *own)
{
	struct sv v = label_of(obj_root(o), own);

	return v.n ? v : label_of(obj_root(o), k3s);
}

static struct sv lb_enabled(const struct obj *node)
{
	return lb_label(node, "svccontroller.k3s.cattle.io/enablelb", "caravel.io/enablelb");
}

static struct sv lb_pool(const struct obj *o)
{
	return lb_label(o, "svccontroller.k3s.cattle.io/lbpool", "caravel.io/lbpool");
}

/* With externalTrafficPolicy Local: has it an endpoint that takes traffic? */
static void lb_local_nodes(struct lb_run *r, struct strmap *ret)
{
	size_t n;
	struct obj **slices = informer_by_ref(r->c->slices, &r->a, INDEX_SLICES, obj_ns(r->svc), obj_name(r->svc), &n);

	for (size_t i = 0; i < n; i++)
		VAL_EACH(obj_get(slices[i], F_endpoints), ep) {
			struct sv node = val_get_str(ep, F_nodeName);

			if (node.n && endpoint_ready(ep))
				strmap_set(ret, node, r);
		}
}

bool lb_node_has(const struct obj *node, struct sv address)
{
	struct ip_addr want, has;

	if (!ip_parse(address, &want))
		return false;
	VAL_EACH(obj_get(node, F_status, F_addresses), a)
		if (ip_parse(val_get_str(a, F_address), &has) && ip_eq(want, has))
			return true;
	return false;
}

static struct obj **lb_candidates(struct lb_run *r, size_t *ret_n)
{
	_cleanup_(strmap_release) struct strmap local = STRMAP_INIT;
	struct sv pool = lb_pool(r->svc), wanted = val_str(obj_get(r->svc, F_spec, F_loadBalancerIP));
	size_t n, kept = 0, named = 0;
	struct obj **all = informer_list(r->c->nodes, &r->a, SV(""), &n),
		   **nodes = ARENA_ARRAY(&r->a, struct obj *, n + 1);
	bool labelled = false;

	for (size_t i = 0; i < n; i++)
		labelled |= lb_enabled(all[i]).n > 0;
	if (lb_is_local(r->svc))
		lb_local_nodes(r, &local);
	for (size_t i = 0; i < n; i++) {
		if (!lb_node_ready(all[i]) || (labelled && !sv_is(lb_enabled(all[i]), "true")) ||
		    (labelled && pool.n && !sv_eq(lb_pool(all[i]), pool)) ||
		    (lb_is_local(r->svc) && !strmap_has(&local, obj_name(all[i]))))
			continue;
		nodes[kept++] = all[i];
	}
	for (size_t i = 0; wanted.n && address_counts(wanted) && i < kept; i++)
		if (lb_node_has(nodes[i], wanted))
			nodes[named++] = nodes[i];
	*ret_n = named ? named : kept;
	if (*ret_n > 1)
		qsort(nodes, *ret_n, sizeof(*nodes), obj_by_name);
	return nodes;
}

/* --- what is taken --- */

static struct sv lb_text_of(struct arena *a, const struct val *port)
{
	return lb_port_text(a, val_get_str(port, F_protocol), val_get_int(port, 0, F_port));
}

/* Ports that a Node's annotation names, "80,443". */
static bool lb_node_says(const struct obj *node, const char *annotation, int64_t number)
{
	struct sv rest = annotation_of(obj_root(node), annotation), one;
	int64_t port;

	while (sv_split(&rest, ',', &one))
		if (sv_to_i64(sv_trim(one), &port) && port == number)
			return true;
	return false;
}

/* Servers of the machine itself, which nobody would reach any more: names, Ingress, the kubelet, the API server. */
static bool lb_is_nodes_own(struct lb_run *r, const struct obj *node, const struct val *port)
{
	_cleanup_obj_ struct obj *api = NULL;
	struct sv protocol = val_get_str(port, F_protocol);
	int64_t number = val_get_int(port, 0, F_port);

	if (lb_node_says(node, ANN_DNS, number))
		return true;
	if (protocol.n && !sv_is(protocol, "TCP"))
		return false;
	if (lb_node_says(node, INGRESS_NODE_ANNOTATION, number))
		return true;
	if (number == val_int_or(obj_get(node, F_status, F_daemonEndpoints, F_kubeletEndpoint, F_Port), 0))
		return true;
	api = informer_lookup(r->c->slices, SV("default"), SV("kubernetes"));
	VAL_EACH(obj_get(api, F_ports), p)
		if (val_get_int(p, 0, F_port) == number)
			VAL_EACH(obj_get(api, F_endpoints), ep)
				VAL_EACH(val_get(ep, F_addresses), address)
					if (lb_node_has(node, val_str(address)))
						return true;
	return false;
}

static const char *lb_taken_by(struct lb_run *r, const struct obj *node, const struct val *port)
{
	struct sv text = lb_text_of(&r->a, port);
	size_t n;
	struct obj **list = informer_by_index(r->c->pods, &r->a, INDEX_HOST_PORTS,
					      arena_svf(&r->a, "%.*s/%.*s", SV_ARG(obj_name(node)), SV_ARG(text)), &n);

	if (n)
		return arena_printf(&r->a, "by the host port of pod %.*s/%.*s", SV_ARG(obj_ns(list[0])),
				    SV_ARG(obj_name(list[0])));
	list = informer_by_index(r->c->services, &r->a, INDEX_NODE_PORTS, text, &n);
	for (size_t i = 0; i < n; i++)
		if (!sv_eq(obj_name(list[i]), obj_name(r->svc)) || !sv_eq(obj_ns(list[i]), obj_ns(r->svc)))
			return arena_printf(&r->a, "by the node port of Service %.*s/%.*s", SV_ARG(obj_ns(list[i])),
					    SV_ARG(obj_name(list[i])));
	return lb_is_nodes_own(r, node, port) ? "by a server of the node" : NULL;
}

static bool lb_claim(struct lb_run *r, const struct obj *node)
{
	const struct val *ports = obj_get(r->svc, F_spec, F_ports), *port = NULL;
	const char *by = NULL;
	struct sv holder = SV(""), text;

	/* What it has it keeps, whoever came since. */
	VAL_EACH(ports, p)
		if (!by && !lb_ports_held(&r->c->ports, r->key, obj_name(node), p) && (by = lb_taken_by(r, node, p)))
			port = p;
	if (!by && lb_ports_take(&r->c->ports, r->key, obj_name(node), ports, &holder, &port))
		return true;
	if (r->why)
		return false;
	text = lb_text_of(&r->a, port);
	r->why = arena_printf(&r->a, "port %.*s of node %.*s is taken %s%.*s", SV_ARG(text), SV_ARG(obj_name(node)),
			      by ? by : "by Service ", SV_ARG(holder));
	return false;
}

void lb_settle(struct lb_run *r)
{
	struct sv *names = ARENA_ARRAY(&r->a, struct sv, r->n_nodes + 1);
	bool freed = false;

	for (size_t i = 0; i < r->n_nodes; i++)
		names[i] = obj_name(r->nodes[i]);
	lb_ports_keep(&r->c->ports, r->key, names, r->n_nodes, r->svc ? obj_get(r->svc, F_spec, F_ports) : NULL,
		      &freed);
	if (freed)
		STRMAP_EACH(&r->c->waiting, e)
			workq_add(r->c->q, sv_make(e->key, e->key_n));
}

void lb_choose(struct lb_run *r)
{
	size_t n;
	struct obj **nodes = lb_candidates(r, &n);

	r->nodes = nodes;
	if (val_len(obj_get(r->svc, F_spec, F_ports)) > LB_PORTS_MAX) {
		r->why = arena_printf(&r->a, "it has more than %d ports", LB_PORTS_MAX);
		n = 0;
	}
	for (size_t i = 0; i < n; i++)
		if (lb_claim(r, nodes[i]))
			r->nodes[r->n_nodes++] = nodes[i];
	lb_settle(r);
}

/* --- addresses --- */

static size_t lb_addresses_of(struct lb_run *r, const char *type, bool v6, struct ip_addr **ret)
{
	VEC(struct ip_addr) found = VEC_INIT;
	size_t n = 0;

	for (size_t i = 0; i < r->n_nodes; i++)
		VAL_EACH(obj_get(r->nodes[i], F_status, F_addresses), a) {
			struct ip_addr ip;

			if (val_is(val_get(a, F_type), type) && ip_parse(val_get_str(a, F_address), &ip) &&
			    ip_is_v4(ip) == !v6 && address_counts(val_get_str(a, F_address)))
				vec_push(&found, ip);
		}
	*ret = ARENA_ARRAY(&r->a, struct ip_addr, found.n + 1);
	if (found.n > 1)
		qsort(found.p, found.n, sizeof(*found.p), ip_order);
	for (size_t i = 0; i < found.n; i++)
		if (!n || !ip_eq((*ret)[n - 1], found.p[i]))
			(*ret)[n++] = found.p[i];
	vec_release(&found);
	return n;
}

static void lb_add_ingress(struct arena *a, struct val *list, struct sv address)
{
	struct val *one = val_new_map(a);

	val_set_str(a, one, F_ip, address);
	val_set_cstr(a, one, F_ipMode, "VIP");
	val_push(a, list, one);
}

struct val *lb_ingress(struct lb_run *r)
{
	struct val *list = val_new_list(&r->a);
	struct sv wanted = val_str(obj_get(r->svc, F_spec, F_loadBalancerIP));
	struct ip_addr *ips;

	if (wanted.n && address_counts(wanted) && r->n_nodes && lb_node_has(r->nodes[0], wanted)) {
		lb_add_ingress(&r->a, list, wanted);
		return list;
	}
	VAL_EACH(obj_get(r->svc, F_spec, F_ipFamilies), family) {
		bool v6 = val_is(family, "IPv6");
		size_t n = lb_addresses_of(r, "ExternalIP", v6, &ips);

		if (!n)
			n = lb_addresses_of(r, "InternalIP", v6, &ips);
		for (size_t i = 0; i < n; i++)
			lb_add_ingress(&r->a, list, arena_sv(&r->a, sv_from(ip_text(ips[i]).s)));
	}
	return list;
}
