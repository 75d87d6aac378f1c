/* http1_parse.h - internal: HTTP/1 request syntax (RFC 9112), strictly, and without sockets.
 *
 * Three steps: h1_scan() finds the end of the head, h1_parse_head() takes it apart (libhttp-parser
 * does the grammar; what it is lenient about is refused here), h1_chunks_feed() decodes a
 * chunked body. Everything two parsers could read differently is an error: bare line feeds,
 * folded lines, white space before a colon, Content-Length together with Transfer-Encoding.
 */
#pragma once

#include "net/http.h"

#define H1_HEAD_MAX ((size_t)64 * 1024)
#define H1_TRAILER_MAX ((size_t)8 * 1024)

struct h1_scan {
	size_t at;   /* bytes looked at */
	size_t line; /* where the current line starts */
};
/* Looks for the empty line that ends a head which starts at in.p. Returns the head's length
 * including it, 0 when more is needed, -1 on a malformed line, -2 when it is too long. Call
 * again with the same bytes and more. */
ssize_t h1_scan(struct h1_scan *s, struct sv in);

struct h1_head {
	struct sv method, target, path, query, host;
	struct http_header *headers; /* names lower case, in place */
	size_t n_headers;
	int minor;		/* HTTP/1.minor */
	int64_t content_length; /* -1: none */
	bool chunked, keep_alive, upgrade, expect_continue;
};
/* head: a whole head, in memory that lives as long as ret and is changed (lower case). Returns
 * 0, or the status to refuse it with; *ret_why then says what is wrong with it. */
int h1_parse_head(struct arena *a, char *head, size_t n, struct h1_head *ret, const char **ret_why);

enum h1_chunk_state {
	H1C_SIZE,
	H1C_EXT,
	H1C_SIZE_LF,
	H1C_DATA,
	H1C_DATA_CR,
	H1C_DATA_LF,
	H1C_TRAILER,
	H1C_TRAILER_LINE,
	H1C_TRAILER_LF,
	H1C_END_LF,
	H1C_DONE
};
struct h1_chunks {
	enum h1_chunk_state state;
	uint64_t left; /* of the current chunk */
	unsigned int digits;
	size_t extra; /* bytes of extensions and trailers so far */
};
/* Takes the next piece of body data out of *in. Returns 1 with *ret_data set (may be empty when
 * more input is needed), 0 at the end of the body, -1 when malformed. */
int h1_chunks_feed(struct h1_chunks *c, struct sv *in, struct sv *ret_data);

/* Splits a request target into path and query; false when malformed. Sets *host from the
 * absolute form. */
bool h1_split_target(struct sv target, struct sv *path, struct sv *query, struct sv *host);
