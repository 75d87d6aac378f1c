#include "unit.h"

#include "net/http_wire.h"

#include <stdlib.h>

static int note_head(const struct http_response *head, void *ctx)
{
	struct buf *log = ctx;

	buf_printf(log, "%d", head->status);
	for (size_t i = 0; i < head->n_headers; i++)
		buf_printf(log, " %.*s=%.*s", SV_ARG(head->headers[i].name), SV_ARG(head->headers[i].value));
	buf_addc(log, '|');
	return 0;
}

static int note_data(struct sv bytes, void *ctx)
{
	buf_addsv(ctx, bytes);
	return 0;
}

enum how { COMPLETE, AT_EOF, CUT, BAD, TUNNEL };

static const struct {
	const char *name, *method, *bytes;
	enum how how;
	const char *want, *rest;
	bool keep_alive;
} table[] = {
	{ "length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Y:  z \r\n\r\nhiREST", COMPLETE,
	  "200 content-length=2 x-y=z|hi", "REST", true },
	{ "chunked", "GET",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\nabc\r\n0\r\n\r\nREST", COMPLETE,
	  "200 transfer-encoding=chunked|hiabc", "REST", true },
	{ "trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
	  COMPLETE, "200 transfer-encoding=chunked|a", "", true },
	{ "close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", COMPLETE,
	  "200 connection=close content-length=0|", "", false },
	{ "until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nall of it", AT_EOF, "200|all of it", "", false },
	{ "no content", "DELETE", "HTTP/1.1 204 No Content\r\n\r\nREST", COMPLETE, "204|", "REST", true },
	{ "head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nREST", COMPLETE, "200 content-length=10|",
	  "REST", true },
	{ "continue first", "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
	  COMPLETE, "201 content-length=1|x", "", true },
	{ "upgrade", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nRAW", TUNNEL,
	  "101 upgrade=x connection=Upgrade|", "RAW", false },
	{ "upgrade without headers", "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\nRAW", TUNNEL, "101|", "RAW",
	  false },
	{ "cut in the head", "GET", "HTTP/1.1 200 OK\r\nContent-", CUT, "", "", false },
	{ "cut in the body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", CUT, "200 content-length=5|abc",
	  "", false },
	{ "cut in a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", CUT,
	  "200 transfer-encoding=chunked|abc", "", false },
	{ "not http", "GET", "SSH-2.0-OpenSSH\r\n", BAD, "", "", false },
	{ "two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", BAD, "", "",
	  false },
};

static void responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table) * 2; i++) {
		struct sv in = sv_from(table[i / 2].bytes);
		size_t piece = i % 2 ? 1 : in.n, at = 0;
		struct buf log = BUF_INIT;
		struct http_wire w;
		ssize_t used = 0;
		enum how how = table[i / 2].how;

		http_wire_init(&w, table[i / 2].method, note_head, note_data, &log);
		while (at < in.n && !w.complete) {
			struct sv part = sv_sub(in, at, piece);

			used = http_wire_feed(&w, part, NULL);
			if (used < 0)
				break;
			if (!w.complete)
				assert_int_equal(used, part.n);
			at += (size_t)used;
		}
		if (how == BAD ? used >= 0 : used < 0)
			fail_msg("%s: %zd", table[i / 2].name, used);
		if (how == AT_EOF || how == CUT) {
			assert_false(w.complete);
			assert_int_equal(http_wire_eof(&w, NULL), how == CUT ? -1 : 0);
		}
		if (strcmp(buf_cstr(&log), table[i / 2].want) != 0)
			fail_msg("%s: got '%s'", table[i / 2].name, buf_cstr(&log));
		if (how == COMPLETE || how == TUNNEL) {
			assert_true(w.complete);
			assert_int_equal(w.upgraded, how == TUNNEL);
			assert_int_equal(w.keep_alive, table[i / 2].keep_alive);
			assert_sv(sv_sub(in, at, in.n), table[i / 2].rest);
		}
		buf_release(&log);
		http_wire_release(&w);
	}
}

static void bounds(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct buf in = BUF_INIT;
	struct http_wire w;

	(void)state;
	http_wire_init(&w, "GET", NULL, note_data, &in);
	buf_adds(&in, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < HTTP_WIRE_HEADERS_MAX + 1; i++)
		buf_printf(&in, "h%d: x\r\n", i);
	assert_int_equal(http_wire_feed(&w, buf_sv(&in), &err), -1);
	assert_string_equal(err_msg(&err), "response headers are too large");
	http_wire_release(&w);
	buf_release(&in);
}

/* Some interim answers, but not without end. */
static void interim_answers(void **state)
{
	static const char *const heads[] = { "HTTP/1.1 103 Early Hints\r\n\r\n",
					     "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct buf log = BUF_INIT;
		struct http_wire w;
		ssize_t used = 0;
		size_t n = 0;

		http_wire_init(&w, "GET", note_head, note_data, &log);
		for (; n < 100; n++)
			assert_int_equal(http_wire_feed(&w, sv_from(heads[i]), &err), strlen(heads[i]));
		while (used >= 0 && n++ < 10000)
			used = http_wire_feed(&w, sv_from(heads[i]), &err);
		assert_true(n < 3000);
		assert_string_equal(err_msg(&err), "response headers are too large");
		assert_int_equal(log.n, 0);
		http_wire_release(&w);
		buf_release(&log);
	}
}

static void requests(void **state)
{
	const struct http_endpoint plain = { .host = "node", .port = 10250 }, std = { .host = "::1", .port = 80 },
				   path = { .host = "unix:/run/x" };
	const struct http_header h[] = { { SV("accept"), SV("a b") }, { SV("Host"), SV("other") } };
	struct buf out = BUF_INIT;
	static const struct {
		const char *method, *target;
		struct http_header header;
	} bad[] = {
		{ "GET", "/a b", { SV("x"), SV("y") } },      { "GET", "/a\r\nX: y", { SV("x"), SV("y") } },
		{ "GE T", "/", { SV("x"), SV("y") } },	      { "GET", "", { SV("x"), SV("y") } },
		{ "GET", "/", { SV("x"), SV("y\r\nz: 1") } }, { "GET", "/", { SV("x y"), SV("z") } },
		{ "GET", "/", { SV("x:"), SV("z") } },	      { "GET", "/", { SV(""), SV("z") } },
	};

	(void)state;
	assert_int_equal(http_wire_request(&out, &plain, "GET", "/x?y", h, 1, SV_NULL, NULL), 0);
	assert_string_equal(buf_cstr(&out), "GET /x?y HTTP/1.1\r\naccept: a b\r\nhost: node:10250\r\n"
					    "user-agent: caravel/" CARAVEL_VERSION "\r\n\r\n");
	buf_clear(&out);
	assert_int_equal(http_wire_request(&out, &std, "POST", "/", h + 1, 1, SV("hi"), NULL), 0);
	assert_string_equal(buf_cstr(&out), "POST / HTTP/1.1\r\nHost: other\r\nuser-agent: caravel/" CARAVEL_VERSION
					    "\r\ncontent-length: 2\r\n\r\nhi");
	buf_clear(&out);
	assert_int_equal(http_wire_request(&out, &std, "PUT", "/", NULL, 0, SV_NULL, NULL), 0);
	assert_true(sv_find_sv(buf_sv(&out), SV("host: [::1]\r\n")) > 0);
	assert_true(sv_find_sv(buf_sv(&out), SV("content-length: 0\r\n")) > 0);
	buf_clear(&out);
	assert_int_equal(http_wire_request(&out, &path, "GET", "/", NULL, 0, SV_NULL, NULL), 0);
	assert_true(sv_find_sv(buf_sv(&out), SV("host: localhost\r\n")) > 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(
		    http_wire_request(&out, &plain, bad[i].method, bad[i].target, &bad[i].header, 1, SV_NULL, NULL),
		    -1);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses),
		cmocka_unit_test(bounds),
		cmocka_unit_test(interim_answers),
		cmocka_unit_test(requests),
	};

	return cmocka_run_group_tests_name("http_wire", tests, NULL, NULL);
}
