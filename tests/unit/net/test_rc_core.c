#include "unit.h"

#include "net/rc_core.h"

#include <stdlib.h>

/* A translator between two fake ends: a WebSocket client and a SPDY backend, each with the real
 * codec of its side. What each saw is kept as text. */
struct bench {
	struct rc_core *core;
	struct ws client;
	struct spdy *backend;
	struct buf seen_client, seen_backend; /* lines */
	struct buf wire;
	bool reply; /* the backend accepts streams at once */
};

static void client_saw(enum ws_op op, struct sv payload, void *ctx)
{
	struct bench *b = ctx;

	if (op == WS_CLOSE) {
		buf_printf(&b->seen_client, "close %d\n",
			   (unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1]);
	} else if (op == WS_PING) {
		buf_adds(&b->seen_client, "ping\n");
	} else if (op == WS_PONG) {
		buf_printf(&b->seen_client, "pong %.*s\n", SV_ARG(payload));
	} else {
		char channel = payload.p[0];

		buf_printf(&b->seen_client, "%s%d %.*s\n", op == WS_TEXT ? "text " : "",
			   op == WS_TEXT ? channel - '0' : channel, SV_ARG(sv_sub(payload, 1, payload.n)));
	}
}

static void backend_saw(const struct spdy_frame *f, void *ctx)
{
	struct bench *b = ctx;

	switch (f->type) {
	case SPDY_SYN_STREAM:
		buf_printf(&b->seen_backend, "%u open %.*s\n", f->stream, SV_ARG(f->headers[0].value));
		if (b->reply)
			spdy_syn_reply(b->backend, &b->wire, f->stream, NULL, 0, false);
		break;
	case SPDY_DATA:
		buf_printf(&b->seen_backend, "%u '%.*s'%s\n", f->stream, SV_ARG(f->data), f->fin ? " fin" : "");
		break;
	case SPDY_PING:
		buf_printf(&b->seen_backend, "ping %u\n", f->status);
		break;
	case SPDY_GOAWAY:
		buf_adds(&b->seen_backend, "goaway\n");
		break;
	default:
		buf_printf(&b->seen_backend, "%u type %d\n", f->stream, (int)f->type);
		break;
	}
}

/* Carries what waits in the translator to both ends, and the backend's answers back. */
static void carry(struct bench *b)
{
	do {
		if (b->wire.n) {
			rc_core_backend(b->core, buf_sv(&b->wire));
			buf_clear(&b->wire);
		}
		assert_int_equal(ws_feed(&b->client, buf_sv(&b->core->to_client), client_saw, b, NULL), 0);
		buf_clear(&b->core->to_client);
		assert_int_equal(spdy_feed(b->backend, buf_sv(&b->core->to_backend), backend_saw, b, NULL), 0);
		buf_clear(&b->core->to_backend);
	} while (b->wire.n);
}

static void bench_init(struct bench *b, const char *protocol, bool tty)
{
	*b = (struct bench){ .reply = true };
	b->core = rc_core_new(protocol, true, true, true, tty);
	ws_init(&b->client, true, 1 << 20);
	b->backend = spdy_new(false);
}

static void bench_release(struct bench *b)
{
	rc_core_free(b->core);
	ws_release(&b->client);
	spdy_free(b->backend);
	buf_release(&b->seen_client);
	buf_release(&b->seen_backend);
	buf_release(&b->wire);
}

static void client_sends(struct bench *b, enum ws_op op, struct sv payload)
{
	struct buf out = BUF_INIT;

	ws_frame(&b->client, &out, op, payload, 0x11223344);
	rc_core_client(b->core, buf_sv(&out));
	buf_release(&out);
	carry(b);
}

static void backend_sends(struct bench *b, uint32_t stream, struct sv data, bool fin)
{
	spdy_data(b->backend, &b->wire, stream, data, fin);
	carry(b);
}

/* Asserts and forgets what an end saw. */
#define SAW(buf, text)                                    \
	do {                                              \
		assert_string_equal(buf_cstr(buf), text); \
		buf_clear(buf);                           \
	} while (0)

static void start(struct bench *b)
{
	rc_core_start(b->core);
	carry(b);
	buf_clear(&b->seen_client);
	buf_clear(&b->seen_backend);
}

static void opens_streams(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "v5.channel.k8s.io", false);
	assert_string_equal(rc_core_backend_protocol(b.core), "v4.channel.k8s.io");
	assert_true(rc_core_holds(b.core));
	carry(&b);
	SAW(&b.seen_client, "1 \n"); /* the greeting */
	rc_core_start(b.core);
	carry(&b);
	SAW(&b.seen_backend, "1 open error\n3 open stdin\n5 open stdout\n7 open stderr\n");
	assert_false(rc_core_holds(b.core));
	bench_release(&b);

	/* Old clients get text on the error channel: the newest form that has it. */
	bench_init(&b, "base64.channel.k8s.io", false);
	assert_string_equal(rc_core_backend_protocol(b.core), "v3.channel.k8s.io");
	bench_release(&b);

	bench_init(&b, "v5.channel.k8s.io", true);
	rc_core_start(b.core);
	carry(&b);
	SAW(&b.seen_backend, "1 open error\n3 open stdin\n5 open stdout\n7 open resize\n");
	bench_release(&b);
}

static void whole_session(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "v5.channel.k8s.io", false);
	start(&b);
	client_sends(&b, WS_BINARY, SV("\0in"));
	client_sends(&b, WS_BINARY, SV("\0")); /* nothing is nothing */
	SAW(&b.seen_backend, "3 'in'\n");
	client_sends(&b, WS_BINARY, SV("\377\0"));
	SAW(&b.seen_backend, "3 '' fin\n");
	client_sends(&b, WS_BINARY, SV("\0late"));
	SAW(&b.seen_backend, "");
	backend_sends(&b, 5, SV("out"), false);
	backend_sends(&b, 7, SV("err"), false);
	SAW(&b.seen_client, "1 out\n2 err\n");
	client_sends(&b, WS_PING, SV("x"));
	SAW(&b.seen_client, "pong x\n");
	/* The verdict waits for both outputs. */
	backend_sends(&b, 1, SV("{\"status\":\"Failure\"}"), true);
	backend_sends(&b, 5, SV("more"), true);
	SAW(&b.seen_client, "1 more\n");
	assert_int_equal(b.core->state, RC_RUNNING);
	backend_sends(&b, 7, SV_NULL, true);
	SAW(&b.seen_client, "3 {\"status\":\"Failure\"}\nclose 1000\n");
	SAW(&b.seen_backend, "goaway\n");
	assert_int_equal(b.core->state, RC_ENDED);
	client_sends(&b, WS_CLOSE, SV("\x03\xe8"));
	assert_int_equal(b.core->state, RC_DONE);
	SAW(&b.seen_client, "");
	bench_release(&b);
}

static void success_without_a_status(void **state)
{
	static const struct {
		const char *protocol, *want;
	} table[] = {
		{ "v4.channel.k8s.io", "3 {\"metadata\":{},\"status\":\"Success\"}\nclose 1000\n" },
		{ "channel.k8s.io", "close 1000\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct bench b;

		bench_init(&b, table[i].protocol, false);
		start(&b);
		backend_sends(&b, 5, SV_NULL, true);
		backend_sends(&b, 7, SV_NULL, true);
		backend_sends(&b, 1, SV_NULL, true);
		SAW(&b.seen_client, table[i].want);
		bench_release(&b);
	}
}

static void base64(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "v4.base64.channel.k8s.io", true);
	carry(&b);
	SAW(&b.seen_client, "text 1 \n");
	start(&b);
	client_sends(&b, WS_TEXT, SV("0Zm9vCg=="));
	client_sends(&b, WS_TEXT, SV("0Zm9v"));
	client_sends(&b, WS_TEXT, SV("0Zm9"));	/* not base64: dropped */
	client_sends(&b, WS_TEXT, SV("0!!!!")); /* dropped */
	client_sends(&b, WS_TEXT, SV("4eyJXaWR0aCI6ODB9"));
	SAW(&b.seen_backend, "3 'foo\n'\n3 'foo'\n7 '{\"Width\":80}'\n");
	backend_sends(&b, 5, SV("\n"), false);
	SAW(&b.seen_client, "text 1 Cg==\n");
	bench_release(&b);
}

static void other_channels_are_ignored(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "v4.channel.k8s.io", false);
	start(&b);
	client_sends(&b, WS_BINARY, SV("\1x"));
	client_sends(&b, WS_BINARY, SV("\3x"));
	client_sends(&b, WS_BINARY, SV("\4x")); /* no terminal, no resize stream */
	client_sends(&b, WS_BINARY, SV("\11x"));
	client_sends(&b, WS_BINARY, SV("\377\0")); /* v4 cannot close a channel */
	client_sends(&b, WS_BINARY, SV_NULL);
	SAW(&b.seen_backend, "");
	assert_int_equal(b.core->state, RC_RUNNING);
	bench_release(&b);
}

/* Bytes from before the backend took the stream are kept in order, and the reader is told to wait. */
static void holds_until_the_reply(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "v5.channel.k8s.io", false);
	b.reply = false;
	client_sends(&b, WS_BINARY, SV("\0a"));
	start(&b);
	client_sends(&b, WS_BINARY, SV("\0b"));
	client_sends(&b, WS_BINARY, SV("\377\0"));
	SAW(&b.seen_backend, "");
	assert_true(rc_core_holds(b.core));
	spdy_syn_reply(b.backend, &b.wire, 3, NULL, 0, false);
	carry(&b);
	SAW(&b.seen_backend, "3 'ab' fin\n");
	assert_false(rc_core_holds(b.core));
	bench_release(&b);
}

static void failures(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct bench b;

	(void)state;
	/* The backend was never reached. */
	bench_init(&b, "v5.channel.k8s.io", false);
	carry(&b);
	buf_clear(&b.seen_client);
	err_set(&err, ERR_UNAVAILABLE, "connecting to \"n1\"");
	rc_core_backend_end(b.core, &err);
	carry(&b);
	SAW(&b.seen_client,
	    "3 {\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
	    "\"message\":\"Internal error occurred: connecting to \\\"n1\\\"\",\"reason\":\"InternalError\","
	    "\"details\":{\"causes\":[{\"message\":\"connecting to \\\"n1\\\"\"}]},\"code\":500}\nclose 1000\n");
	SAW(&b.seen_backend, "");
	bench_release(&b);

	/* It refuses a stream. */
	bench_init(&b, "channel.k8s.io", false);
	b.reply = false;
	start(&b);
	spdy_rst(b.backend, &b.wire, 3, 3);
	carry(&b);
	SAW(&b.seen_client, "3 Internal error occurred: the streaming server refused a stream\nclose 1000\n");
	bench_release(&b);

	/* It speaks nonsense. */
	bench_init(&b, "channel.k8s.io", false);
	start(&b);
	rc_core_backend(b.core, SV("\x80\x02\0\6\0\0\0\4\0\0\0\1")); /* SPDY/2 */
	assert_int_equal(b.core->state, RC_ENDED);
	bench_release(&b);

	/* It leaves after the status, or without one. */
	bench_init(&b, "v4.channel.k8s.io", false);
	start(&b);
	backend_sends(&b, 1, SV("{}"), false);
	rc_core_backend_end(b.core, NULL);
	carry(&b);
	SAW(&b.seen_client, "3 {}\nclose 1000\n");
	bench_release(&b);
	bench_init(&b, "channel.k8s.io", false);
	start(&b);
	rc_core_backend_end(b.core, NULL);
	carry(&b);
	SAW(&b.seen_client, "3 Internal error occurred: the streaming server closed the connection before the "
			    "command's end\nclose 1000\n");
	bench_release(&b);
}

static void client_leaves(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "v5.channel.k8s.io", false);
	start(&b);
	client_sends(&b, WS_CLOSE, SV("\x03\xe8"));
	SAW(&b.seen_client, "close 1000\n");
	SAW(&b.seen_backend, "goaway\n");
	assert_int_equal(b.core->state, RC_DONE);
	bench_release(&b);

	bench_init(&b, "v5.channel.k8s.io", false);
	start(&b);
	rc_core_client(b.core, SV("\x83\x00")); /* not a WebSocket frame */
	carry(&b);
	SAW(&b.seen_client, "close 1002\n");
	SAW(&b.seen_backend, "goaway\n");
	assert_int_equal(b.core->state, RC_DONE);
	bench_release(&b);
}

static void pings(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, "v5.channel.k8s.io", false);
	start(&b);
	rc_core_ping(b.core);
	rc_core_ping(b.core);
	carry(&b);
	SAW(&b.seen_backend, "ping 1\nping 3\n");
	spdy_ping(b.backend, &b.wire, 1); /* an answer is not answered */
	spdy_ping(b.backend, &b.wire, 2);
	carry(&b);
	SAW(&b.seen_backend, "ping 2\n");
	rc_core_ping_client(b.core);
	carry(&b);
	SAW(&b.seen_client, "ping\n");
	backend_sends(&b, 5, SV_NULL, true);
	backend_sends(&b, 7, SV_NULL, true);
	backend_sends(&b, 1, SV("{}"), true);
	rc_core_ping_client(b.core); /* nothing follows the close frame */
	carry(&b);
	SAW(&b.seen_client, "3 {}\nclose 1000\n");
	bench_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_streams),
		cmocka_unit_test(whole_session),
		cmocka_unit_test(success_without_a_status),
		cmocka_unit_test(base64),
		cmocka_unit_test(other_channels_are_ignored),
		cmocka_unit_test(holds_until_the_reply),
		cmocka_unit_test(failures),
		cmocka_unit_test(client_leaves),
		cmocka_unit_test(pings),
	};

	return cmocka_run_group_tests_name("rc_core", tests, NULL, NULL);
}
