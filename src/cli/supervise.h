/* supervise.h - a server that dies is started again at once, by its parent.
 *
 *	supervise()                     the parent: waits, passes signals on, and forks again when the child
 *	    │ fork                      died of a signal; holds what must outlive a child
 *	    └─ fn()                     the child: the server
 *
 * The parent does nothing else, so there is nothing in it to go wrong, and it shares its memory with the child until
 * one of them writes. It forks before the child's threads exist, and every child is a copy of the same pristine state.
 *
 * What ends how:
 *	- the child ends by itself (a signal to end, an error of the start): the parent ends with its exit status;
 *	- it ends with SUPERVISE_AGAIN, because it cannot go on and another could: the next child, as after a
 *	  death, without a report;
 *	- the child dies of a signal: a report in DIR (base/crash.h), and the next child, at once, or after a pause that
 *	  grows while children keep dying young;
 *	- SIGTERM, SIGINT, SIGQUIT, SIGHUP to the parent go to the child. A child that dies of a signal after
 *	  that is not replaced;
 *	- the parent dies (kill -9): the kernel kills the child, too (PR_SET_PDEATHSIG), so that kill -9 of the server's
 *	  pid ends the server, as it always has.
 *
 * A stored object or a reconcile that is to blame for two deaths within an hour is written to DIR/quarantine before the
 * next child starts (base/quarantine.h).
 */
#pragma once

#include "base/base.h"

#include <signal.h>

#define SUPERVISE_AGAIN 75 /* EX_TEMPFAIL of <sysexits.h> */

struct supervise_opts {
	const char *dir; /* of reports; made when something dies */
	sigset_t ending; /* what ends the server: blocked in the child, too, which takes it with sigwait() */
};

/* Returns the exit status for the process; in the child it does not return, but exits with fn's result. No other thread
 * may exist. */
int supervise(const struct supervise_opts *o, int (*fn)(void *ctx), void *ctx);

/* In the child: has the parent keep a copy of fd under a name (15 bytes), for the children after this one. No effect
 * without a supervisor. */
void supervise_keep(const char *name, int fd);
/* In the child: what an earlier child had kept, as its own descriptor (the caller's); -1 when nothing was. */
int supervise_kept(const char *name);
