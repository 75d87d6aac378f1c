/* Long answers that cost time to make, many at once: what a loop makes of them in one turn has a bound, so that
 * whatever else comes has its turn soon. Counted are pieces between two turns, no times. */
#include "unit.h"

#include "h2_frames.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define PIECE ((size_t)16 * 1024)
#define PIECES 64
#define PIECE_NS NS_PER_MS
#define CONNS 16
/* Those of five milliseconds, one more that was begun before the end (over HTTP/2 two fill a frame), and as much of the
 * first that has waited. */
#define A_TURN (5 + 1 + 2 + 2)

static struct {
	struct ev_loop *loop;
	struct http_server *server;
	pthread_t thread;
	char text[PIECE];
	int made, most; /* the loop's, as what follows */
	int of[2];	/* made for each owner; of the one of many when the other one was done */
	int others_then;
	atomic_int over;
	atomic_bool stopping;
} t;

struct slow {
	struct http_source src;
	int made, whose;
};

static bool slow_next(struct http_source *s, struct http_chunk *ret)
{
	struct slow *m = (struct slow *)s;
	uint64_t until = uv_hrtime() + PIECE_NS;

	if (m->made == PIECES)
		return false;
	while (uv_hrtime() < until)
		;
	m->made++;
	t.made++;
	if (++t.of[m->whose] == PIECES && m->whose == 1)
		t.others_then = t.of[0];
	*ret = (struct http_chunk){ .data = sv_make(t.text, PIECE) };
	return true;
}

static void slow_release(struct http_source *s)
{
	(void)s;
	atomic_fetch_add(&t.over, 1);
}

static void handler(struct http_req *r, void *ctx)
{
	struct slow *m = ARENA_NEW(r->arena, struct slow);

	(void)ctx;
	m->whose = sv_is(r->path, "/few");
	if (sv_is(r->path, "/few") || sv_is(r->path, "/many"))
		http_req_owner(r, m->whose + 1);
	m->src = (struct http_source){ .total = PIECES * PIECE, .next = slow_next, .release = slow_release };
	http_respond_source(r, 200, NULL, 0, &m->src);
}

/* Once a turn of the loop. */
static void turn(void *ctx)
{
	(void)ctx;
	t.most = MAX(t.most, t.made);
	t.made = 0;
	if (!atomic_load(&t.stopping))
		ev_loop_post(t.loop, turn, NULL);
}

static void *run(void *l)
{
	ev_loop_run(l);
	return NULL;
}

/* Reads whatever comes until all answers are made. */
static void read_all(const int *fds)
{
	struct pollfd p[CONNS];
	char sink[65536];

	while (atomic_load(&t.over) < CONNS) {
		for (int i = 0; i < CONNS; i++)
			p[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
		assert_true(poll(p, CONNS, 100) >= 0);
		for (int i = 0; i < CONNS; i++)
			if (p[i].revents)
				(void)recv(fds[i], sink, sizeof(sink), MSG_DONTWAIT);
	}
}

/* Asks on all of fds; paths[1] on the last one. Returns when all is there. */
static void ask_all(int fds[CONNS], const char *const paths[2])
{
	struct fixture where = { 0 };
	struct err err = ERR_INIT;

	memset(&t, 0, sizeof(t));
	memset(t.text, 'x', sizeof(t.text));
	t.loop = ev_loop_new(NULL);
	t.server = http_server_start(
	    &t.loop, 1, &(struct http_server_opts){ .bind_address = "127.0.0.1", .handler = handler }, &err);
	assert_non_null(t.server);
	where.port = http_server_port(t.server);
	assert_int_equal(pthread_create(&t.thread, NULL, run, t.loop), 0);
	for (int i = 0; i < CONNS; i++) {
		fds[i] = i % 2 ? h2_connect(&where) : client_connect(&where);
		if (i % 2) { /* windows that never shut */
			send_frame(fds[i], SETTINGS, 0, 0, SV("\0\x04\x3f\xff\xff\xff"));
			send_window(fds[i], 0, 1 << 30);
		}
	}
	ev_loop_post(t.loop, turn, NULL);
	for (int i = 0; i < CONNS; i++) {
		const char *path = paths[i == CONNS - 1];
		char head[64];

		(void)snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
		if (i % 2)
			send_head(fds[i], 1, false, path, END_STREAM);
		else
			client_sends(fds[i], head);
	}
	read_all(fds);
	for (int i = 0; i < CONNS; i++)
		close(fds[i]);
	atomic_store(&t.stopping, true);
	http_server_stop(t.server, NS_PER_SEC);
	ev_loop_stop(t.loop);
	pthread_join(t.thread, NULL);
	ev_loop_free(t.loop);
}

static void test_turns(void **state)
{
	static const char *const paths[] = { "/", "/" };
	int fds[CONNS];

	(void)state;
	ask_all(fds, paths);
	assert_in_range(t.most, 1, A_TURN);
}

/* One has a connection, another has all others: each gets a half, but for what each of those made before it was seen to
 * be long. */
static void test_owners(void **state)
{
	static const char *const paths[] = { "/many", "/few" };
	int fds[CONNS];

	(void)state;
	ask_all(fds, paths);
	assert_in_range(t.most, 1, A_TURN);
	assert_int_equal(t.of[0], (CONNS - 1) * PIECES);
	assert_in_range(t.others_then, 0, (CONNS - 1) * PIECES / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_turns), cmocka_unit_test(test_owners) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
