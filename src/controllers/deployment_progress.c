/* The deployment's status: counts from its ReplicaSets' status, and three conditions.
 *
 *	Available	enough pods are available
 *	Progressing	the rollout moves, is done, or has stood still for progressDeadlineSeconds
 *	ReplicaFailure	a ReplicaSet could not make or delete pods
 */
#include "controllers/deployment-internal.h"
#include "controllers/status.h"

static int64_t observed(const struct val *status)
{
	return val_get_int(status, 0, F_observedGeneration);
}

bool deployment_complete(const struct drun *r, const struct val *status)
{
	return val_get_int(status, 0, F_updatedReplicas) == r->replicas &&
	       val_get_int(status, 0, F_replicas) == r->replicas &&
	       val_get_int(status, 0, F_availableReplicas) == r->replicas &&
	       observed(status) >= val_int_or(obj_get(r->d, F_metadata, F_generation), 0);
}

static bool moved(const struct val *was, const struct val *is)
{
	int64_t old_was = val_get_int(was, 0, F_replicas) - val_get_int(was, 0, F_updatedReplicas);
	int64_t old_is = val_get_int(is, 0, F_replicas) - val_get_int(is, 0, F_updatedReplicas);

	return val_get_int(is, 0, F_updatedReplicas) > val_get_int(was, 0, F_updatedReplicas) || old_is < old_was ||
	       val_get_int(is, 0, F_readyReplicas) > val_get_int(was, 0, F_readyReplicas) ||
	       val_get_int(is, 0, F_availableReplicas) > val_get_int(was, 0, F_availableReplicas);
}

/* When the deadline ends, or false when none runs. */
static bool deployment_deadline(const struct drun *r, const struct val *status, int64_t *ret_ns)
{
	const struct val *c = condition_find(val_member(status, F_conditions), "Progressing");
	int64_t since;

	if (r->deadline_s < 0 || !c || val_is(val_member(c, F_reason), "NewReplicaSetAvailable") ||
	    !time_get(val_member(c, F_lastUpdateTime), &since))
		return false;
	*ret_ns = since + r->deadline_s * NS_PER_SEC;
	return true;
}

static struct sv deployment_message(struct drun *r, const char *what)
{
	if (r->neu)
		return arena_svf(r->a, "ReplicaSet \"%.*s\" %s", SV_ARG(obj_name(r->neu->o)), what);
	return arena_svf(r->a, "Deployment \"%.*s\" %s", SV_ARG(obj_name(r->d)), what);
}

static void judge_progress(struct drun *r, const struct val *was, struct val *is)
{
	const struct val *c = condition_find(val_member(was, F_conditions), "Progressing");
	int64_t due;

	/* Done earlier, and nothing started since: scaling and restarting pods are no rollout. */
	if (c && val_is(val_member(c, F_reason), "NewReplicaSetAvailable") &&
	    val_get_int(is, 0, F_replicas) == val_get_int(is, 0, F_updatedReplicas))
		return;
	if (deployment_complete(r, is)) {
		deployment_progressing(r, is, "True", "NewReplicaSetAvailable",
				       deployment_message(r, "has successfully progressed."));
	} else if (moved(was, is)) {
		/* Each step restarts the deadline: lastUpdateTime moves even when nothing else does. */
		deployment_progressing(r, is, "True", "ReplicaSetUpdated", deployment_message(r, "is progressing."));
		c = condition_find(val_member(is, F_conditions), "Progressing");
		val_set_str(r->a, (struct val *)c, F_lastUpdateTime, time_text(r->a, env_now_ns(r->c->ctx->env)));
	} else if (condition_reason_is(val_member(was, F_conditions), "Progressing", "ProgressDeadlineExceeded") ||
		   (deployment_deadline(r, was, &due) && due < env_now_ns(r->c->ctx->env))) {
		deployment_progressing(r, is, "False", "ProgressDeadlineExceeded",
				       deployment_message(r, "has timed out progressing."));
	}
}

static void replica_failure(struct drun *r, struct val *is)
{
	const struct val *c = NULL;

	for (size_t i = 0; i < r->n_sets; i++) {
		const struct val *f = condition_find(obj_get(r->sets[i]->o, F_status, F_conditions), "ReplicaFailure");

		if (f && (!c || r->sets[i] == r->neu))
			c = f;
	}
	if (!c)
		condition_remove(is, "ReplicaFailure");
	else
		deployment_condition(r, is, "ReplicaFailure", arena_cstr(r->a, val_get_str(c, F_status)),
				     arena_cstr(r->a, val_get_str(c, F_reason)), val_get_str(c, F_message));
}

static void counts(struct drun *r, struct val *is)
{
	int64_t actual = 0, ready = 0, available = 0, terminating = 0;

	for (size_t i = 0; i < r->n_sets; i++) {
		actual += r->sets[i]->actual;
		ready += r->sets[i]->ready;
		available += r->sets[i]->available;
		terminating += r->sets[i]->terminating;
	}
	status_int(r->a, is, F_observedGeneration, val_int_or(obj_get(r->d, F_metadata, F_generation), 0));
	status_int(r->a, is, F_replicas, actual);
	status_int(r->a, is, F_updatedReplicas, r->neu ? r->neu->actual : 0);
	status_int(r->a, is, F_readyReplicas, ready);
	status_int(r->a, is, F_availableReplicas, available);
	status_int(r->a, is, F_unavailableReplicas, MAX(dsets_wanted(r, false) - available, 0));
	status_int(r->a, is, F_terminatingReplicas, terminating);
	if (available >= r->replicas - deployment_unavailable(r))
		deployment_condition(r, is, "Available", "True", "MinimumReplicasAvailable",
				     SV("Deployment has minimum availability."));
	else
		deployment_condition(r, is, "Available", "False", "MinimumReplicasUnavailable",
				     SV("Deployment does not have minimum availability."));
}

int deployment_sync_status(struct drun *r, bool rollout, int64_t *ret_after, struct err *err)
{
	const struct val *was = obj_get(r->d, F_status);
	struct val *is = val_type(was) == VAL_MAP ? val_clone_nodes(r->a, was) : val_new_map(r->a);
	int64_t now = env_now_ns(r->c->ctx->env), due;

	counts(r, is);
	if (rollout) {
		if (r->deadline_s < 0)
			condition_remove(is, "Progressing");
		else
			judge_progress(r, was, is);
		replica_failure(r, is);
	}
	if (!val_equal(was, is)) {
		val_set(r->a, r->doc, F_status, is);
		return deployment_write_status(r, err);
	}
	if (rollout && !deployment_complete(r, is) &&
	    !condition_reason_is(val_member(is, F_conditions), "Progressing", "ProgressDeadlineExceeded") &&
	    deployment_deadline(r, is, &due))
		*ret_after = MAX(due - now, 0) + NS_PER_SEC;
	return 0;
}
