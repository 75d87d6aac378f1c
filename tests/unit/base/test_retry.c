#include "unit.h"

#include "base/retry.h"

static void test_pause(void **state)
{
	const struct retry_policy p = { .first_ns = 5, .max_ns = 30 };
	static const int64_t want[] = { 0, 5, 10, 20, 30, 30 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(retry_pause_ns(&p, i), want[i]);
	assert_int_equal(retry_pause_ns(&p, UINT64_MAX), 30);
	assert_int_equal(retry_pause_ns(&(struct retry_policy){ .first_ns = 50, .max_ns = 30 }, 1), 30);
	/* 1000 s from 5 ms, as the queues have it: nothing overflows on the way. */
	assert_true(retry_pause_ns(&(struct retry_policy){ .first_ns = 1, .max_ns = INT64_MAX / 2 }, 62) > 0);
}

static void test_remembered(void **state)
{
	const struct retry_policy p = { .first_ns = 5, .max_ns = 30 };
	struct retry r = { 0 };

	(void)state;
	assert_int_equal(retry_left_ns(&p, &r, 0, 0), 0);
	assert_int_equal(retry_failed(&p, &r, 100), 5);
	assert_int_equal(retry_left_ns(&p, &r, r.failed_ns, 101), 4);
	assert_int_equal(retry_left_ns(&p, &r, 103, 104), 4); /* it ended later than it was begun */
	assert_int_equal(retry_left_ns(&p, &r, r.failed_ns, 105), 0);
	assert_int_equal(retry_failed(&p, &r, 110), 10);
	assert_int_equal(retry_failed(&p, &r, 130), 20);
	assert_int_equal(retry_failed(&p, &r, 160), 30);
	assert_int_equal(retry_failed(&p, &r, 100000), 30); /* only success makes it forget */
	retry_forget(&r);
	assert_int_equal(retry_left_ns(&p, &r, 100000, 100000), 0);
	assert_int_equal(retry_failed(&p, &r, 100001), 5);
}

static void test_forgets(void **state)
{
	const struct retry_policy p = { .first_ns = 5, .max_ns = 30, .forget_ns = 60 };
	struct retry r = { 0 };

	(void)state;
	retry_failed(&p, &r, 100);
	assert_int_equal(retry_failed(&p, &r, 160), 10);
	assert_false(retry_forgotten(&p, &r, 220));
	assert_true(retry_forgotten(&p, &r, 221));
	assert_int_equal(retry_left_ns(&p, &r, 221, 221), 0);
	assert_int_equal(retry_failed(&p, &r, 221), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_remembered),
		cmocka_unit_test(test_forgets),
	};

	return cmocka_run_group_tests_name("base/retry", tests, NULL, NULL);
}
