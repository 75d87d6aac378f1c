#include "apiserver/objpick.h"

#include <stdlib.h>

static bool picked(const struct objpick *p, size_t block, size_t at)
{
	return p->marks[block][at / 64] >> at % 64 & 1;
}

/* Bits [from, end) of word w. */
static uint64_t pick_bits(size_t w, size_t from, size_t end)
{
	size_t low = MAX(from, w * 64) - w * 64, high = MIN(end, w * 64 + 64) - w * 64;

	if (MAX(from, w * 64) >= MIN(end, w * 64 + 64))
		return 0;
	return (high == 64 ? UINT64_MAX : (UINT64_C(1) << high) - 1) & ~((UINT64_C(1) << low) - 1);
}

static void pick_range(struct objpick *p, size_t block, size_t from, size_t end)
{
	for (size_t w = 0; w < ARRAY_LEN(p->marks[block]); w++)
		p->marks[block][w] |= pick_bits(w, from, end);
	p->n += end - from;
}

static void pick_room(struct objpick *p, size_t n_blocks, struct arena *a)
{
	*p = (struct objpick){ 0 };
	if (!n_blocks)
		return;
	p->blocks = ARENA_ARRAY(a, struct objtree_block *, n_blocks);
	p->marks = arena_alloc(a, n_blocks * sizeof(*p->marks));
	memset(p->marks, 0, n_blocks * sizeof(*p->marks));
}

static bool entry_of_ns(const struct objtree_entry *e, struct sv ns)
{
	return !ns.n || sv_eq(sv_make(e->ns, e->ns_n), ns);
}

/* Behind the entries of ns that begin at `from`; there need be none. */
static size_t block_end(const struct objtree_block *b, size_t from, struct sv ns)
{
	size_t end = from;

	if (from < b->n && entry_of_ns(&b->e[from], ns) && entry_of_ns(&b->e[b->n - 1], ns))
		return b->n;
	while (end < b->n && entry_of_ns(&b->e[end], ns))
		end++;
	return end;
}

/* How many of ns there are from block i's entry `from` on, if that is one. Blocks are not gone to one by one, as a page
 * of a list asks for what all the pages behind it have. */
static size_t pick_behind(const struct objtree *t, struct sv ns, size_t i, size_t from)
{
	size_t end = block_end(t->blocks[i], from, ns), n = end - from, low = i + 1, high = t->n_blocks;

	if (end < t->blocks[i]->n)
		return n;
	while (ns.n && low < high) { /* the first block that begins with others: they stand together */
		size_t mid = low + (high - low) / 2;

		if (entry_of_ns(&t->blocks[mid]->e[0], ns))
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t k = i + 1; k + 1 < high; k++)
		n += t->counts[k];
	return high > i + 1 ? n + block_end(t->blocks[high - 1], 0, ns) : n;
}

size_t objpick_take(struct objpick *ret, const struct objtree *t, struct sv ns, struct sv start_ns,
		    struct sv start_name, size_t max, struct arena *a)
{
	struct objtree_pos p = objtree_seek(t, start_ns, start_name);
	size_t first = p.block, from = p.at, last = first, seen = 0;

	/* How many blocks: those whose first entry is of ns, up to max. */
	for (; last < t->n_blocks && (last == first || entry_of_ns(&t->blocks[last]->e[0], ns)); last++) {
		if (max && seen >= max)
			break;
		seen += t->counts[last] - (last == first ? from : 0);
	}
	pick_room(ret, last - first, a);
	for (size_t i = first; i < t->n_blocks; i++, from = 0) {
		struct objtree_block *b = t->blocks[i];
		size_t end, take;

		if (max && ret->n == max)
			return pick_behind(t, ns, i, from);
		end = block_end(b, from, ns);
		if (end == from)
			break;
		take = max ? MIN(end - from, max - ret->n) : end - from;
		ret->blocks[ret->n_blocks] = objtree_block_ref(b);
		pick_range(ret, ret->n_blocks++, from, from + take);
		if (take < end - from)
			return pick_behind(t, ns, i, from + take);
		if (end < b->n)
			break;
	}
	return 0;
}

void objpick_of(struct objpick *ret, struct obj *const *objs, size_t n, struct arena *a)
{
	pick_room(ret, (n + OBJTREE_BLOCK - 1) / OBJTREE_BLOCK, a);
	for (size_t i = 0; i < n; i += OBJTREE_BLOCK) {
		size_t some = MIN(n - i, (size_t)OBJTREE_BLOCK);

		ret->blocks[ret->n_blocks] = objtree_block_of(objs + i, some);
		pick_range(ret, ret->n_blocks++, 0, some);
	}
}

struct obj *objpick_next(const struct objpick *p, struct objpick_at *at)
{
	for (; at->block < p->n_blocks; at->block++, at->at = 0) {
		const struct objtree_block *b = p->blocks[at->block];

		while (b && at->at < b->n)
			if (picked(p, at->block, at->at++))
				return b->e[at->at - 1].o;
	}
	return NULL;
}

struct obj *objpick_last(const struct objpick *p)
{
	for (size_t i = p->n_blocks; i-- > 0;)
		for (size_t k = p->blocks[i] ? p->blocks[i]->n : 0; k-- > 0;)
			if (picked(p, i, k))
				return p->blocks[i]->e[k].o;
	return NULL;
}

void objpick_drop(struct objpick *p, const struct objpick_at *at)
{
	size_t i = at->at - 1;

	p->marks[at->block][i / 64] &= ~(UINT64_C(1) << i % 64);
	p->n--;
}

void objpick_cut(struct objpick *p, const struct objpick_at *at)
{
	size_t left = at->block + 1;

	if (at->block >= p->n_blocks)
		return;
	for (size_t w = 0; w < ARRAY_LEN(*p->marks); w++) {
		uint64_t gone = p->marks[at->block][w] & pick_bits(w, at->at, OBJTREE_BLOCK);

		p->n -= (size_t)__builtin_popcountll(gone);
		p->marks[at->block][w] &= ~gone;
	}
	for (; p->n_blocks > left; p->n_blocks--) {
		for (size_t w = 0; w < ARRAY_LEN(*p->marks); w++)
			p->n -= (size_t)__builtin_popcountll(p->marks[p->n_blocks - 1][w]);
		objtree_block_unref(p->blocks[p->n_blocks - 1]);
	}
}

void objpick_pass(struct objpick *p, const struct objpick_at *at)
{
	/* Blocks are let go of in order: one that is gone has only such before it. */
	for (size_t i = at->block; i > 0 && p->blocks[i - 1]; i--) {
		objtree_block_unref(p->blocks[i - 1]);
		p->blocks[i - 1] = NULL;
	}
}

void objpick_release(struct objpick *p)
{
	for (size_t i = 0; i < p->n_blocks; i++)
		objtree_block_unref(p->blocks[i]);
	*p = (struct objpick){ 0 };
}
