/* cluster_dns: the Service kube-system/kube-dns and its EndpointSlices, which lead to the name servers of the nodes.
 *
 * A node's name server says in the Node's annotation at which port it listens. Each is an endpoint that its own node
 * prefers (trafficDistribution PreferSameNode, and the hints for it), ready as the Node is; where no Node is, all are:
 * they answer all the same, and there are no better ones. Nodes with other ports have slices of their own.
 *
 * A Service of that name with a selector is somebody else's (CoreDNS of a Helm chart, say) and left alone; one without
 * gets our slices, whoever made it. Where cluster DNS is switched off, what we made goes, so that another one can be
 * installed under the name. */
#include "base/ip.h"
#include "base/log.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/service_pods.h"
#include "controllers/topology_hints.h"
#include "object/annotation.h"
#include "object/condition.h"
#include "object/slice.h"

#include <stdlib.h>

#define PER_SLICE 100
#define DNS_NAMESPACE "kube-system"
#define DNS_SERVICE "kube-dns"
#define LABEL_MANAGED "endpointslice.kubernetes.io/managed-by"
#define MANAGER "cluster-dns.caravel.io"
#define ANN_OURS "caravel.io/managed-by"
#define ANN_PORT "caravel.io/dns-port" /* dns/dns.h */
#define INDEX_DNS "cluster-dns"

struct cluster_dns {
	struct controller_ctx *ctx;
	struct informer *services, *slices, *nodes;
	struct workq *q;
	bool said; /* that the Service has another address */
};

/* A slice that shall be there. */
struct dns_slice {
	const char *name;
	struct val *endpoints;
	int64_t port;
	bool v6;
};

struct dns_run {
	struct cluster_dns *c;
	struct arena a;
	struct obj *svc;
	bool any_ready;
	VEC(struct dns_slice) want;
};

static void cluster_dns_key(const struct obj *o, struct index_keys *ret)
{
	if (sv_is(label_of(obj_root(o), LABEL_MANAGED), MANAGER))
		index_keys_add_ref(ret, obj_ns(o), slice_service(o));
}

static bool cluster_dns_is_ours(const struct obj *svc)
{
	return sv_is(annotation_of(obj_root(svc), ANN_OURS), MANAGER);
}

/* --- the Service --- */

static struct val *cluster_dns_labels(struct arena *a)
{
	struct val *labels = val_new_map(a);

	val_set_str_sv(a, labels, SV("k8s-app"), SV("kube-dns"));
	val_set_str_sv(a, labels, SV("kubernetes.io/cluster-service"), SV("true"));
	val_set_str_sv(a, labels, SV("kubernetes.io/name"), SV("CoreDNS"));
	return labels;
}

static void cluster_dns_add_port(struct arena *a, struct val *list, const char *name, const char *protocol,
				 int64_t port)
{
	struct val *p = val_new_map(a);

	val_set_cstr(a, p, F_name, name);
	val_set_cstr(a, p, F_protocol, protocol);
	val_set_int(a, p, F_port, port);
	val_push(a, list, p);
}

static struct val *cluster_dns_ports(struct arena *a, int64_t port)
{
	struct val *list = val_new_list(a);

	cluster_dns_add_port(a, list, "dns", "UDP", port);
	cluster_dns_add_port(a, list, "dns-tcp", "TCP", port);
	return list;
}

/* The addresses that the flag names, as far as they are of the Services' ranges: others cannot be a Service's. */
static struct val *cluster_dns_addresses(struct dns_run *r)
{
	const struct controllers_opts *o = r->c->ctx->opts;
	struct sv rest = sv_from(o->cluster_dns), one;
	struct val *ips = val_new_list(&r->a);

	while (sv_split(&rest, ',', &one)) {
		struct sv ranges = sv_from(o->service_cidr), range, text = sv_trim(one);
		struct ip_addr addr;
		struct ip_net net;

		while (sv_split(&ranges, ',', &range))
			if (ip_parse(text, &addr) && ip_net_parse(sv_trim(range), &net) && ip_net_has(net, addr))
				val_push(&r->a, ips, val_new_str(&r->a, text));
	}
	return ips;
}

static void cluster_dns_set_addresses(struct dns_run *r, struct val *spec)
{
	struct val *ips = cluster_dns_addresses(r);

	if (val_len(ips)) {
		val_set_str(&r->a, spec, F_clusterIP, val_str(val_at(ips, 0)));
		val_set(&r->a, spec, F_clusterIPs, ips);
	}
	val_set_cstr(&r->a, spec, F_ipFamilyPolicy, val_len(ips) > 1 ? "RequireDualStack" : "SingleStack");
}

/* Made by us for another value of the flag: an address cannot be changed, so it is made anew. */
static bool cluster_dns_outdated(struct dns_run *r)
{
	struct val *ips = cluster_dns_addresses(r);

	return val_len(ips) && !obj_deleting(r->svc) &&
	       !sv_eq(val_str(obj_get(r->svc, F_spec, F_clusterIP)), val_str(val_at(ips, 0)));
}

static int cluster_dns_create(struct dns_run *r, struct err *err)
{
	struct arena *a = &r->a;
	struct val *doc = val_new_map(a), *meta = val_ensure_map(a, doc, F_metadata), *anns = val_new_map(a), *spec;

	val_set_cstr(a, doc, F_apiVersion, "v1");
	val_set_cstr(a, doc, F_kind, "Service");
	val_set_cstr(a, meta, F_name, DNS_SERVICE);
	val_set_cstr(a, meta, F_namespace, DNS_NAMESPACE);
	val_set(a, meta, F_labels, cluster_dns_labels(a));
	val_set_str_sv(a, anns, SV(ANN_OURS), SV(MANAGER));
	val_set(a, meta, F_annotations, anns);
	spec = val_ensure_map(a, doc, F_spec);
	val_set_cstr(a, spec, F_type, "ClusterIP");
	val_set_cstr(a, spec, F_trafficDistribution, "PreferSameNode");
	val_set(a, spec, F_ports, cluster_dns_ports(a, 53));
	cluster_dns_set_addresses(r, spec);
	if (client_create(r->c->ctx->client, RES(core_services), SV(DNS_NAMESPACE), doc, NULL, &r->svc, err) < 0)
		return err_wrap(err, "making the Service '" DNS_NAMESPACE "/" DNS_SERVICE "'");
	return 0;
}

/* Somebody made one of that name: whoever asks the address of the flag gets no answer. */
static void cluster_dns_look(struct dns_run *r)
{
	struct sv rest = sv_from(r->c->ctx->opts->cluster_dns), first,
		  ip = val_str(obj_get(r->svc, F_spec, F_clusterIP));

	if (r->c->said || !sv_split(&rest, ',', &first) || sv_eq(sv_trim(first), ip))
		return;
	r->c->said = true;
	log_warn("cluster-dns",
		 "the Service kube-system/kube-dns has another address than --cluster-dns, which pods ask", "address",
		 "%.*s", SV_ARG(ip));
}

/* --- its endpoints --- */

/* 0: it serves no names. */
static int64_t cluster_dns_node_port(const struct obj *node)
{
	int64_t port;

	return sv_to_i64(annotation_of(obj_root(node), ANN_PORT), &port) && port > 0 && port <= UINT16_MAX &&
		       !obj_deleting(node)
		   ? port
		   : 0;
}

static struct sv cluster_dns_node_address(const struct obj *node, bool v6)
{
	VAL_EACH(obj_get(node, F_status, F_addresses), a) {
		struct sv text = val_get_str(a, F_address);
		struct ip_addr addr;

		if (val_is(val_get(a, F_type), "InternalIP") && ip_parse(text, &addr) && ip_is_v4(addr) == !v6 &&
		    address_counts(text))
			return text;
	}
	return SV("");
}

static struct val *cluster_dns_endpoint(struct dns_run *r, const struct obj *node, struct sv address)
{
	struct arena *a = &r->a;
	struct val *ep = val_new_map(a), *addresses = val_new_list(a), *conds = val_ensure_map(a, ep, F_conditions);
	bool ready = condition_ready(obj_root(node)) || !r->any_ready;
	struct sv zone = label_of(obj_root(node), "topology.kubernetes.io/zone");

	val_push(a, addresses, val_new_str(a, address));
	val_set(a, ep, F_addresses, addresses);
	val_set_bool(a, conds, F_ready, ready);
	val_set_bool(a, conds, F_serving, ready);
	val_set_bool(a, conds, F_terminating, false);
	endpoint_hint(a, ep, F_forNodes, obj_name(node));
	val_set_str(a, ep, F_nodeName, obj_name(node));
	if (zone.n)
		val_set_str(a, ep, F_zone, zone);
	return ep;
}

static void cluster_dns_place(struct dns_run *r, struct val *ep, int64_t port, bool v6)
{
	struct dns_slice fresh = { .port = port, .v6 = v6, .endpoints = val_new_list(&r->a) };
	unsigned number = 0;

	/* The last one of the kind, as those before it are full. */
	for (size_t i = r->want.n; i-- > 0;) {
		struct dns_slice *s = &r->want.p[i];

		if (s->port != port || s->v6 != v6)
			continue;
		if (val_len(s->endpoints) < PER_SLICE) {
			val_push(&r->a, s->endpoints, ep);
			return;
		}
		number++;
	}
	fresh.name = arena_printf(&r->a, DNS_SERVICE "-%s-%" PRId64 "-%u", v6 ? "ipv6" : "ipv4", port, number);
	val_push(&r->a, fresh.endpoints, ep);
	vec_push(&r->want, fresh);
}

static void cluster_dns_want(struct dns_run *r)
{
	size_t n;
	struct obj **nodes = informer_list(r->c->nodes, &r->a, SV(""), &n);

	if (n > 1)
		qsort(nodes, n, sizeof(*nodes), obj_by_name);
	for (size_t i = 0; i < n; i++)
		r->any_ready |= cluster_dns_node_port(nodes[i]) && condition_ready(obj_root(nodes[i]));
	for (int v6 = 0; v6 <= 1; v6++) {
		if (!list_has_text(obj_get(r->svc, F_spec, F_ipFamilies), v6 ? SV("IPv6") : SV("IPv4")))
			continue;
		for (size_t i = 0; i < n; i++) {
			struct sv address = cluster_dns_node_address(nodes[i], v6);
			int64_t port = cluster_dns_node_port(nodes[i]);

			if (port && address.n)
				cluster_dns_place(r, cluster_dns_endpoint(r, nodes[i], address), port, v6);
		}
	}
}

static int cluster_dns_write_slice(struct dns_run *r, const struct dns_slice *w, struct obj *was, struct err *err)
{
	struct arena *a = &r->a;
	struct client *client = r->c->ctx->client;
	struct val *doc = was ? obj_edit(a, was) : val_new_map(a), *meta = val_ensure_map(a, doc, F_metadata),
		   *labels = cluster_dns_labels(a), *ports = cluster_dns_ports(a, w->port), *refs;

	val_set_str_sv(a, labels, SV(SLICE_SERVICE_LABEL), SV(DNS_SERVICE));
	val_set_str_sv(a, labels, SV(LABEL_MANAGED), SV(MANAGER));
	if (was && val_same(obj_get(was, F_endpoints), w->endpoints) && val_same(obj_get(was, F_ports), ports) &&
	    val_same(obj_labels(was), labels))
		return 0;
	val_set(a, meta, F_labels, labels);
	val_set(a, doc, F_endpoints, w->endpoints);
	val_set(a, doc, F_ports, ports);
	if (was)
		return client_update(client, RES(discovery_endpointslices), doc, NULL, NULL, err);
	refs = val_new_list(a);
	val_push(a, refs, owner_ref(a, RES(core_services), obj_root(r->svc), true, false));
	val_set_cstr(a, meta, F_name, w->name);
	val_set_cstr(a, meta, F_namespace, DNS_NAMESPACE);
	val_set(a, meta, F_ownerReferences, refs);
	val_set_cstr(a, doc, F_apiVersion, "discovery.k8s.io/v1");
	val_set_cstr(a, doc, F_kind, "EndpointSlice");
	val_set_cstr(a, doc, F_addressType, w->v6 ? "IPv6" : "IPv4");
	return client_create(client, RES(discovery_endpointslices), SV(DNS_NAMESPACE), doc, NULL, NULL, err);
}

static int cluster_dns_delete(struct dns_run *r, const struct resource *res, struct sv name, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (client_delete(r->c->ctx->client, res, SV(DNS_NAMESPACE), name, NULL, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

/* Those there are become those wanted. A name says family, port and number, and so what cannot change. */
static int cluster_dns_write_slices(struct dns_run *r, struct err *err)
{
	_cleanup_(strmap_release) struct strmap have = STRMAP_INIT;
	size_t n;
	struct obj **slices = informer_by_ref(r->c->slices, &r->a, INDEX_DNS, SV(DNS_NAMESPACE), SV(DNS_SERVICE), &n);

	for (size_t i = 0; i < n; i++)
		if (!obj_deleting(slices[i]))
			strmap_set(&have, obj_name(slices[i]), slices[i]);
	for (size_t i = 0; i < r->want.n; i++) {
		struct obj *was = strmap_del(&have, sv_from(r->want.p[i].name));

		if (cluster_dns_write_slice(r, &r->want.p[i], was, err) < 0)
			return -1;
	}
	STRMAP_EACH(&have, e)
		if (cluster_dns_delete(r, RES(discovery_endpointslices), sv_make(e->key, e->key_n), err) < 0)
			return -1;
	return 0;
}

/* --- runs --- */

static int cluster_dns_sync(struct dns_run *r, struct err *err)
{
	bool wanted = r->c->ctx->opts->cluster_dns;

	r->svc = informer_lookup(r->c->services, SV(DNS_NAMESPACE), SV(DNS_SERVICE));
	if (r->svc && cluster_dns_is_ours(r->svc) && (!wanted || cluster_dns_outdated(r)))
		return cluster_dns_delete(r, RES(core_services), SV(DNS_SERVICE), err);
	if (wanted && !r->svc && cluster_dns_create(r, err) < 0)
		return -1;
	if (wanted && !service_has_selector(r->svc) && !obj_deleting(r->svc)) {
		cluster_dns_look(r);
		cluster_dns_want(r);
	}
	return cluster_dns_write_slices(r, err);
}

static int cluster_dns_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct dns_run r = { .c = ctx };
	int rc = cluster_dns_sync(&r, err);

	(void)key;
	(void)ret;
	if (r.svc)
		obj_unref(r.svc);
	vec_release(&r.want);
	arena_release(&r.a);
	return rc;
}

/* --- what calls for a run --- */

static void cluster_dns_wake(struct cluster_dns *c)
{
	workq_add(c->q, SV(DNS_SERVICE));
}

static void cluster_dns_on_service(struct obj *o, void *ctx)
{
	if (sv_is(obj_name(o), DNS_SERVICE) && sv_is(obj_ns(o), DNS_NAMESPACE))
		cluster_dns_wake(ctx);
}

static void cluster_dns_on_service_update(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	cluster_dns_on_service(neu, ctx);
}

static void cluster_dns_on_slice(struct obj *o, void *ctx)
{
	if (sv_is(label_of(obj_root(o), LABEL_MANAGED), MANAGER))
		cluster_dns_wake(ctx);
}

static void cluster_dns_on_slice_update(struct obj *old, struct obj *neu, void *ctx)
{
	cluster_dns_on_slice(old, ctx);
	cluster_dns_on_slice(neu, ctx);
}

static void cluster_dns_on_node(struct obj *o, void *ctx)
{
	if (cluster_dns_node_port(o))
		cluster_dns_wake(ctx);
}

/* A heartbeat changes nothing of this. */
static void cluster_dns_on_node_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (cluster_dns_node_port(old) != cluster_dns_node_port(neu) ||
	    condition_ready(obj_root(old)) != condition_ready(obj_root(neu)) ||
	    !val_equal(obj_get(old, F_status, F_addresses), obj_get(neu, F_status, F_addresses)) ||
	    !val_equal(obj_labels(old), obj_labels(neu)))
		cluster_dns_wake(ctx);
}

static bool cluster_dns_ready(void *ctx)
{
	struct cluster_dns *c = ctx;

	return informer_synced(c->services) && informer_synced(c->slices) && informer_synced(c->nodes);
}

static void *cluster_dns_start(struct controller_ctx *ctx)
{
	struct cluster_dns *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->services = informer_get(ctx->informers, RES(core_services), NULL, NULL, NULL);
	c->slices = informer_get(ctx->informers, RES(discovery_endpointslices), NULL, NULL, NULL);
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	informer_add_index(c->slices, INDEX_DNS, cluster_dns_key);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "cluster-dns-controller",
							 .workers = 1,
							 .reconcile = cluster_dns_reconcile,
							 .ctx = c,
							 .ready = cluster_dns_ready });
	informer_add_handler(
	    c->services,
	    &(struct informer_handler){ cluster_dns_on_service, cluster_dns_on_service_update, cluster_dns_on_service },
	    c);
	informer_add_handler(
	    c->slices,
	    &(struct informer_handler){ cluster_dns_on_slice, cluster_dns_on_slice_update, cluster_dns_on_slice }, c);
	informer_add_handler(
	    c->nodes,
	    &(struct informer_handler){ cluster_dns_on_node, cluster_dns_on_node_update, cluster_dns_on_node }, c);
	cluster_dns_wake(c);
	return c;
}

static void cluster_dns_stop(void *controller)
{
	struct cluster_dns *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops cluster_dns_controller = { "cluster-dns-controller", "cluster-dns-controller",
						       cluster_dns_start, cluster_dns_stop };
