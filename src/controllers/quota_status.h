/* quota_status.h - what a count makes of a quota's status, also when the quota has changed since the count. Pure.
 *
 *	read A ── count C ── read B ── write over N		used := C + (B - A) + (N - B)
 *
 * The API server charges what comes to status.used of the names that are there, in the same write. C has some of what
 * was charged between A and B, perhaps all of it: the sum may be too much by that, never too little.
 *
 * A new quota has no such names, nor has one for what was just added to it. These are opened first: an amount is
 * written to status.used, whichever, for only what is added to it counts. They are not in force then, as status.hard
 * does not have them: nothing is refused until a count has followed.
 */
#pragma once

#include "object/obj.h"
#include "quota/quota.h"

/* Are all that were counted charged? */
bool quota_opened(const struct quota_list *counted, const struct obj *quota);
/* Opens those that are not. */
struct val *quota_status_open(struct arena *a, const struct quota_list *counted, const struct obj *onto);
/* counted: C, by name, all of them opened at A or A, B and N the same. A and B may be the same version, so may B and N.
 * NULL: N says so already. */
struct val *quota_status(struct arena *a, const struct quota_list *counted, const struct obj *at,
			 const struct obj *then, const struct obj *onto);
/* All that it limits is in status.hard. */
bool quota_in_force(const struct obj *quota);
