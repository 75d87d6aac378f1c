/* The asynchronous half of the HTTP client: one exchange on a stream of its own.
 *
 *	CONNECTING --ready--> HEAD --head--> BODY ----complete----> CLOSING --> closed()
 *	                        \---101----> TUNNEL --either end--/
 *
 * Everything the caller does inside a callback (write, pause, close) works: the stream below
 * allows it, and closed() never comes from inside another call. */
#include "net/http_client.h"

#include "net/http_wire.h"
#include "net/stream.h"

#include <stdlib.h>

struct http_dialog {
	struct stream *stream;
	struct ev_loop *loop;
	struct http_dialog_cb cb;
	void *ctx;
	struct buf request; /* until it is sent */
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
	stream_close(d->stream);
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

static void on_ready(struct stream *s, void *ctx)
{
	struct http_dialog *d = ctx;

	stream_write(s, buf_sv(&d->request));
	buf_release(&d->request);
}

static void dial_on_data(struct stream *s _unused_, struct sv bytes, void *ctx)
{
	struct http_dialog *d = ctx;

	if (d->closing)
		return;
	if (!d->wire.complete) {
		ssize_t used = http_wire_feed(&d->wire, bytes, &d->why);

		if (used < 0 || (d->wire.complete && !d->tunnel)) {
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
	struct http_dialog *d = ctx;

	if (d->cb.drain && !d->closing)
		d->cb.drain(d, d->ctx);
}

static void dial_on_closed(struct stream *s _unused_, const struct err *err, void *ctx)
{
	struct http_dialog *d = ctx;

	/* The end of the connection may be the end of the body, or come too early; after the end
	 * of the response nothing that befalls the connection matters. */
	if (!err && !d->closing && !d->tunnel)
		http_wire_eof(&d->wire, &d->why);
	else if (d->wire.complete && !d->tunnel)
		err = NULL;
	d->stream = NULL;
	d->closing = true;
	dialog_finish(d, err);
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

struct http_dialog *http_dial(struct ev_loop *l, const struct http_endpoint *ep, const char *method, const char *target,
			      const struct http_header *headers, size_t n_headers, struct sv body,
			      int64_t connect_timeout_ns, const struct http_dialog_cb *cb, void *ctx)
{
	const struct stream_target t = { .host = ep->host,
					 .port = ep->port,
					 .tls = ep->tls,
					 .server_name = ep->server_name,
					 .peer_name = ep->peer_name,
					 .via = ep->via,
					 .may_dial = ep->may_dial,
					 .may_ctx = ep->may_ctx };
	struct http_dialog *d = xcalloc(1, sizeof(*d));

	d->loop = l;
	d->cb = *cb;
	d->ctx = ctx;
	http_wire_init(&d->wire, method, wire_head, wire_data, d);
	if (http_wire_request(&d->request, ep, method, target, headers, n_headers, body, &d->why) < 0) {
		d->closing = true;
		ev_loop_post(l, refused, d);
		return d;
	}
	d->stream = stream_connect(l, &t, connect_timeout_ns, &stream_cb, d);
	return d;
}

size_t http_dialog_write(struct http_dialog *d, struct sv bytes)
{
	if (!d->tunnel || d->closing)
		return 0;
	return stream_write(d->stream, bytes);
}

void http_dialog_pause(struct http_dialog *d, bool paused)
{
	if (d->stream && !d->closing)
		stream_pause(d->stream, paused);
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
		stream_abort(d->stream);
	}
}
