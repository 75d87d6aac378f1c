#include "unit.h"

#include "base/buf.h"
#include "ev/ev.h"
#include "fake_http.h"
#include "net/http_client.h"

/* One exchange, run to its end on a loop of this thread. */
struct seen {
	struct ev_loop *loop;
	int status;
	struct buf data;
	int closed;
	enum err_reason reason;
	bool close_at_head;
	const char *say; /* in the tunnel; closed when it came back */
	const char *until;
};

static void on_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	struct seen *s = ctx;

	assert_int_equal(s->closed, 0);
	s->status = head->status;
	if (s->say)
		assert_int_not_equal(http_dialog_write(d, sv_from(s->say)), 0);
	if (s->close_at_head)
		http_dialog_close(d);
}

static void on_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	struct seen *s = ctx;

	assert_int_equal(s->closed, 0);
	assert_false(s->close_at_head);
	buf_addsv(&s->data, bytes);
	if (s->until && sv_is(buf_sv(&s->data), s->until))
		http_dialog_close(d);
}

static void on_closed(struct http_dialog *d, const struct err *err, void *ctx)
{
	struct seen *s = ctx;

	(void)d;
	s->closed++;
	s->reason = err ? err->reason : ERR_NONE;
	ev_loop_stop(s->loop);
}

static const struct http_dialog_cb cb = { .head = on_head, .data = on_data, .closed = on_closed };

static struct fake_http *srv;

static int setup(void **state)
{
	*state = ev_loop_new(NULL);
	srv = fake_http_start();
	return 0;
}

static int teardown(void **state)
{
	ev_loop_free(*state);
	fake_http_stop(srv);
	return 0;
}

static void run(struct ev_loop *l, struct seen *s, const char *target, const struct http_endpoint *to)
{
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = fake_http_port(srv) };
	const struct http_header h = { SV("x-test"), SV("yes") };

	s->loop = l;
	http_dial(l, to ? to : &ep, "POST", target, &h, 1, SV("body"), 20 * NS_PER_SEC, &cb, s);
	ev_loop_run(l);
	assert_int_equal(s->closed, 1);
}

static void responses(void **state)
{
	static const struct {
		const char *target, *body;
		int status;
		enum err_reason reason;
	} table[] = {
		{ "/hello", "hello", 200, ERR_NONE },  { "/chunked", "hello", 200, ERR_NONE },
		{ "/echo", "body", 200, ERR_NONE },    { "/eof", "to the end", 200, ERR_NONE },
		{ "/nowhere", "none", 404, ERR_NONE }, { "/cut", "abc", 200, ERR_UNAVAILABLE },
		{ "/a b", "", 0, ERR_BAD_REQUEST },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct seen s = { 0 };

		run(*state, &s, table[i].target, NULL);
		assert_int_equal(s.status, table[i].status);
		assert_string_equal(buf_cstr(&s.data), table[i].body);
		assert_int_equal(s.reason, table[i].reason);
		buf_release(&s.data);
	}
}

static void tunnel(void **state)
{
	struct seen s = { .say = "quiet", .until = "UPGRADEDQUIET" };

	run(*state, &s, "/tunnel", NULL);
	assert_int_equal(s.status, 101);
	assert_string_equal(buf_cstr(&s.data), "UPGRADEDQUIET");
	assert_int_equal(s.reason, ERR_NONE);
	buf_release(&s.data);
}

static void close_from_the_head(void **state)
{
	struct seen s = { .close_at_head = true };

	run(*state, &s, "/big", NULL);
	assert_int_equal(s.status, 200);
	assert_int_equal(s.data.n, 0);
	assert_int_equal(s.reason, ERR_NONE);
}

/* Who may be dialled is asked of each address that a name has, in digits, and that address is what is dialled: a name
 * that leads elsewhere when it is looked up again leads nobody there. */
struct asked {
	bool may;
	int n;
};

static int ask_address(const char *address, int port, void *ctx, struct err *err)
{
	struct asked *a = ctx;

	a->n++;
	assert_true(strcmp(address, "127.0.0.1") == 0 || strcmp(address, "::1") == 0);
	assert_int_equal(port, fake_http_port(srv));
	return a->may ? 0 : err_set(err, ERR_BAD_REQUEST, "address not allowed");
}

static void who_may_be_dialled(void **state)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1" };
	int accepted = 0;

	for (size_t i = 0; i < 2 * ARRAY_LEN(hosts); i++) {
		struct asked a = { .may = i >= ARRAY_LEN(hosts) };
		const struct http_endpoint to = { .host = hosts[i % ARRAY_LEN(hosts)],
						  .port = fake_http_port(srv),
						  .may_dial = ask_address,
						  .may_ctx = &a };
		struct seen s = { 0 };

		run(*state, &s, "/hello", &to);
		assert_true(a.n > 0);
		accepted += a.may;
		assert_int_equal(s.status, a.may ? 200 : 0);
		assert_int_equal(fake_http_accepted(srv), accepted);
		buf_release(&s.data);
	}
}

static void nobody_there(void **state)
{
	const struct http_endpoint none = { .host = "unix:/nonexistent/socket" };
	struct seen s = { 0 };

	run(*state, &s, "/", &none);
	assert_int_equal(s.reason, ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(responses, setup, teardown),
		cmocka_unit_test_setup_teardown(tunnel, setup, teardown),
		cmocka_unit_test_setup_teardown(close_from_the_head, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(who_may_be_dialled, setup, teardown),
	};

	return cmocka_run_group_tests_name("http_dial", tests, NULL, NULL);
}
