/* A server connection that speaks HTTP/2, by nghttp2.
 *
 * nghttp2 does frames, HPACK, windows and the rules of RFC 9113; here are requests in,
 * response bytes out, and limits. Response bytes stay in the requests' queues until the stream
 * has room: nghttp2 asks how much there is (h2_read) and then, the frame being decided, wants it
 * written (h2_send_data), at which point it goes straight into the stream's buffers.
 *
 * What was received opens its windows again when it is taken: at once, but for bodies that stream (http_upload.c),
 * whose stream's window is as far open as they are told. The connection's always is, as one that rests must not stop
 * the others.
 *
 * Abuse: a client may cancel streams, but not for a living (rapid reset, CVE-2023-44487), nor have them cancelled
 * (CVE-2025-8671); that and all else that costs us more than it costs the peer is counted by http_odd.c. A header block
 * has a limit in bytes and in CONTINUATION frames (CVE-2024-28182).
 */
#include "net/http-internal.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#define H2_STREAMS 250
#define H2_WINDOW (1 << 20)	 /* a stream's, for uploads */
#define H2_CONN_WINDOW (8 << 20) /* the connection's */
#define H2_HEADERS_MAX ((size_t)64 * 1024)
#define H2_CONTINUATIONS_MAX 32
#define H2_ACKS_MAX 8192 /* waiting to be sent, of pings and settings: the bucket is empty long before */
#define H2_NV_MAX 32
#define H2_HEADS_MAX 32	  /* of answers, that wait for the end of the turn */
#define H2_DRAIN_FACTOR 4 /* of the largest body */

static void h2_set_wait(struct http_conn *c)
{
	if (c->n_reading)
		http_conn_wait_body(c);
	else if (c->n_rqs == 0 && !c->greeted)
		return; /* the time that it has for that began with the connection */
	else if (c->n_rqs == 0)
		http_conn_wait(c, HTTP_WAIT_IDLE);
	else if (c->waiting != HTTP_WAIT_NONE)
		http_conn_wait(c, HTTP_WAIT_NONE);
}

static struct http_rq *h2_rq(nghttp2_session *h2, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h2, id);
}

/* --- requests --- */

/* Ends the connection when `allowed` is false. */
static void h2_calm(struct http_conn *c, bool allowed)
{
	if (allowed || c->calmed)
		return;
	c->calmed = c->goaway = true;
	(void)nghttp2_session_terminate_session(c->h2, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int h2_on_begin_frame(nghttp2_session *h2, const nghttp2_frame_hd *hd, void *ctx)
{
	struct http_conn *c = ctx;

	(void)h2;
	if (hd->type > NGHTTP2_CONTINUATION || hd->type == NGHTTP2_GOAWAY)
		h2_calm(c, http_odd(c, ODD_OTHER));
	if (hd->type != NGHTTP2_CONTINUATION) {
		c->continuations = 0;
		return 0;
	}
	h2_calm(c, http_odd(c, ODD_CONTINUATION));
	if (++c->continuations <= H2_CONTINUATIONS_MAX)
		return 0;
	http_odd_over(c);
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Nothing is known of frames of other kinds; h2_on_begin_frame() has counted it. */
static int h2_ignore_extension(nghttp2_session *h2, void **payload, const nghttp2_frame_hd *hd, void *ctx)
{
	(void)h2;
	(void)payload;
	(void)hd;
	(void)ctx;
	return NGHTTP2_ERR_CANCEL;
}

static int h2_on_invalid_frame(nghttp2_session *h2, const nghttp2_frame *f, int code, void *ctx)
{
	struct http_conn *c = ctx;

	(void)h2;
	(void)f;
	(void)code;
	h2_calm(c, http_odd(c, ODD_INVALID));
	return 0;
}

static int h2_on_begin_headers(nghttp2_session *h2, const nghttp2_frame *f, void *ctx)
{
	struct http_conn *c = ctx;
	struct http_rq *r;

	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	r = rq_new(c);
	r->stream_id = f->hd.stream_id;
	c->n_reading++;
	nghttp2_session_set_stream_user_data(h2, f->hd.stream_id, r);
	return 0;
}

/* A name, as long as the request: those that nearly all bring take no room of it. */
static struct sv h2_name(struct arena *a, struct sv name)
{
	static const struct sv often[] = { { "accept", 6 },	     { "accept-encoding", 15 }, { "authorization", 13 },
					   { "content-length", 14 }, { "content-type", 12 },	{ "user-agent", 10 } };

	for (size_t i = 0; i < ARRAY_LEN(often); i++)
		if (sv_eq(name, often[i]))
			return often[i];
	return arena_sv(a, name);
}

static int h2_on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
			const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
	struct sv k = sv_make((const char *)name, name_n), v = sv_make((const char *)value, value_n);
	struct http_rq *r = h2_rq(h2, f->hd.stream_id);

	(void)flags;
	(void)ctx;
	if (!r || r->state != RQ_READING || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; /* trailers */
	if (r->bad_status)
		return 0;
	if (!rq_head_add(r, name_n + value_n + 32)) {
		r->bad_status = 429;
		return 0;
	}
	if (r->header_bytes > H2_HEADERS_MAX) {
		h2_calm(r->conn, http_odd(r->conn, ODD_HEADERS));
		r->bad_status = 431;
		return 0;
	}
	v = arena_sv(&r->arena, v);
	if (k.n && k.p[0] == ':') {
		if (sv_is(k, ":method"))
			r->pub.method = v;
		else if (sv_is(k, ":path"))
			r->pub.target = v;
		else if (sv_is(k, ":authority"))
			r->pub.host = v;
		return 0;
	}
	if (sv_is(k, "host") && !r->pub.host.n)
		r->pub.host = v;
	else if (sv_is(k, "content-length"))
		(void)sv_to_i64(v, &r->body_expected); /* nghttp2 holds the peer to it */
	rq_header_add(r, h2_name(&r->arena, k), v);
	return 0;
}

static void h2_refuse_body(struct http_conn *c, struct http_rq *r, int status)
{
	c->n_reading--;
	rq_refuse_body(r, status);
}

static void h2_complete(struct http_conn *c, struct http_rq *r)
{
	rq_body_end(r, true);
	if (r->state != RQ_READING)
		return; /* already refused, or handled */
	if (r->too_long) {
		h2_refuse_body(c, r, 413);
		r->refused = false; /* heard out */
		return;
	}
	c->n_reading--;
	rq_dispatch(r);
}

/* A body over the limit is heard out as long as it is not far over: clients that are refused while they
 * send (curl among them) lose the answer. Nothing of it is kept, and it has to come as fast as others. */
static size_t h2_drain_max(const struct http_conn *c)
{
	return c->lane->srv->o.max_body * H2_DRAIN_FACTOR;
}

static void h2_drop_body(struct http_conn *c, struct http_rq *r, size_t n)
{
	if (!r->too_long)
		rq_body_drop(r);
	r->too_long = true;
	r->dropped += n;
	c->body_news += n;
	if (r->dropped > h2_drain_max(c))
		h2_refuse_body(c, r, 413);
}

static bool h2_asks(const struct http_rq *r)
{
	return sv_ieq(http_header_get(&r->pub, "expect"), SV("100-continue"));
}

static void h2_continue(struct http_conn *c, struct http_rq *r)
{
	nghttp2_nv nv = { (uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7, 3, NGHTTP2_NV_FLAG_NONE };

	(void)nghttp2_submit_headers(c->h2, NGHTTP2_FLAG_NONE, r->stream_id, NULL, &nv, 1, NULL);
}

static void h2_head_done(struct http_conn *c, struct http_rq *r, bool end)
{
	struct sv authority = SV_NULL;
	bool asks;

	if (!r->bad_status && (sv_is(r->pub.method, "CONNECT") ||
			       !h1_split_target(r->pub.target, &r->pub.path, &r->pub.query, &authority)))
		r->bad_status = 400;
	if (end) {
		h2_complete(c, r);
		return;
	}
	if (r->bad_status) {
		r->refused = true;
		h2_complete(c, r);
		return;
	}
	if (rq_streams(r)) {
		c->n_reading--;
		rq_dispatch(r);
		return;
	}
	asks = h2_asks(r);
	if (r->body_expected > 0 && (uint64_t)r->body_expected > c->lane->srv->o.max_body) {
		if (asks || (uint64_t)r->body_expected > h2_drain_max(c))
			h2_refuse_body(c, r, 413);
		else
			h2_drop_body(c, r, 0);
		return;
	}
	if (asks)
		h2_continue(c, r);
}

static int h2_on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *ctx)
{
	struct http_conn *c = ctx;
	struct http_rq *r;

	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		r = h2_rq(h2, f->hd.stream_id);
		if (!r)
			break;
		if (f->headers.cat == NGHTTP2_HCAT_REQUEST)
			h2_head_done(c, r, f->hd.flags & NGHTTP2_FLAG_END_STREAM);
		else if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
			h2_complete(c, r);
		break;
	case NGHTTP2_DATA:
		r = h2_rq(h2, f->hd.stream_id);
		if (r && (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
			h2_complete(c, r);
		else if (f->hd.length == f->data.padlen && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
			h2_calm(c, http_odd(c, ODD_EMPTY));
		break;
	case NGHTTP2_RST_STREAM:
		h2_calm(c, http_odd(c, ODD_RESET));
		break;
	case NGHTTP2_PING:
		h2_calm(c, http_odd(c, ODD_PING));
		break;
	case NGHTTP2_SETTINGS:
		c->greeted = true;
		h2_calm(c, http_odd(c, ODD_SETTINGS));
		break;
	case NGHTTP2_PRIORITY:
		h2_calm(c, http_odd(c, ODD_PRIORITY));
		break;
	case NGHTTP2_WINDOW_UPDATE:
		h2_calm(c, http_odd_window(c));
		break;
	default:
		break;
	}
	return 0;
}

static void h2_body_told(struct http_rq *r, size_t n)
{
	(void)nghttp2_session_consume_stream(r->conn->h2, r->stream_id, n);
}

static void h2_body_asked(struct http_rq *r)
{
	struct http_conn *c = r->conn;

	if (r->state == RQ_HANDLING && !r->body_got && rq_body_open(r) && h2_asks(r) && !r->up_asked)
		h2_continue(c, r);
	r->up_asked = true;
	r->up_due = c->up_due = true;
	stream_want(c->s);
}

/* Those that were asked for: one may lead to another. */
static void h2_bodies_go_on(struct http_conn *c)
{
	while (c->up_due) {
		c->up_due = false;
		LIST_EACH(&c->rqs, it) {
			struct http_rq *r = LIST_ENTRY(it, struct http_rq, link);

			if (!r->up_due)
				continue;
			r->up_due = false;
			c->up_due = true;
			rq_body_go_on(r);
			break; /* the list may be another one */
		}
	}
}

/* A piece of a body that streams. */
static void h2_body_piece(struct http_conn *c, struct http_rq *r, struct sv bytes)
{
	(void)nghttp2_session_consume_connection(c->h2, bytes.n);
	r->body_got += bytes.n;
	if (rq_body_left(r))
		return;
	if (rq_body_taken(r)) {
		rq_body_tell(r, bytes);
		h2_body_told(r, bytes.n);
	} else if (!rq_body_keep(r, bytes)) {
		(void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

static int h2_on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *ctx)
{
	struct http_rq *r = h2_rq(h2, id);
	int refuse;

	(void)flags;
	if (r && rq_body_open(r)) {
		h2_body_piece(ctx, r, sv_make((const char *)p, n));
		return 0;
	}
	(void)nghttp2_session_consume(h2, id, n);
	if (!r || r->state != RQ_READING)
		return 0;
	refuse = r->too_long ? 413 : rq_body_add(r, sv_make((const char *)p, n));
	if (refuse == 413)
		h2_drop_body(ctx, r, n);
	else if (refuse)
		h2_refuse_body(ctx, r, refuse);
	return 0;
}

static int h2_on_stream_close(nghttp2_session *h2, int32_t id, uint32_t code, void *ctx)
{
	struct http_conn *c = ctx;
	struct http_rq *r = h2_rq(h2, id);

	if (!r)
		return 0;
	nghttp2_session_set_stream_user_data(h2, id, NULL);
	if (r->state == RQ_READING)
		c->n_reading--;
	if (r->state == RQ_FINISHING && !r->q && !r->src && code == NGHTTP2_NO_ERROR) {
		http_odd_answered(c);
		rq_done(r);
	} else {
		rq_peer_gone(r);
	}
	return 0;
}

/* --- responses --- */

static ssize_t h2_read(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t max, uint32_t *flags,
		       nghttp2_data_source *src, void *ctx)
{
	struct http_rq *r = src->ptr;
	size_t n;

	(void)h2;
	(void)id;
	(void)buf;
	(void)ctx;
	rq_fill(r, max + 1); /* one more than is wanted: so the last frame is known to be that */
	n = MIN(max, r->queued);
	if (n == 0 && r->state != RQ_FINISHING) {
		r->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n == 0 && r->torn)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM(INTERNAL_ERROR) */
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == r->queued && !r->src && r->state == RQ_FINISHING && !r->torn)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int h2_send_data(nghttp2_session *h2, nghttp2_frame *f, const uint8_t *head, size_t n, nghttp2_data_source *src,
			void *ctx)
{
	struct http_conn *c = ctx;
	struct http_rq *r = src->ptr;

	(void)h2;
	(void)f; /* no padding: no callback asks for it */
	/* What is made while it is sent costs time; the first has had a look at it in h2_pull(). */
	c->held = r->src && c->pieces++ && stream_turn_over(c->s);
	if (c->held || stream_queued(c->s) >= STREAM_QUEUE_MAX)
		return NGHTTP2_ERR_WOULDBLOCK;
	http_odd_sent(c, n);
	stream_write(c->s, sv_make((const char *)head, 9));
	while (n) {
		struct sv piece = sv_sub(r->q->c.data, r->q->off, n);

		stream_write(c->s, piece);
		n -= piece.n;
		rq_consume(r, piece.n);
	}
	return 0;
}

static int h2_on_frame_sent(nghttp2_session *h2, const nghttp2_frame *f, void *ctx)
{
	struct http_conn *c = ctx;
	struct http_rq *r;

	if (f->hd.type == NGHTTP2_RST_STREAM)
		h2_calm(c, http_odd(c, ODD_RESET_SENT));
	if (f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS)
		return 0;
	r = h2_rq(h2, f->hd.stream_id);
	if (!r)
		return 0;
	/* Answered without having heard it out: no more, please (RFC 9113, 8.1). */
	if ((r->refused || rq_body_open(r)) && (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		(void)nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

#define EACH(byte) ((uint64_t)(byte)*UINT64_C(0x0101010101010101))

static struct sv h2_lower(struct arena *a, struct sv name)
{
	char *p = NULL;
	size_t i = 0;

	/* Ours are in lower case: eight at once, as long as none of them looks like another. */
	for (uint64_t x; i + sizeof(x) <= name.n; i += sizeof(x)) {
		memcpy(&x, name.p + i, sizeof(x));
		if ((x | ((x + EACH(0x80 - 'A')) & ~(x + EACH(0x80 - 'Z' - 1)))) & EACH(0x80))
			break;
	}
	for (; i < name.n; i++) {
		if (name.p[i] < 'A' || name.p[i] > 'Z')
			continue;
		if (!p)
			p = arena_strndup(a, name.p, name.n);
		p[i] = (char)(p[i] | 0x20);
	}
	return p ? sv_make(p, name.n) : name;
}

static bool h2_hop_by_hop(struct sv lower)
{
	return sv_is(lower, "connection") || sv_is(lower, "transfer-encoding") || sv_is(lower, "keep-alive") ||
	       sv_is(lower, "upgrade") || sv_is(lower, "content-length") || sv_is(lower, "date");
}

static nghttp2_nv h2_nv(struct sv name, struct sv value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)(value.p ? value.p : ""), name.n,
			     value.n, NGHTTP2_NV_FLAG_NONE };
}

static void h2_respond(struct http_rq *r, int status, const struct http_header *headers, size_t n_headers,
		       int64_t content_length, bool has_body)
{
	nghttp2_nv fixed[H2_NV_MAX], *nv = fixed;
	nghttp2_data_provider src = { .source.ptr = r, .read_callback = h2_read };
	struct http_conn *c = r->conn;
	char code[U64_TEXT_MAX], length[U64_TEXT_MAX];
	size_t n = 0;

	if (n_headers + 3 > H2_NV_MAX)
		nv = ARENA_ARRAY(&r->arena, nghttp2_nv, n_headers + 3);
	nv[n++] = h2_nv(SV(":status"), u64_text((uint64_t)status, code));
	for (size_t i = 0; i < n_headers; i++) {
		struct sv name = h2_lower(&r->arena, headers[i].name);

		if (h2_hop_by_hop(name))
			continue;
		nv[n++] = h2_nv(name, headers[i].value);
		/* Another one each time: a place in both sides' tables would be work for nothing. */
		if (sv_is(name, "audit-id"))
			nv[n - 1].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
	}
	nv[n++] = h2_nv(SV("date"), lane_date(c->lane));
	if (content_length >= 0 && status != 204 && status != 304)
		nv[n++] = h2_nv(SV("content-length"), u64_text((uint64_t)content_length, length));
	if (nghttp2_submit_response(c->h2, r->stream_id, nv, n, has_body ? &src : NULL) != 0)
		(void)nghttp2_submit_rst_stream(c->h2, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_INTERNAL_ERROR);
}

static void h2_resume(struct http_rq *r)
{
	if (!r->deferred)
		return;
	r->deferred = false;
	(void)nghttp2_session_resume_data(r->conn->h2, r->stream_id);
}

static void h2_reset(struct http_rq *r)
{
	(void)nghttp2_submit_rst_stream(r->conn->h2, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_CANCEL);
	stream_want(r->conn->s);
}

/* Tells producers whose queue has moved on. */
static void h2_drained(struct http_conn *c)
{
	if (stream_queued(c->s) > STREAM_QUEUE_MAX)
		return;
	LIST_EACH(&c->rqs, it) {
		struct http_rq *r = LIST_ENTRY(it, struct http_rq, link);

		if (r->over && !r->queued) {
			/* It may end itself or, by writing, others: start over next turn. */
			rq_check_drain(r);
			stream_want(c->s);
			return;
		}
	}
}

static void h2_pull(struct http_conn *c)
{
	const uint8_t *p;
	ssize_t n = 0;

	if (c->n_sources && !c->calmed && stream_turn_over(c->s)) {
		stream_want(c->s);
		return;
	}
	c->pieces = 0;
	c->held = false;
	h2_bodies_go_on(c);
	if (stream_closing(c->s))
		return;
	while (stream_queued(c->s) < STREAM_QUEUE_MAX && (n = nghttp2_session_mem_send(c->h2, &p)) > 0)
		stream_write(c->s, sv_make((const char *)p, (size_t)n));
	if (n < 0) {
		stream_abort(c->s);
		return;
	}
	if (c->calmed)
		stream_close(c->s); /* whoever floods is not waited for */
	else if (c->held || stream_queued(c->s) >= STREAM_QUEUE_MAX)
		stream_want(c->s); /* stopped by a bound: there may be more */
	else if (!nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2))
		stream_close(c->s);
	h2_drained(c);
	h2_set_wait(c);
}

/* --- the connection --- */

static nghttp2_session_callbacks *h2_callbacks;
static nghttp2_option *h2_option;

static void h2_once(void)
{
	nghttp2_session_callbacks *cb;

	BUG_ON(nghttp2_session_callbacks_new(&cb) != 0);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, h2_on_begin_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, h2_on_invalid_frame);
	nghttp2_session_callbacks_set_unpack_extension_callback(cb, h2_ignore_extension);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, h2_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, h2_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2_on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, h2_on_frame_sent);
	nghttp2_session_callbacks_set_send_data_callback(cb, h2_send_data);
	h2_callbacks = cb;
	BUG_ON(nghttp2_option_new(&h2_option) != 0);
	nghttp2_option_set_no_closed_streams(h2_option, 1);
	nghttp2_option_set_no_auto_window_update(h2_option, 1);
	nghttp2_option_set_max_send_header_block_length(h2_option, 256 * 1024);
	/* Or they go by unseen. */
	for (int type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
		nghttp2_option_set_user_recv_extension_type(h2_option, (uint8_t)type);
	nghttp2_option_set_max_outbound_ack(h2_option, H2_ACKS_MAX);
}

static void h2_stop(struct http_conn *c)
{
	/* Streams up to the last one seen are served; nghttp2_session_want_read() is false after them. */
	(void)nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->h2),
				    NGHTTP2_NO_ERROR, NULL, 0);
	c->goaway = true;
	stream_want(c->s);
}

void h2_start(struct http_conn *c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADERS_MAX },
	};

	pthread_once(&once, h2_once);
	c->proto = PROTO_H2;
	c->ops = &h2_ops;
	http_odd_init(c);
	BUG_ON(nghttp2_session_server_new2(&c->h2, h2_callbacks, c, h2_option) != 0);
	(void)nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	(void)nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, H2_CONN_WINDOW);
	if (c->lane->stopping)
		h2_stop(c);
	stream_want(c->s);
}

static void h2_data(struct http_conn *c, struct sv bytes)
{
	ssize_t r;

	c->refs++; /* a handler may abort the connection under us */
	r = nghttp2_session_mem_recv(c->h2, (const uint8_t *)bytes.p, bytes.n);
	if (c->s && !stream_closing(c->s)) {
		if (r >= 0 && c->calmed) {
			h2_pull(c); /* tells it, and ends */
		} else if (r < 0) {
			/* Not HTTP/2, or a flood: a reason if it can still be told, and the end. */
			if (r == NGHTTP2_ERR_FLOODED)
				http_odd_over(c);
			(void)nghttp2_session_terminate_session(c->h2, c->odd.over ? NGHTTP2_ENHANCE_YOUR_CALM
										   : NGHTTP2_PROTOCOL_ERROR);
			h2_pull(c);
			stream_close(c->s);
		} else {
			h2_set_wait(c);
			/* nghttp2 has a copy of each, of half a kibibyte: were they to wait until all connections
			 * have been read, thousands of watches that begin at once would lie between as many holes. */
			if (!c->n_sources && nghttp2_session_get_outbound_queue_size(c->h2) > H2_HEADS_MAX)
				h2_pull(c);
			if (c->s && !stream_closing(c->s))
				stream_want(c->s);
		}
	}
	http_conn_unref(c);
}

static void h2_idle(struct http_conn *c)
{
	c->goaway = true;
	(void)nghttp2_session_terminate_session(c->h2, NGHTTP2_NO_ERROR);
	stream_want(c->s);
}

static void h2_free(struct http_conn *c)
{
	nghttp2_session_del(c->h2);
	c->h2 = NULL;
}

const struct http_ops h2_ops = {
	.data = h2_data,
	.pull = h2_pull,
	.stop = h2_stop,
	.idle = h2_idle,
	.closed = h2_free,
	.respond = h2_respond,
	.resume = h2_resume,
	.reset = h2_reset,
	.body_asked = h2_body_asked,
	.body_told = h2_body_told,
};
