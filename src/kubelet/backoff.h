/* backoff.h - CrashLoopBackOff and ImagePullBackOff: 10 s doubling to 5 min, forgotten after 10 quiet minutes.
 *
 * client-go's flowcontrol.Backoff: the first failure costs nothing yet but starts the count; a thing is in
 * back-off until `since` (when it ended) plus the current length. Times are monotonic or wall, as the caller
 * likes, if always the same.
 */
#pragma once

#include "base/base.h"

#define BACKOFF_INITIAL_NS (10 * NS_PER_SEC)
#define BACKOFF_MAX_NS (300 * NS_PER_SEC)

/* Is it still to wait, when it ended at since? *backoff_ns 0: never failed. */
static inline bool backoff_active(int64_t backoff_ns, int64_t at_ns, int64_t since_ns, int64_t now_ns)
{
	if (!backoff_ns || now_ns - at_ns > 2 * BACKOFF_MAX_NS)
		return false;
	return now_ns - since_ns < backoff_ns;
}

/* It is tried again now. */
static inline void backoff_next(int64_t *backoff_ns, int64_t *at_ns, int64_t now_ns)
{
	if (!*backoff_ns || now_ns - *at_ns > 2 * BACKOFF_MAX_NS)
		*backoff_ns = BACKOFF_INITIAL_NS;
	else
		*backoff_ns = MIN(*backoff_ns * 2, BACKOFF_MAX_NS);
	*at_ns = now_ns;
}
