#include "base/repeat.h"

static void repeat_fired(void *ctx)
{
	struct repeat *r = ctx;
	bool stopping;

	pthread_mutex_lock(&r->lock);
	r->timer = env_timer_cancel(r->env, r->timer);
	stopping = r->stopping;
	pthread_mutex_unlock(&r->lock);
	if (!stopping)
		r->fn(r->ctx);
	pthread_mutex_lock(&r->lock);
	r->armed = !r->stopping;
	if (r->armed)
		r->timer = env_after(r->env, r->class, r->pause_ns, repeat_fired, r);
	pthread_cond_broadcast(&r->idle);
	pthread_mutex_unlock(&r->lock);
}

void repeat_start(struct repeat *r, struct env *env, enum env_class class, int64_t pause_ns, env_fn *fn, void *ctx)
{
	*r = (struct repeat){ .env = env, .class = class, .pause_ns = pause_ns, .fn = fn, .ctx = ctx, .armed = true };
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->idle, NULL);
	/* Under the lock: it may fire before its timer is noted. */
	pthread_mutex_lock(&r->lock);
	r->timer = env_after(env, class, pause_ns, repeat_fired, r);
	pthread_mutex_unlock(&r->lock);
}

void repeat_stop(struct repeat *r)
{
	if (!r->env)
		return;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	if (r->timer && env_timer_stop(r->env, TAKE(r->timer)))
		r->armed = false;
	while (r->armed)
		pthread_cond_wait(&r->idle, &r->lock);
	pthread_mutex_unlock(&r->lock);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->idle);
	r->env = NULL;
}
