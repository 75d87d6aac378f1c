/* Classes in the simulator: one that is held stops nothing else, and its tasks come in their order. */
#include "unit.h"

#include "sim/env_sim.h"

#include <stdio.h>
#include <stdlib.h>

static struct trace {
	char text[64];
	size_t n;
} trace;

static void mark(void *ctx)
{
	trace.text[trace.n++] = *(const char *)ctx;
	trace.text[trace.n] = '\0';
}

static char one[] = "1", two[] = "2", three[] = "3", four[] = "4", by_clock[] = "t";

static void never(void *ctx)
{
	(void)ctx;
	abort();
}

static int setup(void **state)
{
	trace = (struct trace){ 0 };
	*state = env_sim_new(3, NS_PER_SEC, false);
	return 0;
}

static int teardown(void **state)
{
	env_sim_free(*state);
	return 0;
}

static void test_hold_each_class(void **state)
{
	static char name[] = "cnsrkv";
	struct env *e = *state;

	for (enum env_class held = 0; held < ENV_CLASSES; held++) {
		struct env_timer *t[ENV_CLASSES], *clock;
		char rest[8] = "", twice[16];

		trace = (struct trace){ 0 };
		env_sim_hold(e, held);
		for (enum env_class c = 0; c < ENV_CLASSES; c++) {
			env_post(e, c, mark, &name[c]);
			t[c] = env_after(e, c, NS_PER_MS, mark, &name[c]);
			if (c != held)
				strncat(rest, &name[c], 1);
		}
		clock = env_after(e, ENV_TIMERS, 2 * NS_PER_MS, mark, by_clock);
		env_sim_run(e, NS_PER_SEC);
		snprintf(twice, sizeof(twice), "%s%st", rest, rest);
		assert_string_equal(trace.text, twice);
		trace = (struct trace){ 0 };
		env_sim_release(e, held);
		env_sim_run(e, 0);
		assert_int_equal(trace.n, 2);
		assert_int_equal(trace.text[0], name[held]);
		assert_int_equal(trace.text[1], name[held]);
		for (enum env_class c = 0; c < ENV_CLASSES; c++)
			assert_false(env_timer_stop(e, t[c]));
		env_timer_cancel(e, clock);
	}
}

static void test_order_after_a_hold(void **state)
{
	struct env *e = *state;

	env_sim_hold(e, ENV_SLOW);
	env_post(e, ENV_SLOW, mark, one);
	env_post(e, ENV_SLOW, mark, two);
	env_sim_run(e, NS_PER_SEC);
	env_post(e, ENV_SLOW, mark, three);
	env_sim_run(e, NS_PER_SEC);
	env_sim_release(e, ENV_SLOW);
	env_post(e, ENV_SLOW, mark, four);
	env_sim_run(e, NS_PER_SEC);
	assert_string_equal(trace.text, "1234");
}

/* What waits for its class can be cancelled, as on a pool; what waits at the end is dropped. */
static void test_cancel_of_what_is_held(void **state)
{
	struct env *e = *state;
	struct env_timer *a, *b;

	env_sim_hold(e, ENV_NODE);
	a = env_after(e, ENV_NODE, NS_PER_MS, never, NULL);
	b = env_after(e, ENV_NODE, NS_PER_MS, mark, two);
	env_sim_run(e, NS_PER_SEC);
	assert_true(env_timer_stop(e, a));
	env_sim_release(e, ENV_NODE);
	env_sim_run(e, NS_PER_SEC);
	assert_string_equal(trace.text, "2");
	assert_false(env_timer_stop(e, b));
	env_sim_hold(e, ENV_NODE);
	env_post(e, ENV_NODE, never, NULL);
	env_sim_run(e, NS_PER_SEC);
}

/* --- tasks that wait --- */

struct sleeper {
	struct env *e;
	int64_t ns;
	char mark[2];
};

static void sleeps(void *ctx)
{
	struct sleeper *s = ctx;
	const void *self = env_sim_self(s->e);

	mark(s->mark);
	env_sim_wait(s->e, s->ns);
	assert_ptr_equal(env_sim_self(s->e), self);
	s->mark[0] = (char)(s->mark[0] - 'a' + 'A');
	mark(s->mark);
}

static void test_wait(void **state)
{
	struct env *e = *state;
	struct sleeper a = { e, 5 * NS_PER_MS, "a" }, b = { e, 2 * NS_PER_MS, "b" }, c = { e, NS_PER_SEC, "c" };
	int64_t began = env_mono_ns(e);

	env_sim_let_wait(e);
	assert_null(env_sim_self(e));
	env_sim_wait(e, NS_PER_SEC); /* of nobody */
	assert_int_equal(env_mono_ns(e), began);
	env_post(e, ENV_CONTROL, sleeps, &a);
	env_post(e, ENV_CONTROL, sleeps, &b);
	env_post(e, ENV_SLOW, sleeps, &c);
	env_sim_run(e, 3 * NS_PER_MS);
	assert_string_equal(trace.text, "abcB");
	assert_int_equal(env_sim_waiting(e), 2);
	assert_int_equal(env_mono_ns(e), began + 3 * NS_PER_MS);
	env_post(e, ENV_CONTROL, mark, one); /* others go on */
	env_sim_run(e, 3 * NS_PER_MS);
	assert_string_equal(trace.text, "abcB1A");
	/* A stack that is free again is used again; and one that still waits is let go of at the end. */
	a.mark[0] = 'd';
	env_post(e, ENV_CONTROL, sleeps, &a);
	env_sim_run(e, 6 * NS_PER_MS);
	assert_string_equal(trace.text, "abcB1AdD");
	assert_int_equal(env_sim_waiting(e), 1);
}

/* Without being asked for, nothing waits. */
static void test_no_wait(void **state)
{
	struct env *e = *state;
	struct sleeper a = { e, NS_PER_SEC, "a" };

	env_post(e, ENV_CONTROL, sleeps, &a);
	env_sim_run(e, 0);
	assert_string_equal(trace.text, "aA");
	assert_int_equal(env_sim_waiting(e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hold_each_class, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order_after_a_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel_of_what_is_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_wait, setup, teardown),
	};

	return cmocka_run_group_tests_name("sim/env_sim", tests, NULL, NULL);
}
