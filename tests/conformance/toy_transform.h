/* toy_transform.h - a transformer that turns bits over, by the key, and mostly takes its time. Only for tests.
 *
 * Two of three values are answered by a thread of its own, the newest first: what comes back in order was put in order.
 */
#pragma once

#include "store/transform.h"

#include <pthread.h>
#include <stdlib.h>

struct toy_job {
	struct toy_job *next;
	bool out;
	struct sv key, value;
	store_value_fn *done;
	void *ctx;
};

static struct {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	struct toy_job *newest;
	bool started, hold; /* hold: nothing is answered by the thread */
	bool at_once;	    /* there is no thread */
	unsigned calls;
	const char *refuses; /* a key that it fails for, or NULL */
	enum err_reason as;  /* 0: as a wrong value */
	bool reads_only;     /* and for reads only */
} toy = { .mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static char toy_bit(struct sv key)
{
	unsigned h = 1;

	for (size_t i = 0; i < key.n; i++)
		h = h * 31 + (unsigned char)key.p[i];
	return (char)(1 + h % 127);
}

static void toy_answer(bool outwards, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	char *out = xmalloc(value.n + 1), bit = toy_bit(key);
	struct err err = ERR_INIT;

	if (toy.refuses && sv_is(key, toy.refuses) && (outwards || !toy.reads_only)) {
		err_set(&err, toy.as ? toy.as : ERR_INTERNAL, "no key for '%.*s'", SV_ARG(key));
		done(SV_NULL, &err, ctx);
		err_release(&err);
	} else {
		for (size_t i = 0; i < value.n; i++)
			out[i] = value.p[i] ^ bit;
		done(sv_make(out, value.n), NULL, ctx);
	}
	free(out);
}

static void *toy_main(_unused_ void *arg)
{
	pthread_mutex_lock(&toy.mu);
	for (;;) {
		struct toy_job *j = toy.newest;

		if (!j || toy.hold) {
			pthread_cond_wait(&toy.cond, &toy.mu);
			continue;
		}
		toy.newest = j->next;
		pthread_mutex_unlock(&toy.mu);
		toy_answer(j->out, j->key, j->value, j->done, j->ctx);
		free(j);
		pthread_mutex_lock(&toy.mu);
	}
	return NULL;
}

static void toy_value(bool outwards, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct toy_job *j;
	pthread_t thread;

	pthread_mutex_lock(&toy.mu);
	if (toy.at_once || (!toy.hold && toy.calls++ % 3 == 0)) {
		pthread_mutex_unlock(&toy.mu);
		toy_answer(outwards, key, value, done, ctx);
		return;
	}
	if (!toy.started) {
		BUG_ON(pthread_create(&thread, NULL, toy_main, NULL));
		pthread_detach(thread);
		toy.started = true;
	}
	j = xmalloc(sizeof(*j));
	*j = (struct toy_job){ toy.newest, outwards, key, value, done, ctx };
	toy.newest = j;
	pthread_cond_signal(&toy.cond);
	pthread_mutex_unlock(&toy.mu);
}

static _unused_ void toy_hold(bool on)
{
	pthread_mutex_lock(&toy.mu);
	toy.hold = on;
	pthread_cond_signal(&toy.cond);
	pthread_mutex_unlock(&toy.mu);
}

static void toy_in(_unused_ struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	toy_value(false, key, value, done, ctx);
}

static void toy_out(_unused_ struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	toy_value(true, key, value, done, ctx);
}

static _unused_ struct store_transform toy_transform = { toy_in, toy_out };
