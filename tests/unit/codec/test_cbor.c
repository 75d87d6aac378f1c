/* CBOR both ways: the examples of RFC 8949, what documents cannot hold, lengths that lie, random documents. */
#include "unit.h"

#include "codec/cbor.h"
#include "codec/json.h"
#include "unicode.h"

#include <stdio.h>

static const char *text_of(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, v);
	return arena_strdup(a, buf_cstr(&b));
}

/* Read, it is this JSON; and written again, and read again, still. */
static void reads(struct sv bytes, const char *json)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *v = cbor_decode(&a, bytes, NULL, &err);

	if (!v)
		fail_msg("%s: %s", json, err_msg(&err));
	assert_string_equal(text_of(&a, v), json);
	cbor_encode(&b, v);
	v = cbor_decode(&a, buf_sv(&b), NULL, &err);
	assert_non_null(v);
	assert_string_equal(text_of(&a, v), json);
}

static void refused(struct sv bytes, const char *words)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (cbor_decode(&a, bytes, NULL, &err))
		fail_msg("read, but should say '%s'", words);
	assert_int_equal(err.reason, ERR_BAD_REQUEST);
	if (sv_find_sv(sv_from(err_msg(&err)), sv_from(words)) < 0)
		fail_msg("'%s' does not say '%s'", err_msg(&err), words);
}

static void test_examples(void **state)
{
	(void)state;
	reads(SV("\x00"), "0");
	reads(SV("\x17"), "23");
	reads(SV("\x18\x18"), "24");
	reads(SV("\x19\x03\xe8"), "1000");
	reads(SV("\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00"), "1000000000000");
	reads(SV("\x20"), "-1");
	reads(SV("\x39\x03\xe7"), "-1000");
	reads(SV("\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"), "-9223372036854775808");
	reads(SV("\xf9\x3e\x00"), "1.5");
	reads(SV("\xf9\xc4\x00"), "-4");
	reads(SV("\xfa\x47\xc3\x50\x00"), "100000");
	reads(SV("\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a"), "1.1");
	reads(SV("\xf4"), "false");
	reads(SV("\xf5"), "true");
	reads(SV("\xf6"), "null");
	reads(SV("\xf7"), "null");
	reads(SV("\x64IETF"), "\"IETF\"");
	reads(SV("\x44IETF"), "\"IETF\"");
	reads(SV("\x62\xc3\xbc"), "\"\xc3\xbc\"");
	reads(SV("\x41\xff"), "\"\xef\xbf\xbd\"");
	reads(SV("\x5f\x42"
		 "ab\x41"
		 "c\xff"),
	      "\"abc\"");
	reads(SV("\x7f\x65strea\x64ming\xff"), "\"streaming\"");
	reads(SV("\x80"), "[]");
	reads(SV("\x83\x01\x82\x02\x03\x82\x04\x05"), "[1,[2,3],[4,5]]");
	reads(SV("\x9f\x01\x82\x02\x03\x9f\x04\x05\xff\xff"), "[1,[2,3],[4,5]]");
	reads(SV("\xa2\x61"
		 "a\x01\x41"
		 "b\x82\x02\x03"),
	      "{\"a\":1,\"b\":[2,3]}");
	reads(SV("\xbf\x63"
		 "Fun\xf5\x63"
		 "Amt\x21\xff"),
	      "{\"Fun\":true,\"Amt\":-2}");
	reads(SV("\xd9\xd9\xf7\xa0"), "{}");
	reads(SV("\xd6\x44\x01\x02\x03\x04"), "\"AQIDBA==\"");
	reads(SV("\xd5\x42\xff\xfe"), "\"__4\"");
	reads(SV("\xd7\x42\xff\x0e"), "\"ff0e\"");
	reads(SV("\xc0\x74"
		 "2013-03-21T20:04:00Z"),
	      "\"2013-03-21T20:04:00Z\"");
	reads(SV("\xc1\x1a\x51\x4b\x67\xb0"), "\"2013-03-21T20:04:00Z\"");
}

static void test_refusals(void **state)
{
	static const struct {
		struct sv bytes;
		const char *words;
	} cases[] = {
		{ SV(""), "unexpected EOF" },
		{ SV("\x18"), "unexpected EOF" },
		{ SV("\x1b\x00\x00"), "unexpected EOF" },
		{ SV("\x1c"), "malformed" },
		{ SV("\x1f"), "no indefinite length" },
		{ SV("\xdf"), "no indefinite length" },
		{ SV("\x44"
		     "abc"),
		  "unexpected EOF" },
		{ SV("\x5b\xff\xff\xff\xff\xff\xff\xff\xff"
		     "a"),
		  "unexpected EOF" },
		{ SV("\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "unexpected EOF" },
		{ SV("\xbb\x7f\xff\xff\xff\xff\xff\xff\xff\x01"), "unexpected EOF" },
		{ SV("\x9f\x01"), "unexpected EOF" },
		{ SV("\x5f\x41"
		     "a\x61"
		     "b\xff"),
		  "of another type" },
		{ SV("\x5f\x5f\xff\xff"), "of another type" },
		{ SV("\x61\xff"), "invalid UTF-8" },
		{ SV("\xa1\x01\x02"), "key is no string" },
		{ SV("\xa2\x61"
		     "a\x01\x41"
		     "a\x02"),
		  "duplicate map key \"a\"" },
		{ SV("\xff"), "break" },
		{ SV("\xa1\x41"
		     "a\xff"),
		  "break" },
		{ SV("\xe0"), "simple value" },
		{ SV("\xf8\x20"), "simple value" },
		{ SV("\xf9\x7e\x00"), "not finite" },
		{ SV("\xf9\xfc\x00"), "not finite" },
		{ SV("\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "not finite" },
		{ SV("\x1b\x80\x00\x00\x00\x00\x00\x00\x00"), "too large" },
		{ SV("\x3b\x80\x00\x00\x00\x00\x00\x00\x00"), "too large" },
		{ SV("\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00"), "too large" },
		{ SV("\xc1\x61"
		     "x"),
		  "out of range" },
		{ SV("\x00\x00"), "1 bytes of extraneous data starting at index 1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refused(cases[i].bytes, cases[i].words);
}

static void test_depth(void **state)
{
	static const char openers[] = { (char)0x81, (char)0x9f, (char)0xd8 };
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(openers); k++) {
		buf_clear(&b);
		for (int i = 0; i < 100000; i++) {
			buf_addc(&b, openers[k]);
			if (k == 2)
				buf_addc(&b, 40);
		}
		refused(buf_sv(&b), "exceeded max nested level");
	}
	buf_clear(&b);
	for (int i = 0; i < CBOR_DEPTH_MAX; i++)
		buf_addc(&b, (char)0x81);
	buf_addc(&b, 1);
	{
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		assert_non_null(cbor_decode(&a, buf_sv(&b), NULL, NULL));
	}
}

static void test_budget(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct budget values = BUDGET(doc_values_limit);

	(void)state;
	cbor_list_head(&b, DOC_VALUES_MAX + 1);
	for (size_t i = 0; i <= DOC_VALUES_MAX; i++)
		buf_addc(&b, 0);
	assert_null(cbor_decode(&a, buf_sv(&b), &values, &err));
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	assert_true(budget_over(&values));
}

/* The shortest forms. */
static void test_written(void **state)
{
	static const struct {
		const char *json;
		struct sv want;
	} cases[] = {
		{ "0.5", SV("\xf9\x38\x00") },
		{ "65504.0", SV("\xf9\x7b\xff") },
		{ "65505.0", SV("\xfa\x47\x7f\xe1\x00") },
		{ "-0.0", SV("\xf9\x80\x00") },
		{ "6.103515625e-5", SV("\xf9\x04\x00") },
		{ "0.1", SV("\xfb\x3f\xb9\x99\x99\x99\x99\x99\x9a") },
		{ "1e300", SV("\xfb\x7e\x37\xe4\x3c\x88\x00\x75\x9c") },
		{ "255", SV("\x18\xff") },
		{ "-256", SV("\x38\xff") },
		{ "\"a\"", SV("\x41"
			      "a") },
		{ "{\"b\":[true,null],\"a\":{}}", SV("\xa2\x41"
						     "b\x82\xf5\xf6\x41"
						     "a\xa0") },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		cbor_encode(&b, json_decode(&a, sv_from(cases[i].json), NULL, NULL));
		if (!sv_eq(buf_sv(&b), cases[i].want))
			fail_msg("%s: %zu bytes", cases[i].json, b.n);
	}
}

static struct val *random_value(struct arena *a, uint64_t *rng, int depth)
{
	static const int64_t numbers[] = { 0, 1, -1, INT64_MAX, INT64_MIN, 4096 };
	char text[300];
	uint32_t kind = unicode_random(rng) % (depth > 5 ? 6 : 10), n = unicode_random(rng) % 6;
	uint64_t bits = (uint64_t)unicode_random(rng) << 32 | unicode_random(rng);
	struct val *v;
	double d;

	switch (kind) {
	case 0:
		return val_new_null(a);
	case 1:
		return val_new_bool(a, n & 1);
	case 2:
		return val_new_int(a, numbers[n]);
	case 3:
		memcpy(&d, &bits, sizeof(d));
		return val_new_float(a, d - d < 0 || d - d > 0 || !(d - d <= 0) ? 0.25
					: n & 1					? (double)(float)n / 64
										: d);
	case 4:
	case 5:
		return val_new_str(a, sv_make(text, unicode_text(rng, text, kind == 4 ? 12 : sizeof(text))));
	case 6:
	case 7:
		v = val_new_list(a);
		for (uint32_t i = 0; i < n; i++)
			val_push(a, v, random_value(a, rng, depth + 1));
		return v;
	default:
		v = val_new_map(a);
		for (uint32_t i = 0; i < n; i++)
			val_set_sv(a, v, sv_make(text, unicode_text(rng, text, 40)), random_value(a, rng, depth + 1));
		return v;
	}
}

static void test_random(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	uint64_t rng = 1;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct val *v = random_value(&a, &rng, 0), *again;

		cbor_encode(&b, v);
		again = cbor_decode(&a, buf_sv(&b), NULL, NULL);
		assert_non_null(again);
		assert_true(val_equal(v, again));
		for (size_t n = 0; i < 300 && n < b.n; n++) /* cut anywhere it is no item */
			assert_null(cbor_decode(&a, buf_sv(&(struct buf){ .p = b.p, .n = n }), NULL, NULL));
		arena_reset(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples), cmocka_unit_test(test_refusals), cmocka_unit_test(test_depth),
		cmocka_unit_test(test_budget),	 cmocka_unit_test(test_written),  cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("codec/cbor", tests, NULL, NULL);
}
