/* Open addressing with linear probing; the hash is Fibonacci's, enough for small dense integers. */
#include "scheduler/counts.h"

#include <stdlib.h>

void counts_release(struct counts *c)
{
	free(c->e);
	*c = (struct counts){ 0 };
}

void counts_clear(struct counts *c)
{
	if (c->cap)
		memset(c->e, 0, c->cap * sizeof(*c->e));
	c->used = 0;
	c->total = 0;
}

static struct count *counts_find(const struct counts *c, uint32_t slot)
{
	uint32_t i = (slot * 2654435769u) & (c->cap - 1);

	while (c->e[i].slot_1 && c->e[i].slot_1 != slot + 1)
		i = (i + 1) & (c->cap - 1);
	return &c->e[i];
}

static void grow(struct counts *c)
{
	struct counts old = *c;
	uint32_t live = 0;

	for (uint32_t i = 0; i < old.cap; i++)
		live += old.e[i].n > 0;
	for (c->cap = 8; c->cap < live * 4; c->cap *= 2)
		;
	c->e = xcalloc(c->cap, sizeof(*c->e));
	c->used = 0;
	for (uint32_t i = 0; i < old.cap; i++) {
		if (old.e[i].n == 0)
			continue;
		*counts_find(c, old.e[i].slot_1 - 1) = old.e[i];
		c->used++;
	}
	free(old.e);
}

void counts_add(struct counts *c, uint32_t slot, int delta)
{
	struct count *e;

	if (c->used * 2 >= c->cap)
		grow(c);
	e = counts_find(c, slot);
	if (!e->slot_1) {
		e->slot_1 = slot + 1;
		c->used++;
	}
	BUG_ON(delta < 0 && e->n < (uint32_t)-delta);
	e->n += (uint32_t)delta;
	c->total += delta;
}

uint32_t counts_get(const struct counts *c, uint32_t slot)
{
	return c->cap ? counts_find(c, slot)->n : 0;
}

const struct count *counts_next(const struct counts *c, const struct count *prev)
{
	const struct count *e = prev ? prev + 1 : c->e;

	for (; e && e < c->e + c->cap; e++)
		if (e->n)
			return e;
	return NULL;
}
