/* Places for what may hang: whose they are, and who is kept out of them by whom. */
#include "kit.h"

#include "kubelet/shares.h"

static const struct share_bounds bounds[_SHARE_MAX] = {
	[SHARE_MAKING] = { .all = 6, .each = 3, .hung_all = 2, .hung_each = 1 },
	[SHARE_UNMAKING] = { .all = 1, .each = 1, .hung_all = 1, .hung_each = 1 },
	[SHARE_LOOKING] = { .all = 1, .each = 1, .hung_all = 1, .hung_each = 1 },
};

static bool enter(struct shares *s, const char *owner, bool hung)
{
	bool is_free = shares_free(s, SHARE_MAKING, sv_from(owner), hung);

	assert_int_equal(shares_enter(s, SHARE_MAKING, sv_from(owner), hung), is_free);
	return is_free;
}

static void leave(struct shares *s, const char *owner, bool hung)
{
	shares_leave(s, SHARE_MAKING, sv_from(owner), hung);
}

static void test_each_has_its_own(_unused_ void **state)
{
	struct shares s = { .bounds = bounds };

	for (int i = 0; i < 3; i++)
		assert_true(enter(&s, "a", false));
	assert_false(enter(&s, "a", false));
	assert_true(enter(&s, "b", false));
	/* Another kind of work has places of its own. */
	assert_true(shares_enter(&s, SHARE_UNMAKING, SV("a"), false));
	assert_false(shares_enter(&s, SHARE_UNMAKING, SV("b"), false));
	shares_leave(&s, SHARE_UNMAKING, SV("a"), false);
	assert_true(enter(&s, "b", false));
	assert_true(enter(&s, "c", false));
	assert_false(enter(&s, "d", false)); /* all six are taken */
	leave(&s, "a", false);
	assert_true(enter(&s, "d", false));
	for (int i = 0; i < 2; i++)
		leave(&s, "a", false), leave(&s, "b", false);
	leave(&s, "c", false);
	leave(&s, "d", false);
	assert_int_equal(s.owners.n, 0); /* who has nothing is not remembered */
	assert_int_equal(s.all[SHARE_MAKING], 0);
	shares_release(&s);
}

static void test_what_hung_is_behind(_unused_ void **state)
{
	struct shares s = { .bounds = bounds };

	assert_true(enter(&s, "a", true));
	assert_false(enter(&s, "a", true));
	assert_true(enter(&s, "a", false)); /* what did not is not kept waiting */
	assert_true(enter(&s, "b", true));
	assert_false(enter(&s, "c", true)); /* of all owners two */
	assert_true(enter(&s, "c", false));
	leave(&s, "a", true);
	assert_true(enter(&s, "c", true));
	leave(&s, "a", false);
	leave(&s, "b", true);
	leave(&s, "c", true);
	leave(&s, "c", false);
	assert_int_equal(s.hung[SHARE_MAKING], 0);
	shares_release(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_has_its_own),
						   cmocka_unit_test(test_what_hung_is_behind) };

	return cmocka_run_group_tests_name("kubelet/shares", tests, NULL, NULL);
}
