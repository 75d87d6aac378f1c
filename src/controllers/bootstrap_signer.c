/* bootstrapsigner: kube-public/cluster-info says where the cluster is; every bootstrap token that may sign signs it, so
 * that whoever knows the token knows that he was told right (kubeadm join --discovery-token). */
#include "client/bootstrap_token.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"

#include <stdlib.h>

#define THE_KEY "cluster-info" /* there is one thing to do */

struct signer {
	struct controller_ctx *ctx;
	struct informer *secrets, *infos;
	struct workq *q;
};

/* Adds the signatures of all good tokens to data; lowers *end to the time when the first of them ends. */
static void signer_add(struct signer *s, struct arena *a, struct val *data, struct sv content, int64_t *end)
{
	size_t n;
	struct obj **secrets = informer_list(s->secrets, a, SV(BOOTSTRAP_TOKEN_NS), &n);

	for (size_t i = 0; i < n; i++) {
		struct join_token t;

		if (bootstrap_token_read(a, secrets[i], "signing", env_now_ns(s->ctx->env), &t, NULL) < 0)
			continue;
		*end = MIN(*end, bootstrap_token_end(secrets[i]));
		val_set_str_sv(a, data, arena_svf(a, CLUSTER_INFO_JWS "%.*s", SV_ARG(t.id)),
			       bootstrap_token_sign(a, &t, content));
	}
}

static int signer_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct signer *s = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o = informer_lookup(s->infos, SV(CLUSTER_INFO_NS), SV(CLUSTER_INFO));
	const struct val *have = o ? obj_get(o, F_data) : NULL, *content = val_member_sv(have, SV("kubeconfig"));
	struct val *doc, *data = val_new_map(&a);
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t end = INT64_MAX;

	(void)key;
	if (!content || obj_deleting(o))
		return 0;
	VAL_EACH_MEMBER(have, m)
		if (!sv_starts(m.key, SV(CLUSTER_INFO_JWS)))
			val_set_sv(&a, data, m.key, m.value);
	signer_add(s, &a, data, val_str(content), &end);
	if (end != INT64_MAX)
		ret->after_ns = MAX(end - env_now_ns(s->ctx->env), 1);
	if (val_equal(data, have))
		return 0;
	doc = obj_edit(&a, o);
	val_set(&a, doc, F_data, data);
	if (client_update(s->ctx->client, RES(core_configmaps), doc, NULL, NULL, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static void signer_changed(struct obj *o, void *ctx)
{
	(void)o;
	workq_add(((struct signer *)ctx)->q, SV(THE_KEY));
}

static void signer_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	signer_changed(neu, ctx);
}

static bool signer_ready(void *ctx)
{
	struct signer *s = ctx;

	return informer_synced(s->secrets) && informer_synced(s->infos);
}

static void *signer_start(struct controller_ctx *ctx)
{
	static const struct informer_handler changes = { signer_changed, signer_updated, signer_changed };
	struct signer *s = xcalloc(1, sizeof(*s));

	s->ctx = ctx;
	s->secrets =
	    informer_get(ctx->informers, RES(core_secrets), BOOTSTRAP_TOKEN_NS, NULL, "type=" BOOTSTRAP_TOKEN_TYPE);
	s->infos =
	    informer_get(ctx->informers, RES(core_configmaps), CLUSTER_INFO_NS, NULL, "metadata.name=" CLUSTER_INFO);
	s->q = workq_new(ctx->env, &(struct workq_opts){ .name = "bootstrap-signer",
							 .workers = 1,
							 .reconcile = signer_reconcile,
							 .ctx = s,
							 .ready = signer_ready });
	informer_add_handler(s->secrets, &changes, s);
	informer_add_handler(s->infos, &changes, s);
	return s;
}

static void signer_stop(void *controller)
{
	struct signer *s = controller;

	workq_free(s->q);
	free(s);
}

const struct controller_ops bootstrap_signer_controller = { "bootstrap-signer-controller", "bootstrap-signer",
							    signer_start, signer_stop };
