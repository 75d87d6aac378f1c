/* Which tolerations stand for which others. */
#include "apiserver/admission/tolerations.h"

static bool toleration_key_within(const struct val *more, const struct val *less)
{
	struct sv key = val_get_str(more, F_key);

	return sv_eq(key, val_get_str(less, F_key)) || (!key.n && val_is(val_get(more, F_operator), "Exists"));
}

bool toleration_within(const struct val *more, const struct val *less)
{
	struct sv effect = val_get_str(more, F_effect), op = val_get_str(less, F_operator);
	const struct val *time = val_get(more, F_tolerationSeconds), *time_less = val_get(less, F_tolerationSeconds);

	if (val_same(more, less))
		return true;
	if (!toleration_key_within(more, less) || (effect.n && !sv_eq(effect, val_get_str(less, F_effect))))
		return false;
	if (sv_is(effect, "NoExecute") && time && (!time_less || val_int_or(time_less, 0) > val_int_or(time, 0)))
		return false;
	if (val_is(val_get(more, F_operator), "Exists"))
		return true;
	return (!op.n || sv_is(op, "Equal")) && sv_eq(val_get_str(more, F_value), val_get_str(less, F_value));
}

void tolerations_merge(struct arena *a, struct val *spec, const struct val *more)
{
	struct val *all = val_new_list(a), *merged;

	VAL_EACH(val_get(spec, F_tolerations), t)
		val_push(a, all, t);
	VAL_EACH(more, t)
		val_push(a, all, t);
	if (!val_len(more))
		return;
	merged = val_set_list(a, spec, F_tolerations);
	for (size_t i = 0; i < val_len(all); i++) {
		const struct val *t = val_at(all, i);
		bool known = false;

		for (size_t k = 0; val_len(all) <= TOLERATIONS_MERGED_MAX && !known && k < val_len(all); k++)
			known = k < i ? toleration_within(val_at(all, k), t)
				      : k > i && !val_same(val_at(all, k), t) && toleration_within(val_at(all, k), t);
		if (!known)
			val_push(a, merged, t);
	}
}
