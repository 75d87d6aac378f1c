/* Making and deleting a Job's pods. Failed ones are replaced after 10 s, 20 s, 40 s, ... at most 10 min since
 * the last failure: of the whole Job, or with backoffLimitPerIndex of the index alone. */
#include "base/retry.h"
#include "controllers/job-internal.h"
#include "controllers/podutil.h"
#include "controllers/replicaset_rank.h"

/* What makes a pod the i-th of an Indexed job. */
static void index_pod(struct jrun *r, struct val *pod, int64_t i)
{
	struct val *meta = val_ensure_map(r->a, pod, F_metadata), *ps = val_ensure_map(r->a, pod, F_spec);
	struct val *anns;
	struct sv text = arena_svf(r->a, "%" PRId64, i);
	static const enum sym lists[] = { F_containers, F_initContainers };

	val_set_strf(r->a, meta, F_generateName, "%.*s-%" PRId64 "-", SV_ARG(obj_name(r->job)), i);
	anns = val_ensure_map(r->a, meta, F_annotations);
	val_set_str_sv(r->a, anns, SV(ANN_INDEX), text);
	if (r->index_limit >= 0)
		val_set_str_sv(r->a, anns, SV(ANN_FAILURES), arena_svf(r->a, "%" PRId64, r->failures[i]));
	val_set_str_sv(r->a, val_ensure_map(r->a, meta, F_labels), SV(ANN_INDEX), text);
	val_set_strf(r->a, ps, F_hostname, "%.*s-%" PRId64, SV_ARG(obj_name(r->job)), i);
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		struct val *list = val_member_mut(ps, lists[l]);

		for (size_t k = 0; k < val_len(list); k++) {
			struct val *env = val_ensure_list(r->a, val_at_mut(list, k), F_env), *e = val_new_map(r->a);
			struct val *from = val_new_map(r->a), *ref = val_set_map(r->a, from, F_fieldRef);

			val_set_cstr(r->a, ref, F_fieldPath, "metadata.labels['" ANN_INDEX "']");
			val_set_cstr(r->a, e, F_name, "JOB_COMPLETION_INDEX");
			val_set(r->a, e, F_valueFrom, from);
			val_push(r->a, env, e);
		}
	}
}

static int job_create_one(void *ctx, size_t i, struct err *err)
{
	struct jrun *r = ctx;
	struct val *pod = pod_from_template(r->a, RES(batch_jobs), obj_root(r->job), job_spec(r, F_template));

	val_push(r->a, val_ensure_list(r->a, val_ensure_map(r->a, pod, F_metadata), F_finalizers),
		 val_new_str(r->a, SV(JOB_FINALIZER)));
	if (r->indexed)
		index_pod(r, pod, (int64_t)r->free_indexes[i]);
	if (pod_control_create(&r->c->pods_ctl, pod, r->job, err) == 0)
		return 0;
	creation_observed(r->c->expect, r->key);
	r->failed_creates++;
	return -1;
}

static int64_t pause_after(int64_t failures, int64_t last_ns, int64_t now)
{
	static const struct retry_policy policy = { .first_ns = JOB_BACKOFF_NS, .max_ns = JOB_BACKOFF_MAX_NS };

	if (failures <= 0 || last_ns == 0)
		return 0;
	return last_ns + retry_pause_ns(&policy, (uint64_t)failures) - now;
}

/* Up to n indexes that need a pod and need not wait for it. Lowers *ret_after to the shortest wait. */
static size_t pick_indexes(struct jrun *r, size_t n, int64_t *ret_after)
{
	int64_t now = env_now_ns(r->c->ctx->env);
	size_t found = 0;

	r->free_indexes = ARENA_ARRAY(r->a, size_t, n);
	for (int64_t i = 0; i < r->completions && found < n; i++) {
		int64_t left;

		if (r->done[i] || r->running[i] || r->failed_index[i] || (r->replace_failed && r->leaving[i]))
			continue;
		left = r->index_limit >= 0 ? pause_after(r->failures[i], r->failed_at_ns[i], now) : 0;
		if (left <= 0)
			r->free_indexes[found++] = (size_t)i;
		else if (*ret_after == 0 || left < *ret_after)
			*ret_after = left;
	}
	return found;
}

static int job_create_pods(struct jrun *r, size_t n, int64_t *ret_after, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	size_t made;

	if (r->indexed)
		n = pick_indexes(r, n, ret_after);
	if (n == 0)
		return 0;
	expect_creations(r->c->expect, r->key, (int64_t)n);
	made = pod_slow_start(n, job_create_one, r, &why);
	for (size_t i = made + r->failed_creates; i < n; i++)
		creation_observed(r->c->expect, r->key);
	if (made == n || err_namespace_terminating(&why))
		return 0;
	return err_move(err, &why);
}

int job_delete_pods(struct jrun *r, size_t n, bool uncounted, struct err *err)
{
	struct sv *uids = ARENA_ARRAY(r->a, struct sv, n);
	struct obj **go = ARENA_ARRAY(r->a, struct obj *, r->n_active);
	size_t n_go = 0, n_rest = 0;
	struct obj **rest = ARENA_ARRAY(r->a, struct obj *, r->n_active);
	bool *seen = ARENA_ARRAY(r->a, bool, (size_t)MAX(r->completions, 0) + 1);
	int rc = 0;

	/* First those whose index another pod has or nobody wants. */
	for (size_t i = 0; i < r->n_active; i++) {
		int64_t at = pod_index(r, r->active[i]);

		if (!r->indexed || (at >= 0 && !seen[at]))
			rest[n_rest++] = r->active[i];
		else
			go[n_go++] = r->active[i];
		if (at >= 0)
			seen[at] = true;
	}
	rank_pods_for_deletion(r->a, rest, n_rest, NULL, 0, env_now_ns(r->c->ctx->env));
	for (size_t i = 0; i < n_rest; i++)
		go[n_go++] = rest[i];
	for (size_t i = 0; i < n; i++)
		uids[i] = obj_uid(go[i]);
	expect_deletions(r->c->expect, r->key, uids, n);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if ((!uncounted || !pod_tracked(go[i]) || pod_strip(r->c, r->a, go[i], &why) == 0) &&
		    pod_control_delete(&r->c->pods_ctl, go[i], r->job, &why) == 0)
			continue;
		deletion_observed(r->c->expect, r->key, uids[i]);
		if (why.reason != ERR_NOT_FOUND && rc == 0)
			rc = err_move(err, &why);
	}
	return rc;
}

int job_manage(struct jrun *r, int64_t *ret_after, struct err *err)
{
	int64_t want, left, missing, active = (int64_t)r->n_active;

	if (r->completions < 0)
		want = r->succeeded > 0 ? active : r->parallelism;
	else
		want = MIN(r->parallelism, r->completions - r->succeeded);
	want = MAX(want, 0);
	if (r->indexed && indexes_count(r->running, r->completions) < active)
		want = MIN(want, indexes_count(r->running, r->completions)); /* two pods of one index */
	if (active > want)
		return job_delete_pods(r, MIN((size_t)(active - want), JOB_BURST), true, err);
	missing = want - active - (r->replace_failed ? r->terminating : 0);
	if (missing <= 0)
		return 0;
	if (r->index_limit < 0) {
		left = pause_after(r->failures_since, r->last_failure_ns, env_now_ns(r->c->ctx->env));
		if (left > 0) {
			*ret_after = *ret_after ? MIN(*ret_after, left) : left;
			return 0;
		}
	}
	return job_create_pods(r, MIN((size_t)missing, JOB_BURST), ret_after, err);
}
