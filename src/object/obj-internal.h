/* obj-internal.h - shared by obj.c and obj_encoding.c. */
#pragma once

#include "object/obj.h"

#include <stdatomic.h>

struct encoded;

struct obj {
	atomic_uint refs;
	uint32_t json_at; /* offset of the text in the block */
	size_t bytes;	  /* of the block */
	int64_t rev;
	const struct val *meta;		   /* metadata, or NULL */
	_Atomic(struct encoded *) encoded; /* obj_encoding.h */
	struct val root;
};

/* With the object's last reference. */
void obj_encoded_release(struct encoded *list);
