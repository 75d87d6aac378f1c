/* spdy.h - SPDY/3.1 framing, as far as Kubernetes uses it, over any byte stream.
 *
 * kubelets and CRI runtimes still speak it for exec, attach and port-forward. A codec like
 * ws.h: feed bytes, get frames; header blocks are zlib with SPDY's dictionary, one
 * compression context a direction. Flow control as moby/spdystream does it: none enforced,
 * WINDOW_UPDATE ignored, back-pressure by the transport.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "net/http.h"

enum spdy_type {
	SPDY_SYN_STREAM = 1,
	SPDY_SYN_REPLY = 2,
	SPDY_RST_STREAM = 3,
	SPDY_SETTINGS = 4,
	SPDY_PING = 6,
	SPDY_GOAWAY = 7,
	SPDY_HEADERS = 8,
	SPDY_WINDOW_UPDATE = 9,
	SPDY_DATA = 256
};

struct spdy_frame {
	enum spdy_type type;
	uint32_t stream;
	bool fin;
	uint32_t status;	     /* RST_STREAM, GOAWAY status; PING id */
	struct http_header *headers; /* SYN_STREAM, SYN_REPLY, HEADERS: valid during the callback; a name with several
					values comes several times */
	size_t n_headers;
	struct sv data; /* DATA: borrowed; big ones may come in pieces */
};

struct spdy; /* opaque */
struct spdy *spdy_new(bool client);
struct spdy *spdy_free(struct spdy *s);
int spdy_feed(struct spdy *s, struct sv bytes, void (*frame)(const struct spdy_frame *f, void *ctx), void *ctx,
	      struct err *err);
uint32_t spdy_next_stream(struct spdy *s); /* odd for clients, even for servers */
void spdy_syn_stream(struct spdy *s, struct buf *out, uint32_t stream, const struct http_header *h, size_t n, bool fin);
void spdy_syn_reply(struct spdy *s, struct buf *out, uint32_t stream, const struct http_header *h, size_t n, bool fin);
void spdy_data(struct spdy *s, struct buf *out, uint32_t stream, struct sv data, bool fin);
void spdy_rst(struct spdy *s, struct buf *out, uint32_t stream, uint32_t status);
void spdy_ping(struct spdy *s, struct buf *out, uint32_t id);
void spdy_goaway(struct spdy *s, struct buf *out, uint32_t status);
