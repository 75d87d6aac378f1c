/* policy status: tells in the status of a ValidatingAdmissionPolicy what its expressions get wrong about the types of
 * the kinds that it is for (policy/type_check.h).
 *
 * Once a generation, as upstream: a kind that comes later changes nothing before the policy does. */
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/status.h"
#include "policy/type_check.h"

#include <stdlib.h>

#define POLICY_STATUS_MANAGER "validatingadmissionpolicy-status"

struct policy_status {
	struct controller_ctx *ctx;
	struct informer *policies;
	struct workq *q;
};

static int64_t policy_status_generation(const struct obj *o)
{
	return val_int_or(obj_get(o, F_metadata, F_generation), 0);
}

static bool policy_status_due(const struct obj *o)
{
	return policy_status_generation(o) > val_int_or(obj_get(o, F_status, F_observedGeneration), 0);
}

static int policy_status_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	const struct client_write_opts o = { .subresource = "status",
					     .field_manager = POLICY_STATUS_MANAGER,
					     .force = true };
	const struct resource *res = RES(admissionregistration_validatingadmissionpolicies);
	struct policy_status *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *policy = informer_lookup(c->policies, SV(""), key);
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct api_set *api;
	struct val *doc, *meta, *st, *checked, *warnings;

	(void)ret;
	if (!policy || !policy_status_due(policy))
		return 0;
	api = api_current_get(c->ctx->opts->kinds);
	warnings = policy_type_check(&a, api, obj_get(policy, F_spec));
	api_set_unref(api);
	doc = val_new_map(&a);
	val_set_cstr(&a, doc, F_apiVersion, "admissionregistration.k8s.io/v1");
	val_set_cstr(&a, doc, F_kind, res->kind);
	meta = val_ensure_map(&a, doc, F_metadata);
	val_set_str(&a, meta, F_name, key);
	val_set_str(&a, meta, F_uid, obj_uid(policy));
	st = val_ensure_map(&a, doc, F_status);
	val_set_int(&a, st, F_observedGeneration, policy_status_generation(policy));
	checked = val_ensure_map(&a, st, F_typeChecking);
	if (val_len(warnings))
		val_set(&a, checked, F_expressionWarnings, warnings);
	if (client_patch(c->ctx->client, res, SV(""), key, PATCH_APPLY, doc, &o, NULL, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static void policy_status_added(struct obj *o, void *ctx)
{
	if (policy_status_due(o))
		workq_add(((struct policy_status *)ctx)->q, obj_name(o));
}

static void policy_status_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	policy_status_added(now, ctx);
}

static bool policy_status_ready(void *ctx)
{
	return informer_synced(((struct policy_status *)ctx)->policies);
}

static void *policy_status_start(struct controller_ctx *ctx)
{
	struct policy_status *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->policies =
	    informer_get(ctx->informers, RES(admissionregistration_validatingadmissionpolicies), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "validatingadmissionpolicy-status-controller",
							 .workers = 1,
							 .reconcile = policy_status_reconcile,
							 .ctx = c,
							 .ready = policy_status_ready });
	informer_add_handler(c->policies,
			     &(struct informer_handler){ policy_status_added, policy_status_updated, NULL }, c);
	return c;
}

static void policy_status_stop(void *controller)
{
	struct policy_status *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops policy_status_controller = { "validatingadmissionpolicy-status-controller",
							 "validatingadmissionpolicy-status-controller",
							 policy_status_start, policy_status_stop };
