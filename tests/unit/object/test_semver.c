#include "unit.h"

#include "object/semver.h"

static const struct {
	const char *text, *words; /* NULL: taken */
} words[] = {
	{ "1.2.3", NULL },
	{ "0.0.0", NULL },
	{ "1.2.3-alpha.1+build.007", NULL },
	{ "1.2.3--", NULL },
	{ "18446744073709551615.0.0", NULL },
	{ "", "Version string empty" },
	{ "1.2", "No Major.Minor.Patch elements found" },
	{ "v1.2.3", "Invalid character(s) found in major number \"v1\"" },
	{ "01.2.3", "Major number must not contain leading zeroes \"01\"" },
	{ "1.x.3", "Invalid character(s) found in minor number \"x\"" },
	{ "1.02.3", "Minor number must not contain leading zeroes \"02\"" },
	{ "1.2.3.4", "Invalid character(s) found in patch number \"3.4\"" },
	{ "1.2.03", "Patch number must not contain leading zeroes \"03\"" },
	{ "1.2.", "strconv.ParseUint: parsing \"\": invalid syntax" },
	{ "18446744073709551616.0.0", "strconv.ParseUint: parsing \"18446744073709551616\": value out of range" },
	{ "1.2.3-", "Prerelease is empty" },
	{ "1.2.3-a..b", "Prerelease is empty" },
	{ "1.2.3-01", "Numeric PreRelease version must not contain leading zeroes \"01\"" },
	{ "1.2.3-a_b", "Invalid character(s) found in prerelease \"a_b\"" },
	{ "1.2.3+", "Build meta data is empty" },
	{ "1.2.3+a_b", "Invalid character(s) found in build meta data \"a_b\"" },
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct semver v;
		bool ok = semver_parse(sv_from(words[i].text), &v, &err);

		if (ok != !words[i].words || (!ok && strcmp(err_msg(&err), words[i].words) != 0))
			fail_msg("%s: %s", words[i].text, ok ? "taken" : err_msg(&err));
	}
}

static void test_order(void **state)
{
	static const char *const order[] = {
		"0.9.9",      "1.0.0-1",    "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
		"1.0.0-beta", "1.0.0-rc.1", "1.0.0",   "1.0.1",	   "1.1.0",	  "2.0.0"
	};
	struct semver a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		for (size_t k = 0; k < ARRAY_LEN(order); k++) {
			assert_true(semver_parse(sv_from(order[i]), &a, NULL));
			assert_true(semver_parse(sv_from(order[k]), &b, NULL));
			assert_int_equal(semver_cmp(&a, &b), i < k ? -1 : i > k);
		}
	}
	assert_true(semver_parse(SV("1.0.0+a"), &a, NULL) && semver_parse(SV("1.0.0+b"), &b, NULL));
	assert_int_equal(semver_cmp(&a, &b), 0);
}

static void test_loosely(void **state)
{
	static const struct {
		const char *text, *same; /* NULL: refused */
	} all[] = {
		{ "v1.2.3", "1.2.3" },	 { "1", "1.0.0" },	     { "v1.2", "1.2.0" },
		{ "01.02.03", "1.2.3" }, { "1.2.003-a", "1.2.3-a" }, { "00.0.0", "0.0.0" },
		{ "1-a", NULL },	 { "1.2+b", NULL },	     { "", NULL },
		{ "vv1", NULL },	 { "1.2.3.4", NULL },	     { "1.2.0-a", "1.2.0-a" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct semver v, want;
		bool ok = semver_parse_loosely(&a, sv_from(all[i].text), &v, NULL);

		if (ok != (all[i].same != NULL))
			fail_msg("%s", all[i].text);
		if (ok)
			assert_true(semver_parse(sv_from(all[i].same), &want, NULL) && semver_cmp(&v, &want) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_loosely),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
