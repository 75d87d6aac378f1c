/* job: runs pods until enough of them succeeded.
 *
 *	running ──▶ SuccessCriteriaMet ──▶ Complete	(completions reached)
 *	   └──────▶ FailureTarget ───────▶ Failed	(backoffLimit, activeDeadlineSeconds)
 *
 * The first condition is the decision: from then on active pods are deleted. The second follows when
 * the last pod is gone. Failed pods are replaced after 10 s, 20 s, 40 s, ... at most 10 min. A finished
 * Job with ttlSecondsAfterFinished is deleted when that is over.
 *
 * Pods are counted while they exist; counts in the status never go down, so pods deleted after they
 * were counted stay counted, but one that ended and was deleted unseen is not. */
#include "base/buf.h"
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/podwatch.h"
#include "controllers/replicaset_rank.h"
#include "controllers/status.h"
#include "controllers/template.h"

#include <stdlib.h>

#define BURST 500
#define BACKOFF_NS (10 * NS_PER_SEC)
#define BACKOFF_MAX_NS (600 * NS_PER_SEC)
#define ANN_INDEX "batch.kubernetes.io/job-completion-index"
#define INDEX_MAX 100000

struct job {
	struct controller_ctx *ctx;
	struct informer *jobs, *pods;
	struct workq *q;
	struct expectations *expect;
	struct podwatch watch;
	struct pod_control pods_ctl;
};

struct jrun {
	struct job *c;
	struct arena *a;
	struct sv key;
	struct obj *job;
	struct val *doc, *st;
	struct obj **active;
	size_t n_active;
	int64_t ready, terminating, succeeded, failed;
	int64_t completions, parallelism; /* completions -1: any success will do */
	int64_t last_failure_ns;
	bool indexed, *done, *running; /* by index */
	size_t *free_indexes;
	size_t failed_creates;
};

static const struct val *spec(const struct jrun *r, enum sym key)
{
	return obj_get(r->job, F_spec, key);
}

static int64_t index_of(const struct jrun *r, const struct obj *pod)
{
	int64_t i;

	return sv_to_i64(annotation_of(obj_root(pod), ANN_INDEX), &i) && i >= 0 && i < r->completions ? i : -1;
}

static void note_failure_time(struct jrun *r, const struct obj *pod)
{
	int64_t at = 0, t;

	VAL_EACH(obj_get(pod, F_status, F_containerStatuses), c)
		if (time_get(val_get(c, F_state, F_terminated, F_finishedAt), &t))
			at = MAX(at, t);
	if (at == 0 && !pod_ready_since(pod, &at))
		time_get(obj_get(pod, F_metadata, F_creationTimestamp), &at);
	r->last_failure_ns = MAX(r->last_failure_ns, at);
}

static void count(struct jrun *r, const struct objs *pods)
{
	int64_t good = 0, bad = 0;

	r->active = ARENA_ARRAY(r->a, struct obj *, pods->n);
	for (size_t i = 0; i < pods->n; i++) {
		struct obj *p = pods->p[i];
		int64_t at = r->indexed ? index_of(r, p) : -1;

		if (val_is(obj_get(p, F_status, F_phase), "Succeeded")) {
			if (r->indexed && at >= 0 && !r->done[at])
				r->done[at] = true;
			good++;
		} else if (val_is(obj_get(p, F_status, F_phase), "Failed")) {
			bad++;
			note_failure_time(r, p);
		} else if (obj_deleting(p)) {
			r->terminating++;
		} else {
			r->active[r->n_active++] = p;
			r->ready += pod_is_ready(p);
			if (at >= 0)
				r->running[at] = true;
		}
	}
	if (r->indexed) {
		good = 0;
		for (int64_t i = 0; i < r->completions; i++)
			good += r->done[i];
	}
	r->succeeded = MAX(good, val_get_int(r->st, 0, F_succeeded));
	r->failed = MAX(bad, val_get_int(r->st, 0, F_failed));
}

/* "0-3,5" to flags, and back. */
static void parse_indexes(struct jrun *r)
{
	struct sv rest = val_get_str(r->st, F_completedIndexes), one;

	while (rest.n && sv_split(&rest, ',', &one)) {
		ssize_t dash = sv_find(one, '-');
		int64_t from, to;

		if (!sv_to_i64(dash < 0 ? one : sv_sub(one, 0, (size_t)dash), &from) ||
		    !sv_to_i64(dash < 0 ? one : sv_sub(one, (size_t)dash + 1, one.n), &to))
			continue;
		for (int64_t i = MAX(from, 0); i <= to && i < r->completions; i++)
			r->done[i] = true;
	}
}

static struct sv format_indexes(struct jrun *r)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (int64_t i = 0; i < r->completions; i++) {
		int64_t from = i;

		if (!r->done[i])
			continue;
		while (i + 1 < r->completions && r->done[i + 1])
			i++;
		buf_printf(&b, "%s%" PRId64, b.n ? "," : "", from);
		if (i > from)
			buf_printf(&b, i > from + 1 ? "-%" PRId64 : ",%" PRId64, i);
	}
	return arena_sv(r->a, buf_sv(&b));
}

static void set(struct jrun *r, const char *type, const char *value, const char *reason, const char *message)
{
	condition_set(r->a, r->st,
		      &(struct condition){ .type = type,
					   .status = value,
					   .reason = reason,
					   .message = sv_from(message),
					   .also_time = F_lastProbeTime },
		      env_now_ns(r->c->ctx->env));
}

static bool is_true(const struct jrun *r, const char *type)
{
	return condition_is(val_member(r->st, F_conditions), type, "True");
}

/* --- pods --- */

/* What makes a pod the i-th of an Indexed job. */
static void index_pod(struct jrun *r, struct val *pod, int64_t i)
{
	struct val *meta = val_ensure_map(r->a, pod, F_metadata), *ps = val_ensure_map(r->a, pod, F_spec);
	struct sv text = arena_svf(r->a, "%" PRId64, i);
	static const enum sym lists[] = { F_containers, F_initContainers };

	val_set_strf(r->a, meta, F_generateName, "%.*s-%" PRId64 "-", SV_ARG(obj_name(r->job)), i);
	val_set_str_sv(r->a, val_ensure_map(r->a, meta, F_annotations), SV(ANN_INDEX), text);
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

static int create_one(void *ctx, size_t i, struct err *err)
{
	struct jrun *r = ctx;
	struct val *pod = pod_from_template(r->a, RES(batch_jobs), obj_root(r->job), spec(r, F_template));

	if (r->indexed)
		index_pod(r, pod, (int64_t)r->free_indexes[i]);
	if (pod_control_create(&r->c->pods_ctl, pod, r->job, err) == 0)
		return 0;
	creation_observed(r->c->expect, r->key);
	r->failed_creates++;
	return -1;
}

static int create_pods(struct jrun *r, size_t n, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	size_t made, found = 0;

	if (r->indexed) {
		r->free_indexes = ARENA_ARRAY(r->a, size_t, n);
		for (int64_t i = 0; i < r->completions && found < n; i++)
			if (!r->done[i] && !r->running[i])
				r->free_indexes[found++] = (size_t)i;
		n = found;
	}
	expect_creations(r->c->expect, r->key, (int64_t)n);
	made = pod_slow_start(n, create_one, r, &why);
	for (size_t i = made + r->failed_creates; i < n; i++)
		creation_observed(r->c->expect, r->key);
	if (made == n || err_namespace_terminating(&why))
		return 0;
	return err_move(err, &why);
}

static int delete_pods(struct jrun *r, size_t n, struct err *err)
{
	struct sv *uids = ARENA_ARRAY(r->a, struct sv, n);
	int rc = 0;

	rank_pods_for_deletion(r->a, r->active, r->n_active, NULL, 0, env_now_ns(r->c->ctx->env));
	for (size_t i = 0; i < n; i++)
		uids[i] = obj_uid(r->active[i]);
	expect_deletions(r->c->expect, r->key, uids, n);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (pod_control_delete(&r->c->pods_ctl, r->active[i], r->job, &why) == 0)
			continue;
		deletion_observed(r->c->expect, r->key, uids[i]);
		if (why.reason != ERR_NOT_FOUND && rc == 0)
			rc = err_move(err, &why);
	}
	return rc;
}

static int64_t backoff_left(struct jrun *r)
{
	int64_t d = BACKOFF_NS;

	if (r->failed == 0 || r->last_failure_ns == 0)
		return 0;
	for (int64_t i = 1; i < r->failed && d < BACKOFF_MAX_NS; i++)
		d *= 2;
	return r->last_failure_ns + MIN(d, BACKOFF_MAX_NS) - env_now_ns(r->c->ctx->env);
}

static int manage(struct jrun *r, int64_t *ret_after, struct err *err)
{
	int64_t want, left;

	if (r->completions < 0)
		want = r->succeeded > 0 ? (int64_t)r->n_active : r->parallelism;
	else
		want = MIN(r->parallelism, r->completions - r->succeeded);
	want = MAX(want, 0);
	if ((int64_t)r->n_active > want)
		return delete_pods(r, MIN(r->n_active - (size_t)want, BURST), err);
	if ((int64_t)r->n_active == want)
		return 0;
	left = backoff_left(r);
	if (left > 0) {
		*ret_after = left;
		return 0;
	}
	return create_pods(r, MIN((size_t)want - r->n_active, BURST), err);
}

/* --- the decision --- */

static int64_t failures(const struct jrun *r)
{
	int64_t n = r->failed;

	/* Containers restarted in place count as well. */
	if (val_is(obj_get(r->job, F_spec, F_template, F_spec, F_restartPolicy), "OnFailure"))
		for (size_t i = 0; i < r->n_active; i++)
			VAL_EACH(obj_get(r->active[i], F_status, F_containerStatuses), c)
				n += val_get_int(c, 0, F_restartCount);
	return n;
}

static void judge(struct jrun *r, int64_t *ret_after)
{
	const struct val *deadline = spec(r, F_activeDeadlineSeconds);
	int64_t started, left;

	if (is_true(r, "SuccessCriteriaMet") || is_true(r, "FailureTarget"))
		return;
	if (failures(r) > val_int_or(spec(r, F_backoffLimit), 6)) {
		set(r, "FailureTarget", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
	} else if (val_type(deadline) == VAL_INT && time_get(val_member(r->st, F_startTime), &started)) {
		left = started + deadline->i * NS_PER_SEC - env_now_ns(r->c->ctx->env);
		if (left <= 0)
			set(r, "FailureTarget", "True", "DeadlineExceeded",
			    "Job was active longer than specified deadline");
		else if (*ret_after == 0 || left < *ret_after)
			*ret_after = left;
	}
	if (is_true(r, "FailureTarget"))
		return;
	if (r->completions < 0 ? r->succeeded > 0 && r->n_active == 0 : r->succeeded >= r->completions)
		set(r, "SuccessCriteriaMet", "True", "CompletionsReached", "Reached expected number of succeeded pods");
}

/* Decided, and the last pod gone: say so. */
static void conclude(struct jrun *r)
{
	const struct val *failure = condition_find(val_member(r->st, F_conditions), "FailureTarget");
	struct recorder *rec = r->c->ctx->recorder;

	if (is_true(r, "FailureTarget")) {
		const char *reason = arena_cstr(r->a, val_get_str(failure, F_reason));
		const char *message = arena_cstr(r->a, val_get_str(failure, F_message));

		set(r, "Failed", "True", reason, message);
		recorder_event(rec, RES(batch_jobs), obj_root(r->job), "Warning", reason, "%s", message);
	} else if (is_true(r, "SuccessCriteriaMet")) {
		set(r, "Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods");
		val_set_str(r->a, r->st, F_completionTime, time_text(r->a, env_now_ns(r->c->ctx->env)));
		recorder_event(rec, RES(batch_jobs), obj_root(r->job), "Normal", "Completed", "Job completed");
	}
}

static int suspend(struct jrun *r, bool may_act, struct err *err)
{
	if (!is_true(r, "Suspended")) {
		set(r, "Suspended", "True", "JobSuspended", "Job suspended");
		val_del(r->st, F_startTime);
		recorder_event(r->c->ctx->recorder, RES(batch_jobs), obj_root(r->job), "Normal", "Suspended",
			       "Job suspended");
	}
	return may_act && r->n_active ? delete_pods(r, r->n_active, err) : 0;
}

static void resume(struct jrun *r)
{
	if (is_true(r, "Suspended")) {
		set(r, "Suspended", "False", "JobResumed", "Job resumed");
		recorder_event(r->c->ctx->recorder, RES(batch_jobs), obj_root(r->job), "Normal", "Resumed",
			       "Job resumed");
	}
	if (val_type(val_member(r->st, F_startTime)) != VAL_STR)
		val_set_str(r->a, r->st, F_startTime, time_text(r->a, env_now_ns(r->c->ctx->env)));
}

static int write_status(struct jrun *r, struct err *err)
{
	status_int(r->a, r->st, F_active, (int64_t)r->n_active);
	status_int(r->a, r->st, F_ready, r->ready);
	status_int(r->a, r->st, F_terminating, r->terminating);
	status_int(r->a, r->st, F_succeeded, r->succeeded);
	status_int(r->a, r->st, F_failed, r->failed);
	if (r->indexed && !sv_eq(format_indexes(r), val_get_str(r->st, F_completedIndexes)))
		val_set_str(r->a, r->st, F_completedIndexes, format_indexes(r));
	if (val_equal(r->st, obj_get(r->job, F_status)))
		return 0;
	if (client_update_status(r->c->ctx->client, RES(batch_jobs), r->doc, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

/* --- one run --- */

static int expire(struct jrun *r, int64_t *ret_after, struct err *err)
{
	const struct val *ttl = spec(r, F_ttlSecondsAfterFinished), *c;
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	int64_t at;

	c = condition_find(val_member(r->st, F_conditions), is_true(r, "Complete") ? "Complete" : "Failed");
	if (val_type(ttl) != VAL_INT || obj_deleting(r->job) || !time_get(val_member(c, F_lastTransitionTime), &at))
		return 0;
	*ret_after = at + ttl->i * NS_PER_SEC - env_now_ns(r->c->ctx->env);
	if (*ret_after > 0)
		return 0;
	*ret_after = 0;
	o.propagation = "Foreground";
	o.precondition_uid = obj_uid(r->job);
	if (client_delete(r->c->ctx->client, RES(batch_jobs), obj_ns(r->job), obj_name(r->job), &o, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	return 0;
}

static int sync(struct jrun *r, bool may_act, int64_t *ret_after, struct err *err)
{
	_cleanup_(err_release) struct err failure = ERR_INIT;
	bool decided;

	if (val_bool(spec(r, F_suspend))) {
		(void)suspend(r, may_act, &failure);
	} else {
		resume(r);
		judge(r, ret_after);
		decided = is_true(r, "SuccessCriteriaMet") || is_true(r, "FailureTarget");
		if (decided && may_act && r->n_active)
			(void)delete_pods(r, r->n_active, &failure);
		else if (decided && r->n_active == 0 && r->terminating == 0)
			conclude(r);
		else if (!decided && may_act && !obj_deleting(r->job))
			(void)manage(r, ret_after, &failure);
	}
	if (write_status(r, err) < 0)
		return -1;
	return failure.reason != ERR_NONE ? err_move(err, &failure) : 0;
}

static int reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct job *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *job = NULL;
	struct jrun r = { .c = c, .a = &a, .key = key };
	struct claim claim = {
		.client = c->ctx->client, .owner_res = RES(batch_jobs), .child_res = RES(core_pods), .children = c->pods
	};
	struct objs pods;
	struct sv ns, name;
	bool may_act;

	workq_key_split(key, &ns, &name);
	job = informer_lookup(c->jobs, ns, name);
	if (!job) {
		expectations_forget(c->expect, key);
		return 0;
	}
	r.job = job;
	r.doc = obj_edit(&a, job);
	r.st = val_ensure_map(&a, r.doc, F_status);
	if (is_true(&r, "Complete") || is_true(&r, "Failed"))
		return expire(&r, &ret->after_ns, err);
	may_act = expectations_satisfied(c->expect, key);
	claim.owner = job;
	claim.selector = selector_from_label_selector(&a, spec(&r, F_selector), err);
	if (!claim.selector || claim_children(&a, &claim, &pods, err) < 0)
		return -1;
	r.completions = val_int_or(spec(&r, F_completions), -1);
	r.parallelism = val_int_or(spec(&r, F_parallelism), 1);
	r.indexed = val_is(spec(&r, F_completionMode), "Indexed") && r.completions >= 0 && r.completions <= INDEX_MAX;
	if (r.indexed) {
		r.done = ARENA_ARRAY(&a, bool, (size_t)r.completions + 1);
		r.running = ARENA_ARRAY(&a, bool, (size_t)r.completions + 1);
		parse_indexes(&r);
	}
	count(&r, &pods);
	return sync(&r, may_act, &ret->after_ns, err);
}

static bool ready(void *ctx)
{
	struct job *c = ctx;

	return informer_synced(c->jobs) && informer_synced(c->pods);
}

static void *start(struct controller_ctx *ctx)
{
	struct job *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->jobs = informer_get(ctx->informers, RES(batch_jobs), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	c->expect = expectations_new(ctx->env);
	c->pods_ctl = (struct pod_control){ ctx->client, ctx->recorder, RES(batch_jobs) };
	c->q = workq_new(
	    ctx->env, &(struct workq_opts){
			  .name = "job-controller", .workers = 5, .reconcile = reconcile, .ctx = c, .ready = ready });
	c->watch = (struct podwatch){ RES(batch_jobs), c->jobs, c->pods, c->q, c->expect };
	podwatch_start(&c->watch);
	return c;
}

static void stop(void *controller)
{
	struct job *c = controller;

	workq_free(c->q);
	expectations_free(c->expect);
	free(c);
}

const struct controller_ops job_controller = { "job-controller", start, stop };
