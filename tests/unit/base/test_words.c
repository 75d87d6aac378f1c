/* Small rules about text: percent.h and said.h. */
#include "unit.h"

#include "base/percent.h"
#include "base/said.h"

static void encoded(struct sv s, const char *keep, const char *want)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	percent_encode(&b, s, keep);
	assert_string_equal(buf_cstr(&b), want);
}

static void test_percent(void **state)
{
	(void)state;
	encoded(SV("aZ09 /%\xc3\xa9~"), PERCENT_UNRESERVED, "aZ09%20%2F%25%C3%A9~");
	encoded(SV("a/b"), "/", "a/b");
	encoded(SV("\0.\x7f"), PERCENT_UNRESERVED, "%00.%7F");
	encoded(SV("a-b"), "", "a%2Db");
	encoded(SV(""), "", "");
}

static void said(struct sv text, size_t max, const char *want)
{
	assert_true(sv_is(said_last(text, max), want));
}

static void test_said(void **state)
{
	(void)state;
	said(SV(""), 9, "");
	said(SV("\n \n\t\n"), 9, "");
	said(SV("one\ntwo\n"), 9, "two");
	said(SV("one\n  two \n\n  \n"), 9, "two");
	said(SV("one\nlonger than that"), 6, "longer");
	said(SV("ab\xc3\xa9"), 3, "ab"); /* no half of a letter */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_percent), cmocka_unit_test(test_said) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
