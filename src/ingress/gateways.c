#include "ingress/gateways.h"

#include "client/informer.h"
#include "gateway/feed.h"
#include "ingress/from_gateway.h"

#include <stdlib.h>

struct ing_gateways {
	struct gw_feed *feed;
	struct informer_factory *shared;
	struct informer *namespaces; /* NULL: no Gateway asked for any yet */
	void (*changed)(void *ctx);
	void *ctx;
};

struct gateways_run {
	struct ing_gateways *g;
	struct arena *a;
	const struct ing_source *s;
};

static void gateways_on_namespace(_unused_ struct obj *o, void *ctx)
{
	struct ing_gateways *g = ctx;

	g->changed(g->ctx);
}

static void gateways_on_namespace_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_metadata, F_labels), obj_get(neu, F_metadata, F_labels)))
		gateways_on_namespace(neu, ctx);
}

struct ing_gateways *ing_gateways_new(struct env *env, struct client *c, struct informer_factory *shared,
				      void (*changed)(void *ctx), void *ctx)
{
	struct ing_gateways *g = xcalloc(1, sizeof(*g));

	g->shared = shared;
	g->changed = changed;
	g->ctx = ctx;
	g->feed = gw_feed_new(env, c, changed, ctx);
	return g;
}

struct ing_gateways *ing_gateways_free(struct ing_gateways *g)
{
	if (!g)
		return NULL;
	gw_feed_free(g->feed);
	free(g);
	return NULL;
}

bool ing_gateways_known(struct ing_gateways *g, int64_t *ret_after_ns)
{
	static const struct informer_handler all = { gateways_on_namespace, gateways_on_namespace_update,
						     gateways_on_namespace };

	if (!gw_feed_look(g->feed, ret_after_ns))
		return false;
	if (!g->namespaces && gw_feed_has(g->feed, GW_GATEWAYS)) {
		g->namespaces = informer_get(g->shared, RES(core_namespaces), NULL, NULL, NULL);
		informer_add_handler(g->namespaces, &all, g);
	}
	if (!g->namespaces || informer_synced(g->namespaces))
		return true;
	*ret_after_ns = 10 * NS_PER_MS;
	return false;
}

static const struct val *gateways_labels(void *ctx, struct sv ns)
{
	struct gateways_run *r = ctx;
	struct obj *o = r->g->namespaces ? informer_lookup(r->g->namespaces, SV(""), ns) : NULL;

	return o ? obj_get(obj_link(r->a, o), F_metadata, F_labels) : NULL;
}

static enum gw_service gateways_service(void *ctx, struct sv ns, struct sv name, int64_t port)
{
	struct gateways_run *r = ctx;
	struct obj *o;

	r->s->uses(r->s->ctx, ns, name);
	o = r->s->service(r->s->ctx, ns, name);
	return gw_service_port(o, port);
}

static const char *gateways_certificate(void *ctx, struct sv ns, struct sv name)
{
	struct gateways_run *r = ctx;
	struct sv pem;

	return tls_secret_pem(r->a, r->s->checked, arena_svf(r->a, "%.*s/%.*s", SV_ARG(ns), SV_ARG(name)),
			      r->s->secret(r->s->ctx, ns, name), &pem);
}

void ing_gateways_add(struct ing_gateways *g, struct arena *a, const struct ing_source *s, struct ing_model *m)
{
	struct gateways_run run = { g, a, s };
	_cleanup_(gw_ingresses_release) struct gw_ingresses ingresses = { .ports = { s->ports[0], s->ports[1] } };
	struct gw_source gs;
	struct gw_state st;

	gw_feed_objects(g->feed, a, &gs);
	gs.namespace_labels = gateways_labels;
	gs.service = gateways_service;
	gs.certificate = gateways_certificate;
	gs.ctx = &run;
	gs.ingresses = &ingresses;
	ing_hosts_of(m, &ingresses);
	gw_state_make(a, &gs, &st);
	ing_from_gateways(a, s, &gs, &st, m);
	gw_state_release(&st);
}
