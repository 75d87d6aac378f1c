#include "unit.h"

#include "base/strmap.h"

#include <stdio.h>
#include <stdlib.h>

static void test_many(void **state)
{
	struct strmap m = STRMAP_INIT;
	char key[32];
	size_t seen = 0;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		assert_null(strmap_set(&m, sv_from(key), (void *)(uintptr_t)(i + 1)));
	}
	for (int i = 0; i < 5000; i += 2) {
		snprintf(key, sizeof(key), "key-%d", i);
		assert_int_equal((uintptr_t)strmap_del(&m, sv_from(key)), i + 1);
	}
	for (int i = 5000; i < 9000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		strmap_set(&m, sv_from(key), (void *)(uintptr_t)(i + 1));
	}
	assert_int_equal(m.n, 6500);
	for (int i = 0; i < 9000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		assert_int_equal((uintptr_t)strmap_get(&m, sv_from(key)), i < 5000 && i % 2 == 0 ? 0 : i + 1);
	}
	STRMAP_EACH(&m, e)
		seen++;
	assert_int_equal(seen, 6500);
	strmap_release(&m);
}

/* What many entries needed, few do not keep; those few are all there, in their order. */
static void test_shrinks(void **state)
{
	struct strmap m = STRMAP_INIT;
	size_t moved = 0, cap = 0;
	uintptr_t last = 0;
	char key[32];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		strmap_set(&m, sv_from(key), (void *)(uintptr_t)(i + 1));
	}
	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		if (i % 10000 != 5000)
			assert_int_equal((uintptr_t)strmap_del(&m, sv_from(key)), i + 1);
		moved += m.cap != cap;
		cap = m.cap;
	}
	assert_int_equal(m.n, 10);
	assert_true(m.cap < 100);
	assert_true(m.slots < 200);
	assert_true(moved < 20);
	STRMAP_EACH(&m, e) {
		assert_true((uintptr_t)e->value > last);
		last = (uintptr_t)e->value;
		assert_int_equal(last % 10000, 5001);
		assert_ptr_equal(strmap_get(&m, sv_make(e->key, e->key_n)), e->value);
	}
	assert_int_equal(last, 95001);
	strmap_release(&m);
}

static void test_empty_key(void **state)
{
	struct strmap m = STRMAP_INIT;
	int x;

	(void)state;
	assert_false(strmap_has(&m, SV("")));
	strmap_set(&m, SV_NULL, &x);
	assert_true(strmap_has(&m, SV("")));
	strmap_release(&m);
}

/* Maps of a few have no index, and get one while they grow; what was removed is gone in both. */
static void test_few(void **state)
{
	static const char *const keys[] = { "a", "b", "c", "", "abcdefgh", "abcdefghi", "g", "h", "i", "j" };

	(void)state;
	for (size_t n = 0; n <= ARRAY_LEN(keys); n++) {
		struct strmap m = STRMAP_INIT;
		size_t seen = 0;

		for (size_t i = 0; i < n; i++)
			assert_null(strmap_set(&m, sv_from(keys[i]), (void *)(uintptr_t)(i + 1)));
		STRMAP_EACH(&m, e)
			assert_int_equal((uintptr_t)e->value, ++seen);
		assert_int_equal(seen, n);
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			assert_int_equal((uintptr_t)strmap_get(&m, sv_from(keys[i])), i < n ? i + 1 : 0);
		for (size_t i = 0; i < n; i += 2)
			assert_int_equal((uintptr_t)strmap_del(&m, sv_from(keys[i])), i + 1);
		for (size_t i = 0; i < n; i++)
			assert_int_equal((uintptr_t)strmap_get(&m, sv_from(keys[i])), i % 2 ? i + 1 : 0);
		for (size_t i = 0; i < n; i += 2)
			assert_null(strmap_set(&m, sv_from(keys[i]), (void *)(uintptr_t)(i + 1)));
		for (size_t i = 0; i < n; i++)
			assert_int_equal((uintptr_t)strmap_get(&m, sv_from(keys[i])), i + 1);
		assert_int_equal(m.n, n);
		strmap_release(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_many), cmocka_unit_test(test_shrinks),
					    cmocka_unit_test(test_empty_key), cmocka_unit_test(test_few) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
