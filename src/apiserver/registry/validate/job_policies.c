/* job_policies.c - Job: when it fails early, when it succeeds early, and the limits of indexed jobs. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"

#define RULES_MAX 20
#define PATTERNS_MAX 20
#define EXIT_CODES_MAX 255
#define INDEXES_TEXT_MAX ((size_t)64 * 1024)
#define FAILED_INDEXES_MAX 100000 /* and of completions, before the next two count */
#define MANY_PARALLEL_MAX 10000
#define MANY_FAILED_INDEXES_MAX 10000
#define MANAGED_BY_MAX 63

static void indexed_limits(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	const struct val *per_index = val_member(spec, F_backoffLimitPerIndex),
			 *failed = val_member(spec, F_maxFailedIndexes);
	int64_t completions = val_get_int(spec, 0, F_completions);
	struct fpath per_at = FPATH(at, F_backoffLimitPerIndex), failed_at = FPATH(at, F_maxFailedIndexes),
		     par_at = FPATH(at, F_parallelism);

	if (failed && !per_index)
		fe_required_why(fe, &per_at, "when maxFailedIndexes is specified");
	if (!val_is(val_member(spec, F_completionMode), "Indexed")) {
		if (per_index)
			fe_invalid(fe, &per_at, per_index, "requires indexed completion mode");
		if (failed)
			fe_invalid(fe, &failed_at, failed, "requires indexed completion mode");
		return;
	}
	if (failed && val_member(spec, F_completions) && val_int_or(failed, 0) > completions)
		fe_invalid(fe, &failed_at, failed, "must be less than or equal to completions");
	if (val_int_or(failed, 0) > FAILED_INDEXES_MAX)
		fe_add(fe, FE_INVALID, &failed_at, failed, "must be less than or equal to %d", FAILED_INDEXES_MAX);
	if (completions <= FAILED_INDEXES_MAX || !per_index)
		return;
	if (!failed)
		fe_required_why(fe, &failed_at, "must be specified when completions is above 100000");
	if (val_get_int(spec, 0, F_parallelism) > MANY_PARALLEL_MAX)
		fe_add(fe, FE_INVALID, &par_at, val_member(spec, F_parallelism),
		       "must be less than or equal to %d when completions are above 100000 and used with backoff limit "
		       "per index",
		       MANY_PARALLEL_MAX);
	if (val_int_or(failed, 0) > MANY_FAILED_INDEXES_MAX)
		fe_add(fe, FE_INVALID, &failed_at, failed,
		       "must be less than or equal to %d when completions are above 100000 and used with backoff limit "
		       "per index",
		       MANY_FAILED_INDEXES_MAX);
}

/* --- failure --- */

static bool job_policies_has_container(const struct val *spec, struct sv name)
{
	static const enum sym lists[] = { F_containers, F_initContainers };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_get(spec, F_template, F_spec, lists[i]), c)
			if (sv_eq(val_get_str(c, F_name), name))
				return true;
	return false;
}

static void exit_codes(struct field_errs *fe, const struct val *spec, const struct val *x, const struct fpath *at)
{
	const struct val *name = val_member(x, F_containerName), *values = val_member(x, F_values);
	struct fpath name_at = FPATH(at, F_containerName), values_at = FPATH(at, F_values);
	int64_t last = INT64_MIN;
	bool ordered = true;
	size_t i = 0;

	if (name && !job_policies_has_container(spec, val_str(name)))
		fe_invalid(fe, &name_at, name,
			   "must be one of the container or initContainer names in the pod template");
	if (!val_len(values))
		fe_invalid(fe, &values_at, values ? values : val_new_list(fe->a), "at least one value is required");
	else if (val_len(values) > EXIT_CODES_MAX)
		fe_too_many(fe, &values_at, val_len(values), EXIT_CODES_MAX);
	VAL_EACH(values, v) {
		struct fpath here = FPATH_AT(&values_at, i++);
		int64_t n = val_int_or(v, 0);

		if (n == 0 && val_is(val_member(x, F_operator), "In"))
			fe_invalid(fe, &here, v, "must not be 0 for the In operator");
		if (n == last)
			fe_duplicate(fe, &here, v);
		ordered &= n >= last;
		last = n;
	}
	if (!ordered)
		fe_invalid(fe, &values_at, values, "must be ordered");
}

static void pod_conditions(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	if (val_len(list) > PATTERNS_MAX)
		fe_too_many(fe, at, val_len(list), PATTERNS_MAX);
	VAL_EACH(list, p) {
		struct fpath item = FPATH_AT(at, i++), status_at = FPATH(&item, F_status),
			     type_at = FPATH(&item, F_type);
		struct sv type = val_get_str(p, F_type);

		fe_check(fe, &type_at, type, fmt_qualified_name);
		if (!val_get_str(p, F_status).n)
			fe_required_why(fe, &status_at, "valid values: [\"False\" \"True\" \"Unknown\"]");
		else
			CHECK_ONE_OF(fe, val_member(p, F_status), &status_at, "False", "True", "Unknown");
	}
}

static void job_policies_failure_policy(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	const struct val *rules = val_get(spec, F_podFailurePolicy, F_rules);
	struct fpath policy_at = FPATH(at, F_podFailurePolicy), rules_at = FPATH(&policy_at, F_rules);
	size_t i = 0;

	if (val_len(rules) > RULES_MAX)
		fe_too_many(fe, &rules_at, val_len(rules), RULES_MAX);
	VAL_EACH(rules, r) {
		struct fpath item = FPATH_AT(&rules_at, i++), action_at = FPATH(&item, F_action),
			     codes_at = FPATH(&item, F_onExitCodes), cond_at = FPATH(&item, F_onPodConditions);
		const struct val *codes = val_member(r, F_onExitCodes), *cond = val_member(r, F_onPodConditions);

		if (val_is(val_member(r, F_action), "FailIndex") && !val_member(spec, F_backoffLimitPerIndex))
			fe_invalid(fe, &action_at, val_member(r, F_action),
				   "requires the backoffLimitPerIndex to be set");
		if (codes)
			exit_codes(fe, spec, codes, &codes_at);
		if (val_len(cond))
			pod_conditions(fe, cond, &cond_at);
		if (codes && val_len(cond))
			fe_add(fe, FE_INVALID, &item, NULL,
			       "specifying both OnExitCodes and OnPodConditions is not supported");
		if (!codes && !val_len(cond))
			fe_add(fe, FE_INVALID, &item, NULL,
			       "specifying one of OnExitCodes and OnPodConditions is required");
	}
}

/* --- success --- */

/* "1,3-5,7": how many indexes, or what is wrong. */
static int64_t indexes(struct field_errs *fe, const struct val *text, int64_t completions, const struct fpath *at)
{
	struct sv rest = val_str(text), part, first;
	int64_t last = -1, n = 0, lo, hi;

	while (rest.n && sv_split(&rest, ',', &part)) {
		struct sv range = part;

		(void)sv_split(&range, '-', &first);
		hi = 0;
		if (!sv_to_i64(first, &lo) || (range.p && !sv_to_i64(range, &hi))) {
			fe_add(fe, FE_INVALID, at, text,
			       "error parsing succeededIndexes: cannot convert string to integer for index: \"%.*s\"",
			       SV_ARG(part));
			return -1;
		}
		if (!range.p)
			hi = lo;
		if (lo >= completions || hi >= completions) {
			fe_add(fe, FE_INVALID, at, text, "error parsing succeededIndexes: too large index: \"%.*s\"",
			       SV_ARG(lo >= completions ? first : range));
			return -1;
		}
		if (lo <= last || hi < lo) {
			fe_add(fe, FE_INVALID, at, text,
			       "error parsing succeededIndexes: non-increasing order, previous: %" PRId64
			       ", current: %" PRId64,
			       hi < lo ? lo : last, hi < lo ? hi : lo);
			return -1;
		}
		n += hi - lo + 1;
		last = hi;
	}
	return n;
}

static void success_rule(struct field_errs *fe, const struct val *spec, const struct val *r, const struct fpath *at)
{
	const struct val *text = val_member(r, F_succeededIndexes), *count = val_member(r, F_succeededCount);
	struct fpath text_at = FPATH(at, F_succeededIndexes), count_at = FPATH(at, F_succeededCount);
	int64_t completions = val_get_int(spec, 0, F_completions), n = -1;

	if (!text && !count)
		fe_required_why(fe, at, "at least one of succeededCount or succeededIndexes must be specified");
	if (val_str(text).n > INDEXES_TEXT_MAX)
		fe_too_long(fe, &text_at, INDEXES_TEXT_MAX);
	else if (text)
		n = indexes(fe, text, completions, &text_at);
	CHECK_NONNEGATIVE(fe, r, at, F_succeededCount);
	if (val_int_or(count, 0) > completions)
		fe_add(fe, FE_INVALID, &count_at, count,
		       "must be less than or equal to %" PRId64 " (the number of specified completions)", completions);
	if (n >= 0 && val_int_or(count, 0) > n)
		fe_add(fe, FE_INVALID, &count_at, count,
		       "must be less than or equal to %" PRId64
		       " (the number of indexes in the specified succeededIndexes field)",
		       n);
}

static void job_policies_success_policy(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	const struct val *policy = val_member(spec, F_successPolicy), *rules = val_member(policy, F_rules);
	struct fpath policy_at = FPATH(at, F_successPolicy), rules_at = FPATH(&policy_at, F_rules);
	size_t i = 0;

	if (!val_is(val_member(spec, F_completionMode), "Indexed")) {
		fe_invalid(fe, &policy_at, policy, "requires indexed completion mode");
		return;
	}
	if (!val_len(rules))
		fe_required_why(fe, &rules_at,
				"at least one rules must be specified when the successPolicy is specified");
	else if (val_len(rules) > RULES_MAX)
		fe_too_many(fe, &rules_at, val_len(rules), RULES_MAX);
	VAL_EACH(rules, r) {
		struct fpath item = FPATH_AT(&rules_at, i++);

		success_rule(fe, spec, r, &item);
	}
}

void validate_job_policies(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	const struct val *replace = val_member(spec, F_podReplacementPolicy), *by = val_member(spec, F_managedBy);
	struct fpath replace_at = FPATH(at, F_podReplacementPolicy), by_at = FPATH(at, F_managedBy);

	indexed_limits(fe, spec, at);
	if (val_member(spec, F_podFailurePolicy)) {
		job_policies_failure_policy(fe, spec, at);
		CHECK_ONE_OF(fe, replace, &replace_at, "Failed");
	} else {
		CHECK_ONE_OF(fe, replace, &replace_at, "Failed", "TerminatingOrFailed");
	}
	if (val_member(spec, F_successPolicy))
		job_policies_success_policy(fe, spec, at);
	if (!by)
		return;
	check_domain_path(fe, by, &by_at);
	if (val_str(by).n > MANAGED_BY_MAX)
		fe_too_long(fe, &by_at, MANAGED_BY_MAX);
}

/* The pods of an indexed job are named after it and their index. */
void validate_indexed_name(struct field_errs *fe, const struct val *doc)
{
	struct fpath meta_at = FPATH_ROOT(F_metadata), at = FPATH(&meta_at, F_name);
	int64_t completions = val_get_int(doc, 0, F_spec, F_completions);
	struct sv name = val_get_str(doc, F_metadata, F_name), pod;

	if (!val_is(val_get(doc, F_spec, F_completionMode), "Indexed") || completions <= 0)
		return;
	pod = arena_svf(fe->a, "%.*s-%" PRId64, SV_ARG(name), completions - 1);
	if (fmt_dns_label(pod))
		fe_add(fe, FE_INVALID, &at, val_get(doc, F_metadata, F_name),
		       "will not able to create pod with invalid DNS label: %.*s", SV_ARG(pod));
}
