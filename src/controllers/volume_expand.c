/* expand controller: says of a claim that is to grow who does that.
 *
 * No volume of ours is made larger here: the provisioner of local-path does it on the volume's node
 * (kubelet/local_path.h), all others do it themselves. Upstream's says the same of them. */
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "object/quantity.h"

#include <stdlib.h>

struct expand {
	struct controller_ctx *ctx;
	struct informer *claims;
	struct workq *q;
};

static bool expand_wanted(const struct obj *claim)
{
	struct sv has = val_str(obj_get(claim, F_status, F_capacity, F_storage));

	return val_is(obj_get(claim, F_status, F_phase), "Bound") && has.n && !obj_deleting(claim) &&
	       quantity_cmp(val_str(obj_get(claim, F_spec, F_resources, F_requests, F_storage)), has) > 0;
}

static int expand_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct expand *c = ctx;
	_cleanup_obj_ struct obj *claim = NULL;
	struct sv ns, name;

	(void)ret;
	(void)err;
	workq_key_split(key, &ns, &name);
	claim = informer_lookup(c->claims, ns, name);
	if (claim && expand_wanted(claim))
		recorder_event(c->ctx->recorder, RES(core_persistentvolumeclaims), obj_root(claim), "Normal",
			       "ExternalExpanding", "waiting for an external controller to expand this PVC");
	return 0;
}

static void expand_updated(struct obj *old, struct obj *now, void *ctx)
{
	if (expand_wanted(now) && !expand_wanted(old))
		workq_add_obj(((struct expand *)ctx)->q, obj_ns(now), obj_name(now));
}

static bool expand_ready(void *ctx)
{
	return informer_synced(((struct expand *)ctx)->claims);
}

static void *expand_start(struct controller_ctx *ctx)
{
	struct expand *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->claims = informer_get(ctx->informers, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "volume-expand",
							 .workers = 1,
							 .reconcile = expand_reconcile,
							 .ctx = c,
							 .ready = expand_ready });
	informer_add_handler(c->claims, &(struct informer_handler){ .update = expand_updated }, c);
	return c;
}

static void expand_stop(void *controller)
{
	struct expand *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops volume_expand_controller = { "persistentvolume-expander-controller", "expand-controller",
							 expand_start, expand_stop };
