/* ev-internal.h - the inside of struct ev_loop, for src/ev and src/net only. */
#pragma once

#include "base/list.h"
#include "base/vec.h"
#include "ev/ev.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

struct ev_post {
	env_fn *fn;
	void *ctx;
};

struct ev_loop {
	uv_loop_t uv;
	uv_async_t wake;
	uv_prepare_t prepare; /* runs net.before_poll */
	pthread_mutex_t lock; /* posts, wanted_stop */
	VEC(struct ev_post) posts;
	bool wanted_stop;
	_Atomic(pthread_t) thread; /* who runs it; 0 when nobody does */
	bool busy;		   /* a turn is under way: something was called since the loop last slept */
	struct list timers;	   /* struct ev_timer.link */
	struct list signals;	   /* struct ev_signal.link */

	/* What src/net keeps with a loop: its buffers, and its turn right before the loop sleeps
	 * (everything written since the last turn goes out in one piece). */
	struct {
		void *state;
		void (*before_poll)(void *state);
		void (*free)(void *state);
	} net;
};

/* A turn begins (for ev_loop_busy()), and ends: to the watchdog it is a run. */
void ev_loop_turn(struct ev_loop *l);
void ev_loop_rest(struct ev_loop *l);
/* First in everything that libuv calls. */
static inline void ev_loop_busy(struct ev_loop *l)
{
	if (!l->busy)
		ev_loop_turn(l);
}

int64_t ev_clock_ns(clockid_t id);
void ev_timers_release(struct ev_loop *l);
void ev_signals_release(struct ev_loop *l);
/* A mutex and a condition variable on the monotonic clock. */
void ev_cond_init(pthread_cond_t *c);
void ev_random(struct env *e, void *p, size_t n); /* the real environment's; e is not looked at */
/* A thread that is joined: its stack is our own, and is gone with it. (Of those that the C library makes it keeps some
 * for threads to come, up to six pages of each.) */
struct ev_thread {
	pthread_t id;
	char *stack; /* its guard page first */
	size_t stack_bytes;
};

/* With all signals blocked; returns 0 or an errno. */
int ev_thread_spawn(const char *name, size_t stack_bytes, void *(*fn)(void *), void *ctx);
struct ev_thread ev_thread_self(void); /* in one that ev_thread_spawn() made */
void ev_thread_join(struct ev_thread t);
/* A detached one, on a stack of the C library's. */
int ev_thread_start(const char *name, size_t stack_bytes, void *(*fn)(void *), void *ctx);
