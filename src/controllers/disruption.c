/* disruption: how many pods of a PodDisruptionBudget may go now, written into its status.
 *
 *	expectedPods	   the sizes of the workloads that own the pods, or the pods there are when
 *			   minAvailable is a number
 *	desiredHealthy	   what the spec makes of it
 *	currentHealthy	   ready pods, without those that go and those an eviction was just granted for
 *	disruptionsAllowed currentHealthy - desiredHealthy, never below zero
 *
 * The eviction endpoint takes one from disruptionsAllowed and writes the pod into disruptedPods; here it is
 * taken out when the pod is seen going, or did not go within two minutes. Both write with the
 * resourceVersion they read, so a recount that does not know of an eviction never wins over it.
 * When the numbers cannot be told, nothing may go. */
#include "base/buf.h"
#include "base/strmap.h"
#include "client/workq.h"
#include "codec/doc_items.h"
#include "codec/val_index.h"
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "controllers/owner_scale.h"
#include "controllers/podutil.h"
#include "controllers/selecting.h"
#include "controllers/status.h"
#include "object/selector.h"

#include <stdlib.h>

#define GRANTED_NS (120 * NS_PER_SEC) /* an eviction that was granted must show within */
#define STALE_NS (120 * NS_PER_SEC)   /* a pod said to be disrupted must be going within */

struct disruption {
	struct controller_ctx *ctx;
	struct informer *budgets, *pods, *rcs, *sets, *deployments, *stateful;
	struct workq *q, *stale;
};

struct brun {
	struct disruption *c;
	struct arena *a;
	struct obj *pdb;
	struct obj **pods;
	size_t n_pods;
	int64_t expected, desired, healthy;
	struct val *granted; /* the disruptedPods to keep */
	int64_t recheck_ns;  /* from now; 0: not needed */
};

static struct obj **matching(struct brun *r, const struct selector *s, size_t *ret_n)
{
	size_t n, kept = 0;
	struct obj **pods = informer_list(r->c->pods, r->a, obj_ns(r->pdb), &n), **out;

	out = ARENA_ARRAY(r->a, struct obj *, n);
	for (size_t i = 0; i < n; i++)
		if (selector_matches(s, obj_labels(pods[i])))
			out[kept++] = pods[i];
	*ret_n = kept;
	return out;
}

/* --- the denominator --- */

struct scale {
	struct sv uid; /* the arena's, or a pod's */
	int64_t replicas;
};

static bool group_is(const struct val *ref, const char *group)
{
	struct sv g, v;

	return api_version_split(val_get_str(ref, F_apiVersion), &g, &v) && sv_is(g, group);
}

static void disruption_scale_of(struct brun *r, struct obj *o, struct scale *ret)
{
	ret->uid = arena_sv(r->a, obj_uid(o));
	ret->replicas = val_int_or(obj_get(o, F_spec, F_replicas), 1);
}

/* The workload that ref names, or that one's own owner: a Deployment counts, not its ReplicaSets. 0: found;
 * 1: there is none (any more); -1: its kind has no size, or it is not told. */
static int find_scale(struct brun *r, const struct val *ref, struct scale *ret, struct err *err)
{
	struct disruption *c = r->c;
	struct sv ns = obj_ns(r->pdb);
	_cleanup_obj_ struct obj *o = NULL, *d = NULL;
	const struct val *up;

	if (group_is(ref, "") && val_is(val_member(ref, F_kind), "ReplicationController"))
		o = owner_resolve(c->rcs, RES(core_replicationcontrollers), ns, ref);
	else if (group_is(ref, "apps") && val_is(val_member(ref, F_kind), "StatefulSet"))
		o = owner_resolve(c->stateful, RES(apps_statefulsets), ns, ref);
	else if (group_is(ref, "apps") && val_is(val_member(ref, F_kind), "ReplicaSet"))
		o = owner_resolve(c->sets, RES(apps_replicasets), ns, ref);
	else {
		ret->uid = val_get_str(ref, F_uid);
		return owner_scale(c->ctx->client, c->ctx->opts->kinds, r->a, ns, ref, &ret->replicas, err);
	}
	if (!o)
		return 1;
	up = obj_controller_ref(o);
	if (up && val_is(val_member(up, F_kind), "Deployment")) {
		d = owner_resolve(c->deployments, RES(apps_deployments), ns, up);
		if (!d)
			return 1;
	}
	disruption_scale_of(r, d ? d : o, ret);
	return 0;
}

/* The sum over all workloads that have pods here. */
static int expected_scale(struct brun *r, int64_t *ret, struct err *err)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT, scales = STRMAP_INIT; /* uids */
	size_t unmanaged = 0;

	*ret = 0;
	for (size_t i = 0; i < r->n_pods; i++) {
		const struct val *ref = obj_controller_ref(r->pods[i]);
		struct sv uid = val_get_str(ref, F_uid);
		struct scale s = { .replicas = 0 };
		int rc;

		if (!ref) {
			unmanaged++;
			continue;
		}
		if (strmap_set(&seen, uid, r))
			continue;
		rc = find_scale(r, ref, &s, err);
		if (rc > 0)
			err_set(err, ERR_NOT_FOUND, "found no controllers for pod \"%.*s\"",
				SV_ARG(obj_name(r->pods[i])));
		if (rc)
			return -1;
		/* Two ReplicaSets of one Deployment count once. */
		if (!strmap_set(&scales, s.uid, r))
			*ret += s.replicas;
	}
	if (unmanaged) {
		_cleanup_(buf_release) struct buf text = BUF_INIT;
		const struct selector *s =
		    selector_from_label_selector(r->a, obj_get(r->pdb, F_spec, F_selector), NULL);

		selector_format(&text, s);
		recorder_event(
		    r->c->ctx->recorder, RES(policy_poddisruptionbudgets), obj_root(r->pdb), "Warning", "UnmanagedPods",
		    "Pods selected by this PodDisruptionBudget (selector: %s) were found to be unmanaged. As a "
		    "result, the status of the PDB cannot be calculated correctly, which may result in "
		    "undefined behavior. To account for these pods please set \".spec.minAvailable\" field "
		    "of the PDB to an integer value.",
		    buf_cstr(&text));
	}
	return 0;
}

static int expect_pods(struct brun *r, struct err *err)
{
	const struct val *max = obj_get(r->pdb, F_spec, F_maxUnavailable);
	const struct val *min = obj_get(r->pdb, F_spec, F_minAvailable), *v = max ? max : min;
	int64_t n = 0;

	if (!v)
		return 0; /* asks for nothing */
	if (!max && val_type(min) == VAL_INT) {
		r->desired = min->i;
		r->expected = (int64_t)r->n_pods;
		return 0;
	}
	if (expected_scale(r, &r->expected, err) < 0)
		return -1;
	if (!int_or_percent(v, r->expected, true, &n))
		return err_set(err, ERR_INVALID,
			       "invalid value for IntOrString: invalid type: string is not a "
			       "percentage");
	r->desired = max ? MAX(r->expected - n, 0) : n;
	return 0;
}

/* --- the pods --- */

/* disruptedPods without those that are going, gone, or were not deleted in time. */
static void keep_granted(struct brun *r, int64_t now)
{
	const struct val *was = obj_get(r->pdb, F_status, F_disruptedPods);
	_cleanup_(val_index_release) struct val_index in_was = val_index_of(was);
	bool any = val_len(was) > 0;

	for (size_t i = 0; i < r->n_pods && any; i++) {
		struct obj *pod = r->pods[i];
		const struct val *at = val_index_get(&in_was, obj_name(pod));
		int64_t due;

		if (!at || obj_deleting(pod) || !time_get(at, &due))
			continue;
		due += GRANTED_NS;
		if (due < now) {
			recorder_event(r->c->ctx->recorder, RES(core_pods), obj_root(pod), "Warning", "NotDeleted",
				       "Pod was expected by PDB %.*s/%.*s to be deleted but it wasn't",
				       SV_ARG(obj_ns(r->pdb)), SV_ARG(obj_name(r->pdb)));
			continue;
		}
		if (!r->granted)
			r->granted = val_new_map(r->a);
		val_append_sv(r->a, r->granted, obj_name(pod), at); /* a pod comes once */
		due = MAX(due - now, NS_PER_MS);
		if (r->recheck_ns == 0 || due < r->recheck_ns)
			r->recheck_ns = due;
	}
}

static void count_healthy(struct brun *r)
{
	_cleanup_(val_index_release) struct val_index granted = val_index_of(r->granted);

	for (size_t i = 0; i < r->n_pods; i++)
		r->healthy += !obj_deleting(r->pods[i]) && pod_is_ready(r->pods[i]) &&
			      !val_index_get(&granted, obj_name(r->pods[i]));
}

/* --- the status --- */

static void allowed_condition(struct brun *r, struct val *st, const char *status, const char *reason, struct sv message)
{
	struct val *list;

	condition_set(
	    r->a, st,
	    &(struct condition){ .type = "DisruptionAllowed", .status = status, .reason = reason, .message = message },
	    env_now_ns(r->c->ctx->env));
	list = val_ensure_list(r->a, st, F_conditions);
	for (size_t i = 0; i < val_len(list); i++)
		if (val_is(val_member(val_at(list, i), F_type), "DisruptionAllowed"))
			status_int(r->a, val_at_mut(list, i), F_observedGeneration,
				   val_get_int(st, 0, F_observedGeneration));
}

static int disruption_put(struct brun *r, struct val *doc, struct err *err)
{
	if (val_equal(val_get(doc, F_status), obj_get(r->pdb, F_status)))
		return 0;
	if (client_update_status(r->c->ctx->client, RES(policy_poddisruptionbudgets), doc, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

static int disruption_write_status(struct brun *r, struct err *err)
{
	struct val *doc = obj_edit(r->a, r->pdb), *st = val_ensure_map(r->a, doc, F_status);
	int64_t allowed = r->healthy - r->desired;

	/* A budget that matches nothing allows nothing: its first pods may come before its next count. */
	if (r->expected <= 0 || allowed < 0)
		allowed = 0;
	/* Zeros too: these four are there always. */
	val_set_int(r->a, st, F_currentHealthy, r->healthy);
	val_set_int(r->a, st, F_desiredHealthy, r->desired);
	val_set_int(r->a, st, F_disruptionsAllowed, allowed);
	val_set_int(r->a, st, F_expectedPods, r->expected);
	status_int(r->a, st, F_observedGeneration, val_int_or(obj_get(r->pdb, F_metadata, F_generation), 0));
	if (r->granted)
		val_set(r->a, st, F_disruptedPods, r->granted);
	else
		val_del(st, F_disruptedPods);
	allowed_condition(r, st, allowed > 0 ? "True" : "False", allowed > 0 ? "SufficientPods" : "InsufficientPods",
			  SV(""));
	return disruption_put(r, doc, err);
}

/* The numbers are not known: nothing may go. */
static int fail_safe(struct brun *r, const struct err *why, struct err *err)
{
	struct val *doc = obj_edit(r->a, r->pdb), *st = val_ensure_map(r->a, doc, F_status);
	static const enum sym counts[] = { F_currentHealthy, F_desiredHealthy, F_expectedPods };

	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (!val_member(st, counts[i]))
			val_set_int(r->a, st, counts[i], 0);
	val_set_int(r->a, st, F_disruptionsAllowed, 0);
	allowed_condition(r, st, "False", "SyncFailed", arena_sv(r->a, sv_from(err_msg(why))));
	return disruption_put(r, doc, err);
}

static int disruption_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct disruption *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *pdb = NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct brun r = { .c = c, .a = &a };
	const struct selector *s;
	struct sv ns, name;

	workq_key_split(key, &ns, &name);
	pdb = informer_lookup(c->budgets, ns, name);
	if (!pdb)
		return 0;
	r.pdb = pdb;
	s = selector_from_label_selector(&a, obj_get(pdb, F_spec, F_selector), &why);
	if (!s)
		return fail_safe(&r, &why, err);
	r.pods = matching(&r, s, &r.n_pods);
	if (r.n_pods == 0)
		recorder_event(c->ctx->recorder, RES(policy_poddisruptionbudgets), obj_root(pdb), "Normal", "NoPods",
			       "No matching pods found");
	if (expect_pods(&r, &why) < 0) {
		recorder_event(c->ctx->recorder, RES(policy_poddisruptionbudgets), obj_root(pdb), "Warning",
			       "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %s",
			       err_msg(&why));
		return fail_safe(&r, &why, err);
	}
	keep_granted(&r, env_now_ns(c->ctx->env));
	count_healthy(&r);
	ret->after_ns = r.recheck_ns;
	return disruption_write_status(&r, err);
}

/* --- pods said to be disrupted that stay --- */

static const struct val *stale_mark(const struct obj *pod)
{
	const struct val *c = condition_find(obj_get(pod, F_status, F_conditions), "DisruptionTarget");

	if (!val_is(val_member(c, F_status), "True") || obj_deleting(pod) || pod_is_terminal(pod) ||
	    val_is(val_member(c, F_reason), "TerminationByKubelet"))
		return NULL;
	return c;
}

static int clear_stale(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct disruption *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *pod = NULL;
	const struct val *mark;
	struct sv ns, name;
	struct val *doc;
	int64_t at, now = env_now_ns(c->ctx->env);

	workq_key_split(key, &ns, &name);
	pod = informer_lookup(c->pods, ns, name);
	mark = pod ? stale_mark(pod) : NULL;
	if (!mark || !time_get(val_member(mark, F_lastTransitionTime), &at))
		return 0;
	if (at + STALE_NS > now) {
		ret->after_ns = at + STALE_NS - now;
		return 0;
	}
	doc = obj_edit(&a, pod);
	condition_set(&a, val_ensure_map(&a, doc, F_status),
		      &(struct condition){ .type = "DisruptionTarget",
					   .status = "False",
					   .reason = arena_cstr(&a, val_get_str(mark, F_reason)),
					   .message = val_get_str(mark, F_message) },
		      now);
	if (client_update_status(c->ctx->client, RES(core_pods), doc, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

/* --- events --- */

static void budget_added(struct obj *o, void *ctx)
{
	struct disruption *c = ctx;

	workq_add_obj(c->q, obj_ns(o), obj_name(o));
}

static void budget_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	budget_added(neu, ctx);
}

/* Every budget of the namespace that selects labels. */
static void disruption_queue_matching(struct disruption *c, struct sv ns, const struct val *labels)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj **all;
	size_t n;

	all = selecting(c->budgets, &a, ns, labels, &n);
	for (size_t i = 0; i < n; i++) {
		const struct selector *s = selector_from_label_selector(&a, obj_get(all[i], F_spec, F_selector), NULL);

		if (!s || selector_matches(s, labels))
			budget_added(all[i], c);
	}
}

static void disruption_pod_changed(struct obj *pod, void *ctx)
{
	struct disruption *c = ctx;

	disruption_queue_matching(c, obj_ns(pod), obj_labels(pod));
	if (stale_mark(pod))
		workq_add_obj(c->stale, obj_ns(pod), obj_name(pod));
}

static void disruption_pod_updated(struct obj *old, struct obj *neu, void *ctx)
{
	struct disruption *c = ctx;
	bool relabeled = !val_equal(obj_labels(old), obj_labels(neu));

	if (relabeled || pod_is_ready(old) != pod_is_ready(neu) || obj_deleting(old) != obj_deleting(neu) ||
	    !val_equal(obj_controller_ref(old), obj_controller_ref(neu)) || !sv_eq(obj_uid(old), obj_uid(neu)))
		disruption_queue_matching(c, obj_ns(neu), obj_labels(neu));
	if (relabeled)
		disruption_queue_matching(c, obj_ns(old), obj_labels(old));
	if (!stale_mark(old) && stale_mark(neu))
		workq_add_obj(c->stale, obj_ns(neu), obj_name(neu));
}

/* A new size shows before the pods that come of it. */
static void workload_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (val_int_or(obj_get(old, F_spec, F_replicas), 1) != val_int_or(obj_get(neu, F_spec, F_replicas), 1))
		disruption_queue_matching(ctx, obj_ns(neu), obj_get(neu, F_spec, F_template, F_metadata, F_labels));
}

static bool disruption_ready(void *ctx)
{
	struct disruption *c = ctx;

	return informer_synced(c->budgets) && informer_synced(c->pods) && informer_synced(c->rcs) &&
	       informer_synced(c->sets) && informer_synced(c->deployments) && informer_synced(c->stateful);
}

static void *disruption_start(struct controller_ctx *ctx)
{
	struct disruption *c = xcalloc(1, sizeof(*c));
	static const struct informer_handler sized = { .update = workload_updated };

	c->ctx = ctx;
	c->budgets = informer_get(ctx->informers, RES(policy_poddisruptionbudgets), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->rcs = informer_get(ctx->informers, RES(core_replicationcontrollers), NULL, NULL, NULL);
	c->sets = informer_get(ctx->informers, RES(apps_replicasets), NULL, NULL, NULL);
	c->deployments = informer_get(ctx->informers, RES(apps_deployments), NULL, NULL, NULL);
	c->stateful = informer_get(ctx->informers, RES(apps_statefulsets), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "disruption-controller",
							 .reconcile = disruption_reconcile,
							 .ctx = c,
							 .ready = disruption_ready });
	c->stale = workq_new(ctx->env, &(struct workq_opts){ .name = "stale-pod-disruption",
							     .workers = 1,
							     .reconcile = clear_stale,
							     .ctx = c,
							     .ready = disruption_ready });
	informer_add_index(c->budgets, INDEX_SELECTING, index_selecting_labels);
	informer_add_handler(c->budgets, &(struct informer_handler){ budget_added, budget_updated, NULL }, c);
	informer_add_handler(
	    c->pods,
	    &(struct informer_handler){ disruption_pod_changed, disruption_pod_updated, disruption_pod_changed }, c);
	informer_add_handler(c->rcs, &sized, c);
	informer_add_handler(c->sets, &sized, c);
	informer_add_handler(c->deployments, &sized, c);
	informer_add_handler(c->stateful, &sized, c);
	return c;
}

static void disruption_stop(void *controller)
{
	struct disruption *c = controller;

	workq_free(c->q);
	workq_free(c->stale);
	free(c);
}

const struct controller_ops disruption_controller = { "disruption-controller", "disruption-controller",
						      disruption_start, disruption_stop };
