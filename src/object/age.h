/* age.h - which of two objects is the older, where only one can have what both ask for.
 *
 * By creationTimestamp, then namespace and name, as Ingress controllers and Gateway API have it; pure.
 */
#pragma once

#include "object/obj.h"

/* Negative: x is the older. 0: they are of one name and moment. */
int obj_age_cmp(const struct obj *x, const struct obj *y);
/* The same for qsort() of struct obj *, or of what begins with one. */
int obj_by_age(const void *x, const void *y);
