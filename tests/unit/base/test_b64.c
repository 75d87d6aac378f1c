#include "unit.h"

#include "base/b64.h"
#include "base/utf8.h"

#define SVC(lit)                        \
	{                               \
		"" lit, sizeof(lit) - 1 \
	} /* for tables, which want constants */

static const struct {
	const char *bytes, *text, *url;
} rows[] = {
	/* RFC 4648 section 10, and bytes that show the two alphabets. */
	{ "", "", "" },
	{ "f", "Zg==", "Zg" },
	{ "fo", "Zm8=", "Zm8" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg" },
	{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xfb\xff\xfe", "+//+", "-__-" },
};

static void test_there_and_back(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct sv out;

		b64_add(&b, sv_from(rows[i].bytes));
		assert_string_equal(buf_cstr(&b), rows[i].text);
		assert_sv(b64_encode(&a, sv_from(rows[i].bytes)), rows[i].text);
		assert_sv(b64url_encode(&a, sv_from(rows[i].bytes)), rows[i].url);
		assert_int_equal(b64_check(sv_from(rows[i].text)), -1);
		assert_true(b64_decode(&a, sv_from(rows[i].text), &out));
		assert_sv(out, rows[i].bytes);
		assert_true(b64url_decode(&a, sv_from(rows[i].url), &out));
		assert_sv(out, rows[i].bytes);
		assert_true(b64url_decode_exact(&a, sv_from(rows[i].url), &out));
		assert_sv(out, rows[i].bytes);
	}
}

static void test_every_byte(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char bytes[256];
	struct sv out;

	(void)state;
	for (size_t i = 0; i < 256; i++)
		bytes[i] = (char)i;
	for (size_t n = 253; n <= 256; n++) {
		assert_true(b64_decode(&a, b64_encode(&a, sv_make(bytes, n)), &out));
		assert_true(sv_eq(out, sv_make(bytes, n)));
		assert_true(b64url_decode(&a, b64url_encode(&a, sv_make(bytes, n)), &out));
		assert_true(sv_eq(out, sv_make(bytes, n)));
	}
}

static void test_malformed(void **state)
{
	static const struct {
		struct sv text;
		int at;
	} bad[] = {
		{ SVC("Zm9"), 3 },  { SVC("Z"), 1 },	 { SVC("Zg="), 3 },    { SVC("Zm9v="), 4 },
		{ SVC("="), 0 },    { SVC("Z==="), 1 },	 { SVC("Zg==Zg"), 4 }, { SVC("Zm8=="), 4 },
		{ SVC("Zm9-"), 3 }, { SVC("Zm 9v"), 2 }, { SVC("Zg\0="), 2 },  { SVC("\xc3\xa9=="), 0 },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv out = SV("untouched");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(b64_check(bad[i].text), bad[i].at);
		assert_false(b64_decode(&a, bad[i].text, &out));
	}
	assert_false(b64url_decode(&a, SV("Zm9+"), &out));
	assert_false(b64url_decode(&a, SV("Zm9vY"), &out));
	assert_false(b64url_decode(&a, SV("Zg="), &out));
	assert_sv(out, "untouched");
	assert_true(b64_decode(&a, SV("Zm9v\r\nYg=\n=\n"), &out));
	assert_sv(out, "foob");
	assert_true(b64url_decode(&a, SV("Zg=="), &out));
	assert_sv(out, "f");
}

/* What reads as something, but is not how it is written. */
static void test_one_spelling(void **state)
{
	static const char *const others[] = { "Zg==", "Zh", "Zm9=", "Zm9", "Zm8=", "Zm9v\n", "Zm\r9v", "\n", "Zm9v=" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(b64url_decode_exact(&a, sv_from(others[i]), &out));
}

static void test_utf8(void **state)
{
	static const struct sv bad[] = {
		SVC("\x80"),
		SVC("\xc0\x80"),
		SVC("\xc1\xbf"),
		SVC("\xc3"),
		SVC("\xc3("),
		SVC("\xe0\x9f\xbf"),
		SVC("\xe2\x82"),
		SVC("\xe2(\xac"),
		SVC("\xed\xa0\x80"),
		SVC("\xf0\x8f\xbf\xbf"),
		SVC("\xf4\x90\x80\x80"),
		SVC("\xf0\x9f\x98"),
		SVC("\xf5\x80\x80\x80"),
		SVC("\xff"),
	};

	(void)state;
	assert_true(utf8_valid(SV("")));
	assert_true(utf8_valid(SV("a\0b")));
	assert_true(utf8_valid(
	    SV("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(utf8_valid(bad[i]));
}

/* At every length: whole characters, and not one fewer than there is room for. */
static void test_utf8_cut(void **state)
{
	const struct sv text = SV("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
	static const size_t kept[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };
	const struct sv none = SV("\x80\x80\x80\x80\x80\xc3");

	(void)state;
	for (size_t max = 0; max < ARRAY_LEN(kept); max++) {
		struct sv cut = utf8_cut(text, max);

		assert_int_equal(cut.n, kept[max]);
		assert_ptr_equal(cut.p, text.p);
		assert_true(utf8_valid(cut));
	}
	/* What is no text is cut where it was asked for. */
	for (size_t max = 0; max <= none.n; max++)
		assert_int_equal(utf8_cut(none, max).n, max);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_malformed),      cmocka_unit_test(test_one_spelling),
		cmocka_unit_test(test_utf8),	       cmocka_unit_test(test_utf8_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
