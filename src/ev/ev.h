/* ev.h - the event loop of a network thread, and the real struct env (on libuv).
 *
 * Rules inherited from libuv: handles belong to their loop's thread; a closed handle's memory
 * may be reused only after its close callback; callbacks may close any handle, also their own.
 * Only ev_loop_post() may be called from other threads.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"

struct ev_loop; /* opaque; one per network thread */
struct ev_timer;

struct ev_loop *ev_loop_new(struct err *err);
void ev_loop_run(struct ev_loop *l);  /* until ev_loop_stop() */
void ev_loop_stop(struct ev_loop *l); /* any thread */
struct ev_loop *ev_loop_free(struct ev_loop *l);
bool ev_loop_is_current(const struct ev_loop *l); /* is this its thread? */
void *ev_loop_uv(struct ev_loop *l);		  /* the uv_loop_t, for src/ev and src/net only */
int64_t ev_loop_now_ns(struct ev_loop *l);	  /* monotonic, cached per iteration */

/* Runs fn(ctx) on l's thread; from any thread; in order per poster; wakes the loop at most
 * once for a burst. */
void ev_loop_post(struct ev_loop *l, env_fn *fn, void *ctx);

/* Loop-local timers; l's thread only. Whoever started one stops it exactly once, also after a
 * one-shot (repeat_ns 0) has fired: its memory lives until then. */
struct ev_timer *ev_timer_start(struct ev_loop *l, int64_t delay_ns, int64_t repeat_ns, env_fn *fn, void *ctx);
struct ev_timer *ev_timer_stop(struct ev_timer *t); /* NULL is fine; returns NULL */

/* Signals, delivered on l's thread. */
int ev_signal_watch(struct ev_loop *l, int signum, void (*fn)(int signum, void *ctx), void *ctx, struct err *err);

/* The real environment: kernel clocks, getrandom(2), a timer thread, and for each class at most `threads` threads (0:
 * as many as base/env.h says), started on demand. Those that are not needed for a while end, but for one a class that
 * had work. Tasks queued when it is freed are run first. */
struct env *env_real_new(int threads);
struct env *env_real_free(struct env *e);
void env_real_set_idle(struct env *e, int64_t ns); /* that while, for threads that rest from now on; default 10 s */

/* Child processes, supervised without threads of their own. */
struct child;
struct child_opts {
	const char *const *argv;	    /* NULL-terminated; argv[0] looked up in PATH */
	const char *const *envp;	    /* NULL: inherit */
	const char *cwd;		    /* NULL: inherit */
	int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null for stdin, inherit for the others */
	bool new_session;		    /* setsid: outlives us when asked to (containerd shims) */
	bool die_with_parent;		    /* PR_SET_PDEATHSIG SIGTERM */
	enum env_class class;		    /* child_start(): in which exited() runs */
};
/* Blocking helper for worker tasks: runs, captures up to max bytes of each stream, waits at
 * most timeout_ns (then kills it, ERR_TIMEOUT). *ret_status is waitpid's. */
int child_run(const struct child_opts *o, int64_t timeout_ns, size_t max, struct buf *out, struct buf *errout,
	      int *ret_status, struct err *err);
/* Starts one; exited(status, ctx) is called, as a task of o->class, when it ended. */
struct child *child_start(struct env *e, const struct child_opts *o, void (*exited)(int status, void *ctx), void *ctx,
			  struct err *err);
int child_kill(struct child *c, int signum);
int child_pid(const struct child *c);
struct child *child_free(struct child *c); /* after exit, or detaches it */
/* Detaches it when exited() was not called yet, which then never is: true. False: it was, or is being; c stays. */
bool child_detach(struct child *c);
