/* See status.h. */
#include "controllers/status.h"
#include "base/timefmt.h"

struct sv time_text(struct arena *a, int64_t ns)
{
	char out[TIME_TEXT_MAX];

	return arena_sv(a, time_format(ns, false, out));
}

bool time_get(const struct val *v, int64_t *ret_ns)
{
	return val_type(v) == VAL_STR && time_parse(val_str(v), ret_ns);
}

void status_int(struct arena *a, struct val *map, enum sym key, int64_t n)
{
	if (val_int_or(val_member(map, key), 0) != n)
		val_set_int(a, map, key, n);
}

bool condition_reason_is(const struct val *list, const char *type, const char *reason)
{
	return val_is(val_member(condition_find(list, type), F_reason), reason);
}

bool condition_set(struct arena *a, struct val *owner, const struct condition *c, int64_t now_ns)
{
	struct val *list, *at = NULL;
	struct sv now = time_text(a, now_ns);
	const struct val *was = condition_find(val_member(owner, F_conditions), c->type);
	bool flips = !val_is(val_member(was, F_status), c->status);

	if (was && !flips && val_is(val_member(was, F_reason), c->reason) &&
	    (c->keep_message || sv_eq(val_str(val_member(was, F_message)), c->message)))
		return false;
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
