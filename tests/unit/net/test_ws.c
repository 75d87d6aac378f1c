#include "unit.h"

#include "net/ws.h"

#include <stdio.h>
#include <stdlib.h>

/* What was decoded, as text: "T:hello" "B:..." "P:..." "O:..." "C:1000" joined by spaces. */
static void note(enum ws_op op, struct sv payload, void *ctx)
{
	struct buf *log = ctx;

	if (log->n)
		buf_addc(log, ' ');
	buf_addc(log, op == WS_TEXT ? 'T' : op == WS_BINARY ? 'B' : op == WS_PING ? 'P' : op == WS_PONG ? 'O' : 'C');
	buf_addc(log, ':');
	if (op == WS_CLOSE && payload.n >= 2)
		buf_printf(log, "%d", (unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1]);
	else
		buf_addsv(log, payload);
}

/* Masks with zero keep the tables readable: the mask bit is set, the bytes are as they are. */
#define M "\0\0\0\0"

static const struct {
	const char *name;
	struct sv bytes;
	const char *want; /* what is decoded before the end or the error */
	enum err_reason fails;
} table[] = {
	{ "text", SV("\x81\x85" M "hello"), "T:hello", ERR_NONE },
	{ "mask is applied", SV("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "T:Hello", ERR_NONE },
	{ "empty", SV("\x82\x80" M), "B:", ERR_NONE },
	{ "two frames", SV("\x81\x81" M "a\x82\x81" M "b"), "T:a B:b", ERR_NONE },
	{ "cut short", SV("\x81\x85" M "hel"), "", ERR_NONE },
	{ "fragments", SV("\x01\x82" M "he\x00\x81" M "l\x80\x82" M "lo"), "T:hello", ERR_NONE },
	{ "control between fragments", SV("\x02\x81" M "a\x89\x81" M "p\x80\x81" M "b"), "P:p B:ab", ERR_NONE },
	{ "pong", SV("\x8a\x80" M), "O:", ERR_NONE },
	{ "16-bit length", SV("\x81\xfe\x00\x03" M "abc"), "T:abc", ERR_NONE },
	{ "64-bit length", SV("\x81\xff\0\0\0\0\0\0\0\x03" M "abc"), "T:abc", ERR_NONE },
	{ "close", SV("\x88\x82" M "\x03\xe8"), "C:1000", ERR_NONE },
	{ "close without a code", SV("\x88\x80" M), "C:", ERR_NONE },
	{ "close with a reason",
	  SV("\x88\x85" M "\x0f\xa0"
	     "bye"),
	  "C:4000", ERR_NONE },
	{ "nothing after close", SV("\x88\x80" M "\x81\x81" M "x"), "C:", ERR_NONE },
	{ "close code of one byte", SV("\x88\x81" M "\x03"), "", ERR_BAD_REQUEST },
	{ "close code 1005", SV("\x88\x82" M "\x03\xed"), "", ERR_BAD_REQUEST },
	{ "close code 999", SV("\x88\x82" M "\x03\xe7"), "", ERR_BAD_REQUEST },
	{ "close code 5000", SV("\x88\x82" M "\x13\x88"), "", ERR_BAD_REQUEST },
	{ "not masked", SV("\x81\x05hello"), "", ERR_BAD_REQUEST },
	{ "opcode 3", SV("\x83\x80" M), "", ERR_BAD_REQUEST },
	{ "opcode 11", SV("\x8b\x80" M), "", ERR_BAD_REQUEST },
	{ "reserved bit", SV("\xc1\x80" M), "", ERR_BAD_REQUEST },
	{ "continuation of nothing", SV("\x80\x80" M), "", ERR_BAD_REQUEST },
	{ "message inside a message", SV("\x01\x81" M "a\x81\x81" M "b"), "", ERR_BAD_REQUEST },
	{ "fragmented ping", SV("\x09\x80" M), "", ERR_BAD_REQUEST },
	{ "long ping", SV("\x89\xfe\x00\x7e" M), "", ERR_BAD_REQUEST },
	{ "oversize from the header alone", SV("\x82\xfe\x00\x41" M), "", ERR_TOO_LARGE },
	{ "oversize 64-bit", SV("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" M), "", ERR_TOO_LARGE },
	{ "oversize by fragments",
	  SV("\x02\xbf" M "0123456789012345678901234567890123456789012345678901234567890ab"
	     "\x80\x82" M "ab"),
	  "", ERR_TOO_LARGE },
	{ "good before bad", SV("\x81\x81" M "a\x83\x80" M), "T:a", ERR_BAD_REQUEST },
};

static void framing_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		/* In one piece, then byte by byte: the same must come out. */
		for (int piecewise = 0; piecewise < 2; piecewise++) {
			struct ws w;
			struct err err = ERR_INIT;
			struct buf log = BUF_INIT;
			size_t piece = piecewise ? 1 : table[i].bytes.n;
			int r = 0;

			ws_init(&w, false, 64);
			for (size_t at = 0; at < table[i].bytes.n && r == 0; at += piece)
				r = ws_feed(&w, sv_sub(table[i].bytes, at, piece), note, &log, &err);
			if (err.reason != table[i].fails || strcmp(buf_cstr(&log), table[i].want) != 0)
				fail_msg("%s: got '%s', %s", table[i].name, buf_cstr(&log), err_msg(&err));
			assert_int_equal(r, table[i].fails == ERR_NONE ? 0 : -1);
			err_release(&err);
			buf_release(&log);
			ws_release(&w);
		}
	}
}

static void round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 65535, 65536, 70000 };

	(void)state;
	for (int client = 0; client < 2; client++) {
		struct ws from, to;

		ws_init(&from, client, 1 << 20);
		ws_init(&to, !client, 1 << 20);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			struct buf payload = BUF_INIT, wire = BUF_INIT, log = BUF_INIT;

			for (size_t k = 0; k < sizes[i]; k++)
				buf_addc(&payload, (char)('a' + k % 26));
			ws_frame(&from, &wire, WS_BINARY, buf_sv(&payload), 0xdeadbeef);
			if (client && sizes[i] > 1)
				assert_memory_not_equal(wire.p + wire.n - sizes[i], payload.p, sizes[i]);
			assert_int_equal(ws_feed(&to, buf_sv(&wire), note, &log, NULL), 0);
			assert_int_equal(log.n, sizes[i] + 2);
			if (sizes[i])
				assert_memory_equal(log.p + 2, payload.p, sizes[i]);
			buf_release(&payload);
			buf_release(&wire);
			buf_release(&log);
		}
		ws_release(&from);
		ws_release(&to);
	}
}

static void golden_bytes(void **state)
{
	struct ws w;
	struct buf out = BUF_INIT;

	(void)state;
	/* The examples of RFC 6455 section 5.7. */
	ws_init(&w, false, 64);
	ws_frame(&w, &out, WS_TEXT, SV("Hello"), 0);
	assert_int_equal(out.n, 7);
	assert_memory_equal(out.p, "\x81\x05Hello", 7);
	buf_clear(&out);
	ws_close_frame(&w, &out, 1000, SV("done"), 0);
	assert_int_equal(out.n, 8);
	assert_memory_equal(out.p,
			    "\x88\x06\x03\xe8"
			    "done",
			    8);
	ws_release(&w);

	ws_init(&w, true, 64);
	buf_clear(&out);
	ws_frame(&w, &out, WS_TEXT, SV("Hello"), 0x37fa213d);
	assert_int_equal(out.n, 11);
	assert_memory_equal(out.p, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
	ws_release(&w);
	buf_release(&out);
}

static void close_reason_is_cut(void **state)
{
	struct ws w, peer;
	struct buf out = BUF_INIT, reason = BUF_INIT, log = BUF_INIT;

	(void)state;
	for (int i = 0; i < 200; i++)
		buf_addc(&reason, 'x');
	ws_init(&w, false, 64);
	ws_init(&peer, true, 64);
	ws_close_frame(&w, &out, 1011, buf_sv(&reason), 0);
	assert_int_equal(out.n, 2 + 125);
	assert_int_equal(ws_feed(&peer, buf_sv(&out), note, &log, NULL), 0);
	assert_string_equal(buf_cstr(&log), "C:1011");
	assert_true(peer.closing);
	buf_release(&out);
	buf_release(&reason);
	buf_release(&log);
	ws_release(&w);
	ws_release(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(framing_table),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(golden_bytes),
		cmocka_unit_test(close_reason_is_cut),
	};

	return cmocka_run_group_tests_name("ws", tests, NULL, NULL);
}
