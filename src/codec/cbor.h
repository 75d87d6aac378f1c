/* cbor.h - CBOR (RFC 8949) to documents and back, as Kubernetes' serializer has it (KEP-4222).
 *
 * Reading takes any well-formed item of definite or indefinite lengths that a document can hold:
 *
 *	text and byte strings	a string; text must be UTF-8, of bytes what is none becomes U+FFFD
 *	a byte string that is to be base64 (tag 22), base64url (21) or hex (23) is that text: so bytes are in JSON
 *	integers		those of int64; of others, big numbers included, an error
 *	floats			of 16, 32 and 64 bits; NaN and infinities are an error
 *	maps			keys are strings, none twice
 *	tags			a time in seconds (1) becomes its text, other tags are passed over
 *	null and undefined	null
 *
 * Writing makes definite lengths, the shortest heads, strings as byte strings (like upstream, whose strings may be any
 * bytes), floats in the shortest form that keeps them, members in the order of the document.
 *
 * Bounds: CBOR_DEPTH_MAX levels, as upstream; a length is checked against what follows before anything is made of it.
 * Ours and no library's: libcbor and tinycbor make trees or tokens of their own, from which documents with their
 * interned keys, budgets and repeated members are as much code again as this.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

#define CBOR_MEDIA_TYPE "application/cbor"
#define CBOR_DEPTH_MAX 64
#define CBOR_SELF SV("\xd9\xd9\xf7") /* tag 55799: what follows is CBOR; upstream begins objects with it */

/* One item with nothing behind it. values pays for each value as json_opts.values does; may be NULL. NULL:
 * ERR_BAD_REQUEST, or the budget's error. */
struct val *cbor_decode(struct arena *a, struct sv bytes, struct budget *values, struct err *err);

/* Appends v, without CBOR_SELF. What of it is JSON text that cannot be read is null. */
void cbor_encode(struct buf *b, const struct val *v);
/* Heads of what the caller writes himself: of a map with n members, of a list, of a string. */
void cbor_map_head(struct buf *b, size_t n);
void cbor_list_head(struct buf *b, size_t n);
void cbor_string(struct buf *b, struct sv s);
