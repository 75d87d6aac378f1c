/* repeat.h - a task that runs again and again, with a pause before each time, until it is stopped.
 *
 * For what renews, follows or looks after something every few seconds. The pause counts from the end of a turn, so that
 * one which takes long is not followed by others at once.
 *
 * Threads: fn runs in tasks of its class, one at a time. Start and stop are for one thread.
 */
#pragma once

#include "base/env.h"

#include <pthread.h>

/* All zero: never started. */
struct repeat {
	struct env *env;
	enum env_class class;
	int64_t pause_ns;
	env_fn *fn;
	void *ctx;

	pthread_mutex_t lock; /* guards these */
	pthread_cond_t idle;
	struct env_timer *timer;
	bool armed, stopping;
};

/* The first turn comes after a pause. r stays where it is until it is stopped. */
void repeat_start(struct repeat *r, struct env *env, enum env_class class, int64_t pause_ns, env_fn *fn, void *ctx);
/* Waits for a turn under way; none comes afterwards. Not from fn. One that was never started, or is stopped, is fine.
 */
void repeat_stop(struct repeat *r);
