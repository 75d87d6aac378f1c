/* job: runs pods until enough of them succeeded.
 *
 *	running ──▶ SuccessCriteriaMet ──▶ Complete	(completions reached, or the success policy)
 *	   └──────▶ FailureTarget ───────▶ Failed	(backoffLimit, deadline, failed indexes, the failure policy)
 *
 * The first condition is the decision: from then on active pods are deleted. The second follows when
 * the last pod is gone and counted.
 *
 * One run: settle what was counted, count, decide, make or delete pods, record ended pods in the status, write it,
 * and only then let go of those pods (job_track.c says why in this order). */
#include "controllers/ctrl_metrics.h"
#include "controllers/controllers-internal.h"
#include "controllers/job-internal.h"
#include "controllers/job_policy.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdlib.h>

static void job_set(struct jrun *r, const char *type, const char *value, const char *reason, struct sv message)
{
	condition_set(
	    r->a, r->st,
	    &(struct condition){
		.type = type, .status = value, .reason = reason, .message = message, .also_time = F_lastProbeTime },
	    env_now_ns(r->c->ctx->env));
}

static void event(struct jrun *r, const char *type, const char *reason, struct sv message)
{
	recorder_event(r->c->ctx->recorder, RES(batch_jobs), obj_root(r->job), type, reason, "%.*s", SV_ARG(message));
}

/* --- the decision --- */

/* With OnFailure containers restart in place: those count as well. */
static bool restarted_too_often(const struct jrun *r)
{
	static const enum sym lists[] = { F_containerStatuses, F_initContainerStatuses };
	int64_t n = 0, limit = val_int_or(job_spec(r, F_backoffLimit), 6);

	if (!val_is(obj_get(r->job, F_spec, F_template, F_spec, F_restartPolicy), "OnFailure"))
		return false;
	for (size_t i = 0; i < r->n_active; i++)
		for (size_t l = 0; l < ARRAY_LEN(lists); l++)
			VAL_EACH(obj_get(r->active[i], F_status, lists[l]), c)
				n += val_get_int(c, 0, F_restartCount);
	return limit == 0 ? n > 0 : n >= limit;
}

static bool past_deadline(struct jrun *r, int64_t *ret_after)
{
	const struct val *deadline = job_spec(r, F_activeDeadlineSeconds);
	int64_t started, left;

	if (val_type(deadline) != VAL_INT || val_bool(job_spec(r, F_suspend)) ||
	    !time_get(val_member(r->st, F_startTime), &started))
		return false;
	left = MIN(deadline->i, INT32_MAX) * NS_PER_SEC + started - env_now_ns(r->c->ctx->env);
	if (left > 0)
		*ret_after = *ret_after ? MIN(*ret_after, left) : left;
	return left <= 0;
}

static void judge_indexes(struct jrun *r)
{
	const struct val *max = job_spec(r, F_maxFailedIndexes), *policy = job_spec(r, F_successPolicy);
	int64_t bad = indexes_count(r->failed_index, r->completions), rule;

	if (r->index_limit >= 0 && val_type(max) == VAL_INT && bad > max->i)
		job_set(r, "FailureTarget", "True", "MaxFailedIndexesExceeded",
			SV("Job has exceeded the specified maximal number of failed indexes"));
	else if (r->index_limit >= 0 && bad > 0 && bad + r->succeeded >= r->completions)
		job_set(r, "FailureTarget", "True", "FailedIndexes", SV("Job has failed indexes"));
	else if ((rule = success_policy(r->a, policy, r->done, r->completions)) >= 0)
		job_set(r, "SuccessCriteriaMet", "True", "SuccessPolicy",
			arena_svf(r->a, "Matched rules at index %" PRId64, rule));
}

static bool job_decided(const struct jrun *r)
{
	return job_is(r, "SuccessCriteriaMet") || job_is(r, "FailureTarget");
}

static void job_judge(struct jrun *r, int64_t *ret_after)
{
	if (job_decided(r))
		return;
	if (r->fail_job.n)
		job_set(r, "FailureTarget", "True", "PodFailurePolicy", r->fail_job);
	else if (r->failed > val_int_or(job_spec(r, F_backoffLimit), 6) || restarted_too_often(r))
		job_set(r, "FailureTarget", "True", "BackoffLimitExceeded",
			SV("Job has reached the specified backoff limit"));
	else if (past_deadline(r, ret_after))
		job_set(r, "FailureTarget", "True", "DeadlineExceeded",
			SV("Job was active longer than specified deadline"));
	else if (r->indexed)
		judge_indexes(r);
	if (job_decided(r) || val_bool(job_spec(r, F_suspend)))
		return;
	if (r->n_active == 0 && (r->completions < 0 ? r->succeeded > 0 : r->succeeded >= r->completions))
		job_set(r, "SuccessCriteriaMet", "True", "CompletionsReached",
			SV("Reached expected number of succeeded pods"));
}

/* Decided, and the last pod gone: say so. */
static void job_conclude(struct jrun *r)
{
	bool lost = job_is(r, "FailureTarget");
	const struct val *why =
	    condition_find(val_member(r->st, F_conditions), lost ? "FailureTarget" : "SuccessCriteriaMet");
	const char *reason = arena_cstr(r->a, val_get_str(why, F_reason));
	struct sv message = arena_sv(r->a, val_get_str(why, F_message));

	job_set(r, lost ? "Failed" : "Complete", "True", reason, message);
	if (lost) {
		event(r, "Warning", reason, message);
		return;
	}
	val_set_str(r->a, r->st, F_completionTime, time_text(r->a, env_now_ns(r->c->ctx->env)));
	event(r, "Normal", "Completed", SV("Job completed"));
}

static void suspend(struct jrun *r)
{
	if (job_is(r, "Suspended"))
		return;
	job_set(r, "Suspended", "True", "JobSuspended", SV("Job suspended"));
	event(r, "Normal", "Suspended", SV("Job suspended"));
}

static void resume(struct jrun *r)
{
	bool was = job_is(r, "Suspended");

	if (was) {
		job_set(r, "Suspended", "False", "JobResumed", SV("Job resumed"));
		event(r, "Normal", "Resumed", SV("Job resumed"));
	}
	/* The deadline does not run while suspended. */
	if (was || val_type(val_member(r->st, F_startTime)) != VAL_STR)
		val_set_str(r->a, r->st, F_startTime, time_text(r->a, env_now_ns(r->c->ctx->env)));
}

static int job_write_status(struct jrun *r, struct err *err)
{
	struct obj *neu;

	status_int(r->a, r->st, F_active, (int64_t)r->n_active);
	status_int(r->a, r->st, F_ready, r->ready);
	status_int(r->a, r->st, F_terminating, r->terminating);
	if (!val_member(r->st, F_uncountedTerminatedPods))
		(void)val_ensure_map(r->a, r->st, F_uncountedTerminatedPods);
	if (val_same(r->st, obj_get(r->job, F_status)))
		return 0;
	if (client_update_status(r->c->ctx->client, RES(batch_jobs), r->doc, &neu, err) < 0)
		return -1;
	written_note(r->c->written, r->key, obj_rev(obj_link(r->a, neu)));
	return 0;
}

/* --- one run --- */

/* Makes or deletes pods. */
static int act(struct jrun *r, int64_t *ret_after, struct err *err)
{
	if (job_decided(r))
		return r->n_active
			   ? job_delete_pods(r, MIN(r->n_active, JOB_BURST), job_is(r, "SuccessCriteriaMet"), err)
			   : 0;
	if (obj_deleting(r->job))
		return 0;
	if (val_bool(job_spec(r, F_suspend)))
		return r->n_active ? job_delete_pods(r, MIN(r->n_active, JOB_BURST), true, err) : 0;
	return job_manage(r, ret_after, err);
}

static int job_sync(struct jrun *r, bool may_act, int64_t *ret_after, struct err *err)
{
	_cleanup_(err_release) struct err failure = ERR_INIT;

	job_settle(r);
	job_count(r);
	if (!val_bool(job_spec(r, F_suspend)))
		resume(r);
	job_judge(r, ret_after);
	if (!job_decided(r) && val_bool(job_spec(r, F_suspend)))
		suspend(r);
	if (may_act)
		(void)act(r, ret_after, &failure);
	job_record(r);
	if (job_decided(r) && may_act && job_all_gone(r))
		job_conclude(r);
	if (job_write_status(r, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	if (job_strip(r, err) < 0)
		return -1;
	return failure.reason != ERR_NONE ? err_move(err, &failure) : 0;
}

static void job_load(struct jrun *r)
{
	r->completions = val_int_or(job_spec(r, F_completions), -1);
	r->parallelism = val_int_or(job_spec(r, F_parallelism), 1);
	r->indexed = val_is(job_spec(r, F_completionMode), "Indexed") && r->completions >= 0 &&
		     r->completions <= JOB_INDEXES_MAX;
	r->index_limit = r->indexed ? val_int_or(job_spec(r, F_backoffLimitPerIndex), -1) : -1;
	r->replace_failed =
	    val_is(job_spec(r, F_podReplacementPolicy), "Failed") || job_spec(r, F_podFailurePolicy) != NULL;
}

/* --- metrics --- */

static uint64_t job_more(const struct jrun *r, enum sym count)
{
	int64_t was = val_int_or(obj_get(r->job, F_status, count), 0), is = val_int_or(val_member(r->st, count), 0);

	return is > was ? (uint64_t)(is - was) : 0;
}

/* What this look at a Job, which had not ended before, came to. */
static void job_counted(const struct jrun *r, int rc, int64_t took_ns)
{
	struct metric_set *m = r->c->ctx->counted;
	struct sv mode = r->indexed ? SV("Indexed") : SV("NonIndexed");
	const struct sv sync[] = { SV("reconciling"), mode, rc < 0 ? SV("error") : SV("success") };

	metric_add(m, CTRL_METRIC(JOB_SYNCS), sync, 1);
	metric_observe_ns(m, CTRL_METRIC(JOB_SYNC_DURATION), sync, took_ns);
	if (rc < 0)
		return;
	metric_add(m, CTRL_METRIC(JOB_PODS), (const struct sv[]){ mode, SV("succeeded") }, job_more(r, F_succeeded));
	metric_add(m, CTRL_METRIC(JOB_PODS), (const struct sv[]){ mode, SV("failed") }, job_more(r, F_failed));
	VAL_EACH(val_member(r->st, F_conditions), c) {
		bool well = val_is(val_get(c, F_type), "Complete");

		if ((well || val_is(val_get(c, F_type), "Failed")) && val_is(val_get(c, F_status), "True"))
			metric_add(m, CTRL_METRIC(JOBS_FINISHED),
				   (const struct sv[]){ mode, val_get_str(c, F_reason),
							well ? SV("succeeded") : SV("failed") },
				   1);
	}
}

static int job_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct job *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *job = NULL;
	struct jrun r = { .c = c, .a = &a, .key = key };
	struct claim claim = { .client = c->ctx->client,
			       .owner_res = RES(batch_jobs),
			       .child_res = RES(core_pods),
			       .children = c->pods,
			       .finalizer = JOB_FINALIZER };
	struct sv ns, name;
	int64_t since_ns;
	bool may_act;
	int rc;

	/* A pod that left the list and its finalizer is counted in the new status only. */
	if (!written_seen(c->written, key, c->jobs)) {
		ret->after_ns = NS_PER_SEC; /* its event comes first, unless it is gone */
		return 0;
	}
	workq_key_split(key, &ns, &name);
	job = informer_lookup(c->jobs, ns, name);
	if (!job) {
		expectations_forget(c->expect, key);
		return 0;
	}
	r.job = job;
	/* Somebody else's. */
	if (val_str(job_spec(&r, F_managedBy)).n && !val_is(job_spec(&r, F_managedBy), "kubernetes.io/job-controller"))
		return 0;
	r.doc = obj_edit(&a, job);
	r.st = val_ensure_map(&a, r.doc, F_status);
	if (job_is(&r, "Complete") || job_is(&r, "Failed"))
		return 0;
	may_act = expectations_satisfied(c->expect, key);
	claim.owner = job;
	claim.selector = selector_from_label_selector(&a, job_spec(&r, F_selector), err);
	if (!claim.selector || claim_children(&a, &claim, &r.pods, err) < 0)
		return -1;
	job_load(&r);
	since_ns = env_mono_ns(c->ctx->env);
	rc = job_sync(&r, may_act, &ret->after_ns, err);
	job_counted(&r, rc, env_mono_ns(c->ctx->env) - since_ns);
	return rc;
}

/* --- pods that lost their Job --- */

static bool job_over(const struct obj *job)
{
	const struct val *list = obj_get(job, F_status, F_conditions);

	return !job || condition_is(list, "Complete", "True") || condition_is(list, "Failed", "True");
}

/* A tracked pod of a Job that is gone, or over, is counted by nobody: it must not stay for that. */
static int job_let_go(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct job *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *pod = NULL, *job = NULL;
	struct sv ns, name;

	(void)ret;
	workq_key_split(key, &ns, &name);
	pod = informer_lookup(c->pods, ns, name);
	if (!pod || !pod_tracked(pod))
		return 0;
	if (obj_controller_ref(pod))
		job = owner_resolve(c->jobs, RES(batch_jobs), ns, obj_controller_ref(pod));
	return job_over(job) ? pod_strip(c, &a, pod, err) : 0;
}

static void pod_seen(struct obj *pod, void *ctx)
{
	struct job *c = ctx;
	_cleanup_obj_ struct obj *job = NULL;

	if (!pod_tracked(pod))
		return;
	if (obj_controller_ref(pod))
		job = owner_resolve(c->jobs, RES(batch_jobs), obj_ns(pod), obj_controller_ref(pod));
	if (job_over(job))
		workq_add_obj(c->orphans, obj_ns(pod), obj_name(pod));
}

static void job_pod_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	pod_seen(neu, ctx);
}

static void job_gone(struct obj *job, void *ctx)
{
	struct job *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **pods = informer_by_index(c->pods, &a, INDEX_CONTROLLER, obj_uid(job), &n);

	for (size_t i = 0; i < n; i++)
		if (pod_tracked(pods[i]))
			workq_add_obj(c->orphans, obj_ns(pods[i]), obj_name(pods[i]));
}

static bool job_ready(void *ctx)
{
	struct job *c = ctx;

	return informer_synced(c->jobs) && informer_synced(c->pods);
}

static void *job_start(struct controller_ctx *ctx)
{
	struct job *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->jobs = informer_get(ctx->informers, RES(batch_jobs), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	c->expect = expectations_new(ctx->env);
	c->written = written_new();
	c->pods_ctl = (struct pod_control){ ctx->client, ctx->recorder, RES(batch_jobs) };
	c->q = workq_new(
	    ctx->env,
	    &(struct workq_opts){
		.name = "job-controller", .workers = 5, .reconcile = job_reconcile, .ctx = c, .ready = job_ready });
	c->orphans = workq_new(
	    ctx->env,
	    &(struct workq_opts){
		.name = "job-orphan-pods", .workers = 1, .reconcile = job_let_go, .ctx = c, .ready = job_ready });
	c->watch = (struct podwatch){ RES(batch_jobs), c->jobs, c->pods, c->q, c->expect };
	podwatch_start(&c->watch);
	informer_add_handler(c->jobs, &(struct informer_handler){ .del = job_gone }, c);
	informer_add_handler(c->pods, &(struct informer_handler){ .add = pod_seen, .update = job_pod_updated }, c);
	return c;
}

static void job_stop(void *controller)
{
	struct job *c = controller;

	workq_free(c->q);
	workq_free(c->orphans);
	expectations_free(c->expect);
	written_free(c->written);
	free(c);
}

const struct controller_ops job_controller = { "job-controller", "job-controller", job_start, job_stop };
