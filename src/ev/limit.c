#include "ev/limit.h"

#include <stdlib.h>

static int64_t pace_counted(const struct ev_pace *p, int64_t now_ns, int64_t step_ns)
{
	return p->ns + MAX(MIN(now_ns - p->seen_ns, step_ns), 0);
}

void ev_pace_init(struct ev_pace *p, int64_t now_ns)
{
	*p = (struct ev_pace){ .seen_ns = now_ns };
}

void ev_pace_step(struct ev_pace *p, int64_t now_ns)
{
	p->ns = pace_counted(p, now_ns, EV_PACE_NS);
	p->seen_ns = now_ns;
}

int64_t ev_pace_due(const struct ev_pace *p, int64_t now_ns, int64_t limit_ns)
{
	int64_t now = pace_counted(p, now_ns, EV_PACE_NS);

	/* More than the next step can count. */
	return MAX(now + limit_ns, p->ns + EV_PACE_NS + 1);
}

struct ev_limit {
	struct ev_loop *loop;
	struct ev_timer *timer;
	struct ev_pace pace;
	int64_t limit_ns, step_ns;
	env_fn *fn;
	void *ctx;
};

static void limit_step(void *ctx)
{
	struct ev_limit *m = ctx;
	int64_t now = ev_loop_now_ns(m->loop);

	m->pace.ns = pace_counted(&m->pace, now, m->step_ns);
	m->pace.seen_ns = now;
	if (m->pace.ns < m->limit_ns)
		return;
	m->timer = ev_timer_stop(m->timer);
	m->fn(m->ctx); /* who may stop it there, and with that end it */
}

struct ev_limit *ev_limit_start(struct ev_loop *l, int64_t limit_ns, env_fn *fn, void *ctx)
{
	struct ev_limit *m = xcalloc(1, sizeof(*m));

	m->loop = l;
	m->fn = fn;
	m->ctx = ctx;
	m->limit_ns = limit_ns;
	m->step_ns = MAX(MIN(limit_ns / 2, EV_PACE_NS), NS_PER_MS);
	m->timer = ev_timer_start(l, m->step_ns, m->step_ns, limit_step, m);
	ev_pace_init(&m->pace, ev_loop_now_ns(l));
	return m;
}

struct ev_limit *ev_limit_stop(struct ev_limit *m)
{
	if (!m)
		return NULL;
	ev_timer_stop(m->timer);
	free(m);
	return NULL;
}
