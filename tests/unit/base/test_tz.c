/* Time zones: files made here, so that nothing depends on the database of the machine. */
#include "unit.h"

#include "base/buf.h"
#include "base/timefmt.h"
#include "base/tz.h"

#include <stdlib.h>

struct change {
	int64_t at;
	uint8_t type;
};

struct type {
	int32_t offset;
	uint8_t dst;
};

static void put(struct buf *b, int64_t v, unsigned n)
{
	while (n-- > 0)
		buf_addc(b, (char)(n < 8 ? (uint64_t)v >> (8 * n) & 0xff : 0));
}

static void block(struct buf *b, unsigned width, const struct change *c, size_t n_c, const struct type *t, size_t n_t)
{
	buf_adds(b, "TZif2");
	put(b, 0, 15);
	put(b, 0, 12);
	put(b, (int64_t)n_c, 4);
	put(b, (int64_t)n_t, 4);
	put(b, 4, 4);
	for (size_t i = 0; i < n_c; i++)
		put(b, c[i].at, width);
	for (size_t i = 0; i < n_c; i++)
		put(b, c[i].type, 1);
	for (size_t i = 0; i < n_t; i++) {
		put(b, t[i].offset, 4);
		put(b, t[i].dst, 1);
		put(b, 0, 1);
	}
	put(b, 0, 4);
}

static const struct tz *make(struct arena *a, const char *footer, const struct change *c, size_t n_c)
{
	static const struct type types[] = { { 3600, 0 }, { 7200, 1 }, { -5400, 0 } };
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	block(&b, 4, NULL, 0, types, 1);
	block(&b, 8, c, n_c, types, 3);
	buf_printf(&b, "\n%s\n", footer);
	return tz_parse(a, arena_sv(a, buf_sv(&b)), NULL);
}

static int64_t at(const char *text)
{
	int64_t ns;

	assert_true(time_parse(sv_from(text), &ns));
	return ns / NS_PER_SEC;
}

static void test_rules(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct tz *berlin = make(&a, "CET-1CEST,M3.5.0,M10.5.0/3", NULL, 0);
	const struct tz *santiago = make(&a, "<-04>4<-03>,M9.1.6/24,M4.1.6/24", NULL, 0);
	const struct tz *india = make(&a, "IST-5:30", NULL, 0), *days = make(&a, "AAA0BBB,J60/0,364/0", NULL, 0);

	(void)state;
	assert_int_equal(tz_offset(berlin, at("2026-03-29T00:59:59Z")), 3600);
	assert_int_equal(tz_offset(berlin, at("2026-03-29T01:00:00Z")), 7200);
	assert_int_equal(tz_offset(berlin, at("2026-10-25T00:59:59Z")), 7200);
	assert_int_equal(tz_offset(berlin, at("2026-10-25T01:00:00Z")), 3600);
	assert_int_equal(tz_offset(berlin, at("2050-07-01T00:00:00Z")), 7200);
	/* South of the equator summer spans the new year. */
	assert_int_equal(tz_offset(santiago, at("2026-01-01T00:00:00Z")), -3 * 3600);
	assert_int_equal(tz_offset(santiago, at("2026-04-05T02:59:59Z")), -3 * 3600);
	assert_int_equal(tz_offset(santiago, at("2026-04-05T03:00:00Z")), -4 * 3600);
	assert_int_equal(tz_offset(santiago, at("2026-09-06T03:59:59Z")), -4 * 3600);
	assert_int_equal(tz_offset(santiago, at("2026-09-06T04:00:00Z")), -3 * 3600);
	assert_int_equal(tz_offset(india, at("2026-09-06T04:00:00Z")), 19800);
	/* J60 is the 1st of March in every year, 364 the 31st of December but in leap years. */
	assert_int_equal(tz_offset(days, at("2028-02-29T23:59:59Z")), 0);
	assert_int_equal(tz_offset(days, at("2028-03-01T00:00:00Z")), 3600);
	assert_int_equal(tz_offset(days, at("2027-12-30T22:59:59Z")), 3600);
	assert_int_equal(tz_offset(days, at("2027-12-30T23:00:00Z")), 0);
}

static void test_changes(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct change c[] = { { 100, 1 }, { 200, 2 }, { 300, 0 } };
	const struct tz *tz = make(&a, "", c, 3), *ruled = make(&a, "UTC0", c, 3);

	(void)state;
	assert_int_equal(tz_offset(tz, 99), 3600);
	assert_int_equal(tz_offset(tz, 100), 7200);
	assert_int_equal(tz_offset(tz, 299), -5400);
	assert_int_equal(tz_offset(tz, INT64_C(1) << 40), 3600);
	assert_int_equal(tz_offset(ruled, 299), -5400);
	assert_int_equal(tz_offset(ruled, 300), 0); /* the rule holds after the last change */
	assert_int_equal(tz_offset(NULL, 5), 0);
}

static void test_refused(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	static const char *const names[] = { "../etc/passwd", "/etc/localtime", "Europe//Berlin", "No/Such", "a b" };
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct change bad = { 100, 9 };

	(void)state;
	assert_null(make(&a, "CET", NULL, 0));
	assert_null(make(&a, "CET-1CEST,M13.1.0,M10.5.0", NULL, 0));
	assert_null(make(&a, "", &bad, 1));
	assert_null(tz_parse(&a, SV("TZif"), NULL));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_null(tz_load(&a, sv_from(names[i]), NULL));
	assert_null(tz_load(&a, SV("Mars/Base"), &err));
	assert_string_equal(err_msg(&err), "unknown time zone Mars/Base");
	assert_int_equal(tz_offset(tz_load(&a, SV("UTC"), NULL), 77), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("tz", tests, NULL, NULL);
}
