/* json.h - JSON text to documents and back (RFC 8259).
 *
 * The decoder accepts exactly RFC 8259, at most JSON_DEPTH_MAX levels deep; bytes of a string that are no UTF-8
 * become U+FFFD, as in Go. Its
 * errors are worded as Go's encoding/json words them ("invalid character '}' after object
 * key"), so that clients see the familiar text; like those they do not name an offset.
 * Duplicate members: the last one wins, or with json_opts.merge the maps at the end of the row
 * become one, and each is reported through json_opts.duplicate for strict field validation. \u escapes of lone
 * surrogates become U+FFFD, as in Go.
 *
 * The depth bound is hard and lower than encoding/json's 10,000: no API type needs more than
 * some thirty levels (JSONSchemaProps nests furthest), and every function that walks a
 * document may then recurse without measuring its stack.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

#define JSON_DEPTH_MAX 512

struct json_opts {
	/* Strings without escapes may point into the text, which then must outlive the arena. */
	bool borrow_text;
	/* Called for every member that repeats an earlier one of its map, until it returns false: it has heard enough.
	 * path is dotted ("spec.x[0].y") and borrowed; it may be as long as the text, again for each member. */
	bool (*duplicate)(struct sv path, void *ctx);
	void *ctx;
	int max_depth; /* 0: JSON_DEPTH_MAX */
	/* Pays for each value, but for those below a member fieldsV1: of doc_values_limit when the text is a client's.
	 * NULL: as many as the text has. */
	struct budget *values;
	/* A map that repeats a map adds to it, at every depth, as Go decodes into a struct or a map that is there; a
	 * list that repeats a list stands, each of its elements over the one that was at its place. What repeats so
	 * much, at many levels, that merging would cost many times the text is an error. */
	bool merge;
};

/* Decodes one value with nothing but white space around it; NULL on failure (ERR_BAD_REQUEST). */
struct val *json_decode(struct arena *a, struct sv text, const struct json_opts *opts, struct err *err);

/* Appends v, compact, members in document order, no newline at the end. Bytes are those of Go's
 * json.Encoder, which is what upstream's servers and clients send: <, > and & are written as
 * \u003c, \u003e and \u0026, U+2028 and U+2029 escaped too; doubles in the shortest form that
 * reads back the same. The encoding of a decoded value decodes to an equal value. */
void json_encode(struct buf *b, const struct val *v);
void json_encode_indent(struct buf *b, const struct val *v, int spaces);
/* The same of a value that lies so many levels deep in what is laid out. */
void json_encode_indent_at(struct buf *b, const struct val *v, int spaces, int level);
void json_encode_str(struct buf *b, struct sv s); /* quoted and escaped */

bool json_str_plain(struct sv s); /* encoded as it is, between quotes: nothing in it is escaped */

/* True when text is one valid JSON value. */
bool json_valid(struct sv text);
