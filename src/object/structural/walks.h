/* walks.h - the walks along a compiled schema that others of this folder start at a node of their own; only for the
 * files of this folder. Documents are changed in place, and none of their arrays is frozen. */
#pragma once

#include "object/structural/node.h"

/* Where unknown members are said: their paths, in byte order when the walk is over. */
struct unknown {
	struct arena *a;
	VEC(struct sv) paths; /* on the heap */
	size_t bytes;
};
void unknown_release(struct unknown *u);
/* Into the report, as upstream says them, and forgets them. */
void unknown_tell(struct unknown *u, struct decode_report *report);
void unknown_add(struct unknown *u, const struct fpath *at, const char *below); /* u NULL: nobody asks */

/* Members that n does not know leave v. As an embedded resource (the root is one) it keeps kind, apiVersion and
 * metadata. */
void walk_prune(const struct snode *n, struct arena *a, struct val *v, bool embedded, struct unknown *u);
/* Nulls that may not be and have no default leave the maps they are in. */
void walk_prune_nulls(const struct snode *n, struct val *v);
/* Metadata of embedded resources gets the form that metadata has. drop: what has not is dropped; otherwise -1. */
int walk_coerce(const struct snode *n, struct arena *a, struct val *v, bool drop, struct unknown *u, struct err *err);
/* b pays for what is added: a short list may ask for a long default in each of its elements. When it is over nothing
 * more comes. */
void walk_default(const struct snode *n, struct arena *a, struct val *v, struct budget *b);
