/* protobuf.h - Kubernetes' protobuf form of API objects, read and written by the schema tables.
 *
 * Typed Go clients speak application/vnd.kubernetes.protobuf of built-in kinds: the four bytes "k8s\0", then a
 * runtime.Unknown message { typeMeta 1 { apiVersion 1, kind 2 }, raw 2, contentEncoding 3, contentType 4 } whose raw
 * bytes are the object's message.
 *
 * Reading gives the document that the same object's JSON would give, ready for decode_typed(). Writing takes such a
 * document and gives the bytes that upstream's generated marshallers give: fields by ascending number, members of maps
 * by key, what is no pointer in Go also when it is zero, pointers, lists and maps only with something in them. So what
 * is written here and there is the same to the byte, and read again it is the document it came from.
 *
 * Bounds: views and lengths are checked by codec/pbwire.h, nesting by JSON_DEPTH_MAX, strings must be UTF-8. What is
 * written is a few times as long as the document at most: zero values of its types are the only addition.
 *
 * Source: the wire numbers of the api folder; the forms of times, quantities and the like are apimachinery's.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/schema.h"

#define PROTOBUF_MEDIA_TYPE "application/vnd.kubernetes.protobuf"

/* The object in the envelope, apiVersion and kind set; what of them the envelope does not say is as given, "" being
 * nothing. values pays for each value as json_opts.values does; may be NULL. NULL: ERR_BAD_REQUEST, or the budget's
 * error. */
struct val *protobuf_decode(struct arena *a, struct sv body, struct sv api_version, struct sv kind,
			    struct budget *values, struct err *err);

/* What a body that protobuf_decode() refused says it is; false: its envelope cannot be read, or there is no such type.
 * The arguments are what it does not say, as there. */
bool protobuf_names(struct sv body, struct sv *api_version, struct sv *kind);

/* The type of objects that call themselves so; NULL: there is none with a message. Options, Status and the like are
 * meta/v1's, whichever group names them. */
const struct schema *protobuf_type(struct sv api_version, struct sv kind);
/* Has it a message, and so everything in it? Types of kinds made at run time have none. */
static inline bool protobuf_has(const struct schema *s)
{
	return s && s->by_number;
}

/* Appends the message of v, a document of type s: absent members are zero, as in Go, and so are those of another type
 * than the field's. v NULL: the zero message. */
void protobuf_write(struct buf *b, const struct schema *s, const struct val *v);

/* Around a message of n bytes: what stands in front of it, and behind. */
void protobuf_envelope(struct buf *b, struct sv api_version, struct sv kind, size_t n);
#define PROTOBUF_ENVELOPE_END SV("\x1a\0\x22\0")
