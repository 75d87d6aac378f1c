/* recent.h - events that were encoded a moment ago, for whoever else watches.
 *
 * A change goes to all who watch at about the same time. In an encoding that objects do not carry (protobuf, CBOR) it
 * is encoded for the first of them; the others get the same bytes. So it is with short ones in JSON: one piece is less
 * than an object's text with what stands around it. Only the last few are remembered: kept with every
 * object, as its JSON is, they would cost memory for as long as it lives, and are needed for a moment.
 *
 * Ownership: bytes are reference-counted, and may outlive the set: they go into chunks. What the set remembers holds
 * a reference on its object. Bounded by RECENT_MAX entries and RECENT_BYTES, of objects and bytes together; only the
 * last may be larger alone.
 *
 * Threads: any.
 */
#pragma once

#include "base/base.h"
#include "object/obj.h"

#define RECENT_MAX 64
#define RECENT_BYTES ((size_t)4 * 1024 * 1024)

struct recent;
struct recent_bytes;

/* What the bytes are of, and in which form: addresses are compared, no more. */
struct recent_key {
	const struct obj *o;
	const void *media, *form;
	int event;
};

struct recent *recent_new(void);
struct recent *recent_free(struct recent *r);

/* A reference, or NULL: they are not known, or not any more. */
struct recent_bytes *recent_find(struct recent *r, const struct recent_key *k);
/* Remembers bytes, from malloc, of k, and gives a reference on them. */
struct recent_bytes *recent_add(struct recent *r, const struct recent_key *k, char *bytes_take, size_t n);
struct sv recent_sv(const struct recent_bytes *b); /* until its last reference goes */
void recent_unref(void *b);			   /* a struct recent_bytes, as chunks release it */
