/* gateway-controller: the kinds of Gateway API, the GatewayClass `caravel`, and what is said of Gateways of ours and of
 * the routes attached to them. Who serves them is ingress/, on every node; both ask gateway/ what is to be served.
 *
 * Nothing of the cluster but the kinds themselves is watched until there is a Gateway of ours: Services, namespaces,
 * certificates and nodes are read from then on.
 *
 * One key: what is said of one object may change with any other. A run costs all Gateways and routes, and as many
 * writes as differ; between runs is a pause of several times what one took. A write that is refused keeps none of those
 * behind it waiting. */
#include "base/vec.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/gateway_install.h"
#include "controllers/gateway_status.h"
#include "controllers/ingress_nodes.h"
#include "controllers/status.h"
#include "gateway/crds.h"
#include "gateway/feed.h"
#include "gateway/tls_secret.h"
#include "object/annotation.h"

#include <stdlib.h>

#define REST 4 /* times what a run took, before the next */
#define REST_MAX_NS NS_PER_SEC
#define SYNC_POLL_NS (10 * NS_PER_MS)

static const struct sv gateway_key = { "gateways", 8 };

struct gateways {
	struct controller_ctx *ctx;
	struct workq *q;
	struct gw_feed *feed;
	struct informer *crds; /* the garbage collector reads them, too */
	/* Of the one worker: */
	bool installed, class_made;
	struct informer *services, *namespaces, *secrets, *nodes, *ingresses,
	    *classes; /* NULL: nobody needed them yet */
	struct tls_checked checked;
	int64_t next_ns;
};

static void gateways_wake(void *ctx)
{
	workq_add(((struct gateways *)ctx)->q, gateway_key);
}

static void gateways_on_object(_unused_ struct obj *o, void *ctx)
{
	gateways_wake(ctx);
}

static void gateways_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (obj_rev(old) != obj_rev(neu)) /* not told anew after a re-list */
		gateways_wake(ctx);
}

static void gateways_on_node(struct obj *old, struct obj *neu, void *ctx)
{
	if (ingress_node_changed(old, neu))
		gateways_wake(ctx);
}

/* Its status is told by others. */
static void gateways_on_ingress(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_spec), obj_get(neu, F_spec)) ||
	    !val_equal(obj_get(old, F_metadata, F_annotations), obj_get(neu, F_metadata, F_annotations)) ||
	    obj_deleting(old) != obj_deleting(neu))
		gateways_wake(ctx);
}

/* --- what is asked of the cluster --- */

struct gateway_run {
	struct gateways *c;
	struct arena *a;
};

static const struct val *run_labels(void *ctx, struct sv ns)
{
	struct gateway_run *r = ctx;
	struct obj *o = informer_lookup(r->c->namespaces, SV(""), ns);

	return o ? obj_get(obj_link(r->a, o), F_metadata, F_labels) : NULL;
}

static enum gw_service run_service(void *ctx, struct sv ns, struct sv name, int64_t port)
{
	struct gateway_run *r = ctx;
	_cleanup_obj_ struct obj *o = informer_lookup(r->c->services, ns, name);

	return gw_service_port(o, port);
}

static const char *run_certificate(void *ctx, struct sv ns, struct sv name)
{
	struct gateway_run *r = ctx;
	struct obj *o = informer_lookup(r->c->secrets, ns, name);
	struct sv pem;

	if (!o) /* only those of the right type are watched */
		return "is not there, or not of the type kubernetes.io/tls";
	return tls_secret_pem(r->a, &r->c->checked, arena_svf(r->a, "%.*s/%.*s", SV_ARG(ns), SV_ARG(name)),
			      obj_link(r->a, o), &pem);
}

/* False: they are not known yet. */
static bool gateways_watch(struct gateways *c)
{
	static const struct informer_handler any = { gateways_on_object, gateways_on_update, gateways_on_object },
					     nodes = { gateways_on_object, gateways_on_node, gateways_on_object },
					     ingresses = { gateways_on_object, gateways_on_ingress,
							   gateways_on_object };
	struct informer_factory *f = c->ctx->informers;

	if (!c->services) {
		c->services = informer_get(f, RES(core_services), NULL, NULL, NULL);
		c->namespaces = informer_get(f, RES(core_namespaces), NULL, NULL, NULL);
		c->secrets = informer_get(f, RES(core_secrets), NULL, NULL, "type=kubernetes.io/tls");
		c->nodes = informer_get(f, RES(core_nodes), NULL, NULL, NULL);
		c->ingresses = informer_get(f, RES(networking_ingresses), NULL, NULL, NULL);
		c->classes = informer_get(f, RES(networking_ingressclasses), NULL, NULL, NULL);
		informer_add_handler(c->ingresses, &ingresses, c);
		informer_add_handler(c->classes, &any, c);
		informer_add_handler(c->services, &any, c);
		informer_add_handler(c->namespaces, &any, c);
		informer_add_handler(c->secrets, &any, c);
		informer_add_handler(c->nodes, &nodes, c);
	}
	return informer_synced(c->services) && informer_synced(c->namespaces) && informer_synced(c->secrets) &&
	       informer_synced(c->nodes) && informer_synced(c->ingresses) && informer_synced(c->classes);
}

/* --- what is said --- */

static bool node_serves_gateway(const struct obj *node, void *ctx)
{
	const struct gw_gateway *g = ctx;

	for (size_t i = 0; i < g->n_listeners; i++)
		if (g->listeners[i].serves && ingress_node_has_port(node, g->listeners[i].port))
			return true;
	return false;
}

/* The first failure is the run's. */
static int gateways_write(struct gateways *c, enum gw_kind kind, const struct val *doc, struct err *err)
{
	const struct resource *r = gw_feed_resource(c->feed, kind);
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (!doc || !r || client_update_status(c->ctx->client, r, doc, NULL, &why) == 0 || why.reason == ERR_NOT_FOUND)
		return 0;
	return err->reason == ERR_NONE ? err_move(err, &why) : -1;
}

static int gateways_say_gateways(struct gateways *c, const struct gateway_said *w, const struct gw_state *st,
				 struct err *err)
{
	_cleanup_(strmap_release) struct strmap ports = STRMAP_INIT; /* that any node serves */
	size_t n_nodes = 0;
	struct obj **nodes = c->nodes ? informer_list(c->nodes, w->a, SV(""), &n_nodes) : NULL;
	int rc = 0;

	for (size_t i = 0; i < n_nodes; i++)
		ingress_node_ports(nodes[i], &ports);
	for (size_t i = 0; i < st->n_gateways; i++) {
		const struct gw_gateway *g = &st->gateways[i];
		size_t n;
		struct sv *ips =
		    ingress_node_addresses(w->a, nodes, n_nodes, node_serves_gateway, (void *)(uintptr_t)g, &n);

		rc |= gateways_write(c, GW_GATEWAYS, gateway_status(w, g, &ports, ips, n), err);
	}
	return rc;
}

static int gateways_say_routes(struct gateways *c, const struct gateway_said *w, const struct gw_source *s,
			       const struct gw_state *st, struct err *err)
{
	_cleanup_(strmap_release) struct strmap ours = STRMAP_INIT; /* an object's address -> its route */
	int rc = 0;

	for (size_t i = 0; i < st->n_routes; i++)
		strmap_set(&ours, sv_make((const char *)&st->routes[i].o, sizeof(void *)), &st->routes[i]);
	for (unsigned k = GW_HTTPROUTES; k <= GW_TLSROUTES; k++)
		for (size_t i = 0; i < s->n[k]; i++) {
			const struct obj *o = s->objects[k][i];
			const struct gw_route *r = strmap_get(&ours, sv_make((const char *)&o, sizeof(void *)));

			rc |= gateways_write(c, (enum gw_kind)k, gateway_route_status(w, o, r), err);
		}
	return rc;
}

static struct sv gateways_bundle(struct gateways *c, struct arena *a)
{
	struct obj *crd = informer_lookup(c->crds, SV(""), SV("gatewayclasses." GW_GROUP));

	return crd ? annotation_of(obj_root(obj_link(a, crd)), GW_GROUP "/bundle-version") : SV("");
}

static void gateways_ingresses(struct gateways *c, struct arena *a, struct gw_ingresses *ret)
{
	struct ingress_classes ours;
	struct obj **classes, **ingresses;
	size_t n, n_classes;

	if (!c->ingresses)
		return;
	classes = informer_list(c->classes, a, SV(""), &n_classes);
	ingresses = informer_list(c->ingresses, a, SV(""), &n);
	ingress_classes_of(classes, n_classes, &ours);
	gw_ingresses_of(ingresses, n, &ours, ret);
	ingress_classes_release(&ours);
	for (size_t i = 0; i < ARRAY_LEN(ret->ports); i++)
		ret->ports[i] = c->ctx->opts->ingress_ports[i];
}

static int gateways_say(struct gateways *c, struct arena *a, struct gw_source *s, struct err *err)
{
	struct gateway_run run = { c, a };
	struct gateway_said w = { a, env_now_ns(c->ctx->env) };
	_cleanup_(gw_ingresses_release) struct gw_ingresses ingresses = { .ports = { 0 } };
	struct gw_state st;
	int rc = 0;

	gateways_ingresses(c, a, &ingresses);
	s->ingresses = &ingresses;
	s->namespace_labels = run_labels;
	s->service = run_service;
	s->certificate = run_certificate;
	s->ctx = &run;
	gw_state_make(a, s, &st);
	tls_checked_sweep(&c->checked);
	for (size_t i = 0; i < st.n_classes; i++)
		rc |=
		    gateways_write(c, GW_CLASSES, gateway_class_status(&w, st.classes[i], gateways_bundle(c, a)), err);
	rc |= gateways_say_gateways(c, &w, &st, err);
	rc |= gateways_say_routes(c, &w, s, &st, err);
	gw_state_release(&st);
	return rc;
}

/* --- runs --- */

/* What cannot be made, because a policy refuses it, does not keep what is there waiting. */
static int gateways_install(struct gateways *c, struct err *err)
{
	const struct resource *classes = gw_feed_resource(c->feed, GW_CLASSES);

	if (!c->installed && gateway_install_kinds(c->ctx->client, err) < 0)
		return -1;
	c->installed = true;
	if (!c->class_made && classes) {
		if (gateway_install_class(c->ctx->client, classes, err) < 0)
			return -1;
		c->class_made = true;
	}
	return 0;
}

static int gateways_reconcile(void *ctx, _unused_ struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct gateways *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t began = env_mono_ns(c->ctx->env);
	struct gw_source s;
	int rc;

	if (began < c->next_ns) {
		ret->after_ns = c->next_ns - began;
		return 0;
	}
	if (!c->installed)
		(void)gateways_install(c, err);
	if (!gw_feed_look(c->feed, &ret->after_ns))
		return err->reason == ERR_NONE ? 0 : -1;
	if (err->reason == ERR_NONE)
		(void)gateways_install(c, err);
	gw_feed_objects(c->feed, &a, &s);
	if (s.n[GW_GATEWAYS] && !gateways_watch(c)) {
		ret->after_ns = SYNC_POLL_NS;
		return err->reason == ERR_NONE ? 0 : -1;
	}
	rc = gateways_say(c, &a, &s, err);
	c->next_ns = env_mono_ns(c->ctx->env);
	c->next_ns += MIN(REST * (c->next_ns - began), REST_MAX_NS);
	return rc < 0 || err->reason != ERR_NONE ? -1 : 0;
}

/* Of our group, and when what is said of it changed: statuses of definitions are nothing to us. */
static void gateways_on_crd(struct obj *old, struct obj *neu, void *ctx)
{
	if (sv_ends(obj_name(neu), SV("." GW_GROUP)) &&
	    !val_equal(obj_get(old, F_metadata, F_annotations), obj_get(neu, F_metadata, F_annotations)))
		gateways_wake(ctx);
}

static void gateways_on_other_crd(_unused_ struct obj *o, _unused_ void *ctx)
{
}

static void *gateways_start(struct controller_ctx *ctx)
{
	static const struct informer_handler crds = { gateways_on_other_crd, gateways_on_crd, gateways_on_other_crd };
	struct gateways *c;

	if (ctx->opts->no_gateway)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->ctx = ctx;
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "gateway-controller",
							 .workers = 1,
							 .retry_max_ns = 10 * NS_PER_SEC,
							 .reconcile = gateways_reconcile,
							 .ctx = c });
	c->feed = gw_feed_new(ctx->env, ctx->client, gateways_wake, c);
	c->crds = informer_get(ctx->informers, RES(apiextensions_customresourcedefinitions), NULL, NULL, NULL);
	informer_add_handler(c->crds, &crds, c);
	workq_add(c->q, gateway_key);
	return c;
}

static void gateways_stop(void *controller)
{
	struct gateways *c = controller;

	if (!c)
		return;
	workq_free(c->q);
	gw_feed_free(c->feed);
	tls_checked_release(&c->checked);
	free(c);
}

const struct controller_ops gateway_controller = { "gateway-controller", "gateway-controller", gateways_start,
						   gateways_stop };
