/* obj-internal.h - shared by obj.c, obj_lean.c and obj_view.c. */
#pragma once

#include "object/obj.h"

#include <stdatomic.h>

/* Of a list: the object in another version. */
struct view {
	const void *key;
	struct obj *o;
	struct view *next;
};

struct obj {
	atomic_uint refs;
	uint32_t json_at;		/* offset of the text in the block */
	uint32_t bytes;			/* of the block */
	_Atomic uint32_t message_bytes; /* obj_message_bytes() */
	int64_t rev;
	const struct val *meta;	      /* metadata, or NULL */
	_Atomic(struct view *) views; /* obj_view.h */
	struct val root;
};

extern _Atomic size_t obj_view_total;

static inline size_t view_size(const struct view *v)
{
	return sizeof(*v) + obj_bytes(v->o);
}
