/* keyidx.h - an ordered index from keys to pointers: a skip list.
 *
 * Keys are views into what they point to: whoever puts a value promises that the key's bytes
 * live as long as the entry, and a put of an existing key adopts the new view. Order is that of
 * sv_cmp(). Levels come from a fixed pseudo-random sequence of the list's own, so that the
 * shape depends neither on hostile keys nor on anything that would make a simulation differ.
 * Zero-initialised is a valid empty index. Not thread-safe.
 */
#pragma once

#include "base/base.h"

struct keyidx_node {
	struct sv key;
	void *value;
	struct keyidx_node *next[]; /* next[0] is the successor; NULL ends the list */
};

#define KEYIDX_LEVELS 12

struct keyidx {
	struct keyidx_node *head[KEYIDX_LEVELS];
	uint64_t rng;
	size_t n;
};

void keyidx_release(struct keyidx *x);					/* values are the caller's */
void *keyidx_get(const struct keyidx *x, struct sv key);		/* NULL when absent */
void *keyidx_put(struct keyidx *x, struct sv key, void *value);		/* the value it replaced, or NULL */
void *keyidx_del(struct keyidx *x, struct sv key);			/* the removed value, or NULL */
struct keyidx_node *keyidx_seek(const struct keyidx *x, struct sv key); /* first entry >= key, or NULL */
