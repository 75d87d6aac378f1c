#include "base/heap.h"

#include <stdlib.h>

static size_t *index_of(const struct heap *h, void *m)
{
	return (size_t *)(void *)((char *)m + h->index_offset);
}

static void heap_place(struct heap *h, size_t i, void *m)
{
	h->p[i] = m;
	*index_of(h, m) = i;
}

static void sift_up(struct heap *h, size_t i, void *m)
{
	while (i > 0 && h->less(m, h->p[(i - 1) / 2])) {
		heap_place(h, i, h->p[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_place(h, i, m);
}

static void sift_down(struct heap *h, size_t i, void *m)
{
	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= h->n)
			break;
		if (c + 1 < h->n && h->less(h->p[c + 1], h->p[c]))
			c++;
		if (!h->less(h->p[c], m))
			break;
		heap_place(h, i, h->p[c]);
		i = c;
	}
	heap_place(h, i, m);
}

void heap_init(struct heap *h, size_t index_offset, bool (*less)(const void *a, const void *b))
{
	*h = (struct heap){ .index_offset = index_offset, .less = less };
}

void heap_release(struct heap *h)
{
	free(h->p);
	h->p = NULL;
	h->n = h->cap = 0;
}

void heap_push(struct heap *h, void *m)
{
	if (h->n == h->cap) {
		h->cap = h->cap ? h->cap * 2 : 16;
		h->p = xrealloc(h->p, h->cap * sizeof(*h->p));
	}
	h->n++;
	sift_up(h, h->n - 1, m);
}

void *heap_peek(const struct heap *h)
{
	return h->n ? h->p[0] : NULL;
}

void heap_remove(struct heap *h, void *m)
{
	size_t i = *index_of(h, m);
	void *last;

	BUG_ON(i >= h->n || h->p[i] != m);
	last = h->p[--h->n];
	*index_of(h, m) = HEAP_NONE;
	if (last == m)
		return;
	heap_place(h, i, last);
	heap_fix(h, last);
}

void *heap_pop(struct heap *h)
{
	void *m = heap_peek(h);

	if (m)
		heap_remove(h, m);
	return m;
}

void heap_fix(struct heap *h, void *m)
{
	size_t i = *index_of(h, m);

	if (i > 0 && h->less(m, h->p[(i - 1) / 2]))
		sift_up(h, i, m);
	else
		sift_down(h, i, m);
}
