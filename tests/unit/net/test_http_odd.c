/* What peers do that clients need little of: all of it comes out of one bucket, and clients that work never see its
 * ground. */
#include "unit.h"

#include "h2_frames.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALM 0xb
#define RESET SV("\0\0\0\x08")

static int start(void **state)
{
	struct http_server_opts o = { .max_body = 100000 };

	return fixture_setup(state, &o);
}

/* Sends what the server may refuse to read. */
static void flood(int fd, const struct buf *b)
{
	for (size_t at = 0; at < b->n;) {
		ssize_t n = send(fd, b->p + at, b->n - at, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

/* The connection has been told to calm down, and why is told to whoever wants to know. */
static void assert_told(struct fixture *fx, int fd, int before, const char *words)
{
	static struct frame f;
	bool told;

	fixture_wait(fx, &fx->calmed, before + 1);
	pthread_mutex_lock(&fx->lock);
	told = sv_find_sv(sv_from(fx->calmed_for), sv_from(words)) >= 0;
	if (!told)
		print_error("%s, wanted %s\n", fx->calmed_for, words);
	pthread_mutex_unlock(&fx->lock);
	assert_true(told);
	while (read_frame(fd, &f))
		;
	close(fd);
	assert_int_equal(fx->calmed, before + 1); /* once a connection */
}

static void assert_calmed(struct fixture *fx, int fd, struct buf *b, const char *words)
{
	static struct frame f;
	int before = fx->calmed;

	flood(fd, b);
	buf_release(b);
	assert_true(await(fd, &f, GOAWAY, 0));
	assert_int_equal(u32_at(&f, 4), CALM);
	assert_told(fx, fd, before, words);
}

static void test_resets(void **state)
{
	struct buf b = BUF_INIT;
	int fd = h2_connect(*state);

	for (uint32_t i = 0; i < 1500; i++) {
		put_head(&b, 1 + 2 * i, false, "/hold", END_STREAM);
		put_frame(&b, RST_STREAM, 0, 1 + 2 * i, RESET);
	}
	assert_calmed(*state, fd, &b, " resets");
}

static void put_overflow(struct buf *b, uint32_t id)
{
	put_head(b, id, false, "/hold", END_STREAM);
	put_frame(b, WINDOW_UPDATE, 0, id, SV("\x7f\xff\xff\xff"));
}

static void put_wrong_length(struct buf *b, uint32_t id)
{
	put_frame(b, HEADERS, END_HEADERS, id, SV("\x83\x86\x84\x01\x01h\x0f\x0d\x01\x35"));
	put_frame(b, DATA, END_STREAM, id, SV("x"));
}

static void put_no_request(struct buf *b, uint32_t id)
{
	put_frame(b, HEADERS, END_HEADERS | END_STREAM, id, SV("\x82\x86"));
}

/* The peer has us reset what it asked for, a few at a time so that there are never too many streams: the work is done
 * all the same. */
static void test_made_you_reset(void **state)
{
	static void (*const ways[])(struct buf * b, uint32_t id) = { put_overflow, put_wrong_length, put_no_request };
	struct fixture *fx = *state;
	static struct frame f;

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		int fd = h2_connect(fx), before = fx->calmed;
		bool calm = false;

		for (uint32_t id = 1; !calm; id += 2) {
			struct buf b = BUF_INIT;

			assert_true(id < 5000);
			ways[i](&b, id);
			flood(fd, &b);
			buf_release(&b);
			do {
				assert_true(read_frame(fd, &f));
				calm = f.type == GOAWAY;
			} while (!calm && f.type != RST_STREAM);
		}
		assert_int_equal(u32_at(&f, 4), CALM);
		assert_told(fx, fd, before, "resets it made us send");
	}
}

/* More at once than are allowed, and no window at all: that is not even counted. */
static void test_ended_at_once(void **state)
{
	struct buf b = BUF_INIT;
	int fd = h2_connect(*state);
	static struct frame f;

	for (uint32_t i = 0; i < 500; i++)
		put_head(&b, 1 + 2 * i, false, "/watch", END_STREAM);
	flood(fd, &b);
	buf_release(&b);
	assert_true(await(fd, &f, GOAWAY, 0));
	close(fd);
	fd = h2_connect(*state);
	put_head(&b, 1, false, "/watch", END_STREAM);
	put_frame(&b, WINDOW_UPDATE, 0, 1, SV("\0\0\0\0"));
	flood(fd, &b);
	buf_release(&b);
	assert_true(await(fd, &f, GOAWAY, 0));
	close(fd);
}

static void test_frames(void **state)
{
	static const struct {
		int type, flags;
		struct sv payload;
		const char *words;
	} floods[] = {
		{ PING, 0, SV("12345678"), "pings" },
		{ PING, ACK, SV("12345678"), "pings" },
		{ SETTINGS, 0, SV(""), "settings" },
		{ SETTINGS, 0, SV("\0\x04\0\0\x10\0"), "settings" },
		{ WINDOW_UPDATE, 0, SV("\0\0\0\x01"), "window updates for nothing" },
		{ 0x10, 0, SV("u=1"), "other kinds" },
		{ 0xfa, 0, SV(""), "other kinds" },
	};

	for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
		int fd = h2_connect(*state);
		struct buf b = BUF_INIT;

		for (int k = 0; k < 3000; k++)
			put_frame(&b, floods[i].type, floods[i].flags, 0, floods[i].payload);
		assert_calmed(*state, fd, &b, floods[i].words);
	}
}

static void test_streams(void **state)
{
	struct buf b = BUF_INIT, h = BUF_INIT;
	int fd = h2_connect(*state);

	/* Bodies of nothing. */
	put_head(&b, 1, true, "/echo", 0);
	for (int i = 0; i < 1500; i++)
		put_frame(&b, DATA, 0, 1, SV(""));
	for (int i = 0; i < 1500; i++)
		put_frame(&b, DATA, 8, 1, SV("\x03\0\0\0")); /* padding alone */
	assert_calmed(*state, fd, &b, "empty frames");
	/* Priorities. */
	fd = h2_connect(*state);
	for (uint32_t i = 0; i < 3000; i++)
		put_frame(&b, PRIORITY, 0, 1 + 2 * (i % 100), SV("\0\0\0\0\x10"));
	assert_calmed(*state, fd, &b, "priorities");
	/* Window updates of a stream, one byte each. */
	fd = h2_connect(*state);
	put_head(&b, 1, false, "/hold", END_STREAM);
	for (int i = 0; i < 3000; i++)
		put_frame(&b, WINDOW_UPDATE, 0, 1, SV("\0\0\0\x01"));
	assert_calmed(*state, fd, &b, "window updates for nothing");
	/* Header blocks over the limit: one entry of 4000 bytes named again and again. Each is answered by a 431. */
	fd = h2_connect(*state);
	for (uint32_t i = 0; i < 200; i++) {
		buf_add(&h, "\x82\x86\x84\x01\x01h", 6);
		if (!i) {
			buf_add(&h, "\x40\x01x\x7f\xa1\x1e", 6);
			for (int k = 0; k < 4000; k++)
				buf_addc(&h, 'v');
		}
		for (int k = 0; k < 20; k++)
			buf_addc(&h, (char)0xbe);
		put_frame(&b, HEADERS, END_STREAM | END_HEADERS, 1 + 2 * i, buf_sv(&h));
		buf_release(&h);
	}
	assert_calmed(*state, fd, &b, "header blocks over the limit");
}

/* In whatever way it is mixed, it is one bucket. (Ten times what is in it: a machine that is held up fills it
 * meanwhile.)
 */
static void test_mixed(void **state)
{
	struct buf b = BUF_INIT;
	int fd = h2_connect(*state);

	for (uint32_t i = 0; i < 4000; i++) {
		put_head(&b, 1 + 2 * i, false, "/hold", END_STREAM);
		put_frame(&b, RST_STREAM, 0, 1 + 2 * i, RESET);
		put_frame(&b, PING, 0, 0, SV("12345678"));
		put_frame(&b, SETTINGS, 0, 0, SV(""));
		put_frame(&b, PRIORITY, 0, 1 + 2 * i, SV("\0\0\0\0\x10"));
	}
	assert_calmed(*state, fd, &b, " pings, ");
}

/* A hundred watches opened and closed three times, as Go's client closes them (with a ping behind the reset), between
 * them two thousand requests, and every byte that comes is answered by window updates: nobody minds. */
static void put_window(struct buf *b, uint32_t stream, size_t n)
{
	const char p[4] = { 0, 0, (char)(n >> 8), (char)n };

	put_frame(b, WINDOW_UPDATE, 0, stream, sv_make(p, 4));
}

static void test_busy_clients(void **state)
{
	struct fixture *fx = *state;
	int fd = h2_connect(fx), calmed = fx->calmed;
	static struct frame f;
	struct buf b = BUF_INIT;
	uint32_t id = 1;

	for (int round = 0; round < 3; round++) {
		uint32_t first = id;

		for (int i = 0; i < 100; i++, id += 2)
			put_head(&b, id, false, "/watch", END_STREAM);
		for (uint32_t w = first; w < id; w += 2) {
			put_frame(&b, RST_STREAM, 0, w, RESET);
			put_frame(&b, PING, 0, 0, SV("12345678"));
		}
		for (int i = 0; i < 700; i++, id += 2) {
			put_head(&b, id, false, "/size?n=9000", END_STREAM);
			client_send(fd, buf_sv(&b));
			buf_release(&b);
			do {
				assert_true(read_frame(fd, &f));
				assert_true(f.type != GOAWAY);
				for (size_t got = 0; f.type == DATA && f.stream == id && got < f.n; got += 4096) {
					put_window(&b, 0, MIN(f.n - got, (size_t)4096));
					put_window(&b, id, MIN(f.n - got, (size_t)4096));
				}
			} while (f.type != DATA || f.stream != id || !(f.flags & END_STREAM));
		}
	}
	buf_release(&b);
	assert_int_equal(fx->calmed, calmed);
	close(fd);
}

/* Reads to the end, sending a byte now and then if there is something to trickle. */
static void assert_ended(int fd, const char *trickle)
{
	char sink[4096];
	ssize_t n = 1;

	while (n != 0) {
		n = recv(fd, sink, sizeof(sink), trickle ? MSG_DONTWAIT : 0);
		if (n < 0 && trickle && *trickle) {
			if (send(fd, trickle++, 1, MSG_NOSIGNAL) < 0)
				break;
			usleep(5000);
		} else if (n < 0) {
			if (!trickle)
				break;
			usleep(1000);
		}
	}
	close(fd);
}

/* Waits until `wanted` of the n have been ended, and closes all. */
static void assert_ended_of(const int *fds, size_t n, size_t wanted)
{
	struct pollfd polled[64];
	size_t ended = 0;

	assert_true(n <= ARRAY_LEN(polled));
	for (size_t i = 0; i < n; i++)
		polled[i] = (struct pollfd){ .fd = fds[i], .events = POLLRDHUP };
	while (ended < wanted) {
		assert_true(poll(polled, (nfds_t)n, -1) > 0);
		for (size_t i = 0; i < n; i++) {
			if (!polled[i].revents)
				continue;
			polled[i].fd = -1;
			polled[i].revents = 0;
			ended++;
		}
	}
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* More connections that have said nothing than may be: the first ones go, and who comes with a request is served. */
static void test_too_many_begun(void **state)
{
	struct http_server_opts o = { .max_body = 1000, .max_heads = 4, .request_ns = 900 * NS_PER_SEC };
	struct fixture fx;
	int fds[40], fd;
	char *got;

	(void)state;
	fixture_start(&fx, &o);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client_connect(&fx);
		if (i % 2)
			client_sends(fds[i], "GET /ec");
	}
	fd = client_connect(&fx);
	client_sends(fd, "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	got = client_read(fd, NULL, NULL);
	assert_true(sv_starts(sv_from(got), SV("HTTP/1.1 200 OK")));
	free(got);
	close(fd);
	/* Whichever loop took them: of each at most twice its share of the four stay. */
	assert_ended_of(fds, ARRAY_LEN(fds), ARRAY_LEN(fds) - 8);
	fixture_stop(&fx, 0);
}

/* Half requests, over either protocol: whoever does not go on loses the connection, also when a byte comes now and
 * then.
 */
static void test_half_requests(void **state)
{
	static const char *const halves[] = {
		"",
		"PRI * HT",
		"GET /ec",
		"GET /echo HTTP/1.1\r\nHost: h\r\nX: ",
		"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\nbegun",
		"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
	};
	struct http_server_opts o = { .max_body = 100000, .request_ns = 60 * NS_PER_MS };
	char trickle[2001];
	struct fixture fx;
	int fd;

	(void)state;
	memset(trickle, 'a', sizeof(trickle) - 1);
	trickle[sizeof(trickle) - 1] = '\0';
	fixture_start(&fx, &o);
	for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
		for (int slowly = 0; slowly < 2; slowly++) {
			if (slowly && (!*halves[i] || strstr(halves[i], "chunked")))
				continue; /* that would be no request at all */
			fd = client_connect(&fx);
			client_sends(fd, halves[i]);
			assert_ended(fd, slowly ? trickle : NULL);
		}
	}
	fd = h2_connect(&fx);
	send_frame(fd, HEADERS, 0, 1, SV("\x82\x86\x84"));
	assert_ended(fd, NULL);
	fd = h2_connect(&fx);
	send_head(fd, 1, true, "/echo", 0);
	send_frame(fd, DATA, 0, 1, SV("begun"));
	assert_ended(fd, NULL);
	fixture_stop(&fx, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resets),	       cmocka_unit_test(test_made_you_reset),
		cmocka_unit_test(test_ended_at_once),  cmocka_unit_test(test_frames),
		cmocka_unit_test(test_streams),	       cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_busy_clients),   cmocka_unit_test(test_half_requests),
		cmocka_unit_test(test_too_many_begun),
	};

	return cmocka_run_group_tests(tests, start, fixture_teardown);
}
