/* Selection of endpoints, in kube-proxy's order: ready ones; where there are none, those that still serve while
 * they terminate. Policies choose among all of them or only this node's; hints narrow the former. */
#include "proxy/model.h"

#include "base/strmap.h"
#include "base/vec.h"
#include "object/slice.h"

#include <netinet/in.h>
#include <stdlib.h>

const char *const model_service_paths[] = { "metadata labels service.kubernetes.io/service-proxy-name",
					    "metadata labels service.kubernetes.io/headless",
					    "spec type",
					    "spec clusterIP",
					    "spec clusterIPs",
					    "spec externalIPs",
					    "spec ports name",
					    "spec ports protocol",
					    "spec ports port",
					    "spec ports nodePort",
					    "spec sessionAffinity",
					    "spec sessionAffinityConfig",
					    "spec internalTrafficPolicy",
					    "spec externalTrafficPolicy",
					    "spec healthCheckNodePort",
					    "spec loadBalancerSourceRanges",
					    "status loadBalancer",
					    NULL };
const char *const model_slice_paths[] = { "metadata labels kubernetes.io/service-name",
					  "metadata annotations endpoints.kubernetes.io/last-change-trigger-time",
					  "addressType",
					  "ports name",
					  "ports protocol",
					  "ports port",
					  "endpoints addresses",
					  "endpoints conditions",
					  "endpoints nodeName",
					  "endpoints hints",
					  NULL };

bool address_parse(struct sv s, struct ip_addr *ret)
{
	struct ip_addr a;

	if (!ip_parse(s, &a))
		return false;
	*ret = ip_is_v4(a) && !ip_low(a) ? IP_NONE : a;
	return true;
}

bool proto_parse(struct sv s, uint8_t *ret)
{
	if (s.n == 0 || sv_is(s, "TCP"))
		*ret = IPPROTO_TCP;
	else if (sv_is(s, "UDP"))
		*ret = IPPROTO_UDP;
	else if (sv_is(s, "SCTP"))
		*ret = IPPROTO_SCTP;
	else
		return false;
	return true;
}

void families_add(struct families *f, struct ip_net net)
{
	bool v6 = !ip_is_v4(net.addr);

	if (!f->has[v6])
		f->net[v6] = net;
	f->has[v6] = true;
}

struct families families_parse(struct sv s)
{
	struct families f = { .has = { false, false } };
	struct ip_net net;
	struct sv one;

	while (sv_split(&s, ',', &one))
		if (ip_net_parse(sv_trim(one), &net))
			families_add(&f, net);
	return f;
}

/* --- endpoints --- */

/* One endpoint of a slice, with what choosing among them asks about. */
struct candidate {
	struct endpoint ep;
	bool ready, serving, serving_terminating;
	bool node_hinted, for_node; /* has hints at all; they name this node */
	bool zone_hinted, for_zone;
};

struct candidates {
	VEC(struct candidate) v;
};

static bool hints_name(const struct val *list, struct sv name)
{
	VAL_EACH(list, h) {
		if (name.n && sv_eq(val_get_str(h, F_name), name))
			return true;
	}
	return false;
}

static bool parse_of_family(struct sv s, bool v6, struct ip_addr *ret)
{
	return address_parse(s, ret) && !ip_is_none(*ret) && ip_is_v4(*ret) != v6;
}

static void add_candidate(struct candidates *c, const struct val *e, bool v6, uint16_t port,
			  const struct node_view *node)
{
	const struct val *zones = val_get(e, F_hints, F_forZones), *nodes = val_get(e, F_hints, F_forNodes);
	struct candidate k = { .ready = endpoint_ready(e), .serving = endpoint_serving(e) };

	if (!parse_of_family(val_str(val_at(val_get(e, F_addresses), 0)), v6, &k.ep.addr))
		return;
	k.ep.port = port;
	k.ep.local = node->name.n && sv_eq(val_get_str(e, F_nodeName), node->name);
	k.serving_terminating = k.serving && endpoint_terminating(e);
	k.node_hinted = val_len(nodes) > 0;
	k.for_node = hints_name(nodes, node->name);
	k.zone_hinted = val_len(zones) > 0;
	k.for_zone = hints_name(zones, node->zone);
	vec_push(&c->v, k);
}

/* All endpoints behind one port of the Service, matched by the port's name. */
static void model_collect(struct candidates *c, const struct val *svc_port, struct obj *const *slices, size_t n_slices,
			  bool v6, const struct node_view *node)
{
	struct sv name = val_get_str(svc_port, F_name), proto = val_get_str(svc_port, F_protocol);

	for (size_t i = 0; i < n_slices; i++) {
		if (!val_is(obj_get(slices[i], F_addressType), v6 ? "IPv6" : "IPv4"))
			continue;
		VAL_EACH(obj_get(slices[i], F_ports), p) {
			struct sv p_proto = val_get_str(p, F_protocol);
			int64_t port = val_get_int(p, 0, F_port);

			if (!sv_eq(val_get_str(p, F_name), name) || port < 1 || port > 65535 ||
			    !sv_eq(p_proto.n ? p_proto : SV("TCP"), proto.n ? proto : SV("TCP")))
				continue;
			VAL_EACH(obj_get(slices[i], F_endpoints), e) {
				add_candidate(c, e, v6, (uint16_t)port, node);
			}
		}
	}
}

/* For the others, if there are any. */
static void model_leave(struct candidates *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->v.n; i++)
		n += c->v.p[i].ready && !c->v.p[i].ep.local;
	if (n == 0)
		return;
	n = 0;
	for (size_t i = 0; i < c->v.n; i++)
		if (!c->v.p[i].ep.local)
			c->v.p[n++] = c->v.p[i];
	c->v.n = n;
}

int endpoint_cmp(const struct endpoint *a, const struct endpoint *b)
{
	int c = ip_cmp(a->addr, b->addr);

	return c ? c : (a->port > b->port) - (a->port < b->port);
}

static int model_cmp(const void *a, const void *b)
{
	return endpoint_cmp(a, b);
}

typedef bool wanted_fn(const struct candidate *c);

static bool want_ready(const struct candidate *c)
{
	return c->ready;
}

static bool want_terminating(const struct candidate *c)
{
	return c->serving_terminating;
}

static bool want_serving(const struct candidate *c)
{
	return c->serving;
}

static bool want_for_node(const struct candidate *c)
{
	return c->ready && c->for_node;
}

static bool want_for_zone(const struct candidate *c)
{
	return c->ready && c->for_zone;
}

static struct endpoints model_pick(struct arena *a, const struct candidates *c, wanted_fn *wanted, bool local_only)
{
	struct endpoints out = { .p = ARENA_ARRAY(a, struct endpoint, c->v.n + 1) };
	size_t n = 0;

	for (size_t i = 0; i < c->v.n; i++) {
		if (wanted(&c->v.p[i]) && (!local_only || c->v.p[i].ep.local))
			out.p[out.n++] = c->v.p[i].ep;
	}
	qsort(out.p, out.n, sizeof(*out.p), model_cmp);
	for (size_t i = 0; i < out.n; i++) {
		/* An endpoint moving between two slices is in both for a moment. */
		if (n && endpoint_cmp(&out.p[n - 1], &out.p[i]) == 0)
			out.p[n - 1].local |= out.p[i].local;
		else
			out.p[n++] = out.p[i];
	}
	out.n = MIN(n, (size_t)PROXY_ENDPOINTS_MAX);
	return out;
}

static struct endpoints local_endpoints(struct arena *a, const struct candidates *c)
{
	struct endpoints e = model_pick(a, c, want_ready, true);

	return e.n ? e : model_pick(a, c, want_terminating, true);
}

/* Hints count only when every ready endpoint has them and at least one is for us: a half-hinted
 * set is one being changed, and following it could overload or starve someone. */
static struct endpoints cluster_endpoints(struct arena *a, const struct candidates *c)
{
	bool all_node = true, all_zone = true;
	struct endpoints e;

	for (size_t i = 0; i < c->v.n; i++) {
		if (!c->v.p[i].ready)
			continue;
		all_node &= c->v.p[i].node_hinted;
		all_zone &= c->v.p[i].zone_hinted;
	}
	if (all_node) {
		e = model_pick(a, c, want_for_node, false);
		if (e.n)
			return e;
	}
	if (all_zone) {
		e = model_pick(a, c, want_for_zone, false);
		if (e.n)
			return e;
	}
	e = model_pick(a, c, want_ready, false);
	return e.n ? e : model_pick(a, c, want_terminating, false);
}

/* --- frontends --- */

struct model {
	struct arena *a;
	const struct obj *svc;
	const struct node_view *node;
	VEC(struct frontend) out;
	bool v6; /* of the family being added, with its cluster IP */
	struct ip_addr cluster_ip;
	/* of the port being added */
	struct frontend_key key;
	uint32_t affinity_s;
	struct endpoints cluster, local, lasting;
	/* loadBalancerSourceRanges of that family, without overlaps */
	struct ip_net *ranges;
	size_t n_ranges;
	struct strmap seen; /* keys of out */
	size_t elements;    /* what out costs the kernel */
};

static bool model_is_full(const struct model *m)
{
	return m->elements >= PROXY_ELEMENTS_MAX;
}

static void add_frontend(struct model *m, struct frontend f)
{
	size_t elements = 1 + f.outer.n + f.inside.n + f.n_ranges;

	/* What is this machine's own is nobody's to write into a Service or its status. */
	if (ip_is_loopback(f.key.addr))
		return;
	if (m->elements + elements > PROXY_ELEMENTS_MAX) {
		m->elements = PROXY_ELEMENTS_MAX;
		return;
	}
	if (strmap_set(&m->seen, sv_make((const char *)&f.key, sizeof(f.key)), m))
		return; /* an address given twice */
	m->elements += elements;
	f.lasting = m->lasting;
	vec_push(&m->out, f);
}

static void add_cluster_ip(struct model *m, struct ip_addr addr)
{
	bool local = val_is(obj_get(m->svc, F_spec, F_internalTrafficPolicy), "Local");
	struct frontend f = { .key = m->key, .cluster_ip = true, .masq = MASQ_OUTSIDE, .affinity_s = m->affinity_s };

	f.key.addr = addr;
	f.outer = local ? m->local : m->cluster;
	f.drop = m->cluster.n > 0;
	add_frontend(m, f);
}

/* Clients from outside reach external frontends through this node, and their source address hides
 * behind it, except where the policy keeps them on this node: then it stays visible, while pods and
 * this node itself go on using every endpoint, as they would through the ClusterIP. */
static struct frontend external(const struct model *m, struct ip_addr addr, uint16_t port)
{
	bool local = val_is(obj_get(m->svc, F_spec, F_externalTrafficPolicy), "Local");
	struct frontend f = { .key = m->key, .split = local, .affinity_s = m->affinity_s };

	f.key.addr = addr;
	f.key.port = port;
	f.key.v6 = ip_is_none(addr) && m->v6;
	f.masq = local ? MASQ_NONE : MASQ_ALL;
	f.outer = local ? m->local : m->cluster;
	if (local)
		f.inside = m->cluster;
	f.drop = m->cluster.n > 0;
	return f;
}

/* A wider one before those that it covers. */
static int model_cmp_net(const void *a, const void *b)
{
	const struct ip_net *x = a, *y = b;
	int c = ip_cmp(x->addr, y->addr);

	return c ? c : (x->bits > y->bits) - (x->bits < y->bits);
}

static void model_read_ranges(struct model *m)
{
	const struct val *list = obj_get(m->svc, F_spec, F_loadBalancerSourceRanges);
	size_t n = 0, kept = 0;

	m->ranges = ARENA_ARRAY(m->a, struct ip_net, val_len(list) + 1);
	VAL_EACH(list, r) {
		struct ip_net c;

		if (ip_net_parse(sv_trim(val_str(r)), &c) && ip_is_v4(c.addr) != m->v6)
			m->ranges[n++] = c;
	}
	if (n)
		qsort(m->ranges, n, sizeof(*m->ranges), model_cmp_net);
	for (size_t i = 0; i < n; i++)
		if (!kept || !ip_net_covers(m->ranges[kept - 1], m->ranges[i]))
			m->ranges[kept++] = m->ranges[i];
	m->n_ranges = kept;
}

static void add_load_balancer(struct model *m, struct ip_addr addr)
{
	struct frontend f = external(m, addr, m->key.port);

	f.ranges = m->ranges;
	f.n_ranges = m->n_ranges;
	f.firewalled = val_len(obj_get(m->svc, F_spec, F_loadBalancerSourceRanges)) > 0;
	add_frontend(m, f);
}

/* Behind an address of this node that only others know, its own ones. */
static void add_load_balancer_behind(struct model *m, struct ip_addr addr)
{
	const struct node_view *node = m->node;
	bool has = false;

	for (size_t i = 0; i < node->n_external; i++)
		has |= ip_eq(node->external[i].addr, addr);
	for (size_t i = 0; has && i < node->n_internal; i++)
		if (ip_is_v4(node->internal[i].addr) == !m->v6)
			add_load_balancer(m, node->internal[i].addr);
}

static bool cluster_ip_of(const struct obj *svc, bool v6, struct ip_addr *ret)
{
	VAL_EACH(obj_get(svc, F_spec, F_clusterIPs), ip) {
		if (parse_of_family(val_str(ip), v6, ret))
			return true;
	}
	return parse_of_family(val_str(obj_get(svc, F_spec, F_clusterIP)), v6, ret);
}

static void model_add_port(struct model *m, const struct val *port)
{
	int64_t number = val_get_int(port, 0, F_port), node_port = val_get_int(port, 0, F_nodePort);
	bool lb = val_is(obj_get(m->svc, F_spec, F_type), "LoadBalancer");
	struct ip_addr addr;

	if (number < 1 || number > 65535)
		return;
	m->key = (struct frontend_key){ .port = (uint16_t)number };
	if (!proto_parse(val_get_str(port, F_protocol), &m->key.proto))
		return;
	add_cluster_ip(m, m->cluster_ip);
	VAL_EACH(obj_get(m->svc, F_spec, F_externalIPs), ip) {
		if (model_is_full(m))
			return;
		if (parse_of_family(val_str(ip), m->v6, &addr))
			add_frontend(m, external(m, addr, m->key.port));
	}
	if (lb) {
		VAL_EACH(obj_get(m->svc, F_status, F_loadBalancer, F_ingress), in) {
			/* ipMode Proxy: the balancer wants to see this traffic itself. */
			if (val_is(val_get(in, F_ipMode), "Proxy") ||
			    !parse_of_family(val_get_str(in, F_ip), m->v6, &addr))
				continue;
			add_load_balancer(m, addr);
			add_load_balancer_behind(m, addr);
		}
	}
	if ((lb || val_is(obj_get(m->svc, F_spec, F_type), "NodePort")) && node_port > 0 && node_port <= 65535)
		add_frontend(m, external(m, IP_NONE, (uint16_t)node_port));
}

/* Whether the default proxy is the one to serve it, with a ClusterIP of some family. */
static bool service_is_ours(const struct obj *svc)
{
	return !val_is(obj_get(svc, F_spec, F_type), "ExternalName") &&
	       !val_member_sv(obj_labels(svc), SV("service.kubernetes.io/service-proxy-name")) &&
	       !val_member_sv(obj_labels(svc), SV("service.kubernetes.io/headless"));
}

static void model_add_family(struct model *m, struct obj *const *slices, size_t n_slices, const struct node_view *node)
{
	if (!cluster_ip_of(m->svc, m->v6, &m->cluster_ip))
		return;
	model_read_ranges(m);
	VAL_EACH(obj_get(m->svc, F_spec, F_ports), port) {
		struct candidates c = { VEC_INIT };

		if (model_is_full(m))
			return;
		model_collect(&c, port, slices, n_slices, m->v6, node);
		if (node->leaves)
			model_leave(&c);
		m->cluster = cluster_endpoints(m->a, &c);
		m->local = local_endpoints(m->a, &c);
		m->lasting = (struct endpoints){ 0 };
		if (!node->questions &&
		    (val_is(val_get(port, F_protocol), "UDP") || val_is(val_get(port, F_protocol), "SCTP")))
			m->lasting = model_pick(m->a, &c, want_serving, false);
		vec_release(&c.v);
		model_add_port(m, port);
	}
}

struct frontend *service_model(struct arena *a, const struct obj *svc, struct obj *const *slices, size_t n_slices,
			       const struct node_view *node, size_t *ret_n)
{
	struct model m = { .a = a, .svc = svc, .node = node, .out = VEC_INIT, .seen = STRMAP_INIT };
	struct frontend *out;

	*ret_n = 0;
	if (!service_is_ours(svc))
		return NULL;
	if (val_is(obj_get(svc, F_spec, F_sessionAffinity), "ClientIP")) {
		int64_t s =
		    val_int_or(obj_get(svc, F_spec, F_sessionAffinityConfig, F_clientIP, F_timeoutSeconds), 10800);

		m.affinity_s = (uint32_t)MIN(MAX(s, 1), 86400);
	}
	for (int v6 = 0; v6 < 2; v6++) {
		m.v6 = v6;
		model_add_family(&m, slices, n_slices, node);
	}
	out = ARENA_ARRAY(a, struct frontend, m.out.n + 1);
	if (m.out.n)
		memcpy(out, m.out.p, m.out.n * sizeof(*out));
	*ret_n = m.out.n;
	vec_release(&m.out);
	strmap_release(&m.seen);
	return out;
}

int service_health_port(const struct obj *svc, struct obj *const *slices, size_t n_slices, const struct node_view *node,
			size_t *ret_local)
{
	int64_t port = val_int_or(obj_get(svc, F_spec, F_healthCheckNodePort), 0);
	_cleanup_(strmap_release) struct strmap here = STRMAP_INIT;

	*ret_local = 0;
	if (!val_is(obj_get(svc, F_spec, F_type), "LoadBalancer") ||
	    !val_is(obj_get(svc, F_spec, F_externalTrafficPolicy), "Local") || port < 1 || port > 65535 ||
	    !service_is_ours(svc))
		return 0;
	/* Whatever its ports: an address counts once. */
	for (size_t i = 0; i < n_slices; i++) {
		VAL_EACH(obj_get(slices[i], F_endpoints), e) {
			struct sv addr = val_str(val_at(val_get(e, F_addresses), 0));

			if (node->name.n && sv_eq(val_get_str(e, F_nodeName), node->name) && addr.n &&
			    endpoint_ready(e))
				strmap_set(&here, addr, &here);
		}
	}
	*ret_local = here.n;
	return (int)port;
}
