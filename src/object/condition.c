#include "object/condition.h"

#include "base/timefmt.h"

const struct val *condition_find(const struct val *list, const char *type)
{
	VAL_EACH(list, c)
		if (val_is(val_member(c, F_type), type))
			return c;
	return NULL;
}

bool condition_is(const struct val *list, const char *type, const char *status)
{
	return val_is(val_member(condition_find(list, type), F_status), status);
}

bool condition_ready(const struct val *object)
{
	return condition_is(val_get(object, F_status, F_conditions), "Ready", "True");
}

bool condition_reason_is(const struct val *list, const char *type, const char *reason)
{
	return val_is(val_member(condition_find(list, type), F_reason), reason);
}

bool condition_set(struct arena *a, struct val *owner, const struct condition *c, int64_t now_ns)
{
	struct val *list, *at = NULL;
	struct sv now;
	char text[TIME_TEXT_MAX];
	const struct val *was = condition_find(val_member(owner, F_conditions), c->type);
	bool flips = !val_is(val_member(was, F_status), c->status);

	if (was && !flips && val_is(val_member(was, F_reason), c->reason) &&
	    (!c->generation || val_int_or(val_member(was, F_observedGeneration), 0) == c->generation) &&
	    (c->keep_message || sv_eq(val_str(val_member(was, F_message)), c->message)))
		return false;
	now = time_format(now_ns, false, text);
	list = val_ensure_list(a, owner, F_conditions);
	for (size_t i = 0; i < val_len(list) && !at; i++)
		if (val_is(val_member(val_at(list, i), F_type), c->type))
			at = val_at_mut(list, i);
	if (!at) {
		at = val_push(a, list, val_new_map(a));
		val_set_cstr(a, at, F_type, c->type);
	}
	val_set_cstr(a, at, F_status, c->status);
	if (c->also_time != SYM_NONE)
		val_set_str(a, at, c->also_time, now);
	if (flips)
		val_set_str(a, at, F_lastTransitionTime, now);
	val_set_cstr(a, at, F_reason, c->reason);
	val_set_str(a, at, F_message, c->message);
	if (c->generation)
		val_set_int(a, at, F_observedGeneration, c->generation);
	return true;
}

bool condition_remove(struct val *owner, const char *type)
{
	struct val *list = val_member_mut(owner, F_conditions);

	for (size_t i = 0; i < val_len(list); i++)
		if (val_is(val_member(val_at(list, i), F_type), type)) {
			val_list_remove(list, i);
			return true;
		}
	return false;
}
