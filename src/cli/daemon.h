/* daemon.h - what the commands that stay have in common: how they begin and end, and the node they keep.
 *
 * The signals that end are blocked before the first thread exists and taken by daemon_wait() alone.
 */
#pragma once

#include "cli/agent.h"

#include <signal.h>

/* The process from its start to its end: fn, which a supervisor runs again when it dies, or fn alone. crash_dir: of
 * reports. Returns the exit status. */
int daemon_run(const char *crash_dir, bool alone, int (*fn)(void *ctx), void *ctx);
/* What comes first in fn, before any thread exists; the environment is the caller's, who calls stalls_unwatch(), too.
 */
struct env *daemon_begin(const char *crash_dir);

/* SIGTERM, SIGINT, SIGQUIT, and SIGHUP unless nohup(1) has it ignored. */
void daemon_signals(sigset_t *ret);
/* Whether one is waiting: for what takes long at the start. */
bool daemon_is_to_end(void);

/* A node that is tried again, with growing pauses, when its runtime does not start: what else the process does goes on
 * meanwhile. It is started anew when this machine's address has changed and no flag says one; pods run on. All zero but
 * for the first two: none yet. */
struct daemon_node {
	const struct agent_home *home;
	struct node_opts *o;
	struct agent *agent;			/* NULL: none, or not yet */
	uint64_t failures;			/* in a row */
	int64_t due_ns;				/* mono: of the next try; 0: none is wanted */
	int64_t looked_ns;			/* mono: at the address */
	struct arena arena;			/* of an address that changed */
	void (*up)(void *ctx, struct agent *a); /* it has just been started; */
	void (*down)(void *ctx);		/* it is about to be stopped; either may be NULL */
	void *up_ctx;
};
/* The first try. -1: what no later one would mend; told to end meanwhile counts as 0. */
int daemon_node_start(struct daemon_node *n, struct err *err);
void daemon_node_stop(struct daemon_node *n);

/* Sleeps; false: a signal to end has come, now or before. */
bool daemon_pause(int64_t ns);

/* Until a signal ends us; which one. Keeps house meanwhile, and tries n (NULL: none) when it is due. */
int daemon_wait(struct daemon_node *n);
