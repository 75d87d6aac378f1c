/* service_lb: addresses for Services of type LoadBalancer, without a cloud: the machines' own.
 *
 * A Service claims its ports on nodes, and the addresses of the nodes where it has all of them are its ingress
 * addresses; each node's proxy does the rest. Whose port a node's is, is settled by who came first; the other one is
 * pending, with an Event that says why, until the port is free. Nothing is left outside the API when a Service goes, so
 * there is no finalizer (upstream's service.kubernetes.io/load-balancer-cleanup is for those who have to clean).
 *
 *	which Services	type LoadBalancer without a loadBalancerClass, or with "caravel.io/service-lb"
 *	which nodes	Ready, without the label node.kubernetes.io/exclude-from-external-load-balancers; when any
 *			node has a label enablelb, those with "true"; and of these, when the Service has a label lbpool,
 *			those with the same one. Both labels are read with k3s's prefix and with ours.
 *			externalTrafficPolicy Local: those with ready endpoints.
 *	which addresses	per family of the Service, the ExternalIPs of those nodes, or their InternalIPs if no node has
 *			one.
 *			spec.loadBalancerIP, if it is an address of one of those nodes: that one alone.
 *	what is taken	by another load balancer; by a host port of a pod; by a node port; by the node's own servers
 *	how many	a Service of more than 1,000 ports gets none
 *
 * A pod that wants such a port as its host port after that is not placed on the node (scheduler/balancers.h).
 */
#include "base/buf.h"
#include "base/ip.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/podutil.h"
#include "controllers/service_lb-internal.h"
#include "controllers/service_lb_ports.h"
#include "object/annotation.h"
#include "object/ingress_refs.h"
#include "object/slice.h"
#include "pod/balancer.h"
#include "pod/host_port.h"

#include <stdlib.h>

/* --- which Services --- */

static bool lb_is_balancer(const struct obj *svc)
{
	return val_is(obj_get(svc, F_spec, F_type), "LoadBalancer");
}

static void lb_add_port_key(struct index_keys *ret, struct sv protocol, int64_t port)
{
	if (port > 0 && port <= UINT16_MAX)
		index_keys_add(ret, lb_port_text(&ret->arena, protocol, port));
}

static void lb_service_keys(const struct obj *o, struct index_keys *ret)
{
	if (!balancer_is_ours(o))
		return;
	index_keys_add(ret, SV("all"));
	VAL_EACH(obj_get(o, F_spec, F_ports), p)
		lb_add_port_key(ret, val_get_str(p, F_protocol), val_get_int(p, 0, F_port));
}

static void lb_node_port_keys(const struct obj *o, struct index_keys *ret)
{
	VAL_EACH(obj_get(o, F_spec, F_ports), p)
		lb_add_port_key(ret, val_get_str(p, F_protocol), val_get_int(p, 0, F_nodePort));
	lb_add_port_key(ret, SV("TCP"), val_int_or(obj_get(o, F_spec, F_healthCheckNodePort), 0));
}

/* Which of its host ports are in a load balancer's way, in the arena. */
static size_t lb_host_ports(struct arena *a, const struct obj *pod, struct host_port **ret)
{
	size_t all = host_ports_parse(a, obj_get(pod, F_spec), ret), n = 0;

	for (size_t i = 0; i < all; i++)
		if (balancer_meets(&(*ret)[i]))
			(*ret)[n++] = (*ret)[i];
	return n;
}

/* A pod that is being deleted has them until it ended. */
static void lb_host_port_keys(const struct obj *o, struct index_keys *ret)
{
	struct sv node = val_str(obj_get(o, F_spec, F_nodeName));
	struct host_port *ports;
	size_t n;

	if (!node.n || pod_is_terminal(o))
		return;
	n = lb_host_ports(&ret->arena, o, &ports);
	for (size_t i = 0; i < n; i++) {
		struct sv text = lb_port_text(&ret->arena, ports[i].protocol, ports[i].port);

		index_keys_add(ret, arena_svf(&ret->arena, "%.*s/%.*s", SV_ARG(node), SV_ARG(text)));
	}
}

static void lb_slice_key(const struct obj *o, struct index_keys *ret)
{
	struct sv name = slice_service(o);

	if (name.n)
		index_keys_add_ref(ret, obj_ns(o), name);
}

/* --- runs --- */

static const char *lb_ingress_text(struct arena *a, const struct val *list)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(list, in)
		buf_printf(&b, "%s%.*s", b.n ? " " : "[", SV_ARG(val_get_str(in, F_ip)));
	buf_adds(&b, b.n ? "]" : "[]");
	return arena_cstr(a, buf_sv(&b));
}

static int lb_write(struct lb_run *r, struct val *ingress, struct err *err)
{
	struct arena *a = &r->a;
	const struct val *was = obj_get(r->svc, F_status, F_loadBalancer, F_ingress);
	struct val *doc, *status;

	if (val_len(was) == val_len(ingress) && (!val_len(was) || val_same(was, ingress)))
		return 0;
	doc = obj_edit(a, r->svc);
	status = val_ensure_map(a, val_ensure_map(a, doc, F_status), F_loadBalancer);
	if (val_len(ingress))
		val_set(a, status, F_ingress, ingress);
	else
		val_del(status, F_ingress);
	if (client_update_status(r->c->ctx->client, RES(core_services), doc, NULL, err) < 0)
		return -1;
	if (val_len(ingress))
		recorder_event(r->c->ctx->recorder, RES(core_services), obj_root(r->svc), "Normal",
			       "UpdatedLoadBalancer", "Updated LoadBalancer with new IPs: %s -> %s",
			       lb_ingress_text(a, was), lb_ingress_text(a, ingress));
	return 0;
}

/* Once for each reason: it is looked at again and again while it waits. */
static void lb_wait(struct lb_run *r, bool pending)
{
	const char *none = lb_is_local(r->svc) ? "no node with a ready endpoint" : "no node that is ready",
		   *why = !pending ? ""
			  : r->why ? r->why
				   : none;
	char *had = strmap_get(&r->c->waiting, r->key);

	if (!pending && !r->why) {
		free(strmap_del(&r->c->waiting, r->key));
		return;
	}
	if (had && strcmp(had, why) == 0)
		return;
	free(strmap_set(&r->c->waiting, r->key, xstrdup(why)));
	if (pending)
		recorder_event(r->c->ctx->recorder, RES(core_services), obj_root(r->svc), "Warning",
			       "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer: %s", why);
}

/* Addresses that are nodes', and none other: what we wrote when it was ours. */
static bool lb_left_behind(struct lb_run *r)
{
	const struct val *list = obj_get(r->svc, F_status, F_loadBalancer, F_ingress);
	size_t n;
	struct obj **nodes;

	if (lb_is_balancer(r->svc) || !val_len(list) || obj_deleting(r->svc))
		return false;
	nodes = informer_list(r->c->nodes, &r->a, SV(""), &n);
	VAL_EACH(list, in) {
		bool found = false;

		for (size_t i = 0; i < n && !found; i++)
			found = lb_node_has(nodes[i], val_get_str(in, F_ip));
		if (!found)
			return false;
	}
	return true;
}

static int lb_sync(struct lb_run *r, struct err *err)
{
	struct val *ingress;

	if (!r->svc || !balancer_is_ours(r->svc)) {
		lb_settle(r);
		free(strmap_del(&r->c->waiting, r->key));
		return r->svc && lb_left_behind(r) ? lb_write(r, NULL, err) : 0;
	}
	lb_choose(r);
	ingress = lb_ingress(r);
	lb_wait(r, !val_len(ingress));
	return lb_write(r, ingress, err);
}

/* Before anybody claims: what statuses say has been had, on the nodes that are still there. */
static void lb_seed(struct service_lb *c)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n, n_nodes;
	struct obj **list = informer_by_index(c->services, &a, INDEX_LB, SV("all"), &n),
		   **nodes = informer_list(c->nodes, &a, SV(""), &n_nodes);

	for (size_t i = 0; i < n; i++)
		VAL_EACH(obj_get(list[i], F_status, F_loadBalancer, F_ingress), in)
			for (size_t k = 0; k < n_nodes; k++) {
				const struct val *port;
				struct sv holder;

				if (lb_node_has(nodes[k], val_get_str(in, F_ip)))
					(void)lb_ports_take(&c->ports,
							    arena_svf(&a, "%.*s/%.*s", SV_ARG(obj_ns(list[i])),
								      SV_ARG(obj_name(list[i]))),
							    obj_name(nodes[k]), obj_get(list[i], F_spec, F_ports),
							    &holder, &port);
			}
	c->seeded = true;
}

static int lb_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct lb_run r = { .c = ctx, .key = key };
	struct sv ns, name;
	int rc;

	(void)ret;
	if (!r.c->seeded)
		lb_seed(r.c);
	workq_key_split(key, &ns, &name);
	r.svc = informer_lookup(r.c->services, ns, name);
	rc = lb_sync(&r, err);
	if (r.svc)
		obj_unref(r.svc);
	arena_release(&r.a);
	return rc;
}

/* --- what calls for a run --- */

static void lb_wake_by(struct service_lb *c, struct sv key)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **list = informer_by_index(c->services, &a, INDEX_LB, key, &n);

	for (size_t i = 0; i < n; i++)
		workq_add_obj(c->q, obj_ns(list[i]), obj_name(list[i]));
}

/* Whoever wants that port. */
static void lb_wake_port(struct service_lb *c, struct sv protocol, int64_t port)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	lb_wake_by(c, lb_port_text(&a, protocol, port));
}

/* Who waits may wait for this one's node ports. */
static void lb_wake_waiting(struct service_lb *c, const struct obj *svc)
{
	int64_t health = val_int_or(obj_get(svc, F_spec, F_healthCheckNodePort), 0);

	VAL_EACH(obj_get(svc, F_spec, F_ports), p)
		if (val_get_int(p, 0, F_nodePort) > 0)
			lb_wake_port(c, val_get_str(p, F_protocol), val_get_int(p, 0, F_nodePort));
	if (health > 0)
		lb_wake_port(c, SV("TCP"), health);
}

static bool lb_concerns(const struct obj *svc)
{
	return lb_is_balancer(svc) || val_len(obj_get(svc, F_status, F_loadBalancer, F_ingress));
}

static void lb_on_service(struct obj *o, void *ctx)
{
	struct service_lb *c = ctx;

	if (lb_concerns(o))
		workq_add_obj(c->q, obj_ns(o), obj_name(o));
}

static void lb_on_service_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct service_lb *c = ctx;

	if (lb_concerns(old) || lb_concerns(neu))
		workq_add_obj(c->q, obj_ns(neu), obj_name(neu));
	if (!val_equal(obj_get(old, F_spec, F_ports), obj_get(neu, F_spec, F_ports)))
		lb_wake_waiting(c, old);
}

static void lb_on_service_gone(struct obj *o, void *ctx)
{
	lb_on_service(o, ctx);
	lb_wake_waiting(ctx, o);
}

static void lb_on_slice(struct obj *o, void *ctx)
{
	struct service_lb *c = ctx;
	struct sv name = slice_service(o);
	_cleanup_obj_ struct obj *svc = name.n ? informer_lookup(c->services, obj_ns(o), name) : NULL;

	if (svc && lb_is_balancer(svc) && lb_is_local(svc))
		workq_add_obj(c->q, obj_ns(svc), obj_name(svc));
}

static void lb_on_slice_update(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	lb_on_slice(neu, ctx);
}

static void lb_on_node(struct obj *o, void *ctx)
{
	(void)o;
	lb_wake_by(ctx, SV("all"));
}

static bool lb_same_annotation(const struct obj *old, const struct obj *neu, const char *name)
{
	return sv_eq(annotation_of(obj_root(old), name), annotation_of(obj_root(neu), name));
}

/* A heartbeat changes nothing of this. */
static void lb_on_node_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (lb_node_ready(old) != lb_node_ready(neu) ||
	    !val_equal(obj_get(old, F_status, F_addresses), obj_get(neu, F_status, F_addresses)) ||
	    !val_equal(obj_labels(old), obj_labels(neu)) || !lb_same_annotation(old, neu, ANN_DNS) ||
	    !lb_same_annotation(old, neu, INGRESS_NODE_ANNOTATION))
		lb_on_node(neu, ctx);
}

/* One that had a host port gives it back. */
static void lb_on_pod_gone(struct obj *o, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct host_port *ports;
	size_t n = lb_host_ports(&a, o, &ports);

	for (size_t i = 0; i < n; i++)
		lb_wake_port(ctx, ports[i].protocol, ports[i].port);
}

static void lb_on_pod_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!pod_is_terminal(old) && pod_is_terminal(neu))
		lb_on_pod_gone(neu, ctx);
}

static bool lb_ready(void *ctx)
{
	struct service_lb *c = ctx;

	return informer_synced(c->services) && informer_synced(c->slices) && informer_synced(c->nodes) &&
	       informer_synced(c->pods);
}

static void *lb_start(struct controller_ctx *ctx)
{
	struct service_lb *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->services = informer_get(ctx->informers, RES(core_services), NULL, NULL, NULL);
	c->slices = informer_get(ctx->informers, RES(discovery_endpointslices), NULL, NULL, NULL);
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	informer_add_index(c->services, INDEX_LB, lb_service_keys);
	informer_add_index(c->services, INDEX_NODE_PORTS, lb_node_port_keys);
	informer_add_index(c->slices, INDEX_SLICES, lb_slice_key);
	informer_add_index(c->pods, INDEX_HOST_PORTS, lb_host_port_keys);
	/* One worker: two Services never race for a port. */
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "service-lb-controller",
							 .workers = 1,
							 .reconcile = lb_reconcile,
							 .ctx = c,
							 .ready = lb_ready });
	informer_add_handler(c->services,
			     &(struct informer_handler){ lb_on_service, lb_on_service_update, lb_on_service_gone }, c);
	informer_add_handler(c->slices, &(struct informer_handler){ lb_on_slice, lb_on_slice_update, lb_on_slice }, c);
	informer_add_handler(c->nodes, &(struct informer_handler){ lb_on_node, lb_on_node_update, lb_on_node }, c);
	informer_add_handler(c->pods, &(struct informer_handler){ NULL, lb_on_pod_update, lb_on_pod_gone }, c);
	return c;
}

static void lb_stop(void *controller)
{
	struct service_lb *c = controller;

	workq_free(c->q);
	lb_ports_release(&c->ports);
	strmap_release_with(&c->waiting, free);
	free(c);
}

const struct controller_ops service_lb_controller = { "service-lb-controller", "service-lb-controller", lb_start,
						      lb_stop };
