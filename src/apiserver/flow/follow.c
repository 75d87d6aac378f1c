/* The configuration follows the objects: a task makes it anew when some of them have changed. */
#include "apiserver/flow/flow-internal.h"

#include <stdlib.h>

struct flow *flow_new(struct apiserver *s)
{
	struct flow *f = xcalloc(1, sizeof(*f));

	f->s = s;
	f->off = s->o.no_priority_and_fairness;
	f->seed = env_random_u64(s->env);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->cond, NULL);
	current_init(&f->config, &flow_config_make(f)->ref);
	return f;
}

static void flow_follow(struct flow *f)
{
	current_swap(&f->config, &flow_config_make(f)->ref);
	flow_fill_all(f);
	flow_say_dangling(f);
}

/* The only one of its kind at a time. */
static void flow_task(void *ctx)
{
	struct flow *f = ctx;

	lock_mutex(&f->lock, &flow_lock);
	f->follow = f->follow ? env_timer_cancel(f->s->env, f->follow) : NULL;
	while (f->dirty && !f->stopping) {
		f->dirty = false;
		pthread_mutex_unlock(&f->lock);
		flow_follow(f);
		if (!f->followed) /* a start writes a dozen statuses, and idles then */
			arena_trim();
		f->followed = true;
		lock_mutex(&f->lock, &flow_lock);
	}
	f->posted = false;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

void flow_changed(struct apiserver *s)
{
	struct flow *f = s->flow;

	lock_mutex(&f->lock, &flow_lock);
	f->dirty = true;
	if (f->started && !f->posted && !f->stopping && !f->off) {
		f->posted = true;
		f->follow = env_after(s->env, ENV_CONTROL, 0, flow_task, f); /* a task that can be called off */
	}
	pthread_mutex_unlock(&f->lock);
}

void flow_start(struct apiserver *s)
{
	struct flow *f = s->flow;

	lock_mutex(&f->lock, &flow_lock);
	f->started = true; /* another server of this process and this store may be writing already */
	pthread_mutex_unlock(&f->lock);
	current_swap(&f->config, &flow_config_make(f)->ref);
	flow_changed(s); /* which says what dangles, when it has time */
}

void flow_stop(struct apiserver *s)
{
	struct flow *f = s->flow;

	flow_borrow_stop(f);
	lock_mutex(&f->lock, &flow_lock);
	if (f->follow && env_timer_stop(s->env, f->follow))
		f->posted = false;
	f->follow = NULL;
	while (f->posted)
		pthread_cond_wait(&f->cond, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

struct flow *flow_free(struct flow *f)
{
	if (!f)
		return NULL;
	current_end(&f->config);
	lock_mutex(&f->lock, &flow_lock);
	STRMAP_EACH(&f->levels, e)
		flow_level_unref(f, e->value);
	pthread_mutex_unlock(&f->lock);
	strmap_release(&f->levels);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->cond);
	free(f);
	return NULL;
}

void flow_keep(struct apiserver *s)
{
	struct flow *f = s->flow;
	bool old = false;

	lock_mutex(&f->lock, &flow_lock);
	STRMAP_EACH(&f->levels, e)
		old |= ((struct flow_level *)e->value)->removed;
	pthread_mutex_unlock(&f->lock);
	if (old)
		flow_changed(s);
}
