/* http_keep.h - outgoing HTTP/1.1 on a loop, whole answers, connections kept for the next call.
 *
 * For callers that ask the same few peers again and again and must not hold a thread meanwhile: webhooks. A call has
 * one deadline, from when it is made to the last byte of its answer; the wait for a connection counts. An answer that
 * is longer than max_body ends its connection at that moment. Redirects are answers like others.
 *
 * Connections: at most KEEP_PEER_MAX to a peer, further calls wait in the order they came; at most KEEP_IDLE_MAX rest,
 * each for KEEP_IDLE_NS. A peer is where the connection leads, its TLS context and the name that its certificate must
 * have. A call whose kept connection turned out closed before a byte of an answer came is sent once more, on a new
 * connection; nothing else is sent twice.
 *
 * Threads: the loop's alone. Everything is copied but the TLS context, of which references are taken.
 */
#pragma once

#include "net/http_client.h"

#define KEEP_PEER_MAX 64
#define KEEP_IDLE_MAX 32
#define KEEP_IDLE_NS (90 * NS_PER_SEC)

struct http_keep;      /* the connections of one loop */
struct http_keep_call; /* one exchange under way */

struct http_keep_opts {
	const struct http_endpoint *ep;
	const char *method, *target;
	const struct http_header *headers;
	size_t n_headers;
	struct sv body;
	int64_t timeout_ns;
	size_t max_body;
	/* Exactly once, never from inside http_keep_call(), not after http_keep_cancel(). r NULL: err says why;
	 * `sent` whether the peer may have seen the request. Both are good for this call. */
	void (*done)(const struct http_response *r, const struct err *err, bool sent, void *ctx);
	void *ctx;
};

struct http_keep *http_keep_new(struct ev_loop *l);
/* A view until done() or cancel. */
struct http_keep_call *http_keep_call(struct http_keep *k, const struct http_keep_opts *o);
/* The peer may see the request all the same; its connection is closed. */
void http_keep_cancel(struct http_keep_call *c);
/* Every call ends with ERR_UNAVAILABLE, every connection is closed; then k is freed and emptied() runs, last. */
void http_keep_close(struct http_keep *k, void (*emptied)(void *ctx), void *ctx);
