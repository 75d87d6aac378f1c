#include "object/age.h"

int obj_age_cmp(const struct obj *x, const struct obj *y)
{
	int c = sv_cmp(val_get_str(obj_root(x), F_metadata, F_creationTimestamp),
		       val_get_str(obj_root(y), F_metadata, F_creationTimestamp));

	c = c ? c : sv_cmp(obj_ns(x), obj_ns(y));
	return c ? c : sv_cmp(obj_name(x), obj_name(y));
}

int obj_by_age(const void *x, const void *y)
{
	struct obj *const *a = x, *const *b = y;

	return obj_age_cmp(*a, *b);
}
