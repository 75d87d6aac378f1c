/* doc_items.h - how the children of a list or map lie in memory; for doc.c and the codecs.
 *
 * An array of nodes is preceded by a small header that knows how many fit, so that appending
 * is amortised O(1) although struct val itself has no room for a capacity. Arrays inside a
 * published object (object/obj.c) are marked frozen: the functions that get an arena copy a
 * frozen array before they change it, the others (val_del, val_*_mut) treat the attempt as
 * the bug it is. An empty container has items == NULL and no header.
 *
 * A map of which some members were left out because nobody reads them (object/keep.h) says so there: in builds for
 * debugging, whoever asks such a map, or a copy of it, for a member that its keep does not name, present in the
 * original or not, is stopped as the bug he is: he would find nothing where another, who has the whole, finds it.
 */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

#define VAL_N_MAX ((1u << 28) - 1) /* largest value of val.n */

struct val_items {
	uint32_t cap; /* nodes */
	uint32_t frozen : 1;
	uint32_t kept : 31; /* of val_kept_names(); 0: whole */
	struct val v[];
};

_Static_assert(sizeof(struct val) == 16, "a node is 16 bytes");
_Static_assert(offsetof(struct val_items, v) == 8, "the header is 8 bytes");

static inline struct val_items *val_items_of(const struct val *v)
{
	return v->items ? (struct val_items *)(void *)((char *)v->items - offsetof(struct val_items, v)) : NULL;
}

/* Room for cap nodes, not initialised. */
static inline struct val *val_items_new(struct arena *a, size_t cap)
{
	struct val_items *it;

	BUG_ON(cap > VAL_N_MAX);
	it = arena_alloc(a, sizeof(*it) + cap * sizeof(struct val));
	it->cap = (uint32_t)cap;
	it->frozen = 0;
	it->kept = 0;
	return it->v;
}

static inline bool val_frozen(const struct val *v)
{
	const struct val_items *it = val_items_of(v);

	return it && it->frozen;
}

#define VAL_KEPT_MAX ((1u << 31) - 1)

static inline uint32_t val_kept(const struct val *v)
{
	const struct val_items *it = val_items_of(v);

	return it ? it->kept : 0;
}

/* The number of these names, each behind a newline, with one at the end. 0 where nobody looks at it: in releases, and
 * when there are more than a program has lists of. Any thread. */
uint32_t val_kept_names(struct sv names);
void val_kept_mark(struct val *map, uint32_t kept); /* of one that is being built and has members */
void val_kept_missed(uint32_t kept, struct sv key); /* one of these asked for a key that it does not have */

/* val_set() for who knows that map has no such member, saving the search. */
struct val *val_append(struct arena *a, struct val *map, enum sym key, const struct val *v);

/* val_set_sv() for a decoder that knows that map has no such member, saving the search. The key
 * is borrowed for the arena's life. */
void val_append_sv(struct arena *a, struct val *map, struct sv key, const struct val *v);

/* The one or the other: of a member of another map, of which a walk (struct val_iter) has both. A name that is known by
 * number is not looked up. */
static inline void val_append_member(struct arena *a, struct val *map, enum sym sym, struct sv key, const struct val *v)
{
	if (sym)
		(void)val_append(a, map, sym, v);
	else
		val_append_sv(a, map, key, v);
}

static inline struct val val_make(enum val_type type, size_t n)
{
	return (struct val){ .type = (unsigned)type & 15, .n = (uint32_t)n & VAL_N_MAX };
}
