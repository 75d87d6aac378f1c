/* watchdog.h - whoever holds a thread for too long is named.
 *
 * A run is what a thread does between two rests: a turn of a loop, a task, a round of the store. What begins and ends
 * there says so; what it works on says the board (base/board.h). A run that took too long is reported once it has
 * ended, with its longest piece; one that takes very long is reported while it lasts, with its stack, and again each
 * time it has taken ten times as long.
 *
 *	run_begin(RUN_STORE, NULL, now);	one clock read, which a loop has made already
 *	...
 *	run_end(now);				the other one
 *
 * Reports are bounded: REPORTS_AT_ONCE of a sort, then one every REPORTS_EVERY_NS; the next one says how many are
 * missing. All are counted.
 *
 * One thread watches, twice a second while runs are under way, and sleeps for good when none is: the next run wakes it
 * up. Without watchdog_start() runs are marked and nobody looks. The simulator has neither: there is no time to lose.
 *
 * Threads: run_begin() and run_end() from any thread, for itself. start and stop from one.
 */
#pragma once

#include "base/env.h"
#include "base/stack.h"

#define REPORTS_AT_ONCE 10
#define REPORTS_EVERY_NS (10 * NS_PER_SEC)

/* Those of tasks are as their classes. What is long for whom:
 *
 *	kind                           too long   stuck
 *	loop, store, timers, requests  100 ms     2 s
 *	control                        1 s        2 s     a task may make some writes, each of which waits for the disk
 *	node                           -          60 s    the runtime takes its time
 *	slow                           -          -       somebody outside decides
 */
enum run_kind { RUN_TIMERS = ENV_TIMERS, RUN_LOOP, RUN_STORE, _RUN_MAX };

const char *run_kind_name(enum run_kind k);

/* The calling thread begins a run, of which fn is what was called (NULL: unknown). Inside of a run this is none of its
 * own. */
void run_begin(enum run_kind kind, env_fn *fn, int64_t now_ns);
void run_calls(env_fn *fn); /* what the run under way calls now */
void run_end(int64_t now_ns);

/* Everything is borrowed for the call. */
struct run_report {
	enum run_kind kind;
	const char *thread;
	int tid;
	bool running;
	int64_t ns;	    /* so far, or in all */
	const char *what;   /* was worked on, the longest of it or just now; "": nothing was written down */
	bool after;	    /* that work was left meanwhile: it may be another one near it */
	const char *step;   /* the last that was reached before (running), or what the piece ended with; NULL: none */
	size_t bytes;	    /* it was given */
	int64_t what_ns;    /* how long that piece took; 0: unknown */
	unsigned works;	    /* pieces of work begun in the run */
	const char *called; /* the function, by name; "": unknown */
	size_t n_frames;    /* running only; 0: the thread does not answer */
	void *frames[STACK_FRAMES];
	unsigned missing; /* reports of this sort that were left out before it */
};

struct watchdog_opts {
	/* On the thread that was held, or on the watchdog's own while one is. */
	void (*report)(const struct run_report *r, void *ctx);
	void *ctx;
	int64_t long_ns, stuck_ns; /* of every kind that has limits, instead of its own; 0: its own. For tests */
};

/* There is one watchdog. 0, or -1 when there is no thread to be had. */
int watchdog_start(const struct watchdog_opts *o);
void watchdog_stop(void); /* after it no report is made any more, and none is under way; without a start fine */

/* How many runs of kind k were too long and how many stuck since the process began, reported or not. */
void watchdog_counts(enum run_kind k, uint64_t *ret_long, uint64_t *ret_stuck);
