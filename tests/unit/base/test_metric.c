/* Metrics: series, their bound, and what becomes of a page on its way out. */
#include "unit.h"

#include "base/metric.h"
#include "base/metric_page.h"

static const double bounds[] = { 0.1, 1 };
enum { M_COUNT, M_GAUGE, M_TIMES, _M_MAX };
static const struct metric_family families[_M_MAX] = {
	[M_COUNT] = { "z_total", "Things.", .type = METRIC_COUNTER, .stability = METRIC_STABLE,
		      .labels = { "name", "who" } },
	[M_GAUGE] = { "a_level", "How high.", .type = METRIC_GAUGE, .stability = METRIC_BETA },
	[M_TIMES] = { "m_seconds", "How long.", .type = METRIC_HISTOGRAM, .stability = METRIC_ALPHA,
		      METRIC_BOUNDS(bounds), .labels = { "name" } },
};

static void test_a_page(void **state)
{
	struct metric_set *s = metric_set_new(families, _M_MAX);
	const struct sv odd[] = { SV("a\"b\\c\nd"), SV("") }, name[] = { SV("x") };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t n, off;

	(void)state;
	metric_add(s, &families[M_COUNT], odd, 2);
	metric_add(s, &families[M_COUNT], odd, 3);
	metric_observe_ns(s, &families[M_TIMES], name, 50000000);
	metric_observe_ns(s, &families[M_TIMES], name, 2000000000);
	metric_add(NULL, &families[M_COUNT], odd, 1);
	assert_int_equal(metric_count(s, &families[M_COUNT], odd), 5);
	assert_int_equal(metric_count(s, &families[M_TIMES], name), 2);
	metric_set_write(s, &b);
	metric_page_finish(&b, NULL, &n, &off);
	assert_int_equal(n, 3);
	assert_int_equal(off, 0);
	assert_string_equal(buf_cstr(&b), "# HELP a_level [BETA] How high.\n# TYPE a_level gauge\na_level 0\n"
					  "# HELP m_seconds [ALPHA] How long.\n# TYPE m_seconds histogram\n"
					  "m_seconds_bucket{name=\"x\",le=\"0.1\"} 1\n"
					  "m_seconds_bucket{name=\"x\",le=\"1\"} 1\n"
					  "m_seconds_bucket{name=\"x\",le=\"+Inf\"} 2\n"
					  "m_seconds_sum{name=\"x\"} 2.05\nm_seconds_count{name=\"x\"} 2\n"
					  "# HELP z_total [STABLE] Things.\n# TYPE z_total counter\n"
					  "z_total{name=\"a\\\"b\\\\c\\nd\",who=\"\"} 5\n");
	metric_set_free(s);
}

/* Who makes up names does not fill memory. */
static void test_series_are_bounded(void **state)
{
	struct metric_set *s = metric_set_new(families, _M_MAX);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < METRIC_SERIES_MAX + 100; i++) {
		_cleanup_free_ char *text = xasprintf("n%d", i);
		const struct sv values[] = { sv_from(text), SV("w") };

		metric_add(s, &families[M_COUNT], values, 1);
	}
	metric_set_write(s, &b);
	for (const char *p = buf_cstr(&b); (p = strstr(p, "\nz_total{")); p++)
		lines++;
	assert_int_equal(lines, METRIC_SERIES_MAX);
	metric_set_free(s);
}

static void test_rules(void **state)
{
	static const char *const disabled[] = { "a_level", NULL };
	static const char *const allow[] = { "z_total,name='x", "y'", NULL }; /* as lists of flags part it */
	static const char page[] = "# HELP z_total Z\n# TYPE z_total counter\n"
				   "z_total{name=\"x\",who=\"a,b}\"} 1\nz_total{name=\"evil\\\"1\",who=\"a,b}\"} 2\n"
				   "z_total{name=\"evil2\",who=\"a,b}\"} 3\n"
				   "# HELP a_level A\n# TYPE a_level gauge\na_level 1\n"
				   "# HELP z_total Z\n# TYPE z_total counter\nz_total{name=\"y\",who=\"c\"} 7\n";
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct metric_rules *r = metric_rules_new(disabled, allow, &err);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t n, off;

	(void)state;
	assert_non_null(r);
	buf_adds(&b, page);
	metric_page_finish(&b, r, &n, &off);
	assert_int_equal(n, 1);
	assert_int_equal(off, 1);
	assert_string_equal(buf_cstr(&b), "# HELP z_total Z\n# TYPE z_total counter\n"
					  "z_total{name=\"x\",who=\"a,b}\"} 1\n"
					  "z_total{name=\"unexpected\",who=\"a,b}\"} 5\n"
					  "z_total{name=\"y\",who=\"c\"} 7\n");
	metric_rules_free(r);
}

static void test_bad_rules(void **state)
{
	static const char *const bad[] = { "x", "x=1", "x,='a'", ",y='a'", "x,y='a", "x,y,z=1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *const allow[] = { bad[i], NULL };
		struct err err = ERR_INIT;

		assert_null(metric_rules_new(NULL, allow, &err));
		assert_int_equal(err.reason, ERR_INVALID);
		err_release(&err);
	}
}

/* Text that is no page, and none at all, are passed over. */
static void test_no_page(void **state)
{
	static const char *const texts[] = {
		"", "\n", "x", "# HELP ", "# HELP a", "# TYPE a counter\na 1\n", "x\n# HELP b B\n"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct buf b = BUF_INIT;
		size_t n, off;

		buf_adds(&b, texts[i]);
		metric_page_finish(&b, NULL, &n, &off);
		assert_true(n <= 1);
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_page),	cmocka_unit_test(test_series_are_bounded),
		cmocka_unit_test(test_rules),	cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_no_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
