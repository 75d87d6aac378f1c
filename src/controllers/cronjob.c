/* cronjob: makes a Job whenever the schedule says so.
 *
 * One run: take finished Jobs off the active list, find the latest scheduled time that is past and was not
 * served, make its Job unless it is too late or the concurrency policy is against it, delete old finished Jobs, write
 * the status, and come again at the next scheduled time. A Job is named after its scheduled minute, so a run
 * repeated after a lost answer or on an old cache makes no second one; a run also waits until the cache shows the
 * last status written. Of several missed times only the latest is served. */
#include "base/timefmt.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/ctrl_metrics.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "controllers/template.h"
#include "controllers/written.h"
#include "object/cron.h"

#include <stdlib.h>

#define ANN_SCHEDULED "batch.kubernetes.io/cronjob-scheduled-timestamp"
#define DELTA_NS (100 * NS_PER_MS) /* late rather than early, as clocks are read twice */
#define LOOK_NS (600 * NS_PER_SEC) /* at least this often, should the wall clock be set */
#define MANY_MISSED 100

struct cronjob {
	struct controller_ctx *ctx;
	struct informer *cronjobs, *jobs;
	struct workq *q;
	struct written *written;
};

struct crun {
	struct cronjob *c;
	struct arena *a;
	struct obj *cj;
	struct val *doc, *st;
	struct obj **jobs; /* those it controls */
	size_t n_jobs;
	int64_t now;
	struct cron cron;
	const struct tz *tz;
};

#define EVENT(r, type, reason, ...) \
	recorder_event((r)->c->ctx->recorder, RES(batch_cronjobs), obj_root((r)->cj), type, reason, __VA_ARGS__)

/* "Complete" or "Failed", NULL while it runs. */
static const char *cronjob_finished(const struct obj *job)
{
	const struct val *list = obj_get(job, F_status, F_conditions);

	return condition_is(list, "Complete", "True") ? "Complete"
	       : condition_is(list, "Failed", "True") ? "Failed"
						      : NULL;
}

/* --- the active list --- */

static ssize_t active_index(const struct crun *r, struct sv uid)
{
	const struct val *list = val_member(r->st, F_active);

	for (size_t i = 0; i < val_len(list); i++)
		if (sv_eq(val_get_str(val_at(list, i), F_uid), uid))
			return (ssize_t)i;
	return -1;
}

static void active_remove(struct crun *r, size_t i)
{
	struct val *list = val_member_mut(r->st, F_active);

	val_list_remove(list, i);
	if (!val_len(list))
		val_del(r->st, F_active);
}

static void active_add(struct crun *r, const struct obj *job)
{
	struct val *ref = obj_reference(r->a, "Job", job);

	val_set_cstr(r->a, ref, F_apiVersion, "batch/v1");
	val_set_str(r->a, ref, F_resourceVersion, val_str(obj_get(job, F_metadata, F_resourceVersion)));
	val_push(r->a, val_ensure_list(r->a, r->st, F_active), ref);
}

static void note_success(struct crun *r, const struct obj *job)
{
	const struct val *done = obj_get(job, F_status, F_completionTime);
	int64_t at, was;

	if (time_get(done, &at) && (!time_get(val_member(r->st, F_lastSuccessfulTime), &was) || was < at))
		val_set_str(r->a, r->st, F_lastSuccessfulTime, val_str(done));
}

/* Brings the list in line with the Jobs there are. */
static void sync_active(struct crun *r)
{
	for (size_t i = 0; i < r->n_jobs; i++) {
		struct obj *job = r->jobs[i];
		ssize_t at = active_index(r, obj_uid(job));
		const char *end = cronjob_finished(job);

		if (at < 0 && !end) {
			EVENT(r, "Warning", "UnexpectedJob",
			      "Saw a job that the controller did not create or forgot: %.*s", SV_ARG(obj_name(job)));
		} else if (at >= 0 && end) {
			active_remove(r, (size_t)at);
			EVENT(r, "Normal", "SawCompletedJob", "Saw completed job: %.*s, condition: %s",
			      SV_ARG(obj_name(job)), end);
		}
		if (end && end[0] == 'C')
			note_success(r, job);
	}
	for (size_t i = val_len(val_member(r->st, F_active)); i-- > 0;) {
		const struct val *ref = val_at(val_member(r->st, F_active), i);
		_cleanup_obj_ struct obj *job = informer_lookup(r->c->jobs, obj_ns(r->cj), val_get_str(ref, F_name));

		if (job && sv_eq(obj_uid(job), val_get_str(ref, F_uid)))
			continue;
		EVENT(r, "Normal", "MissingJob", "Active job went missing: %.*s", SV_ARG(val_get_str(ref, F_name)));
		active_remove(r, i);
	}
}

/* --- history --- */

static int by_start(const void *x, const void *y)
{
	const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
	int64_t ta = INT64_MAX, tb = INT64_MAX;

	time_get(obj_get(a, F_status, F_startTime), &ta);
	time_get(obj_get(b, F_status, F_startTime), &tb);
	if (ta != tb)
		return ta < tb ? -1 : 1;
	return sv_cmp(obj_name(a), obj_name(b));
}

static int delete_job(struct crun *r, struct sv name, struct sv uid, struct err *err)
{
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;

	o.propagation = "Background";
	o.precondition_uid = uid;
	if (client_delete(r->c->ctx->client, RES(batch_jobs), obj_ns(r->cj), name, &o, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT) {
		EVENT(r, "Warning", "FailedDelete", "Deleted job: %s", err_msg(&why));
		return err_move(err, &why);
	}
	EVENT(r, "Normal", "SuccessfulDelete", "Deleted job %.*s", SV_ARG(name));
	return 0;
}

/* Finished Jobs of one outcome beyond the limit, oldest first. */
static int trim(struct crun *r, const char *end, enum sym limit_field, struct err *err)
{
	const struct val *limit = obj_get(r->cj, F_spec, limit_field);
	struct obj **done = ARENA_ARRAY(r->a, struct obj *, r->n_jobs);
	size_t n = 0;

	if (val_type(limit) != VAL_INT)
		return 0;
	for (size_t i = 0; i < r->n_jobs; i++)
		if (cronjob_finished(r->jobs[i]) && strcmp(cronjob_finished(r->jobs[i]), end) == 0 &&
		    !obj_deleting(r->jobs[i]))
			done[n++] = r->jobs[i];
	if (n > 1)
		qsort(done, n, sizeof(struct obj *), by_start);
	for (size_t i = 0; (int64_t)i < (int64_t)n - limit->i; i++)
		if (delete_job(r, obj_name(done[i]), obj_uid(done[i]), err) < 0)
			return -1;
	return 0;
}

/* --- time --- */

/* The latest scheduled time that is past and not served; 0: none. *ret_from: from where on to look for the
 * next one. */
static int latest_time(struct crun *r, bool with_deadline, int64_t *ret, int64_t *ret_from, bool *ret_many,
		       struct err *err)
{
	const struct val *deadline = obj_get(r->cj, F_spec, F_startingDeadlineSeconds);
	int64_t from = 0, t1, t2, missed, t;

	*ret = 0;
	*ret_many = false;
	if (!time_get(val_member(r->st, F_lastScheduleTime), &from))
		time_get(obj_get(r->cj, F_metadata, F_creationTimestamp), &from);
	if (with_deadline && val_type(deadline) == VAL_INT && deadline->i < r->now / NS_PER_SEC)
		from = MAX(from, r->now - deadline->i * NS_PER_SEC);
	*ret_from = from;
	t1 = cron_next(&r->cron, r->tz, from);
	if (!t1 || t1 > r->now)
		return 0;
	t2 = cron_next(&r->cron, r->tz, t1);
	if (!t2 || t2 > r->now) {
		*ret = t1;
		return 0;
	}
	if (t2 - t1 < NS_PER_SEC)
		return err_set(err, ERR_INVALID, "time difference between two schedules is less than 1 second");
	/* Near the end without walking through years of minutes. */
	missed = (r->now - t1) / (t2 - t1) + 1;
	t = cron_next(&r->cron, r->tz, t1 + MAX(missed - 2, 0) * (t2 - t1));
	if (!t || t > r->now)
		t = t1; /* the times are not evenly spaced: walk after all */
	for (; t && t <= r->now; t = cron_next(&r->cron, r->tz, t))
		*ret = t;
	*ret_many = missed > MANY_MISSED;
	return 0;
}

static int64_t next_after_ns(struct crun *r)
{
	int64_t latest, from, next;
	bool many;

	if (latest_time(r, false, &latest, &from, &many, NULL) < 0 || many)
		latest = r->now;
	else if (!latest)
		latest = from;
	next = cron_next(&r->cron, r->tz, latest);
	if (!next)
		return 0;
	return MIN(MAX(next + DELTA_NS - r->now, NS_PER_MS), LOOK_NS);
}

/* --- making a Job --- */

static struct sv scheduled_text(struct crun *r, int64_t at)
{
	int64_t off = tz_offset(r->tz, at / NS_PER_SEC), minutes = (off < 0 ? -off : off) / 60;
	char text[TIME_TEXT_MAX];
	struct sv s = time_format(at + off * NS_PER_SEC, false, text);

	if (off == 0)
		return arena_sv(r->a, s);
	return arena_svf(r->a, "%.*s%c%02d:%02d", SV_ARG(sv_sub(s, 0, s.n - 1)), off < 0 ? '-' : '+',
			 (int)(minutes / 60), (int)(minutes % 60));
}

static struct sv job_name(struct crun *r, int64_t at)
{
	return arena_svf(r->a, "%.*s-%" PRId64, SV_ARG(obj_name(r->cj)), at / NS_PER_SEC / 60);
}

static struct val *job_from_template(struct crun *r, int64_t at)
{
	const struct val *tmpl = obj_get(r->cj, F_spec, F_jobTemplate), *tmeta = val_member(tmpl, F_metadata);
	struct val *job = val_new_map(r->a), *meta, *refs;
	static const enum sym copied[] = { F_labels, F_annotations };

	val_set_cstr(r->a, job, F_apiVersion, "batch/v1");
	val_set_cstr(r->a, job, F_kind, "Job");
	val_set(r->a, job, F_spec, val_clone(r->a, val_member(tmpl, F_spec)));
	meta = val_set_map(r->a, job, F_metadata);
	val_set_str(r->a, meta, F_name, job_name(r, at));
	val_set_str(r->a, meta, F_namespace, obj_ns(r->cj));
	for (size_t i = 0; i < ARRAY_LEN(copied); i++)
		if (val_len(val_member(tmeta, copied[i])))
			val_set(r->a, meta, copied[i], val_clone(r->a, val_member(tmeta, copied[i])));
	annotation_set(r->a, job, ANN_SCHEDULED, scheduled_text(r, at));
	refs = val_set_list(r->a, meta, F_ownerReferences);
	val_push(r->a, refs, owner_ref(r->a, RES(batch_cronjobs), obj_root(r->cj), true, true));
	return job;
}

/* 1: made, or found made by an earlier run; 0: the namespace is going. */
static int make_job(struct crun *r, int64_t at, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct client *client = r->c->ctx->client;
	struct obj *job = NULL;

	if (client_create(client, RES(batch_jobs), obj_ns(r->cj), job_from_template(r, at), NULL, &job, &why) == 0) {
		EVENT(r, "Normal", "SuccessfulCreate", "Created job %.*s", SV_ARG(obj_name(job)));
		metric_observe_ns(r->c->ctx->counted, CTRL_METRIC(CRONJOB_SKEW), NULL,
				  MAX(env_now_ns(r->c->ctx->env) - at, 0));
	} else if (why.reason == ERR_ALREADY_EXISTS) {
		if (client_get(client, RES(batch_jobs), obj_ns(r->cj), job_name(r, at), &job, err) < 0)
			return -1;
		if (!sv_eq(val_get_str(obj_controller_ref(obj_link(r->a, job)), F_uid), obj_uid(r->cj)))
			return err_move(err, &why);
		job = obj_ref(job);
	} else if (err_namespace_terminating(&why)) {
		return 0;
	} else {
		EVENT(r, "Warning", "FailedCreate", "Error creating job: %s", err_msg(&why));
		return err_move(err, &why);
	}
	(void)obj_link(r->a, job);
	if (!cronjob_finished(job) && active_index(r, obj_uid(job)) < 0)
		active_add(r, job);
	val_set_str(r->a, r->st, F_lastScheduleTime, time_text(r->a, at));
	return 1;
}

static int replace_active(struct crun *r, struct err *err)
{
	for (size_t i = val_len(val_member(r->st, F_active)); i-- > 0;) {
		const struct val *ref = val_at(val_member(r->st, F_active), i);

		if (delete_job(r, val_get_str(ref, F_name), val_get_str(ref, F_uid), err) < 0)
			return -1;
		active_remove(r, i);
	}
	return 0;
}

static bool served(struct crun *r, int64_t at)
{
	struct sv name = job_name(r, at);
	int64_t last;

	if (time_get(val_member(r->st, F_lastScheduleTime), &last) && last == at)
		return true;
	VAL_EACH(val_member(r->st, F_active), ref)
		if (sv_eq(val_get_str(ref, F_name), name))
			return true;
	return false;
}

static int start_due(struct crun *r, int64_t at, struct err *err)
{
	const struct val *deadline = obj_get(r->cj, F_spec, F_startingDeadlineSeconds);
	const struct val *policy = obj_get(r->cj, F_spec, F_concurrencyPolicy);
	char text[TIME_TEXT_MAX];

	if (val_type(deadline) == VAL_INT && (r->now - at) / NS_PER_SEC > deadline->i) {
		time_format(at, false, text);
		EVENT(r, "Warning", "MissSchedule", "Missed scheduled time to start a job: %s", text);
		return 0;
	}
	if (served(r, at))
		return 0;
	if (val_is(policy, "Forbid") && val_len(val_member(r->st, F_active))) {
		EVENT(r, "Normal", "JobAlreadyActive",
		      "Not starting job because prior execution is running and concurrency policy is Forbid");
		return 0;
	}
	if (val_is(policy, "Replace") && replace_active(r, err) < 0)
		return -1;
	return make_job(r, at, err);
}

/* What the schedule asks for now. */
static int keep_schedule(struct crun *r, int64_t *ret_after, struct err *err)
{
	struct sv schedule = val_str(obj_get(r->cj, F_spec, F_schedule)),
		  zone = val_str(obj_get(r->cj, F_spec, F_timeZone));
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t at, from;
	bool many;

	if (obj_deleting(r->cj))
		return 0;
	r->tz = tz_load(r->a, zone, &why);
	if (!r->tz) {
		EVENT(r, "Warning", "UnknownTimeZone", "invalid timeZone: \"%.*s\": %s", SV_ARG(zone), err_msg(&why));
		return 0;
	}
	if (val_bool(obj_get(r->cj, F_spec, F_suspend)))
		return 0;
	if (cron_parse(schedule, &r->cron, &why) < 0) {
		EVENT(r, "Warning", "UnparseableSchedule", "unparseable schedule: \"%.*s\" : %s", SV_ARG(schedule),
		      err_msg(&why));
		return 0;
	}
	if (latest_time(r, true, &at, &from, &many, &why) < 0) {
		EVENT(r, "Warning", "InvalidSchedule", "invalid schedule: %.*s : %s", SV_ARG(schedule), err_msg(&why));
		return 0;
	}
	if (many)
		EVENT(r, "Warning", "TooManyMissedTimes",
		      "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew");
	if (at && start_due(r, at, err) < 0)
		return -1;
	*ret_after = next_after_ns(r);
	return 0;
}

/* --- one run --- */

static int cronjob_write_status(struct crun *r, struct sv key, struct err *err)
{
	struct obj *neu = NULL;

	if (val_equal(r->st, obj_get(r->cj, F_status)) || (!val_len(r->st) && !val_len(obj_get(r->cj, F_status))))
		return 0;
	if (client_update_status(r->c->ctx->client, RES(batch_cronjobs), r->doc, &neu, err) < 0)
		return err->reason == ERR_NOT_FOUND ? err_forgive(err) : -1;
	written_note(r->c->written, key, obj_rev(obj_link(r->a, neu)));
	return 0;
}

static int cronjob_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct cronjob *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *cj = NULL;
	_cleanup_(err_release) struct err failure = ERR_INIT;
	struct crun r = { .c = c, .a = &a, .now = env_now_ns(c->ctx->env) };
	struct sv ns, name;

	if (!written_seen(c->written, key, c->cronjobs)) {
		ret->after_ns = NS_PER_SEC; /* its event comes first, unless it is gone */
		return 0;
	}
	workq_key_split(key, &ns, &name);
	cj = informer_lookup(c->cronjobs, ns, name);
	if (!cj)
		return 0;
	r.cj = cj;
	r.doc = obj_edit(&a, cj);
	r.st = val_ensure_map(&a, r.doc, F_status);
	r.jobs = informer_by_index(c->jobs, &a, INDEX_CONTROLLER, obj_uid(cj), &r.n_jobs);
	sync_active(&r);
	(void)keep_schedule(&r, &ret->after_ns, &failure);
	if (failure.reason == ERR_NONE && (trim(&r, "Complete", F_successfulJobsHistoryLimit, &failure) < 0 ||
					   trim(&r, "Failed", F_failedJobsHistoryLimit, &failure) < 0))
		ret->after_ns = 0;
	if (cronjob_write_status(&r, key, err) < 0)
		return -1;
	return failure.reason != ERR_NONE ? err_move(err, &failure) : 0;
}

/* --- events --- */

static void cronjob_changed(struct obj *o, void *ctx)
{
	struct cronjob *c = ctx;

	workq_add_obj(c->q, obj_ns(o), obj_name(o));
}

static void cronjob_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	cronjob_changed(neu, ctx);
}

static void job_changed(struct obj *job, void *ctx)
{
	struct cronjob *c = ctx;
	const struct val *ref = obj_controller_ref(job);
	_cleanup_obj_ struct obj *cj = ref ? owner_resolve(c->cronjobs, RES(batch_cronjobs), obj_ns(job), ref) : NULL;

	if (cj)
		cronjob_changed(cj, c);
}

static void cronjob_job_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_controller_ref(old), obj_controller_ref(neu)))
		job_changed(old, ctx);
	if (cronjob_finished(old) != cronjob_finished(neu) ||
	    !val_equal(obj_controller_ref(old), obj_controller_ref(neu)))
		job_changed(neu, ctx);
}

static bool cronjob_ready(void *ctx)
{
	struct cronjob *c = ctx;

	return informer_synced(c->cronjobs) && informer_synced(c->jobs);
}

static void *cronjob_start(struct controller_ctx *ctx)
{
	struct cronjob *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->written = written_new();
	c->cronjobs = informer_get(ctx->informers, RES(batch_cronjobs), NULL, NULL, NULL);
	c->jobs = informer_get(ctx->informers, RES(batch_jobs), NULL, NULL, NULL);
	informer_add_index(c->jobs, INDEX_CONTROLLER, index_controller);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "cronjob-controller",
							 .workers = 5,
							 .reconcile = cronjob_reconcile,
							 .ctx = c,
							 .ready = cronjob_ready });
	informer_add_handler(c->cronjobs,
			     &(struct informer_handler){ cronjob_changed, cronjob_updated, cronjob_changed }, c);
	informer_add_handler(c->jobs, &(struct informer_handler){ job_changed, cronjob_job_updated, job_changed }, c);
	return c;
}

static void cronjob_stop(void *controller)
{
	struct cronjob *c = controller;

	workq_free(c->q);
	written_free(c->written);
	free(c);
}

const struct controller_ops cronjob_controller = { "cronjob-controller", "cronjob-controller", cronjob_start,
						   cronjob_stop };
