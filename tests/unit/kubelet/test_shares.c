/* Places for what may hang: whose they are, who is kept out of them by whom, and who is next. */
#include "kit.h"

#include "base/vec.h"
#include "kubelet/shares.h"

static const struct share_bounds bounds[_SHARE_MAX] = {
	[SHARE_MAKING] = { .all = 6, .space = 4, .each = 3, .late_all = 2, .late_space = 2, .hung_each = 1 },
	[SHARE_UNMAKING] = { .all = 1, .space = 1, .each = 1, .late_all = 1, .late_space = 1, .hung_each = 1 },
	[SHARE_LOOKING] = { .all = 1, .space = 1, .each = 1, .late_all = 1, .late_space = 1, .hung_each = 1 },
};

static struct shares S;
static struct share_place P[64]; /* zero at the beginning of each test */
static int64_t now;
static VEC(const struct share_place *) told;

static void on_told(const struct share_place *p, _unused_ void *ctx)
{
	vec_push(&told, p);
}

static int begin(_unused_ void **state)
{
	S = (struct shares){ .bounds = bounds, .told = on_told };
	memset(P, 0, sizeof(P));
	now = 1000 * NS_PER_SEC;
	return 0;
}

static int end(_unused_ void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(P); i++)
		share_give(&S, &P[i], now);
	for (int k = 0; k < _SHARE_MAX; k++)
		assert_true(!S.all[k] && !S.late[k] && !S.waiting[k]);
	assert_int_equal(S.owners.n, S.n_remembered); /* who has nothing is not there */
	shares_release(&S);
	vec_release(&told);
	return 0;
}

static bool take_of(int i, const char *ns, const char *of)
{
	return share_take(&S, &P[i], SHARE_MAKING, (struct share_who){ sv_from(ns), sv_from(of), false }, now);
}

static bool take(int i, const char *ns)
{
	return take_of(i, ns, "");
}

static void give(int i)
{
	share_give(&S, &P[i], now);
}

/* It hung, and is over. */
static void hung(int i, const char *ns)
{
	assert_true(take(i, ns));
	now += SHARES_HUNG_NS;
	give(i);
	assert_true(P[i].hung);
}

/* Who was told, in order, as letters: 'a' is P[0]. */
static const char *who_was_told(void)
{
	static char text[64];
	size_t n = told.n;

	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + (told.p[i] - P));
	text[n] = '\0';
	told.n = 0;
	return text;
}

static void test_each_has_its_own(_unused_ void **state)
{
	for (int i = 0; i < 3; i++)
		assert_true(take(i, "a"));
	assert_false(take(3, "a"));
	assert_int_equal(P[3].state, SHARE_WAITS);
	assert_true(take(4, "b"));
	/* Another kind of work has places of its own. */
	assert_true(share_take(&S, &P[5], SHARE_UNMAKING, (struct share_who){ .space = SV("a") }, now));
	assert_false(share_take(&S, &P[6], SHARE_UNMAKING, (struct share_who){ .space = SV("b") }, now));
	give(5);
	assert_string_equal(who_was_told(), "g");
	assert_true(take(7, "b"));
	assert_true(take(8, "c"));
	assert_false(take(9, "d")); /* all six are taken */
	give(0);
	assert_string_equal(who_was_told(), "j"); /* not "d", whose namespace has two */
	assert_true(take(9, "d"));
	give(7);
	assert_string_equal(who_was_told(), "d");
	assert_true(take(3, "a"));
}

/* A namespace with many drivers has what it has, whatever is behind them. */
static void test_a_namespace_of_many_drivers(_unused_ void **state)
{
	for (int i = 0; i < 3; i++)
		assert_true(take_of(i, "a", i ? "x" : "y"));
	assert_true(take_of(3, "a", "x"));
	assert_false(take_of(4, "a", "z"));
	assert_true(take_of(5, "b", "x"));
	give(0);
	assert_string_equal(who_was_told(), "e");
	/* Also when each of them hung but once. */
	for (int i = 1; i < 6; i++)
		give(i);
	for (int i = 10; i < 13; i++) {
		assert_true(take_of(i, "a", i == 10 ? "x" : i == 11 ? "y" : "z"));
		now += SHARES_HUNG_NS;
		give(i);
	}
	assert_true(take_of(10, "a", "x"));
	assert_true(take_of(11, "a", "y"));
	assert_false(take_of(12, "a", "z"));
	assert_true(take_of(13, "a", "well"));
}

static void test_what_hung_is_behind(_unused_ void **state)
{
	hung(0, "a");
	hung(1, "a");
	assert_true(take(0, "a"));
	assert_false(take(1, "a"));
	assert_true(take(2, "a"));  /* what did not is not kept waiting */
	assert_false(take(3, "a")); /* but is late as well: two of a namespace */
	assert_false(take(4, "a"));
	/* Of its own it is before what hung, though it came later. */
	give(0);
	assert_string_equal(who_was_told(), "d");
	assert_true(take(3, "a"));
	give(2);
	assert_string_equal(who_was_told(), "e");
	assert_true(take(4, "a"));
	give(3);
	assert_string_equal(who_was_told(), "b");
	assert_true(take(1, "a"));
	/* What ended soon did not. */
	give(1);
	assert_false(P[1].hung);
}

/* Whoever makes anew what hangs has no more of it than before: it is not new to its namespace. */
static void test_made_anew_is_late(_unused_ void **state)
{
	static const char *const evil[] = { "a", "b" };

	for (int i = 0; i < 6; i++)
		assert_true(take(i, evil[i / 3]));
	assert_false(take(6, "good"));
	now += SHARES_HUNG_NS;
	for (int i = 0; i < 6; i++)
		give(i);
	assert_string_equal(who_was_told(), "g");
	for (int round = 0; round < 4; round++) {
		/* Others than before: all of both together two. */
		memset(P, 0, 6 * sizeof(P[0]));
		for (int i = 0; i < 6; i++)
			(void)take(i, evil[i % 2]);
		assert_int_equal(S.all[SHARE_MAKING], 2 + (P[6].state != SHARE_OUT));
		assert_true(P[0].state == SHARE_HAS && P[1].state == SHARE_HAS);
		assert_true(take(7, "good") && take(8, "good"));
		for (int i = 8; i > 5; i--)
			give(i);
		now += SHARES_HUNG_NS * 6; /* as long as a call may last */
		for (int i = 5; i >= 0; i--)
			give(i);
		now += SHARES_LATE_NS / 2;
	}
	/* Once it is forgotten it is as everybody's. */
	now += SHARES_LATE_NS;
	memset(P, 0, 6 * sizeof(P[0]));
	for (int i = 0; i < 3; i++)
		assert_true(take(i, "a"));
	assert_int_equal(S.late[SHARE_MAKING], 0);
}

/* Of one kind; and nothing of who has no name, or of what nobody waits for. */
static void test_what_is_remembered(_unused_ void **state)
{
	struct share_who nameless = { .space = SV("/some/pod"), .nameless = true }, a = { .space = SV("a") };

	assert_true(share_take(&S, &P[0], SHARE_MAKING, nameless, now));
	assert_true(share_take(&S, &P[1], SHARE_LOOKING, a, now));
	now += SHARES_HUNG_NS;
	give(0);
	give(1);
	assert_int_equal(S.owners.n, 0);
	assert_true(share_take(&S, &P[0], SHARE_UNMAKING, a, now));
	now += SHARES_HUNG_NS;
	give(0);
	assert_int_equal(S.n_remembered, 1);
	for (int i = 2; i < 5; i++)
		assert_true(take(i, "a"));
	/* A driver that begins anew has not hung. */
	for (int i = 2; i < 5; i++)
		give(i);
	assert_true(take_of(5, "b", "driver"));
	now += SHARES_HUNG_NS;
	give(5);
	assert_int_equal(S.n_remembered, 2);
	shares_forget(&S, SV("driver"));
	assert_int_equal(S.n_remembered, 1);
	/* So many, and the oldest go: "a" is the first. */
	for (int i = 0; i < SHARES_LATE_MAX; i++) {
		struct arena t = ARENA_INIT;

		memset(&P[0], 0, sizeof(P[0]));
		assert_true(take(0, arena_printf(&t, "ns-%d", i)));
		now += i ? 0 : SHARES_HUNG_NS;
		P[0].since_ns = now - SHARES_HUNG_NS;
		give(0);
		arena_release(&t);
	}
	assert_int_equal(S.n_remembered, SHARES_LATE_MAX);
	memset(&P[0], 0, sizeof(P[0]));
	hung(0, "one-more");
	assert_int_equal(S.n_remembered, SHARES_LATE_MAX);
}

/* Who is in line has what becomes free, whoever asks meanwhile; among them who has least. */
static void test_the_line(_unused_ void **state)
{
	for (int i = 0; i < 6; i++)
		assert_true(take(i, i < 3 ? "a" : "b"));
	assert_false(take(6, "a"));
	assert_false(take(7, "b"));
	assert_false(take(8, "c"));
	assert_false(take(9, "c"));
	assert_false(take(10, "d"));
	give(0);
	assert_string_equal(who_was_told(), "i"); /* "c" has none */
	assert_false(take(11, "e"));		  /* it is granted, though nobody came yet */
	assert_false(take(6, "a"));		  /* asking more often is no help */
	give(1);
	assert_string_equal(who_was_told(), "k"); /* "d" neither */
	give(2);
	assert_string_equal(who_was_told(), "g"); /* and now "a" has none, and came before "e" */
	give(3);
	assert_string_equal(who_was_told(), "l");
	give(4);
	assert_string_equal(who_was_told(), "h"); /* all have one: who came first */
	assert_true(take(8, "c"));
	assert_true(take(10, "d"));
	assert_false(take(9, "c"));
	/* Who does not come loses it, and is out. */
	now += SHARES_GRANT_NS;
	assert_true(take(12, "b"));
	assert_true(P[6].state == SHARE_OUT && P[7].state == SHARE_OUT && P[11].state == SHARE_OUT);
	assert_string_equal(who_was_told(), "j");
	assert_true(take(9, "c"));
}

/* Who needs it no more, or for something else. */
static void test_out_of_line(_unused_ void **state)
{
	for (int i = 0; i < 6; i++)
		assert_true(take(i, i < 3 ? "a" : "b"));
	assert_false(take(6, "c"));
	assert_false(take(7, "d"));
	give(6);
	assert_int_equal(S.waiting[SHARE_MAKING], 1);
	assert_false(take(6, "c"));
	give(0);
	assert_string_equal(who_was_told(), "h");
	give(7); /* gives back what was granted */
	assert_string_equal(who_was_told(), "g");
	assert_true(share_take(&S, &P[6], SHARE_UNMAKING, (struct share_who){ .space = SV("c") }, now));
	assert_int_equal(S.all[SHARE_MAKING], 5);
	/* Who does not wait has it or not. */
	assert_true(share_try(&S, &P[8], SHARE_MAKING, (struct share_who){ .space = SV("e") }, now));
	assert_false(share_try(&S, &P[9], SHARE_MAKING, (struct share_who){ .space = SV("e") }, now));
	assert_int_equal(P[9].state, SHARE_OUT);
	assert_int_equal(S.waiting[SHARE_MAKING], 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	static const struct CMUnitTest tests[] = { T(test_each_has_its_own),	T(test_a_namespace_of_many_drivers),
						   T(test_what_hung_is_behind), T(test_made_anew_is_late),
						   T(test_what_is_remembered),	T(test_the_line),
						   T(test_out_of_line) };

	return cmocka_run_group_tests_name("kubelet/shares", tests, NULL, NULL);
}
