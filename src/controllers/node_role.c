/* node role: marks the node that runs beside this control plane, so that `kubectl get nodes` shows its role. The
 * kubelet may not do it: nodes are kept from giving themselves roles (NodeRestriction). Only when a node appears, so
 * that a role an admin takes away stays away until the next start. */
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/status.h"

#include <stdlib.h>

static const struct sv role = { "node-role.kubernetes.io/control-plane",
				sizeof("node-role.kubernetes.io/control-plane") - 1 };

struct node_role {
	struct controller_ctx *ctx;
	struct informer *nodes;
	struct workq *q;
};

static int role_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct node_role *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = informer_lookup(c->nodes, SV(""), key);
	struct val *patch = val_new_map(&a), *labels;

	(void)ret;
	if (!node || obj_deleting(node) || val_member_sv(obj_labels(node), role))
		return 0;
	labels = val_set_map(&a, val_set_map(&a, patch, F_metadata), F_labels);
	val_set_str_sv(&a, labels, role, SV("true"));
	if (client_patch(c->ctx->client, RES(core_nodes), SV(""), key, PATCH_MERGE, patch, NULL, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

static void role_node_added(struct obj *o, void *ctx)
{
	struct node_role *c = ctx;

	if (sv_is(obj_name(o), c->ctx->opts->server_node))
		workq_add(c->q, obj_name(o));
}

static bool role_ready(void *ctx)
{
	return informer_synced(((struct node_role *)ctx)->nodes);
}

static void *role_start(struct controller_ctx *ctx)
{
	struct node_role *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "node-role-controller",
							 .workers = 1,
							 .reconcile = role_reconcile,
							 .ctx = c,
							 .ready = role_ready });
	if (ctx->opts->server_node)
		informer_add_handler(c->nodes, &(struct informer_handler){ role_node_added, NULL, NULL }, c);
	return c;
}

static void role_stop(void *controller)
{
	struct node_role *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops node_role_controller = { "node-role-controller", "node-controller", role_start, role_stop };
