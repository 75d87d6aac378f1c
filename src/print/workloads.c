/* Rows of apps and batch. */
#include "print/print-internal.h"
#include "base/timefmt.h"

void print_deployment(struct arena *a, const struct val *d, int64_t now_ns, struct val *cells)
{
	(void)now_ns;
	cell_fmt(a, cells, "%" PRId64 "/%" PRId64, val_get_int(d, 0, F_status, F_readyReplicas),
		 val_get_int(d, 0, F_spec, F_replicas));
}

void print_statefulset(struct arena *a, const struct val *s, int64_t now_ns, struct val *cells)
{
	print_deployment(a, s, now_ns, cells);
}

void print_controllerrevision(struct arena *a, const struct val *r, int64_t now_ns, struct val *cells)
{
	(void)now_ns;
	VAL_EACH(val_get(r, F_metadata, F_ownerReferences), ref) {
		struct sv rest = val_get_str(ref, F_apiVersion), group;

		if (!val_get_bool(ref, F_controller))
			continue;
		if (!sv_split(&rest, '/', &group) || !rest.p)
			group = SV("");

		struct sv kind = cell_lower_case(a, val_get_str(ref, F_kind));

		cell_fmt(a, cells, "%.*s%s%.*s/%.*s", SV_ARG(kind), group.n ? "." : "", SV_ARG(group),
			 SV_ARG(val_get_str(ref, F_name)));
		return;
	}
	cell_cstr(a, cells, "<none>");
}

static bool job_condition(const struct val *job, const char *type)
{
	return condition_is(val_get(job, F_status, F_conditions), type, "True");
}

static const char *job_status(const struct val *job)
{
	if (job_condition(job, "Complete"))
		return "Complete";
	if (job_condition(job, "Failed"))
		return "Failed";
	if (val_get(job, F_metadata, F_deletionTimestamp))
		return "Terminating";
	if (job_condition(job, "Suspended"))
		return "Suspended";
	if (job_condition(job, "FailureTarget"))
		return "FailureTarget";
	if (job_condition(job, "SuccessCriteriaMet"))
		return "SuccessCriteriaMet";
	return "Running";
}

void print_job(struct arena *a, const struct val *job, int64_t now_ns, struct val *cells)
{
	const struct val *completions = val_get(job, F_spec, F_completions);
	int64_t succeeded = val_get_int(job, 0, F_status, F_succeeded), start, end;
	int64_t parallelism = val_get_int(job, 0, F_spec, F_parallelism);

	cell_cstr(a, cells, job_status(job));
	if (completions)
		cell_fmt(a, cells, "%" PRId64 "/%" PRId64, succeeded, val_int_or(completions, 0));
	else if (parallelism > 1)
		cell_fmt(a, cells, "%" PRId64 "/1 of %" PRId64, succeeded, parallelism);
	else
		cell_fmt(a, cells, "%" PRId64 "/1", succeeded);
	if (time_parse(val_get_str(job, F_status, F_startTime), &start)) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		if (!time_parse(val_get_str(job, F_status, F_completionTime), &end))
			end = now_ns;
		duration_human(&b, end - start);
		cell_str(a, cells, buf_sv(&b));
	} else {
		cell_cstr(a, cells, "");
	}
}

void print_cronjob(struct arena *a, const struct val *cj, int64_t now_ns, struct val *cells)
{
	const struct val *suspend = val_get(cj, F_spec, F_suspend), *last = val_get(cj, F_status, F_lastScheduleTime);

	cell_cstr(a, cells, !suspend ? "<unset>" : val_bool(suspend) ? "True" : "False");
	cell_str(a, cells, val_str(last).n ? cell_age_of(a, last, now_ns) : SV("<none>"));
}
