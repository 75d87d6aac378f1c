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
