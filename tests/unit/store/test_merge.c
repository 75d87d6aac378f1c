/* When all of a database is written anew: for garbage that is worth it, and not for history that is kept. */
#include "unit.h"

#include "store/disk/db.h"

#include <stdlib.h>

#define MB (UINT64_C(1) << 20)

/* Of so many bytes, live ones among them, with versions up to 11000 that were all merged at 1000. */
static bool wants(uint64_t mb, uint64_t live_mb, uint64_t compacted, enum db_haste how)
{
	struct table t = { .head = { .size = mb * MB } };
	struct db_set *set = xcalloc(1, sizeof(*set) + sizeof(set->p[0]));
	struct db d = { .dir = (char *)(uintptr_t) "/", .set = set };
	const struct db_meta meta = {
		.rev = 11000, .full_rev = 1000, .compact_rev = compacted, .live_bytes = live_mb * MB
	};
	bool yes;

	set->n = 1;
	set->bytes = t.head.size;
	set->p[0].t = &t;
	yes = db_wants_merge(&d, &meta, how);
	free(set);
	return yes;
}

static void test_no_history(_unused_ void **state)
{
	assert_true(wants(25, 10, 11000, DB_MERGE));
	assert_true(wants(25, 10, 11000, DB_MERGE_LATE));
	assert_false(wants(24, 10, 11000, DB_MERGE)); /* not worth the work */
	assert_false(wants(3, 0, 11000, DB_MERGE));
	assert_false(wants(500, 10, 1000, DB_MERGE)); /* nothing may be forgotten */
}

static void test_long_history(_unused_ void **state)
{
	assert_false(wants(510, 10, 1001, DB_MERGE));
	assert_false(wants(510, 10, 1500, DB_MERGE));
	assert_false(wants(510, 10, 4000, DB_MERGE)); /* 150 of 510 */
	assert_true(wants(510, 10, 6000, DB_MERGE));  /* half of it */
	assert_true(wants(510, 10, 11000, DB_MERGE));
	assert_false(wants(510, 400, 6000, DB_MERGE)); /* less than what is live */
}

/* On a full disk room counts more than work. */
static void test_tight(_unused_ void **state)
{
	assert_true(wants(510, 10, 1001, DB_MERGE_TIGHT));
	assert_false(wants(510, 10, 1000, DB_MERGE_TIGHT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_history),
		cmocka_unit_test(test_long_history),
		cmocka_unit_test(test_tight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
