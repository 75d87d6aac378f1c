/* services_update.c - what an update of a Service keeps, and what a change of its type takes away.
 *
 * A client sends back what it read, or a manifest without what was allocated. What the new type still
 * needs is kept. What only the old type needed goes, unless the client also changed it: then it means
 * it, and validation tells it that the two do not fit. */
#include "apiserver/registry/kinds/kinds.h"
#include "base/strmap.h"

bool service_type_is(const struct val *doc, const char *type)
{
	return val_is(val_get(doc, F_spec, F_type), type);
}

bool service_wants_node_ports(const struct val *doc)
{
	const struct val *allocate = val_get(doc, F_spec, F_allocateLoadBalancerNodePorts);

	return service_type_is(doc, "NodePort") ||
	       (service_type_is(doc, "LoadBalancer") && (!allocate || val_bool(allocate)));
}

bool service_wants_health_port(const struct val *doc)
{
	return service_type_is(doc, "LoadBalancer") && val_is(val_get(doc, F_spec, F_externalTrafficPolicy), "Local");
}

static bool wants_cluster_ip(const struct val *doc)
{
	return !service_type_is(doc, "ExternalName");
}

static bool seen_from_outside(const struct val *doc)
{
	return service_type_is(doc, "NodePort") || service_type_is(doc, "LoadBalancer") ||
	       (!service_type_is(doc, "ExternalName") && val_len(val_get(doc, F_spec, F_externalIPs)));
}

static bool is_balancer(const struct val *doc)
{
	return service_type_is(doc, "LoadBalancer");
}

void service_sync_cluster_ips(struct api_req *q, const struct val *old, struct val *doc)
{
	struct val *spec = val_get_mut(doc, F_spec), *list;
	struct sv ip = val_get_str(spec, F_clusterIP);
	const struct val *ips = val_get(spec, F_clusterIPs);

	if (!spec || (val_len(ips) && (!old || !val_equal(ips, val_get(old, F_spec, F_clusterIPs)))))
		return;
	if (!ip.n) {
		val_del(spec, F_clusterIPs);
	} else if (!sv_eq(ip, val_str(val_at(ips, 0)))) {
		list = val_set_list(q->arena, spec, F_clusterIPs);
		val_push(q->arena, list, val_new_str(q->arena, ip));
	}
}

/* Ports are told by number and protocol. */
static struct sv port_id(struct arena *a, const struct val *p)
{
	return arena_svf(a, "%.*s/%" PRId64, SV_ARG(val_get_str(p, F_protocol)), val_get_int(p, 0, F_port));
}

/* A port without a node port gets the one that it had. */
static void keep_node_ports(struct arena *a, const struct val *was, struct val *ports)
{
	_cleanup_(strmap_release) struct strmap had = STRMAP_INIT;

	VAL_EACH(was, p) {
		void **slot = strmap_slot(&had, port_id(a, p));

		if (!*slot)
			*slot = (void *)p;
	}
	for (size_t i = 0; i < val_len(ports); i++) {
		struct val *p = val_at_mut(ports, i);
		int64_t node =
		    val_get_int(p, 0, F_nodePort) ? 0 : val_get_int(strmap_get(&had, port_id(a, p)), 0, F_nodePort);

		if (node)
			val_set_int(a, p, F_nodePort, node);
	}
}

static void keep_allocated(struct api_req *q, const struct val *old, struct val *doc)
{
	struct val *spec = val_get_mut(doc, F_spec), *ports = val_get_mut(spec, F_ports);
	const struct val *was = val_get(old, F_spec);

	if (wants_cluster_ip(old) && wants_cluster_ip(doc)) {
		if (!val_get_str(spec, F_clusterIP).n && val_get(was, F_clusterIP))
			val_set(q->arena, spec, F_clusterIP, val_get(was, F_clusterIP));
		if (!val_len(val_get(spec, F_clusterIPs)) && val_get(was, F_clusterIPs) &&
		    val_equal(val_get(spec, F_clusterIP), val_get(was, F_clusterIP)))
			val_set(q->arena, spec, F_clusterIPs, val_get(was, F_clusterIPs));
	}
	if (service_wants_node_ports(old) && service_wants_node_ports(doc))
		keep_node_ports(q->arena, val_get(was, F_ports), ports);
	if (service_wants_health_port(old) && service_wants_health_port(doc) &&
	    !val_get_int(spec, 0, F_healthCheckNodePort) && val_get(was, F_healthCheckNodePort))
		val_set(q->arena, spec, F_healthCheckNodePort, val_get(was, F_healthCheckNodePort));
}

static int port_cmp(const void *x, const void *y)
{
	int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;

	return (a > b) - (a < b);
}

struct service_ports service_node_ports(struct arena *a, const struct val *svc)
{
	const struct val *ports = val_get(svc, F_spec, F_ports);
	int64_t *set = ARENA_ARRAY(a, int64_t, val_len(ports));
	size_t n = 0;

	VAL_EACH(ports, p)
		if (val_get_int(p, 0, F_nodePort))
			set[n++] = val_get_int(p, 0, F_nodePort);
	if (n > 1)
		qsort(set, n, sizeof(*set), port_cmp);
	return (struct service_ports){ set, n };
}

bool service_has_node_port(const struct service_ports *s, int64_t port)
{
	return s->n && bsearch(&port, s->p, s->n, sizeof(port), port_cmp);
}

/* Has every node port of doc been one of old's? */
static bool same_node_ports(struct arena *a, const struct val *old, const struct val *doc)
{
	struct service_ports had = service_node_ports(a, old);

	VAL_EACH(val_get(doc, F_spec, F_ports), p) {
		int64_t now = val_get_int(p, 0, F_nodePort);

		if (now && !service_has_node_port(&had, now))
			return false;
	}
	return true;
}

static void drop_unchanged(const struct val *old, struct val *doc, enum sym field)
{
	struct val *spec = val_get_mut(doc, F_spec);
	const struct val *now = val_member(spec, field), *was = val_member(val_get(old, F_spec), field);

	if (now && was && val_equal(now, was))
		val_del(spec, field);
}

static void drop_by_type(struct arena *a, const struct val *old, struct val *doc)
{
	struct val *ports = val_get_mut(doc, F_spec, F_ports);

	if (wants_cluster_ip(old) && !wants_cluster_ip(doc)) {
		drop_unchanged(old, doc, F_clusterIP);
		drop_unchanged(old, doc, F_clusterIPs);
		drop_unchanged(old, doc, F_ipFamilies);
		drop_unchanged(old, doc, F_ipFamilyPolicy);
		drop_unchanged(old, doc, F_internalTrafficPolicy);
	}
	if (service_wants_node_ports(old) && !service_wants_node_ports(doc) && same_node_ports(a, old, doc))
		for (size_t i = 0; i < val_len(ports); i++)
			val_del(val_at_mut(ports, i), F_nodePort);
	if (service_wants_health_port(old) && !service_wants_health_port(doc))
		drop_unchanged(old, doc, F_healthCheckNodePort);
	if (is_balancer(old) && !is_balancer(doc)) {
		drop_unchanged(old, doc, F_allocateLoadBalancerNodePorts);
		drop_unchanged(old, doc, F_loadBalancerClass);
	}
	if (seen_from_outside(old) && !seen_from_outside(doc))
		drop_unchanged(old, doc, F_externalTrafficPolicy);
}

void service_prepare_update(struct api_req *q, const struct val *old, struct val *doc)
{
	if (!val_get(doc, F_spec) || q->subresource.n)
		return;
	keep_allocated(q, old, doc);
	drop_by_type(q->arena, old, doc);
	if (wants_cluster_ip(doc))
		service_sync_cluster_ips(q, old, doc);
}
