#include "unit.h"

#include "base/go_quote.h"
#include "object/url.h"

/* What url.ParseRequestURI says, and url.Parse when that is something else. NULL: it is taken. */
static const struct {
	const char *text, *request, *parse;
} words[] = {
	{ "https://example.com/a", NULL, NULL },
	{ "/a?b", NULL, NULL },
	{ "*", NULL, NULL },
	{ "mailto:x@y", NULL, NULL },
	{ "http:", NULL, NULL },
	{ "http://", NULL, NULL },
	{ "//host/path", NULL, NULL },
	{ "http://[::1]:80/", NULL, NULL },
	{ "http://[fe80::1%25eth0]/", NULL, NULL },
	{ "http://user:p%40ss@host", NULL, NULL },
	{ "http://a b", "invalid character \" \" in host name", "" },
	{ "", "empty url", NULL },
	{ "a", "invalid URI for request", NULL },
	{ "a:b", NULL, NULL },
	{ "1a:b", "invalid URI for request", "first path segment in URL cannot contain colon" },
	{ ":a", "missing protocol scheme", "" },
	{ "http://h:x/", "invalid port \":x\" after host", "" },
	{ "http://::1/", "invalid port \"::1\" after host", "" },
	{ "http://a:80:80/", "invalid port \":80:80\" after host", "" },
	{ "http://[::1", "missing ']' in host", "" },
	{ "http://[::1]x", "invalid port \"x\" after host", "" },
	{ "http://[1.2.3.4]/", "invalid IP-literal", "" },
	{ "http://x[::1]/", "invalid IP-literal", "" },
	{ "http://[x]/", "invalid host: ParseAddr(\"x\"): unable to parse IP", "" },
	{ "/%zz", "invalid URL escape \"%zz\"", "" },
	{ "/%4", "invalid URL escape \"%4\"", "" },
	{ "http://%41/", "invalid URL escape \"%41\"", "" },
	{ "http://a\"b@h/", "net/url: invalid userinfo", "" },
	{ "/\n", "net/url: invalid control character in URL", "" },
	{ "/#%zz", "invalid URL escape \"%zz\"", "" },
	{ "/a#b", NULL, NULL },
};

static void check(struct arena *a, const char *text, bool request, const char *want)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct url u;
	bool ok = request ? url_parse_request(a, sv_from(text), &u, &err) : url_parse(a, sv_from(text), &u, &err);

	buf_adds(&b, "parse ");
	go_quote(&b, sv_from(text));
	buf_printf(&b, ": %s", want ? want : "");
	if (ok != !want || (want && strcmp(err_msg(&err), buf_cstr(&b)) != 0))
		fail_msg("%s: %s, not %s", text, ok ? "taken" : err_msg(&err), want ? buf_cstr(&b) : "taken");
}

static void test_words(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		const char *parse = words[i].parse;

		check(&a, words[i].text, true, words[i].request);
		check(&a, words[i].text, false, parse && !*parse ? words[i].request : parse);
	}
}

/* Scheme, host, hostname, port, escaped path, query, fragment, and all of it written again. */
static const struct {
	const char *text, *scheme, *host, *hostname, *port, *path, *query, *fragment, *again;
} parts[] = {
	{ "HTTPS://Example.com:80/a b?q=1#f", "https", "Example.com:80", "Example.com", "80", "/a%20b", "q=1", "f",
	  "https://Example.com:80/a%20b?q=1#f" },
	{ "https://[::1]:80/", "https", "[::1]:80", "::1", "80", "/", "", "", "https://[::1]:80/" },
	{ "https://[::1]/", "https", "[::1]", "::1", "", "/", "", "", "https://[::1]/" },
	{ "/path", "", "", "", "", "/path", "", "", "/path" },
	{ "https://example.com", "https", "example.com", "example.com", "", "", "", "", "https://example.com" },
	{ "http://h/a%2Fb", "http", "h", "h", "", "/a%2Fb", "", "", "http://h/a%2Fb" },
	{ "http://h/a%7eb{", "http", "h", "h", "", "/a~b%7B", "", "", "http://h/a~b%7B" },
	{ "http://u:p@h/?", "http", "h", "h", "", "/", "", "", "http://u:p@h/?" },
	{ "mailto:a@b", "mailto", "", "", "", "", "", "", "mailto:a@b" },
	{ "http:/x", "http", "", "", "", "/x", "", "", "http:/x" },
	{ "http://h:/", "http", "h:", "h", "", "/", "", "", "http://h:/" },
};

static void test_parts(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct url u;

		assert_true(url_parse(&a, sv_from(parts[i].text), &u, NULL));
		url_write(&a, &b, &u);
		if (!sv_is(u.scheme, parts[i].scheme) || !sv_is(u.host, parts[i].host) ||
		    !sv_is(url_hostname(&u), parts[i].hostname) || !sv_is(url_port(&u), parts[i].port) ||
		    !sv_is(url_escaped_path(&a, &u), parts[i].path) || !sv_is(u.query, parts[i].query) ||
		    !sv_is(u.fragment, parts[i].fragment) || strcmp(buf_cstr(&b), parts[i].again) != 0)
			fail_msg("%s: %s", parts[i].text, buf_cstr(&b));
	}
}

static void test_pairs(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct url_pairs q = { .rest = SV("k1=a&k2=b+c&&x;y=1&%zz=1&=v&z&k%20=%41=") };

	(void)state;
	while (url_pairs_next(&a, &q))
		buf_printf(&b, "[%.*s|%.*s]", SV_ARG(q.key), SV_ARG(q.value));
	assert_string_equal(buf_cstr(&b), "[k1|a][k2|b c][|v][z|][k |A=]");
}

static void test_quote(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	go_quote(&b, SV("a\"\\\n\t\x01\x7f\xc3\xa4\xff\xe2\x80\x8b\xc2\xa0\xf0\x9f\x98\x80"));
	assert_string_equal(buf_cstr(&b), "\"a\\\"\\\\\\n\\t\\x01\\x7f\xc3\xa4\\xff\\u200b\\u00a0\xf0\x9f\x98\x80\"");
	buf_clear(&b);
	go_quote_bare(&b, SV("a\"\\\n\t\x1b[31m\xc2\x9b\xc3\xa4\xff"));
	assert_string_equal(buf_cstr(&b), "a\"\\\n\t\\x1b[31m\\u009b\xc3\xa4\\xff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
