#include "unit.h"

#include "base/buf.h"
#include "re/re.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* What Go says of each, or NULL when it takes it. */
static const struct {
	const char *pattern, *words;
} syntax[] = {
	{ "", NULL },
	{ "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", NULL },
	{ "(?P<n>a)", NULL },
	{ "(?<n>a)", NULL },
	{ "[(?<]", NULL },
	{ "\\Q(?<\\E", NULL },
	{ "\\(?<", NULL },
	{ "[[:alpha:]]", NULL },
	{ "[]a]", NULL },
	{ "[^]a]", NULL },
	{ "\\p{Greek}\\pL\\PN\\p{^Lu}", NULL },
	{ "(?i)a(?-i:b)(?s).(?m)^(?U)a+", NULL },
	{ "a{,2}", NULL },
	{ "\\x{10FFFF}\\x41\\101\\a\\f\\t\\n\\r\\v\\*", NULL },
	{ "\\A\\z\\b\\B\\d\\D\\s\\S\\w\\W", NULL },
	{ "(", "missing closing ): `(`" },
	{ ")", "unexpected ): `)`" },
	{ "a)b", "unexpected ): `a)b`" },
	{ "(?<n>a))", "unexpected ): `(?<n>a))`" },
	{ "[", "missing closing ]: `[`" },
	{ "[a", "missing closing ]: `[a`" },
	{ "x[[:alpha:]", "missing closing ]: `[[:alpha:]`" },
	{ "*", "missing argument to repetition operator: `*`" },
	{ "+a", "missing argument to repetition operator: `+`" },
	{ "a|*", "missing argument to repetition operator: `*`" },
	{ "a**", "invalid nested repetition operator: `**`" },
	{ "a*+", "invalid nested repetition operator: `*+`" },
	{ "a??+", "invalid nested repetition operator: `??+`" },
	{ "a{2}{3}", "invalid nested repetition operator: `{2}{3}`" },
	{ "a{1001}", "invalid repeat count: `{1001}`" },
	{ "a{2,1}", "invalid repeat count: `{2,1}`" },
	{ "((a{100}){100}){100}", "invalid repeat count: `{100}`" },
	{ "a\\", "trailing backslash at end of expression: ``" },
	{ "\\q", "invalid escape sequence: `\\q`" },
	{ "\\C", "invalid escape sequence: `\\C`" },
	{ "a\\Cb", "invalid escape sequence: `\\C`" },
	{ "\\1", "invalid escape sequence: `\\1`" },
	{ "\\8", "invalid escape sequence: `\\8`" },
	{ "\\Z", "invalid escape sequence: `\\Z`" },
	{ "\\x{110000}", "invalid escape sequence: `\\x{110000`" },
	{ "[\\C]", "invalid escape sequence: `\\C`" },
	{ "[b-a]", "invalid character class range: `b-a`" },
	{ "[a-\\d]", "invalid escape sequence: `\\d`" },
	{ "[[:nosuch:]]", "invalid character class range: `[:nosuch:]`" },
	{ "\\p{NoSuch}", "invalid character class range: `\\p{NoSuch}`" },
	{ "(?=a)", "invalid or unsupported Perl syntax: `(?=`" },
	{ "(?!a)", "invalid or unsupported Perl syntax: `(?!`" },
	{ "(?<=a)", "invalid named capture: `(?<=a)`" },
	{ "(?<!a)b", "invalid named capture: `(?<!a)b`" },
	{ "(?<n", "invalid named capture: `(?<n`" },
	{ "(?P<n", "invalid named capture: `(?P<n`" },
	{ "(?P<>a)", "invalid named capture: `(?P<>`" },
	{ "(?P<a b>a)", "invalid named capture: `(?P<a b>`" },
	{ "(?<\xc3\xa4>a)", "invalid named capture: `(?<\xc3\xa4>`" },
	{ "(?i", "invalid or unsupported Perl syntax: `(?i`" },
	{ "(?z)", "invalid or unsupported Perl syntax: `(?z`" },
	{ "(?P=n)", "invalid or unsupported Perl syntax: `(?P`" },
	{ "(?>a)", "invalid or unsupported Perl syntax: `(?>`" },
	{ "(?i)(?s", "invalid or unsupported Perl syntax: `(?s`" },
};

static void test_syntax(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(syntax); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_(re_unrefp) struct re *re = NULL;
		_cleanup_(buf_release) struct buf want = BUF_INIT;
		int rc = re_compile(sv_from(syntax[i].pattern), &re, &err);

		if (syntax[i].words)
			buf_printf(&want, "error parsing regexp: %s", syntax[i].words);
		if ((rc < 0) != (syntax[i].words != NULL) || strcmp(rc < 0 ? err_msg(&err) : "", buf_cstr(&want)) != 0)
			fail_msg("%s: got '%s', want '%s'", syntax[i].pattern, rc < 0 ? err_msg(&err) : "taken",
				 buf_cstr(&want));
		if (rc < 0)
			assert_int_equal(err.reason, ERR_INVALID);
	}
}

static struct re *compiled(const char *pattern)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct re *re = NULL;

	if (re_cached(sv_from(pattern), &re, &err) < 0)
		fail_msg("%s: %s", pattern, err_msg(&err));
	return re;
}

static const struct {
	const char *pattern, *text;
	bool match, whole;
} matches[] = {
	{ "", "", true, true },
	{ "", "abc", true, false },
	{ "b", "abc", true, false },
	{ "^b", "abc", false, false },
	{ "a|ab", "ab", true, true }, /* the whole text, not the first alternative */
	{ "^a$", "a\n", false, false },
	{ "(?m)^b$", "a\nb\nc", true, false },
	{ ".", "\n", false, false },
	{ "(?s).", "\n", true, true },
	{ "^.$", "\xc3\xa4", true, true }, /* a character, not a byte */
	{ "(?i)stra\xc3\x9f"
	  "e",
	  "STRA\xc3\x9f"
	  "E",
	  true, true },
	{ "^\\w+$", "\xc3\xa4", false, false }, /* of ASCII only */
	{ "^\\pL+$", "\xc3\xa4", true, true },
	{ "(?<year>\\d{4})", "in 2026", true, false },
	{ "\\bfoo\\b", "a foo b", true, false },
	{ "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a-b", true, true },
	{ "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a-", false, false },
	{ "^.{0,1000}$", "x", true, true },
	{ "(x+x+)+y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", false, false },
};

static void test_match(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(matches); i++) {
		_cleanup_(re_unrefp) struct re *re = compiled(matches[i].pattern);
		struct sv text = sv_from(matches[i].text);

		if (re_match(re, text) != matches[i].match || re_match_whole(re, text) != matches[i].whole)
			fail_msg("%s on %s", matches[i].pattern, matches[i].text);
	}
}

/* All matches, joined with '|'. */
static const struct {
	const char *pattern, *text, *all;
} finds[] = {
	{ "a", "banana", "a|a|a" }, { "an?", "banana", "an|an|a" }, { "", "ab", "||" },
	{ "a*", "baac", "|aa|" }, /* the empty one behind "aa" does not count */
	{ "a*", "", "" },	    { "x", "abc", NULL },	    { "[0-9]+", "1 22 333", "1|22|333" },
	{ "", "\xc3\xa4", "|" }, /* before and behind, not within */
	{ "^a", "aaa", "a" },	    { "\\b", "ab c", "|||" },	    { "a|b*", "abb", "a|bb" },
	{ "b*", "abc", "|b|" },
};

static void test_find_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(finds); i++) {
		_cleanup_(re_unrefp) struct re *re = compiled(finds[i].pattern);
		_cleanup_(buf_release) struct buf got = BUF_INIT;
		struct re_all all = RE_ALL(re, sv_from(finds[i].text));
		size_t n = 0;

		for (; re_all_next(&all); n++)
			buf_printf(&got, "%s%.*s", n ? "|" : "", SV_ARG(all.match));
		if ((n > 0) != (finds[i].all != NULL) || (finds[i].all && strcmp(buf_cstr(&got), finds[i].all) != 0))
			fail_msg("%s on %s: %zu, %s", finds[i].pattern, finds[i].text, n, buf_cstr(&got));
		assert_false(re_all_next(&all));
	}
}

static void test_groups(void **state)
{
	_cleanup_(re_unrefp) struct re *re = compiled("(a)(?:b)(c)?(?<last>d)?");
	struct sv got[RE_GROUPS_MAX + 1];

	(void)state;
	assert_int_equal(re_groups(re), 3);
	assert_true(re_find(re, SV("xabd"), 0, got, ARRAY_LEN(got)));
	assert_true(sv_eq(got[0], SV("abd")) && sv_eq(got[1], SV("a")) && sv_eq(got[3], SV("d")));
	assert_null(got[2].p);
	assert_null(got[4].p);
	assert_false(re_find(re, SV("xabd"), 2, got, 1));
	assert_false(re_find(re, SV("xabd"), 5, got, 1));
	assert_true(sv_eq(re_pattern(re), SV("(a)(?:b)(c)?(?<last>d)?")));
}

/* What costs more than it should is refused, or runs in its bound. */
static void test_bounds(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, text = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(re_unrefp) struct re *re = NULL, *wide = NULL, *deep = NULL;

	(void)state;
	for (size_t i = 0; i <= RE_PATTERN_MAX; i++)
		buf_addc(&b, 'a');
	assert_true(re_compile(buf_sv(&b), &re, &err) < 0);
	assert_true(sv_starts(sv_from(err_msg(&err)), SV("error parsing regexp: expression too large: `aaa")));
	err_release(&err);
	/* One that needs more room than most gets it, one that needs too much does not. */
	wide = compiled("^\\pL{1,253}$");
	assert_true(re_match(wide, SV("a\xc3\xa4")));
	assert_true(re_compile(SV("((\\pL{100}){10}\\PL{1000}){1}(\\pL{1000}){1}(\\PL{1000})"), &re, &err) < 0);
	assert_true(sv_starts(sv_from(err_msg(&err)), SV("error parsing regexp: expression too large: `((")));
	err_release(&err);
	buf_clear(&b);
	for (size_t i = 0; i < 5000; i++)
		buf_adds(&b, "(?:");
	assert_true(re_compile(buf_sv(&b), &re, &err) < 0);
	assert_true(sv_starts(sv_from(err_msg(&err)), SV("error parsing regexp: expression nests too deeply: `(?:")));
	buf_clear(&b);
	for (size_t i = 0; i < 900; i++)
		buf_adds(&b, "(a|");
	for (size_t i = 0; i < 900; i++)
		buf_adds(&b, "b)*");
	deep = compiled(buf_cstr(&b));
	for (size_t i = 0; i < 20000; i++)
		buf_addc(&text, i % 2 ? 'a' : 'b');
	assert_true(re_match(deep, buf_sv(&text)));
}

static void test_cache(void **state)
{
	_cleanup_(re_unrefp) struct re *first = NULL, *again = NULL;
	char pattern[32];

	(void)state;
	re_cache_clear();
	first = compiled("kept");
	again = compiled("kept");
	assert_true(re_size(first) > 4 && re_steps(first, 1000) == 1000 * (uint64_t)re_size(first));
	assert_ptr_equal(first, again);
	assert_int_equal(re_cache_count(), 1);
	for (int i = 0; i < 1000; i++) {
		snprintf(pattern, sizeof(pattern), "p%d", i);
		re_unref(compiled(pattern));
		assert_true(re_cache_bytes() <= RE_CACHE_BYTES);
	}
	assert_true(re_cache_count() < 1000);
	/* Out of the cache, and still whole. */
	assert_true(re_match(first, SV("is kept")));
	re_cache_clear();
	assert_int_equal(re_cache_bytes(), 0);
}

static void *thread_of(void *ctx)
{
	for (int i = 0; i < 200; i++) {
		char pattern[32];
		_cleanup_(re_unrefp) struct re *re = NULL;

		snprintf(pattern, sizeof(pattern), "^(a|b%d)+$", i % 7);
		if (re_cached(sv_from(pattern), &re, NULL) < 0 || !re_match(re, SV("aaaaaa")) || re_match(re, SV("c")))
			return ctx;
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_of, threads), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	re_cache_clear();
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#elif defined(__has_feature)
static const bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
static const bool sanitized = false;
#endif

static bool mapped(const char *what)
{
	_cleanup_free_ char *line = NULL;
	FILE *f = fopen("/proc/self/maps", "re");
	size_t cap = 0;
	bool found = false;

	while (f && !found && getline(&line, &cap, f) > 0)
		found = strstr(line, what) != NULL;
	if (f)
		fclose(f);
	return found;
}

/* Whoever uses no expression has nothing of it in memory. Comes first. */
static void test_lazy(void **state)
{
	(void)state;
	assert_false(mapped("libre2"));
	if (!sanitized) /* whose run time may be C++ */
		assert_false(mapped("libstdc++"));
	re_unref(compiled("a"));
	assert_true(mapped("libre2"));
	re_cache_clear();
}

/* What plain patterns mean is what RE2 says; and what it refuses is not plain. */
static void plain_as_re2(struct sv pattern, struct sv text)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(re_unrefp) struct re *re = NULL;
	bool does = false;
	size_t steps = 0;

	if (!re_plain(pattern))
		return;
	if (re_cached(pattern, &re, &err) < 0)
		fail_msg("'%.*s' is plain, but: %s", SV_ARG(pattern), err_msg(&err));
	if (re_plain_match(pattern, text, &does, &steps) && does != re_match(re, text))
		fail_msg("'%.*s' in '%.*s': plain says %d", SV_ARG(pattern), SV_ARG(text), does);
}

static void test_plain_is_what_schemas_have(void **state)
{
	static const char *const patterns[] = {
		"",
		"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
		"(^\\*$)|(^(http(s)?):\\/\\/(((\\*\\.)?([a-zA-Z0-9\\-]+\\.)*[a-zA-Z0-9-]+|\\*)(:([0-9]{1,5}))?)$)",
		"^([0-9]{1,5}(h|m|s|ms)){1,4}$",
		"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
		"^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$",
		"[a-z]\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$",
		"^v\\d+(?:(alpha|beta)\\d+)?$",
		"^[^\\s@]+@\\S+?\\.\\w{2,}$",
		"a{0}b{0,2}c{2,}()(|d)",
		"^(?i)\\.?[a-z_][a-z_0-9]*(\\.[^b-z_][a-z_0-9]*)*$",
		"((?i)M|E)@",
	};
	/* Not a count to Go, but characters: RE2 says so. */
	static const char *const others[] = { "a{01}", "a{00}", "a{1,02}", "a{,2}", "a{1", "a{1,2", "a{-1}", "{1}" };
	static const char *const texts[] = { "",       "a",	"a-b.c0",  "https://*.example.com:8443",
					     "10m30s", "1h",	"v1beta2", "me@example.com",
					     "x/y~z",  "bbccd", "cc",	   "A.B0c",
					     "*",      "a\n",	"a.E@c" };

	(void)state;
	re_cache_clear();
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		assert_true(re_plain(sv_from(patterns[i])));
		for (size_t k = 0; k < ARRAY_LEN(texts); k++)
			plain_as_re2(sv_from(patterns[i]), sv_from(texts[k]));
	}
	for (size_t i = 0; i < ARRAY_LEN(syntax); i++)
		assert_false(syntax[i].words && re_plain(sv_from(syntax[i].pattern)));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(re_plain(sv_from(others[i])));
}

static void test_plain_at_random(void **state)
{
	static const char *const pieces[] = { "a",
					      "b",
					      "-",
					      "[ab]",
					      "[^a]",
					      "[a-]",
					      "(",
					      ")",
					      "(?:",
					      "|",
					      "*",
					      "+",
					      "?",
					      "{2}",
					      "{,2}",
					      "{1,}",
					      "{0,3}",
					      "^",
					      "$",
					      ".",
					      "\\d",
					      "\\.",
					      "]",
					      "[",
					      "[\\w-b]",
					      "}",
					      "{",
					      "\\x41",
					      "(?i)",
					      "(a|b",
					      "((a{9}){9}){9}",
					      "{01}",
					      "{00}",
					      "{1,02}",
					      "{1001}",
					      "{2,1}",
					      "{1",
					      "[]a]",
					      "[^]",
					      "[--1]",
					      "[a-b-1]",
					      "[a-\\d]",
					      "[^\\W\\]]",
					      "[\\x00-\\x7f]",
					      "[[:alpha:]]",
					      "(?s)",
					      "(?i:",
					      "(?-i)",
					      "\\Q*\\E",
					      "\\_",
					      "\\S",
					      "\\",
					      "0",
					      "1" };
	unsigned seed = 7;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char pattern[128] = "", text[8] = "";

		for (int n = rand_r(&seed) % 9; n > 0; n--)
			strcat(pattern, pieces[(size_t)rand_r(&seed) % ARRAY_LEN(pieces)]);
		for (int k = 0, n = rand_r(&seed) % 7; k < n; k++)
			text[k] = "aAb-1.\n{}0,]"[rand_r(&seed) % 12];
		plain_as_re2(sv_from(pattern), sv_from(text));
		if (i % 100 == 0)
			re_cache_clear(); /* or it is RE2 that answers */
	}
}

/* Bounds: what is too much for it is RE2's, and what does not match costs text times pattern at most. */
static void test_plain_is_small(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool does;
	size_t steps = 0;

	(void)state;
	assert_false(re_plain(SV("[a-z]{257}")));
	assert_false(re_plain(SV("(){1001}")));
	assert_false(re_plain(SV("((){100}){100}")));
	assert_false(re_plain(SV("\xc3\xa4")));
	for (int i = 0; i < 200; i++)
		buf_addc(&b, '(');
	assert_false(re_plain(buf_sv(&b)));
	/* What leaves nothing in the program is bounded by its text, and counts. */
	buf_clear(&b);
	buf_adds(&b, "^a$");
	while (b.n + 4 <= 1024)
		buf_adds(&b, "(?:)");
	re_cache_clear();
	assert_true(re_plain(buf_sv(&b)));
	assert_true(re_plain_match(buf_sv(&b), SV("a"), &does, &steps));
	assert_true(does && steps > 1000);
	buf_adds(&b, "(?:)");
	assert_false(re_plain(buf_sv(&b)));
	assert_false(re_plain_match(buf_sv(&b), SV("a"), &does, &steps));
	while (b.n <= RE_PATTERN_MAX)
		buf_adds(&b, "(?:)");
	plain_as_re2(buf_sv(&b), SV("a"));
	buf_clear(&b);
	assert_false(re_plain_match(SV("a"), SV("\xc3\xa4"), &does, &steps));
	buf_clear(&b);
	for (int i = 0; i < 1024; i++)
		buf_addc(&b, 'a');
	re_cache_clear();
	assert_true(re_plain_match(SV("(a*)*b"), buf_sv(&b), &does, &steps));
	assert_false(does);
	assert_true(steps < 1025 * 16);
	buf_addc(&b, 'a');
	assert_false(re_plain_match(SV("a"), buf_sv(&b), &does, &steps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lazy),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_find_all),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_plain_is_small),
		cmocka_unit_test(test_plain_is_what_schemas_have),
		cmocka_unit_test(test_plain_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
