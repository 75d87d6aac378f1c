/* obj-internal.h - shared by obj.c, obj_lean.c and obj_encoding.c. */
#pragma once

#include "object/obj.h"

#include <stdatomic.h>

/* Of a list: what the object reads like elsewhere. */
struct encoded {
	const void *key; /* the encoding, or a version */
	struct obj *view;
	struct encoded *next;
	size_t n;
	char bytes[];
};

struct obj {
	atomic_uint refs;
	uint32_t json_at; /* offset of the text in the block */
	size_t bytes;	  /* of the block */
	int64_t rev;
	const struct val *meta;		   /* metadata, or NULL */
	_Atomic(struct encoded *) encoded; /* obj_encoding.h */
	struct val root;
};

extern _Atomic size_t obj_encoded_total;

static inline size_t encoded_size(const struct encoded *e)
{
	return sizeof(*e) + e->n + obj_bytes(e->view);
}
