/* objtree.h - objects ordered by (namespace, name), in the byte order of their store keys.
 *
 * Two levels: an array of blocks of up to OBJTREE_BLOCK entries. A lookup is two binary
 * searches, an insertion moves at most one block's entries and, rarely, the block pointers:
 * for 100,000 objects that is 1,000 blocks. Entries hold views into their object, so an
 * object costs 40 bytes here and no allocation.
 *
 * Keys that stand together begin alike ("default/web-7d4b9-"), and reading one means going to its object. So a block
 * knows how much its keys have in common, and of each the eight bytes after that, as a number: a search compares
 * numbers that lie side by side, and reads a key or two. The blocks' first keys are searched in the same way.
 *
 * Blocks can be held (objpick.h): such a one is not changed any more, a write to what is in it is one to a copy.
 *
 * Not thread-safe; the watch cache guards it. Blocks are held under that guard, and let go of by any thread.
 */
#pragma once

#include "object/obj.h"

#include <stdatomic.h>

#define OBJTREE_BLOCK 128 /* at most what a uint8_t counts */

struct objtree_entry {
	struct obj *o; /* owned reference */
	const char *ns, *name;
	uint32_t ns_n, name_n;
};

struct objtree_block {
	atomic_int refs; /* the tree's, and of those who hold it */
	size_t n;
	size_t cap;
	size_t same; /* all its keys begin with the same so many bytes, at least; a key is "ns/name", or "name" */
	uint64_t heads[OBJTREE_BLOCK]; /* the eight bytes after them, zeros behind the end; big-endian, so in order */
	struct objtree_entry e[];      /* room for cap of them: most kinds have a few objects, or none */
};

struct objtree {
	struct objtree_block **blocks;
	uint64_t *heads; /* of each block's first key, after the `same` bytes of all keys in the tree */
	uint8_t *counts; /* of each block's entries, side by side: who counts goes to no block */
	size_t n_blocks, cap_blocks;
	size_t same;
	size_t count;
	size_t bytes; /* of the objects: obj_bytes() */
};

struct objtree_block *objtree_block_ref(struct objtree_block *b);
void objtree_block_unref(struct objtree_block *b); /* NULL is fine */
/* One of no tree, of at most OBJTREE_BLOCK objects; takes the references. It has no heads. */
struct objtree_block *objtree_block_of(struct obj *const *objs_take, size_t n);

/* A place in the tree; valid until the tree changes. */
struct objtree_pos {
	size_t block, at;
};

void objtree_release(struct objtree *t);
struct obj *objtree_get(const struct objtree *t, struct sv ns, struct sv name); /* borrowed */
/* Takes the reference; returns the object that was there (its reference is the caller's) or NULL. */
struct obj *objtree_put(struct objtree *t, struct obj *o_take);
struct obj *objtree_del(struct objtree *t, struct sv ns, struct sv name); /* reference is the caller's */

/* Orders o and the key ns/name: below, above or 0. */
int objtree_cmp(const struct obj *o, struct sv ns, struct sv name);
/* First entry whose key is not less than ns/name. */
struct objtree_pos objtree_seek(const struct objtree *t, struct sv ns, struct sv name);
const struct objtree_entry *objtree_at(const struct objtree *t, struct objtree_pos p); /* NULL at the end */
struct objtree_pos objtree_next(const struct objtree *t, struct objtree_pos p);
