#include "unit.h"

#include "base/repeat.h"
#include "sim/env_sim.h"

struct turns {
	struct env *env;
	struct repeat r;
	int n;
};

static void turn(void *ctx)
{
	struct turns *t = ctx;

	t->n++;
}

static void test_again_and_again(_unused_ void **state)
{
	struct turns t = { .env = env_sim_new(1, 0, false) };

	repeat_start(&t.r, t.env, ENV_CONTROL, 5 * NS_PER_SEC, turn, &t);
	(void)env_sim_run(t.env, 4 * NS_PER_SEC);
	assert_int_equal(t.n, 0);
	(void)env_sim_run(t.env, 12 * NS_PER_SEC);
	assert_int_equal(t.n, 3);
	/* One that is under way keeps the next from coming. */
	env_sim_hold(t.env, ENV_CONTROL);
	(void)env_sim_run(t.env, 60 * NS_PER_SEC);
	assert_int_equal(t.n, 3);
	env_sim_release(t.env, ENV_CONTROL);
	(void)env_sim_run(t.env, NS_PER_SEC);
	assert_int_equal(t.n, 4);
	repeat_stop(&t.r);
	(void)env_sim_run(t.env, 60 * NS_PER_SEC);
	assert_int_equal(t.n, 4);
	/* Begun anew, and stopped before its first. */
	repeat_start(&t.r, t.env, ENV_CONTROL, NS_PER_SEC, turn, &t);
	repeat_stop(&t.r);
	(void)env_sim_run(t.env, 60 * NS_PER_SEC);
	assert_int_equal(t.n, 4);
	env_sim_free(t.env);
}

static void test_never_started(_unused_ void **state)
{
	struct repeat r = { .env = NULL };

	repeat_stop(&r);
	repeat_stop(&r);
	assert_null(r.env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_again_and_again),
		cmocka_unit_test(test_never_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
