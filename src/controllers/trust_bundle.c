/* The ClusterTrustBundle of the signer kubernetes.io/kube-apiserver-serving: by which CA the API server is known, for
 * pods that project it. Its name holds the hash of what it says, so that a change is another bundle: the new one is
 * made, then those before it go. Nobody else may speak for that signer. */
#include "base/buf.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "net/digest.h"

#include <stdio.h>
#include <stdlib.h>

#define BUNDLE_SIGNER "kubernetes.io/kube-apiserver-serving"
#define BUNDLE_PREFIX "kubernetes.io:kube-apiserver-serving:"
#define BUNDLE_HASH 12 /* of it, in hex */
#define BUNDLE_NAME_MAX (sizeof(BUNDLE_PREFIX) + BUNDLE_HASH)

struct trust_bundle {
	struct controller_ctx *ctx;
	struct informer *bundles; /* of the signer */
	struct workq *q;
	char name[BUNDLE_NAME_MAX];
};

static int bundle_create(struct trust_bundle *c, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc = val_new_map(&a), *spec = val_set_map(&a, doc, F_spec);

	val_set_cstr(&a, doc, F_apiVersion, "certificates.k8s.io/v1");
	val_set_cstr(&a, doc, F_kind, "ClusterTrustBundle");
	val_set_cstr(&a, val_set_map(&a, doc, F_metadata), F_name, c->name);
	val_set_cstr(&a, spec, F_signerName, BUNDLE_SIGNER);
	val_set_str(&a, spec, F_trustBundle, c->ctx->opts->root_ca_pem);
	if (client_create(c->ctx->client, RES(certificates_clustertrustbundles), SV(""), doc, NULL, NULL, &why) < 0 &&
	    why.reason != ERR_ALREADY_EXISTS)
		return err_move(err, &why);
	return 0;
}

static int bundle_drop(struct trust_bundle *c, const struct obj *o, struct err *err)
{
	struct client_delete_opts opts = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;

	opts.precondition_uid = obj_uid(o);
	if (client_delete(c->ctx->client, RES(certificates_clustertrustbundles), SV(""), obj_name(o), &opts, &why) <
		0 &&
	    why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT)
		return err_move(err, &why);
	return 0;
}

static int bundle_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct trust_bundle *c = ctx;
	_cleanup_obj_ struct obj *have = informer_lookup(c->bundles, SV(""), sv_from(c->name));
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj **all;
	size_t n;

	(void)key;
	(void)ret;
	if (!have && bundle_create(c, err) < 0)
		return -1;
	all = informer_list(c->bundles, &a, SV(""), &n);
	for (size_t i = 0; i < n; i++)
		if (!sv_is(obj_name(all[i]), c->name) && !obj_deleting(all[i]) && bundle_drop(c, all[i], err) < 0)
			return -1;
	return 0;
}

static void bundle_changed(struct obj *o, void *ctx)
{
	(void)o;
	workq_add(((struct trust_bundle *)ctx)->q, SV("bundle"));
}

static bool bundle_ready(void *ctx)
{
	return informer_synced(((struct trust_bundle *)ctx)->bundles);
}

static void *bundle_start(struct controller_ctx *ctx)
{
	struct trust_bundle *c = xcalloc(1, sizeof(*c));
	char hash[SHA256_HEX];

	c->ctx = ctx;
	if (!ctx->opts->root_ca_pem.n)
		return c;
	sha256_hex(ctx->opts->root_ca_pem, hash);
	(void)snprintf(c->name, sizeof(c->name), BUNDLE_PREFIX "%.*s", BUNDLE_HASH, hash);
	c->bundles = informer_get(ctx->informers, RES(certificates_clustertrustbundles), NULL, NULL,
				  "spec.signerName=" BUNDLE_SIGNER);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "kube-apiserver-serving-clustertrustbundle-publisher",
							 .workers = 1,
							 .reconcile = bundle_reconcile,
							 .ctx = c,
							 .ready = bundle_ready });
	informer_add_handler(c->bundles, &(struct informer_handler){ bundle_changed, NULL, bundle_changed }, c);
	workq_add(c->q, SV("bundle"));
	return c;
}

static void bundle_stop(void *controller)
{
	struct trust_bundle *c = controller;

	if (c->q)
		workq_free(c->q);
	free(c);
}

const struct controller_ops trust_bundle_controller = {
	"kube-apiserver-serving-clustertrustbundle-publisher-controller",
	"kube-apiserver-serving-clustertrustbundle-publisher", bundle_start, bundle_stop
};
