/* ttl: tells kubelets of other implementations, in an annotation of their Node, how long they may keep Secrets and
 * ConfigMaps without asking again: the longer, the more nodes there are. Steps and annotation are upstream's.
 *
 * Each step begins above where the one below ends, so that a cluster at a border does not go to and fro. */
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "object/annotation.h"

#include <stdatomic.h>
#include <stdlib.h>

#define NODE_TTL_ANNOTATION "node.alpha.kubernetes.io/ttl"

static const struct {
	size_t least, most; /* nodes */
	int seconds;
} node_ttl_steps[] = {
	{ 0, 100, 0 },	   { 90, 500, 15 },	 { 450, 1000, 30 },
	{ 900, 2000, 60 }, { 1800, 10000, 300 }, { 9000, SIZE_MAX, 600 },
};

struct node_ttl {
	struct controller_ctx *ctx;
	struct informer *nodes;
	struct workq *q; /* one worker, whose step is */
	size_t step;
};

static int node_ttl_seconds(struct node_ttl *c)
{
	size_t n = informer_count(c->nodes);

	while (n > node_ttl_steps[c->step].most)
		c->step++;
	while (n < node_ttl_steps[c->step].least)
		c->step--;
	return node_ttl_steps[c->step].seconds;
}

static int node_ttl_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct node_ttl *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = informer_lookup(c->nodes, SV(""), key);
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv want;
	struct val *patch;

	(void)ret;
	if (!node)
		return 0;
	want = arena_svf(&a, "%d", node_ttl_seconds(c));
	if (sv_eq(annotation_of(obj_root(node), NODE_TTL_ANNOTATION), want))
		return 0;
	patch = val_new_map(&a);
	annotation_set(&a, patch, NODE_TTL_ANNOTATION, want);
	if (client_patch(c->ctx->client, RES(core_nodes), SV(""), key, PATCH_MERGE, patch, NULL, NULL, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static void node_ttl_added(struct obj *o, void *ctx)
{
	workq_add(((struct node_ttl *)ctx)->q, obj_name(o));
}

/* What its kubelet says of it now and then is when a node hears of another step. */
static void node_ttl_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	node_ttl_added(now, ctx);
}

static bool node_ttl_ready(void *ctx)
{
	return informer_synced(((struct node_ttl *)ctx)->nodes);
}

static void *node_ttl_start(struct controller_ctx *ctx)
{
	struct node_ttl *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "ttl-controller",
							 .workers = 1,
							 .reconcile = node_ttl_reconcile,
							 .ctx = c,
							 .ready = node_ttl_ready });
	informer_add_handler(c->nodes, &(struct informer_handler){ node_ttl_added, node_ttl_updated, NULL }, c);
	return c;
}

static void node_ttl_stop(void *controller)
{
	struct node_ttl *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops node_ttl_controller = { "ttl-controller", "ttl-controller", node_ttl_start, node_ttl_stop };
