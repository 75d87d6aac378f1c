/* The metrics of this component are upstream's. */
#include "metrics_table.h"

#include "scheduler/sched_metrics.h"

static void test_the_table(void **state)
{
	(void)state;
	assert_int_equal(metrics_table_check(sched_families, _SM_MAX, "scheduler"), _SM_MAX);
	assert_int_equal(metrics_table_check(sched_resource_families, ARRAY_LEN(sched_resource_families), "resources"),
			 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
