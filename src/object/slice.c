#include "object/slice.h"

struct sv slice_service(const struct obj *slice)
{
	return val_str(val_member_sv(obj_labels(slice), SV(SLICE_SERVICE_LABEL)));
}

static bool slice_condition(const struct val *endpoint, enum sym name, bool unknown)
{
	const struct val *v = val_get(endpoint, F_conditions, name);

	return val_type(v) == VAL_BOOL ? v->b : unknown;
}

bool endpoint_ready(const struct val *endpoint)
{
	return slice_condition(endpoint, F_ready, true);
}

bool endpoint_serving(const struct val *endpoint)
{
	return slice_condition(endpoint, F_serving, endpoint_ready(endpoint));
}

bool endpoint_terminating(const struct val *endpoint)
{
	return slice_condition(endpoint, F_terminating, false);
}
