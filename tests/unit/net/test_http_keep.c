#include "unit.h"

#include "base/buf.h"
#include "ev/ev.h"
#include "fake_http.h"
#include "net/http_keep.h"

#include <stdlib.h>

static struct fake_http *srv;

/* Calls under way on a loop of this thread, which stops when all have ended. */
static struct {
	struct ev_loop *loop;
	struct http_keep *keep;
	int left;
} on;

struct seen {
	int status, done;
	enum err_reason reason;
	char body[64];
	size_t body_n;
	bool sent;
	const char *next; /* called from done() */
};

static void start(struct seen *s, const char *target, size_t max, int64_t ns);

static void seen_done(const struct http_response *r, const struct err *err, bool sent, void *ctx)
{
	struct seen *s = ctx;

	s->done++;
	s->sent = sent;
	s->status = r ? r->status : 0;
	s->reason = err ? err->reason : ERR_NONE;
	assert_true(r || err);
	if (r) {
		s->body_n = r->body.n;
		memcpy(s->body, r->body.p, MIN(r->body.n, sizeof(s->body)));
	}
	if (s->next) {
		const char *next = s->next;

		s->next = NULL;
		start(s, next, 1024, 20 * NS_PER_SEC);
	}
	if (--on.left == 0)
		ev_loop_stop(on.loop);
}

static struct http_keep_call *begin(struct seen *s, const struct http_endpoint *ep, const char *target, size_t max,
				    int64_t ns)
{
	on.left++;
	return http_keep_call(on.keep, &(struct http_keep_opts){ .ep = ep,
								 .method = "POST",
								 .target = target,
								 .body = SV("body"),
								 .timeout_ns = ns,
								 .max_body = max,
								 .done = seen_done,
								 .ctx = s });
}

static void start(struct seen *s, const char *target, size_t max, int64_t ns)
{
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = fake_http_port(srv) };

	begin(s, &ep, target, max, ns);
}

static struct seen ask_of(const char *target, size_t max, int64_t ns)
{
	struct seen s = { 0 };

	start(&s, target, max, ns);
	ev_loop_run(on.loop);
	assert_int_equal(s.done, 1);
	return s;
}

static struct seen ask(const char *target)
{
	return ask_of(target, 1024, 20 * NS_PER_SEC);
}

static void emptied(void *ctx)
{
	ev_loop_stop(ctx);
}

static int setup(void **state)
{
	(void)state;
	srv = fake_http_start();
	on.loop = ev_loop_new(NULL);
	on.keep = http_keep_new(on.loop);
	on.left = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (on.keep) {
		http_keep_close(on.keep, emptied, on.loop);
		ev_loop_run(on.loop);
	}
	ev_loop_free(on.loop);
	fake_http_stop(srv);
	return 0;
}

static void whole_answers_on_one_connection(void **state)
{
	struct seen s;

	(void)state;
	for (int i = 0; i < 5; i++) {
		s = ask("/hello");
		assert_int_equal(s.status, 200);
		assert_true(sv_is(sv_make(s.body, s.body_n), "hello"));
	}
	s = ask("/chunked");
	assert_true(sv_is(sv_make(s.body, s.body_n), "hello"));
	assert_int_equal(fake_http_accepted(srv), 1);
	s = ask("/echo");
	assert_true(sv_is(sv_make(s.body, s.body_n), "body"));
	s = ask("/eof"); /* ends with its connection, and the next call has another */
	assert_int_equal(s.status, 200);
	s = ask("/hello");
	assert_int_equal(s.status, 200);
	assert_int_equal(fake_http_accepted(srv), 2);
}

static void a_kept_connection_that_is_closed(void **state)
{
	struct seen s;

	(void)state;
	assert_int_equal(ask("/leave").status, 200);
	fake_http_wait_left(srv);
	assert_int_equal(ask("/hello").status, 200);
	/* Closed without a word when it is used again: the call goes out once more. */
	s = ask("/deaf");
	assert_int_equal(s.status, 200);
	assert_true(sv_is(sv_make(s.body, s.body_n), "first"));
}

static void what_is_too_long_or_late(void **state)
{
	struct seen s;

	(void)state;
	s = ask_of("/big", 1000, 20 * NS_PER_SEC);
	assert_int_equal(s.reason, ERR_TOO_LARGE);
	s = ask_of("/big", 100000, 20 * NS_PER_SEC);
	assert_int_equal(s.body_n, 100000);
	s = ask_of("/hang", 1000, 20 * NS_PER_MS);
	assert_int_equal(s.reason, ERR_TIMEOUT);
	assert_true(s.sent);
	s = ask("/cut");
	assert_int_equal(s.reason, ERR_UNAVAILABLE);
	s = ask("/tunnel"); /* an answer as others */
	assert_int_equal(s.status, 101);
	assert_int_equal(ask("/hello").status, 200);
}

static void done_may_call_again(void **state)
{
	struct seen s = { .next = "/echo" };

	(void)state;
	start(&s, "/hello", 1024, 20 * NS_PER_SEC);
	ev_loop_run(on.loop);
	assert_int_equal(s.done, 2);
	assert_true(sv_is(sv_make(s.body, s.body_n), "body"));
}

static int never(const char *address, int port, void *ctx, struct err *err)
{
	*(const char **)ctx = strcmp(address, "127.0.0.1") == 0 || strcmp(address, "::1") == 0 ? "loopback" : "other";
	return err_set(err, ERR_BAD_REQUEST, "not there: %d", port);
}

static void addresses_that_may_not_be_dialled(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "::1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		const char *asked = NULL;
		const struct http_endpoint ep = {
			.host = hosts[i], .port = fake_http_port(srv), .may_dial = never, .may_ctx = &asked
		};
		struct seen s = { 0 };

		begin(&s, &ep, "/hello", 1024, 20 * NS_PER_SEC);
		ev_loop_run(on.loop);
		assert_int_equal(s.reason, ERR_BAD_REQUEST);
		assert_false(s.sent);
		assert_string_equal(asked, "loopback");
	}
	assert_int_equal(fake_http_accepted(srv), 0);
}

static void a_request_that_cannot_be_written(void **state)
{
	(void)state;
	assert_int_equal(ask("/a b").reason, ERR_BAD_REQUEST);
	assert_int_equal(fake_http_accepted(srv), 0);
}

static void cancelled_and_closed(void **state)
{
	struct seen s[3] = { { 0 } };
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = fake_http_port(srv) };

	(void)state;
	http_keep_cancel(begin(&s[0], &ep, "/hang", 1024, 20 * NS_PER_SEC));
	on.left--;
	begin(&s[1], &ep, "/hang", 1024, 20 * NS_PER_SEC);
	begin(&s[2], &ep, "/hello", 1024, 20 * NS_PER_SEC);
	on.left = 100; /* the end stops the loop */
	http_keep_close(on.keep, emptied, on.loop);
	on.keep = NULL;
	ev_loop_run(on.loop);
	assert_int_equal(s[0].done, 0);
	assert_int_equal(s[1].reason, ERR_UNAVAILABLE);
	assert_int_equal(s[2].reason, ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_answers_on_one_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kept_connection_that_is_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_too_long_or_late, setup, teardown),
		cmocka_unit_test_setup_teardown(done_may_call_again, setup, teardown),
		cmocka_unit_test_setup_teardown(addresses_that_may_not_be_dialled, setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_that_cannot_be_written, setup, teardown),
		cmocka_unit_test_setup_teardown(cancelled_and_closed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
