/* shares.h - how much of what may hang is under way at once, and whose it is.
 *
 * A call of a driver, or a mount of a file server, may last as long as somebody outside likes: two minutes, then it is
 * given up, and comes again. What bounds them must not let one tenant's stop everybody's. So each kind of work has its
 * own places, and of these an owner (a namespace; a pod, where that is not known) has a few:
 *
 *	making    mounts. Of one owner a few; all of them are more than many owners can fill
 *	unmaking  what ends a pod; never behind making
 *	looking   how full, how well: nobody waits for it
 *
 * What hung the last time is behind what did not: of such an owner has fewer, and all of them together have a part. So
 * volumes which always hang do not take turns in filling everything; what is new to us has its try first.
 *
 * No clock, no queue: whoever is refused asks again. Not thread-safe. Zero is a valid empty one but for its bounds.
 */
#pragma once

#include "base/strmap.h"

enum share_kind { SHARE_MAKING, SHARE_UNMAKING, SHARE_LOOKING, _SHARE_MAX };

struct share_bounds {
	int all, each;		 /* places, and those that one owner may have */
	int hung_all, hung_each; /* of these, with what hung the last time */
};

struct shares {
	const struct share_bounds *bounds; /* [_SHARE_MAX] */
	int all[_SHARE_MAX], hung[_SHARE_MAX];
	struct strmap owners; /* who has a place -> struct share_owner */
};

/* False: no place is free for it now. */
bool shares_enter(struct shares *s, enum share_kind kind, struct sv owner, bool hung);
/* Would it enter? */
bool shares_free(const struct shares *s, enum share_kind kind, struct sv owner, bool hung);
/* With what it entered with. */
void shares_leave(struct shares *s, enum share_kind kind, struct sv owner, bool hung);
void shares_release(struct shares *s);
