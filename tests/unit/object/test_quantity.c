#include "unit.h"

#include "base/arena.h"
#include "base/vec.h"
#include "object/quantity.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *in, *canonical, *text; /* text NULL: the same; canonical NULL: malformed */
} canon[] = {
	{ "0", "0", NULL },
	{ "0n", "0", NULL },
	{ "0Ki", "0", NULL },
	{ "0.0", "0", NULL },
	{ "-0", "0", NULL },
	{ "00", "0", NULL },
	{ "1", "1", NULL },
	{ "-1", "-1", NULL },
	{ "100", "100", NULL },
	{ "100.0", "100", NULL },
	{ "100.000", "100", NULL },
	{ "1000", "1k", NULL },
	{ "1k", "1k", NULL },
	{ "1000k", "1M", NULL },
	{ "1000M", "1G", NULL },
	{ "1000T", "1P", NULL },
	{ "1000P", "1E", NULL },
	{ "1000E", "1e21", NULL },
	{ "10000", "10k", NULL },
	{ "1234", "1234", NULL },
	{ "1500m", "1500m", NULL },
	{ "1.5", "1500m", NULL },
	{ "0.5", "500m", NULL },
	{ ".5", "500m", NULL },
	{ "5.", "5.", NULL },
	{ "1.500", "1.500", NULL }, /* looks canonical to apimachinery */
	{ "100m", "100m", NULL },
	{ "1000m", "1", NULL },
	{ "2000m", "2", NULL },
	{ "1.5k", "1500", NULL },
	{ "0.1k", "100", NULL },
	{ "1e3", "1e3", NULL },
	{ "1E3", "1E3", NULL },
	{ "1E", "1E", NULL },
	{ "12e2", "1200", NULL },
	{ "1200e2", "120e3", NULL },
	{ "1e4", "10e3", NULL },
	{ "1e-3", "1e-3", NULL },
	{ "1e+6", "1e+6", NULL },
	{ "1000e3", "1e6", NULL },
	{ "15e-1", "1500e-3", NULL },
	{ "0e5", "0", NULL },
	{ "1Ki", "1Ki", NULL },
	{ "1024Ki", "1Mi", NULL },
	{ "1024Mi", "1Gi", NULL },
	{ "1024Gi", "1Ti", NULL },
	{ "1024Ti", "1Pi", NULL },
	{ "1024Pi", "1Ei", NULL },
	{ "0.5Gi", "512Mi", NULL },
	{ "1.5Gi", "1536Mi", NULL },
	{ "300Mi", "300Mi", NULL },
	{ "128Mi", "128Mi", NULL },
	{ "1000Ki", "1000Ki", NULL },
	{ "2048Ki", "2Mi", NULL },
	{ "7Ei", "7Ei", NULL },
	{ "8Ei", "9223372036854775807", NULL },
	{ "9999Ei", "9223372036854775807", NULL },
	{ "-8Ei", "-9223372036854775807", NULL },
	{ "1.1Ki", "1126400m", NULL },
	{ "0.001Ki", "1024m", NULL },
	{ ".000001Ki", "2m", "1024u" },
	{ ".000000001Ki", "1m", "1024n" },
	{ ".000000000001Ki", "1m", "2n" },
	{ "0.25Ki", "256", NULL },
	{ "1u", "1m", "1u" },
	{ "1n", "1m", "1n" },
	{ "1500u", "2m", "1500u" },
	{ "100n", "1m", "100n" },
	{ "0.9n", "1m", "1n" },
	{ "0.0000001", "1m", "100n" },
	{ "0.0000000001", "1m", "1n" },
	{ "-0.0000000001", "-1m", "-1n" },
	{ "1.0001", "1001m", "1000100u" },
	{ "1000000000000000000", "1E", NULL },
	{ "9223372036854775807", "9223372036854775807", NULL },
	{ "18446744073709551616", "18446744073709551616", NULL },
	{ "100000000000000000000000000000", "100e27", NULL },
	{ "1e100", "10e99", NULL },
	{ "+1", "+1", NULL },
	{ "+1.5", "1500m", NULL },
	{ "+", "0", NULL },
	{ "-", "0", NULL },
	{ ".", "0", NULL },
	{ "k", "0", NULL },
	{ "Mi", "0", NULL },
	{ "123456789012345678901234567890m", "123456789012345678901234567890m", NULL },
	{ "", NULL, NULL },
	{ " 1", NULL, NULL },
	{ "1 ", NULL, NULL },
	{ "1.1.M", NULL, NULL },
	{ "1+1.0M", NULL, NULL },
	{ "0.1mi", NULL, NULL },
	{ "0.1am", NULL, NULL },
	{ "aoeu", NULL, NULL },
	{ ".5i", NULL, NULL },
	{ "1i", NULL, NULL },
	{ "-3.01i", NULL, NULL },
	{ "-3.01e-", NULL, NULL },
	{ "1e", NULL, NULL },
	{ "1K", NULL, NULL },
	{ "1ki", NULL, NULL },
	{ "1KI", NULL, NULL },
	{ "1Kim", NULL, NULL },
	{ "1e3.5", NULL, NULL },
	{ "1e3k", NULL, NULL },
	{ "1k3", NULL, NULL },
	{ "1mm", NULL, NULL },
	{ "1ee3", NULL, NULL },
	{ "1e+-3", NULL, NULL },
	{ "--1", NULL, NULL },
	{ "0x10", NULL, NULL },
	{ "1,5", NULL, NULL },
	{ "1e99999999999999999999", NULL, NULL },
	{ "e-30", NULL, NULL },
	{ "NaN", NULL, NULL },
};

static void test_canonical(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(canon); i++) {
		struct sv in = sv_from(canon[i].in), c = quantity_canonical(&a, in), t = quantity_text(&a, in);
		const char *want = canon[i].canonical;
		int64_t m;

		if (!want) {
			if (c.p || t.p)
				fail_msg("accepted %s as %.*s", canon[i].in, SV_ARG(c));
			assert_false(quantity_milli(in, &m));
			assert_false(quantity_value(in, &m));
			continue;
		}
		if (!c.p || !sv_is(c, want))
			fail_msg("%s became %.*s, not %s", canon[i].in, SV_ARG(c), want);
		assert_sv(t, canon[i].text ? canon[i].text : want);
		/* Canonical text is canonical, and worth the same. */
		assert_true(sv_eq(quantity_canonical(&a, c), c));
		assert_int_equal(quantity_cmp(t, in), 0);
		assert_true(quantity_milli(in, &m));
	}
	assert_null(quantity_canonical(&a, sv_make("1\0k", 3)).p);
	assert_null(quantity_canonical(&a, sv_make("1\0", 2)).p);
}

static void test_values(void **state)
{
	static const struct {
		const char *in;
		int64_t milli, value;
	} rows[] = {
		{ "0", 0, 0 },
		{ "1", 1000, 1 },
		{ "100m", 100, 1 },
		{ "1500m", 1500, 2 },
		{ "-1500m", -1500, -2 },
		{ "1n", 1, 1 },
		{ "-1n", -1, -1 },
		{ "1001u", 2, 1 },
		{ "0.1", 100, 1 },
		{ "2.5", 2500, 3 },
		{ "1k", 1000000, 1000 },
		{ "1e3", 1000000, 1000 },
		{ "1Ki", 1024000, 1024 },
		{ "128Mi", INT64_C(134217728000), 134217728 },
		{ "1.5Gi", INT64_C(1610612736000), 1610612736 },
		{ "0.001Ki", 1024, 2 },
		{ "1Ti", INT64_C(1099511627776000), INT64_C(1099511627776) },
		{ "7Pi", INT64_C(7881299347898368000), INT64_C(7881299347898368) },
		{ "9Pi", INT64_MAX, INT64_C(10133099161583616) },
		{ "9223372036854775807", INT64_MAX, INT64_MAX },
		{ "9223372036854775808", INT64_MAX, INT64_MAX },
		{ "-9223372036854775808", INT64_MIN, INT64_MIN },
		{ "-9223372036854775809", INT64_MIN, INT64_MIN },
		{ "1e30", INT64_MAX, INT64_MAX },
		{ "100E", INT64_MAX, INT64_MAX },
		{ "99999999999999999999n", INT64_C(100000000000000), INT64_C(100000000000) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t m = -1, v = -1;

		assert_true(quantity_milli(sv_from(rows[i].in), &m));
		assert_true(quantity_value(sv_from(rows[i].in), &v));
		if (m != rows[i].milli || v != rows[i].value)
			fail_msg("%s: %" PRId64 " milli, %" PRId64, rows[i].in, m, v);
	}
}

static void test_cmp(void **state)
{
	static const char *const rising[] = { "-1e30", "-2Ki", "-2k",  "-1",	"-1m", "-1n",
					      "0",     "1n",   "1u",   "1m",	"0.5", "999m",
					      "1",     "1.5",  "999",  "1k",	"1Ki", "1M",
					      "1Mi",   "1G",   "1Gi",  "1E",	"1Ei", "9223372036854775806",
					      "8Ei",   "1e19", "1e20", "1e1000" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rising); i++) {
		for (size_t j = 0; j < ARRAY_LEN(rising); j++) {
			int c = quantity_cmp(sv_from(rising[i]), sv_from(rising[j]));

			if (c != (i > j) - (i < j))
				fail_msg("%s against %s: %d", rising[i], rising[j], c);
		}
	}
	assert_int_equal(quantity_cmp(SV("1000m"), SV("1")), 0);
	assert_int_equal(quantity_cmp(SV("1Ki"), SV("1.024k")), 0);
	assert_int_equal(quantity_cmp(SV("x"), SV("0")), 0);
	assert_int_equal(quantity_cmp(SV("x"), SV("-1")), 1);
}

static void test_add(void **state)
{
	static const struct {
		const char *x, *y, *sum;
	} rows[] = {
		{ "1", "1", "2" },
		{ "0", "1Ki", "1Ki" },
		{ "1Ki", "0", "1Ki" },
		{ "512Mi", "512Mi", "1Gi" },
		{ "1Gi", "1", "1073741825" },
		{ "100m", "900m", "1" },
		{ "1", "1Ki", "1025" },
		{ "1Ki", "1m", "1024001m" },
		{ "1", "-1", "0" },
		{ "1", "-1500m", "-500m" },
		{ "1500m", "-1", "500m" },
		{ "1e3", "1", "1001" },
		{ "1e3", "9e3", "10e3" },
		{ "1E", "1n", "1000000000000000000000000001n" },
		{ "9223372036854775807", "1", "9223372036854775808" },
		{ "7Ei", "7Ei", "14Ei" },
		{ "-1", "-1", "-2" },
		{ "999m", "1m", "1" },
		{ "", "2", "2" },
		{ "bad", "bad", "0" },
		{ "1e4096", "-1e4096", "0" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_sv(quantity_add(&a, sv_from(rows[i].x), sv_from(rows[i].y)), rows[i].sum);
	/* The widest pair there can be, and one beyond the largest exponent: what cannot be written is not nothing. */
	assert_sv(quantity_add(&a, SV("9e4096"), SV("1n")), "9e4096");
	assert_sv(quantity_add(&a, SV("1n"), SV("9e4096")), "9e4096");
	assert_sv(quantity_add(&a, SV("9e4096"), SV("9e4096")), "9e4096");
}

static void test_from(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val v = { .type = VAL_INT, .i = 3 };

	(void)state;
	assert_sv(quantity_from_milli(&a, 0), "0");
	assert_sv(quantity_from_milli(&a, 1500), "1500m");
	assert_sv(quantity_from_milli(&a, 2000), "2");
	assert_sv(quantity_from_milli(&a, 2000000), "2k");
	assert_sv(quantity_from_milli(&a, -5), "-5m");
	assert_sv(quantity_from_milli(&a, INT64_MIN), "-9223372036854775808m");
	assert_sv(quantity_from_bytes(&a, 0), "0");
	assert_sv(quantity_from_bytes(&a, 1000), "1k");
	assert_sv(quantity_from_bytes(&a, 1024), "1Ki");
	assert_sv(quantity_from_bytes(&a, 3 << 20), "3Mi");
	assert_sv(quantity_from_bytes(&a, 1025), "1025");
	assert_int_equal(quantity_milli_or(&v, 7), 3000);
	assert_int_equal(quantity_milli_or(NULL, 7), 7);
	v.i = INT64_MIN;
	assert_true(quantity_milli_or(&v, 7) == INT64_MIN);
}

/* The integer path and the digit path agree. */
static void test_paths_agree(void **state)
{
	static const char *const suffixes[] = { "n", "u", "m", "", "k", "M", "Ki", "Mi", "e2", "e-4" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (int n = 0; n < 2000; n += 37) {
		for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
			struct sv s = arena_svf(&a, "%d.%d%s", n, n % 7, suffixes[i]);
			struct sv padded = arena_svf(&a, "00000000000000000000%.*s", SV_ARG(s));
			int64_t m1 = 0, m2 = 0, v1 = 0, v2 = 0;

			assert_true(quantity_milli(s, &m1) && quantity_milli(padded, &m2));
			assert_true(quantity_value(s, &v1) && quantity_value(padded, &v2));
			assert_int_equal(m1, m2);
			assert_int_equal(v1, v2);
		}
	}
}

/* Each with each, where digits and exponents are as many as they may be: nothing overflows, and every sum can be
 * read back. */
static void test_extremes(void **state)
{
	static const char *const exps[] = { "",	      "n",     "u",	 "m",	  "E",	    "Ki",
					    "Ei",     "e4096", "e-4096", "e4095", "e-4095", "e+4096",
					    "E-4096", "e4097", "e-4097", "e3841", "e-3841", "e99999999999999999999" };
	static const size_t widths[] = { 0, 1, 2, 19, 20, 127, 128, 248, 249, 250, 251, 254, 255, 256, 257 };
	static const char digits[] = "019";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	VEC(struct sv) all = VEC_INIT;
	int64_t milli, value;
	size_t valid = 0;

	(void)state;
	for (size_t e = 0; e < ARRAY_LEN(exps); e++)
		for (size_t w = 0; w < ARRAY_LEN(widths); w++)
			for (size_t d = 0; d + 1 < sizeof(digits); d++)
				for (int form = 0; form < 4; form++) {
					char text[300];

					memset(text, digits[d], widths[w]);
					text[widths[w]] = '\0';
					vec_push(&all, arena_svf(&a, "%s%s%s%s", form & 1 ? "-" : "",
								 form & 2 ? "." : "", text, exps[e]));
				}
	for (size_t i = 0; i < all.n; i++) {
		_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
		struct sv x = all.p[i], text = quantity_text(&tmp, x);

		assert_int_equal(text.p != NULL, quantity_milli(x, &milli));
		assert_int_equal(text.p != NULL, quantity_value(x, &value));
		(void)quantity_canonical(&tmp, x);
		if (!text.p)
			continue;
		valid++;
		assert_true(text.n > 256 || quantity_cmp(text, x) == 0);
		for (size_t k = i % 97; k < all.n; k += 97) { /* a part of all pairs, another for each */
			struct sv y = all.p[k], sum = quantity_add(&tmp, x, y);
			int64_t s;

			assert_int_equal(quantity_cmp(x, y), -quantity_cmp(y, x));
			assert_true(sum.n > 0);
			if (!quantity_milli(sum, &s))
				fail_msg("'%.*s' + '%.*s' = '%.*s'", SV_ARG(x), SV_ARG(y), SV_ARG(sum));
		}
	}
	assert_true(valid > 500);
	vec_release(&all);
}

/* What expressions ask: how upstream holds it, its sign, a difference, what is wrong with it. */
static void test_held(void **state)
{
	static const struct {
		const char *text;
		bool held;
		int64_t value;
		int exp;
		double number;
	} all[] = {
		{ "1", true, 1, 0, 1 },
		{ "1.0", true, 10, -1, 1 },
		{ "500m", true, 500, -3, 0.5 },
		{ "1k", true, 1, 3, 1000 },
		{ "-2E", true, -2, 18, -2e18 },
		{ "1Ki", true, 1024, 0, 1024 },
		{ "1.5Ki", false, 0, 0, 1536 },
		{ "1n", true, 1, -9, 1e-9 },
		{ "0.1n", false, 0, 0, 1e-9 },
		{ "1e100", true, 1, 100, 1e100 },
		{ "1234567890123456789", false, 0, 0, 1234567890123456789.0 },
		{ "0", true, 0, 0, 0 },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t value;
	int exp;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		bool held = quantity_amount(sv_from(all[i].text), &value, &exp);

		if (held != all[i].held || (held && (value != all[i].value || exp != all[i].exp)))
			fail_msg("%s: %d, %lld e%d", all[i].text, held, (long long)value, exp);
		assert_true(quantity_float(sv_from(all[i].text)) == all[i].number);
		assert_int_equal(quantity_sign(sv_from(all[i].text)), (all[i].number > 0) - (all[i].number < 0));
	}
	assert_true(sv_is(quantity_sub(&a, SV("1Gi"), SV("512Mi")), "512Mi"));
	assert_true(sv_is(quantity_sub(&a, SV("1"), SV("-500m")), "1500m"));
	assert_true(sv_is(quantity_sub(&a, SV("1"), SV("+2")), "-1"));
	assert_non_null(strstr(quantity_why(SV("")), "must match the regular expression"));
	assert_non_null(strstr(quantity_why(SV("1x")), "must match the regular expression"));
	assert_non_null(strstr(quantity_why(SV("1.2.3")), "must match the regular expression"));
	assert_string_equal(quantity_why(SV("1ki")), "unable to parse quantity's suffix");
	assert_string_equal(quantity_why(SV("1e")), "unable to parse quantity's suffix");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),   cmocka_unit_test(test_values), cmocka_unit_test(test_cmp),
		cmocka_unit_test(test_add),	    cmocka_unit_test(test_from),   cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_paths_agree), cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
