#include "object/condition.h"

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
