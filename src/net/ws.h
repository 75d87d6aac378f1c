/* ws.h - WebSocket (RFC 6455) framing over any byte stream; server and client side.
 *
 * A codec, not a connection: feed it bytes, it calls back with whole messages; it writes
 * frames into a buffer the owner sends. Kubernetes' channel protocols on top are in
 * net/remotecommand.h.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "net/http.h"

enum ws_op { WS_CONT = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

struct ws {
	bool client; /* we mask what we send, they must not */
	size_t max_message;
	struct buf in;	/* bytes not yet decoded */
	struct buf msg; /* fragments of the current message */
	int msg_op;
	bool closing;
};

void ws_init(struct ws *w, bool client, size_t max_message);
void ws_release(struct ws *w);
/* Decodes all whole frames in bytes; message(op, payload) for data, close, ping and pong.
 * -1: protocol error (ERR_BAD_REQUEST): send ws_close_frame() with 1002 and close. */
int ws_feed(struct ws *w, struct sv bytes, void (*message)(enum ws_op op, struct sv payload, void *ctx), void *ctx,
	    struct err *err);
void ws_frame(const struct ws *w, struct buf *out, enum ws_op op, struct sv payload, uint32_t mask);
void ws_close_frame(const struct ws *w, struct buf *out, uint16_t code, struct sv reason, uint32_t mask);

/* The handshake. True when r asks for a WebSocket; picks the first of `offers` (NULL-terminated)
 * that the client also names in Sec-WebSocket-Protocol; fills the response headers (arena). */
bool ws_is_upgrade(const struct http_req *r);
int ws_accept(struct http_req *r, const char *const *offers, const char **ret_protocol,
	      struct http_header **ret_headers, size_t *ret_n, struct err *err);
struct sv ws_accept_key(struct arena *a, struct sv key); /* base64(sha1(key + GUID)) */
