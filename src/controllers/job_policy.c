/* See job_policy.h. */
#include "controllers/job_policy.h"
#include "controllers/job_indexes.h"

static bool in_list(const struct val *list, int64_t n)
{
	VAL_EACH(list, v)
		if (val_int_or(v, 0) == n)
			return true;
	return false;
}

/* The container that failed with one of the codes. */
static const struct val *match_codes(const struct obj *pod, const struct val *codes)
{
	static const enum sym lists[] = { F_containerStatuses, F_initContainerStatuses };
	bool in = val_is(val_member(codes, F_operator), "In");
	struct sv only = val_get_str(codes, F_containerName);

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(obj_get(pod, F_status, lists[i]), c) {
			int64_t code = val_get_int(c, 0, F_state, F_terminated, F_exitCode);

			if (code != 0 && (!only.n || sv_eq(only, val_get_str(c, F_name))) &&
			    in_list(val_member(codes, F_values), code) == in)
				return c;
		}
	return NULL;
}

static const struct val *match_conditions(const struct obj *pod, const struct val *patterns)
{
	VAL_EACH(patterns, p)
		VAL_EACH(obj_get(pod, F_status, F_conditions), c)
			if (val_equal(val_member(p, F_type), val_member(c, F_type)) &&
			    val_equal(val_member(p, F_status), val_member(c, F_status)))
				return c;
	return NULL;
}

enum pod_failure failure_policy(struct arena *a, const struct val *policy, const struct obj *pod,
				struct sv *ret_message)
{
	int at = -1;

	VAL_EACH(val_member(policy, F_rules), rule) {
		const struct val *codes = val_member(rule, F_onExitCodes), *action = val_member(rule, F_action);
		const struct val *hit =
		    codes ? match_codes(pod, codes) : match_conditions(pod, val_member(rule, F_onPodConditions));

		at++;
		if (!hit)
			continue;
		if (val_is(action, "Ignore"))
			return FAILURE_IGNORE;
		if (val_is(action, "FailIndex"))
			return FAILURE_INDEX;
		if (!val_is(action, "FailJob"))
			return FAILURE_COUNT;
		if (ret_message && codes)
			*ret_message =
			    arena_svf(a,
				      "Container %.*s for pod %.*s/%.*s failed with exit code %" PRId64
				      " matching FailJob rule at index %d",
				      SV_ARG(val_get_str(hit, F_name)), SV_ARG(obj_ns(pod)), SV_ARG(obj_name(pod)),
				      val_get_int(hit, 0, F_state, F_terminated, F_exitCode), at);
		else if (ret_message)
			*ret_message =
			    arena_svf(a, "Pod %.*s/%.*s has condition %.*s matching FailJob rule at index %d",
				      SV_ARG(obj_ns(pod)), SV_ARG(obj_name(pod)), SV_ARG(val_get_str(hit, F_type)), at);
		return FAILURE_JOB;
	}
	return FAILURE_COUNT;
}

int64_t success_policy(struct arena *a, const struct val *policy, const bool *succeeded, int64_t n)
{
	int64_t at = -1;

	VAL_EACH(val_member(policy, F_rules), rule) {
		const struct val *which = val_member(rule, F_succeededIndexes),
				 *count = val_member(rule, F_succeededCount);
		bool *wanted = ARENA_ARRAY(a, bool, (size_t)n + 1);
		int64_t good = 0, all = 0;

		at++;
		if (val_str(which).n)
			indexes_parse(val_str(which), wanted, n);
		for (int64_t i = 0; i < n; i++) {
			if (val_str(which).n && !wanted[i])
				continue;
			all++;
			good += succeeded[i];
		}
		if (all && good >= (val_type(count) == VAL_INT ? count->i : all))
			return at;
	}
	return -1;
}
