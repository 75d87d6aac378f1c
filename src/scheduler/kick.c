/* When the next cycle runs: now, or when something that waits is due. */
#include "scheduler/scheduler-internal.h"

#include <stdlib.h>

#define READY_POLL_NS (10 * NS_PER_MS)

void scheduler_unref_locked(struct scheduler *s)
{
	bool last = --s->refs == 0;

	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->quiet);
	free(s->name);
	free(s);
}

static void kick_timer_task(void *ctx)
{
	struct scheduler *s = ctx;
	struct pod_info *p;
	int64_t now;

	pthread_mutex_lock(&s->lock);
	/* Usually this very timer; when it came too late to be stopped, its successor. */
	if (s->timer && env_timer_stop(s->env, TAKE(s->timer)))
		s->refs--;
	if (!s->stopping) {
		now = env_mono_ns(s->env);
		if (!s->ready)
			s->ready = informer_factory_synced(s->informers);
		queue_tick(&s->queue, now);
		/* Bound, as far as the API answered, but never seen so: ask again. */
		while ((p = cache_expired(&s->cache, now)))
			queue_retry(&s->queue, p, now);
		scheduler_kick_locked(s);
	}
	scheduler_unref_locked(s);
}

static void kick_set_timer(struct scheduler *s, int64_t at, int64_t now)
{
	if (s->timer && s->timer_ns <= at)
		return;
	if (s->timer) {
		if (!env_timer_stop(s->env, TAKE(s->timer)))
			return; /* its task is on its way, waits for the lock, and will come here again */
		s->refs--;
	}
	s->refs++;
	s->timer_ns = at;
	s->timer = env_after(s->env, ENV_CONTROL, at - now, kick_timer_task, s);
}

void scheduler_kick_locked(struct scheduler *s)
{
	int64_t now = env_mono_ns(s->env), at, expiry;

	if (!s->ready) {
		kick_set_timer(s, now + READY_POLL_NS, now);
		return;
	}
	if (!s->cycling && queue_has_next(&s->queue)) {
		s->cycling = true;
		s->refs++;
		env_post_next(s->env, ENV_CONTROL, s->cycle, s);
	}
	at = queue_next_tick(&s->queue);
	expiry = cache_next_expiry(&s->cache);
	if (expiry && (!at || expiry < at))
		at = expiry;
	if (at)
		kick_set_timer(s, at, now);
}

void scheduler_event_locked(struct scheduler *s, const struct sched_change *change)
{
	queue_event(&s->queue, change, env_mono_ns(s->env));
}
