/* thread_env.h - the smallest struct env a store needs: real clocks, random bytes and threads, a new one for each task.
 * Timers are not there: no store uses them. */
#pragma once

#include "base/env.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t thread_env_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static int64_t thread_env_now(_unused_ struct env *e)
{
	return thread_env_clock(CLOCK_REALTIME);
}

static int64_t thread_env_mono(_unused_ struct env *e)
{
	return thread_env_clock(CLOCK_MONOTONIC);
}

static void thread_env_random(_unused_ struct env *e, void *p, size_t n)
{
	BUG_ON(getrandom(p, n, 0) != (ssize_t)n);
}

struct thread_env_start {
	env_fn *fn;
	void *ctx;
};

static void *thread_env_main(void *arg)
{
	struct thread_env_start st = *(struct thread_env_start *)arg;

	free(arg);
	st.fn(st.ctx);
	return NULL;
}

static int thread_env_thread(_unused_ struct env *e, _unused_ const char *name, env_fn *fn, void *ctx)
{
	struct thread_env_start *st = xmalloc(sizeof(*st));
	pthread_t t;

	*st = (struct thread_env_start){ fn, ctx };
	BUG_ON(pthread_create(&t, NULL, thread_env_main, st));
	pthread_detach(t);
	return 0;
}

static void thread_env_post(struct env *e, _unused_ enum env_class c, env_fn *fn, void *ctx)
{
	thread_env_thread(e, "task", fn, ctx);
}

static const struct env_ops thread_env_ops = {
	.now_ns = thread_env_now,
	.mono_ns = thread_env_mono,
	.random = thread_env_random,
	.post = thread_env_post,
	.thread = thread_env_thread,
};

static _unused_ struct env thread_env = { .ops = &thread_env_ops };
