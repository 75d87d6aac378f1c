#include "unit.h"

#include "base/budget.h"

static const struct budget_limit limit = { 10, ERR_TOO_LARGE, "too many: use fewer" };

static void test_one_error(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct budget b = BUDGET(limit);

	(void)state;
	assert_int_equal(budget_spend(&b, 7, &err), 0);
	assert_int_equal(budget_spend(&b, 3, &err), 0);
	assert_false(budget_over(&b));
	assert_int_equal(err.reason, ERR_NONE);
	assert_int_equal(budget_spend(&b, 1, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	assert_string_equal(err_msg(&err), "too many: use fewer");
}

/* What was too much once stays so, and numbers without end do not come round again. */
static void test_used_up(void **state)
{
	struct budget b = BUDGET(limit);

	(void)state;
	assert_false(budget_take(&b, SIZE_MAX - 1));
	assert_false(budget_take(&b, SIZE_MAX - 1));
	assert_false(budget_take(&b, 0));
	assert_true(budget_over(&b));
}

static void test_without_end(void **state)
{
	struct budget zeroes = { 0 };

	(void)state;
	assert_true(budget_take(&zeroes, SIZE_MAX));
	assert_true(budget_take(NULL, SIZE_MAX));
	assert_int_equal(budget_spend(NULL, SIZE_MAX, NULL), 0);
	assert_false(budget_over(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_error), cmocka_unit_test(test_used_up),
					    cmocka_unit_test(test_without_end) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
