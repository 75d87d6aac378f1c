/* Connections that the far side opens: what is refused, bytes both ways, ends of all kinds, and a dial that falls back
 * on them. The near server, the far side's loop and an echoing server are threads of their own. */
#include "unit.h"

#include "base/buf.h"
#include "ev/ev.h"
#include "net/http.h"
#include "net/reverse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME SV("system:node:a")
#define GUARD_MS 20000

struct rig {
	struct reverse_hub *hub;
	struct ev_loop *near, *far;
	pthread_t near_thread, far_thread, echo_thread;
	struct http_server *http;
	struct reverse_near *last; /* near loop's */
	int echo_fd, echo_port;

	/* Told by the far loop. */
	_Atomic int parked, used, closed;
	_Atomic int reason; /* of the last that closed */
	int port;	    /* to which the next one leads */
};

static void *run_loop(void *loop)
{
	ev_loop_run(loop);
	return NULL;
}

static void over(struct http_req *r, void *ctx)
{
	(void)ctx;
	http_req_unref(r);
}

static void handler(struct http_req *r, void *ctx)
{
	struct rig *rig = ctx;
	struct err err = ERR_INIT;

	if (sv_is(r->path, "/hello")) {
		http_respond_text(r, 200, "text/plain", SV("hello"));
		return;
	}
	http_req_ref(r);
	rig->last = reverse_park(rig->hub, r, NAME, over, rig, &err);
	if (rig->last)
		return;
	http_respond_text(r, err_code(&err), "text/plain", sv_from(err_msg(&err)));
	http_req_unref(r);
	err_release(&err);
}

/* Sends back what it gets, a connection at a time. */
static void *echo(void *ctx)
{
	struct rig *r = ctx;
	char b[65536];

	for (;;) {
		int fd = accept(r->echo_fd, NULL, NULL);
		ssize_t n;

		if (fd < 0)
			return NULL;
		while ((n = read(fd, b, sizeof(b))) > 0)
			for (ssize_t at = 0, w; at < n; at += w)
				if ((w = write(fd, b + at, (size_t)(n - at))) < 0)
					n = w = 0;
		close(fd);
	}
}

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(in);

	r->hub = reverse_hub_new();
	r->near = ev_loop_new(NULL);
	r->far = ev_loop_new(NULL);
	r->http = http_server_start(&r->near, 1,
				    &(struct http_server_opts){ .bind_address = "127.0.0.1",
								.max_body = 1 << 16,
								.max_connections = 100,
								.handler = handler,
								.ctx = r },
				    NULL);
	assert_non_null(r->http);
	r->echo_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(r->echo_fd, (struct sockaddr *)&in, n), 0);
	assert_int_equal(listen(r->echo_fd, 8), 0);
	assert_int_equal(getsockname(r->echo_fd, (struct sockaddr *)&in, &n), 0);
	r->port = r->echo_port = ntohs(in.sin_port);
	pthread_create(&r->near_thread, NULL, run_loop, r->near);
	pthread_create(&r->far_thread, NULL, run_loop, r->far);
	pthread_create(&r->echo_thread, NULL, echo, r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	reverse_hub_close(r->hub);
	if (r->http)
		http_server_stop(r->http, NS_PER_SEC / 10);
	ev_loop_stop(r->near);
	pthread_join(r->near_thread, NULL);
	ev_loop_free(r->near);
	reverse_hub_free(r->hub);
	ev_loop_stop(r->far);
	pthread_join(r->far_thread, NULL);
	ev_loop_free(r->far);
	shutdown(r->echo_fd, SHUT_RDWR);
	pthread_join(r->echo_thread, NULL);
	close(r->echo_fd);
	free(r);
	return 0;
}

static void on_parked(void *ctx)
{
	((struct rig *)ctx)->parked++;
}

static void on_used(void *ctx)
{
	((struct rig *)ctx)->used++;
}

static void on_closed(const struct err *err, void *ctx)
{
	struct rig *r = ctx;

	r->reason = err ? (int)err->reason : 0;
	r->closed++;
}

static void open_one(void *ctx)
{
	static const struct reverse_far_cb cb = { on_parked, on_used, on_closed };
	struct rig *r = ctx;
	const struct http_endpoint near = { .host = "127.0.0.1", .port = http_server_port(r->http) };

	reverse_far_open(r->far, &near, "/connect", "127.0.0.1", r->port, &cb, r);
}

/* Until a counter is n: it is another thread's. */
static void until(_Atomic int *counter, int n)
{
	for (int ms = 0; *counter < n && ms < GUARD_MS; ms++)
		poll(NULL, 0, 1);
	assert_true(*counter >= n);
}

static void park(struct rig *r, int n)
{
	int had = r->parked;

	for (int i = 0; i < n; i++)
		ev_loop_post(r->far, open_one, r);
	until(&r->parked, had + n);
	for (int ms = 0; reverse_parked(r->hub, NAME) < n && ms < GUARD_MS; ms++)
		poll(NULL, 0, 1);
}

static int dial(struct rig *r)
{
	struct err err = ERR_INIT;
	int fd = reverse_dial(r->hub, NAME, &err);

	assert_true(fd >= 0);
	err_release(&err);
	return fd;
}

/* n bytes there and back, of which at most `ahead` are on their way. */
static void exchange(int fd, size_t n, size_t ahead)
{
	char out[8192], in[8192];
	size_t sent = 0, got = 0;

	while (got < n) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t k;

		if (sent < n && sent - got < ahead)
			p.events |= POLLOUT;
		assert_true(poll(&p, 1, GUARD_MS) > 0);
		if (p.revents & POLLOUT) {
			for (size_t i = 0; i < sizeof(out); i++)
				out[i] = (char)((sent + i) % 251);
			k = write(fd, out, MIN(sizeof(out), n - sent));
			assert_true(k > 0);
			sent += (size_t)k;
		}
		if (!(p.revents & ~POLLOUT))
			continue;
		k = read(fd, in, sizeof(in));
		assert_true(k > 0);
		for (ssize_t i = 0; i < k; i++)
			assert_int_equal(in[i], (char)((got + (size_t)i) % 251));
		got += (size_t)k;
	}
}

static void is_at_its_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char b[16];

	assert_true(poll(&p, 1, GUARD_MS) > 0);
	assert_true(read(fd, b, sizeof(b)) <= 0);
}

static void test_nobody_there(void **state)
{
	struct rig *r = *state;
	struct err err = ERR_INIT;

	assert_int_equal(reverse_dial(r->hub, NAME, &err), -1);
	assert_int_equal(err.reason, ERR_UNAVAILABLE);
	err_release(&err);
	park(r, 1);
	assert_int_equal(reverse_dial(r->hub, SV("system:node:b"), NULL), -1); /* another name's is no help */
	assert_int_equal(reverse_parked(r->hub, SV("system:node:b")), 0);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	const struct http_endpoint near = { .host = "127.0.0.1", .port = http_server_port(r->http) };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct http_pool *pool = http_pool_new();
	struct http_response res;

	/* Who wants no upgrade, or another one. */
	assert_int_equal(http_call(pool, &a, &near, "GET", "/connect", NULL, 0, SV(""), 0, 4096, &res, NULL), 0);
	assert_int_equal(res.status, 400);
	http_pool_free(pool);
	/* When the server is ending: not now. */
	reverse_hub_close(r->hub);
	ev_loop_post(r->far, open_one, r);
	until(&r->closed, 1);
	assert_int_equal(r->reason, ERR_TOO_MANY_REQUESTS);
}

/* Those that were parked before may be of a far side that was cut off: the newest is used, and the oldest goes. */
static void test_newest_first(void **state)
{
	struct rig *r = *state;
	int fd, echo_port = r->port;

	r->port = 1; /* nobody is there */
	park(r, REVERSE_PARKED_MAX);
	r->port = echo_port;
	ev_loop_post(r->far, open_one, r);
	until(&r->parked, REVERSE_PARKED_MAX + 1);
	until(&r->closed, 1);
	assert_int_equal(r->reason, 0);
	assert_int_equal(r->used, 0);
	for (int ms = 0; reverse_parked(r->hub, NAME) > REVERSE_PARKED_MAX && ms < GUARD_MS; ms++)
		poll(NULL, 0, 1);
	assert_int_equal(reverse_parked(r->hub, NAME), REVERSE_PARKED_MAX);
	fd = dial(r);
	exchange(fd, 5, 5);
	close(fd);
	until(&r->closed, 2);
}

static void test_bytes(void **state)
{
	struct rig *r = *state;
	int fd;

	park(r, 2);
	for (int i = 0; i < 2; i++) {
		fd = dial(r);
		assert_int_equal(reverse_parked(r->hub, NAME), 1 - i);
		exchange(fd, 5, 5);
		until(&r->used, i + 1);
		exchange(fd, (size_t)4 << 20, (size_t)2 << 20); /* more than all queues on the way take */
		close(fd);
		until(&r->closed, i + 1);
		assert_int_equal(r->reason, 0);
	}
}

static void test_nothing_listens_there(void **state)
{
	struct rig *r = *state;
	int fd;

	r->port = 1;
	park(r, 1);
	fd = dial(r);
	assert_int_equal(write(fd, "x", 1), 1);
	is_at_its_end(fd);
	close(fd);
	until(&r->closed, 1);
	assert_int_equal(r->reason, ERR_UNAVAILABLE);
}

static void test_given_up_before_a_word(void **state)
{
	struct rig *r = *state;

	park(r, 1);
	close(dial(r));
	until(&r->closed, 1);
	assert_int_equal(r->used, 0);
	assert_int_equal(reverse_dial(r->hub, NAME, NULL), -1);
}

static void test_the_end(void **state)
{
	struct rig *r = *state;
	int fd;

	park(r, 3);
	fd = dial(r);
	exchange(fd, 5, 5);
	/* Those that wait end with the hub; the one in use goes on. */
	reverse_hub_close(r->hub);
	until(&r->closed, 2);
	assert_int_equal(reverse_dial(r->hub, NAME, NULL), -1);
	exchange(fd, 5, 5);
	close(fd);
	until(&r->closed, 3);
}

/* --- a dial that falls back --- */

struct asked {
	struct rig *r;
	const struct http_via *via;
	int port, status;
	_Atomic int done, dials;
	struct buf body;
	enum err_reason reason;
	int empty; /* so many times nothing is parked, at first */
};

static void close_last(void *ctx)
{
	reverse_near_close(((struct rig *)ctx)->last);
}

/* By whoever parked it: one that waits, and one that is used. */
static void test_taken_back(void **state)
{
	struct rig *r = *state;
	int fd;

	park(r, 1);
	ev_loop_post(r->near, close_last, r);
	until(&r->closed, 1);
	for (int ms = 0; reverse_parked(r->hub, NAME) && ms < GUARD_MS; ms++)
		poll(NULL, 0, 1);
	assert_int_equal(reverse_parked(r->hub, NAME), 0);
	assert_int_equal(reverse_dial(r->hub, NAME, NULL), -1);
	park(r, 1);
	fd = dial(r);
	exchange(fd, 10000, 5000);
	ev_loop_post(r->near, close_last, r);
	is_at_its_end(fd);
	close(fd);
	until(&r->closed, 2);
}

static int via_dial(void *ctx, const char *peer_name, struct err *err)
{
	struct asked *k = ctx;

	assert_string_equal(peer_name, "system:node:a");
	k->dials++;
	if (k->empty > 0) {
		k->empty--;
		return err_set(err, ERR_UNAVAILABLE, "keeps none");
	}
	return reverse_dial(k->r->hub, sv_from(peer_name), err);
}

static void ask_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	(void)d;
	((struct asked *)ctx)->status = head->status;
}

static void ask_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	(void)d;
	buf_addsv(&((struct asked *)ctx)->body, bytes);
}

static void ask_closed(struct http_dialog *d, const struct err *err, void *ctx)
{
	struct asked *k = ctx;

	(void)d;
	k->reason = err ? err->reason : ERR_NONE;
	k->done = 1;
}

static void ask_now(void *ctx)
{
	static const struct http_dialog_cb cb = { .head = ask_head, .data = ask_data, .closed = ask_closed };
	struct asked *k = ctx;
	const struct http_endpoint ep = {
		.host = "127.0.0.1", .port = k->port, .peer_name = "system:node:a", .via = k->via
	};

	http_dial(k->r->far, &ep, "GET", "/hello", NULL, 0, SV(""), NS_PER_SEC, &cb, k);
}

static void ask(struct rig *r, struct asked *k, int when, int port, int empty)
{
	struct http_via via = { via_dial, k, when };

	*k = (struct asked){ .r = r, .via = &via, .port = port, .empty = empty };
	ev_loop_post(r->far, ask_now, k);
	until(&k->done, 1);
	buf_release(&k->body);
}

static void test_another_way(void **state)
{
	struct rig *r = *state;
	struct asked k;
	int there = http_server_port(r->http);

	r->port = there; /* what is behind the tunnel is a server that answers */
	park(r, 3);
	/* The address answers: the other way is not asked. */
	ask(r, &k, VIA_ELSE, there, 0);
	assert_int_equal(k.status, 200);
	assert_int_equal(k.dials, 0);
	/* It does not. */
	ask(r, &k, VIA_ELSE, 1, 0);
	assert_int_equal(k.status, 200);
	assert_int_equal(k.dials, 1);
	/* First, and nothing is there: the address. */
	ask(r, &k, VIA_FIRST, there, 1);
	assert_int_equal(k.status, 200);
	assert_int_equal(k.dials, 1);
	/* First, and it is there, though the address is none. */
	ask(r, &k, VIA_FIRST, 1, 0);
	assert_int_equal(k.status, 200);
	/* Alone, and only the third time. */
	ask(r, &k, VIA_ONLY, there, 2);
	assert_int_equal(k.status, 200);
	assert_int_equal(k.dials, 3);
	/* Never: it is said why, when the time is up. */
	ask(r, &k, VIA_ONLY, there, 1 << 20);
	assert_int_equal(k.status, 0);
	assert_int_equal(k.reason, ERR_UNAVAILABLE);
}

int main(void)
{
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_nobody_there),
		RIG_TEST(test_refused),
		RIG_TEST(test_newest_first),
		RIG_TEST(test_bytes),
		RIG_TEST(test_nothing_listens_there),
		RIG_TEST(test_given_up_before_a_word),
		RIG_TEST(test_the_end),
		RIG_TEST(test_taken_back),
		RIG_TEST(test_another_way),
	};

	return cmocka_run_group_tests_name("net/reverse", tests, NULL, NULL);
}
