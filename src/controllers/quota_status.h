/* quota_status.h - what a count makes of a quota's status, also when the quota has changed since the count. Pure.
 *
 *	read A ── count C ── read B ── write over N		used := C + (B - A) + (N - B)
 *
 * The API server charges what comes to status.used of the names that status.hard has, in the same write. C has some of
 * what was charged between A and B, perhaps all of it: the sum may be too much by that, never too little. Names that
 * were not in force at A or B have nothing charged, and get C alone.
 */
#pragma once

#include "object/obj.h"
#include "quota/quota.h"

/* counted: C, by name. A and B may be the same version, so may B and N. NULL: N says so already. */
struct val *quota_status(struct arena *a, const struct quota_list *counted, const struct obj *at,
			 const struct obj *then, const struct obj *onto);
/* All that it limits is in status.hard. */
bool quota_in_force(const struct obj *quota);
