/* protobuf.h - Kubernetes' protobuf form of API objects, read by the schema tables.
 *
 * Typed Go clients (kubectl's own verbs among them) send built-in kinds as
 * application/vnd.kubernetes.protobuf: the four bytes "k8s\0", then a runtime.Unknown message
 * { typeMeta 1 { apiVersion 1, kind 2 }, raw 2, contentEncoding 3, contentType 4 } whose raw bytes are the object.
 * The result is the document that the same object's JSON would give, ready for decode_typed().
 *
 * Bounds: views and lengths are checked by codec/pbwire.h, nesting by JSON_DEPTH_MAX, strings must be UTF-8.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/schema.h"

#define PROTOBUF_MEDIA_TYPE "application/vnd.kubernetes.protobuf"

/* The object in the envelope, apiVersion and kind set. values pays for each value as json_opts.values does; may be
 * NULL. NULL: ERR_BAD_REQUEST, or the budget's error. */
struct val *protobuf_decode(struct arena *a, struct sv body, struct budget *values, struct err *err);
