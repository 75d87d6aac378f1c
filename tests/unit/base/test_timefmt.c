#include "unit.h"

#include "base/timefmt.h"

#include <stdlib.h>

static void test_rfc3339(void **state)
{
	char out[TIME_TEXT_MAX];
	unsigned nanos;
	int64_t ns;

	(void)state;
	assert_true(time_parse(SV("2024-02-29T23:59:59Z"), &ns));
	assert_true(ns == INT64_C(1709251199) * NS_PER_SEC);
	assert_sv(time_format(ns, false, out), "2024-02-29T23:59:59Z");
	assert_true(time_parse(SV("1969-12-31T23:59:59.5Z"), &ns));
	assert_true(ns == -NS_PER_SEC / 2);
	assert_sv(time_format(ns, true, out), "1969-12-31T23:59:59.500000Z");
	assert_true(time_parse(SV("2026-01-02T03:04:05+02:30"), &ns));
	assert_sv(time_format(ns, false, out), "2026-01-02T00:34:05Z");
	assert_false(time_parse(SV("2023-02-29T00:00:00Z"), &ns));
	assert_false(time_parse(SV("2023-02-28 00:00:00Z"), &ns));
	assert_false(time_parse(SV("2023-02-28T00:00:00"), &ns));
	/* Years 1 to 9999 are times, if not in nanoseconds. */
	assert_true(time_parse(SV("9999-01-01T00:00:00Z"), &ns) && ns == INT64_MAX);
	assert_true(time_parse(SV("0001-01-01T00:00:00Z"), &ns) && ns == INT64_MIN);
	assert_true(time_parse_sec(SV("9999-12-31T23:59:59.25Z"), &ns, &nanos));
	assert_true(ns == TIME_SEC_MAX && nanos == 250000000);
	assert_sv(time_format_sec(ns, nanos, true, out), "9999-12-31T23:59:59.250000Z");
	assert_true(time_parse_sec(SV("0001-01-01T00:00:00Z"), &ns, &nanos));
	assert_true(ns == TIME_SEC_MIN && nanos == 0);
	assert_sv(time_format_sec(ns, nanos, false, out), "0001-01-01T00:00:00Z");
	assert_false(time_parse(SV("9999-12-31T23:59:59-01:00"), &ns));
	assert_false(time_parse(SV("0000-12-31T00:00:00Z"), &ns));
}

/* What is not a time, and what Go's time.Parse says of it: by the layout of metav1.Time, or of metav1.MicroTime. */
static void test_rfc3339_words(void **state)
{
	static const struct {
		bool micro;
		const char *text, *why; /* why: behind the quoted text; NULL: it is a time */
	} cases[] = {
#define AS " as \"2006-01-02T15:04:05Z07:00\": cannot parse "
#define AS_MICRO " as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse "
		{ false, "yesterday", AS "\"yesterday\" as \"2006\"" },
		{ false, "2020", AS "\"\" as \"-\"" },
		{ false, "2020-1-01", AS "\"1-01\" as \"01\"" },
		{ false, "2020-01-0x", AS "\"0x\" as \"02\"" },
		{ false, "2020-01-01", AS "\"\" as \"T\"" },
		{ true, "2020-01-01", AS_MICRO "\"\" as \"T\"" },
		{ false, "2020-01-01t00:00:00Z", AS "\"t00:00:00Z\" as \"T\"" },
		{ false, "2020-01-01T00:00:00z", AS "\"z\" as \"Z07:00\"" },
		{ false, "2020-01-01T00:00:00", AS "\"\" as \"Z07:00\"" },
		{ false, "2020-01-01T00:00:00.Z", AS "\".Z\" as \"Z07:00\"" },
		{ false, "2020-01-01T00:00:00+0100", AS "\"+0100\" as \"Z07:00\"" },
		{ true, "2020-01-01T00:00:00Z", AS_MICRO "\"Z\" as \".000000\"" },
		{ true, "2020-01-01T00:00:00.123Z", AS_MICRO "\".123Z\" as \".000000\"" },
		{ true, "2020-01-01T00:00:00.123456789Z", AS_MICRO "\"789Z\" as \"Z07:00\"" },
		{ false, "2020-13-01T00:00:00Z", ": month out of range" },
		{ false, "2020-02-30T00:00:00Z", ": day out of range" },
		{ false, "2020-01-01T24:00:00Z", ": hour out of range" },
		{ false, "2020-01-01T00:60:00Z", ": minute out of range" },
		{ false, "2020-01-01T00:00:60Z", ": second out of range" },
		{ false, "2020-01-01T00:00:00+25:00", ": time zone offset hour out of range" },
		{ false, "2020-01-01T00:00:00Z.", ": extra text: \".\"" },
		{ false, "2020-01-01T1:00:00Z", NULL },
		{ false, "2020-01-01T00:00:00,5+24:00", NULL },
		{ true, "2020-01-01T00:00:00.123456-01:30", NULL },
#undef AS
#undef AS_MICRO
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(buf_release) struct buf why = BUF_INIT, want = BUF_INIT;
		int64_t sec;
		unsigned ns;

		assert_int_equal(time_parse_why(sv_from(cases[i].text), cases[i].micro, &sec, &ns, &why),
				 cases[i].why == NULL);
		if (cases[i].why)
			buf_printf(&want, "parsing time \"%s\"%s", cases[i].text, cases[i].why);
		assert_string_equal(buf_cstr(&why), buf_cstr(&want));
	}
}

static void check_duration(const char *text, const char *canonical)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int64_t ns;

	assert_true(duration_parse(sv_from(text), &ns));
	duration_format(&b, ns);
	assert_string_equal(buf_cstr(&b), canonical);
}

static void test_duration(void **state)
{
	int64_t ns;

	(void)state;
	check_duration("0", "0s");
	check_duration("90m", "1h30m0s");
	check_duration("1.5s", "1.5s");
	check_duration("-2ms", "-2ms");
	check_duration("1h0.25s", "1h0m0.25s");
	check_duration("1500us", "1.5ms");
	assert_true(duration_parse(SV("-2562047h47m16.854775808s"), &ns) && ns == INT64_MIN);
	assert_false(duration_parse(SV("2562047h47m16.854775808s"), &ns));
	assert_false(duration_parse(SV("5"), &ns));
	assert_false(duration_parse(SV("5y"), &ns));
	assert_false(duration_parse(SV(""), &ns));
	assert_false(duration_parse(SV("9999999999h"), &ns));
}

/* The words of Go's time.ParseDuration. */
static void test_duration_why(void **state)
{
	static const struct {
		const char *text, *why;
	} all[] = {
		{ "", "invalid duration \"\"" },
		{ "abc", "invalid duration \"abc\"" },
		{ "-", "invalid duration \"-\"" },
		{ ".", "invalid duration \".\"" },
		{ ".s", "invalid duration \".s\"" },
		{ "5", "missing unit in duration \"5\"" },
		{ "+1h5.", "missing unit in duration \"+1h5.\"" },
		{ "1.5.2s", "missing unit in duration \"1.5.2s\"" },
		{ "5y", "unknown unit \"y\" in duration \"5y\"" },
		{ "1h5sx", "unknown unit \"sx\" in duration \"1h5sx\"" },
		{ "1 s", "unknown unit \" s\" in duration \"1 s\"" },
		{ "9999999999h", "invalid duration \"9999999999h\"" },
		{ "a\"\\\n\303\251", "invalid duration \"a\\\"\\\\\\x0a\\xc3\\xa9\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		int64_t ns;

		assert_false(duration_parse(sv_from(all[i].text), &ns));
		duration_why(&b, sv_from(all[i].text));
		assert_true(sv_starts(buf_sv(&b), SV("time: ")));
		assert_string_equal(buf_cstr(&b) + 6, all[i].why);
	}
}

static void test_human(void **state)
{
	static const struct {
		int64_t s;
		const char *text;
	} rows[] = {
		{ -5, "<invalid>" }, { 0, "0s" },      { 119, "119s" },	 { 120, "2m" },
		{ 200, "3m20s" },    { 601, "10m" },   { 3600, "60m" },	 { 11000, "3h3m" },
		{ 86400, "24h" },    { 260000, "3d" }, { 700000, "8d" }, { 86400LL * 800, "2y70d" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		duration_human(&b, rows[i].s * NS_PER_SEC);
		assert_string_equal(buf_cstr(&b), rows[i].text);
	}
}

/* Days as Go's layout 2006-01-02 takes them, nothing else. */
static void test_date(void **state)
{
	static const char *const bad[] = { "",		 "2026-1-02",	"2026-02-30",  "2026-00-01",
					   "2026-13-01", "26-01-02",	"2026-01-02T", "2026-01-02T00:00:00Z",
					   "2026/01/02", "2026-01-02 ", "2026-01-0x",  "once" };
	char text[DATE_TEXT_MAX];
	int64_t t = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(date_parse(sv_from(bad[i]), &t));
	assert_true(date_parse(SV("2028-02-29"), &t));
	assert_sv(date_format(t, text), "2028-02-29");
	assert_sv(date_format(t - 1, text), "2028-02-28");
	assert_sv(date_format(t + 86400 * NS_PER_SEC, text), "2028-03-01");
	assert_true(date_parse(SV("1970-01-01"), &t));
	assert_int_equal(t, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rfc3339),  cmocka_unit_test(test_rfc3339_words),
					    cmocka_unit_test(test_duration), cmocka_unit_test(test_duration_why),
					    cmocka_unit_test(test_human),    cmocka_unit_test(test_date) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
