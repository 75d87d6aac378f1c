/* CronJob schedules. */
#include "unit.h"

#include "base/timefmt.h"
#include "object/cron.h"

/* A zone with summer time from March to October, one hour east of UTC, as a "slim" file: two empty blocks and
 * the rule. */
#define BLOCK                                                                            \
	"TZif2"                                                                          \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4" \
	"\0\0\16\20\0\0"                                                                 \
	"CET\0"
static const char berlin[] = BLOCK BLOCK "\nCET-1CEST,M3.5.0,M10.5.0/3\n";

static void check(const struct tz *tz, const char *schedule, const char *after, const char *expected)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	char text[TIME_TEXT_MAX];
	struct cron c;
	int64_t t;

	if (cron_parse(sv_from(schedule), &c, &err) < 0)
		fail_msg("%s: %s", schedule, err_msg(&err));
	assert_true(time_parse(sv_from(after), &t));
	t = cron_next(&c, tz, t);
	if (!expected) {
		assert_int_equal(t, 0);
		return;
	}
	time_format(t, false, text);
	if (strcmp(text, expected) != 0)
		fail_msg("%s after %s: %s, not %s", schedule, after, text, expected);
}

static void test_next(void **state)
{
	(void)state;
	check(NULL, "* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
	check(NULL, "* * * * *", "2026-01-01T00:00:59.999Z", "2026-01-01T00:01:00Z");
	check(NULL, "*/15 * * * *", "2026-01-01T00:46:00Z", "2026-01-01T01:00:00Z");
	check(NULL, "5/20 * * * *", "2026-01-01T00:26:00Z", "2026-01-01T00:45:00Z");
	check(NULL, "30 4 1,15 * ?", "2026-01-01T05:00:00Z", "2026-01-15T04:30:00Z");
	check(NULL, "0 9-17/4 * * mon-FRI", "2026-01-02T17:30:00Z", "2026-01-05T09:00:00Z");
	check(NULL, "0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z");
	check(NULL, "59 23 31 2 *", "2026-01-01T00:00:00Z", NULL);
	/* Both day fields: one is enough; a star, even with a step of one, restricts nothing. */
	check(NULL, "0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
	check(NULL, "0 0 13 * *", "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z");
	check(NULL, "0 0 */10 * 1", "2026-01-02T00:00:00Z", "2026-01-05T00:00:00Z");
	check(NULL, "@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
	check(NULL, "@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z");
	check(NULL, "@hourly", "2026-12-31T23:00:01Z", "2027-01-01T00:00:00Z");
	check(NULL, "@every 90m", "2026-01-01T00:00:10.5Z", "2026-01-01T01:30:10Z");
}

static void test_summer_time(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct tz *tz = tz_parse(&a, sv_make(berlin, sizeof(berlin) - 1), NULL);

	(void)state;
	assert_non_null(tz);
	check(tz, "0 9 * * *", "2026-01-01T09:00:00Z", "2026-01-02T08:00:00Z");
	check(tz, "0 9 * * *", "2026-07-01T09:00:00Z", "2026-07-02T07:00:00Z");
	check(tz, "0 0 * * *", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
	/* 02:30 is left out on the 29th of March and comes twice on the 25th of October. */
	check(tz, "30 2 * * *", "2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z");
	check(tz, "30 2 * * *", "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z");
	check(tz, "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
	check(tz, "30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z");
}

static void test_refused(void **state)
{
	static const char *const bad[] = { "",		"* * * *",	"* * * * * *", "60 * * * *",  "* 24 * * *",
					   "* * 0 * *", "* * * 13 *",	"* * * * 7",   "5-1 * * * *", "*/0 * * * *",
					   "a * * * *", "-1 * * * *",	"@never",      "@every x",    "1- * * * *",
					   ", * * * *", "*/-1 * * * *", "mon * * * *" };
	struct cron c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (cron_parse(sv_from(bad[i]), &c, NULL) == 0)
			fail_msg("'%s' was taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_summer_time),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("cron", tests, NULL, NULL);
}
