#include "apiserver/ws_stream.h"
#include "base/b64.h"
#include "net/ws.h"

#define MESSAGE_MAX ((size_t)64 * 1024) /* of a client, which has nothing to say */
#define ANSWERS_MAX ((size_t)1 << 20)	/* waiting for a client: it asks, and does not read */

struct ws_stream {
	struct http_tunnel *tunnel; /* NULL: no more */
	struct ws ws;
	struct buf message, out;
	bool base64;
	bool ended; /* by the streamer: q is given back with the tunnel */
};

static size_t ws_stream_flush(struct ws_stream *w)
{
	size_t queued = w->tunnel && w->out.n ? http_tunnel_write(w->tunnel, buf_sv(&w->out)) : 0;

	buf_clear(&w->out);
	return queued;
}

static void message(enum ws_op op, struct sv payload, void *ctx)
{
	struct ws_stream *w = ctx;

	if (op == WS_PING)
		ws_frame(&w->ws, &w->out, WS_PONG, payload, 0);
	else if (op == WS_CLOSE)
		ws_close_frame(&w->ws, &w->out, 1000, SV_NULL, 0);
}

static void ws_stream_on_data(struct http_tunnel *t, struct sv bytes, void *ctx)
{
	struct api_req *q = ctx;
	struct ws_stream *w = q->user_data;

	if (ws_feed(&w->ws, bytes, message, w, NULL) < 0)
		ws_close_frame(&w->ws, &w->out, 1002, SV_NULL, 0);
	if (ws_stream_flush(w) > ANSWERS_MAX || w->ws.closing)
		http_tunnel_close(t);
}

static void ws_stream_on_drain(struct http_tunnel *t, void *ctx)
{
	struct api_req *q = ctx;

	(void)t;
	if (q->on_drain)
		q->on_drain(q);
}

static void give_back(struct api_req *q)
{
	struct ws_stream *w = q->user_data;

	ws_release(&w->ws);
	buf_release(&w->message);
	buf_release(&w->out);
	http_req_unref(q->http);
}

static void ws_stream_on_closed(struct http_tunnel *t, void *ctx)
{
	struct api_req *q = ctx;
	struct ws_stream *w = q->user_data;

	(void)t;
	w->tunnel = NULL;
	if (w->ended)
		give_back(q);
	else if (q->on_gone)
		q->on_gone(q);
}

static void ws_stream_gone_before(struct http_req *r, void *ctx)
{
	struct api_req *q = ctx;

	(void)r;
	if (q->on_gone)
		q->on_gone(q);
}

void ws_stream_begin(struct api_req *q, const char *content_type)
{
	static const char *const offers[] = { "binary.k8s.io", "base64.binary.k8s.io", "", NULL };
	static const struct http_tunnel_cb cb = { ws_stream_on_data, ws_stream_on_drain, ws_stream_on_closed };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct ws_stream *w = ARENA_NEW(q->arena, struct ws_stream);
	struct http_header *headers;
	const char *protocol;
	size_t n;

	(void)content_type;
	q->user_data = w;
	ws_init(&w->ws, false, MESSAGE_MAX);
	q->http->on_gone = NULL;
	if (ws_accept(q->http, offers, &protocol, &headers, &n, &err) < 0) {
		api_req_answered(q, 400);
		http_respond_text(q->http, 400, "text/plain; charset=utf-8", sv_from(err_msg(&err)));
	} else {
		w->base64 = strcmp(protocol, "base64.binary.k8s.io") == 0;
		api_req_answered(q, 101);
		w->tunnel = http_upgrade(q->http, headers, n, &cb, q);
	}
	if (!w->tunnel) { /* the streamer hears of it when it has begun */
		http_req_post(q->http, ws_stream_gone_before, q);
	} else if (q->verb != VERB_WATCH) {
		ws_frame(&w->ws, &w->out, w->base64 ? WS_TEXT : WS_BINARY, SV(""), 0);
		(void)ws_stream_flush(w);
	}
}

static size_t ws_stream_send(struct ws_stream *w, enum ws_op op, struct sv bytes)
{
	if (w->base64) {
		_cleanup_(buf_release) struct buf text = BUF_INIT;

		b64_add(&text, bytes);
		ws_frame(&w->ws, &w->out, WS_TEXT, buf_sv(&text), 0);
	} else {
		ws_frame(&w->ws, &w->out, op, bytes, 0);
	}
	return ws_stream_flush(w);
}

size_t ws_stream_write(struct api_req *q, const struct http_chunk *c)
{
	struct ws_stream *w = q->user_data;
	size_t queued = 0;

	if (w->tunnel && c->data.n)
		queued = ws_stream_send(w, WS_BINARY, c->data);
	if (c->release)
		c->release(c->owner);
	return queued;
}

size_t ws_stream_event(struct api_req *q, bool binary, const struct http_chunk *chunks, size_t n)
{
	struct ws_stream *w = q->user_data;

	for (size_t i = 0; i < n; i++) {
		if (w->tunnel)
			buf_addsv(&w->message, chunks[i].data);
		if (chunks[i].release)
			chunks[i].release(chunks[i].owner);
	}
	if (!w->tunnel)
		return 0;
	n = ws_stream_send(w, binary ? WS_BINARY : WS_TEXT, buf_sv(&w->message));
	buf_clear(&w->message);
	return n;
}

void ws_stream_end(struct api_req *q)
{
	struct ws_stream *w = q->user_data;

	q->on_gone = q->on_drain = NULL;
	w->ended = true;
	if (!w->tunnel) {
		give_back(q);
		return;
	}
	if (!w->ws.closing)
		ws_close_frame(&w->ws, &w->out, 1000, SV_NULL, 0);
	(void)ws_stream_flush(w);
	http_tunnel_close(w->tunnel);
}
