/* device_capacity.c - how much of a device's capacity one claim may ask for, where several share the device: one of
 * some amounts, or a range in steps. */
#include "apiserver/registry/validate/dra.h"

#include "object/quantity.h"

#define OPTIONS_MAX 10

static void capacity_choices(struct field_errs *fe, struct sv dflt, struct sv all, const struct val *list,
			     const struct fpath *at)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct sv before = SV("");
	bool found = false;
	size_t i = 0;

	if (!dra_few(fe, list, at, OPTIONS_MAX))
		return;
	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i);
		struct sv s = val_str(v);

		if (i++ && quantity_cmp(before, s) > 0)
			fe_invalid(fe, &here, v, "values must be sorted in ascending order");
		if (quantity_cmp(s, all) > 0)
			fe_add(fe, FE_INVALID, &here, v, "option is larger than capacity value: %.*s", SV_ARG(all));
		found |= quantity_cmp(s, dflt) == 0;
		if (strmap_set(&seen, quantity_text(fe->a, s), fe))
			fe_duplicate(fe, &here, v);
		before = s;
	}
	if (!found)
		fe_format(fe, at, dflt, "default value is not valid according to the requestPolicy");
}

/* In thousandths, exactly. */
static bool capacity_exact(struct field_errs *fe, struct sv s, const struct fpath *up, enum sym name, int64_t *ret)
{
	struct fpath at = FPATH(up, name);

	if (!s.n || !quantity_milli(s, ret))
		return true;
	if (quantity_cmp(quantity_from_milli(fe->a, *ret), s) == 0)
		return true;
	fe_format(fe, &at, s, "value cannot be represented as a milli value");
	return false;
}

static void capacity_multiple(struct field_errs *fe, struct sv s, int64_t value, int64_t min, int64_t step,
			      const struct val *range, const struct fpath *at)
{
	int64_t distance;

	if (__builtin_sub_overflow(value, min, &distance) || distance % step)
		fe_add(fe, FE_INVALID, at, val_new_str(fe->a, s),
		       "value is not a multiple of a given step (%.*s) from (%.*s)", SV_ARG(val_get_str(range, F_step)),
		       SV_ARG(val_get_str(range, F_min)));
}

static void capacity_steps(struct field_errs *fe, struct sv dflt, struct sv all, const struct val *range,
			   const struct fpath *at)
{
	struct sv min = val_get_str(range, F_min), max = val_get_str(range, F_max), step = val_get_str(range, F_step);
	int64_t of_dflt = 0, of_min = 0, of_max = 0, of_step = 0;
	struct fpath step_at = FPATH(at, F_step);
	struct sv first;
	bool exact;

	exact = capacity_exact(fe, dflt, at, F_default, &of_dflt);
	exact &= capacity_exact(fe, min, at, F_min, &of_min);
	exact &= capacity_exact(fe, max, at, F_max, &of_max);
	exact &= capacity_exact(fe, step, at, F_step, &of_step);
	if (!exact || !step.n)
		return;
	if (of_step <= 0) {
		fe_format(fe, &step_at, step, "must be greater than zero");
		return;
	}
	first = quantity_add(fe->a, min, step);
	if (quantity_cmp(first, all) > 0)
		fe_add(fe, FE_INVALID, &step_at, val_new_str(fe->a, step),
		       "one step %.*s is larger than capacity value: %.*s", SV_ARG(first), SV_ARG(all));
	capacity_multiple(fe, dflt, of_dflt, of_min, of_step, range, &step_at);
	if (max.n)
		capacity_multiple(fe, max, of_max, of_min, of_step, range, &step_at);
}

static void capacity_range(struct field_errs *fe, struct sv dflt, struct sv all, const struct val *range,
			   const struct fpath *at)
{
	struct sv min = val_get_str(range, F_min), max = val_get_str(range, F_max);
	struct fpath min_at = FPATH(at, F_min), max_at = FPATH(at, F_max), default_at = FPATH(at, F_default);

	if (!min.n) {
		fe_required_why(fe, &min_at, "required when validRange is defined");
		return;
	}
	if (quantity_cmp(min, all) > 0)
		fe_add(fe, FE_INVALID, &min_at, val_member(range, F_min), "min is larger than capacity value: %.*s",
		       SV_ARG(all));
	if (quantity_cmp(dflt, min) < 0)
		fe_add(fe, FE_INVALID, &default_at, val_new_str(fe->a, dflt), "default is less than min: %.*s",
		       SV_ARG(min));
	if (max.n) {
		if (quantity_cmp(min, max) > 0)
			fe_add(fe, FE_INVALID, &max_at, val_member(range, F_min), "min is larger than max: %.*s",
			       SV_ARG(max));
		if (quantity_cmp(max, all) > 0)
			fe_add(fe, FE_INVALID, &max_at, val_member(range, F_max),
			       "max is larger than capacity value: %.*s", SV_ARG(all));
		if (quantity_cmp(dflt, max) > 0)
			fe_add(fe, FE_INVALID, &default_at, val_new_str(fe->a, dflt), "default is more than max: %.*s",
			       SV_ARG(max));
	}
	capacity_steps(fe, dflt, all, range, at);
}

void dra_capacity(struct field_errs *fe, const struct val *c, const struct fpath *up, bool shared)
{
	const struct val *policy = val_member(c, F_requestPolicy), *choices = val_member(policy, F_validValues),
			 *range = val_member(policy, F_validRange), *dflt = val_member(policy, F_default);
	struct fpath at = FPATH(up, F_requestPolicy), default_at = FPATH(&at, F_default),
		     choices_at = FPATH(&at, F_validValues), range_at = FPATH(&at, F_validRange);
	struct sv all = val_get_str(c, F_value);

	if (!policy)
		return;
	if (!shared)
		fe_forbidden(fe, &at, "allowMultipleAllocations must be true");
	else if (val_len(choices) && range)
		fe_forbidden(
		    fe, &at,
		    "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at "
		    "the same time");
	else if ((val_len(choices) || range) && !is_set(dflt))
		fe_required_why(fe, &default_at,
				range ? "required when validRange is defined" : "required when validValues is defined");
	else if (val_len(choices))
		capacity_choices(fe, val_str(dflt), all, choices, &choices_at);
	else if (range)
		capacity_range(fe, val_str(dflt), all, range, &range_at);
}
