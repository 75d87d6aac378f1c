/* The loop: posts from other threads, timers, signals. */
#include "unit.h"

#include "ev/ev.h"
#include "ev/limit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

struct seen {
	struct ev_loop *l;
	struct ev_timer *timer;
	int n;
	bool on_loop;
	char order[8];
};

static void post_count(void *ctx)
{
	struct seen *s = ctx;

	s->on_loop = ev_loop_is_current(s->l);
	if (++s->n == 4000)
		ev_loop_stop(s->l);
}

static void *poster(void *ctx)
{
	struct seen *s = ctx;

	for (int i = 0; i < 1000; i++)
		ev_loop_post(s->l, post_count, s);
	return NULL;
}

static void test_posts_from_threads(void **state)
{
	struct seen s = { .l = ev_loop_new(NULL) };
	pthread_t t[4];

	(void)state;
	assert_false(ev_loop_is_current(s.l));
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, poster, &s), 0);
	ev_loop_run(s.l);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(s.n, 4000);
	assert_true(s.on_loop);
	ev_loop_free(s.l);
}

static void post_bump(void *ctx)
{
	((struct seen *)ctx)->n++;
}

static void test_posts_run_at_free(void **state)
{
	struct seen s = { .l = ev_loop_new(NULL) };

	(void)state;
	ev_loop_post(s.l, post_bump, &s);
	ev_loop_post(s.l, post_bump, &s);
	ev_loop_free(s.l);
	assert_int_equal(s.n, 2);
}

static void tick_a(void *ctx)
{
	struct seen *s = ctx;

	s->order[s->n++] = 'a';
}

static void tick_b(void *ctx)
{
	struct seen *s = ctx;

	s->order[s->n++] = 'b';
	if (s->n >= 4) {
		s->timer = ev_timer_stop(s->timer); /* from its own callback */
		ev_loop_stop(s->l);
	}
}

static void never(void *ctx)
{
	(void)ctx;
	fail_msg("a stopped timer fired");
}

static void test_timers(void **state)
{
	struct seen s = { .l = ev_loop_new(NULL) };
	struct ev_timer *a, *c;

	(void)state;
	s.timer = ev_timer_start(s.l, 20 * NS_PER_MS, NS_PER_MS, tick_b, &s);
	a = ev_timer_start(s.l, 1, 0, tick_a, &s);
	c = ev_timer_start(s.l, 2 * NS_PER_MS, 0, never, &s);
	assert_null(ev_timer_stop(c));
	assert_null(ev_timer_stop(NULL));
	ev_loop_run(s.l);
	assert_string_equal(s.order, "abbb");
	ev_timer_stop(a);
	ev_timer_start(s.l, NS_PER_SEC, 0, never, &s); /* left behind: freed with the loop */
	ev_loop_free(s.l);
}

static void on_signal(int signum, void *ctx)
{
	struct seen *s = ctx;

	s->n = signum;
	ev_loop_stop(s->l);
}

static void raise_usr1(void *ctx)
{
	(void)ctx;
	kill(getpid(), SIGUSR1);
}

static void test_signal(void **state)
{
	struct seen s = { .l = ev_loop_new(NULL) };

	(void)state;
	assert_int_equal(ev_signal_watch(s.l, SIGUSR1, on_signal, &s, NULL), 0);
	ev_loop_post(s.l, raise_usr1, NULL);
	ev_loop_run(s.l);
	assert_int_equal(s.n, SIGUSR1);
	ev_loop_free(s.l);
}

/* --- limits --- */

static void heard(void *ctx)
{
	struct seen *s = ctx;

	strcat(s->order, "h");
}

static void over(void *ctx)
{
	struct seen *s = ctx;

	strcat(s->order, "o");
	ev_loop_stop(s->l);
}

/* The loop stood for longer than the limit: what came meanwhile is heard before anybody is said to be late. */
static void test_limit_of_a_loop_that_stood(void **state)
{
	struct seen s = { .l = ev_loop_new(NULL) };
	struct ev_limit *m = ev_limit_start(s.l, 20 * NS_PER_MS, over, &s);

	(void)state;
	ev_loop_post(s.l, heard, &s);
	(void)usleep(100 * 1000);
	ev_loop_run(s.l);
	assert_string_equal(s.order, "ho");
	m = ev_limit_stop(m);
	assert_null(ev_limit_stop(m));
	ev_loop_free(s.l);
}

static void over_and_stopped(void *ctx)
{
	struct ev_limit **m = ctx;

	*m = ev_limit_stop(*m);
}

/* Who hears that it is over may stop it there, and with nothing left to wait for the loop ends. */
static void test_limit_stopped_when_over(void **state)
{
	struct ev_loop *l = ev_loop_new(NULL);
	struct ev_limit *m = NULL;

	(void)state;
	m = ev_limit_start(l, 0, over_and_stopped, &m);
	while (m)
		(void)uv_run(ev_loop_uv(l), UV_RUN_ONCE);
	ev_loop_free(l);
}

static void test_pace(void **state)
{
	struct ev_pace p;
	int64_t due;

	(void)state;
	ev_pace_init(&p, 100 * NS_PER_SEC);
	due = ev_pace_due(&p, 100 * NS_PER_SEC + NS_PER_MS, 2 * NS_PER_SEC);
	assert_true(due == 2 * NS_PER_SEC + NS_PER_MS);
	ev_pace_step(&p, 160 * NS_PER_SEC); /* it stood for a minute */
	assert_true(p.ns == NS_PER_SEC);
	ev_pace_step(&p, 161 * NS_PER_SEC);
	assert_true(p.ns < due);
	ev_pace_step(&p, 162 * NS_PER_SEC);
	assert_true(p.ns >= due);
	/* However short, there is a look at the sockets before. */
	due = ev_pace_due(&p, 162 * NS_PER_SEC, NS_PER_MS);
	ev_pace_step(&p, 999 * NS_PER_SEC);
	assert_true(p.ns < due);
	ev_pace_step(&p, 1000 * NS_PER_SEC);
	assert_true(p.ns >= due);
	/* A clock that goes back counts nothing. */
	due = p.ns;
	ev_pace_step(&p, 1 * NS_PER_SEC);
	assert_true(p.ns == due);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_posts_from_threads),
		cmocka_unit_test(test_posts_run_at_free),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_limit_of_a_loop_that_stood),
		cmocka_unit_test(test_limit_stopped_when_over),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests_name("ev/loop", tests, NULL, NULL);
}
