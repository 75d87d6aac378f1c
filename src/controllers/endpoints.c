/* endpoints: the older form of EndpointSlices, one Endpoints object a service, at most 1,000 addresses.
 *
 * An Endpoints object groups addresses that have the same ports. So ports are gathered first, each
 * with the addresses that serve it, and ports with the same addresses share a subset. */
#include "base/strmap.h"
#include "base/vec.h"
#include "controllers/controllers-internal.h"
#include "controllers/podutil.h"
#include "controllers/service_pods.h"
#include "controllers/status.h"
#include "controllers/template.h"

#include <pthread.h>
#include <stdlib.h>

#define ADDRESSES_MAX 1000
#define ANN_CAPACITY "endpoints.kubernetes.io/over-capacity"
#define LABEL_MANAGED "endpoints.kubernetes.io/managed-by"

struct endpoints {
	struct controller_ctx *ctx;
	struct informer *endpoints;
	struct workq *q;
	struct service_watch watch;
	pthread_mutex_t lock;
	struct strmap gone; /* under lock: keys of Services that were seen to go and not acted on yet */
};

struct port {
	struct val *doc;
	bool *serves; /* by pod */
	bool done;
};

struct erun {
	struct arena *a;
	struct obj *svc;
	struct obj **pods; /* sorted by address */
	size_t n;
	VEC(struct port) ports;
};

static int by_address(const void *x, const void *y)
{
	const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
	int c = sv_cmp(val_str(obj_get(a, F_status, F_podIP)), val_str(obj_get(b, F_status, F_podIP)));

	return c ? c : sv_cmp(obj_uid(a), obj_uid(b));
}

static void endpoints_add_port(struct erun *r, const struct val *svc_port, size_t pod, int64_t number)
{
	struct sv proto = val_get_str(svc_port, F_protocol);
	struct port fresh = { val_new_map(r->a), ARENA_ARRAY(r->a, bool, r->n), false };

	if (val_get_str(svc_port, F_name).n)
		val_set_str(r->a, fresh.doc, F_name, val_get_str(svc_port, F_name));
	val_set_int(r->a, fresh.doc, F_port, number);
	val_set_str(r->a, fresh.doc, F_protocol, proto.n ? proto : SV("TCP"));
	if (val_get_str(svc_port, F_appProtocol).n)
		val_set_str(r->a, fresh.doc, F_appProtocol, val_get_str(svc_port, F_appProtocol));
	for (size_t i = 0; i < r->ports.n; i++)
		if (val_equal(r->ports.p[i].doc, fresh.doc)) {
			r->ports.p[i].serves[pod] = true;
			return;
		}
	fresh.serves[pod] = true;
	vec_push(&r->ports, fresh);
}

static struct val *address(struct erun *r, const struct obj *pod)
{
	struct val *v = val_new_map(r->a);
	struct sv host = pod_hostname(pod, r->svc), node = val_str(obj_get(pod, F_spec, F_nodeName));

	val_set_str(r->a, v, F_ip, val_str(obj_get(pod, F_status, F_podIP)));
	if (host.n)
		val_set_str(r->a, v, F_hostname, host);
	if (node.n)
		val_set_str(r->a, v, F_nodeName, node);
	val_set(r->a, v, F_targetRef, obj_reference(r->a, "Pod", pod));
	return v;
}

/* A subset of the pods that `serves` marks, or NULL when it would be empty. */
static struct val *subset(struct erun *r, const bool *serves, const struct val *ports)
{
	bool publish = val_bool(obj_get(r->svc, F_spec, F_publishNotReadyAddresses));
	struct val *v = val_new_map(r->a), *ready = val_new_list(r->a), *not_ready = val_new_list(r->a);

	for (size_t i = 0; i < r->n; i++) {
		if (serves && !serves[i])
			continue;
		val_push(r->a, publish || pod_is_ready(r->pods[i]) ? ready : not_ready, address(r, r->pods[i]));
	}
	if (val_len(ready))
		val_set(r->a, v, F_addresses, ready);
	if (val_len(not_ready))
		val_set(r->a, v, F_notReadyAddresses, not_ready);
	if (!val_len(v))
		return NULL;
	if (val_len(ports))
		val_set(r->a, v, F_ports, ports);
	return v;
}

static struct val *subsets(struct erun *r)
{
	struct val *list = val_new_list(r->a), *v;

	if (!val_len(obj_get(r->svc, F_spec, F_ports))) {
		v = service_headless(r->svc) ? subset(r, NULL, NULL) : NULL;
		if (v)
			val_push(r->a, list, v);
		return list;
	}
	for (size_t i = 0; i < r->n; i++)
		VAL_EACH(obj_get(r->svc, F_spec, F_ports), p) {
			int64_t number;

			if (service_port_on_pod(p, r->pods[i], &number))
				endpoints_add_port(r, p, i, number);
		}
	for (size_t i = 0; i < r->ports.n; i++) {
		struct val *ports = val_new_list(r->a);

		if (r->ports.p[i].done)
			continue;
		for (size_t k = i; k < r->ports.n; k++) {
			if (memcmp(r->ports.p[i].serves, r->ports.p[k].serves, r->n * sizeof(bool)) != 0)
				continue;
			r->ports.p[k].done = true;
			val_push(r->a, ports, r->ports.p[k].doc);
		}
		v = subset(r, r->ports.p[i].serves, ports);
		if (v)
			val_push(r->a, list, v);
	}
	return list;
}

static int endpoints_write(struct endpoints *c, struct erun *r, struct obj *was, bool truncated, struct err *err)
{
	struct val *list = subsets(r), *labels = service_labels(r->a, r->svc);
	struct val *doc = was ? obj_edit(r->a, was) : val_new_map(r->a), *meta = val_ensure_map(r->a, doc, F_metadata),
		   *anns;

	val_set_str_sv(r->a, labels, SV(LABEL_MANAGED), SV("endpoint-controller"));
	anns = val_ensure_map(r->a, meta, F_annotations);
	val_del_sv(anns, SV(ANN_CAPACITY));
	if (truncated)
		val_set_str_sv(r->a, anns, SV(ANN_CAPACITY), SV("truncated"));
	if (was && val_same(obj_get(was, F_subsets), list) && val_same(obj_labels(was), labels) &&
	    val_same(obj_get(was, F_metadata, F_annotations), anns))
		return 0;
	val_set(r->a, meta, F_labels, labels);
	if (!was) {
		val_set_str(r->a, meta, F_name, obj_name(r->svc));
		val_set_str(r->a, meta, F_namespace, obj_ns(r->svc));
		val_set_cstr(r->a, doc, F_apiVersion, "v1");
		val_set_cstr(r->a, doc, F_kind, "Endpoints");
	}
	val_set(r->a, doc, F_subsets, list);
	if (was)
		return client_update(c->ctx->client, RES(core_endpoints), doc, NULL, NULL, err);
	if (client_create(c->ctx->client, RES(core_endpoints), obj_ns(r->svc), doc, NULL, NULL, err) < 0) {
		if (err_namespace_terminating(err))
			return err_forgive(err);
		if (err->reason == ERR_ALREADY_EXISTS) /* the cache lags: as good as a conflict */
			err->reason = ERR_CONFLICT;
		return -1;
	}
	return 0;
}

static bool ours(const struct obj *endpoints)
{
	return sv_is(label_of(obj_root(endpoints), LABEL_MANAGED), "endpoint-controller");
}

/* Endpoints written by hand go with their Service as well, but only those that had one: others may be somebody's
 * notes, as the leader elections of old clients are. */
static void note_gone(struct endpoints *c, struct sv key, bool gone)
{
	pthread_mutex_lock(&c->lock);
	if (gone)
		strmap_set(&c->gone, key, c);
	else
		strmap_del(&c->gone, key);
	pthread_mutex_unlock(&c->lock);
}

static bool saw_it_go(struct endpoints *c, struct sv key)
{
	bool gone;

	pthread_mutex_lock(&c->lock);
	gone = strmap_has(&c->gone, key);
	pthread_mutex_unlock(&c->lock);
	return gone;
}

static int endpoints_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct endpoints *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *svc = NULL, *was = NULL;
	struct erun r = { .a = &a };
	struct sv ns, name;
	struct obj **pods;
	size_t n;
	bool truncated = false;
	int rc;

	(void)ret;
	workq_key_split(key, &ns, &name);
	svc = informer_lookup(c->watch.services, ns, name);
	was = informer_lookup(c->endpoints, ns, name);
	if (!svc) {
		/* Endpoints have no owner: they go with the service by name. */
		if (was && !obj_deleting(was) && (ours(was) || saw_it_go(c, key)) &&
		    client_delete(c->ctx->client, RES(core_endpoints), ns, name, NULL, err) < 0) {
			if (err->reason == ERR_NOT_FOUND)
				return err_forgive(err);
			note_gone(c, key, true); /* for the next try */
			return -1;
		}
		note_gone(c, key, false);
		return 0;
	}
	note_gone(c, key, false); /* another one of the name */
	if (!service_has_selector(svc) || val_is(obj_get(svc, F_spec, F_type), "ExternalName"))
		return 0;
	r.svc = svc;
	pods = service_pods(&c->watch, &a, svc, &n);
	r.pods = ARENA_ARRAY(&a, struct obj *, n);
	/* Those that terminate only where readiness does not count either. */
	for (size_t i = 0; i < n; i++)
		if (!obj_deleting(pods[i]) || val_bool(obj_get(svc, F_spec, F_publishNotReadyAddresses)))
			r.pods[r.n++] = pods[i];
	if (r.n > 1)
		qsort(r.pods, r.n, sizeof(*r.pods), by_address);
	if (r.n > ADDRESSES_MAX) {
		r.n = ADDRESSES_MAX;
		truncated = true;
	}
	rc = endpoints_write(c, &r, was, truncated, err);
	vec_release(&r.ports);
	return rc;
}

static void endpoints_deleted(struct obj *o, void *ctx)
{
	struct endpoints *c = ctx;

	workq_add_obj(c->q, obj_ns(o), obj_name(o));
}

/* Once, for what is there at the start: Endpoints whose service went while nobody looked. */
static void endpoints_added(struct obj *o, void *ctx)
{
	endpoints_deleted(o, ctx);
}

static void service_deleted(struct obj *o, void *ctx)
{
	struct endpoints *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	note_gone(c, arena_svf(&a, "%.*s/%.*s", SV_ARG(obj_ns(o)), SV_ARG(obj_name(o))), true);
	endpoints_deleted(o, c);
}

static bool endpoints_ready(void *ctx)
{
	struct endpoints *c = ctx;

	return informer_synced(c->watch.services) && informer_synced(c->watch.pods) && informer_synced(c->endpoints);
}

static void *endpoints_start(struct controller_ctx *ctx)
{
	struct endpoints *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->endpoints = informer_get(ctx->informers, RES(core_endpoints), NULL, NULL, NULL);
	/* Before the queue, which asks at once whether they are synced. */
	c->watch.services = informer_get(ctx->informers, RES(core_services), NULL, NULL, NULL);
	c->watch.pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "endpoint-controller",
							 .workers = 5,
							 .reconcile = endpoints_reconcile,
							 .ctx = c,
							 .ready = endpoints_ready });
	c->watch.q = c->q;
	pthread_mutex_init(&c->lock, NULL);
	informer_add_handler(c->watch.services, &(struct informer_handler){ NULL, NULL, service_deleted }, c);
	service_watch_start(&c->watch);
	informer_add_handler(c->endpoints, &(struct informer_handler){ endpoints_added, NULL, endpoints_deleted }, c);
	return c;
}

static void endpoints_stop(void *controller)
{
	struct endpoints *c = controller;

	workq_free(c->q);
	strmap_release(&c->gone);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct controller_ops endpoints_controller = { "endpoints-controller", "endpoint-controller", endpoints_start,
						     endpoints_stop };
