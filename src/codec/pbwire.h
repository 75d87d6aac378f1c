/* pbwire.h - the protobuf wire format by hand: for protocols of which we speak a few messages.
 *
 * Writing appends to a struct buf; zero values and empty strings are left out as proto3 does. A nested
 * message is what stands between pb_open() and pb_close():
 *
 *	size_t m = pb_open(b, 1);
 *	pb_sv(b, 1, name);
 *	pb_close(b, m);
 *
 * Reading walks the fields of one message; unknown ones are simply not looked at. Views point into the
 * message. Malformed input ends the walk with r->bad set, never reads outside.
 *
 * Format: protobuf.dev/programming-guides/encoding.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

void pb_varint_long(struct buf *b, uint64_t v);
/* Bare, no tag. Nearly all, and nearly all tags, are one byte. */
static inline void pb_varint(struct buf *b, uint64_t v)
{
	if (v < 0x80)
		buf_addc(b, (char)v);
	else
		pb_varint_long(b, v);
}
static inline void pb_tag(struct buf *b, uint32_t field, enum pb_wire wire)
{
	pb_varint(b, (uint64_t)field << 3 | wire);
}
void pb_u64(struct buf *b, uint32_t field, uint64_t v);
void pb_i64(struct buf *b, uint32_t field, int64_t v); /* int32, int64, enum; negative ones take ten bytes */
void pb_bool(struct buf *b, uint32_t field, bool v);
void pb_sv(struct buf *b, uint32_t field, struct sv v);				  /* string, bytes; "" is left out */
void pb_sv_elem(struct buf *b, uint32_t field, struct sv v);			  /* element of a list: "" is kept */
void pb_map_entry(struct buf *b, uint32_t field, struct sv key, struct sv value); /* map<string, string> */
size_t pb_open(struct buf *b, uint32_t field);					  /* returns a mark for pb_close() */
void pb_close(struct buf *b, size_t mark);

struct pb_reader {
	const unsigned char *at, *end;
	bool bad;
};

struct pb_field {
	uint32_t no;
	enum pb_wire wire;
	uint64_t u;	 /* PB_VARINT, PB_FIXED64, PB_FIXED32 */
	struct sv bytes; /* PB_BYTES: a view into the message */
};

struct pb_reader pb_reader(struct sv message);
bool pb_next(struct pb_reader *r, struct pb_field *ret);
#define PB_EACH(message, r, f)                   \
	struct pb_reader r = pb_reader(message); \
	for (struct pb_field f; pb_next(&(r), &(f));)

/* The first field of that number: false when absent (or of another wire type). */
bool pb_find(struct sv message, uint32_t field, struct pb_field *ret);
struct sv pb_get_sv(struct sv message, uint32_t field); /* "" when absent */
uint64_t pb_get_u64(struct sv message, uint32_t field); /* 0 when absent */
bool pb_valid(struct sv message);			/* walks to its end without fault */
