/* limit.h - limits of time on a loop, which do not count what the loop itself stood.
 *
 * Timers of a loop run before what came meanwhile is read. After a loop that stood (a long turn, a process that was
 * stopped, a machine that slept) a plain timer says that somebody is late whose answer lies in the socket. So time is
 * counted in steps, and a step that took longer counts as one. Between two steps the sockets are looked at; no limit is
 * over with the first.
 *
 *	ev_limit   one limit, with a timer of its own
 *	ev_pace    the clock behind it, for who has many limits and one timer, which comes every EV_PACE_NS
 *
 * Loop thread only.
 */
#pragma once

#include "ev/ev.h"

#define EV_PACE_NS NS_PER_SEC /* a step at most */

struct ev_pace {
	int64_t ns;	 /* counted until the last step */
	int64_t seen_ns; /* when that was */
};

void ev_pace_init(struct ev_pace *p, int64_t now_ns);
void ev_pace_step(struct ev_pace *p, int64_t now_ns);
/* When, on this clock, something that has so long from now on is late; not before the second step from now. */
int64_t ev_pace_due(const struct ev_pace *p, int64_t now_ns, int64_t limit_ns);

/* fn(ctx) is called once, when the time is over. Whoever started one stops it exactly once, also after that. */
struct ev_limit;
struct ev_limit *ev_limit_start(struct ev_loop *l, int64_t limit_ns, env_fn *fn, void *ctx);
struct ev_limit *ev_limit_stop(struct ev_limit *m); /* NULL is fine; returns NULL */
