#include "unit.h"

#include "base/buf.h"
#include "fake_http.h"
#include "net/http_client.h"

static struct fake_http *srv;
static struct http_endpoint ep;

static int setup(void **state)
{
	*state = http_pool_new();
	srv = fake_http_start();
	ep = (struct http_endpoint){ .host = "127.0.0.1", .port = fake_http_port(srv) };
	return 0;
}

static int teardown(void **state)
{
	http_pool_free(*state);
	fake_http_stop(srv);
	return 0;
}

static int get(struct http_pool *p, struct arena *a, const char *target, struct http_response *r, struct err *err)
{
	return http_call(p, a, &ep, "GET", target, NULL, 0, SV_NULL, 20 * NS_PER_SEC, 1 << 20, r, err);
}

static void simple(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct http_header h = { SV("x-test"), SV("yes") };
	struct http_response r;

	assert_int_equal(get(*state, &a, "/hello", &r, NULL), 0);
	assert_int_equal(r.status, 200);
	assert_sv(r.body, "hello");
	assert_sv(http_response_header(&r, "content-type"), "text/plain");
	assert_null(http_response_header(&r, "absent").p);
	assert_int_equal(get(*state, &a, "/chunked", &r, NULL), 0);
	assert_sv(r.body, "hello");
	assert_int_equal(get(*state, &a, "/nowhere", &r, NULL), 0);
	assert_int_equal(r.status, 404);
	assert_int_equal(http_call(*state, &a, &ep, "POST", "/echo", &h, 1, SV("body"), 0, 100, &r, NULL), 0);
	assert_sv(r.body, "body");
	assert_int_equal(http_call(*state, &a, &ep, "GET", "/headers", &h, 1, SV_NULL, 0, 1000, &r, NULL), 0);
	assert_true(sv_find_sv(r.body, SV("\r\nx-test: yes\r\n")) > 0);
	assert_int_equal(fake_http_accepted(srv), 1); /* all on one connection */
}

static void closed_idle_connection(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct http_response r;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(get(*state, &a, "/leave", &r, NULL), 0);
		assert_sv(r.body, "bye");
		fake_http_wait_left(srv);
	}
	assert_int_equal(get(*state, &a, "/hello", &r, NULL), 0);
	assert_int_equal(fake_http_accepted(srv), 4);
}

/* The server closes a kept connection at the very moment it is used. */
static void retried_once(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct http_response r;

	assert_int_equal(get(*state, &a, "/hello", &r, NULL), 0);
	assert_int_equal(get(*state, &a, "/deaf", &r, NULL), 0);
	assert_sv(r.body, "first");
	assert_int_equal(fake_http_accepted(srv), 2);
}

static void failures(void **state)
{
	static const struct {
		const char *target;
		int64_t timeout_ns;
		size_t max;
		enum err_reason reason;
	} table[] = {
		{ "/cut", 20 * NS_PER_SEC, 100, ERR_UNAVAILABLE },
		{ "/hang", 20 * NS_PER_MS, 100, ERR_TIMEOUT },
		{ "/big", 20 * NS_PER_SEC, 99999, ERR_TOO_LARGE },
		{ "/big", 20 * NS_PER_SEC, 0, ERR_TOO_LARGE },
		{ "/not allowed", 20 * NS_PER_SEC, 100, ERR_BAD_REQUEST },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct http_response r;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(http_call(*state, &a, &ep, "GET", table[i].target, NULL, 0, SV_NULL,
					   table[i].timeout_ns, table[i].max, &r, &err),
				 -1);
		assert_int_equal(err.reason, table[i].reason);
	}
	assert_int_equal(http_call(*state, &a, &ep, "GET", "/big", NULL, 0, SV_NULL, 0, 100000, &r, NULL), 0);
	assert_int_equal(r.body.n, 100000);
	assert_int_equal(get(*state, &a, "/eof", &r, NULL), 0);
	assert_sv(r.body, "to the end");
}

static void nobody_there(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct http_endpoint none = { .host = "unix:/nonexistent/socket" };
	struct http_response r;

	assert_int_equal(http_call(*state, &a, &none, "GET", "/", NULL, 0, SV_NULL, 0, 1, &r, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	assert_string_equal(err_msg(&err), "connecting to 'unix:/nonexistent/socket': No such file or directory");
}

struct seen {
	int status, stop_after;
	struct buf body;
};

static int seen_head(const struct http_response *head, void *ctx)
{
	struct seen *s = ctx;

	s->status = head->status;
	return 0;
}

static int seen_data(struct sv bytes, void *ctx)
{
	struct seen *s = ctx;

	buf_addsv(&s->body, bytes);
	return s->stop_after && s->body.n >= (size_t)s->stop_after;
}

static void streaming(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(http_call_stream(&a, &ep, "GET", "/chunked", NULL, 0, SV_NULL, NS_PER_SEC * 20, seen_head,
					  seen_data, &s, NULL),
			 0);
	assert_int_equal(s.status, 200);
	assert_sv(buf_sv(&s.body), "hello");
	buf_clear(&s.body);
	s.stop_after = 1;
	assert_int_equal(
	    http_call_stream(&a, &ep, "GET", "/big", NULL, 0, SV_NULL, NS_PER_SEC * 20, seen_head, seen_data, &s, NULL),
	    0);
	assert_true(s.body.n >= 1 && s.body.n < 100000);
	s.stop_after = 0;
	assert_int_equal(
	    http_call_stream(&a, &ep, "GET", "/cut", NULL, 0, SV_NULL, NS_PER_SEC * 20, NULL, seen_data, &s, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	buf_release(&s.body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(simple, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_idle_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(retried_once, setup, teardown),
		cmocka_unit_test_setup_teardown(failures, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(streaming, setup, teardown),
	};

	return cmocka_run_group_tests_name("http_call", tests, NULL, NULL);
}
