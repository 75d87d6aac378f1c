/* Turns of loops. A turn is from the first thing that is called after the loop slept until it sleeps again. When it
 * began libuv knows: it read the clock when it woke up. */
#include "ev/ev-internal.h"
#include "ev/watchdog.h"

#include <time.h>

void ev_loop_turn(struct ev_loop *l)
{
	l->busy = true;
	run_begin(RUN_LOOP, NULL, (int64_t)uv_now(&l->uv) * NS_PER_MS);
}

void ev_loop_rest(struct ev_loop *l)
{
	if (!l->busy)
		return;
	l->busy = false;
	run_end(ev_clock_ns(CLOCK_MONOTONIC));
}
