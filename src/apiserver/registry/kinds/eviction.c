/* The eviction subresource: a delete that PodDisruptionBudgets may refuse.
 *
 *	look ──no budget counts the pod──────────────────────────▶ mark ──▶ delete
 *	  └────one budget──▶ take one disruption from its status ──▶ ─┘
 *
 * The budget's status is changed with its resourceVersion: of two evictions at once one sees the other's
 * count, and a controller's recount based on older pods loses. The pod is listed in disruptedPods until
 * the controller sees it go. What may go without asking (a pod that does not run or is not ready)
 * is deleted at the resourceVersion at which that was true. */
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/set_aside.h"
#include "base/timefmt.h"
#include "object/condition.h"
#include "object/selector.h"

#define DISRUPTED_MAX 2000 /* pods in disruptedPods */
#define ATTEMPTS 20	   /* with a pod that changes under our hands */

struct eviction {
	struct delete_options del;
	struct sv pod_rev; /* at which the pod needs no permission; "" */
	struct sv pdb;	   /* the one budget that covers the pod, or "" */
	bool from_client;  /* the client itself named a revision */
	bool again;	   /* look again when the pod is newer than pod_rev */
	int attempt;
};

struct pdb_search {
	struct api_req *q;
	const struct val *labels;
	struct obj *found;
	int n;
};

static void eviction_look(struct api_req *q, void *ctx);

static int pdb_covers(struct obj *o, void *ctx)
{
	struct pdb_search *f = ctx;
	const struct selector *sel = selector_from_label_selector(f->q->arena, obj_get(o, F_spec, F_selector), NULL);

	if (sel && selector_matches(sel, f->labels)) {
		f->found = obj_link(f->q->arena, obj_ref(o));
		f->n++;
	}
	return 0;
}

/* 429 while the controller has not judged the budget or the pod as they are now. */
static int being_processed(struct err *err, struct sv pdb)
{
	err_set(err, ERR_TOO_MANY_REQUESTS, "Cannot evict pod as it would violate the pod's disruption budget.");
	err_add_cause(err, "DisruptionBudget", SV_NULL,
		      "The disruption budget %.*s is still being processed by the server.", SV_ARG(pdb));
	err->retry_after_s = 10;
	return -1;
}

static int budget_used_up(struct err *err, const struct val *pdb)
{
	const struct val *st = val_get(pdb, F_status);
	const struct val *why = condition_find(val_get(st, F_conditions), "DisruptionAllowed");
	struct sv name = val_get_str(pdb, F_metadata, F_name);

	/* No Retry-After: client libraries would wait by themselves, and drain says what it waits for. */
	err_set(err, ERR_TOO_MANY_REQUESTS, "Cannot evict pod as it would violate the pod's disruption budget.");
	if (val_is(val_member(why, F_status), "False") && val_is(val_member(why, F_reason), "SyncFailed"))
		err_add_cause(
		    err, "DisruptionBudget", SV_NULL,
		    "The disruption budget %.*s does not allow evicting pods currently because it failed sync: %.*s",
		    SV_ARG(name), SV_ARG(val_get_str(why, F_message)));
	else
		err_add_cause(err, "DisruptionBudget", SV_NULL,
			      "The disruption budget %.*s needs %" PRId64 " healthy pods and has %" PRId64 " currently",
			      SV_ARG(name), val_get_int(st, 0, F_desiredHealthy), val_get_int(st, 0, F_currentHealthy));
	return -1;
}

/* May one more pod go? */
static int check_budget(const struct val *pdb, struct err *err)
{
	const struct val *st = val_get(pdb, F_status);
	struct sv name = val_get_str(pdb, F_metadata, F_name);
	int64_t allowed = val_get_int(st, 0, F_disruptionsAllowed);
	const char *broken = NULL;

	if (val_get_int(st, 0, F_observedGeneration) < val_get_int(pdb, 0, F_metadata, F_generation))
		return being_processed(err, name);
	if (allowed < 0)
		broken = "pdb disruptions allowed is negative";
	else if (val_len(val_get(st, F_disruptedPods)) > DISRUPTED_MAX)
		broken = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
	if (broken) {
		err_set(err, ERR_FORBIDDEN, "poddisruptionbudgets.policy \"%.*s\" is forbidden: %s", SV_ARG(name),
			broken);
		return err_set_object(err, SV("policy"), SV("poddisruptionbudgets"), name);
	}
	return allowed == 0 ? budget_used_up(err, pdb) : 0;
}

/* --- deleting --- */

static void evicted(struct write_op *op, struct obj *o, struct err *err)
{
	(void)o;
	if (err)
		api_req_fail(op->q, err);
	else
		answer_created(op->q);
}

static void pod_delete(struct api_req *q, void *ctx)
{
	struct eviction *e = ctx;
	struct write_op *op = write_op_new(q, RES(core_pods), q->ns, q->name);

	op->done = evicted;
	delete_start(op, &e->del);
}

/* Is the pod still the one, and as it was when it was looked at? */
static int same_pod(const struct write_op *op, const struct eviction *e, struct err *err)
{
	struct sv rev = e->pod_rev.n ? e->pod_rev : e->del.rev, uid = e->del.uid;

	return delete_preconditions(op->res, op->old, uid, rev, err);
}

static int mark_pod(struct write_op *op, struct err *err)
{
	struct val *st, *list, *c = NULL;
	char now[TIME_TEXT_MAX];
	bool was;

	if (same_pod(op, op->ctx, err) < 0)
		return -1;
	op->doc = obj_edit(op->a, op->old);
	st = val_ensure_map(op->a, op->doc, F_status);
	list = val_ensure_list(op->a, st, F_conditions);
	for (size_t i = 0; i < val_len(list) && !c; i++)
		if (val_is(val_member(val_at(list, i), F_type), "DisruptionTarget"))
			c = val_at_mut(list, i);
	was = val_is(val_member(c, F_status), "True");
	if (!c)
		c = val_push(op->a, list, val_new_map(op->a));
	val_set_cstr(op->a, c, F_type, "DisruptionTarget");
	val_set_cstr(op->a, c, F_status, "True");
	val_set_cstr(op->a, c, F_reason, "EvictionByEvictionAPI");
	val_set_cstr(op->a, c, F_message, "Eviction API: evicting");
	if (!was)
		val_set_str(op->a, c, F_lastTransitionTime, time_format(env_now_ns(op->q->server->env), false, now));
	return val_equal(obj_root(op->old), op->doc) ? 1 : 0;
}

static void marked(struct write_op *op, struct obj *o, struct err *err)
{
	struct eviction *e = op->ctx;

	(void)o;
	if (!err) {
		e->del.rev = SV(""); /* it was true, and our own mark has changed it */
		req_go(op->q, pod_delete, e);
		return;
	}
	if (err->reason == ERR_CONFLICT && e->again && ++e->attempt < ATTEMPTS) {
		req_go(op->q, eviction_look, e);
		return;
	}
	if (err->reason == ERR_CONFLICT && e->pod_rev.n && e->pdb.n && !e->from_client) {
		err_release(err);
		being_processed(err, e->pdb);
	}
	api_req_fail(op->q, err);
}

static void pod_mark(struct api_req *q, void *ctx)
{
	struct write_op *op;

	if (q->dry_run) {
		pod_delete(q, ctx);
		return;
	}
	op = write_op_new(q, RES(core_pods), q->ns, q->name);
	op->must_exist = op->retry = op->raw = true;
	op->produce = mark_pod;
	op->done = marked;
	op->ctx = ctx;
	write_run(op);
}

/* --- the budget --- */

static int take_disruption(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	struct val *status, *pods;
	char now[TIME_TEXT_MAX];

	(void)ctx;
	if (check_budget(old, err) < 0)
		return -1;
	status = val_ensure_map(q->arena, doc, F_status);
	val_set_int(q->arena, status, F_disruptionsAllowed, val_get_int(old, 0, F_status, F_disruptionsAllowed) - 1);
	pods = val_ensure_map(q->arena, status, F_disruptedPods);
	val_set_sv(q->arena, pods, q->name, val_new_str(q->arena, time_format(env_now_ns(q->server->env), false, now)));
	return 0;
}

static void disruption_taken(struct api_req *q, struct obj *o, struct err *err, void *ctx)
{
	struct eviction *e = ctx;

	(void)o;
	if (!err) {
		req_go(q, pod_mark, e);
		return;
	}
	if (err->reason == ERR_CONFLICT) {
		err_release(err);
		err_set(err, ERR_TIMEOUT, "couldn't update PodDisruptionBudget \"%.*s\" due to conflicts",
			SV_ARG(e->pdb));
		err->retry_after_s = 10;
	}
	api_req_fail(q, err);
}

static void ask_budget(struct api_req *q, struct eviction *e, struct obj *pdb)
{
	struct err err = ERR_INIT;

	if (q->dry_run) {
		if (check_budget(obj_root(pdb), &err) < 0)
			api_req_fail(q, &err);
		else
			pod_delete(q, e);
		return;
	}
	/* The server's own doing, not the client's. */
	q->field_manager = SV("kube-apiserver");
	registry_update_async(q, RES(policy_poddisruptionbudgets), q->ns, e->pdb, "status", take_disruption,
			      disruption_taken, e);
}

/* Pods that are not ready may go when their budget says so, or while enough others are. */
static bool unhealthy_may_go(const struct obj *pdb)
{
	const struct val *st = obj_get(pdb, F_status);
	int64_t desired = val_get_int(st, 0, F_desiredHealthy);

	return val_is(obj_get(pdb, F_spec, F_unhealthyPodEvictionPolicy), "AlwaysAllow") ||
	       (desired > 0 && val_get_int(st, 0, F_currentHealthy) >= desired);
}

static void pin(struct eviction *e, const struct obj *pod)
{
	if (!e->from_client)
		e->pod_rev = val_str(obj_get(pod, F_metadata, F_resourceVersion));
}

static void eviction_look(struct api_req *q, void *ctx)
{
	struct eviction *e = ctx;
	struct pdb_search f = { .q = q };
	struct err err = ERR_INIT;
	struct obj *pod = registry_peek(q, RES(core_pods), q->ns, q->name);
	const struct val *phase = obj_get(pod, F_status, F_phase);

	e->pdb = e->pod_rev = SV("");
	e->again = false;
	if (!pod) {
		set_aside_error(q->server, RES(core_pods), q->ns, q->name, &err);
		api_req_fail(q, &err);
		return;
	}
	/* What has ended or is ending counts for no budget, and will not come back to count. */
	if (obj_deleting(pod) || val_is(phase, "Succeeded") || val_is(phase, "Failed")) {
		pod_mark(q, e);
		return;
	}
	if (val_is(phase, "Pending")) {
		pin(e, pod);
		e->again = e->pod_rev.n;
		pod_mark(q, e);
		return;
	}
	f.labels = obj_labels(pod);
	/* A budget that cannot be read may be this Pod's. */
	if (registry_each(q->server, RES(policy_poddisruptionbudgets), q->ns, pdb_covers, &f, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	if (f.n > 1) {
		err_set(
		    &err, ERR_UNKNOWN,
		    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
		api_req_fail(q, &err);
		return;
	}
	if (f.n == 0) {
		pod_mark(q, e);
		return;
	}
	e->pdb = obj_name(f.found);
	if (!condition_ready(obj_root(pod)) && unhealthy_may_go(f.found)) {
		pin(e, pod);
		pod_mark(q, e);
		return;
	}
	ask_budget(q, e, f.found);
}

static void evict(struct api_req *q, struct val *doc)
{
	struct eviction *e = ARENA_NEW(q->arena, struct eviction);
	const struct val *o = val_get(doc, F_deleteOptions);
	struct err err = ERR_INIT;

	if (!sv_eq(val_get_str(doc, F_metadata, F_name), q->name)) {
		err_set(&err, ERR_BAD_REQUEST, "name in URL does not match name in Eviction object");
		api_req_fail(q, &err);
		return;
	}
	if (val_len(val_get(o, F_dryRun)))
		q->dry_run = true;
	e->del = (struct delete_options){
		.grace = val_get_int(o, -1, F_gracePeriodSeconds),
		.policy = val_get_str(o, F_propagationPolicy),
		.orphan = -1,
		.uid = val_get_str(o, F_preconditions, F_uid),
		.rev = val_get_str(o, F_preconditions, F_resourceVersion),
		.dry_run = q->dry_run,
	};
	e->from_client = e->del.rev.n;
	eviction_look(q, e);
}

void pod_eviction(struct api_req *q)
{
	struct val *doc = sub_body(q);

	if (doc)
		admission_create_sub(q, doc, evict);
}
