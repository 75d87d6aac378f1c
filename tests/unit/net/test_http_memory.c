/* What requests hold that nobody knows the sender of yet, and what answers hold that nobody takes. */
#include "unit.h"

#include "h2_frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INCOMPLETE ((size_t)1024 * 1024)
#define HEAD 60000
#define FILLERS 16 /* with an eighth of all for each it would be gone */

static int start(void **state)
{
	struct http_server_opts o = { .max_body = 200000, .max_incomplete = INCOMPLETE };

	return fixture_setup(state, &o);
}

/* A head that unfolds: one entry of 3,000 bytes in the table, named again and again. */
static void put_large_head(struct buf *b, uint32_t stream, size_t bytes, int flags)
{
	_cleanup_(buf_release) struct buf h = BUF_INIT;
	size_t n = 3033; /* of an entry, as it is counted */

	buf_adds(&h, "\x83\x86\x84\x01\x01h");
	if (stream == 1) {
		buf_add(&h, "\x40\x01x\x7f\xb9\x16", 6);
		for (int i = 0; i < 3000; i++)
			buf_addc(&h, 'v');
		bytes -= n;
	}
	for (; bytes >= n; bytes -= n)
		buf_addc(&h, (char)0xbe);
	put_frame(b, HEADERS, END_HEADERS | flags, stream, buf_sv(&h));
}

static void send_large_head(int fd, uint32_t stream, size_t bytes, int flags)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	put_large_head(&b, stream, bytes, flags);
	assert_int_equal(write(fd, b.p, b.n), b.n);
}

/* Heads count like bodies: what a connection may leave incomplete is bounded, and the rest is refused. */
static void test_heads(void **state)
{
	int fd = h2_connect(*state);
	static struct frame f;
	uint32_t id = 1;
	size_t sent = 0;

	for (; sent + HEAD < INCOMPLETE / 8; sent += HEAD, id += 2)
		send_large_head(fd, id, HEAD, 0);
	send_large_head(fd, id, HEAD, 0);
	assert_true(await(fd, &f, DATA, id));
	assert_sv(sv_make((char *)f.payload, f.n), "Too many requests, please try again later.");
	/* Complete ones do not. */
	send_frame(fd, DATA, END_STREAM, 1, SV(""));
	assert_true(await(fd, &f, HEADERS, 1));
	send_large_head(fd, id + 2, HEAD, END_STREAM);
	assert_true(await(fd, &f, DATA, id + 2));
	close(fd);
}

/* Whoever fills what there is leaves room for those who come later. */
static void test_room_for_others(void **state)
{
	_cleanup_(buf_release) struct buf piece = BUF_INIT;
	static struct frame f;
	int fillers[FILLERS], fd;

	for (int i = 0; i < 10000; i++)
		buf_addc(&piece, 'x');
	for (size_t i = 0; i < FILLERS; i++) {
		uint32_t id = 1;

		fillers[i] = h2_connect(*state);
		do { /* until one is refused */
			send_head(fillers[i], id, true, "/echo", 0);
			send_frame(fillers[i], DATA, 0, id, buf_sv(&piece));
			send_frame(fillers[i], PING, 0, 0, SV("12345678"));
			do {
				assert_true(read_frame(fillers[i], &f));
			} while (f.type != PING && f.type != HEADERS);
			id += 2;
		} while (f.type == PING && id < 40);
		assert_int_equal(f.type, HEADERS);
	}
	fd = h2_connect(*state);
	send_head(fd, 1, true, "/echo", 0);
	/* More than what was left if each filled what he may: less than a piece. */
	send_frame(fd, DATA, END_STREAM, 1, sv_sub(buf_sv(&piece), 0, 8800));
	assert_true(await(fd, &f, DATA, 1));
	assert_true(sv_find_sv(sv_make((char *)f.payload, f.n), SV("/echo")) >= 0);
	close(fd);
	for (size_t i = 0; i < FILLERS; i++)
		close(fillers[i]);
}

/* An answer that nobody takes does not keep what it was made of. */
static void test_answers(void **state)
{
	struct fixture *fx = *state;
	int fd = h2_connect(fx), before = fx->shed;
	size_t got = 0, total = 30000;
	static struct frame f;

	send_frame(fd, SETTINGS, 0, 0, SV("\0\x04\0\0\0\0")); /* windows of nothing */
	send_large_head(fd, 1, HEAD, 0);
	send_frame(fd, DATA, END_STREAM, 1, SV("")); /* its path is "/" */
	send_head(fd, 3, true, "/arena?n=30000", 0);
	send_frame(fd, DATA, END_STREAM, 3, SV("a body"));
	fixture_wait(fx, &fx->shed, before + 1);
	assert_true(await(fd, &f, HEADERS, 3));
	send_window(fd, 3, 100000);
	while (got < total) {
		assert_true(await(fd, &f, DATA, 3));
		for (size_t i = 0; i < f.n; i++)
			assert_int_equal(f.payload[i], 'a' + (got + i) % 26);
		got += f.n;
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_heads, start, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_room_for_others, start, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_answers, start, fixture_teardown),
	};

	return cmocka_run_group_tests_name("net/http_memory", tests, NULL, NULL);
}
