#include "unit.h"

#include "net/spdy.h"
#include "net/spdy_dict.h"

#include <stdlib.h>

#include <zlib.h>

/* Frames as text, one a line: "SYN_STREAM 1 fin streamtype=error". */
static void note(const struct spdy_frame *f, void *ctx)
{
	struct buf *log = ctx;

	switch (f->type) {
	case SPDY_SYN_STREAM:
		buf_adds(log, "SYN_STREAM");
		break;
	case SPDY_SYN_REPLY:
		buf_adds(log, "SYN_REPLY");
		break;
	case SPDY_HEADERS:
		buf_adds(log, "HEADERS");
		break;
	case SPDY_DATA:
		buf_adds(log, "DATA");
		break;
	default:
		buf_printf(log, "#%d status=%u", (int)f->type, f->status);
		break;
	}
	buf_printf(log, " %u%s", f->stream, f->fin ? " fin" : "");
	for (size_t i = 0; i < f->n_headers; i++)
		buf_printf(log, " %.*s=%.*s", SV_ARG(f->headers[i].name), SV_ARG(f->headers[i].value));
	if (f->data.n)
		buf_printf(log, " '%.*s'", SV_ARG(f->data));
	buf_addc(log, '\n');
}

static void dictionary_sum(void **state)
{
	(void)state;
	assert_int_equal(SPDY_DICTIONARY_N, 1423);
	assert_int_equal(adler32(adler32(0, NULL, 0), (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_N), 0xe3c6a7c2);
}

/* Two SYN_STREAM frames made by another implementation over the same compression context. */
static const char golden_1[] =
    "\x80\x03\x00\x01\x00\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x78\xbb\xe3\xc6\xa7\xc2\x02\xa6\x23"
    "\x46\x70\x3a\x2b\x29\x4a\x4d\xcc\x85\x16\x25\xac\xa9\xa0\x80\x06\x00\x00\x00\xff\xff";
static const char golden_2[] =
    "\x80\x03\x00\x01\x00\x00\x00\x17\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\xc2\x2e\x55\x5c\x02\xcc\x2e\x00\x00"
    "\x00\x00\xff\xff";

static void decodes_golden(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 100; piece += 7) {
		struct spdy *s = spdy_new(false);
		struct buf in = BUF_INIT, log = BUF_INIT;

		buf_add(&in, golden_1, sizeof(golden_1) - 1);
		buf_add(&in, golden_2, sizeof(golden_2) - 1);
		for (size_t at = 0; at < in.n; at += piece)
			assert_int_equal(spdy_feed(s, sv_sub(buf_sv(&in), at, piece), note, &log, NULL), 0);
		assert_string_equal(buf_cstr(&log), "SYN_STREAM 1 streamtype=error\nSYN_STREAM 3 streamtype=stdin\n");
		buf_release(&in);
		buf_release(&log);
		spdy_free(s);
	}
}

static void encodes_golden(void **state)
{
	struct spdy *s = spdy_new(true);
	struct buf out = BUF_INIT;
	static const char want[] = "\x00\x00\x00\x05\x00\x00\x00\x02hi" /* data */
				   "\x00\x00\x00\x05\x01\x00\x00\x00"	/* fin */
				   "\x80\x03\x00\x03\x00\x00\x00\x08\x00\x00\x00\x05\x00\x00\x00\x05"
				   "\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01"
				   "\x80\x03\x00\x07\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00";

	(void)state;
	spdy_data(s, &out, 5, SV("hi"), false);
	spdy_data(s, &out, 5, SV_NULL, true);
	spdy_rst(s, &out, 5, 5);
	spdy_ping(s, &out, 1);
	spdy_goaway(s, &out, 0);
	assert_int_equal(out.n, sizeof(want) - 1);
	assert_memory_equal(out.p, want, out.n);

	/* The compressed ones: header and fixed part exact, the zlib header names the dictionary. */
	buf_clear(&out);
	spdy_syn_stream(s, &out, spdy_next_stream(s), &(struct http_header){ SV("streamtype"), SV("error") }, 1, true);
	assert_memory_equal(out.p, "\x80\x03\x00\x01\x01\x00\x00", 7);
	assert_int_equal((unsigned char)out.p[7], out.n - 8);
	assert_memory_equal(out.p + 8, "\0\0\0\1\0\0\0\0\0\0", 10);
	assert_memory_equal(out.p + 20, "\xe3\xc6\xa7\xc2", 4);
	buf_release(&out);
	spdy_free(s);
}

static void round_trip(void **state)
{
	struct spdy *c = spdy_new(true), *s = spdy_new(false);
	struct buf wire = BUF_INIT, log = BUF_INIT;
	const struct http_header many[] = { { SV("streamtype"), SV("data") },
					    { SV("port"), SV("8080") },
					    { SV("requestid"), SV("0") },
					    { SV("empty"), SV("") } };
	size_t first;

	(void)state;
	assert_int_equal(spdy_next_stream(c), 1);
	assert_int_equal(spdy_next_stream(c), 3);
	assert_int_equal(spdy_next_stream(s), 2);
	spdy_syn_stream(c, &wire, 1, many, ARRAY_LEN(many), false);
	first = wire.n;
	spdy_syn_stream(c, &wire, 3, many, ARRAY_LEN(many), true);
	assert_true(wire.n - first < first); /* the context carries over */
	spdy_data(c, &wire, 1, SV("abc"), true);
	assert_int_equal(spdy_feed(s, buf_sv(&wire), note, &log, NULL), 0);
	assert_string_equal(buf_cstr(&log), "SYN_STREAM 1 streamtype=data port=8080 requestid=0 empty=\n"
					    "SYN_STREAM 3 fin streamtype=data port=8080 requestid=0 empty=\n"
					    "DATA 1 fin 'abc'\n");
	buf_clear(&wire);
	buf_clear(&log);
	spdy_syn_reply(s, &wire, 1, NULL, 0, false);
	spdy_rst(s, &wire, 3, 3);
	spdy_goaway(s, &wire, 0);
	assert_int_equal(spdy_feed(c, buf_sv(&wire), note, &log, NULL), 0);
	assert_string_equal(buf_cstr(&log), "SYN_REPLY 1\n#3 status=3 3\n#7 status=0 3\n");
	buf_release(&wire);
	buf_release(&log);
	spdy_free(c);
	spdy_free(s);
}

/* The headers stay intact while the callback answers on the same connection. */
static void reply_inside(const struct spdy_frame *f, void *ctx)
{
	void **p = ctx;

	spdy_syn_reply(p[0], p[1], f->stream, f->headers, f->n_headers, false);
	note(f, p[2]);
}

static void answers_inside_the_callback(void **state)
{
	struct spdy *c = spdy_new(true), *s = spdy_new(false);
	struct buf wire = BUF_INIT, back = BUF_INIT, log = BUF_INIT;

	(void)state;
	spdy_syn_stream(c, &wire, 1, &(struct http_header){ SV("a"), SV("b") }, 1, false);
	assert_int_equal(spdy_feed(s, buf_sv(&wire), reply_inside, (void *[]){ s, &back, &log }, NULL), 0);
	assert_int_equal(spdy_feed(c, buf_sv(&back), note, &log, NULL), 0);
	assert_string_equal(buf_cstr(&log), "SYN_STREAM 1 a=b\nSYN_REPLY 1 a=b\n");
	buf_release(&wire);
	buf_release(&back);
	buf_release(&log);
	spdy_free(c);
	spdy_free(s);
}

static void data_comes_in_pieces(void **state)
{
	struct spdy *s = spdy_new(false);
	struct buf log = BUF_INIT;

	(void)state;
	assert_int_equal(spdy_feed(s, SV("\0\0\0\1\1\0"), note, &log, NULL), 0);
	assert_int_equal(log.n, 0);
	assert_int_equal(spdy_feed(s, SV("\0\4ab"), note, &log, NULL), 0);
	assert_int_equal(spdy_feed(s, SV("cd\0\0"), note, &log, NULL), 0);
	assert_string_equal(buf_cstr(&log), "DATA 1 'ab'\nDATA 1 fin 'cd'\n");
	buf_release(&log);
	spdy_free(s);
}

static void refuses(void **state)
{
	static const struct {
		struct sv bytes;
		enum err_reason reason;
	} bad[] = {
		{ SV("\x80\x02\0\6\0\0\0\4\0\0\0\1"), ERR_BAD_REQUEST }, /* version 2 */
		{ SV("\x80\x03\0\6\0\0\0\2\0\0"), ERR_BAD_REQUEST },	 /* short ping */
		{ SV("\0\0\0\0\0\0\0\0"), ERR_BAD_REQUEST },		 /* data on stream 0 */
		{ SV("\x80\x03\0\1\0\1\0\1"), ERR_TOO_LARGE },		 /* 64 KiB + 1 */
		{ SV("\x80\x03\0\2\0\0\0\x08\0\0\0\1garb"), ERR_BAD_REQUEST },
		{ SV("\x80\x03\0\2\0\0\0\4\0\0\0\1"), ERR_BAD_REQUEST }, /* no header block at all */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct spdy *s = spdy_new(false);
		struct buf log = BUF_INIT;
		struct err err = ERR_INIT;

		assert_int_equal(spdy_feed(s, bad[i].bytes, note, &log, &err), -1);
		assert_int_equal(err.reason, bad[i].reason);
		assert_int_equal(log.n, 0);
		assert_int_equal(spdy_feed(s, SV("\x80\x03\0\6\0\0\0\4\0\0\0\1"), note, &log, NULL), -1); /* sticky */
		err_release(&err);
		buf_release(&log);
		spdy_free(s);
	}
}

/* A block that inflates without end is cut at the bound. */
static void bomb(void **state)
{
	struct spdy *c = spdy_new(true), *s = spdy_new(false);
	struct buf wire = BUF_INIT, big = BUF_INIT, log = BUF_INIT;
	struct err err = ERR_INIT;
	struct http_header h[2] = { { SV("a"), SV_NULL }, { SV("b"), SV_NULL } };

	(void)state;
	for (int i = 0; i < 60000; i++)
		buf_addc(&big, 'x');
	h[0].value = h[1].value = buf_sv(&big);
	spdy_syn_stream(c, &wire, 1, h, 2, false);
	assert_true(wire.n < 2000);
	assert_int_equal(spdy_feed(s, buf_sv(&wire), note, &log, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	err_release(&err);
	buf_release(&wire);
	buf_release(&big);
	buf_release(&log);
	spdy_free(c);
	spdy_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dictionary_sum),
		cmocka_unit_test(decodes_golden),
		cmocka_unit_test(encodes_golden),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(answers_inside_the_callback),
		cmocka_unit_test(data_comes_in_pieces),
		cmocka_unit_test(refuses),
		cmocka_unit_test(bomb),
	};

	return cmocka_run_group_tests_name("spdy", tests, NULL, NULL);
}
