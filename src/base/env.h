/* env.h - time, chance and execution, as things a component is given.
 *
 * No component asks the operating system for the time, random bytes or a thread by itself: it
 * asks its struct env. `caravel server` gives the real one (ev/ev.h: clocks of the
 * kernel, threads for each class of work); the simulator gives one with a virtual clock, a seed and a
 * single-threaded executor, where the same code runs a thousand nodes deterministically.
 *
 * How code above runs: as tasks, each of a class. env_post() and env_after() queue a function; in the real
 * environment it runs on a thread of its class, in the simulator at a virtual instant. A task may do
 * blocking-looking work (a client call, a file, a gRPC call), but never sleeps and never waits for another
 * task, of whatever class: to be called again later it uses env_after(). What must not run twice at once says
 * so itself (client/workq.h runs one task per key at a time).
 *
 * Classes keep apart what waits for different things. A class has threads of its own, which no other class
 * takes however many of its tasks hang:
 *
 *	class     threads  which work                                        waits for
 *	requests  8        requests to the API that do not run on a loop     memory, disk, webhooks
 *	control   16       controllers, scheduler, proxy, elections, the     the API: no longer than a store's write
 *	                   node's lease, the server's housekeeping
 *	node      24       syncs of pods, stops of containers, the node's    the runtime, the kernel, the API
 *	                   status, the kubelet's API
 *	slow      32       pulls with their unpacking, probes, hooks,        a registry, a container's program,
 *	                   volumes, removal and measuring of trees           the size of a tree
 *	volumes   48       calls of drivers of volumes outside (CSI)         such a driver, up to two minutes
 *	keys      4        programs that keep keys of what is stored         such a program, a few seconds
 *	timers    1        functions that take a lock and post a task        nothing
 *
 * What to ask of new work is who decides how long it lasts: somebody outside, then it is slow; the runtime, then node;
 * nobody but us, then control. Keys are apart from slow, as reads of the store may wait for one; so are drivers of
 * volumes, as each of many volumes may keep its call waiting for as long as that may last. A component that
 * others use (a queue, an informer, a client) is told its class by its owner.
 *
 * A full class: its tasks wait, in the order they were posted, and none is refused; the posters bound how many they
 * have under way (PULLS_MAX, a queue's `workers`).
 *
 * Fairness: between classes none is needed, within one the order is that of arrival. Who has much to do posts itself
 * again after a piece of it, behind the others, as a workq does between two keys.
 *
 * Timers: a due timer's function runs in its class. With ENV_TIMERS it runs at once, whatever all the classes do, on
 * the thread that watches the clock: it must not call the API, a file or the runtime, nor take a lock that is held
 * during such a call. A deadline that has to hold while everything else hangs is one.
 *
 * The end: the owner of the environment frees its components first. What is queued then still runs, of all classes;
 * timers that are not due are dropped.
 *
 * Threads: every function here may be called from any thread.
 */
#pragma once

#include "base/base.h"

struct env;
struct env_timer; /* opaque, reference held by the caller until env_timer_stop() or env_timer_cancel() */

/* Zero is what most components are. */
enum env_class {
	ENV_CONTROL,
	ENV_NODE,
	ENV_SLOW,
	ENV_REQUESTS,
	ENV_KEYS,
	ENV_VOLUMES,
	ENV_CLASSES,		 /* how many have tasks */
	ENV_TIMERS = ENV_CLASSES /* of env_after() only */
};

const char *env_class_name(enum env_class c); /* "control", ... */

typedef void env_fn(void *ctx);

/* What a class does this moment; all zero where nobody counts. */
struct env_class_stats {
	int threads, max_threads, idle;
	size_t queued; /* tasks that wait for a thread */
};

struct env_ops {
	int64_t (*now_ns)(struct env *e);  /* wall clock, ns since 1970-01-01 UTC; may jump */
	int64_t (*mono_ns)(struct env *e); /* monotonic, ns, arbitrary origin */
	void (*random)(struct env *e, void *p, size_t n);
	void (*post)(struct env *e, enum env_class c, env_fn *fn, void *ctx);
	void (*post_next)(struct env *e, enum env_class c, env_fn *fn, void *ctx); /* NULL: as post */
	struct env_timer *(*after)(struct env *e, enum env_class c, int64_t delay_ns, env_fn *fn, void *ctx);
	bool (*timer_cancel)(struct env *e, struct env_timer *t); /* true: fn never runs; false: it ran or is running */
	int (*thread)(struct env *e, const char *name, env_fn *fn, void *ctx);
	struct env_class_stats (*stats)(struct env *e, enum env_class c); /* NULL: nobody counts */
};

/* Embedded first in an implementation's own struct. */
struct env {
	const struct env_ops *ops;
};

static inline int64_t env_now_ns(struct env *e)
{
	return e->ops->now_ns(e);
}

static inline int64_t env_mono_ns(struct env *e)
{
	return e->ops->mono_ns(e);
}

/* Cryptographically strong in the real environment, from the seed in the simulator. */
static inline void env_random(struct env *e, void *p, size_t n)
{
	e->ops->random(e, p, n);
}

uint64_t env_random_u64(struct env *e);
uint64_t env_random_below(struct env *e, uint64_t bound); /* uniform in [0, bound) */
/* d stretched by a random part of up to `fraction_milli` thousandths, as client-go's wait.Jitter. */
int64_t env_jitter(struct env *e, int64_t d, int64_t fraction_milli);
void env_uuid(struct env *e, char ret[37]); /* RFC 9562 version 4, lower case, NUL-terminated */

/* Runs fn(ctx) soon. Tasks of one class start in the order they were posted, but may overlap on several threads; those
 * of different classes have no order. */
static inline void env_post(struct env *e, enum env_class c, env_fn *fn, void *ctx)
{
	e->ops->post(e, c, fn, ctx);
}

/* The same for who is about to end, or calls nothing that waits before it does: a thread of the class that runs such a
 * task takes what is queued next itself, and no other is woken for it, which costs more than many a task. Anywhere else
 * it is env_post(). */
static inline void env_post_next(struct env *e, enum env_class c, env_fn *fn, void *ctx)
{
	(e->ops->post_next ? e->ops->post_next : e->ops->post)(e, c, fn, ctx);
}

/* Runs fn(ctx) once, in its class, delay_ns from now (at once when <= 0). The returned timer must be given
 * to env_timer_cancel() exactly once, before or after it fired; cancel does not wait for a
 * run already under way. */
static inline struct env_timer *env_after(struct env *e, enum env_class c, int64_t delay_ns, env_fn *fn, void *ctx)
{
	return e->ops->after(e, c, delay_ns, fn, ctx);
}

/* Releases t. True when fn had not started and never will; false when it ran or is running:
 * how the owner of a reference held for fn knows who must drop it. */
static inline bool env_timer_stop(struct env *e, struct env_timer *t)
{
	return e->ops->timer_cancel(e, t);
}

/* The same where the answer does not matter. NULL is fine. Returns NULL. */
static inline struct env_timer *env_timer_cancel(struct env *e, struct env_timer *t)
{
	if (t)
		(void)e->ops->timer_cancel(e, t);
	return NULL;
}

static inline struct env_class_stats env_stats(struct env *e, enum env_class c)
{
	return e->ops->stats ? e->ops->stats(e, c) : (struct env_class_stats){ 0 };
}

/* A thread of its own for a loop that blocks outside our control (reading a kernel or CRI
 * event stream, serving sockets). Returns 0, or -1: there is none to be had, or this is the simulator, where such
 * loops do not exist. Whoever starts one arranges its end: the environment's waits for it. */
static inline int env_thread(struct env *e, const char *name, env_fn *fn, void *ctx)
{
	return e->ops->thread(e, name, fn, ctx);
}
