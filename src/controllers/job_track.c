/* Counting a Job's pods: each exactly once, whoever deletes them, however old the cache (KEP-2307).
 *
 *	pod, with finalizer ──ends──▶ its uid listed in status.uncountedTerminatedPods
 *	                                          │ written, then
 *	                              its finalizer is removed
 *	                                          │ seen, then
 *	                              its uid leaves the list, the total goes up by one
 *
 * Every arrow is a write that the next one depends on, and repeating any of them changes nothing. Successes of an
 * Indexed Job need no list: status.completedIndexes tells whether they were counted. */
#include "base/strmap.h"
#include "controllers/job-internal.h"
#include "controllers/job_policy.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#define LISTED_MAX 500

bool pod_tracked(const struct obj *pod)
{
	return obj_has_finalizer(pod, JOB_FINALIZER);
}

int64_t pod_index(const struct jrun *r, const struct obj *pod)
{
	int64_t i;

	return r->indexed && sv_to_i64(annotation_of(obj_root(pod), ANN_INDEX), &i) && i >= 0 && i < r->completions
		   ? i
		   : -1;
}

int64_t pod_failures(const struct obj *pod)
{
	int64_t n;

	return sv_to_i64(annotation_of(obj_root(pod), ANN_FAILURES), &n) && n > 0 ? n : 0;
}

static bool succeeded(const struct obj *pod)
{
	return val_is(obj_get(pod, F_status, F_phase), "Succeeded");
}

/* Also pods that are going, as they may be gone before they are seen failed. */
static bool job_failed(const struct jrun *r, const struct obj *pod)
{
	if (val_is(obj_get(pod, F_status, F_phase), "Failed"))
		return true;
	return !r->replace_failed && obj_deleting(pod) && !succeeded(pod);
}

/* --- the list --- */

static bool listed(const struct jrun *r, enum sym which, struct sv uid)
{
	return list_has_text(val_get(r->st, F_uncountedTerminatedPods, which), uid);
}

static void list_add(struct jrun *r, enum sym which, struct sv uid)
{
	struct val *u = val_ensure_map(r->a, r->st, F_uncountedTerminatedPods);

	val_push(r->a, val_ensure_list(r->a, u, which), val_new_str(r->a, uid));
}

static size_t n_listed(const struct jrun *r)
{
	const struct val *u = val_member(r->st, F_uncountedTerminatedPods);

	return val_len(val_member(u, F_succeeded)) + val_len(val_member(u, F_failed));
}

void job_settle(struct jrun *r)
{
	static const enum sym kinds[] = { F_succeeded, F_failed };
	_cleanup_(strmap_release) struct strmap tracked = STRMAP_INIT;

	for (size_t i = 0; i < r->pods.n; i++)
		if (pod_tracked(r->pods.p[i]))
			strmap_set(&tracked, obj_uid(r->pods.p[i]), r);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct val *u = val_member_mut(r->st, F_uncountedTerminatedPods), *left = val_new_list(r->a);
		const struct val *was = val_member(u, kinds[k]);
		size_t n = val_len(was);

		VAL_EACH(was, uid)
			if (strmap_get(&tracked, val_str(uid)))
				val_push(r->a, left, uid);
		if (val_len(left) == n)
			continue;
		n -= val_len(left);
		if (val_len(left))
			val_set(r->a, u, kinds[k], left);
		else
			val_del(u, kinds[k]);
		status_int(r->a, r->st, kinds[k], val_get_int(r->st, 0, kinds[k]) + (int64_t)n); /* may move u */
	}
}

/* --- counting --- */

static int64_t finish_time(const struct obj *pod)
{
	int64_t at = 0, t;

	VAL_EACH(obj_get(pod, F_status, F_containerStatuses), c)
		if (time_get(val_get(c, F_state, F_terminated, F_finishedAt), &t))
			at = MAX(at, t);
	if (at == 0 && !pod_ready_since(pod, &at))
		time_get(obj_get(pod, F_metadata, F_creationTimestamp), &at);
	return at;
}

static void count_failed(struct jrun *r, struct obj *pod, int64_t at)
{
	const struct val *policy = job_spec(r, F_podFailurePolicy);
	enum pod_failure what = failure_policy(r->a, policy, pod, r->fail_job.n ? NULL : &r->fail_job);
	int64_t n = pod_failures(pod) + (what != FAILURE_IGNORE);

	/* Deleted by ourselves, when there were too many. */
	if (!pod_tracked(pod) && !val_is(obj_get(pod, F_status, F_phase), "Failed"))
		return;
	if (pod_tracked(pod) && !listed(r, F_failed, obj_uid(pod)) && what != FAILURE_IGNORE)
		r->failed++;
	if (at < 0)
		return;
	if (n > r->failures[at] || !r->last_failed[at]) {
		r->failures[at] = n;
		r->failed_at_ns[at] = finish_time(pod);
		r->last_failed[at] = pod;
	}
	if (r->index_limit >= 0 && (what == FAILURE_INDEX || n > r->index_limit))
		r->failed_index[at] = true;
}

static void count_since(struct jrun *r)
{
	int64_t last_success = INT64_MIN;

	for (size_t i = 0; i < r->pods.n; i++)
		if (succeeded(r->pods.p[i]))
			last_success = MAX(last_success, finish_time(r->pods.p[i]));
	for (size_t i = 0; i < r->pods.n; i++) {
		int64_t at = finish_time(r->pods.p[i]);

		if (!val_is(obj_get(r->pods.p[i], F_status, F_phase), "Failed") || at <= last_success)
			continue;
		r->failures_since++;
		r->last_failure_ns = MAX(r->last_failure_ns, at);
	}
}

static void alloc_indexes(struct jrun *r)
{
	size_t n = r->indexed ? (size_t)r->completions + 1 : 1;

	r->done = ARENA_ARRAY(r->a, bool, n);
	r->failed_index = ARENA_ARRAY(r->a, bool, n);
	r->running = ARENA_ARRAY(r->a, bool, n);
	r->leaving = ARENA_ARRAY(r->a, bool, n);
	r->failures = ARENA_ARRAY(r->a, int64_t, n);
	r->failed_at_ns = ARENA_ARRAY(r->a, int64_t, n);
	r->last_failed = ARENA_ARRAY(r->a, struct obj *, n);
	if (!r->indexed)
		return;
	indexes_parse(val_get_str(r->st, F_completedIndexes), r->done, r->completions);
	indexes_parse(val_get_str(r->st, F_failedIndexes), r->failed_index, r->completions);
}

void job_count(struct jrun *r)
{
	const struct val *u = val_member(r->st, F_uncountedTerminatedPods);
	size_t spare = 0; /* active pods of an index that another pod has */
	struct obj **extra = ARENA_ARRAY(r->a, struct obj *, r->pods.n);

	alloc_indexes(r);
	r->active = ARENA_ARRAY(r->a, struct obj *, r->pods.n);
	r->succeeded = val_get_int(r->st, 0, F_succeeded) + (int64_t)val_len(val_member(u, F_succeeded));
	r->failed = val_get_int(r->st, 0, F_failed) + (int64_t)val_len(val_member(u, F_failed));
	for (size_t i = 0; i < r->pods.n; i++) {
		struct obj *p = r->pods.p[i];
		int64_t at = pod_index(r, p);

		if (succeeded(p)) {
			if (at >= 0 && pod_tracked(p))
				r->done[at] = true;
			r->succeeded += !r->indexed && pod_tracked(p) && !listed(r, F_succeeded, obj_uid(p));
			continue;
		}
		if (job_failed(r, p))
			count_failed(r, p, at);
		if (pod_is_terminating(p)) {
			r->terminating++;
			if (at >= 0)
				r->leaving[at] = true;
		}
		if (!pod_is_active(p))
			continue;
		r->ready += pod_is_ready(p);
		if (r->indexed && (at < 0 || r->running[at])) {
			extra[spare++] = p;
			continue;
		}
		if (at >= 0)
			r->running[at] = true;
		r->active[r->n_active++] = p;
	}
	/* Behind the others; job_delete_pods() takes them first. */
	for (size_t i = 0; i < spare; i++)
		r->active[r->n_active++] = extra[i];
	if (r->indexed) {
		for (int64_t i = 0; i < r->completions; i++)
			r->failed_index[i] &= !r->done[i];
		r->succeeded = indexes_count(r->done, r->completions);
	}
	count_since(r);
}

/* --- recording --- */

/* The pod that carries how often its index failed stays until a successor carries it on. */
static bool delayed(const struct jrun *r, const struct obj *pod, int64_t at)
{
	return r->index_limit >= 0 && at >= 0 && r->last_failed[at] == pod && !r->done[at] && !r->failed_index[at] &&
	       !r->running[at];
}

void job_record(struct jrun *r)
{
	const struct val *policy = job_spec(r, F_podFailurePolicy);
	bool lost = job_is(r, "FailureTarget"), over = lost || job_is(r, "SuccessCriteriaMet");
	size_t room = LISTED_MAX - MIN(n_listed(r), LISTED_MAX);

	r->strip = ARENA_ARRAY(r->a, struct obj *, r->pods.n);
	for (size_t i = 0; i < r->pods.n; i++) {
		struct obj *p = r->pods.p[i];
		struct sv uid = obj_uid(p);
		int64_t at = pod_index(r, p);
		bool bad = job_failed(r, p), good = succeeded(p);

		if (!pod_tracked(p) || !(good || over || obj_deleting(r->job) || (bad && !delayed(r, p, at))))
			continue;
		if (good && !r->indexed && !listed(r, F_succeeded, uid)) {
			if (!room)
				continue;
			room--;
			list_add(r, F_succeeded, uid);
		} else if (!good && (bad || lost) && !listed(r, F_failed, uid) && (!r->indexed || at >= 0) &&
			   failure_policy(r->a, policy, p, NULL) != FAILURE_IGNORE) {
			if (!room)
				continue;
			room--;
			list_add(r, F_failed, uid);
		}
		r->strip[r->n_strip++] = p;
	}
	if (!r->indexed)
		return;
	status_int(r->a, r->st, F_succeeded, indexes_count(r->done, r->completions));
	if (!sv_eq(indexes_format(r->a, r->done, r->completions), val_get_str(r->st, F_completedIndexes)))
		val_set_str(r->a, r->st, F_completedIndexes, indexes_format(r->a, r->done, r->completions));
	if (r->index_limit >= 0 &&
	    (!val_member(r->st, F_failedIndexes) ||
	     !sv_eq(indexes_format(r->a, r->failed_index, r->completions), val_get_str(r->st, F_failedIndexes))))
		val_set_str(r->a, r->st, F_failedIndexes, indexes_format(r->a, r->failed_index, r->completions));
}

bool job_all_gone(const struct jrun *r)
{
	if (n_listed(r) || r->terminating || r->n_active)
		return false;
	for (size_t i = 0; i < r->pods.n; i++)
		if (pod_tracked(r->pods.p[i]))
			return false;
	return true;
}

/* --- letting go --- */

int pod_strip(struct job *c, struct arena *a, struct obj *pod, struct err *err)
{
	struct val *patch = val_new_map(a), *meta = val_set_map(a, patch, F_metadata);
	struct val *left = val_set_list(a, meta, F_finalizers);
	_cleanup_(err_release) struct err why = ERR_INIT;

	VAL_EACH(obj_get(pod, F_metadata, F_finalizers), f)
		if (!val_is(f, JOB_FINALIZER))
			val_push(a, left, f);
	val_set_str(a, meta, F_uid, obj_uid(pod));
	val_set_str(a, meta, F_resourceVersion, val_str(obj_get(pod, F_metadata, F_resourceVersion)));
	if (client_patch(c->ctx->client, RES(core_pods), obj_ns(pod), obj_name(pod), PATCH_MERGE, patch, NULL, NULL,
			 &why) < 0 &&
	    why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT) /* newer: its event brings us back */
		return err_move(err, &why);
	return 0;
}

int job_strip(struct jrun *r, struct err *err)
{
	for (size_t i = 0; i < r->n_strip; i++)
		if (pod_strip(r->c, r->a, r->strip[i], err) < 0)
			return -1;
	return 0;
}
