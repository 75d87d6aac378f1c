/* The metrics of this component are upstream's. */
#include "metrics_table.h"

#include "controllers/ctrl_metrics.h"

static void test_the_table(void **state)
{
	(void)state;
	assert_int_equal(metrics_table_check(ctrl_families, _CM_MAX, "controllers"), _CM_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
