/* The loop: posts from other threads, timers, signals. */
#include "unit.h"

#include "ev/ev.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_posts_from_threads),
		cmocka_unit_test(test_posts_run_at_free),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_signal),
	};

	return cmocka_run_group_tests_name("ev/loop", tests, NULL, NULL);
}
