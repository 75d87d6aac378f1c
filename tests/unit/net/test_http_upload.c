/* Bodies that are handled while they come, over both protocols. */
#include "unit.h"

#include "ev/ev.h"
#include "h2_frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG ((size_t)3 * 1024 * 1024) /* thirty times what may be collected */
#define PIECE ((size_t)16000)

static char *pattern;

static int start_with(void **state, const struct http_server_opts *o)
{
	pattern = xmalloc(LONG);
	for (size_t i = 0; i < LONG; i++)
		pattern[i] = (char)('a' + i % 26);
	return fixture_setup(state, o);
}

static int start(void **state)
{
	struct http_server_opts o = { .max_body = 100000 };

	return start_with(state, &o);
}

static int stop(void **state)
{
	free(pattern);
	return fixture_teardown(state);
}

static void expect(int fd, const char *text)
{
	char *got = client_read(fd, text, NULL);

	if (!strstr(got, text))
		fail_msg("'%s' is not in: %s", text, got);
	free(got);
}

static void head(int fd, const char *path, const char *more)
{
	char text[300];

	snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: h\r\n%s\r\n", path, more);
	client_sends(fd, text);
}

static void length(int fd, const char *path, size_t n)
{
	char text[60];

	snprintf(text, sizeof(text), "Content-Length: %zu\r\n", n);
	head(fd, path, text);
}

/* --- HTTP/1 --- */

static void test_whole(void **state)
{
	int fd = client_connect(*state);
	char size[20];

	length(fd, "/up/count", LONG);
	client_send(fd, sv_make(pattern, LONG));
	expect(fd, "3145728 bytes, as sent, whole");
	/* In chunks, on the same connection, and one more request right behind it. */
	head(fd, "/up/count", "Transfer-Encoding: chunked\r\n");
	for (size_t at = 0; at < LONG; at += PIECE) {
		size_t n = MIN(PIECE, LONG - at);

		snprintf(size, sizeof(size), "%zx\r\n", n);
		client_sends(fd, size);
		client_send(fd, sv_make(pattern + at, n));
		client_sends(fd, "\r\n");
	}
	client_sends(fd, "0\r\n\r\nGET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(fd, "3145728 bytes, as sent, whole");
	expect(fd, "GET /echo? host=h v1 body=");
	/* Byte by byte, and all at once. */
	length(fd, "/up/count", 30);
	for (size_t i = 0; i < 30; i++)
		client_send(fd, sv_make(pattern + i, 1));
	expect(fd, "30 bytes, as sent, whole");
	client_sends(
	    fd,
	    "POST /up/count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
	    "POST /up/count HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
	    "POST /up/refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
	    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
	expect(fd, "5 bytes, as sent, whole");
	expect(fd, "3 bytes, as sent, whole");
	expect(fd, "not at all");
	expect(fd, "POST /echo? host=h v1 body=abc");
	close(fd);
}

static void test_no_body_does_not_stream(void **state)
{
	int fd = client_connect(*state);

	length(fd, "/up/count", 0);
	expect(fd, "404");
	close(fd);
}

static void test_continue_is_for_who_is_wanted(void **state)
{
	int fd = client_connect(*state);
	char *got;

	head(fd, "/up/count", "Content-Length: 3\r\nExpect: 100-continue\r\n");
	got = client_read(fd, "\r\n\r\n", NULL);
	assert_string_equal(got, "HTTP/1.1 100 Continue\r\n\r\n");
	free(got);
	client_sends(fd, "abc");
	expect(fd, "3 bytes, as sent, whole");
	head(fd, "/up/refuse", "Content-Length: 3000000\r\nExpect: 100-continue\r\n");
	got = client_read(fd, NULL, NULL); /* to the end: of who waits no body follows */
	assert_true(sv_starts(sv_from(got), SV("HTTP/1.1 403 ")));
	assert_non_null(strstr(got, "connection: close"));
	free(got);
	close(fd);
}

static void test_answered_before_it_is_through(void **state)
{
	static const char *const paths[] = { "/up/refuse", "/up/first" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		int fd = client_connect(*state);
		char *got;

		length(fd, paths[i], LONG);
		client_send(fd, sv_make(pattern, LONG));
		got = client_read(fd, NULL, NULL);
		assert_true(sv_starts(sv_from(got), SV("HTTP/1.1 403 ")));
		assert_null(strstr(got + 1, "HTTP/1.1"));
		free(got);
		close(fd);
	}
}

static void test_what_is_no_body(void **state)
{
	int fd = client_connect(*state);
	char *got;

	head(fd, "/up/count", "Transfer-Encoding: chunked\r\n");
	client_sends(fd, "3\r\nabc\r\nzz\r\nGET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
	got = client_read(fd, NULL, NULL);
	assert_non_null(strstr(got, "3 bytes, as sent, broken"));
	assert_null(strstr(got, "GET /echo"));
	free(got);
	close(fd);
}

/* Whoever rests is not told more, and goes on where he was; what the client sends meanwhile stays in the kernel. */
static void test_rests(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f), held = f->held;
	size_t sent = 0;
	ssize_t n;

	length(fd, "/up/rest", LONG);
	client_send(fd, sv_make(pattern, PIECE));
	fixture_wait(f, &f->held, held + 1);
	while ((n = send(fd, pattern + PIECE + sent, LONG - PIECE - sent, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		sent += (size_t)n;
	assert_true(f->up_bytes <= PIECE);
	fixture_release(f);
	client_send(fd, sv_make(pattern + PIECE + sent, LONG - PIECE - sent));
	expect(fd, "3145728 bytes, as sent, whole");
	close(fd);
	/* The last piece was there when it rested. */
	fd = client_connect(f);
	length(fd, "/up/rest", 5);
	client_send(fd, sv_make(pattern, 5));
	fixture_wait(f, &f->held, held + 2);
	fixture_release(f);
	expect(fd, "5 bytes, as sent, whole");
	close(fd);
}

static void test_client_gone(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f), uploads = f->uploads, gone = f->gone;

	length(fd, "/up/count", 1000);
	client_send(fd, sv_make(pattern, 10));
	fixture_wait(f, &f->uploads, uploads + 1);
	close(fd);
	fixture_wait(f, &f->gone, gone + 1);
}

/* Also where the rest of the body was more than is read ahead. */
static void test_client_gone_behind_the_body(void **state)
{
	struct fixture *f = *state;
	int fd = client_connect(f), held = f->held, uploads = f->uploads, gone = f->gone;

	length(fd, "/up/mute", 116000);
	client_send(fd, sv_make(pattern, PIECE));
	fixture_wait(f, &f->held, held + 1);
	client_send(fd, sv_make(pattern + PIECE, 100000));
	for (int i = 0; i < 4; i++) { /* each loop has looked at what there is */
		int other = client_connect(f);

		client_sends(other, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
		expect(other, "GET /later? host=h v1 body=");
		close(other);
	}
	fixture_release(f);
	fixture_wait(f, &f->uploads, uploads + 2);
	close(fd);
	fixture_wait(f, &f->gone, gone + 1);
	assert_int_equal(f->up_bytes, 116000);
}

/* --- HTTP/2 --- */

/* Sends of `all` as much as the stream's window lets through (all: then its end); returns where that ended. */
static size_t h2_fill_of(size_t all, int fd, uint32_t stream, size_t at, size_t window)
{
	size_t end = MIN(all, at + window);

	for (size_t n; at < end; at += n) {
		n = MIN(PIECE, end - at);
		send_frame(fd, DATA, at + n == all ? END_STREAM : 0, stream, sv_make(pattern + at % 26, n));
	}
	return at;
}

static size_t h2_fill(int fd, uint32_t stream, size_t at, size_t window)
{
	return h2_fill_of(LONG, fd, stream, at, window);
}

static void h2_upload(int fd, uint32_t stream, size_t at, size_t window)
{
	static struct frame f;

	at = h2_fill(fd, stream, at, window);
	while (at < LONG) {
		assert_true(await(fd, &f, WINDOW_UPDATE, stream));
		at = h2_fill(fd, stream, at, u32_at(&f, 0));
	}
}

static void h2_expect(int fd, uint32_t stream, const char *text)
{
	static struct frame f;

	assert_true(await(fd, &f, DATA, stream));
	assert_sv(sv_make((char *)f.payload, f.n), text);
}

#define H2_WINDOW ((size_t)1 << 20)

static void test_h2_whole(void **state)
{
	int fd = h2_connect(*state);

	send_head(fd, 1, true, "/up/count", 0);
	h2_upload(fd, 1, 0, H2_WINDOW);
	h2_expect(fd, 1, "3145728 bytes, as sent, whole");
	/* Those that are collected have their windows, too. */
	send_head(fd, 3, true, "/up/count", 0);
	send_frame(fd, DATA, 0, 3, SV("ab"));
	send_frame(fd, DATA, END_STREAM, 3, SV(""));
	h2_expect(fd, 3, "2 bytes, as sent, whole");
	close(fd);
}

/* A stream that rests keeps its window shut, and leaves the connection's to the others. */
static void test_h2_rests(void **state)
{
	struct fixture *fx = *state;
	int fd = h2_connect(fx), held = fx->held;
	static struct frame f;
	uint32_t last;

	for (uint32_t id = 1; id < 20; id += 2) { /* together more than the connection's window */
		send_head(fd, id, true, "/up/rest", 0);
		(void)h2_fill(fd, id, 0, H2_WINDOW);
		fixture_wait(fx, &fx->held, ++held);
		if (id < 19)
			http_req_unref(fx->hold);
	}
	last = 19;
	send_head(fd, 21, true, "/up/count", 0);
	h2_upload(fd, 21, 0, H2_WINDOW);
	while (read_frame(fd, &f) && f.type != DATA)
		assert_false(f.type == WINDOW_UPDATE && f.stream > 0 && f.stream <= last);
	assert_int_equal(f.stream, 21);
	fixture_release(fx);
	h2_upload(fd, last, H2_WINDOW, 0);
	h2_expect(fd, last, "3145728 bytes, as sent, whole");
	close(fd);
	fixture_wait(fx, &fx->gone, 9);
}

#define SLOW_MAX (16 * H2_WINDOW) /* of which a connection has an eighth: two windows */
#define SLOW_LONG ((size_t)8 * 1024 * 1024)

static int start_small(void **state)
{
	struct http_server_opts o = { .max_body = 100000, .max_incomplete = SLOW_MAX };

	return start_with(state, &o);
}

/* Waits until all that was sent before is seen there; returns by how much the stream's window was opened meanwhile. */
static size_t h2_seen(int fd, uint32_t stream)
{
	static struct frame f;
	size_t opened = 0;

	send_frame(fd, PING, 0, 0, SV("12345678"));
	while (read_frame(fd, &f) && f.type != PING) {
		assert_int_not_equal(f.type, RST_STREAM);
		if (f.type == WINDOW_UPDATE && f.stream == stream)
			opened += u32_at(&f, 0);
	}
	assert_int_equal(f.type, PING);
	return opened;
}

/* Of who is slower than his client, which fills its window whenever that opens, no more is held than about that. */
static void test_h2_slower_than_it_comes(void **state)
{
	struct fixture *fx = *state;
	int fd = h2_connect(fx), held = fx->held;
	size_t at;

	send_head(fd, 1, true, "/up/each", 0);
	at = h2_fill_of(SLOW_LONG, fd, 1, 0, H2_WINDOW);
	fixture_wait(fx, &fx->held, ++held);
	for (uint64_t told = fx->up_bytes; told < SLOW_LONG; told = fx->up_bytes) {
		at = h2_fill_of(SLOW_LONG, fd, 1, at, h2_seen(fd, 1));
		fixture_release(fx);
		fixture_wait(fx, &fx->held, ++held);
	}
	assert_int_equal(at, SLOW_LONG);
	fixture_release(fx);
	h2_expect(fd, 1, "8388608 bytes, as sent, whole");
	close(fd);
}

static void test_h2_answered_before_it_is_through(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;

	send_head(fd, 1, true, "/up/first", 0);
	send_frame(fd, DATA, 0, 1, SV("abc"));
	h2_expect(fd, 1, "no more");
	assert_true(await(fd, &f, RST_STREAM, 1));
	assert_int_equal(u32_at(&f, 0), 0); /* NO_ERROR */
	send_frame(fd, DATA, 0, 1, SV("def"));
	send_head(fd, 3, true, "/up/refuse", 0);
	h2_expect(fd, 3, "not at all");
	send_head(fd, 5, false, "/echo", END_STREAM);
	h2_expect(fd, 5, "GET /echo? host=h v2 body=");
	close(fd);
}

static void test_h2_gone(void **state)
{
	struct fixture *fx = *state;
	int fd = h2_connect(fx), uploads = fx->uploads, gone = fx->gone;

	send_head(fd, 1, true, "/up/count", 0);
	send_frame(fd, DATA, 0, 1, SV("abc"));
	fixture_wait(fx, &fx->uploads, uploads + 1);
	send_frame(fd, RST_STREAM, 0, 1, SV("\0\0\0\x08"));
	fixture_wait(fx, &fx->gone, gone + 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole, start, stop),
		cmocka_unit_test_setup_teardown(test_no_body_does_not_stream, start, stop),
		cmocka_unit_test_setup_teardown(test_continue_is_for_who_is_wanted, start, stop),
		cmocka_unit_test_setup_teardown(test_answered_before_it_is_through, start, stop),
		cmocka_unit_test_setup_teardown(test_what_is_no_body, start, stop),
		cmocka_unit_test_setup_teardown(test_rests, start, stop),
		cmocka_unit_test_setup_teardown(test_client_gone, start, stop),
		cmocka_unit_test_setup_teardown(test_client_gone_behind_the_body, start, stop),
		cmocka_unit_test_setup_teardown(test_h2_whole, start, stop),
		cmocka_unit_test_setup_teardown(test_h2_rests, start, stop),
		cmocka_unit_test_setup_teardown(test_h2_slower_than_it_comes, start_small, stop),
		cmocka_unit_test_setup_teardown(test_h2_answered_before_it_is_through, start, stop),
		cmocka_unit_test_setup_teardown(test_h2_gone, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
