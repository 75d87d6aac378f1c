/* Loop-local timers: libuv's, rounded up to its millisecond. */
#include "ev/ev-internal.h"
#include "ev/watchdog.h"

#include <stdlib.h>

struct ev_timer {
	uv_timer_t uv;
	struct list link; /* ev_loop.timers */
	env_fn *fn;
	void *ctx;
};

static void timer_on_fire(uv_timer_t *h)
{
	struct ev_timer *t = h->data;

	ev_loop_busy(CONTAINER_OF(h->loop, struct ev_loop, uv));
	run_calls(t->fn);
	t->fn(t->ctx);
}

static void timer_on_close(uv_handle_t *h)
{
	free(h->data);
}

static uint64_t timer_ms(int64_t ns)
{
	return ns <= 0 ? 0 : (uint64_t)ns / 1000000 + ((uint64_t)ns % 1000000 != 0);
}

struct ev_timer *ev_timer_start(struct ev_loop *l, int64_t delay_ns, int64_t repeat_ns, env_fn *fn, void *ctx)
{
	struct ev_timer *t = xcalloc(1, sizeof(*t));

	BUG_ON(uv_timer_init(&l->uv, &t->uv) != 0);
	t->uv.data = t;
	t->fn = fn;
	t->ctx = ctx;
	list_add_tail(&l->timers, &t->link);
	/* The cached time is that of the turn's start; a delay counts from now. */
	uv_update_time(&l->uv);
	BUG_ON(uv_timer_start(&t->uv, timer_on_fire, timer_ms(delay_ns), timer_ms(repeat_ns)) != 0);
	return t;
}

struct ev_timer *ev_timer_stop(struct ev_timer *t)
{
	if (!t)
		return NULL;
	list_del(&t->link);
	uv_close((uv_handle_t *)&t->uv, timer_on_close);
	return NULL;
}

void ev_timers_release(struct ev_loop *l)
{
	LIST_EACH(&l->timers, it)
		ev_timer_stop(LIST_ENTRY(it, struct ev_timer, link));
}
