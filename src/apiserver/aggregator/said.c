/* The condition Available, written into an APIService. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "base/timefmt.h"
#include "object/condition.h"

bool aggregator_condition(struct arena *a, struct val *doc, const char *status, const char *reason, const char *message,
			  int64_t now_ns)
{
	struct val *list = val_ensure_list(a, val_ensure_map(a, doc, F_status), F_conditions), *c = val_new_map(a);
	const struct val *had = condition_find(list, "Available"), *since = val_member(had, F_lastTransitionTime);
	char text[TIME_TEXT_MAX];

	if (had && val_is(val_member(had, F_status), status) && val_is(val_member(had, F_reason), reason) &&
	    val_is(val_member(had, F_message), message))
		return false;
	val_set_cstr(a, c, F_type, "Available");
	val_set_cstr(a, c, F_status, status);
	if (since && val_is(val_member(had, F_status), status))
		val_set(a, c, F_lastTransitionTime, since);
	else
		val_set_str(a, c, F_lastTransitionTime, time_format(now_ns, false, text));
	val_set_cstr(a, c, F_reason, reason);
	val_set_cstr(a, c, F_message, message);
	for (size_t i = 0; i < val_len(list); i++)
		if (val_is(val_member(val_at(list, i), F_type), "Available")) {
			*val_at_mut(list, i) = *c;
			return true;
		}
	val_push(a, list, c);
	return true;
}
