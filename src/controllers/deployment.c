/* deployment: moves pods from one template to the next by resizing ReplicaSets.
 *
 * The deployment itself never touches a pod. One run finds its ReplicaSets, takes at most one
 * step (scale up the new one, or scale down old ones), writes the status, and is called again
 * when the ReplicaSets' status changes. */
#include "controllers/controllers-internal.h"
#include "controllers/deployment-internal.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdlib.h>

static int deployment_by_age(const void *x, const void *y)
{
	const struct dset *a = *(struct dset *const *)x, *b = *(struct dset *const *)y;

	if (a->created_ns != b->created_ns)
		return a->created_ns < b->created_ns ? -1 : 1;
	return sv_cmp(obj_name(a->o), obj_name(b->o));
}

static int load_sets(struct drun *r, const struct selector *sel, struct err *err)
{
	struct claim claim = { .client = r->c->ctx->client,
			       .owner_res = RES(apps_deployments),
			       .child_res = RES(apps_replicasets),
			       .owner = r->d,
			       .selector = sel,
			       .children = r->c->sets };
	struct objs sets;

	if (claim_children(r->a, &claim, &sets, err) < 0)
		return -1;
	r->sets = ARENA_ARRAY(r->a, struct dset *, sets.n + 1); /* room for one that is made */
	for (size_t i = 0; i < sets.n; i++) {
		r->sets[i] = ARENA_NEW(r->a, struct dset);
		dset_load(r, r->sets[i], sets.p[i]);
	}
	r->n_sets = sets.n;
	if (r->n_sets > 1)
		qsort(r->sets, r->n_sets, sizeof(*r->sets), deployment_by_age);
	return 0;
}

static void load_spec(struct drun *r)
{
	const struct val *spec = obj_get(r->d, F_spec), *rolling = val_get(spec, F_strategy, F_rollingUpdate);

	r->replicas = val_get_int(spec, 1, F_replicas);
	r->min_ready = val_get_int(spec, 0, F_minReadySeconds);
	r->deadline_s = val_get_int(spec, INT32_MAX, F_progressDeadlineSeconds);
	if (r->deadline_s == INT32_MAX)
		r->deadline_s = -1;
	r->history = val_get_int(spec, INT32_MAX, F_revisionHistoryLimit);
	if (r->history == INT32_MAX)
		r->history = -1;
	r->paused = val_get_bool(spec, F_paused);
	r->recreate = val_is(val_get(spec, F_strategy, F_type), "Recreate");
	r->max_surge = r->max_unavailable = 0;
	if (r->recreate)
		return;
	(void)int_or_percent(val_member(rolling, F_maxSurge), r->replicas, true, &r->max_surge);
	(void)int_or_percent(val_member(rolling, F_maxUnavailable), r->replicas, false, &r->max_unavailable);
	/* Both zero would never move: rounding a percentage of few replicas down may end there. */
	if (r->max_surge == 0 && r->max_unavailable == 0)
		r->max_unavailable = 1;
}

/* Notes that a pause began or ended, so that the time spent in it does not count as lack of progress. */
static int check_paused(struct drun *r, struct err *err)
{
	struct val *st = val_ensure_map(r->a, r->doc, F_status);
	const struct val *conds = val_member(st, F_conditions);
	bool was;

	if (r->deadline_s < 0 || condition_reason_is(conds, "Progressing", "ProgressDeadlineExceeded"))
		return 0;
	was = condition_reason_is(conds, "Progressing", "DeploymentPaused");
	if (r->paused && !was)
		deployment_progressing(r, st, "Unknown", "DeploymentPaused", SV("Deployment is paused"));
	else if (!r->paused && was)
		deployment_progressing(r, st, "Unknown", "DeploymentResumed", SV("Deployment is resumed"));
	else
		return 0;
	return deployment_write_status(r, err);
}

/* Did spec.replicas change since the sets were last sized? Then only scale, proportionally. */
static bool is_scaling(const struct drun *r)
{
	for (size_t i = 0; i < r->n_sets; i++) {
		int64_t desired;

		if (r->sets[i]->wanted > 0 &&
		    sv_to_i64(annotation_of(obj_root(r->sets[i]->o), ANN_DESIRED), &desired) && desired != r->replicas)
			return true;
	}
	return false;
}

static int deployment_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct deployment *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct drun r = { .c = c, .a = &a };
	const struct selector *sel;
	struct sv ns, name;

	workq_key_split(key, &ns, &name);
	r.d = informer_lookup(c->deployments, ns, name);
	if (!r.d)
		return 0;
	obj_link(&a, r.d);
	r.doc = obj_edit(&a, r.d);
	load_spec(&r);
	sel = selector_from_label_selector(&a, obj_get(r.d, F_spec, F_selector), err);
	if (!sel)
		return -1;
	if (selector_empty(sel)) {
		struct val *st = val_ensure_map(&a, r.doc, F_status);
		int64_t generation = val_int_or(obj_get(r.d, F_metadata, F_generation), 0);

		recorder_event(c->ctx->recorder, RES(apps_deployments), obj_root(r.d), "Warning", "SelectingAll",
			       "This deployment is selecting all pods. A non-empty selector is required.");
		if (val_get_int(st, 0, F_observedGeneration) >= generation)
			return 0;
		status_int(&a, st, F_observedGeneration, generation);
		return deployment_write_status(&r, err);
	}
	if (load_sets(&r, sel, err) < 0)
		return -1;
	r.neu = dsets_find_new(&r);
	if (obj_deleting(r.d))
		return deployment_sync_status(&r, false, &ret->after_ns, err);
	if (check_paused(&r, err) < 0)
		return -1;
	if (r.paused || is_scaling(&r)) {
		if (dsets_sync_revision(&r, false, err) < 0 || deployment_scale_only(&r, err) < 0)
			return -1;
		if (r.paused && dsets_cleanup(&r, err) < 0)
			return -1;
		return deployment_sync_status(&r, false, &ret->after_ns, err);
	}
	return r.recreate ? rollout_recreate(&r, &ret->after_ns, err) : rollout_rolling(&r, &ret->after_ns, err);
}

/* --- events --- */

static void deployment_changed(struct obj *o, void *ctx)
{
	struct deployment *c = ctx;

	workq_add_obj(c->q, obj_ns(o), obj_name(o));
}

static void deployment_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	deployment_changed(neu, ctx);
}

static void queue_owner(struct deployment *c, struct obj *set)
{
	_cleanup_obj_ struct obj *d =
	    owner_resolve(c->deployments, RES(apps_deployments), obj_ns(set), obj_controller_ref(set));

	if (d)
		deployment_changed(d, c);
}

static void set_changed(struct obj *set, void *ctx)
{
	struct deployment *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj **all;
	size_t n;

	if (obj_controller_ref(set)) {
		queue_owner(c, set);
		return;
	}
	if (obj_deleting(set) || !val_len(obj_labels(set)))
		return;
	all = informer_list(c->deployments, &a, obj_ns(set), &n);
	for (size_t i = 0; i < n; i++) {
		const struct selector *s = selector_from_label_selector(&a, obj_get(all[i], F_spec, F_selector), NULL);

		if (s && !selector_empty(s) && selector_matches(s, obj_labels(set)))
			deployment_changed(all[i], c);
	}
}

static void set_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!sv_eq(val_str(val_member(obj_controller_ref(old), F_uid)),
		   val_str(val_member(obj_controller_ref(neu), F_uid))))
		queue_owner(ctx, old);
	set_changed(neu, ctx);
}

static void set_deleted(struct obj *set, void *ctx)
{
	queue_owner(ctx, set);
}

/* Recreate waits for the last old pod to be gone, which no ReplicaSet's status tells. */
static void deployment_pod_deleted(struct obj *pod, void *ctx)
{
	struct deployment *c = ctx;
	const struct val *ref = obj_controller_ref(pod);
	_cleanup_obj_ struct obj *set = ref ? owner_resolve(c->sets, RES(apps_replicasets), obj_ns(pod), ref) : NULL;
	_cleanup_obj_ struct obj *d = NULL;

	if (set)
		d = owner_resolve(c->deployments, RES(apps_deployments), obj_ns(set), obj_controller_ref(set));
	if (d && val_is(obj_get(d, F_spec, F_strategy, F_type), "Recreate"))
		deployment_changed(d, c);
}

static bool deployment_ready(void *ctx)
{
	struct deployment *c = ctx;

	return informer_synced(c->deployments) && informer_synced(c->sets) && informer_synced(c->pods);
}

static void *deployment_start(struct controller_ctx *ctx)
{
	struct deployment *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->deployments = informer_get(ctx->informers, RES(apps_deployments), NULL, NULL, NULL);
	c->sets = informer_get(ctx->informers, RES(apps_replicasets), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	informer_add_index(c->sets, INDEX_CONTROLLER, index_controller);
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "deployment-controller",
							 .workers = 5,
							 .reconcile = deployment_reconcile,
							 .ctx = c,
							 .ready = deployment_ready });
	informer_add_handler(c->deployments,
			     &(struct informer_handler){ deployment_changed, deployment_updated, deployment_changed },
			     c);
	informer_add_handler(c->sets, &(struct informer_handler){ set_changed, set_updated, set_deleted }, c);
	informer_add_handler(c->pods, &(struct informer_handler){ .del = deployment_pod_deleted }, c);
	return c;
}

static void deployment_stop(void *controller)
{
	struct deployment *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops deployment_controller = { "deployment-controller", "deployment-controller",
						      deployment_start, deployment_stop };
