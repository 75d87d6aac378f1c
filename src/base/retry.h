/* retry.h - how long to wait before the next try: one policy for all who try again, each with numbers of its own.
 *
 *	failures in a row	1	2	3	...
 *	pause			first	2·first	4·first	... at most max
 *
 * Numbers are upstream's where upstream has them, and stand with their user. Who counts failures itself asks
 * retry_pause_ns(). Who would rather remember the pause has a struct retry: it is forgotten by retry_forget() (it went
 * well), or when nothing failed for forget_ns. Times are monotonic or wall, as the user likes, if always the same.
 * What is to keep many from trying in step is env_jitter()'s, on the pause.
 *
 * Threads: values; whoever shares one locks it.
 */
#pragma once

#include "base/base.h"

struct retry_policy {
	int64_t first_ns, max_ns;
	int64_t forget_ns; /* since the last failure; 0: only success makes it forget */
};

/* All zero: nothing failed. */
struct retry {
	int64_t pause_ns, failed_ns;
};

/* After so many failures in a row; 0 after none. */
static inline int64_t retry_pause_ns(const struct retry_policy *p, uint64_t failures)
{
	int64_t d = p->first_ns;

	if (!failures)
		return 0;
	for (uint64_t i = 1; i < failures && d < p->max_ns; i++)
		d *= 2;
	return MIN(d, p->max_ns);
}

static inline bool retry_forgotten(const struct retry_policy *p, const struct retry *r, int64_t now_ns)
{
	return !r->pause_ns || (p->forget_ns && now_ns - r->failed_ns > p->forget_ns);
}

/* It failed, or what it began just now counts as a failure until it is known to have gone well. Returns the pause. */
static inline int64_t retry_failed(const struct retry_policy *p, struct retry *r, int64_t now_ns)
{
	r->pause_ns = MIN(retry_forgotten(p, r, now_ns) ? p->first_ns : r->pause_ns * 2, p->max_ns);
	r->failed_ns = now_ns;
	return r->pause_ns;
}

/* How much of the pause is left when it began at since_ns, mostly r->failed_ns. 0: it may be tried. */
static inline int64_t retry_left_ns(const struct retry_policy *p, const struct retry *r, int64_t since_ns,
				    int64_t now_ns)
{
	return retry_forgotten(p, r, now_ns) ? 0 : MAX(since_ns + r->pause_ns - now_ns, 0);
}

static inline void retry_forget(struct retry *r)
{
	*r = (struct retry){ 0 };
}

/* And after work that went well, of which more may be asked for at once: ten times as long as it took, within bounds.
 * So a lone change is made at once, and a burst, or a huge cluster, costs a tenth of a core. At most: names and
 * addresses follow a change together within 100 ms, most of it for the work itself. */
#define RETRY_REST_MAX_NS (50 * NS_PER_MS)
static inline int64_t retry_rest_ns(int64_t took_ns)
{
	return took_ns > RETRY_REST_MAX_NS / 10 ? RETRY_REST_MAX_NS : MAX(10 * took_ns, 10 * NS_PER_MS);
}
