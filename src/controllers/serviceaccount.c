/* serviceaccount: every active namespace has a ServiceAccount "default".
 * root-ca: every active namespace has a ConfigMap kube-root-ca.crt with the cluster's CA.
 *
 * Both are one object of fixed name and content per namespace, so they share their code. */
#include "client/workq.h"
#include "controllers/controllers-internal.h"

#include <stdlib.h>

#define ROOT_CA "kube-root-ca.crt"

struct per_namespace {
	struct controller_ctx *ctx;
	const struct resource *res;
	struct sv name;
	struct informer *namespaces, *objects;
	struct workq *q;
};

static struct val *sa_wanted(struct per_namespace *c, struct arena *a, struct sv ns, struct obj *was)
{
	struct val *doc = was ? obj_edit(a, was) : val_new_map(a), *meta;
	char version[64];

	val_set_cstr(a, doc, F_apiVersion, resource_api_version(c->res, version, sizeof(version)));
	val_set_cstr(a, doc, F_kind, c->res->kind);
	meta = val_ensure_map(a, doc, F_metadata);
	val_set_str(a, meta, F_name, c->name);
	val_set_str(a, meta, F_namespace, ns);
	if (c->res == RES(core_configmaps)) {
		struct val *data = val_new_map(a), *anns = val_ensure_map(a, meta, F_annotations);

		val_set_str_sv(
		    a, anns, SV("kubernetes.io/description"),
		    SV("Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
		       "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
		       "guaranteed across distributions of Kubernetes clusters."));
		val_set_str_sv(a, data, SV("ca.crt"), c->ctx->opts->root_ca_pem);
		val_set(a, doc, F_data, data);
	}
	return doc;
}

static bool right(struct per_namespace *c, const struct obj *o)
{
	const struct val *data = obj_get(o, F_data);

	return c->res != RES(core_configmaps) ||
	       (val_len(data) == 1 && sv_eq(val_str(val_member_sv(data, SV("ca.crt"))), c->ctx->opts->root_ca_pem));
}

static int sa_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct per_namespace *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *ns = informer_lookup(c->namespaces, SV(""), key), *was = NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;

	(void)ret;
	if (!ns || obj_deleting(ns) || val_is(obj_get(ns, F_status, F_phase), "Terminating"))
		return 0;
	was = informer_lookup(c->objects, key, c->name);
	if (was && right(c, was))
		return 0;
	if (was)
		return client_update(c->ctx->client, c->res, sa_wanted(c, &a, key, was), NULL, NULL, err);
	if (client_create(c->ctx->client, c->res, key, sa_wanted(c, &a, key, NULL), NULL, NULL, &why) < 0 &&
	    why.reason != ERR_ALREADY_EXISTS && why.reason != ERR_FORBIDDEN)
		return err_move(err, &why); /* forbidden: the namespace began to go */
	return 0;
}

static void namespace_added(struct obj *o, void *ctx)
{
	workq_add(((struct per_namespace *)ctx)->q, obj_name(o));
}

static void sa_namespace_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	namespace_added(neu, ctx);
}

static void object_deleted(struct obj *o, void *ctx)
{
	struct per_namespace *c = ctx;

	if (sv_eq(obj_name(o), c->name))
		workq_add(c->q, obj_ns(o));
}

static void sa_object_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	object_deleted(neu, ctx);
}

static bool sa_ready(void *ctx)
{
	struct per_namespace *c = ctx;

	return informer_synced(c->namespaces) && informer_synced(c->objects);
}

static void *sa_start_one(struct controller_ctx *ctx, const char *queue, const struct resource *res, const char *name)
{
	struct per_namespace *c = xcalloc(1, sizeof(*c));
	_cleanup_free_ char *field = xasprintf("metadata.name=%s", name);

	c->ctx = ctx;
	c->res = res;
	c->name = sv_from(name);
	c->namespaces = informer_get(ctx->informers, RES(core_namespaces), NULL, NULL, NULL);
	c->objects = informer_get(ctx->informers, res, NULL, NULL, field);
	c->q = workq_new(ctx->env,
			 &(struct workq_opts){
			     .name = queue, .workers = 1, .reconcile = sa_reconcile, .ctx = c, .ready = sa_ready });
	informer_add_handler(c->namespaces, &(struct informer_handler){ namespace_added, sa_namespace_updated, NULL },
			     c);
	informer_add_handler(c->objects, &(struct informer_handler){ NULL, sa_object_updated, object_deleted }, c);
	return c;
}

static void *start_accounts(struct controller_ctx *ctx)
{
	return sa_start_one(ctx, "serviceaccount-controller", RES(core_serviceaccounts), "default");
}

static void *start_root_ca(struct controller_ctx *ctx)
{
	return sa_start_one(ctx, "root-ca-certificate-publisher-controller", RES(core_configmaps), ROOT_CA);
}

static void sa_stop(void *controller)
{
	struct per_namespace *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops serviceaccount_controller = { "serviceaccount-controller", "service-account-controller",
							  start_accounts, sa_stop };
const struct controller_ops root_ca_controller = { "root-ca-certificate-publisher-controller", "root-ca-cert-publisher",
						   start_root_ca, sa_stop };
