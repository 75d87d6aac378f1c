/* http_kept.h - connections of http_dial() that rest for the next exchange with the same peer.
 *
 * For who passes requests on to the same few peers: a handshake each time costs more than the request. A peer is where
 * the connection leads, its TLS context and the names that its certificate must have; a connection stays on its loop.
 *
 * One rests when its answer came whole, with nothing behind it, and the peer keeps it: at most KEPT_PEER_MAX of a peer
 * on a loop and KEPT_MAX in all, each for KEPT_IDLE_NS. Whatever a peer says while it rests ends it. Only what may be
 * asked twice (GET, HEAD, OPTIONS without a body) goes out on one: should it turn out closed before a byte of an answer
 * came, that is sent once more, on a new connection. Anything else has a new one, which may rest afterwards.
 *
 * It is HTTP/1.1, one exchange at a time: what lasts (a watch) has its connection for itself, and no exchange waits for
 * another's window. That is why HTTP/2 is not offered.
 *
 * Threads: http_kept_new(), http_kept_close() and http_kept_free() any but a loop's; the rest is http_dial.c's.
 */
#pragma once

#include "base/list.h"
#include "net/http_place.h"

#define KEPT_PEER_MAX 8
#define KEPT_MAX 64
#define KEPT_IDLE_NS (90 * NS_PER_SEC)

struct http_kept;

struct http_kept *http_kept_new(void);
/* Those that rest are closed, and none rests from now on. Blocks until they are: their loops run. */
void http_kept_close(struct http_kept *k);
struct http_kept *http_kept_free(struct http_kept *k); /* NULL is fine; behind http_kept_close(), if any loop ran */
size_t http_kept_resting(struct http_kept *k);

/* --- for http_dial.c; on the connection's loop --- */

struct stream;

/* A connection of a dialog. */
struct http_kept_conn {
	struct list link;	/* among those that rest */
	struct http_kept *kept; /* a reference, or NULL: it never rests */
	struct ev_loop *loop;
	struct stream *stream;
	struct http_dialog *dialog; /* NULL: it rests, or is being closed */
	struct http_place place;    /* of one that may rest */
	struct ev_timer *idle;	    /* while it rests */
	bool used;		    /* it has brought an answer before */
};

struct http_kept_conn *http_kept_conn_new(struct ev_loop *l, const struct http_endpoint *ep);
void http_kept_conn_free(struct http_kept_conn *c); /* its stream is closed */
/* One that rests, which does not any more; NULL: there is none. */
struct http_kept_conn *http_kept_take(struct ev_loop *l, const struct http_endpoint *ep);
/* It has no dialog and rests. False: it may not. */
bool http_kept_put(struct http_kept_conn *c);
