/* The eviction subresource: a delete that PodDisruptionBudgets may refuse (policy/v1). */
#include "apiserver/registry/kinds/kinds.h"
#include "base/timefmt.h"
#include "object/selector.h"

struct eviction {
	struct val *doc;
	struct sv pdb; /* the one budget that covers the pod, or "" */
};

struct pdb_search {
	struct api_req *q;
	const struct val *labels;
	struct sv name;
	int n;
};

static int pdb_covers(struct obj *o, void *ctx)
{
	struct pdb_search *f = ctx;
	const struct selector *sel = selector_from_label_selector(f->q->arena, obj_get(o, F_spec, F_selector), NULL);

	if (sel && selector_matches(sel, f->labels)) {
		f->name = arena_sv(f->q->arena, obj_name(o));
		f->n++;
	}
	return 0;
}

static void evicted(struct write_op *op, struct obj *o, struct err *err)
{
	(void)o;
	if (err)
		api_req_fail(op->q, err);
	else
		answer_created(op->q);
}

static void evict_delete(struct api_req *q, const struct eviction *e)
{
	struct write_op *op = write_op_new(q, RES(core_pods), q->ns, q->name);
	const struct val *o = val_get(e->doc, F_deleteOptions);
	struct delete_options *del = ARENA_NEW(q->arena, struct delete_options);

	*del = (struct delete_options){
		.grace = val_get_int(o, -1, F_gracePeriodSeconds),
		.policy = val_get_str(o, F_propagationPolicy),
		.orphan = -1,
		.uid = val_get_str(o, F_preconditions, F_uid),
		.rev = val_get_str(o, F_preconditions, F_resourceVersion),
	};
	op->done = evicted;
	delete_start(op, del);
}

static int take_disruption(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	int64_t allowed = val_get_int(old, 0, F_status, F_disruptionsAllowed);
	struct sv pdb = val_get_str(old, F_metadata, F_name);
	struct val *status, *pods;
	char now[TIME_TEXT_MAX];

	(void)ctx;
	if (val_get_int(old, 0, F_status, F_observedGeneration) < val_get_int(old, 0, F_metadata, F_generation) ||
	    allowed <= 0) {
		err_set(err, ERR_TOO_MANY_REQUESTS,
			"Cannot evict pod as it would violate the pod's disruption budget.");
		err_add_cause(err, "DisruptionBudget", SV_NULL,
			      "The disruption budget %.*s needs %" PRId64 " healthy pods and has %" PRId64 " currently",
			      SV_ARG(pdb), val_get_int(old, 0, F_status, F_desiredHealthy),
			      val_get_int(old, 0, F_status, F_currentHealthy));
		err->retry_after_s = 10;
		return -1;
	}
	status = val_ensure_map(q->arena, doc, F_status);
	val_set_int(q->arena, status, F_disruptionsAllowed, allowed - 1);
	pods = val_ensure_map(q->arena, status, F_disruptedPods);
	val_set_sv(q->arena, pods, q->name, val_new_str(q->arena, time_format(env_now_ns(q->server->env), false, now)));
	return 0;
}

static void disruption_taken(struct api_req *q, struct obj *o, struct err *err, void *ctx)
{
	(void)o;
	if (err)
		api_req_fail(q, err);
	else
		evict_delete(q, ctx);
}

void pod_eviction(struct api_req *q)
{
	struct eviction *e = ARENA_NEW(q->arena, struct eviction);
	struct err err = ERR_INIT;
	struct pdb_search f = { .q = q };
	struct obj *pod;

	e->doc = sub_body(q);
	if (!e->doc)
		return;
	pod = registry_peek(q, RES(core_pods), q->ns, q->name);
	if (!pod) {
		err_not_found(&err, RES(core_pods), q->name);
		api_req_fail(q, &err);
		return;
	}
	f.labels = obj_labels(pod);
	registry_each(q->server, RES(policy_poddisruptionbudgets), q->ns, pdb_covers, &f);
	/* A pod that does not run counts for no budget. */
	if (f.n == 0 || q->dry_run || val_is(obj_get(pod, F_status, F_phase), "Succeeded") ||
	    val_is(obj_get(pod, F_status, F_phase), "Failed") || val_is(obj_get(pod, F_status, F_phase), "Pending")) {
		evict_delete(q, e);
		return;
	}
	if (f.n > 1) {
		err_set(
		    &err, ERR_INTERNAL,
		    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
		api_req_fail(q, &err);
		return;
	}
	registry_update_async(q, RES(policy_poddisruptionbudgets), q->ns, f.name, "status", take_disruption,
			      disruption_taken, e);
}
