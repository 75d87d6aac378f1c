#include "unit.h"

#include "base/double.h"

#include <float.h>
#include <math.h>

static void test_texts(void **state)
{
	static const struct {
		double d;
		const char *g, *json;
	} rows[] = {
		{ 0, "0", "0" },
		{ -0.0, "-0", "-0" },
		{ 1, "1", "1" },
		{ -12.5, "-12.5", "-12.5" },
		{ 0.1, "0.1", "0.1" },
		{ 0.1 + 0.2, "0.30000000000000004", "0.30000000000000004" },
		{ 1e-4, "0.0001", "0.0001" },
		{ 1e-5, "1e-05", "0.00001" },
		{ 1e-7, "1e-07", "1e-7" },
		{ 999999, "999999", "999999" },
		{ 1e6, "1e+06", "1000000" },
		{ 2147483647, "2.147483647e+09", "2147483647" },
		{ 123456789.25, "1.2345678925e+08", "123456789.25" },
		{ 1e21, "1e+21", "1e+21" },
		{ 1e23, "1e+23", "1e+23" },
		{ 5e-324, "5e-324", "5e-324" },
		{ DBL_MAX, "1.7976931348623157e+308", "1.7976931348623157e+308" },
		/* Powers of two: the nearest 16 digits read back as the number below, the ones above them do not. */
		{ 0x1p-44, "5.684341886080802e-14", "5.684341886080802e-14" },
		{ 0x1p-24, "5.960464477539063e-08", "5.960464477539063e-8" },
		{ 0x1p-1022, "2.2250738585072014e-308", "2.2250738585072014e-308" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(buf_release) struct buf g = BUF_INIT, json = BUF_INIT;

		double_g(&g, rows[i].d);
		double_json(&json, rows[i].d);
		assert_sv(buf_sv(&g), rows[i].g);
		assert_sv(buf_sv(&json), rows[i].json);
	}
}

static void test_no_numbers(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	double_g(&b, (double)NAN);
	double_g(&b, (double)INFINITY);
	double_g(&b, -(double)INFINITY);
	assert_sv(buf_sv(&b), "NaN+Inf-Inf");
}

/* Every power of two reads back, and so do its neighbours. */
static void test_powers_of_two(void **state)
{
	(void)state;
	for (int x = -1074; x < 1024; x++) {
		double p = ldexp(1, x);

		for (int64_t i = -1; i <= 1; i++) {
			_cleanup_(buf_release) struct buf b = BUF_INIT;
			int64_t bits;
			double d;

			memcpy(&bits, &p, sizeof(bits));
			bits += i;
			memcpy(&d, &bits, sizeof(d));
			double_g(&b, d);
			assert_true(strtod(buf_cstr(&b), NULL) == d);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_no_numbers),
		cmocka_unit_test(test_powers_of_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
