/* token cleaner: deletes bootstrap tokens when they have expired. */
#include "client/bootstrap_token.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"

#include <stdlib.h>

struct cleaner {
	struct controller_ctx *ctx;
	struct informer *secrets;
	struct workq *q;
};

static int token_cleaner_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct cleaner *c = ctx;
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *secret = NULL;
	struct sv ns, name;
	int64_t end, now = env_now_ns(c->ctx->env);

	workq_key_split(key, &ns, &name);
	secret = informer_lookup(c->secrets, ns, name);
	if (!secret || obj_deleting(secret) || !val_is(obj_get(secret, F_type), BOOTSTRAP_TOKEN_TYPE))
		return 0;
	end = bootstrap_token_end(secret);
	if (end == INT64_MAX)
		return 0;
	if (end > now) {
		ret->after_ns = end - now;
		return 0;
	}
	/* Not if somebody has made another one of that name, or given it more time. */
	o.precondition_uid = obj_uid(secret);
	o.precondition_rev = obj_rev(secret);
	if (client_delete(c->ctx->client, RES(core_secrets), ns, name, &o, &why) < 0 && why.reason != ERR_NOT_FOUND &&
	    why.reason != ERR_CONFLICT)
		return err_move(err, &why);
	return 0;
}

static void secret_added(struct obj *secret, void *ctx)
{
	workq_add_obj(((struct cleaner *)ctx)->q, obj_ns(secret), obj_name(secret));
}

static void secret_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	secret_added(neu, ctx);
}

static bool token_cleaner_ready(void *ctx)
{
	return informer_synced(((struct cleaner *)ctx)->secrets);
}

static void *token_cleaner_start(struct controller_ctx *ctx)
{
	struct cleaner *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->secrets =
	    informer_get(ctx->informers, RES(core_secrets), BOOTSTRAP_TOKEN_NS, NULL, "type=" BOOTSTRAP_TOKEN_TYPE);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "token-cleaner",
							 .workers = 1,
							 .reconcile = token_cleaner_reconcile,
							 .ctx = c,
							 .ready = token_cleaner_ready });
	informer_add_handler(c->secrets, &(struct informer_handler){ .add = secret_added, .update = secret_updated },
			     c);
	return c;
}

static void token_cleaner_stop(void *controller)
{
	struct cleaner *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops token_cleaner_controller = { "token-cleaner-controller", "token-cleaner",
							 token_cleaner_start, token_cleaner_stop };
