/* Client, API server and kubelet on one loop of one thread:
 *
 *	client (http_dial, WebSocket codec) -> api server (rc_*) -> kubelet (SPDY codec)
 *
 * The kubelet's command answers stdin in upper case, and when stdin ends reports status 7. */
#include "unit.h"

#include "base/buf.h"
#include "ev/ev.h"
#include "net/http.h"
#include "net/remotecommand.h"
#include "net/spdy.h"
#include "net/ws.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { FLOOD_N = 48 * 1024 * 1024, PIECE_N = 64 * 1024 };

static struct world {
	struct ev_loop *loop;
	struct http_server *api, *kubelet;
	/* client */
	struct http_dialog *client;
	struct ws ws;
	struct buf got, raw;
	uint64_t flood_got;
	bool flood_wrong;
	int status;
	const char *protocol; /* NULL: SPDY or raw */
	const char *upgrade;
	bool client_closed;
	bool silent;   /* it does not answer the end, and waits for that of the connection */
	bool stopping; /* the servers: the loop goes on until they are gone */
	/* api server */
	int (*entry)(struct http_req *r, const struct rc_backend *b, const struct rc_opts *o, struct err *err);
	const char *target; /* of the kubelet */
	int64_t timeout_ns;
	int (*unreached)(struct err *err, const struct err *why);
	struct rc_session *session;
	int done;
	bool done_answered;
	enum err_reason done_reason;
	/* kubelet */
	struct http_tunnel *tunnel;
	struct spdy *spdy;
	struct buf out;
	char protocol_asked[64];
	uint32_t ids[5]; /* error, stdin, stdout, stderr, resize */
	uint64_t flood_sent;
	bool stalled;
} w;

/* --- the kubelet --- */

static void flood(void)
{
	static char piece[PIECE_N];

	while (w.flood_sent < FLOOD_N) {
		size_t queued;

		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = (char)((w.flood_sent + i) % 251);
		spdy_data(w.spdy, &w.out, w.ids[2], sv_make(piece, sizeof(piece)), false);
		w.flood_sent += sizeof(piece);
		queued = http_tunnel_write(w.tunnel, buf_sv(&w.out));
		buf_clear(&w.out);
		if (queued > 1024 * 1024)
			break;
	}
	if (w.flood_sent < FLOOD_N) {
		w.stalled = true;
		http_dialog_pause(w.client, false); /* it may read again */
	} else {
		spdy_data(w.spdy, &w.out, w.ids[2], SV_NULL, true);
		spdy_data(w.spdy, &w.out, w.ids[3], SV_NULL, true);
		spdy_data(w.spdy, &w.out, w.ids[0], SV_NULL, true);
	}
}

static void kubelet_frame(const struct spdy_frame *f, void *ctx)
{
	(void)ctx;
	if (f->type == SPDY_SYN_STREAM) {
		static const char *const names[] = { "error", "stdin", "stdout", "stderr", "resize" };

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (sv_is(f->headers[0].value, names[i]))
				w.ids[i] = f->stream;
		spdy_syn_reply(w.spdy, &w.out, f->stream, NULL, 0, false);
	} else if (f->type == SPDY_DATA && f->stream == w.ids[1] && sv_is(f->data, "flood")) {
		flood();
	} else if (f->type == SPDY_DATA && f->stream == w.ids[1]) {
		struct buf loud = BUF_INIT;

		for (size_t i = 0; i < f->data.n; i++)
			buf_addc(&loud, (char)toupper((unsigned char)f->data.p[i]));
		if (loud.n)
			spdy_data(w.spdy, &w.out, w.ids[2], buf_sv(&loud), false);
		buf_release(&loud);
		if (f->fin) {
			spdy_data(w.spdy, &w.out, w.ids[0], SV("{\"status\":\"Failure\",\"code\":7}"), true);
			spdy_data(w.spdy, &w.out, w.ids[3], SV("bye"), true);
			spdy_data(w.spdy, &w.out, w.ids[2], SV_NULL, true);
		}
	}
}

static void kubelet_data(struct http_tunnel *t, struct sv bytes, void *ctx)
{
	(void)ctx;
	assert_int_equal(spdy_feed(w.spdy, bytes, kubelet_frame, NULL, NULL), 0);
	if (w.out.n)
		http_tunnel_write(t, buf_sv(&w.out));
	buf_clear(&w.out);
}

static void kubelet_drain(struct http_tunnel *t, void *ctx)
{
	(void)ctx;
	if (!w.flood_sent || w.flood_sent >= FLOOD_N)
		return;
	flood();
	if (w.out.n)
		http_tunnel_write(t, buf_sv(&w.out));
	buf_clear(&w.out);
}

static void kubelet_closed(struct http_tunnel *t, void *ctx)
{
	(void)t;
	(void)ctx;
	w.tunnel = NULL;
}

static void loud_data(struct http_tunnel *t, struct sv bytes, void *ctx)
{
	struct buf loud = BUF_INIT;

	(void)ctx;
	for (size_t i = 0; i < bytes.n; i++)
		buf_addc(&loud, (char)toupper((unsigned char)bytes.p[i]));
	http_tunnel_write(t, buf_sv(&loud));
	buf_release(&loud);
}

static void silent_data(struct http_tunnel *t, struct sv bytes, void *ctx)
{
	(void)t;
	(void)bytes;
	(void)ctx;
}

static void mute_gone(struct http_req *r)
{
	(void)r;
}

static void trickle_gone(struct http_req *r)
{
	http_stream_end(r);
	http_req_unref(r);
}

static void kubelet_handler(struct http_req *r, void *ctx)
{
	static const struct http_tunnel_cb spdy_cb = { kubelet_data, kubelet_drain, kubelet_closed };
	static const struct http_tunnel_cb silent_cb = { silent_data, NULL, kubelet_closed };
	static const struct http_tunnel_cb loud_cb = { loud_data, NULL, kubelet_closed };
	const struct http_header h[] = { { SV("connection"), SV("Upgrade") },
					 { SV("upgrade"), http_header_get(r, "upgrade") },
					 { SV("x-stream-protocol-version"),
					   http_header_get(r, "x-stream-protocol-version") } };

	(void)ctx;
	snprintf(w.protocol_asked, sizeof(w.protocol_asked), "%.*s",
		 SV_ARG(http_header_get(r, "x-stream-protocol-version")));
	if (sv_is(r->path, "/silent"))
		w.tunnel = http_upgrade(r, h, 3, &silent_cb, NULL);
	else if (sv_is(r->path, "/spdy"))
		w.tunnel = http_upgrade(r, h, 3, &spdy_cb, NULL);
	else if (sv_is(r->path, "/loud"))
		w.tunnel = http_upgrade(r, h, 3, &loud_cb, NULL);
	else if (sv_is(r->path, "/mute")) {
		r->on_gone = mute_gone;
		http_dialog_close(w.client);
	} else if (sv_is(r->path, "/away")) {
		const struct http_header to = { SV("location"), SV("https://203.0.113.9/") };

		http_respond(r, 302, &to, 1, NULL, 0);
	} else if (sv_is(r->path, "/fine")) {
		http_respond_text(r, 200, "text/plain", SV("no upgrade\n"));
	} else if (sv_is(r->path, "/trickle")) {
		r->on_gone = trickle_gone;
		http_stream_begin(http_req_ref(r), 500, NULL, 0);
	} else if (sv_is(r->path, "/status"))
		http_respond_text(r, 404, "application/json", SV("{\"kind\":\"Status\",\"code\":404}"));
	else
		http_respond_text(r, 500, "text/plain", SV("container not found\n"));
}

/* --- the api server --- */

static void api_done(struct http_req *r, bool answered, const struct err *err, void *ctx)
{
	(void)ctx;
	w.done++;
	w.done_answered = answered;
	w.done_reason = err ? err->reason : ERR_NONE;
	if (!answered)
		http_respond_text(r, 503, "text/plain", SV("no kubelet"));
	if (w.client_closed && !w.stopping)
		ev_loop_stop(w.loop);
}

static void api_handler(struct http_req *r, void *ctx)
{
	const struct rc_backend b = {
		.endpoint = { .host = "127.0.0.1", .port = ctx ? 1 : http_server_port(w.kubelet) },
		.target = w.target,
	};
	const struct rc_opts o = { .want_stdin = true,
				   .want_stdout = true,
				   .want_stderr = true,
				   .done = api_done,
				   .unreached = w.unreached,
				   .ret_session = &w.session,
				   .connect_timeout_ns = w.timeout_ns };
	struct err err = ERR_INIT;

	if (w.entry(r, &b, &o, &err) < 0)
		http_respond_text(r, 400, "text/plain", sv_from(err_msg(&err)));
	err_release(&err);
}

/* --- the client --- */

static void client_write(struct sv bytes)
{
	http_dialog_write(w.client, bytes);
}

static void client_sends(enum ws_op op, struct sv payload)
{
	struct buf b = BUF_INIT;

	ws_frame(&w.ws, &b, op, payload, 0x55aa00ff);
	client_write(buf_sv(&b));
	buf_release(&b);
}

static void client_message(enum ws_op op, struct sv payload, void *ctx)
{
	(void)ctx;
	if (op == WS_CLOSE) {
		buf_adds(&w.got, "close");
		if (!w.silent)
			client_sends(WS_CLOSE, SV("\x03\xe8"));
		return;
	}
	if (w.flood_sent && payload.p[0] == 1) {
		for (size_t i = 1; i < payload.n; i++)
			w.flood_wrong |= (unsigned char)payload.p[i] != w.flood_got++ % 251;
		return;
	}
	if (w.entry == rc_translate) {
		buf_printf(&w.got, "%d:%.*s ", payload.p[0], SV_ARG(sv_sub(payload, 1, payload.n)));
	} else {
		buf_addsv(&w.got, payload);
		if (sv_is(buf_sv(&w.got), "QUIET"))
			client_sends(WS_CLOSE, SV("\x03\xe8"));
	}
}

static void revoke_now(void *ctx)
{
	struct err err = ERR_INIT;

	(void)ctx;
	err_set(&err, ERR_FORBIDDEN, "not any more");
	rc_revoke(w.session, &err);
	err_release(&err);
}

static void client_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	const char *say = ctx;

	(void)d;
	w.status = head->status;
	if (head->status != 101)
		return;
	if (strcmp(say, "nothing") == 0) {
		ev_loop_stop(w.loop);
	} else if (strcmp(say, "revoke") == 0) {
		ev_loop_post(w.loop, revoke_now, NULL);
	} else if (w.entry == rc_pipe) {
		client_write(SV("quiet"));
	} else if (w.entry == rc_unwrap) {
		client_sends(WS_BINARY, SV("qui"));
		client_sends(WS_BINARY, SV("et"));
	} else if (strcmp(say, "flood") == 0) {
		http_dialog_pause(w.client, true);
		client_sends(WS_BINARY, SV("\0flood"));
	} else {
		client_sends(WS_BINARY, SV("\0quiet"));
		client_sends(WS_BINARY, SV("\377\0"));
	}
}

static void client_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	(void)ctx;
	if (w.status != 101 || !w.protocol) {
		buf_addsv(&w.raw, bytes);
		if (w.status == 101 && sv_is(buf_sv(&w.raw), "QUIET"))
			http_dialog_close(d);
		return;
	}
	assert_int_equal(ws_feed(&w.ws, bytes, client_message, NULL, NULL), 0);
}

static void client_closed(struct http_dialog *d, const struct err *err, void *ctx)
{
	(void)d;
	(void)err;
	(void)ctx;
	w.client_closed = true;
	if ((w.done || w.status == 400) && !w.stopping)
		ev_loop_stop(w.loop);
}

static void *run_loop(void *loop)
{
	ev_loop_run(loop);
	return NULL;
}

/* Stopping a server waits for its loop, which runs on another thread meanwhile. */
static void stop_servers(void)
{
	pthread_t t;

	if (!w.api)
		return;
	w.stopping = true;
	assert_int_equal(pthread_create(&t, NULL, run_loop, w.loop), 0);
	w.api = http_server_stop(w.api, 0);
	w.kubelet = http_server_stop(w.kubelet, 0);
	ev_loop_stop(w.loop);
	pthread_join(t, NULL);
}

/* Runs one session to its end. */
static void play(const char *target, const char *say, bool no_kubelet)
{
	static const struct http_dialog_cb cb = { client_head, client_data, NULL, client_closed };
	struct http_server_opts o = { .bind_address = "127.0.0.1", .max_body = 1000, .max_connections = 10 };
	struct http_endpoint ep = { .host = "127.0.0.1" };
	struct http_header h[5] = { { SV("connection"), SV("Upgrade") }, { SV("upgrade"), sv_from(w.upgrade) } };
	size_t n = 2;

	w.loop = ev_loop_new(NULL);
	w.target = target;
	o.handler = kubelet_handler;
	w.kubelet = http_server_start(&w.loop, 1, &o, NULL);
	o.handler = api_handler;
	o.ctx = no_kubelet ? &w : NULL;
	w.api = http_server_start(&w.loop, 1, &o, NULL);
	assert_non_null(w.kubelet);
	assert_non_null(w.api);
	ws_init(&w.ws, true, 1 << 20);
	w.spdy = spdy_new(false);
	if (w.protocol) {
		h[n++] = (struct http_header){ SV("sec-websocket-version"), SV("13") };
		h[n++] = (struct http_header){ SV("sec-websocket-key"), SV("dGhlIHNhbXBsZSBub25jZQ==") };
		h[n++] = (struct http_header){ SV("sec-websocket-protocol"), sv_from(w.protocol) };
	}
	ep.port = http_server_port(w.api);
	w.client = http_dial(w.loop, &ep, "GET", "/exec", h, n, SV_NULL, 20 * NS_PER_SEC, &cb, (void *)(uintptr_t)say);
	ev_loop_run(w.loop);
}

static int setup(void **state)
{
	(void)state;
	w = (struct world){ .upgrade = "websocket", .protocol = "v5.channel.k8s.io", .entry = rc_translate };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop_servers();
	ev_loop_free(w.loop);
	ws_release(&w.ws);
	spdy_free(w.spdy);
	buf_release(&w.got);
	buf_release(&w.raw);
	buf_release(&w.out);
	return 0;
}

static void exec_session(void **state)
{
	(void)state;
	play("/spdy", "", false);
	assert_int_equal(w.status, 101);
	assert_string_equal(w.protocol_asked, "v4.channel.k8s.io");
	assert_string_equal(buf_cstr(&w.got), "1: 1:QUIET 2:bye 3:{\"status\":\"Failure\",\"code\":7} close");
	assert_int_equal(w.done, 1);
	assert_true(w.done_answered);
	assert_int_equal(w.done_reason, ERR_NONE);
}

/* Behind the verdict our end of the connection is closed, whether the client answers or not: Python's sees the last
 * frames only then. */
static void exec_with_a_silent_client(void **state)
{
	(void)state;
	w.silent = true;
	play("/spdy", "", false);
	w.silent = false;
	assert_true(w.client_closed);
	assert_string_equal(buf_cstr(&w.got), "1: 1:QUIET 2:bye 3:{\"status\":\"Failure\",\"code\":7} close");
	assert_int_equal(w.done, 1);
}

/* A command that writes much faster than the client reads. */
static void flooded(void **state)
{
	(void)state;
	play("/spdy", "flood", false);
	assert_true(w.stalled); /* the kubelet was held up while the client did not read */
	assert_int_equal(w.flood_got, FLOOD_N);
	assert_false(w.flood_wrong);
	assert_string_equal(buf_cstr(&w.got), "1: 3:{\"metadata\":{},\"status\":\"Success\"} close");
}

static void exec_refused(void **state)
{
	(void)state;
	play("/text", "", false);
	assert_int_equal(w.status, 101);
	assert_true(sv_find_sv(buf_sv(&w.got), SV("\"message\":\"Internal error occurred: unable to upgrade "
						  "connection: container not found\"")) > 0);
	assert_int_equal(w.done, 1);
}

static void exec_refused_with_status(void **state)
{
	(void)state;
	play("/status", "", false);
	assert_string_equal(buf_cstr(&w.got), "1: 3:{\"kind\":\"Status\",\"code\":404} close");
}

static void exec_without_kubelet(void **state)
{
	(void)state;
	play("/spdy", "", true);
	assert_int_equal(w.status, 101);
	assert_true(sv_find_sv(buf_sv(&w.got), SV("\"reason\":\"InternalError\"")) > 0);
	assert_int_equal(w.done_reason, ERR_UNAVAILABLE);
}

static int in_other_words(struct err *err, const struct err *why)
{
	return err_set(err, ERR_INTERNAL, "in other words: %s", err_msg(why));
}

static void exec_without_kubelet_in_words(void **state)
{
	(void)state;
	w.unreached = in_other_words;
	play("/spdy", "", true);
	assert_true(sv_find_sv(buf_sv(&w.got), SV("\"message\":\"Internal error occurred: in other words: ")) > 0);
	assert_int_equal(w.done_reason, ERR_UNAVAILABLE);
}

/* The kubelet upgrades and then takes no stream. */
static void exec_never_opens(void **state)
{
	(void)state;
	w.timeout_ns = 20 * NS_PER_MS;
	play("/silent", "", false);
	assert_true(sv_find_sv(buf_sv(&w.got), SV("the streaming server did not answer in time")) > 0);
	assert_int_equal(w.done_reason, ERR_TIMEOUT);
}

static void bad_subprotocol(void **state)
{
	(void)state;
	w.protocol = "v9.channel.k8s.io";
	play("/spdy", "", false);
	assert_int_equal(w.status, 400);
	assert_int_equal(w.done, 0);
}

static void pipe_session(void **state)
{
	(void)state;
	w.entry = rc_pipe;
	w.protocol = NULL;
	w.upgrade = "SPDY/3.1";
	play("/loud", "", false);
	assert_int_equal(w.status, 101);
	assert_string_equal(buf_cstr(&w.raw), "QUIET");
	assert_int_equal(w.done, 1);
	assert_int_equal(w.done_reason, ERR_NONE);
}

static void pipe_refused(void **state)
{
	(void)state;
	w.entry = rc_pipe;
	w.protocol = NULL;
	w.upgrade = "SPDY/3.1";
	play("/text", "", false);
	assert_int_equal(w.status, 500);
	assert_string_equal(buf_cstr(&w.raw), "container not found\n");
	assert_true(w.done_answered);
}

/* What is neither an upgrade nor a failure would lead the client elsewhere, or tell it what is not so. */
static void pipe_is_no_redirect(void **state)
{
	static const char *const targets[] = { "/away", "/fine" };

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		if (i > 0) {
			teardown(state);
			setup(state);
		}
		w.entry = rc_pipe;
		w.protocol = NULL;
		w.upgrade = "SPDY/3.1";
		play(targets[i], "", false);
		assert_int_equal(w.status, 503);
		assert_false(w.done_answered);
		assert_int_equal(w.done_reason, RC_NO_UPGRADE);
		assert_int_equal(w.done, 1);
	}
}

static void port_forward_is_no_redirect(void **state)
{
	(void)state;
	w.entry = rc_unwrap;
	w.protocol = "SPDY/3.1+portforward.k8s.io";
	play("/away", "", false);
	assert_int_equal(w.status, 503);
	assert_int_equal(w.done_reason, RC_NO_UPGRADE);
}

/* A refusal that begins and never ends. */
static void pipe_refused_without_end(void **state)
{
	(void)state;
	w.entry = rc_pipe;
	w.protocol = NULL;
	w.upgrade = "SPDY/3.1";
	w.timeout_ns = 200 * NS_PER_MS;
	play("/trickle", "", false);
	assert_int_equal(w.status, 503);
	assert_false(w.done_answered);
	assert_int_equal(w.done_reason, ERR_TIMEOUT);
}

static void pipe_without_kubelet(void **state)
{
	(void)state;
	w.entry = rc_pipe;
	w.protocol = NULL;
	w.upgrade = "SPDY/3.1";
	play("/loud", "", true);
	assert_int_equal(w.status, 503);
	assert_string_equal(buf_cstr(&w.raw), "no kubelet");
	assert_false(w.done_answered);
}

static void port_forward(void **state)
{
	(void)state;
	w.entry = rc_unwrap;
	w.protocol = "SPDY/3.1+portforward.k8s.io";
	play("/loud", "", false);
	assert_int_equal(w.status, 101);
	assert_string_equal(w.protocol_asked, "portforward.k8s.io");
	assert_true(sv_starts(buf_sv(&w.got), SV("QUIET")));
	assert_int_equal(w.done, 1);
}

/* Whoever asked is gone before the kubelet has said a word: told at once, and the kubelet is left, too. */
static void client_leaves_early(void **state)
{
	(void)state;
	w.entry = rc_pipe;
	w.protocol = NULL;
	w.upgrade = "SPDY/3.1";
	play("/mute", "", false);
	assert_int_equal(w.status, 0);
	assert_int_equal(w.done, 1);
	assert_false(w.done_answered);
	assert_int_equal(w.done_reason, ERR_UNAVAILABLE);
}

/* The server stops under a session: it is told of before http_server_stop() returns, and nothing is left of it. */
static void server_stops(void **state)
{
	int (*const entries[])(struct http_req *, const struct rc_backend *, const struct rc_opts *,
			       struct err *) = { rc_pipe, rc_translate, rc_unwrap };
	static const char *const protocols[] = { NULL, "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io" };

	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		setup(state);
		w.entry = entries[i];
		w.protocol = protocols[i];
		w.upgrade = w.protocol ? "websocket" : "SPDY/3.1";
		play("/silent", "nothing", false);
		assert_int_equal(w.status, 101);
		stop_servers();
		assert_int_equal(w.done, 1);
		assert_true(w.done_answered);
		teardown(state);
	}
}

/* The client lost the right to its session, which neither end would have ended. */
static void right_withdrawn(void **state)
{
	int (*const entries[])(struct http_req *, const struct rc_backend *, const struct rc_opts *,
			       struct err *) = { rc_pipe, rc_translate, rc_unwrap };
	static const char *const protocols[] = { NULL, "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io" };

	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		setup(state);
		w.entry = entries[i];
		w.protocol = protocols[i];
		w.upgrade = w.protocol ? "websocket" : "SPDY/3.1";
		play("/silent", "revoke", false);
		assert_int_equal(w.status, 101);
		assert_true(w.client_closed);
		assert_int_equal(w.done, 1);
		assert_int_equal(w.done_reason, ERR_FORBIDDEN);
		if (w.entry == rc_translate)
			assert_true(sv_find_sv(buf_sv(&w.got), SV("not any more")) > 0);
		teardown(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exec_session, setup, teardown),
		cmocka_unit_test_setup_teardown(exec_with_a_silent_client, setup, teardown),
		cmocka_unit_test_setup_teardown(flooded, setup, teardown),
		cmocka_unit_test_setup_teardown(exec_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(exec_refused_with_status, setup, teardown),
		cmocka_unit_test_setup_teardown(exec_without_kubelet, setup, teardown),
		cmocka_unit_test_setup_teardown(exec_without_kubelet_in_words, setup, teardown),
		cmocka_unit_test_setup_teardown(exec_never_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_subprotocol, setup, teardown),
		cmocka_unit_test_setup_teardown(pipe_session, setup, teardown),
		cmocka_unit_test_setup_teardown(pipe_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(pipe_is_no_redirect, setup, teardown),
		cmocka_unit_test_setup_teardown(port_forward_is_no_redirect, setup, teardown),
		cmocka_unit_test_setup_teardown(pipe_refused_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(pipe_without_kubelet, setup, teardown),
		cmocka_unit_test_setup_teardown(port_forward, setup, teardown),
		cmocka_unit_test_setup_teardown(client_leaves_early, setup, teardown),
		cmocka_unit_test(right_withdrawn),
		cmocka_unit_test(server_stops),
	};

	return cmocka_run_group_tests_name("remotecommand", tests, NULL, NULL);
}
