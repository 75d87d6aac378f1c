/* val_index.h - many lookups in one map, and many changes of it, each at the same cost however large it is.
 *
 * val_member_sv() and val_set_sv() look through the map, which is right for the dozen members that most have. A loop
 * that asks once a member of what a client sends would cost the square of it: such loops put an index beside the map.
 * A small map has no table; the index is then as cheap as the plain functions, so it is right for every map.
 *
 * Memory: a table on the heap, the caller's to release; the map is borrowed and outlives the index.
 *
 * Threads: as the map. val_index_of() only reads it, so that any thread may have one of a published document.
 *
 * While an index that changes is open, the map is changed through it alone and not read otherwise: members that were
 * removed leave it at val_index_release(). Pointers to members are good until the next val_index_set().
 */
#pragma once

#include "codec/doc.h"

struct val_index {
	struct val *map;
	uint32_t *slots;	/* place of a member's value in map->items, + 1; NULL while the map is small */
	size_t n_slots, filled; /* filled: removed ones included */
	bool changes, removed;
};

struct val_index val_index_of(const struct val *map); /* to read; NULL and what is no map have no members */
struct val_index val_index_changing(struct val *map); /* a map whose array is its own, not frozen */
void val_index_release(struct val_index *x);

const struct val *val_index_get(const struct val_index *x, struct sv key);
/* The same of a key that a walk has come by (struct val_iter): one known by number is not looked up by name. */
const struct val *val_index_member(const struct val_index *x, enum sym sym, struct sv key);
/* As val_set_sv(), but the key is borrowed for the arena's life. */
struct val *val_index_set(struct val_index *x, struct arena *a, struct sv key, const struct val *v);
bool val_index_del(struct val_index *x, struct sv key); /* true when it was there; order kept */

/* All members of from into map, which may be frozen: over what it has, or only those that it has not. Keys are borrowed
 * for the arena's life, as values are. */
void val_put_all(struct arena *a, struct val *map, const struct val *from);
void val_add_missing(struct arena *a, struct val *map, const struct val *from);
