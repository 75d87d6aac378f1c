#include "controllers/csr.h"

#include "base/b64.h"
#include "object/condition.h"

#include <stdlib.h>

static void csr_added(struct obj *o, void *ctx)
{
	workq_add(((struct csr_controller *)ctx)->q, obj_name(o));
}

static void csr_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	csr_added(neu, ctx);
}

static bool csr_ready(void *ctx)
{
	struct csr_controller *c = ctx;

	return informer_synced(c->requests) && (!c->nodes || informer_synced(c->nodes));
}

struct csr_controller *csr_controller_start(struct controller_ctx *ctx, const char *queue, bool nodes,
					    int (*reconcile)(void *ctx, struct sv key, struct reconcile_result *ret,
							     struct err *err))
{
	struct csr_controller *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->requests = informer_get(ctx->informers, RES(certificates_certificatesigningrequests), NULL, NULL, NULL);
	c->nodes = nodes ? informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL) : NULL;
	c->q = workq_new(
	    ctx->env,
	    &(struct workq_opts){ .name = queue, .workers = 2, .reconcile = reconcile, .ctx = c, .ready = csr_ready });
	informer_add_handler(c->requests, &(struct informer_handler){ .add = csr_added, .update = csr_updated }, c);
	return c;
}

void csr_controller_stop(void *controller)
{
	struct csr_controller *c = controller;

	workq_free(c->q);
	free(c);
}

bool csr_of(struct arena *a, const struct obj *o, struct csr *ret)
{
	struct sv pem;

	return b64_decode(a, val_str(obj_get(o, F_spec, F_request)), &pem) && csr_parse(a, pem, ret, NULL) == 0;
}

const struct val *csr_condition(const struct obj *o, const char *type)
{
	return condition_find(obj_get(o, F_status, F_conditions), type);
}

bool csr_issued(const struct obj *o)
{
	return val_str(obj_get(o, F_status, F_certificate)).n > 0;
}

int csr_write(struct csr_controller *c, const struct val *doc, const char *subresource, struct err *err)
{
	struct client_write_opts o = { .subresource = subresource };
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (client_update(c->ctx->client, RES(certificates_certificatesigningrequests), doc, &o, NULL, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

int csr_decide(struct csr_controller *c, struct obj *o, const char *subresource, const char *type, const char *reason,
	       const char *message, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = obj_edit(&a, o), *condition = val_new_map(&a);

	val_set_cstr(&a, condition, F_type, type);
	val_set_cstr(&a, condition, F_status, "True");
	val_set_cstr(&a, condition, F_reason, reason);
	val_set_cstr(&a, condition, F_message, message);
	val_push(&a, val_ensure_list(&a, val_ensure_map(&a, doc, F_status), F_conditions), condition);
	return csr_write(c, doc, subresource, err);
}
