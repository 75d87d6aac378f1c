/* stream.h - internal: a byte stream over tcp or a unix socket, plain or TLS, on a loop.
 *
 * The one place where sockets of loops are read and written; HTTP connections, tunnels and
 * http_dial() sit on it. Included by files of src/net only.
 *
 * Writing is corked. stream_write() only queues; what a stream collected during a turn of its
 * loop goes out in one piece right before the loop sleeps, in whole TLS records. A producer of
 * much data does not queue it all: it calls stream_want() and is asked through pull() whenever
 * the queue has room, so the queue of a slow peer stays small and its data stays where it was.
 *
 * Turns. Of what is to be sent in a turn of the loop those who have little come first. Whoever has sent 128 KiB in a
 * row goes on behind them, and all of those together have some milliseconds of each turn, so that however many long
 * answers are under way, the loop sees what else comes. Of these, who has many streams is as many as one
 * (stream_belongs()). A producer whose data costs time to make asks
 * stream_turn_over().
 *
 * Reading is pushed: data() gets bytes as they arrive unless paused. Of who was dialled and does not let himself be
 * sent to any more, what he said before is read first; what is written meanwhile is dropped.
 *
 * Lifetime: made by stream_accept() or stream_connect(), ended by stream_close() (after what is
 * queued) or stream_abort() (now), or by the peer or an error. In every case closed() is called
 * exactly once, last, never from inside another call, and the memory is gone when it returns.
 * Every function here may be called from every callback, also after close or abort, when
 * it does nothing. Loop thread only.
 */
#pragma once

#include "ev/ev.h"
#include "net/http.h"
#include "net/tls.h"

#define STREAM_QUEUE_MAX ((size_t)64 * 1024) /* pull() is called below this */

struct stream; /* opaque */

struct stream_cb {
	/* Connected; with TLS, the handshake is done. */
	void (*ready)(struct stream *s, void *ctx);
	void (*data)(struct stream *s, struct sv bytes, void *ctx); /* borrowed for the call */
	/* The peer will send nothing more; it may still read. NULL: the stream closes. */
	void (*eof)(struct stream *s, void *ctx);
	/* Asked for by stream_want(), once each: there is room, write some. May be NULL. */
	void (*pull)(struct stream *s, void *ctx);
	/* The queue was over STREAM_QUEUE_MAX and is empty again. May be NULL. */
	void (*drain)(struct stream *s, void *ctx);
	/* err NULL: an orderly end by either side. */
	void (*closed)(struct stream *s, const struct err *err, void *ctx);
};

/* Takes fd (a connected socket), whatever happens. tls: server context, may be NULL. */
struct stream *stream_accept(struct ev_loop *l, int fd, struct tls_ctx *tls, const struct stream_cb *cb, void *ctx);

struct http_via;
struct stream_target {
	const char *host; /* name, address or "unix:/path"; all copied */
	int port;
	struct tls_ctx *tls;	 /* client context; NULL: plain */
	const char *server_name; /* NULL: host */
	const char *peer_name;	 /* the certificate's subject; NULL: any */
	struct sv alpn;		 /* wire format; "": none */
	/* Another way than by host and port (http_client.h); it and what it needs must outlive the stream. */
	const struct http_via *via;
	/* As in struct http_endpoint. NULL: any address. */
	int (*may_dial)(const char *address, int port, void *ctx, struct err *err);
	void *may_ctx;
};
/* Resolves, connects, handshakes; failing within timeout_ns means closed() with
 * ERR_UNAVAILABLE or ERR_TIMEOUT. Never fails right away. What the loop itself stands does not count (ev/limit.h). */
struct stream *stream_connect(struct ev_loop *l, const struct stream_target *t, int64_t timeout_ns,
			      const struct stream_cb *cb, void *ctx);

size_t stream_write(struct stream *s, struct sv bytes); /* copies; returns bytes queued */
size_t stream_write_chunk(struct stream *s,
			  const struct http_chunk *chunk); /* takes the chunk; large ones are not copied */
size_t stream_queued(const struct stream *s);
uint64_t stream_sent_bytes(const struct stream *s); /* since the beginning: grows while the peer reads */
void stream_want(struct stream *s);
/* Not before the loop sleeps but now, unless much was sent already. Not from within a callback of a stream. */
void stream_send_now(struct stream *s);
/* The time that this turn of the loop has for long answers is over: a pull() that could make another piece, or the
 * first, returns and wants another turn. To be asked before each. A clock read. */
bool stream_turn_over(struct stream *s);
/* From now on s is one of those of id (0: of nobody else), with whom it shares what they get for long answers. */
void stream_belongs(struct stream *s, uint64_t id);
void stream_pause(struct stream *s, bool paused);
/* Sends what is queued, then ends the connection in an orderly way. Bytes that still come are
 * dropped; the peer gets a moment to read what we sent (and an end that it refuses to take is
 * forced after a few seconds). */
void stream_close(struct stream *s);
/* The same, for a peer that reads at its own pace: it has so long to take what is queued, and again to end. */
void stream_close_patiently(struct stream *s, int64_t ns);
void stream_abort(struct stream *s);
bool stream_closing(const struct stream *s); /* closed or closing, by whomever */

struct ev_loop *stream_loop(const struct stream *s);
void *stream_ssl(const struct stream *s); /* the SSL *, or NULL */
/* ALPN's choice, "" when none. View until closed(). */
struct sv stream_alpn(const struct stream *s);
/* "127.0.0.1:41234", "[::1]:5", "@" for a unix socket. Copied into a. */
struct sv stream_peer_address(const struct stream *s, struct arena *a);
