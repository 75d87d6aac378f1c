/* A leap of revisions is a restore, for the grace and over restarts; nothing else is. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/restored.h"

#define GRACE (60 * NS_PER_SEC)

static char dir[] = "/tmp/caravel-restored-XXXXXX";
static char file[64];

static int begin(void **state)
{
	(void)state;
	memcpy(dir, "/tmp/caravel-restored-XXXXXX", sizeof(dir));
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(file, sizeof(file), "%s/revision", dir);
	return 0;
}

static int end(void **state)
{
	(void)state;
	return tree_remove(dir, NULL);
}

static int64_t in_file(void)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text;
	uint64_t rev;

	assert_int_equal(file_read(&a, file, 64, &text, NULL), 0);
	assert_true(sv_to_u64(sv_trim(text), &rev));
	return (int64_t)rev;
}

static void ordinary_life_is_none(void **state)
{
	struct restored r;
	int64_t rev = 100;

	(void)state;
	restored_init(&r, file, GRACE);
	assert_false(restored_look(&r, 0, 0)); /* nothing was told yet */
	for (int64_t t = 0; t < 1000; t++) {
		assert_false(restored_look(&r, rev, t * NS_PER_SEC));
		assert_false(restored_holds(&r, t * NS_PER_SEC));
		assert_true(rev - in_file() < RESTORED_FILE_EVERY);
		rev += 1 + t * 499;
		assert_false(restored_look(&r, rev - 900, t * NS_PER_SEC)); /* of a server that is a little behind */
	}
	restored_release(&r);
}

static void leaps_are(void **state)
{
	struct restored r;

	(void)state;
	restored_init(&r, file, GRACE);
	assert_false(restored_look(&r, 5000, 0));
	assert_false(restored_look(&r, 5000 + RESTORED_LEAP - 1, 0));
	assert_true(restored_look(&r, 5000 + 2 * RESTORED_LEAP - 1, NS_PER_SEC));
	assert_true(restored_holds(&r, GRACE));
	assert_false(restored_look(&r, 6000 + 2 * RESTORED_LEAP, 2 * NS_PER_SEC));
	assert_false(restored_holds(&r, GRACE + NS_PER_SEC));
	assert_false(restored_look(&r, 6000 + 2 * RESTORED_LEAP, GRACE + NS_PER_SEC));
	assert_int_equal(in_file(), 6000 + 2 * RESTORED_LEAP);
	/* Back, by an etcd's own tool. */
	assert_true(restored_look(&r, 4000, 2 * GRACE));
	assert_true(restored_holds(&r, 2 * GRACE));
	restored_release(&r);
}

static void a_restart_knows_and_begins_the_grace_anew(void **state)
{
	struct restored r;

	(void)state;
	for (int i = 0; i < 3; i++) {
		restored_init(&r, file, GRACE);
		if (!i)
			assert_false(restored_look(&r, 700, 0));
		assert_true(restored_look(&r, 2000000 + i, NS_PER_SEC));
		assert_false(restored_look(&r, 2010000 + i, 2 * NS_PER_SEC));
		assert_int_equal(in_file(), 700);
		restored_release(&r);
	}
	restored_init(&r, file, GRACE);
	assert_true(restored_look(&r, 2000003, 0));
	assert_false(restored_look(&r, 2000004, GRACE));
	restored_release(&r);
	restored_init(&r, file, GRACE);
	assert_false(restored_look(&r, 2000005, 0));
	restored_release(&r);
}

static void without_a_file_or_with_a_bad_one(void **state)
{
	static const char *const bad[] = { "", "x", "-5", "99999999999999999999999", "12 13" };
	struct restored r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(file_write(file, sv_from(bad[i]), 0600, NULL), 0);
		restored_init(&r, file, GRACE);
		assert_false(restored_look(&r, 7000000, 0));
		assert_int_equal(in_file(), 7000000);
		restored_release(&r);
	}
	restored_init(&r, NULL, GRACE);
	assert_false(restored_look(&r, 7000000, 0));
	assert_true(restored_look(&r, 8000000, 0));
	restored_release(&r);
	restored_init(&r, "/nonexistent/revision", 0); /* not wanted; and what cannot be written is no failure */
	assert_false(restored_look(&r, 7000000, 0));
	assert_false(restored_look(&r, 9000000, 0));
	restored_release(&r);
}

static void told_once(void **state)
{
	struct restored r;

	(void)state;
	restored_init(&r, NULL, GRACE);
	assert_true(restored_tell(&r, SV("a")));
	assert_false(restored_tell(&r, SV("a")));
	assert_true(restored_untell(&r, SV("a")));
	assert_false(restored_untell(&r, SV("a")));
	restored_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ordinary_life_is_none, begin, end),
		cmocka_unit_test_setup_teardown(leaps_are, begin, end),
		cmocka_unit_test_setup_teardown(a_restart_knows_and_begins_the_grace_anew, begin, end),
		cmocka_unit_test_setup_teardown(without_a_file_or_with_a_bad_one, begin, end),
		cmocka_unit_test(told_once),
	};

	return cmocka_run_group_tests_name("restored", tests, NULL, NULL);
}
