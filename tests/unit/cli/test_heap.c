#include "unit.h"

#include "cli/heap.h"

#define MS NS_PER_MS

#define MB ((size_t)1024 * 1024)

static void test_after_a_burst(void **state)
{
	struct heap_watch h = { 0 };

	(void)state;
	assert_true(heap_due(&h, 30 * MS, 2 * MB));    /* a start is over, and left something */
	assert_false(heap_due(&h, 900 * MS, 70 * MB)); /* under way */
	assert_true(heap_due(&h, 910 * MS, 70 * MB));  /* over: ten thousand watches cost less than a second */
	assert_false(heap_due(&h, 911 * MS, 5 * MB));  /* what stayed, stays: looking again and again is no use */
	assert_false(heap_due(&h, 912 * MS, 5 * MB));
	assert_false(heap_due(&h, 931 * MS, 5 * MB));	/* also after work that left nothing */
	assert_true(heap_due(&h, 932 * MS, 6 * MB));	/* and what came since goes */
	assert_false(heap_due(&h, 1000 * MS, 80 * MB)); /* under way */
	assert_false(heap_due(&h, 1010 * MS, 3 * MB));	/* over, and went back by itself */
	assert_true(heap_due(&h, 1055 * MS, 5 * MB));	/* more than the least that ever stayed */
}

static void test_never_quiet(void **state)
{
	struct heap_watch h = { 0 };
	int64_t cpu = 0;
	int due = 0;

	(void)state;
	for (int i = 0; i < 1200 / HEAP_LOOK_S; i++)
		due += heap_due(&h, cpu += 4 * NS_PER_SEC, 100 * MB);
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
