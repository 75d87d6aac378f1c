/* job_status.c - what the status of a Job may say at once, and what it may not take back.
 *
 * A Job ends in two steps: SuccessCriteriaMet or FailureTarget while pods still run, then Complete or Failed. What
 * others wrote long ago is let be: most rules ask only when what they are about has changed. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/timefmt.h"
#include "object/condition.h"

/* One status: who is done, and how. */
struct job_end {
	const struct val *status;
	bool complete, failed, failing, succeeding;
};

static struct job_end end_of(const struct val *doc)
{
	const struct val *st = val_member(doc, F_status), *list = val_member(st, F_conditions);

	return (struct job_end){ .status = st,
				 .complete = condition_is(list, "Complete", "True"),
				 .failed = condition_is(list, "Failed", "True"),
				 .failing = condition_is(list, "FailureTarget", "True"),
				 .succeeding = condition_is(list, "SuccessCriteriaMet", "True") };
}

static bool job_status_finished(const struct job_end *e)
{
	return e->complete || e->failed;
}

static bool changed(const struct job_end *now, const struct job_end *was, enum sym name)
{
	return !val_same(val_member(now->status, name), val_member(was->status, name));
}

/* Conditions that exclude one another, and those that need another one. */
static void job_status_conditions(struct field_errs *fe, const struct job_end *now, const struct job_end *was,
				  const struct fpath *up)
{
	struct fpath at = FPATH(up, F_conditions);
	bool complete = now->complete != was->complete, failed = now->failed != was->failed;
	const struct {
		bool wrong;
		const char *why;
	} rules[] = {
		{ now->complete && now->failed && (complete || failed),
		  "cannot set Complete=True and Failed=true conditions" },
		{ now->complete && now->failing && (complete || now->failing != was->failing),
		  "cannot set Complete=True and FailureTarget=true conditions" },
		{ now->failed && !now->failing && (failed || changed(now, was, F_failedIndexes)),
		  "cannot set Failed=True condition without the FailureTarget=true condition" },
		{ now->complete && !now->succeeding && (complete || now->succeeding != was->succeeding),
		  "cannot set Complete=True condition without the SuccessCriteriaMet=true condition" },
		{ now->succeeding && now->failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions" },
		{ now->succeeding && now->failing,
		  "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions" },
		{ was->failed && !now->failed, "cannot disable the terminal Failed=True condition" },
		{ was->complete && !now->complete, "cannot disable the terminal Complete=True condition" },
		{ was->failing && !now->failing, "cannot disable the terminal FailureTarget=True condition" },
		{ was->succeeding && !now->succeeding, "cannot disable the SuccessCriteriaMet=True condition" },
		{ was->complete && !was->succeeding && now->succeeding,
		  "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].wrong)
			fe_add(fe, FE_INVALID, &at, NULL, "%s", rules[i].why);
}

static void times(struct field_errs *fe, const struct val *spec, const struct job_end *now, const struct job_end *was,
		  const struct fpath *up)
{
	struct fpath start_at = FPATH(up, F_startTime), done_at = FPATH(up, F_completionTime);
	const struct val *start = val_member(now->status, F_startTime),
			 *done = val_member(now->status, F_completionTime);
	bool complete = now->complete != was->complete, moved_start = changed(now, was, F_startTime),
	     moved_done = changed(now, was, F_completionTime);
	int64_t began, ended;

	if (done && !now->complete && (complete || moved_done))
		fe_invalid(fe, &done_at, done, "cannot set completionTime when there is no Complete=True condition");
	if (!done && now->complete && (complete || moved_done))
		fe_required_why(fe, &done_at, "completionTime is required for Complete jobs");
	if ((moved_start || moved_done) && time_parse(val_str(start), &began) && time_parse(val_str(done), &ended) &&
	    ended < began)
		fe_invalid(fe, &done_at, done, "completionTime cannot be set before startTime");
	if (!start && job_status_finished(now) && (job_status_finished(now) != job_status_finished(was) || moved_start))
		fe_required_why(fe, &start_at, "startTime is required for finished job");
	if (done && moved_done && val_member(was->status, F_completionTime))
		fe_invalid(fe, &done_at, done, "completionTime cannot be mutated");
	/* A Job that resumes gets a new one. */
	if (moved_start && val_member(was->status, F_startTime) && !val_get_bool(spec, F_suspend) &&
	    !condition_is(val_member(was->status, F_conditions), "Suspended", "True"))
		fe_required_why(fe, &start_at, "startTime cannot be removed for unsuspended job");
}

/* Counters of what is over only grow; of a finished Job nothing runs. */
static void counters(struct field_errs *fe, const struct val *spec, const struct job_end *now,
		     const struct job_end *was, const struct fpath *up)
{
	struct fpath active_at = FPATH(up, F_active), ending_at = FPATH(up, F_terminating),
		     ready_at = FPATH(up, F_ready), failed_at = FPATH(up, F_failed), done_at = FPATH(up, F_succeeded);
	bool indexed = val_is(val_member(spec, F_completionMode), "Indexed"),
	     ends = job_status_finished(now) != job_status_finished(was);
	/* A Job that grows and shrinks forgets the pods of indexes that it no longer has. */
	bool elastic = indexed && val_same(val_member(spec, F_completions), val_member(spec, F_parallelism));
	int64_t active = val_get_int(now->status, 0, F_active), ready = val_get_int(now->status, 0, F_ready);
	int64_t ending = val_get_int(now->status, 0, F_terminating), failed = val_get_int(now->status, 0, F_failed),
		done = val_get_int(now->status, 0, F_succeeded);

	if (job_status_finished(now) && active > 0 && (ends || changed(now, was, F_active)))
		fe_invalid(fe, &active_at, val_new_int(fe->a, active), "active>0 is invalid for finished job");
	if (job_status_finished(now) && ending > 0 && (ends || changed(now, was, F_terminating)))
		fe_invalid(fe, &ending_at, val_new_int(fe->a, ending), "terminating>0 is invalid for finished job");
	if (ready > active && (changed(now, was, F_ready) || changed(now, was, F_active)))
		fe_invalid(fe, &ready_at, val_new_int(fe->a, ready), "cannot set more ready pods than active");
	if (failed < val_get_int(was->status, 0, F_failed))
		fe_invalid(fe, &failed_at, val_new_int(fe->a, failed), "cannot decrease the failed counter");
	if (done < val_get_int(was->status, 0, F_succeeded) && !elastic)
		fe_invalid(fe, &done_at, val_new_int(fe->a, done), "cannot decrease the succeeded counter");
}

static void status_indexes(struct field_errs *fe, const struct val *spec, const struct job_end *now,
			   const struct job_end *was, const struct fpath *up)
{
	struct fpath done_at = FPATH(up, F_completedIndexes), failed_at = FPATH(up, F_failedIndexes);
	const struct val *done = val_member(now->status, F_completedIndexes),
			 *failed = val_member(now->status, F_failedIndexes);

	if (val_str(done).n && changed(now, was, F_completedIndexes) &&
	    !val_is(val_member(spec, F_completionMode), "Indexed"))
		fe_invalid(fe, &done_at, done,
			   "cannot set non-empty completedIndexes when non-indexed completion mode");
	if (failed && !val_member(spec, F_backoffLimitPerIndex) &&
	    (!val_member(was->status, F_failedIndexes) || changed(now, was, F_failedIndexes)))
		fe_invalid(fe, &failed_at, failed,
			   "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
}

void validate_job_status(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct fpath at = FPATH_ROOT(F_status);
	struct job_end now = end_of(doc), was = end_of(old);
	const struct val *spec = val_member(doc, F_spec);

	CHECK_NONNEGATIVE(fe, now.status, &at, F_active, F_succeeded, F_failed, F_ready, F_terminating);
	job_status_conditions(fe, &now, &was, &at);
	times(fe, spec, &now, &was, &at);
	counters(fe, spec, &now, &was, &at);
	status_indexes(fe, spec, &now, &was, &at);
}
