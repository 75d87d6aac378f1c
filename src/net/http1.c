/* A server connection that speaks HTTP/1: one request at a time.
 *
 *	                 head complete            body complete
 *	between requests ------------> in_body ----------------> being answered --+
 *	      ^            (no body: straight to being answered)                  |
 *	      +---------------- response handed to the stream --------------------+
 *
 * Pipelined requests wait in c->in until the answer before them is out, and so does a body that streams (http_upload.c)
 * until it is wanted; reading pauses when they get too many. An upgrade turns the connection into a tunnel for good.
 */
#include "net/http-internal.h"

#include <stdlib.h>

#define PIPELINE_MAX ((size_t)64 * 1024)

static size_t h1_process(struct http_conn *c, struct sv in);

/* --- responses --- */

static void h1_add_header(struct buf *b, struct sv name, struct sv value)
{
	buf_addsv(b, name);
	buf_adds(b, ": ");
	/* Whatever a caller lets through, it cannot end the line. */
	for (size_t i = 0; i < value.n; i++) {
		char ch = value.p[i];

		buf_addc(b, ch == '\r' || ch == '\n' || ch == '\0' ? ' ' : ch);
	}
	buf_adds(b, "\r\n");
}

static void h1_add_headers(struct buf *b, const struct http_header *h, size_t n, bool upgrade)
{
	for (size_t i = 0; i < n; i++) {
		if (sv_ieq(h[i].name, SV("content-length")) || sv_ieq(h[i].name, SV("transfer-encoding")) ||
		    sv_ieq(h[i].name, SV("date")) || (!upgrade && sv_ieq(h[i].name, SV("connection"))))
			continue; /* ours to say */
		h1_add_header(b, h[i].name, h[i].value);
	}
}

/* What of a body, of the length it has announced, is not taken yet. */
static uint64_t h1_body_rest(const struct http_conn *c, const struct http_rq *r)
{
	return (uint64_t)c->head.content_length - r->body_got;
}

/* Is there a body that streams, and more to come of it than is at hand? */
static bool h1_body_ahead(const struct http_conn *c, const struct http_rq *r)
{
	return rq_body_open(r) && (c->head.chunked || h1_body_rest(c, r) > c->ahead);
}

static void h1_respond(struct http_rq *r, int status, const struct http_header *headers, size_t n_headers,
		       int64_t content_length, bool has_body)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct http_conn *c = r->conn;

	(void)has_body;
	buf_reserve(&b, 512);
	buf_printf(&b, "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
	h1_add_headers(&b, headers, n_headers, false);
	h1_add_header(&b, SV("date"), lane_date(c->lane));
	c->chunked_out = false;
	if (r->refused || c->lane->stopping || h1_body_ahead(c, r))
		c->keep_alive = false;
	if (content_length >= 0) {
		if (status != 204 && status != 304)
			buf_printf(&b, "content-length: %" PRId64 "\r\n", content_length);
	} else if (!r->no_body) {
		if (c->head.minor > 0) {
			c->chunked_out = true;
			buf_adds(&b, "transfer-encoding: chunked\r\n");
		} else {
			c->keep_alive = false; /* the end of the connection is the end of the body */
		}
	}
	if (!c->keep_alive)
		buf_adds(&b, "connection: close\r\n");
	else if (c->head.minor == 0)
		buf_adds(&b, "connection: keep-alive\r\n");
	buf_adds(&b, "\r\n");
	stream_write(c->s, buf_sv(&b));
}

/* Answers what is not a request, and ends the connection. */
static void h1_refuse(struct http_conn *c, struct http_rq *r, int status, const char *why)
{
	struct sv text;

	if (!r)
		r = rq_new(c);
	c->cur = r;
	c->keep_alive = false;
	c->head.minor = 1;
	r->state = RQ_HANDLING;
	r->refused = true;
	text = arena_svf(&r->arena, "%d %s: %s", status, http_status_text(status), why);
	http_respond_text(&r->pub, status, "text/plain; charset=utf-8", text);
}

/* Hands response bytes to the stream while it has room. True when the response is complete. */
static bool h1_emit(struct http_conn *c, struct http_rq *r)
{
	/* What is made while it is sent costs time: none when there is none left. */
	while (stream_queued(c->s) < STREAM_QUEUE_MAX && (r->q || !r->src || !stream_turn_over(c->s)) &&
	       (rq_fill(r, 1), r->q)) {
		/* A chunk that somebody keeps for us goes over whole. One without a release is only
		 * good as long as the request, so its bytes are copied, as many as there is room for. */
		bool kept = r->q->c.release != NULL;
		struct sv piece = sv_sub(r->q->c.data, r->q->off, kept ? SIZE_MAX : STREAM_QUEUE_MAX);
		char size[24];

		if (c->chunked_out) {
			int n = snprintf(size, sizeof(size), "%zx\r\n", piece.n);

			stream_write(c->s, sv_make(size, (size_t)n));
		}
		if (kept) {
			struct http_chunk chunk = rq_take_chunk(r);

			stream_write_chunk(c->s, &chunk);
		} else {
			stream_write(c->s, piece);
			rq_consume(r, piece.n);
		}
		if (c->chunked_out)
			stream_write(c->s, SV("\r\n"));
	}
	if (r->q || r->src) {
		stream_want(c->s);
		return false;
	}
	return r->state == RQ_FINISHING;
}

static void h1_finish(struct http_conn *c, struct http_rq *r)
{
	if (r->torn) {
		c->keep_alive = false; /* and no last chunk: the client sees a body cut short */
	} else if (c->chunked_out) {
		stream_write(c->s, SV("0\r\n\r\n"));
	}
	/* Who asked did not want to be heard out: what is not here is not waited for. */
	if (c->in_body && c->keep_alive)
		buf_drop_front(&c->in, (size_t)h1_body_rest(c, r));
	c->in_body = false;
	c->cur = NULL;
	rq_done(r);
	if (!c->keep_alive || c->lane->stopping) {
		stream_close(c->s);
		return;
	}
	stream_pause(c->s, false);
	http_conn_wait(c, HTTP_WAIT_IDLE);
}

/* The input that was left is taken, as far as it goes. */
static void h1_take_in(struct http_conn *c)
{
	buf_drop_front(&c->in, h1_process(c, buf_sv(&c->in)));
	if (!c->in.n)
		buf_release(&c->in);
	c->ahead = c->in.n;
}

/* More of a body that streams is wanted. */
static void h1_body_pull(struct http_conn *c, struct http_rq *r)
{
	if (c->in_body && c->in.n && rq_body_taken(r))
		h1_take_in(c);
	rq_body_go_on(r);
	if (c->in.n <= PIPELINE_MAX) /* also behind the body: or nobody would see the client go */
		stream_pause(c->s, false);
}

static void h1_body_asked(struct http_rq *r)
{
	struct http_conn *c = r->conn;

	if (c->in_body && c->head.expect_continue && c->head.minor > 0 && !r->body_got && !c->ahead &&
	    r->state == RQ_HANDLING) {
		c->head.expect_continue = false;
		stream_write(c->s, SV("HTTP/1.1 100 Continue\r\n\r\n"));
	}
	stream_want(c->s);
}

static void h1_pull(struct http_conn *c)
{
	struct http_rq *r;

	if (c->proto == PROTO_TUNNEL) {
		struct buf left = c->in;

		if (!left.n || c->tunnel.paused || !c->tunnel.cb.data)
			return;
		c->in = BUF_INIT;
		c->tunnel.cb.data(&c->tunnel, buf_sv(&left), c->tunnel.ctx);
		buf_release(&left);
		return;
	}
	if (c->cur && c->cur->pub.body_streams)
		h1_body_pull(c, c->cur);
	while ((r = c->cur) && (r->state == RQ_STREAMING || r->state == RQ_FINISHING)) {
		if (!h1_emit(c, r)) {
			rq_check_drain(r);
			return;
		}
		h1_finish(c, r);
		if (stream_closing(c->s) || !c->in.n)
			return;
		h1_take_in(c); /* the next pipelined request */
	}
}

/* --- requests --- */

static void h1_dispatch(struct http_conn *c)
{
	c->in_body = false;
	http_conn_wait(c, HTTP_WAIT_NONE);
	rq_dispatch(c->cur);
}

static void h1_begin(struct http_conn *c, struct sv raw)
{
	struct http_rq *r = rq_new(c);
	char *mem = arena_alloc(&r->arena, raw.n);
	struct h1_head *h = &c->head;
	const char *why = "";
	int status;

	memcpy(mem, raw.p, raw.n);
	c->scan = (struct h1_scan){ 0 };
	status = h1_parse_head(&r->arena, mem, raw.n, h, &why);
	if (status) {
		h1_refuse(c, r, status, why);
		return;
	}
	r->pub.method = h->method;
	r->pub.target = h->target;
	r->pub.path = h->path;
	r->pub.query = h->query;
	r->pub.host = h->host;
	r->pub.headers = h->headers;
	r->pub.n_headers = h->n_headers;
	r->body_expected = h->content_length;
	c->keep_alive = h->keep_alive;
	c->cur = r;
	if (!h->chunked && h->content_length <= 0) {
		h1_dispatch(c);
		return;
	}
	c->chunks = (struct h1_chunks){ 0 };
	if (rq_streams(r)) {
		c->in_body = true;
		http_conn_wait(c, HTTP_WAIT_NONE);
		return; /* to the handler when it is known what is at hand */
	}
	if (h->content_length > 0 && (uint64_t)h->content_length > c->lane->srv->o.max_body) {
		http_conn_wait(c, HTTP_WAIT_NONE);
		rq_refuse_body(r, 413);
		return;
	}
	c->in_body = true;
	http_conn_wait_body(c);
	if (h->expect_continue && h->minor > 0)
		stream_write(c->s, SV("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void h1_refuse_body(struct http_conn *c, struct http_rq *r, int status)
{
	c->in_body = false;
	http_conn_wait(c, HTTP_WAIT_NONE);
	rq_refuse_body(r, status);
}

/* False when the body is malformed or too large: answered. */
static bool h1_body(struct http_conn *c, struct sv *in)
{
	struct http_rq *r = c->cur;
	struct sv piece;
	int more, refuse;

	http_conn_wait_body(c);
	if (!c->head.chunked) {
		size_t left = (size_t)c->head.content_length - r->pub.body.n;

		piece = sv_sub(*in, 0, left);
		*in = sv_sub(*in, piece.n, in->n);
		refuse = rq_body_add(r, piece);
		if (refuse) {
			h1_refuse_body(c, r, refuse);
			return false;
		}
		if (piece.n == left)
			h1_dispatch(c);
		return true;
	}
	while ((more = h1_chunks_feed(&c->chunks, in, &piece)) > 0 && piece.n) {
		refuse = rq_body_add(r, piece);
		if (refuse) {
			h1_refuse_body(c, r, refuse);
			return false;
		}
	}
	if (more < 0) {
		c->in_body = false;
		http_conn_wait(c, HTTP_WAIT_NONE);
		h1_refuse(c, r, 400, "malformed chunked body");
		return false;
	}
	if (more == 0)
		h1_dispatch(c);
	return true;
}

/* A piece of a body that streams. False: none is wanted now. */
static bool h1_body_piece(struct http_conn *c, struct sv *in)
{
	struct http_rq *r = c->cur;
	struct sv piece = SV("");
	int more = 1;

	if (!rq_body_taken(r))
		return false;
	if (c->head.chunked) {
		more = h1_chunks_feed(&c->chunks, in, &piece);
	} else {
		piece = sv_sub(*in, 0, (size_t)MIN(h1_body_rest(c, r), in->n));
		*in = sv_sub(*in, piece.n, in->n);
		more = piece.n < h1_body_rest(c, r);
	}
	c->ahead = in->n;
	r->body_got += piece.n;
	if (more > 0 || piece.n)
		rq_body_tell(r, piece);
	if (more > 0)
		return true;
	c->in_body = false;
	if (more < 0) { /* whatever follows is no request */
		r->refused = true;
		c->keep_alive = false;
	}
	rq_body_end(r, more == 0);
	return true;
}

/* Takes what it can of the input; returns how much. */
static size_t h1_process(struct http_conn *c, struct sv in)
{
	size_t total = in.n;

	while (in.n && !stream_closing(c->s) && c->proto != PROTO_TUNNEL) {
		ssize_t n;

		if (c->in_body && c->cur->pub.body_streams) {
			if (!h1_body_piece(c, &in))
				break;
			continue;
		}
		if (c->in_body) {
			if (!h1_body(c, &in))
				return total;
			continue;
		}
		if (c->cur)
			return c->cur->refused ? total : total - in.n;
		/* An empty line before a request is forgiven (RFC 9112, 2.2). */
		if (c->scan.at == 0 && in.n >= 2 && in.p[0] == '\r' && in.p[1] == '\n') {
			in = sv_sub(in, 2, in.n);
			continue;
		}
		if (c->waiting != HTTP_WAIT_HEAD)
			http_conn_wait(c, HTTP_WAIT_HEAD);
		n = h1_scan(&c->scan, in);
		if (n == 0)
			break;
		if (n < 0) {
			http_conn_wait(c, HTTP_WAIT_NONE);
			if (n == -2)
				h1_refuse(c, NULL, 431, "request head too large");
			else
				h1_refuse(c, NULL, 400, "malformed request");
			return total;
		}
		h1_begin(c, sv_sub(in, 0, (size_t)n));
		in = sv_sub(in, (size_t)n, in.n);
		if (c->in_body && c->cur->pub.body_streams) {
			c->ahead = in.n;
			rq_dispatch(c->cur);
		}
	}
	return total - in.n;
}

static void h1_data(struct http_conn *c, struct sv bytes)
{
	size_t used;

	if (c->proto == PROTO_TUNNEL && !c->in.n) {
		c->tunnel.cb.data(&c->tunnel, bytes, c->tunnel.ctx);
		return;
	}
	if (c->in.n) {
		buf_addsv(&c->in, bytes);
		if (c->proto == PROTO_TUNNEL)
			return; /* h1_pull() is about to deliver it */
		used = h1_process(c, buf_sv(&c->in));
		buf_drop_front(&c->in, used);
	} else {
		used = h1_process(c, bytes);
		if (used < bytes.n)
			buf_addsv(&c->in, sv_sub(bytes, used, bytes.n));
	}
	c->ahead = c->in.n;
	if (!c->in.n)
		buf_release(&c->in);
	else if (c->cur && c->in.n > PIPELINE_MAX && c->proto == PROTO_H1)
		stream_pause(c->s, true);
}

static void h1_eof(struct http_conn *c)
{
	struct http_rq *r = c->cur;

	if (c->proto == PROTO_TUNNEL || !r) {
		stream_close(c->s);
		return;
	}
	c->keep_alive = false;
	if (r->state == RQ_FINISHING)
		return; /* it may still read: h1_finish() closes */
	c->cur = NULL;
	rq_peer_gone(r);
	stream_close(c->s);
}

static void h1_stop(struct http_conn *c)
{
	c->keep_alive = false;
	if (c->proto != PROTO_TUNNEL && !c->cur)
		stream_close(c->s);
}

const struct http_ops h1_ops = {
	.data = h1_data,
	.pull = h1_pull,
	.eof = h1_eof,
	.stop = h1_stop,
	.respond = h1_respond,
	.body_asked = h1_body_asked,
};

/* --- tunnels --- */

static struct http_conn *tunnel_conn(struct http_tunnel *t)
{
	return CONTAINER_OF(t, struct http_conn, tunnel);
}

struct http_tunnel *http_upgrade(struct http_req *pub, const struct http_header *headers, size_t n_headers,
				 const struct http_tunnel_cb *cb, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct http_rq *r = (struct http_rq *)pub;
	struct http_conn *c = r->conn;
	bool has_connection = false;

	if (c->proto != PROTO_H1 || r->state != RQ_HANDLING || c->head.minor < 1 || stream_closing(c->s))
		return NULL;
	buf_adds(&b, "HTTP/1.1 101 Switching Protocols\r\n");
	for (size_t i = 0; i < n_headers; i++)
		has_connection |= sv_ieq(headers[i].name, SV("connection"));
	if (!has_connection)
		h1_add_header(&b, SV("connection"), SV("Upgrade"));
	h1_add_headers(&b, headers, n_headers, true);
	buf_adds(&b, "\r\n");
	stream_write(c->s, buf_sv(&b));
	/* The request stays until the tunnel ends: what the handler keeps in its arena does, too. */
	r->state = RQ_FINISHING;
	c->proto = PROTO_TUNNEL;
	c->tunnel.cb = *cb;
	c->tunnel.ctx = ctx;
	stream_pause(c->s, false);
	stream_want(c->s); /* bytes that came with the request */
	return &c->tunnel;
}

size_t http_tunnel_write(struct http_tunnel *t, struct sv bytes)
{
	struct http_conn *c = tunnel_conn(t);

	return c->s ? stream_write(c->s, bytes) : 0;
}

void http_tunnel_pause(struct http_tunnel *t, bool paused)
{
	struct http_conn *c = tunnel_conn(t);

	t->paused = paused;
	if (!c->s)
		return;
	stream_pause(c->s, paused);
	if (!paused && c->in.n)
		stream_want(c->s);
}

void http_tunnel_close_patiently(struct http_tunnel *t, int64_t ns)
{
	struct http_conn *c = tunnel_conn(t);

	if (c->s)
		stream_close_patiently(c->s, ns);
}

void http_tunnel_close(struct http_tunnel *t)
{
	struct http_conn *c = tunnel_conn(t);

	if (c->s)
		stream_close(c->s);
}
