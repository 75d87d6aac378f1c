#include "unit.h"

#include "base/buf.h"
#include "ev/ev.h"
#include "fake_http.h"
#include "net/http_client.h"
#include "net/http_kept.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* One exchange, run to its end on a loop of this thread. */
struct seen {
	struct ev_loop *loop;
	int status;
	struct buf data;
	int closed;
	enum err_reason reason;
	char why[200];
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
	snprintf(s->why, sizeof(s->why), "%s", err ? err_msg(err) : "");
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

/* The loop stands for longer than a connection may take: it was made meanwhile. */
static void a_loop_that_stood(void **state)
{
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = fake_http_port(srv) };
	struct seen s = { .loop = *state };

	http_dial(s.loop, &ep, "POST", "/echo", NULL, 0, SV("body"), 20 * NS_PER_MS, &cb, &s);
	(void)usleep(100 * 1000);
	ev_loop_run(s.loop);
	assert_string_equal(s.why, "");
	assert_int_equal(s.status, 200);
	buf_release(&s.data);
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

/* A body that is said while it comes: before there is a connection and after, no longer and no shorter than was said.
 */
static void uploads(void **state)
{
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = fake_http_port(srv) };
	struct seen s = { .loop = *state };
	struct http_dialog *d = http_dial_upload(*state, &ep, "POST", "/echo", NULL, 0, 10, 20 * NS_PER_SEC, &cb, &s);

	assert_true(http_dialog_body(d, SV("hello")) > 0);
	assert_int_equal(http_dialog_body(d, SV(" there")), 0); /* one more than was said */
	assert_true(http_dialog_body(d, SV(" you!")) > 0);
	assert_int_equal(http_dialog_body(d, SV("x")), 0);
	http_dialog_body_end(d);
	ev_loop_run(*state);
	assert_int_equal(s.status, 200);
	assert_string_equal(buf_cstr(&s.data), "hello you!");
	assert_int_equal(s.reason, ERR_NONE);
	buf_release(&s.data);

	s = (struct seen){ .loop = *state };
	d = http_dial_upload(*state, &ep, "POST", "/echo", NULL, 0, 10, 20 * NS_PER_SEC, &cb, &s);
	(void)http_dialog_body(d, SV("hello"));
	http_dialog_body_end(d);
	ev_loop_run(*state);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.reason, ERR_BAD_REQUEST);
	buf_release(&s.data);

	/* How it is written: this one takes the chunks for its next request, and the head says that they are chunks. */
	s = (struct seen){ .loop = *state };
	d = http_dial_upload(*state, &ep, "PUT", "/headers", NULL, 0, -1, 20 * NS_PER_SEC, &cb, &s);
	(void)http_dialog_body(d, SV("hello"));
	ev_loop_run(*state);
	assert_int_equal(s.status, 200);
	assert_non_null(strstr(buf_cstr(&s.data), "transfer-encoding: chunked"));
	assert_null(strstr(buf_cstr(&s.data), "content-length"));
	assert_int_equal(s.reason, ERR_NONE); /* answered before it was through */
	buf_release(&s.data);
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

/* --- connections that are kept --- */

static struct http_kept *kept;

static int kept_setup(void **state)
{
	kept = http_kept_new();
	return setup(state);
}

static void *kept_closer(void *ctx)
{
	http_kept_close(kept);
	ev_loop_stop(ctx);
	return NULL;
}

static int kept_teardown(void **state)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, kept_closer, *state), 0);
	ev_loop_run(*state);
	pthread_join(t, NULL);
	assert_int_equal(http_kept_resting(kept), 0);
	http_kept_free(kept);
	return teardown(state);
}

/* The body of the answer, in s. */
static const char *ask(struct ev_loop *l, struct seen *s, const char *method, const char *target)
{
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = fake_http_port(srv), .kept = kept };

	buf_release(&s->data);
	*s = (struct seen){ .loop = l, .say = s->say, .until = s->until, .close_at_head = s->close_at_head };
	http_dial(l, &ep, method, target, NULL, 0, strcmp(method, "POST") ? SV("") : SV("body"), 20 * NS_PER_SEC, &cb,
		  s);
	ev_loop_run(l);
	assert_int_equal(s->closed, 1);
	return buf_cstr(&s->data);
}

static void connections_are_used_again(void **state)
{
	struct seen s = { 0 };

	for (int i = 0; i < 5; i++) {
		assert_string_equal(ask(*state, &s, "GET", i % 2 ? "/hello" : "/chunked"), "hello");
		assert_int_equal(s.reason, ERR_NONE);
		assert_int_equal(http_kept_resting(kept), 1);
	}
	assert_int_equal(fake_http_accepted(srv), 1);
	/* What may not be asked twice has a new one, which rests, too. */
	assert_string_equal(ask(*state, &s, "POST", "/echo"), "body");
	assert_int_equal(fake_http_accepted(srv), 2);
	assert_int_equal(http_kept_resting(kept), 2);
	buf_release(&s.data);
}

static void what_ends_by_itself_does_not_rest(void **state)
{
	struct seen s = { 0 };

	assert_string_equal(ask(*state, &s, "GET", "/eof"), "to the end");
	assert_string_equal(ask(*state, &s, "GET", "/cut"), "abc");
	assert_int_equal(s.reason, ERR_UNAVAILABLE);
	assert_int_equal(http_kept_resting(kept), 0);
	s.close_at_head = true;
	(void)ask(*state, &s, "GET", "/big");
	assert_int_equal(http_kept_resting(kept), 0);
	s = (struct seen){ .data = s.data, .say = "quiet", .until = "UPGRADEDQUIET" };
	assert_string_equal(ask(*state, &s, "GET", "/tunnel"), "UPGRADEDQUIET");
	assert_int_equal(http_kept_resting(kept), 0);
	buf_release(&s.data);
}

/* One that was closed meanwhile, and one whose end crosses the next request: asked again on a new one, once. */
static void one_that_left_is_replaced(void **state)
{
	struct seen s = { 0 };

	assert_string_equal(ask(*state, &s, "GET", "/leave"), "bye");
	fake_http_wait_left(srv);
	assert_string_equal(ask(*state, &s, "GET", "/hello"), "hello");
	assert_int_equal(s.reason, ERR_NONE);
	assert_int_equal(fake_http_accepted(srv), 2);
	assert_string_equal(ask(*state, &s, "GET", "/deaf"), "first");
	assert_int_equal(s.reason, ERR_NONE);
	assert_int_equal(fake_http_accepted(srv), 3);
	assert_int_equal(http_kept_resting(kept), 1);
	buf_release(&s.data);
}

static void those_of_another_peer_are_not_taken(void **state)
{
	struct http_endpoint ep = { .host = "127.0.0.1", .port = fake_http_port(srv), .kept = kept };
	struct seen s = { 0 };

	assert_string_equal(ask(*state, &s, "GET", "/hello"), "hello");
	ep.server_name = "other.example";
	s = (struct seen){ .loop = *state, .data = s.data };
	http_dial(*state, &ep, "GET", "/hello", NULL, 0, SV(""), 20 * NS_PER_SEC, &cb, &s);
	ev_loop_run(*state);
	assert_int_equal(fake_http_accepted(srv), 2);
	assert_int_equal(http_kept_resting(kept), 2);
	buf_release(&s.data);
}

/* A connection that somebody's way led to is for who goes that way. */
struct way {
	struct sockaddr_in to;
	int dialled;
};

static int way_dial(void *ctx, const char *peer_name, struct err *err)
{
	struct way *w = ctx;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)peer_name;
	w->dialled++;
	if (connect(fd, (struct sockaddr *)&w->to, sizeof(w->to)) == 0)
		return fd;
	close(fd);
	return err_set(err, ERR_UNAVAILABLE, "nobody there");
}

static void ways_are_kept_apart(void **state)
{
	struct way ways[2] = { 0 };
	const struct {
		int way; /* -1: none */
		int dialled[2], accepted;
	} rows[] = { { 0, { 1, 0 }, 1 }, { 0, { 1, 0 }, 1 }, { -1, { 1, 0 }, 2 }, { -1, { 1, 0 }, 2 },
		     { 1, { 1, 1 }, 3 }, { 0, { 1, 1 }, 3 }, { 1, { 1, 1 }, 3 } };

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		ways[i].to = (struct sockaddr_in){ .sin_family = AF_INET,
						   .sin_port = htons((uint16_t)fake_http_port(srv)),
						   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* Of this moment, as its owner's are. */
		struct http_via via = { .dial = way_dial,
					.ctx = rows[i].way < 0 ? NULL : &ways[rows[i].way],
					.when = VIA_ONLY };
		struct http_endpoint ep = { .host = "127.0.0.1",
					    .port = fake_http_port(srv),
					    .peer_name = "node",
					    .via = rows[i].way < 0 ? NULL : &via,
					    .kept = kept };
		struct seen s = { .loop = *state };

		http_dial(*state, &ep, "GET", "/hello", NULL, 0, SV(""), 20 * NS_PER_SEC, &cb, &s);
		ev_loop_run(*state);
		assert_string_equal(buf_cstr(&s.data), "hello");
		assert_int_equal(ways[0].dialled, rows[i].dialled[0]);
		assert_int_equal(ways[1].dialled, rows[i].dialled[1]);
		assert_int_equal(fake_http_accepted(srv), rows[i].accepted);
		buf_release(&s.data);
	}
	assert_int_equal(http_kept_resting(kept), 3);
}

static void many_closed(struct http_dialog *d, const struct err *err, void *ctx)
{
	int *left = ctx;

	(void)d;
	assert_null(err);
	--*left;
}

static void many_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	(void)d;
	(void)ctx;
	assert_int_equal(head->status, 200);
}

static void many_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	(void)d;
	(void)bytes;
	(void)ctx;
}

static void many_tick(void *ctx)
{
	void **at = ctx;

	if (*(int *)at[1] == 0)
		ev_loop_stop(at[0]);
}

static void so_many_rest(void **state)
{
	static const struct http_dialog_cb many = { .head = many_head, .data = many_data, .closed = many_closed };
	const struct http_endpoint ep = { .host = "127.0.0.1", .port = fake_http_port(srv), .kept = kept };
	int left = KEPT_PEER_MAX + 4;
	void *at[] = { *state, &left };
	struct ev_timer *t = ev_timer_start(*state, NS_PER_MS, NS_PER_MS, many_tick, at);

	for (int i = left; i > 0; i--)
		http_dial(*state, &ep, "GET", "/hello", NULL, 0, SV(""), 20 * NS_PER_SEC, &many, &left);
	ev_loop_run(*state);
	ev_timer_stop(t);
	assert_int_equal(http_kept_resting(kept), KEPT_PEER_MAX);
}

static const char *rst_says;

/* Takes the request, says something or nothing, and resets the connection. */
static void *rst_main(void *arg)
{
	const struct linger now = { .l_onoff = 1 };
	int fd = accept(*(int *)arg, NULL, NULL);
	char b[1024];

	assert_true(fd >= 0);
	assert_true(read(fd, b, sizeof(b)) > 0);
	if (rst_says)
		assert_true(write(fd, rst_says, strlen(rst_says)) > 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(fd);
	return NULL;
}

static struct seen reset_by(struct ev_loop *l, const char *says)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	struct http_endpoint ep = { .host = "127.0.0.1" };
	struct seen s = { 0 };
	pthread_t t;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	ep.port = ntohs(at.sin_port);
	rst_says = says;
	assert_int_equal(pthread_create(&t, NULL, rst_main, &fd), 0);
	run(l, &s, "/", &ep);
	pthread_join(t, NULL);
	close(fd);
	return s;
}

/* A peer that resets is told of as that, not as a descriptor of ours that is bad. */
static void test_reset(void **state)
{
	struct seen s = reset_by(*state, NULL);

	assert_int_not_equal(s.reason, ERR_NONE);
	if (!strstr(s.why, "Connection reset by peer"))
		fail_msg("%s", s.why);
	buf_release(&s.data);
}

/* Reads a head, then waits for its turn; answers, and resets. */
struct unwilling {
	int listener;
	sem_t read, go;
	pthread_t thread;
	struct http_dialog *d;
	struct ev_timer *look;
};

static void *unwilling_main(void *arg)
{
	static const char answer[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much";
	const struct linger now = { .l_onoff = 1 };
	struct unwilling *u = arg;
	int fd = accept(u->listener, NULL, NULL);
	char b[1024];

	BUG_ON(fd < 0 || read(fd, b, sizeof(b)) <= 0);
	sem_post(&u->read);
	sem_wait(&u->go);
	BUG_ON(write(fd, answer, sizeof(answer) - 1) < 0);
	BUG_ON(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0);
	close(fd);
	return NULL;
}

/* On the loop: it has answered and reset the connection, and nobody has read anything of that, when more is sent. */
static void send_to_unwilling(void *ctx)
{
	static char piece[100000];
	struct unwilling *u = ctx;

	if (sem_trywait(&u->read) < 0)
		return;
	u->look = ev_timer_stop(u->look);
	sem_post(&u->go);
	pthread_join(u->thread, NULL);
	assert_true(http_dialog_body(u->d, sv_make(piece, sizeof(piece))) > 0);
}

/* What was said before the connection broke is heard, also by who met that when he sent. */
static void test_answer_before_the_reset(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	struct http_endpoint ep = { .host = "127.0.0.1" };
	struct unwilling u = { .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	struct seen s = { .loop = *state };

	assert_int_equal(bind(u.listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(u.listener, 1), 0);
	assert_int_equal(getsockname(u.listener, (struct sockaddr *)&at, &n), 0);
	ep.port = ntohs(at.sin_port);
	sem_init(&u.read, 0, 0);
	sem_init(&u.go, 0, 0);
	assert_int_equal(pthread_create(&u.thread, NULL, unwilling_main, &u), 0);
	u.d = http_dial_upload(*state, &ep, "POST", "/", NULL, 0, 1000000, 20 * NS_PER_SEC, &cb, &s);
	u.look = ev_timer_start(*state, NS_PER_MS, NS_PER_MS, send_to_unwilling, &u);
	ev_loop_run(*state);
	assert_int_equal(s.status, 413);
	assert_string_equal(buf_cstr(&s.data), "too much");
	assert_int_equal(s.reason, ERR_NONE);
	close(u.listener);
	sem_destroy(&u.read);
	sem_destroy(&u.go);
	buf_release(&s.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(responses, setup, teardown),
		cmocka_unit_test_setup_teardown(a_loop_that_stood, setup, teardown),
		cmocka_unit_test_setup_teardown(tunnel, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_are_used_again, kept_setup, kept_teardown),
		cmocka_unit_test_setup_teardown(what_ends_by_itself_does_not_rest, kept_setup, kept_teardown),
		cmocka_unit_test_setup_teardown(one_that_left_is_replaced, kept_setup, kept_teardown),
		cmocka_unit_test_setup_teardown(those_of_another_peer_are_not_taken, kept_setup, kept_teardown),
		cmocka_unit_test_setup_teardown(ways_are_kept_apart, kept_setup, kept_teardown),
		cmocka_unit_test_setup_teardown(so_many_rest, kept_setup, kept_teardown),
		cmocka_unit_test_setup_teardown(uploads, setup, teardown),
		cmocka_unit_test_setup_teardown(close_from_the_head, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(who_may_be_dialled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer_before_the_reset, setup, teardown),
	};

	return cmocka_run_group_tests_name("http_dial", tests, NULL, NULL);
}
