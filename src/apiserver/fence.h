/* fence.h - an elected leader's mark in the store, by which the store refuses the writes of leaders before it.
 *
 *	Lease won ─▶ fence_take(): writes /caravel/leaders/NAMESPACE/NAME, if the Lease is still that one
 *	                 │ its revision
 *	                 ▼
 *	each write of the leader: "and that key is at this revision", in the same transaction (store_write.guard)
 *
 * A clock can only tell whether the Lease may be another's by now if it ran on meanwhile. That of a machine that was
 * suspended, or of a virtual one that was stopped and goes on, did not: such a leader believes that it leads until its
 * next renewal. What it writes until then finds another revision, and is refused as a whole.
 *
 * It is not the Lease itself that is compared, as each renewal changes that. A candidate that is no server of ours
 * (upstream's on the same store) takes no fence: against it there are the clocks alone.
 *
 * Threads: fence_take() of one at a time; the rest any.
 */
#pragma once

#include "client/client.h"

#include <stdatomic.h>

struct apiserver;

#define FENCE_KEY_MAX ((size_t)128)

/* Of one election. All zero but for what fence_init() sets: none was taken. */
struct fence {
	char key[FENCE_KEY_MAX];
	_Atomic int64_t rev; /* 0: it was never taken here */
};

void fence_init(struct fence *f, const char *ns, const char *lease_name);
/* ERR_CONFLICT: the Lease is another one by now. Waits for the store. */
int fence_take(struct apiserver *s, struct fence *f, const struct obj *lease, struct err *err);
/* What c (apiserver_client()) writes from now on is refused once another one has taken f, which is borrowed for c's
 * life: ERR_UNAVAILABLE. A call counts as of when it began. In local.c, as what it sets is such a client's own. */
void fence_client(struct client *c, struct fence *f);
