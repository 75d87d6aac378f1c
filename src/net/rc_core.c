#include "net/rc_core.h"

#include "base/b64.h"

#include <stdlib.h>

enum {
	CHANNEL_CLOSE = 255,		     /* v5: the next byte names the channel that ends */
	MESSAGE_MAX_BYTES = 4 * 1024 * 1024, /* of one WebSocket message from the client */
	VERDICT_MAX = 64 * 1024,
	CLOSE_NORMAL = 1000,
	CLOSE_PROTOCOL = 1002,
	CLOSE_TOO_BIG = 1009,
	RST_PROTOCOL_ERROR = 1,
	GOAWAY_OK = 0,
};

static const char *const stream_types[_RC_MAX] = {
	[RC_STDIN] = "stdin", [RC_STDOUT] = "stdout", [RC_STDERR] = "stderr",
	[RC_ERROR] = "error", [RC_RESIZE] = "resize",
};

/* v2 and v3 never had a WebSocket form of their own. "" are clients that name none. */
const char *const rc_subprotocols[] = { "v5.channel.k8s.io",
					"v4.channel.k8s.io",
					"v4.base64.channel.k8s.io",
					"base64.channel.k8s.io",
					"channel.k8s.io",
					"",
					NULL };

struct rc_core *rc_core_free(struct rc_core *c)
{
	if (!c)
		return NULL;
	ws_release(&c->ws);
	spdy_free(c->spdy);
	for (size_t i = 0; i < _RC_MAX; i++)
		buf_release(&c->streams[i].held);
	buf_release(&c->verdict);
	buf_release(&c->scratch);
	buf_release(&c->to_client);
	buf_release(&c->to_backend);
	free(c);
	return NULL;
}

const char *rc_core_backend_protocol(const struct rc_core *c)
{
	/* The error channel is text before v4 and a Status since, on both sides alike: asking
	 * the backend for the client's kind means never having to rewrite it. The first of the old
	 * ones is no choice: its servers reset the error stream instead of closing it. */
	return c->version >= 4 ? "v4.channel.k8s.io" : "v3.channel.k8s.io";
}

bool rc_core_holds(const struct rc_core *c)
{
	if (c->state >= RC_ENDED)
		return false; /* its answer to our close frame is waited for */
	return c->state == RC_OPENING || c->streams[RC_STDIN].held.n > 0 || c->streams[RC_RESIZE].held.n > 0;
}

bool rc_core_opened(const struct rc_core *c)
{
	for (size_t i = 0; i < _RC_MAX; i++)
		if (c->streams[i].id && !c->streams[i].replied)
			return false;
	return c->state >= RC_RUNNING;
}

/* --- towards the client --- */

static void client_send(struct rc_core *c, enum rc_channel channel, struct sv data)
{
	buf_clear(&c->scratch);
	buf_addc(&c->scratch, (char)((c->base64 ? '0' : 0) + (int)channel));
	if (!c->base64)
		buf_addsv(&c->scratch, data);
	else
		b64_add(&c->scratch, data);
	ws_frame(&c->ws, &c->to_client, c->base64 ? WS_TEXT : WS_BINARY, buf_sv(&c->scratch), 0);
}

struct rc_core *rc_core_new(const char *subprotocol, bool want_stdin, bool want_stdout, bool want_stderr, bool tty)
{
	struct rc_core *c = xcalloc(1, sizeof(*c));
	struct sv p = sv_from(subprotocol);

	c->version = sv_starts(p, SV("v5.")) ? 5 : sv_starts(p, SV("v4.")) ? 4 : 1;
	c->base64 = sv_find_sv(p, SV("base64.")) >= 0;
	c->verdict.limit = VERDICT_MAX;
	c->next_ping = 1;
	ws_init(&c->ws, false, MESSAGE_MAX_BYTES);
	c->spdy = spdy_new(true);
	/* Errors first: the order in which every client opens them. */
	c->streams[RC_ERROR].id = spdy_next_stream(c->spdy);
	if (want_stdin)
		c->streams[RC_STDIN].id = spdy_next_stream(c->spdy);
	if (want_stdout)
		c->streams[RC_STDOUT].id = spdy_next_stream(c->spdy);
	if (want_stderr && !tty) /* a terminal has one output */
		c->streams[RC_STDERR].id = spdy_next_stream(c->spdy);
	if (tty)
		c->streams[RC_RESIZE].id = spdy_next_stream(c->spdy);
	/* Some clients wait for a first message before they take the connection to stand. */
	client_send(c, c->streams[RC_STDOUT].id ? RC_STDOUT : c->streams[RC_STDERR].id ? RC_STDERR : RC_ERROR, SV_NULL);
	return c;
}

static void rc_json_string(struct buf *b, struct sv s)
{
	buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];

		if (ch == '"' || ch == '\\')
			buf_printf(b, "\\%c", ch);
		else if (ch < 0x20)
			buf_printf(b, "\\u%04x", ch);
		else
			buf_addc(b, (char)ch);
	}
	buf_addc(b, '"');
}

/* The session is over: verdict, close frame to the client, farewell to the backend. */
static void rc_end(struct rc_core *c, struct sv verdict)
{
	if (c->state >= RC_ENDED)
		return;
	if (verdict.n > 0)
		client_send(c, RC_ERROR, verdict);
	ws_close_frame(&c->ws, &c->to_client, CLOSE_NORMAL, SV_NULL, 0);
	if (c->state == RC_RUNNING)
		spdy_goaway(c->spdy, &c->to_backend, GOAWAY_OK);
	c->state = RC_ENDED;
}

void rc_core_fail_status(struct rc_core *c, struct sv status_json)
{
	rc_end(c, status_json);
}

static void end_failed(struct rc_core *c, const char *why)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, msg = BUF_INIT;

	if (c->version < 4) {
		buf_printf(&b, "Internal error occurred: %s", why);
	} else {
		buf_printf(&msg, "Internal error occurred: %s", why);
		buf_adds(&b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
			     "\"message\":");
		rc_json_string(&b, buf_sv(&msg));
		buf_adds(&b, ",\"reason\":\"InternalError\",\"details\":{\"causes\":[{\"message\":");
		rc_json_string(&b, sv_from(why));
		buf_adds(&b, "}]},\"code\":500}");
	}
	rc_end(c, buf_sv(&b));
}

/* Ends the session once nothing more can come before the verdict. */
static void end_if_complete(struct rc_core *c)
{
	static const enum rc_channel outputs[] = { RC_STDOUT, RC_STDERR, RC_ERROR };

	if (c->state != RC_RUNNING)
		return;
	for (size_t i = 0; i < ARRAY_LEN(outputs); i++)
		if (c->streams[outputs[i]].id && !c->streams[outputs[i]].ended)
			return;
	if (c->verdict.overflow)
		end_failed(c, "the status on the error stream is too long");
	else if (c->verdict.n > 0)
		rc_end(c, buf_sv(&c->verdict));
	else /* an empty error stream is success, and v4 says so */
		rc_end(c, c->version >= 4 ? SV("{\"metadata\":{},\"status\":\"Success\"}") : SV_NULL);
}

/* --- from the client --- */

/* Bytes for a stream, or its end; kept while the backend has not taken the stream. */
static void rc_stream_flush(struct rc_core *c, struct rc_stream *s)
{
	if (!s->replied || s->fin_sent)
		return;
	if (s->held.n > 0 || s->fin_wanted)
		spdy_data(c->spdy, &c->to_backend, s->id, buf_sv(&s->held), s->fin_wanted);
	s->fin_sent = s->fin_wanted;
	buf_release(&s->held);
}

static void rc_stream_write(struct rc_core *c, enum rc_channel channel, struct sv data)
{
	struct rc_stream *s = &c->streams[channel];

	if (!s->id || s->fin_wanted || (channel != RC_STDIN && channel != RC_RESIZE) || data.n == 0)
		return; /* not wanted or not the client's to write: ignored, as everywhere */
	if (s->replied)
		spdy_data(c->spdy, &c->to_backend, s->id, data, false);
	else
		buf_addsv(&s->held, data);
}

static void rc_stream_close(struct rc_core *c, unsigned channel)
{
	if ((channel != RC_STDIN && channel != RC_RESIZE) || !c->streams[channel].id)
		return;
	c->streams[channel].fin_wanted = true;
	rc_stream_flush(c, &c->streams[channel]);
}

static void client_data_base64(struct rc_core *c, struct sv payload)
{
	unsigned channel = (unsigned char)payload.p[0] - (unsigned)'0';
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv bytes;

	if (channel < _RC_MAX && b64_decode(&a, sv_sub(payload, 1, payload.n), &bytes))
		rc_stream_write(c, (enum rc_channel)channel, bytes);
}

static void client_message(enum ws_op op, struct sv payload, void *ctx)
{
	struct rc_core *c = ctx;

	switch (op) {
	case WS_PING:
		if (c->state < RC_DONE)
			ws_frame(&c->ws, &c->to_client, WS_PONG, payload, 0);
		return;
	case WS_CLOSE:
		if (c->state < RC_ENDED) {
			ws_close_frame(&c->ws, &c->to_client, CLOSE_NORMAL, SV_NULL, 0);
			if (c->state == RC_RUNNING)
				spdy_goaway(c->spdy, &c->to_backend, GOAWAY_OK);
		}
		c->state = RC_DONE;
		return;
	case WS_TEXT:
	case WS_BINARY:
		break;
	default:
		return;
	}
	if (c->state >= RC_ENDED || payload.n == 0)
		return;
	if (c->base64) {
		client_data_base64(c, payload);
	} else if ((unsigned char)payload.p[0] == CHANNEL_CLOSE && c->version >= 5) {
		if (payload.n >= 2)
			rc_stream_close(c, (unsigned char)payload.p[1]);
	} else if ((unsigned char)payload.p[0] < _RC_MAX) {
		rc_stream_write(c, (enum rc_channel)payload.p[0], sv_sub(payload, 1, payload.n));
	}
}

void rc_core_client(struct rc_core *c, struct sv bytes)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (c->state == RC_DONE || ws_feed(&c->ws, bytes, client_message, c, &err) == 0)
		return;
	if (c->state < RC_ENDED)
		ws_close_frame(&c->ws, &c->to_client, err.reason == ERR_TOO_LARGE ? CLOSE_TOO_BIG : CLOSE_PROTOCOL,
			       sv_from(err_msg(&err)), 0);
	if (c->state == RC_RUNNING)
		spdy_goaway(c->spdy, &c->to_backend, GOAWAY_OK);
	c->state = RC_DONE;
}

/* --- from the backend --- */

void rc_core_start(struct rc_core *c)
{
	static const enum rc_channel order[] = { RC_ERROR, RC_STDIN, RC_STDOUT, RC_STDERR, RC_RESIZE };

	if (c->state != RC_OPENING)
		return;
	c->state = RC_RUNNING;
	/* All at once: the backend takes them in order, and nothing is gained by waiting for one
	 * reply before asking for the next. */
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		struct http_header h = { SV("streamtype"), sv_from(stream_types[order[i]]) };

		if (c->streams[order[i]].id)
			spdy_syn_stream(c->spdy, &c->to_backend, c->streams[order[i]].id, &h, 1, false);
	}
}

static void backend_frame(const struct spdy_frame *f, void *ctx)
{
	struct rc_core *c = ctx;
	enum rc_channel channel = RC_STDIN;
	struct rc_stream *s;

	if (c->state != RC_RUNNING)
		return;
	if (f->type == SPDY_PING) {
		if (f->status % 2 == 0) /* the backend's own; odd ones answer ours */
			spdy_ping(c->spdy, &c->to_backend, f->status);
		return;
	}
	if (f->type == SPDY_SYN_STREAM) { /* backends open none */
		spdy_rst(c->spdy, &c->to_backend, f->stream, RST_PROTOCOL_ERROR);
		return;
	}
	while (channel < _RC_MAX && (f->stream == 0 || c->streams[channel].id != f->stream))
		channel++;
	if (channel == _RC_MAX || f->type == SPDY_WINDOW_UPDATE || f->type == SPDY_GOAWAY)
		return;
	s = &c->streams[channel];
	if (f->type == SPDY_RST_STREAM && !s->replied) {
		end_failed(c, "the streaming server refused a stream");
		return;
	}
	if (f->type == SPDY_SYN_REPLY) {
		s->replied = true;
		rc_stream_flush(c, s);
	}
	if (f->data.n > 0 && !s->ended) {
		if (channel == RC_ERROR)
			buf_addsv(&c->verdict, f->data);
		else if (channel == RC_STDOUT || channel == RC_STDERR)
			client_send(c, channel, f->data);
	}
	if (f->fin || f->type == SPDY_RST_STREAM)
		s->ended = true;
	end_if_complete(c);
}

void rc_core_backend(struct rc_core *c, struct sv bytes)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (c->state == RC_RUNNING && spdy_feed(c->spdy, bytes, backend_frame, c, &err) < 0)
		end_failed(c, err_msg(&err));
}

void rc_core_backend_end(struct rc_core *c, const struct err *why)
{
	if (c->state >= RC_ENDED)
		return;
	if (c->verdict.n > 0 && !c->verdict.overflow)
		rc_end(c, buf_sv(&c->verdict)); /* it had spoken; the end of the connection ends its streams */
	else if (why)
		end_failed(c, err_msg(why));
	else
		end_failed(c, "the streaming server closed the connection before the command's end");
}

void rc_core_ping_client(struct rc_core *c)
{
	if (c->state < RC_ENDED)
		ws_frame(&c->ws, &c->to_client, WS_PING, SV_NULL, 0);
}

void rc_core_ping(struct rc_core *c)
{
	if (c->state != RC_RUNNING)
		return;
	spdy_ping(c->spdy, &c->to_backend, c->next_ping);
	c->next_ping = c->next_ping >= INT32_MAX - 2U ? 1 : c->next_ping + 2;
}
