/* obj_encoding.h - what an object reads like in other encodings than JSON.
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
/* Bytes of all further encodings there are in the process. obj_bytes() does not count them: it stays what it was when
 * whoever sums it up took the object in. */
size_t obj_encoded_bytes(void);
