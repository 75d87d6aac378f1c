#include "unit.h"

#include "object/oas_format.h"

/* Of each format what it takes and what it refuses, separated by '|'. */
static const struct {
	const char *format, *good, *bad;
} rows[] = {
	{ "bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77bcf86cd79943901|507f1f77bcf86cd79943901g|" },
	{ "byte", "aGVsbG8=|YQ==|YWJj", "|YQ=|YQ|Y===|a-_=|YQ==YQ==" },
	{ "cidr", "10.0.0.0/8|::/0|10.1.2.3/32", "10.0.0.0|10.0.0.0/33|x/8|::/129" },
	{ "creditcard", "4111111111111111|5500-0000-0000-0004|340000000000009", "4111111111111112|1|" },
	{ "date", "2026-01-02|2024-02-29|0001-01-01", "2026-1-2|2025-02-29|2026-13-01|2026-01-02T00:00:00Z|" },
	{ "date-time",
	  "2026-01-02T03:04:05Z|2026-01-02t03:04:05z|2026-01-02T03:04:05.123+02:00|2026-01-02T23:59:59-00:00",
	  "2026-01-02|2026-01-02T24:00:00Z|2026-01-02T03:04:05|2026-01-02 03:04:05Z|2026-01-02T03:60:05Z|x" },
	{ "duration", "1h30m|500ms|2 days|1 week|3d|0|-5s|10 microseconds", "|5|h|1 parsec|x" },
	{ "email", "a@b|a.b+c@example.com|Barry <bg@example.com>|\"a b\"@c|a@[127.0.0.1]",
	  "|a|a@|@b|a@b@c|a..b@c|<a@b" },
	{ "hexcolor", "#fff|fff|#AbCdEf", "#ff|#ffff|ggg|" },
	{ "hostname", "a|example.com|a-b.example.com|1.example.com|localhost|xn--a.com",
	  "|-a|a..b|a.b|a_b|.a|a b|example.com.|" },
	{ "ipv4", "1.2.3.4|0.0.0.0", "1.2.3|1.2.3.256|01.2.3.4|::1|" },
	{ "ipv6", "::1|2001:db8::1|::ffff:1.2.3.4", "1.2.3.4|:::|1::2::3|fe80::1%eth0|" },
	{ "isbn", "0-306-40615-2|978-3-16-148410-0|080442957X", "0-306-40615-3|978-3-16-148410-1|1" },
	{ "isbn10", "0306406152", "9783161484100|0306406153" },
	{ "isbn13", "9783161484100", "0306406152" },
	{ "k8s-short-name", "a|a-b|0", "A|a.b|-a|" },
	{ "k8s-long-name", "a.b|a-b.c", "A|a..b|" },
	{ "mac", "00:00:5e:00:53:01|02-00-5e-10-00-00-00-01|0000.5e00.5301",
	  "00:00:5e:00:53|00:00:5e:00:53:0g|0000:5e00|" },
	{ "password", "|x|anything at all", NULL },
	{ "rgbcolor", "rgb(0,0,0)|rgb( 1, 20 ,255 )", "rgb(256,0,0)|rgb(01,0,0)|rgb(0,0)|rgba(0,0,0)|" },
	{ "ssn", "111-22-3333|111 22 3333", "111223333|111-22-333|aaa-bb-cccc|" },
	{ "uri", "https://a/b?c|/a|mailto:a@b|*|http://[::1]/", "a|../a|http://a b|http://[1.2.3.4]/|/%zz|" },
	{ "uuid", "123e4567-e89b-12d3-a456-426614174000|123E4567E89B12D3A456426614174000",
	  "123e4567-e89b-12d3-a456-42661417400|123e4567-e89b-12d3-a456-42661417400g|" },
	{ "uuid3", "123e4567-e89b-32d3-a456-426614174000", "123e4567-e89b-42d3-a456-426614174000" },
	{ "uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-42d3-c456-426614174000" },
	{ "uuid5", "123e4567-e89b-52d3-b456-426614174000", "123e4567-e89b-42d3-b456-426614174000" },
};

static void check(const char *format, const char *texts, bool want)
{
	const struct oas_format *f = oas_format_find(sv_from(format));
	struct sv rest = sv_from(texts), one;

	assert_non_null(f);
	while (texts && sv_split(&rest, '|', &one))
		if (oas_format_valid(f, one) != want)
			fail_msg("%s: '%.*s' is %s", format, SV_ARG(one), want ? "refused" : "taken");
}

static void test_formats(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check(rows[i].format, rows[i].good, true);
		check(rows[i].format, rows[i].bad, false);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_ptr_equal(oas_format_find(SV("date-time")), oas_format_find(SV("datetime")));
	assert_null(oas_format_find(SV("int32")));
	assert_null(oas_format_find(SV("idn-hostname")));
	assert_null(oas_format_find(SV("")));
	assert_null(oas_format_find(SV("a-name-that-is-longer-than-any")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
