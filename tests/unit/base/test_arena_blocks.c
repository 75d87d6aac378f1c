/* Blocks that one arena drops serve the next, whichever thread it belongs to; never two at a time. */
#include "unit.h"

#include "base/arena.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#define ARENAS 40

/* Fills arenas of many sizes with its own mark, keeps some, and sees that nobody else wrote there (NULL). */
static void *mark(void *ctx)
{
	unsigned char own = (unsigned char)(uintptr_t)ctx;
	struct arena a[ARENAS] = { 0 };
	unsigned char *p[ARENAS] = { 0 };
	size_t n[ARENAS] = { 0 };

	for (unsigned i = 0; i < 4000; i++) {
		unsigned at = i * 7 % ARENAS;

		for (size_t k = 0; k < n[at]; k++)
			if (p[at][k] != own)
				return ctx; /* somebody else wrote here */
		arena_release(&a[at]);
		for (unsigned k = 0; k <= i % 4; k++) /* up to the fourth size */
			memset(arena_alloc(&a[at], 4000u << k), own, 4000u << k);
		n[at] = 100;
		p[at] = memset(arena_alloc(&a[at], n[at]), own, n[at]);
		if (i % 500 == 0)
			arena_trim();
	}
	for (unsigned i = 0; i < ARENAS; i++)
		arena_release(&a[i]);
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[4];
	void *why;

	(void)state;
	for (uintptr_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, mark, (void *)(i + 1)), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		pthread_join(t[i], &why);
		assert_null(why);
	}
}

/* What is kept is bounded, and given back when asked for. */
static void test_bounded(void **state)
{
	enum { MANY = 4096 };
	struct arena *a = calloc(MANY, sizeof(*a));
	size_t before, kept;

	(void)state;
	assert_non_null(a);
	arena_trim();
	before = mallinfo2().uordblks;
	for (size_t i = 0; i < MANY; i++)
		for (unsigned k = 0; k < 3; k++)
			(void)arena_alloc(&a[i], 4000u << k);
	for (size_t i = 0; i < MANY; i++)
		arena_release(&a[i]);
	kept = mallinfo2().uordblks - before;
	assert_in_range(kept, 0, 2 << 20);
	arena_trim();
	assert_in_range(mallinfo2().uordblks, 0, before + 4096);
	free(a);
}

/* One that begins small takes what any takes, and is worth it. */
static void test_small(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT, often = ARENA_INIT;
	char *p[200];
	size_t before, small;

	(void)state;
	before = mallinfo2().uordblks;
	arena_small(&a);
	memset(arena_alloc(&a, 400), 'x', 400);
	small = mallinfo2().uordblks - before;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* whose malloc() does not say */
	assert_in_range(small, 400, 1024);
#else
	(void)small;
#endif
	arena_small(&a); /* of one that has begun: nothing changes */
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		p[i] = memset(arena_alloc(&a, i * 50), (int)(i & 127), i * 50);
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		for (size_t k = 0; k < i * 50; k++)
			assert_int_equal(p[i][k], i & 127);
	for (int round = 0; round < 3; round++) {
		arena_release(&often);
		arena_small(&often);
		memset(arena_alloc(&often, (size_t)100000 * (size_t)round), 'y', (size_t)100000 * (size_t)round);
		arena_reset(&often);
		memset(arena_alloc(&often, 300), 'z', 300);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
