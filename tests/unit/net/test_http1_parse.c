/* HTTP/1 syntax: what is accepted, and the long list of what is not. */
#include "unit.h"

#include "net/http.h"
#include "net/http1_parse.h"

#include <stdlib.h>

/* Scans (in all cuts) and parses; the status, or -1 when the head is not complete. */
static int parse(struct arena *a, const char *text, struct h1_head *ret)
{
	struct sv in = sv_from(text);
	const char *why = NULL;
	ssize_t whole;

	whole = h1_scan(&(struct h1_scan){ 0 }, in);
	for (size_t cut = 1; cut < in.n; cut++) {
		struct h1_scan s = { 0 };
		ssize_t n = h1_scan(&s, sv_sub(in, 0, cut));

		if (n == 0)
			n = h1_scan(&s, in);
		assert_int_equal(n, whole);
	}
	if (whole == 0)
		return -1;
	if (whole < 0)
		return whole == -2 ? 431 : 400;
	return h1_parse_head(a, arena_strndup(a, text, in.n), (size_t)whole, ret, &why);
}

static void test_a_request(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct h1_head h;

	(void)state;
	assert_int_equal(parse(&a,
			       "PATCH /api/v1/pods?watch=1&x=%20 HTTP/1.1\r\nHost: h:6443\r\nX-Thing:  a b\t\r\n"
			       "Content-Length: 12\r\nExpect: 100-Continue\r\nEmpty:\r\n\r\nbody",
			       &h),
			 0);
	assert_sv(h.method, "PATCH");
	assert_sv(h.target, "/api/v1/pods?watch=1&x=%20");
	assert_sv(h.path, "/api/v1/pods");
	assert_sv(h.query, "watch=1&x=%20");
	assert_sv(h.host, "h:6443");
	assert_int_equal(h.n_headers, 5);
	assert_sv(h.headers[1].name, "x-thing");
	assert_sv(h.headers[1].value, "a b");
	assert_sv(h.headers[4].name, "empty");
	assert_sv(h.headers[4].value, "");
	assert_int_equal(h.content_length, 12);
	assert_true(h.expect_continue && h.keep_alive && !h.upgrade && !h.chunked);

	/* Any token is a method; which one is served is not said here. */
	assert_int_equal(parse(&a, "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", &h), 0);
	assert_sv(h.method, "BREW");
	assert_sv(h.path, "/pot");
	assert_int_equal(parse(&a, "BR(EW /pot HTTP/1.1\r\nHost: h\r\n\r\n", &h), 400);
	assert_int_equal(parse(&a, "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", &h), 400);

	assert_int_equal(parse(&a, "GET http://other:80/x?y HTTP/1.0\r\nHost: h\r\n\r\n", &h), 0);
	assert_sv(h.path, "/x");
	assert_sv(h.query, "y");
	assert_sv(h.host, "other:80");
	assert_false(h.keep_alive);

	assert_int_equal(
	    parse(&a, "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", &h),
	    0);
	assert_true(h.upgrade);
	assert_int_equal(
	    parse(&a, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n", &h), 0);
	assert_true(h.chunked && !h.keep_alive);
	assert_int_equal(parse(&a, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &h), 0);
	assert_sv(h.path, "*");
}

static void test_many_headers(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *why = NULL;
	struct h1_head h;

	(void)state;
	buf_adds(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 500; i++)
		buf_printf(&b, "H%d: v%d\r\n", i, i);
	buf_adds(&b, "\r\n");
	assert_int_equal(h1_scan(&(struct h1_scan){ 0 }, buf_sv(&b)), (ssize_t)b.n);
	assert_int_equal(h1_parse_head(&a, arena_strndup(&a, b.p, b.n), b.n, &h, &why), 0);
	assert_int_equal(h.n_headers, 501);
	assert_sv(h.headers[0].name, "host");
	assert_sv(h.headers[500].name, "h499");
	assert_sv(h.headers[500].value, "v499");
}

#define H "Host: h\r\n"

static const struct {
	const char *text;
	int status;
} refused[] = {
	{ "GET / HTTP/1.1\nHost: h\n\n", 400 },		      /* bare LF */
	{ "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400 },   /* one of them */
	{ "GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 400 }, /* folded */
	{ "GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" H "A: b\rc\r\n\r\n", 400 }, /* CR inside */
	{ "GET / HTTP/1.1\r\n" H "A : b\r\n\r\n", 400 },   /* space before the colon */
	{ "GET / HTTP/1.1\r\n" H " A: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" H "A\x01: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" H "A: b\x01\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" H "A: b\x7f\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n\r\n", 400 },	  /* no Host */
	{ "GET / HTTP/1.1\r\n" H H "\r\n", 400 }, /* two */
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 1 2\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: \r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	  "chunked\r\n\r\n",
	  400 },
	{ "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\n" H "Expect: tea\r\n\r\n", 417 },
	{ "GET / HTTP/2.0\r\n" H "\r\n", 505 },
	{ "GET / HTTP/1.2\r\n" H "\r\n", 505 },
	{ "GET / HTTP/0.9\r\n" H "\r\n", 505 },
	{ "GET /\r\n\r\n", 400 }, /* HTTP/0.9 */
	{ "GET / HTTX/1.1\r\n" H "\r\n", 400 },
	{ "GET / HTTP/1.1 \r\n" H "\r\n", 400 },
	{ "GET  HTTP/1.1\r\n" H "\r\n", 400 },
	{ "GET relative HTTP/1.1\r\n" H "\r\n", 400 },
	{ "GET /a#b HTTP/1.1\r\n" H "\r\n", 400 },
	{ "GET /a b HTTP/1.1\r\n" H "\r\n", 400 },
	{ "GET ftp://x/ HTTP/1.1\r\n" H "\r\n", 400 },
	{ "CONNECT h:1 HTTP/1.1\r\n" H "\r\n", 400 },
	{ "B@D / HTTP/1.1\r\n" H "\r\n", 400 },
	{ "\x16\x03\x01\x02\r\n\r\n", 400 },	 /* TLS where none is */
	{ "GET / HTTP/1.1\r\nHost: h\r\n", -1 }, /* not complete */
	{ "GET / HTTP/1.1\r\nHost: h\r\n\r", -1 },
	{ "GET", -1 },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct h1_head h;
		int status = parse(&a, refused[i].text, &h);

		if (status != refused[i].status)
			fail_msg("%d instead of %d for: %s", status, refused[i].status, refused[i].text);
	}
}

static void test_too_long(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct h1_scan s = { 0 };

	(void)state;
	buf_adds(&b, "GET / HTTP/1.1\r\nA: ");
	while (b.n <= H1_HEAD_MAX)
		buf_adds(&b, "xxxxxxxxxxxxxxxx");
	assert_int_equal(h1_scan(&s, buf_sv(&b)), -2);
	buf_adds(&b, "\r\n\r\n");
	s = (struct h1_scan){ 0 };
	assert_int_equal(h1_scan(&s, buf_sv(&b)), -2);
}

/* Decodes in pieces of `step`; "error" or the body, with '|' and what was left over. */
static char *dechunk(const char *text, size_t step)
{
	struct h1_chunks c = { 0 };
	struct buf out = BUF_INIT;
	struct sv all = sv_from(text);
	int more = 1;

	buf_adds(&out, "");
	for (size_t at = 0; at < all.n && more > 0; at += step) {
		struct sv in = sv_sub(all, at, step), piece;

		while ((more = h1_chunks_feed(&c, &in, &piece)) > 0 && piece.n)
			buf_addsv(&out, piece);
		if (more == 0) {
			buf_addc(&out, '|');
			buf_addsv(&out, in);
			buf_addsv(&out, sv_sub(all, at + step, all.n));
		}
	}
	if (more < 0) {
		buf_clear(&out);
		buf_adds(&out, "error");
	}
	return buf_detach(&out);
}

static const struct {
	const char *in, *out;
} chunked[] = {
	{ "0\r\n\r\n", "|" },
	{ "5\r\nhello\r\n0\r\n\r\nGET", "hello|GET" },
	{ "5;name=value;x=\"y\"\r\nhello\r\nA\r\n0123456789\r\n00\r\nTrailer: x\r\nB: y\r\n\r\nrest",
	  "hello0123456789|rest" },
	{ "5\r\nhel", "hel" },
	{ "5\nhello\r\n0\r\n\r\n", "error" },
	{ "5;a\nb\r\nhello\r\n0\r\n\r\n", "error" },
	{ "5\rX", "error" },
	{ "5\r\nhelloXX", "error" },
	{ "5\r\nhello\n0\r\n\r\n", "error" },
	{ "\r\n", "error" },
	{ "g\r\n", "error" },
	{ " 5\r\nhello", "error" },
	{ "5 \r\nhello", "error" },
	{ "-1\r\n", "error" },
	{ "0x5\r\nhello", "error" },
	{ "1234567890abcdef0\r\n", "error" },
	{ "0\r\n\n", "error" },
	{ "0\r\nT: x\n\r\n", "error" },
	{ "0\r\n T: x\r\n\r\n", "error" },
	{ "0\r\n\rX", "error" },
};

static void test_chunks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chunked); i++) {
		for (size_t step = 1; step <= strlen(chunked[i].in); step++) {
			char *got = dechunk(chunked[i].in, step);

			assert_string_equal(got, chunked[i].out);
			free(got);
		}
	}
}

static void test_chunk_extras_are_bounded(void **state)
{
	struct h1_chunks c = { 0 };
	struct sv piece, in = SV("1;");
	int more;

	(void)state;
	more = h1_chunks_feed(&c, &in, &piece);
	for (size_t i = 0; i < H1_TRAILER_MAX && more > 0; i++) {
		in = SV("xx");
		more = h1_chunks_feed(&c, &in, &piece);
	}
	assert_int_equal(more, -1);
}

static void test_flags(void **state)
{
	(void)state;
	assert_false(http_query_true(SV("false")));
	assert_false(http_query_true(SV("False")));
	assert_false(http_query_true(SV("FALSE")));
	assert_false(http_query_true(SV("0")));
	assert_true(http_query_true(SV("")));
	assert_true(http_query_true(SV("true")));
	assert_true(http_query_true(SV("True")));
	assert_true(http_query_true(SV("1")));
	assert_true(http_query_true(SV("no")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request), cmocka_unit_test(test_many_headers),
		cmocka_unit_test(test_refused),	  cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_chunks),	  cmocka_unit_test(test_chunk_extras_are_bounded),
		cmocka_unit_test(test_flags),
	};

	return cmocka_run_group_tests_name("net/http1_parse", tests, NULL, NULL);
}
