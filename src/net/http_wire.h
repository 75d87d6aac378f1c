/* http_wire.h - HTTP/1.1 as a client writes and reads it; only files of src/net include it.
 *
 * Shared by the blocking client and the asynchronous one: a request into a buffer, and a
 * response out of bytes as they come. Interim responses (100, 103) are skipped, as long as all heads
 * together are no longer than one may be; a 101 ends parsing, and what follows its head is the tunnel's.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "net/http_client.h"

#include <http_parser.h>

enum { HTTP_WIRE_HEAD_MAX = 64 * 1024, HTTP_WIRE_HEADERS_MAX = 256 };

/* Adds Host, Content-Length and User-Agent unless the caller gives them (or says that the body comes in chunks). -1: a
 * name, value, method or target could not be told apart on the wire (line breaks, blanks). */
int http_wire_request(struct buf *out, const struct http_endpoint *ep, const char *method, const char *target,
		      const struct http_header *headers, size_t n_headers, struct sv body, struct err *err);

struct http_wire {
	http_parser parser;
	struct arena arena; /* the head */
	struct http_response head;
	struct buf text; /* names and values so far, lower-cased names */
	struct {
		uint32_t name_at, name_n, value_at, value_n;
	} * fields;
	size_t n_fields;
	size_t interim_bytes; /* of interim heads */
	bool in_value, head_method;
	/* Non-zero from either stops parsing. */
	int (*on_head)(const struct http_response *head, void *ctx);
	int (*on_data)(struct sv bytes, void *ctx);
	void *ctx;
	/* What has been learnt. */
	bool began;	 /* a byte of the response came */
	bool has_head;	 /* on_head was called */
	bool complete;	 /* the whole response came */
	bool upgraded;	 /* with 101 */
	bool stopped;	 /* by a callback */
	bool keep_alive; /* valid once complete */
	bool too_large;
};

void http_wire_init(struct http_wire *w, const char *method,
		    int (*on_head)(const struct http_response *head, void *ctx),
		    int (*on_data)(struct sv bytes, void *ctx), void *ctx);
void http_wire_release(struct http_wire *w);
/* Returns how many bytes were used: fewer than given when complete, upgraded or stopped. */
ssize_t http_wire_feed(struct http_wire *w, struct sv bytes, struct err *err);
/* The connection ended: 0 when that completes the response, else -1 (ERR_UNAVAILABLE). */
int http_wire_eof(struct http_wire *w, struct err *err);
