/* heap.h - a binary heap of pointers whose members know their place.
 *
 * Members embed a size_t kept up to date by the heap, so any member can be removed or moved
 * in O(log n). `less` must be a strict order; break ties by a sequence number to stay
 * deterministic. Not thread-safe.
 */
#pragma once

#include "base/base.h"

#define HEAP_NONE SIZE_MAX /* the index of a member that is in no heap */

struct heap {
	void **p;
	size_t n, cap;
	size_t index_offset; /* of the size_t inside a member */
	bool (*less)(const void *a, const void *b);
};

void heap_init(struct heap *h, size_t index_offset, bool (*less)(const void *a, const void *b));
void heap_release(struct heap *h);
void heap_push(struct heap *h, void *m);
void *heap_peek(const struct heap *h); /* least member, or NULL */
void *heap_pop(struct heap *h);	       /* least member, or NULL */
void heap_remove(struct heap *h, void *m);
void heap_fix(struct heap *h, void *m); /* after m's order changed */
