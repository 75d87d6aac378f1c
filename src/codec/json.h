/* json.h - JSON text to documents and back (RFC 8259).
 *
 * The decoder accepts exactly RFC 8259 in valid UTF-8, at most JSON_DEPTH_MAX levels deep;
 * errors name what was found and the offset, in the wording class of Go's encoding/json so
 * that clients see the familiar text. Duplicate members: the last one wins, and each is
 * reported through json_opts.duplicate for strict field validation.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

#define JSON_DEPTH_MAX 10000 /* as encoding/json; the decoder does not recurse on the C stack per level beyond 512 */

struct json_opts {
	/* Strings without escapes may point into the text, which then must outlive the arena. */
	bool borrow_text;
	/* Called for every member that repeats an earlier one of its map; path is dotted ("spec.x[0].y"). */
	void (*duplicate)(struct sv path, void *ctx);
	void *ctx;
	int max_depth; /* 0: JSON_DEPTH_MAX */
};

/* Decodes one value with nothing but white space around it; NULL on failure (ERR_BAD_REQUEST). */
struct val *json_decode(struct arena *a, struct sv text, const struct json_opts *opts, struct err *err);

/* Appends v, compact, members in document order, HTML characters not escaped, invalid UTF-8
 * never (documents do not hold any). The encoding of a decoded value decodes to an equal value. */
void json_encode(struct buf *b, const struct val *v);
void json_encode_indent(struct buf *b, const struct val *v, int spaces);
void json_encode_str(struct buf *b, struct sv s); /* quoted and escaped */

/* True when text is one valid JSON value. */
bool json_valid(struct sv text);
