/* Links behind a proxy: which are led through it, and that a page comes out the same however it was cut. */
#include "unit.h"

#include "apiserver/proxy_links.h"

#define P "/api/v1/namespaces/d/services/w/proxy"

static const struct proxy_from from = { .prefix = SV(P),
					.backend = SV("10.42.0.5:8080"),
					.host = SV("127.0.0.1:6443") };

static void test_links(void **state)
{
	static const char *const cases[][2] = {
		{ "/", P "/" },
		{ "/a/b?c=d#e", P "/a/b?c=d#e" },
		{ "http://10.42.0.5:8080/a", P "/a" },
		{ "HTTPS://127.0.0.1:6443/a", P "/a" },
		{ "//10.42.0.5:8080/a", P "/a" },
		{ P "/a", P "/a" }, /* it knows already */
		{ P, P },
		{ P "x/a", P P "x/a" },
		/* elsewhere, or relative: as they are */
		{ "http://example.com/a", "http://example.com/a" },
		{ "//example.com/a", "//example.com/a" },
		{ "http://10.42.0.5:8081/a", "http://10.42.0.5:8081/a" },
		{ "http://10.42.0.5:8080", "http://10.42.0.5:8080" },
		{ "a/b", "a/b" },
		{ "../x", "../x" },
		{ "?q", "?q" },
		{ "#top", "#top" },
		{ "", "" },
		{ "mailto:a@b", "mailto:a@b" },
		{ "javascript:/x/", "javascript:/x/" },
		{ "data:/x", "data:/x" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_sv(proxy_link(&a, &from, sv_from(cases[i][0])), cases[i][1]);
}

/* Fed in pieces of n bytes. */
static void assert_page(const char *page, const char *wanted, size_t n)
{
	struct sv in = sv_from(page);
	struct buf out = BUF_INIT;
	struct proxy_html h;

	proxy_html_init(&h, &from);
	for (size_t i = 0; i < in.n; i += n)
		proxy_html_feed(&h, sv_sub(in, i, n), &out);
	proxy_html_end(&h, &out);
	assert_string_equal(buf_cstr(&out), wanted);
	buf_release(&out);
	proxy_html_release(&h);
}

static void test_pages(void **state)
{
	static const char *const cases[][2] = {
		{ "<a href=\"/x\">y</a>", "<a href=\"" P "/x\">y</a>" },
		{ "<A HREF='/x' class=\"/y\">", "<A HREF='" P "/x' class=\"/y\">" },
		{ "<a href=/x>y", "<a href=" P "/x>y" },
		{ "<a\n href = \"/x\"\n>", "<a\n href = \"" P "/x\"\n>" },
		{ "<img src=\"/a.png\" alt=\"a > b\" longdesc=\"/l\"/>",
		  "<img src=\"" P "/a.png\" alt=\"a > b\" longdesc=\"" P "/l\"/>" },
		{ "<form action=\"/f\"><input formaction='/g'>",
		  "<form action=\"" P "/f\"><input formaction='" P "/g'>" },
		{ "<object data=\"/o\"><p data=\"/o\">", "<object data=\"" P "/o\"><p data=\"/o\">" },
		{ "<script src=\"/s.js\">if (a<b) x('<a href=\"/x\">')</script><a href=\"/y\">",
		  "<script src=\"" P "/s.js\">if (a<b) x('<a href=\"/x\">')</script><a href=\"" P "/y\">" },
		{ "<title></titl><a href=\"/x\"></title><a href=\"/x\">",
		  "<title></titl><a href=\"/x\"></title><a href=\"" P "/x\">" },
		{ "<!-- <a href=\"/x\"> --><a href=\"/x\">", "<!-- <a href=\"/x\"> --><a href=\"" P "/x\">" },
		{ "<!doctype html><base href=\"/\">", "<!doctype html><base href=\"" P "/\">" },
		{ "1 < 2 <3 <<a href=\"/x\">", "1 < 2 <3 <<a href=\"" P "/x\">" },
		{ "<a href=\"http://example.com/\">", "<a href=\"http://example.com/\">" },
		{ "<a don't href=\"/x\">", "<a don't href=\"" P "/x\">" },
		{ "<a href=\"/x", "<a href=\"/x" }, /* cut short: passes */
		{ "<a href", "<a href" },
		{ "<a href>", "<a href>" },
		{ "<a =\"/x\">", "<a =\"/x\">" },
		{ "<", "<" },
		{ "", "" },
		{ "plain", "plain" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t n = 1; n < 12; n++)
			assert_page(cases[i][0], cases[i][1], n);
}

/* What never ends costs a bounded amount and comes through whole. */
static void test_endless(void **state)
{
	static const char *const begins[] = { "<a href=\"", "<!--", "<script>", "<a ", "<!x " };
	static char piece[1000];

	(void)state;
	memset(piece, 'x', sizeof(piece));
	for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
		struct buf out = BUF_INIT;
		struct proxy_html h;

		proxy_html_init(&h, &from);
		proxy_html_feed(&h, sv_from(begins[i]), &out);
		for (int k = 0; k < 1000; k++) {
			proxy_html_feed(&h, sv_make(piece, sizeof(piece)), &out);
			assert_true(h.tag.n <= 64 * 1024);
		}
		proxy_html_end(&h, &out);
		assert_int_equal(out.n, strlen(begins[i]) + 1000 * sizeof(piece));
		buf_release(&out);
		proxy_html_release(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
