/* The condition Available, written into an APIService. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "object/condition.h"

bool aggregator_condition(struct arena *a, struct val *doc, const char *status, const char *reason, const char *message,
			  int64_t now_ns)
{
	const struct condition c = {
		.type = "Available", .status = status, .reason = reason, .message = sv_from(message)
	};

	return condition_set(a, val_ensure_map(a, doc, F_status), &c, now_ns);
}
