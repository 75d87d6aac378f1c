#include "unit.h"

#include "cli/heap.h"

#define MS NS_PER_MS

static void test_after_a_burst(void **state)
{
	struct heap_watch h = { 0 };

	(void)state;
	assert_false(heap_due(&h, 50 * MS));   /* a start is no burst */
	assert_false(heap_due(&h, 5000 * MS)); /* under way */
	assert_false(heap_due(&h, 9000 * MS));
	assert_true(heap_due(&h, 9100 * MS));  /* over */
	assert_false(heap_due(&h, 9100 * MS)); /* once */
	assert_false(heap_due(&h, 9400 * MS));
	assert_false(heap_due(&h, 9600 * MS)); /* idling adds up slowly */
	assert_false(heap_due(&h, 9850 * MS));
	assert_true(heap_due(&h, 10110 * MS));
}

static void test_never_quiet(void **state)
{
	struct heap_watch h = { 0 };
	int64_t cpu = 0;
	int due = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		due += heap_due(&h, cpu += 20 * NS_PER_SEC);
	assert_int_equal(due, 2); /* in twenty minutes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_after_a_burst),
		cmocka_unit_test(test_never_quiet),
	};

	return cmocka_run_group_tests_name("cli/heap", tests, NULL, NULL);
}
