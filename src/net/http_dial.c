/* The asynchronous half of the HTTP client: one exchange on a connection, which may have had others before and rest for
 * others behind it (http_kept.h).
 *
 *	CONNECTING --ready--> HEAD --head--> BODY ----complete----> CLOSING --> closed()
 *	                        \---101----> TUNNEL --either end--/
 *
 * Everything the caller does inside a callback (write, pause, close) works: the stream below
 * allows it, and closed() never comes from inside another call. */
#include "net/http_client.h"

#include "net/http_kept.h"
#include "net/http_wire.h"
#include "net/stream.h"

#include <stdio.h>
#include <stdlib.h>

struct http_dialog {
	struct http_kept_conn *conn; /* NULL: it has none any more */
	struct ev_loop *loop;
	struct http_dialog_cb cb;
	void *ctx;
	struct buf request; /* until it is sent; one that may be sent again, until its answer begins */
	bool repeats;
	bool sent;	   /* the request is, as far as it is there */
	bool uploads;	   /* its body is said while it comes, */
	bool chunked;	   /* like that; */
	int64_t body_left; /* or so much is still to come; 0: that was all */
	int64_t connect_ns;
	struct http_wire wire;
	bool tunnel;
	bool closing;	/* no more callbacks but closed() */
	struct err why; /* what went wrong up here, above the stream */
};

static void dialog_finish(struct http_dialog *d, const struct err *err)
{
	d->cb.closed(d, d->why.reason != ERR_NONE ? &d->why : err, d->ctx);
	http_wire_release(&d->wire);
	buf_release(&d->request);
	err_release(&d->why);
	free(d);
}

static void dialog_end(struct http_dialog *d)
{
	d->closing = true;
	stream_close(d->conn->stream);
}

static void dialog_rested(void *ctx)
{
	dialog_finish(ctx, NULL);
}

/* The whole answer came, and nothing else: its connection rests, if it may. */
static void dialog_rest(struct http_dialog *d)
{
	struct http_kept_conn *c = d->conn;

	if (d->body_left) { /* it did not want all of the request */
		d->closing = true;
		stream_abort(c->stream);
		return;
	}
	if (!d->wire.keep_alive || stream_queued(c->stream) || !http_kept_put(c)) {
		dialog_end(d);
		return;
	}
	c->dialog = NULL;
	d->conn = NULL;
	d->closing = true;
	ev_loop_post(d->loop, dialog_rested, d); /* closed() never comes from inside another call */
}

static int wire_head(const struct http_response *head, void *ctx)
{
	struct http_dialog *d = ctx;

	d->tunnel = head->status == 101; /* before the call: it may write already */
	d->cb.head(d, head, d->ctx);
	return d->closing;
}

static int wire_data(struct sv bytes, void *ctx)
{
	struct http_dialog *d = ctx;

	d->cb.data(d, bytes, d->ctx);
	return d->closing;
}

static void dialog_send(struct http_dialog *d)
{
	d->sent = true;
	stream_write(d->conn->stream, buf_sv(&d->request));
	if (!d->repeats)
		buf_release(&d->request);
}

static void on_ready(struct stream *s _unused_, void *ctx)
{
	struct http_kept_conn *c = ctx;

	if (c->dialog)
		dialog_send(c->dialog);
}

static void dial_on_data(struct stream *s, struct sv bytes, void *ctx)
{
	struct http_dialog *d = ((struct http_kept_conn *)ctx)->dialog;

	if (!d) { /* it says what nobody asked for */
		stream_abort(s);
		return;
	}
	if (d->closing)
		return;
	if (!d->wire.complete) {
		ssize_t used;

		buf_release(&d->request);
		used = http_wire_feed(&d->wire, bytes, &d->why);
		if (d->closing)
			return;
		if (used < 0 || (d->wire.complete && !d->tunnel)) {
			if (used >= 0 && (size_t)used == bytes.n)
				dialog_rest(d);
			else
				dialog_end(d);
			return;
		}
		bytes = sv_sub(bytes, (size_t)used, bytes.n);
	}
	if (d->tunnel && !d->closing && bytes.n > 0)
		d->cb.data(d, bytes, d->ctx);
}

static void dial_on_drain(struct stream *s _unused_, void *ctx)
{
	struct http_dialog *d = ((struct http_kept_conn *)ctx)->dialog;

	if (d && d->cb.drain && !d->closing)
		d->cb.drain(d, d->ctx);
}

static void dialog_connect(struct http_dialog *d, const struct http_endpoint *ep, int64_t timeout_ns);

/* The connection, which has had others before, was closed already: once more, on a new one. */
static bool dialog_again(struct http_dialog *d, struct http_kept_conn *c)
{
	struct http_endpoint ep = http_place_endpoint(&c->place);

	if (!c->used || !d->repeats || d->wire.began || d->closing)
		return false;
	ep.kept = c->kept;
	dialog_connect(d, &ep, d->connect_ns);
	return true;
}

static void dial_on_closed(struct stream *s _unused_, const struct err *err, void *ctx)
{
	struct http_kept_conn *c = ctx;
	struct http_dialog *d = c->dialog;

	c->stream = NULL;
	if (!d || dialog_again(d, c)) {
		http_kept_conn_free(c);
		return;
	}
	/* The end of the connection may be the end of the body, or come too early; after the end
	 * of the response nothing that befalls the connection matters. */
	if (!err && !d->closing && !d->tunnel)
		http_wire_eof(&d->wire, &d->why);
	else if (d->wire.complete && !d->tunnel)
		err = NULL;
	d->conn = NULL;
	d->closing = true;
	dialog_finish(d, err);
	http_kept_conn_free(c);
}

static const struct stream_cb stream_cb = {
	.ready = on_ready,
	.data = dial_on_data,
	.drain = dial_on_drain,
	.closed = dial_on_closed,
};

/* A request that cannot be written: told from the loop, like every other failure. */
static void refused(void *ctx)
{
	dialog_finish(ctx, NULL);
}

static void dialog_connect(struct http_dialog *d, const struct http_endpoint *ep, int64_t timeout_ns)
{
	struct stream_target t = { .host = ep->host,
				   .port = ep->port,
				   .tls = ep->tls,
				   .server_name = ep->server_name,
				   .peer_name = ep->peer_name,
				   .via = ep->via,
				   .may_dial = ep->may_dial,
				   .may_ctx = ep->may_ctx };

	d->conn = http_kept_conn_new(d->loop, ep);
	if (ep->via && ep->kept)
		t.via = &d->conn->place.via; /* the caller's may be gone before the connection */
	d->conn->dialog = d;
	d->conn->stream = stream_connect(d->loop, &t, timeout_ns, &stream_cb, d->conn);
}

/* May it be sent twice? */
static bool dial_repeats(const char *method, struct sv body)
{
	return !body.n && (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "OPTIONS") == 0);
}

static struct http_dialog *dialog_new(struct ev_loop *l, const char *method, int64_t connect_timeout_ns,
				      const struct http_dialog_cb *cb, void *ctx)
{
	struct http_dialog *d = xcalloc(1, sizeof(*d));

	d->loop = l;
	d->connect_ns = connect_timeout_ns;
	d->cb = *cb;
	d->ctx = ctx;
	http_wire_init(&d->wire, method, wire_head, wire_data, d);
	return d;
}

/* Its request is written, or not (rc). */
static struct http_dialog *dialog_go(struct http_dialog *d, const struct http_endpoint *ep, int rc)
{
	if (rc < 0) {
		d->closing = true;
		ev_loop_post(d->loop, refused, d);
		return d;
	}
	d->conn = d->repeats ? http_kept_take(d->loop, ep) : NULL;
	if (d->conn) {
		d->conn->dialog = d;
		dialog_send(d);
	} else {
		dialog_connect(d, ep, d->connect_ns);
	}
	return d;
}

struct http_dialog *http_dial(struct ev_loop *l, const struct http_endpoint *ep, const char *method, const char *target,
			      const struct http_header *headers, size_t n_headers, struct sv body,
			      int64_t connect_timeout_ns, const struct http_dialog_cb *cb, void *ctx)
{
	struct http_dialog *d = dialog_new(l, method, connect_timeout_ns, cb, ctx);

	d->repeats = ep->kept && dial_repeats(method, body);
	return dialog_go(d, ep, http_wire_request(&d->request, ep, method, target, headers, n_headers, body, &d->why));
}

/* --- a body that is said while it comes --- */

struct http_dialog *http_dial_upload(struct ev_loop *l, const struct http_endpoint *ep, const char *method,
				     const char *target, const struct http_header *headers, size_t n_headers,
				     int64_t length, int64_t connect_timeout_ns, const struct http_dialog_cb *cb,
				     void *ctx)
{
	struct http_dialog *d = dialog_new(l, method, connect_timeout_ns, cb, ctx);
	struct http_header *h = xcalloc(n_headers + 1, sizeof(*h));
	char text[U64_TEXT_MAX];
	int rc;

	d->uploads = true;
	d->chunked = length < 0;
	d->body_left = length < 0 ? 1 : length;
	if (n_headers)
		memcpy(h, headers, n_headers * sizeof(*h));
	h[n_headers] = d->chunked ? (struct http_header){ SV("transfer-encoding"), SV("chunked") }
				  : (struct http_header){ SV("content-length"), u64_text((uint64_t)length, text) };
	rc = http_wire_request(&d->request, ep, method, target, h, n_headers + 1, SV(""), &d->why);
	free(h);
	return dialog_go(d, ep, rc);
}

static size_t dialog_say(struct http_dialog *d, struct sv bytes)
{
	if (d->sent)
		return stream_write(d->conn->stream, bytes);
	buf_addsv(&d->request, bytes);
	return d->request.n;
}

size_t http_dialog_body(struct http_dialog *d, struct sv bytes)
{
	char size[24];
	size_t queued;

	if (!d->uploads || d->closing || !d->body_left || !bytes.n)
		return 0;
	if (!d->chunked) {
		if (bytes.n > (uint64_t)d->body_left)
			return 0;
		d->body_left -= (int64_t)bytes.n;
		return dialog_say(d, bytes);
	}
	dialog_say(d, sv_make(size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes.n)));
	dialog_say(d, bytes);
	queued = dialog_say(d, SV("\r\n"));
	return queued;
}

void http_dialog_body_end(struct http_dialog *d)
{
	if (!d->uploads || d->closing || !d->body_left)
		return;
	if (d->chunked) {
		d->body_left = 0;
		dialog_say(d, SV("0\r\n\r\n"));
		return;
	}
	(void)err_set(&d->why, ERR_BAD_REQUEST, "the request's body is shorter than was said");
	d->closing = true;
	stream_abort(d->conn->stream);
}

size_t http_dialog_write(struct http_dialog *d, struct sv bytes)
{
	if (!d->tunnel || d->closing)
		return 0;
	return stream_write(d->conn->stream, bytes);
}

void http_dialog_pause(struct http_dialog *d, bool paused)
{
	if (d->conn && !d->closing)
		stream_pause(d->conn->stream, paused);
}

void http_dialog_close(struct http_dialog *d)
{
	if (d->closing)
		return;
	/* A tunnel sends what is queued first; an exchange that is not wanted any more just ends. */
	if (d->tunnel) {
		dialog_end(d);
	} else {
		d->closing = true;
		stream_abort(d->conn->stream);
	}
}
