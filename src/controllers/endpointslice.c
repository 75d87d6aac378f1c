/* endpointslice: the addresses behind each service, in slices of at most 100.
 *
 * For each address family of a service and each set of ports (named ports may differ from pod to
 * pod), the wanted endpoints are laid over the slices there are, with as few changes as can be:
 *	1. in every slice, endpoints no longer wanted go, changed ones are replaced in place;
 *	2. new ones fill slices that change anyway, then the slice they fit into best;
 *	3. what is left makes new slices; slices left empty are deleted.
 * A service without endpoints keeps one empty slice, so that readers know it was looked at. */
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/service_pods.h"
#include "controllers/status.h"
#include "controllers/template.h"
#include "controllers/topology_hints.h"
#include "controllers/written.h"
#include "object/slice.h"
#include "client/workq.h"
#include "base/strmap.h"

#include <stdlib.h>

#define PER_SLICE 100
#define LABEL_MANAGED "endpointslice.kubernetes.io/managed-by"
#define LABEL_ZONE "topology.kubernetes.io/zone"
#define MANAGER "endpointslice-controller.k8s.io"
#define INDEX_SERVICE "service"
#define INDEX_TOPOLOGY "topology"
#define ANN_TRIGGER "endpoints.kubernetes.io/last-change-trigger-time"
#define STALE_RETRY_NS (20 * NS_PER_MS)

struct endpointslice {
	struct controller_ctx *ctx;
	struct informer *slices, *nodes;
	struct workq *q;
	struct written *written;
	struct service_watch watch;
};

struct wanted {
	struct val *ep;
	int64_t since_ns; /* its pod is as ready as it is; 0: unknown */
	bool placed;
};

/* Endpoints that have the same ports. */
struct group {
	const struct val *ports;
	VEC(struct wanted) eps;
	struct strmap by_key; /* key -> index + 1 */
};

struct slice {
	struct obj *o;	       /* NULL: to be made */
	struct val *endpoints; /* as they shall be */
	const struct val *ports;
	int64_t since_ns; /* what changed in it is as it is at the latest; 0: nothing that has a time */
	bool changed, used;
};

struct srun {
	struct endpointslice *c;
	struct arena *a;
	struct sv key;
	struct obj *svc;
	struct val *labels;
	const char *family;
	bool missing_node, by_topology;
	bool first;		  /* it has no slices yet */
	struct topology topology; /* if by_topology */
	VEC(struct group) groups;
	VEC(struct slice) slices;
};

static void service_key(const struct obj *o, struct index_keys *ret)
{
	index_keys_add_ref(ret, obj_ns(o), slice_service(o));
}

static void topology_key(const struct obj *o, struct index_keys *ret)
{
	if (topology_wanted(o))
		index_keys_add(ret, SV("auto"));
}

/* What makes an endpoint the same one: its address and its pod. */
static struct sv endpoint_key(struct arena *a, const struct val *ep)
{
	return arena_svf(a, "%.*s/%.*s", SV_ARG(val_str(val_at(val_member(ep, F_addresses), 0))),
			 SV_ARG(val_get_str(ep, F_targetRef, F_uid)));
}

static int endpointslice_by_name(const void *x, const void *y)
{
	return sv_cmp(val_get_str(*(const struct val *const *)x, F_name),
		      val_get_str(*(const struct val *const *)y, F_name));
}

static const struct val *ports_on(struct srun *r, const struct obj *pod)
{
	const struct val *ports = obj_get(r->svc, F_spec, F_ports);
	const struct val **v = ARENA_ARRAY(r->a, const struct val *, val_len(ports));
	struct val *list = val_new_list(r->a);
	size_t n = 0;

	VAL_EACH(ports, p) {
		struct val *out;
		struct sv proto = val_get_str(p, F_protocol), app = val_get_str(p, F_appProtocol);
		int64_t number;

		if (!service_port_on_pod(p, pod, &number))
			continue;
		out = val_new_map(r->a);
		val_set_str(r->a, out, F_name, val_get_str(p, F_name));
		val_set_str(r->a, out, F_protocol, proto.n ? proto : SV("TCP"));
		val_set_int(r->a, out, F_port, number);
		if (app.n)
			val_set_str(r->a, out, F_appProtocol, app);
		v[n++] = out;
	}
	if (n > 1)
		qsort(v, n, sizeof(*v), endpointslice_by_name);
	for (size_t i = 0; i < n; i++)
		val_push(r->a, list, v[i]);
	return list;
}

static struct group *group_of(struct srun *r, const struct val *ports)
{
	for (size_t i = 0; i < r->groups.n; i++)
		if (val_same(r->groups.p[i].ports, ports))
			return &r->groups.p[i];
	return NULL;
}

static struct group *group_for(struct srun *r, const struct val *ports)
{
	struct group *g = group_of(r, ports), none = { .ports = ports };

	if (g)
		return g;
	vec_push(&r->groups, none);
	return &vec_last(&r->groups);
}

/* Who should prefer a ready endpoint, as spec.trafficDistribution asks (KEP-4444, KEP-3015). Proxies that know no hints
 * for nodes fall back to those for the zone. */
static void endpoint_hints(struct srun *r, struct val *ep)
{
	const struct val *wish = obj_get(r->svc, F_spec, F_trafficDistribution);
	bool same_node = val_is(wish, "PreferSameNode");
	const enum sym of[] = { F_zone, F_nodeName }, list[] = { F_forZones, F_forNodes };

	if (!same_node && !val_is(wish, "PreferSameZone") && !val_is(wish, "PreferClose"))
		return;
	for (size_t i = 0; i < (same_node ? 2 : 1); i++) {
		struct sv name = val_str(val_member(ep, of[i]));

		if (name.n)
			endpoint_hint(r->a, ep, list[i], name);
	}
}

static int endpointslice_by_address(const void *x, const void *y)
{
	return sv_cmp(val_str(val_at(val_member(*(const struct val *const *)x, F_addresses), 0)),
		      val_str(val_at(val_member(*(const struct val *const *)y, F_addresses), 0)));
}

/* By the annotation, which goes before spec.trafficDistribution. */
static void group_hints(struct srun *r, struct group *g)
{
	struct val **ready = ARENA_ARRAY(r->a, struct val *, g->eps.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < g->eps.n; i++)
		if (val_get_bool(g->eps.p[i].ep, F_conditions, F_ready))
			ready[n++] = g->eps.p[i].ep;
	if (n > 1)
		qsort(ready, n, sizeof(*ready), endpointslice_by_address);
	(void)topology_hints(r->a, &r->topology, ready, n);
}

static void want_pod(struct srun *r, struct obj *pod)
{
	struct sv ip = pod_ip(pod, strcmp(r->family, "IPv6") == 0),
		  node_name = val_str(obj_get(pod, F_spec, F_nodeName));
	bool serving = pod_is_ready(pod), ending = obj_deleting(pod);
	bool publish = val_bool(obj_get(r->svc, F_spec, F_publishNotReadyAddresses));
	_cleanup_obj_ struct obj *node = node_name.n ? informer_lookup(r->c->nodes, SV(""), node_name) : NULL;
	struct val *ep = val_new_map(r->a), *list = val_new_list(r->a), *conds = val_new_map(r->a);
	struct sv host = pod_hostname(pod, r->svc), zone = label_of(obj_root(node), LABEL_ZONE);
	struct wanted w = { .ep = ep };
	struct group *g;

	if (!ip.n)
		return;
	if (node_name.n && !node) {
		/* Its node is not known (yet): nobody could say where the address is. */
		r->missing_node = true;
		if (!publish)
			return;
	}
	val_push(r->a, list, val_new_str(r->a, ip));
	val_set(r->a, ep, F_addresses, list);
	val_set_bool(r->a, conds, F_ready, publish || (serving && !ending));
	val_set_bool(r->a, conds, F_serving, serving);
	val_set_bool(r->a, conds, F_terminating, ending);
	val_set(r->a, ep, F_conditions, conds);
	if (host.n)
		val_set_str(r->a, ep, F_hostname, host);
	val_set(r->a, ep, F_targetRef, obj_reference(r->a, "Pod", pod));
	if (node_name.n)
		val_set_str(r->a, ep, F_nodeName, node_name);
	if (zone.n)
		val_set_str(r->a, ep, F_zone, zone);
	if (val_get_bool(conds, F_ready) && !r->by_topology)
		endpoint_hints(r, ep);
	(void)pod_ready_since(pod, &w.since_ns);
	g = group_for(r, ports_on(r, pod));
	vec_push(&g->eps, w);
	strmap_set(&g->by_key, endpoint_key(r->a, ep), (void *)(uintptr_t)g->eps.n);
}

/* Since when what is written waited to be written: readers measure by it how long they took. */
static void slice_since(struct slice *s, int64_t ns)
{
	if (ns && (!s->since_ns || ns < s->since_ns))
		s->since_ns = ns;
}

/* Step 1: what of this slice stays. */
static void keep_wanted(struct srun *r, struct slice *s, struct group *g)
{
	s->used = true;
	s->ports = g->ports;
	VAL_EACH(obj_get(s->o, F_endpoints), ep) {
		size_t at = (uintptr_t)strmap_get(&g->by_key, endpoint_key(r->a, ep));
		struct wanted *w = at ? &g->eps.p[at - 1] : NULL;

		if (!w || w->placed) {
			s->changed = true;
			continue;
		}
		w->placed = true;
		s->changed |= !val_same(w->ep, ep);
		if (val_get_bool(w->ep, F_conditions, F_serving) != val_get_bool(ep, F_conditions, F_serving))
			slice_since(s, w->since_ns);
		val_push(r->a, s->endpoints, w->ep);
	}
}

/* Step 2 and 3: where the next endpoints go, `left` of them waiting. */
static struct slice *slice_to_fill(struct srun *r, const struct group *g, size_t left)
{
	struct slice *best = NULL,
		     fresh = { .endpoints = val_new_list(r->a), .ports = g->ports, .changed = true, .used = true };

	for (size_t i = 0; i < r->slices.n; i++) {
		struct slice *s = &r->slices.p[i];

		if (s->used && s->ports == g->ports && s->changed && val_len(s->endpoints) &&
		    val_len(s->endpoints) < PER_SLICE)
			return s;
	}
	for (size_t i = 0; i < r->slices.n; i++) {
		struct slice *s = &r->slices.p[i];

		if (s->used && s->ports == g->ports && val_len(s->endpoints) + MIN(left, PER_SLICE) <= PER_SLICE &&
		    (!best || val_len(s->endpoints) > val_len(best->endpoints)))
			best = s;
	}
	if (best)
		return best;
	vec_push(&r->slices, fresh);
	return &vec_last(&r->slices);
}

static void place_rest(struct srun *r, struct group *g)
{
	struct slice *s = NULL;
	size_t left = 0;

	for (size_t i = 0; i < g->eps.n; i++)
		left += !g->eps.p[i].placed;
	for (size_t i = 0; i < g->eps.n; i++) {
		if (g->eps.p[i].placed)
			continue;
		if (!s || val_len(s->endpoints) >= PER_SLICE)
			s = slice_to_fill(r, g, left);
		val_push(r->a, s->endpoints, g->eps.p[i].ep);
		slice_since(s, g->eps.p[i].since_ns);
		s->changed = true;
		left--;
	}
}

static int endpointslice_write_slice(struct srun *r, struct slice *s, struct err *err)
{
	struct arena *a = r->a;
	struct client *client = r->c->ctx->client;
	struct val *doc = s->o ? obj_edit(a, s->o) : val_new_map(a), *meta = val_ensure_map(a, doc, F_metadata);
	_cleanup_obj_ struct obj *after = NULL;
	int64_t since;
	int rc;

	val_set(a, meta, F_labels, r->labels);
	if (r->first && time_get(obj_get(r->svc, F_metadata, F_creationTimestamp), &since))
		slice_since(s, since);
	if (s->since_ns)
		val_set_sv(a, val_ensure_map(a, meta, F_annotations), SV(ANN_TRIGGER),
			   val_new_str(a, time_text(a, s->since_ns)));
	else
		val_del_sv(val_ensure_map(a, meta, F_annotations), SV(ANN_TRIGGER));
	if (!s->o) {
		struct val *refs = val_new_list(a);

		val_set_strf(a, meta, F_generateName, "%.*s-", SV_ARG(obj_name(r->svc)));
		val_set_str(a, meta, F_namespace, obj_ns(r->svc));
		val_push(a, refs, owner_ref(a, RES(core_services), obj_root(r->svc), true, true));
		val_set(a, meta, F_ownerReferences, refs);
		val_set_cstr(a, doc, F_apiVersion, "discovery.k8s.io/v1");
		val_set_cstr(a, doc, F_kind, "EndpointSlice");
		val_set_cstr(a, doc, F_addressType, r->family);
	}
	val_set(a, doc, F_endpoints, s->endpoints);
	val_set(a, doc, F_ports, s->ports);
	if (s->o)
		rc = client_update(client, RES(discovery_endpointslices), doc, NULL, &after, err);
	else
		rc = client_create(client, RES(discovery_endpointslices), obj_ns(r->svc), doc, NULL, &after, err);
	if (rc < 0)
		return err_namespace_terminating(err) ? err_forgive(err) : -1;
	written_note(r->c->written, r->key, obj_rev(after));
	return 0;
}

static int delete_slice(struct srun *r, struct obj *o, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (client_delete(r->c->ctx->client, RES(discovery_endpointslices), obj_ns(o), obj_name(o), NULL, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static bool is_placeholder(const struct slice *s)
{
	return s->o && !val_len(obj_get(s->o, F_endpoints)) && !val_len(obj_get(s->o, F_ports));
}

static int write_family(struct srun *r, struct err *err)
{
	size_t kept = 0;
	struct slice *empty = NULL;

	for (size_t i = 0; i < r->slices.n; i++) {
		struct slice *s = &r->slices.p[i];

		kept += val_len(s->endpoints) > 0;
		if (!empty && is_placeholder(s))
			empty = s;
	}
	if (kept == 0 && !empty) {
		struct slice fresh = { .endpoints = val_new_list(r->a), .ports = val_new_list(r->a), .changed = true };

		vec_push(&r->slices, fresh);
		empty = &vec_last(&r->slices);
	}
	for (size_t i = 0; i < r->slices.n; i++) {
		struct slice *s = &r->slices.p[i];

		if (!val_len(s->endpoints) && (kept || s != empty)) {
			if (s->o && delete_slice(r, s->o, err) < 0)
				return -1;
			continue;
		}
		if (s == empty && !s->ports)
			s->ports = val_new_list(r->a);
		if (s->o && !s->changed && val_same(obj_labels(s->o), r->labels))
			continue;
		if (endpointslice_write_slice(r, s, err) < 0)
			return -1;
	}
	return 0;
}

static int sync_family(struct srun *r, struct obj **slices, size_t n_slices, struct obj **pods, size_t n_pods,
		       struct err *err)
{
	int rc;

	for (size_t i = 0; i < n_pods; i++)
		want_pod(r, pods[i]);
	for (size_t i = 0; r->by_topology && i < r->groups.n; i++)
		group_hints(r, &r->groups.p[i]);
	for (size_t i = 0; i < n_slices; i++) {
		struct slice s = { .o = slices[i], .endpoints = val_new_list(r->a) };
		struct group *g;

		if (!val_is(obj_get(slices[i], F_addressType), r->family))
			continue;
		g = group_of(r, obj_get(slices[i], F_ports));
		if (g)
			keep_wanted(r, &s, g);
		vec_push(&r->slices, s);
	}
	for (size_t i = 0; i < r->groups.n; i++)
		place_rest(r, &r->groups.p[i]);
	rc = write_family(r, err);
	for (size_t i = 0; i < r->groups.n; i++) {
		vec_release(&r->groups.p[i].eps);
		strmap_release(&r->groups.p[i].by_key);
	}
	vec_release(&r->groups);
	vec_release(&r->slices);
	return rc;
}

static bool has_family(const struct val *families, struct sv type)
{
	return val_len(families) ? list_has_text(families, type) : sv_is(type, "IPv4");
}

/* Ours, of this service, not going already. */
static struct obj **endpointslice_own_slices(struct srun *r, size_t *ret_n)
{
	size_t n, kept = 0;
	struct obj **v = informer_by_ref(r->c->slices, r->a, INDEX_SERVICE, obj_ns(r->svc), obj_name(r->svc), &n);
	struct obj **out = ARENA_ARRAY(r->a, struct obj *, n);

	for (size_t i = 0; i < n; i++)
		if (!obj_deleting(v[i]) && sv_is(label_of(obj_root(v[i]), LABEL_MANAGED), MANAGER))
			out[kept++] = v[i];
	*ret_n = kept;
	return out;
}

static int endpointslice_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	static const char *const families[] = { "IPv4", "IPv6" };
	struct endpointslice *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *svc = NULL;
	struct srun r = { .c = c, .a = &a, .key = key };
	struct obj **pods, **slices;
	struct sv ns, name;
	size_t n_pods, n_slices;

	workq_key_split(key, &ns, &name);
	svc = informer_lookup(c->watch.services, ns, name);
	/* Slices of a service that is gone go with it, by their ownerReference. */
	if (!svc || obj_deleting(svc) || !service_has_selector(svc) ||
	    val_is(obj_get(svc, F_spec, F_type), "ExternalName"))
		return 0;
	if (!written_seen(c->written, key, c->slices)) {
		ret->after_ns = STALE_RETRY_NS;
		return 0;
	}
	r.svc = svc;
	r.labels = service_labels(&a, svc);
	val_set_str_sv(&a, r.labels, SV(SLICE_SERVICE_LABEL), name);
	val_set_str_sv(&a, r.labels, SV(LABEL_MANAGED), SV(MANAGER));
	r.by_topology = topology_wanted(svc);
	if (r.by_topology)
		topology_read(&r.topology, &a, c->nodes);
	pods = service_pods(&c->watch, &a, svc, &n_pods);
	slices = endpointslice_own_slices(&r, &n_slices);
	r.first = n_slices == 0;
	for (size_t i = 0; i < n_slices; i++)
		if (!has_family(obj_get(svc, F_spec, F_ipFamilies), val_str(obj_get(slices[i], F_addressType))) &&
		    delete_slice(&r, slices[i], err) < 0)
			return -1;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		r.family = families[i];
		if (has_family(obj_get(svc, F_spec, F_ipFamilies), sv_from(families[i])) &&
		    sync_family(&r, slices, n_slices, pods, n_pods, err) < 0)
			return -1;
	}
	if (r.missing_node)
		ret->after_ns = NS_PER_SEC;
	return 0;
}

static void endpointslice_slice_changed(struct obj *o, void *ctx)
{
	struct endpointslice *c = ctx;

	if (sv_is(label_of(obj_root(o), LABEL_MANAGED), MANAGER))
		workq_add_obj(c->q, obj_ns(o), slice_service(o));
}

static void endpointslice_slice_updated(struct obj *old, struct obj *neu, void *ctx)
{
	endpointslice_slice_changed(old, ctx);
	endpointslice_slice_changed(neu, ctx);
}

/* Endpoints tell the zone of their node; hints by topology are made of all nodes. */
static void endpointslice_node_changed(struct endpointslice *c, bool zone)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj **all;
	size_t n;

	if (!zone && !informer_has_keys(c->watch.services, INDEX_TOPOLOGY))
		return;
	all = zone ? informer_list(c->watch.services, &a, SV(""), &n)
		   : informer_by_index(c->watch.services, &a, INDEX_TOPOLOGY, SV("auto"), &n);
	for (size_t i = 0; i < n; i++)
		workq_add_obj(c->q, obj_ns(all[i]), obj_name(all[i]));
}

static void endpointslice_node(_unused_ struct obj *o, void *ctx)
{
	endpointslice_node_changed(ctx, false);
}

static void endpointslice_node_updated(struct obj *old, struct obj *neu, void *ctx)
{
	bool zone = !sv_eq(label_of(obj_root(old), LABEL_ZONE), label_of(obj_root(neu), LABEL_ZONE));

	if (zone || !topology_same(old, neu))
		endpointslice_node_changed(ctx, zone);
}

static bool endpointslice_ready(void *ctx)
{
	struct endpointslice *c = ctx;

	return informer_synced(c->watch.services) && informer_synced(c->watch.pods) && informer_synced(c->slices) &&
	       informer_synced(c->nodes);
}

static void *endpointslice_start(struct controller_ctx *ctx)
{
	struct endpointslice *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->slices = informer_get(ctx->informers, RES(discovery_endpointslices), NULL, NULL, NULL);
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	informer_add_index(c->slices, INDEX_SERVICE, service_key);
	c->written = written_new();
	/* Before the queue, which asks at once whether they are synced. */
	c->watch.services = informer_get(ctx->informers, RES(core_services), NULL, NULL, NULL);
	informer_add_index(c->watch.services, INDEX_TOPOLOGY, topology_key);
	c->watch.pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "endpointslice-controller",
							 .workers = 5,
							 .reconcile = endpointslice_reconcile,
							 .ctx = c,
							 .ready = endpointslice_ready });
	c->watch.q = c->q;
	service_watch_start(&c->watch);
	informer_add_handler(
	    c->slices, &(struct informer_handler){ NULL, endpointslice_slice_updated, endpointslice_slice_changed }, c);
	informer_add_handler(
	    c->nodes, &(struct informer_handler){ endpointslice_node, endpointslice_node_updated, endpointslice_node },
	    c);
	return c;
}

static void endpointslice_stop(void *controller)
{
	struct endpointslice *c = controller;

	workq_free(c->q);
	written_free(c->written);
	free(c);
}

const struct controller_ops endpointslice_controller = { "endpointslice-controller", "endpointslice-controller",
							 endpointslice_start, endpointslice_stop };
