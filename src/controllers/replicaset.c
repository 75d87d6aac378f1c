/* replicaset: keep as many pods of a template as the spec says. ReplicationControllers, their elder sisters,
 * are the same but for their kind and a selector without operators.
 *
 * One run: claim the pods, compare their number with spec.replicas, create or delete the
 * difference (at most 500 at a time), write the status. Pods are only made or deleted when
 * everything done before has been seen (expectations.h). */
#include "controllers/controllers.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/podwatch.h"
#include "controllers/replicaset_rank.h"
#include "controllers/status.h"
#include "controllers/template.h"

#include <stdlib.h>

#define BURST 500

struct replicaset {
	struct controller_ctx *ctx;
	const struct resource *res; /* ReplicaSets or ReplicationControllers */
	struct informer *sets, *pods;
	struct workq *q;
	struct expectations *expect;
	struct podwatch watch;
	struct pod_control pods_ctl;
};

/* One run. */
struct run {
	struct replicaset *c;
	struct arena *a;
	struct sv key;
	struct obj *rs;
	struct objs pods; /* active ones */
	int64_t terminating;
	size_t failed; /* creations */
};

static bool skip_inactive(const struct obj *pod)
{
	return !pod_is_active(pod);
}

static int rs_create_one(void *ctx, size_t i, struct err *err)
{
	struct run *r = ctx;
	struct val *pod = pod_from_template(r->a, r->c->res, obj_root(r->rs), obj_get(r->rs, F_spec, F_template));

	(void)i;
	if (pod_control_create(&r->c->pods_ctl, pod, r->rs, err) < 0) {
		creation_observed(r->c->expect, r->key);
		r->failed++;
		return -1;
	}
	return 0;
}

static int rs_create_pods(struct run *r, size_t n, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	size_t made;

	expect_creations(r->c->expect, r->key, (int64_t)n);
	made = pod_slow_start(n, rs_create_one, r, &why);
	if (made == n)
		return 0;
	/* What was not tried will not be seen either; what failed was ticked off already. */
	for (size_t i = made + r->failed; i < n; i++)
		creation_observed(r->c->expect, r->key);
	if (err_namespace_terminating(&why))
		return 0; /* its pods go with the namespace */
	return err_move(err, &why);
}

/* Active pods of all ReplicaSets of the same owner, ours included. */
static struct objs peer_pods(struct run *r)
{
	const struct val *ref = obj_controller_ref(r->rs);
	struct sv uid = val_str(val_member(ref, F_uid));
	struct objs out = { 0 };
	size_t n_sets = 1, n_all = 0, n;
	struct obj **sets = &r->rs;

	if (ref)
		sets = informer_by_index(r->c->sets, r->a, INDEX_CONTROLLER, uid, &n_sets);
	for (size_t i = 0; i < n_sets; i++) {
		(void)informer_by_index(r->c->pods, r->a, INDEX_CONTROLLER, obj_uid(sets[i]), &n);
		n_all += n;
	}
	out.p = ARENA_ARRAY(r->a, struct obj *, n_all);
	for (size_t i = 0; i < n_sets; i++) {
		struct obj **pods = informer_by_index(r->c->pods, r->a, INDEX_CONTROLLER, obj_uid(sets[i]), &n);

		for (size_t k = 0; k < n && out.n < n_all; k++)
			if (pod_is_active(pods[k]))
				out.p[out.n++] = pods[k];
	}
	return out;
}

static int rs_delete_pods(struct run *r, size_t n, struct err *err)
{
	struct objs peers;
	struct sv *uids = ARENA_ARRAY(r->a, struct sv, n);
	int rc = 0;

	if (n < r->pods.n) {
		peers = peer_pods(r);
		rank_pods_for_deletion(r->a, r->pods.p, r->pods.n, peers.p, peers.n, env_now_ns(r->c->ctx->env));
	}
	for (size_t i = 0; i < n; i++)
		uids[i] = obj_uid(r->pods.p[i]);
	expect_deletions(r->c->expect, r->key, uids, n);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (pod_control_delete(&r->c->pods_ctl, r->pods.p[i], r->rs, &why) == 0)
			continue;
		deletion_observed(r->c->expect, r->key, uids[i]);
		if (why.reason == ERR_NOT_FOUND)
			continue;
		if (rc == 0)
			rc = err_move(err, &why);
	}
	return rc;
}

/* diff: pods there are beyond those wanted. */
static int rs_manage(struct run *r, int64_t diff, struct err *err)
{
	if (diff < 0)
		return rs_create_pods(r, (size_t)MIN(-diff, BURST), err);
	if (diff > 0)
		return rs_delete_pods(r, (size_t)MIN(diff, BURST), err);
	return 0;
}

static bool has_labels(const struct val *labels, const struct val *wanted)
{
	VAL_EACH_MEMBER(wanted, m)
		if (!val_equal(val_member_sv(labels, m.key), m.value))
			return false;
	return true;
}

static int rs_write_status(struct run *r, int64_t diff, const struct err *failure, int64_t *ret_wait, bool *ret_waiting,
			   struct err *err)
{
	struct val *doc = obj_edit(r->a, r->rs), *st = val_ensure_map(r->a, doc, F_status);
	const struct val *want = obj_get(r->rs, F_spec, F_template, F_metadata, F_labels);
	int64_t labeled = 0, ready = 0, available = 0, now = env_now_ns(r->c->ctx->env);
	int64_t min_ready = val_int_or(obj_get(r->rs, F_spec, F_minReadySeconds), 0);

	for (size_t i = 0; i < r->pods.n; i++) {
		const struct obj *p = r->pods.p[i];

		labeled += has_labels(obj_labels(p), want);
		ready += pod_is_ready(p);
		available += pod_is_available(p, min_ready, now, ret_wait);
	}
	*ret_waiting = ready != available;
	status_int(r->a, st, F_replicas, (int64_t)r->pods.n);
	status_int(r->a, st, F_fullyLabeledReplicas, labeled);
	status_int(r->a, st, F_readyReplicas, ready);
	status_int(r->a, st, F_availableReplicas, available);
	if (r->c->res == RES(apps_replicasets))
		status_int(r->a, st, F_terminatingReplicas, r->terminating);
	status_int(r->a, st, F_observedGeneration, val_int_or(obj_get(r->rs, F_metadata, F_generation), 0));
	if (failure && failure->reason != ERR_NONE)
		condition_set(r->a, st,
			      &(struct condition){ .type = "ReplicaFailure",
						   .status = "True",
						   .reason = diff < 0 ? "FailedCreate" : "FailedDelete",
						   .message = sv_from(err_msg(failure)),
						   .keep_message = true },
			      now);
	else
		condition_remove(st, "ReplicaFailure");
	if (val_equal(st, obj_get(r->rs, F_status)))
		return 0;
	if (client_update_status(r->c->ctx->client, r->c->res, doc, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

static void count_terminating(struct run *r)
{
	size_t n;
	struct obj **pods = informer_by_index(r->c->pods, r->a, INDEX_CONTROLLER, obj_uid(r->rs), &n);

	for (size_t i = 0; i < n; i++)
		r->terminating += pod_is_terminating(pods[i]);
}

static int rs_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct replicaset *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *rs = NULL;
	_cleanup_(err_release) struct err failure = ERR_INIT;
	struct run r = { .c = c, .a = &a, .key = key };
	struct claim claim = { .client = c->ctx->client,
			       .owner_res = c->res,
			       .child_res = RES(core_pods),
			       .children = c->pods,
			       .skip = skip_inactive };
	struct sv ns, name;
	bool may_act, waiting;
	int64_t diff, wait = 0;

	workq_key_split(key, &ns, &name);
	rs = informer_lookup(c->sets, ns, name);
	if (!rs) {
		expectations_forget(c->expect, key);
		return 0;
	}
	r.rs = rs;
	/* Asked before the pods are read: what is seen now is then at least as new as what we did. */
	may_act = expectations_satisfied(c->expect, key);
	claim.owner = rs;
	claim.selector = owner_selector(&a, c->res, rs, err);
	if (!claim.selector)
		return -1;
	if (claim_children(&a, &claim, &r.pods, err) < 0)
		return -1;
	count_terminating(&r);
	diff = (int64_t)r.pods.n - val_int_or(obj_get(rs, F_spec, F_replicas), 1);
	if (may_act && !obj_deleting(rs))
		(void)rs_manage(&r, diff, &failure);
	if (rs_write_status(&r, diff, &failure, &wait, &waiting, err) < 0)
		return -1;
	if (failure.reason != ERR_NONE)
		return err_move(err, &failure);
	if (waiting)
		ret->after_ns = MAX(wait, NS_PER_MS);
	else if (!may_act)
		ret->after_ns = EXPECTATIONS_TTL_NS; /* should the event never come */
	return 0;
}

static bool rs_ready(void *ctx)
{
	struct replicaset *c = ctx;

	return informer_synced(c->sets) && informer_synced(c->pods);
}

static void *start_for(struct controller_ctx *ctx, const struct resource *res, const char *name)
{
	struct replicaset *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->res = res;
	c->sets = informer_get(ctx->informers, res, NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	informer_add_index(c->sets, INDEX_CONTROLLER, index_controller);
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	c->expect = expectations_new(ctx->env);
	c->pods_ctl = (struct pod_control){ ctx->client, ctx->recorder, res };
	c->q = workq_new(
	    ctx->env,
	    &(struct workq_opts){ .name = name, .workers = 5, .reconcile = rs_reconcile, .ctx = c, .ready = rs_ready });
	c->watch = (struct podwatch){ res, c->sets, c->pods, c->q, c->expect };
	podwatch_start(&c->watch);
	return c;
}

static void *rs_start(struct controller_ctx *ctx)
{
	return start_for(ctx, RES(apps_replicasets), "replicaset-controller");
}

static void *start_rc(struct controller_ctx *ctx)
{
	return start_for(ctx, RES(core_replicationcontrollers), "replicationcontroller-controller");
}

static void rs_stop(void *controller)
{
	struct replicaset *c = controller;

	workq_free(c->q);
	expectations_free(c->expect);
	free(c);
}

const struct controller_ops replicaset_controller = { "replicaset-controller", "replicaset-controller", rs_start,
						      rs_stop };
const struct controller_ops replicationcontroller_controller = { "replicationcontroller-controller",
								 "replication-controller", start_rc, rs_stop };
