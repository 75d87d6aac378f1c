/* clusterrole aggregation: a ClusterRole with an aggregationRule has the rules of all ClusterRoles
 * that its selectors match (how a custom resource's roles become part of admin, edit and view). */
#include "base/buf.h"
#include "base/strmap.h"
#include "client/workq.h"
#include "codec/json.h"
#include "controllers/controllers-internal.h"
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "object/selector.h"

#include <stdlib.h>

struct aggregation {
	struct controller_ctx *ctx;
	struct informer *roles;
	struct workq *q;
};

#define AGGREGATING "aggregating"

static void roles_that_aggregate(const struct obj *role, struct index_keys *ret)
{
	if (val_type(obj_get(role, F_aggregationRule)) == VAL_MAP)
		index_keys_add(ret, SV(AGGREGATING));
}

/* A rule's text: rules that say the same have the same, in whichever order their members stand. */
static struct sv rule_text(struct buf *b, const struct val *rule)
{
	static const enum sym parts[] = { F_apiGroups, F_resources, F_resourceNames, F_nonResourceURLs, F_verbs };

	buf_clear(b);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const struct val *list = val_member(rule, parts[i]);

		if (val_len(list))
			json_encode(b, list);
		buf_addc(b, ';');
	}
	return buf_sv(b);
}

static int aggregation_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct aggregation *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *role = informer_lookup(c->roles, SV(""), key);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct val *rules = val_new_list(&a), *doc;
	struct obj **all;
	size_t n;

	(void)ret;
	if (!role || val_type(obj_get(role, F_aggregationRule)) != VAL_MAP)
		return 0;
	all = informer_list(c->roles, &a, SV(""), &n);
	if (n > 1)
		qsort(all, n, sizeof(struct obj *), obj_by_name);
	VAL_EACH(obj_get(role, F_aggregationRule, F_clusterRoleSelectors), sel) {
		const struct selector *s = selector_from_label_selector(&a, sel, err);

		if (!s)
			return -1;
		for (size_t i = 0; i < n; i++) {
			if (sv_eq(obj_name(all[i]), key) || !selector_matches(s, obj_labels(all[i])))
				continue;
			VAL_EACH(obj_get(all[i], F_rules), rule)
				if (!strmap_set(&seen, rule_text(&text, rule), rules))
					val_push(&a, rules, rule);
		}
	}
	if (val_same(obj_get(role, F_rules), rules))
		return 0;
	doc = obj_edit(&a, role);
	val_set(&a, doc, F_rules, rules);
	return client_update(c->ctx->client, RES(rbac_clusterroles), doc, NULL, NULL, err);
}

/* Any role may be part of any other: all that aggregate are looked at. They are few, and found as such. */
static void role_changed(struct obj *o, void *ctx)
{
	struct aggregation *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **all = informer_by_index(c->roles, &a, AGGREGATING, SV(AGGREGATING), &n);

	(void)o;
	for (size_t i = 0; i < n; i++)
		workq_add(c->q, obj_name(all[i]));
}

static void role_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	role_changed(neu, ctx);
}

static bool aggregation_ready(void *ctx)
{
	return informer_synced(((struct aggregation *)ctx)->roles);
}

static void *aggregation_start(struct controller_ctx *ctx)
{
	struct aggregation *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->roles = informer_get(ctx->informers, RES(rbac_clusterroles), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "clusterrole-aggregation-controller",
							 .workers = 1,
							 .reconcile = aggregation_reconcile,
							 .ctx = c,
							 .ready = aggregation_ready });
	informer_add_index(c->roles, AGGREGATING, roles_that_aggregate);
	informer_add_handler(c->roles, &(struct informer_handler){ role_changed, role_updated, role_changed }, c);
	return c;
}

static void aggregation_stop(void *controller)
{
	struct aggregation *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops clusterrole_aggregation_controller = { "clusterrole-aggregation-controller",
								   "clusterrole-aggregation-controller",
								   aggregation_start, aggregation_stop };
