/* obj_encoding.h - what an object reads like in other encodings than JSON, and in other versions of the API.
 *
 * An object carries its JSON from the start. Another encoding (protobuf, CBOR) is made when somebody first asks for
 * it and kept beside the JSON until the object goes: who lists or watches in it pays once an object, not once a
 * reader.
 *
 * Threads: any. Two who ask at once may both make it; one result is kept, and both see that one.
 */
#pragma once

#include "base/buf.h"
#include "object/obj.h"

struct obj_encoding {
	const char *name; /* for people */
	/* Appends all of o. False when it cannot be said in this encoding; then b is dropped. A function of o alone. */
	bool (*encode)(struct buf *b, const struct obj *o);
};

/* o in that encoding: a view until o's last unref. false: encode() said no, which is not remembered. e lives for
 * ever. */
bool obj_encoded(struct obj *o, const struct obj_encoding *e, struct sv *ret);
/* What o reads like in another version, kept the same way by whoever can make it (apiserver/versions.h). key: the
 * version, an address that is no other's while o lives. */
bool obj_view(const struct obj *o, const void *key, struct obj **ret); /* borrowed: until o's last unref */
/* Keeps view_take, which may be NULL: that is a mark. Returns what is kept, the one of another thread when that was
 * faster; borrowed. */
struct obj *obj_keep_view(struct obj *o, const void *key, struct obj *view_take);
/* Bytes of all further encodings and versions there are in the process. obj_bytes() does not count them: it stays what
 * it was when whoever sums it up took the object in. */
size_t obj_encoded_bytes(void);
