/* strmap.h - a hash map from strings to pointers.
 *
 * Open addressing, keys copied in, hashes seeded once per process so that hostile keys do not
 * collide on purpose. Iteration order is insertion order as long as nothing was removed;
 * with removals it is unspecified but deterministic (the same calls give the same order),
 * which the simulator relies on. Zero-initialised is a valid empty map. Not thread-safe.
 *
 * The tables grow with what is added and shrink with what is removed, so a burst leaves nothing behind. Every
 * addition and removal may move all entries (keys and values stay where they are): whoever removes while
 * iterating collects the keys first, or begins again after each.
 */
#pragma once

#include "base/base.h"

struct strmap_entry {
	char *key; /* owned, NUL-terminated; NULL marks a removed entry */
	size_t key_n;
	uint64_t hash;
	void *value;
};

struct strmap {
	struct strmap_entry *entries; /* dense */
	size_t used, cap;	      /* entries in use, removed ones included; room */
	size_t n;		      /* live entries */
	uint32_t *index;	      /* slot -> entry + 1, 0 free; NULL while they are few */
	size_t slots;
};

#define STRMAP_INIT ((struct strmap){ 0 })

void strmap_release(struct strmap *m); /* values are the caller's */
void strmap_release_with(struct strmap *m, void (*free_value)(void *));
void *strmap_get(const struct strmap *m, struct sv key); /* NULL when absent */
bool strmap_has(const struct strmap *m, struct sv key);
/* Sets key to value and returns the value it replaced, or NULL. */
void *strmap_set(struct strmap *m, struct sv key, void *value);
void *strmap_del(struct strmap *m, struct sv key); /* the removed value, or NULL */
/* Where the value of key lives, made (NULL) when absent. View until the next change. */
void **strmap_slot(struct strmap *m, struct sv key);

/* for (struct strmap_entry *e = NULL; (e = strmap_next(m, e));) */
struct strmap_entry *strmap_next(const struct strmap *m, struct strmap_entry *prev);
#define STRMAP_EACH(m, e) for (struct strmap_entry *e = strmap_next((m), NULL); e; e = strmap_next((m), e))

/* Of equal views the same, seeded as the maps are: for tables of other shapes. */
uint64_t strmap_hash(struct sv key);

/* The seed of every strmap's hash; the program sets it once, before the first map is used. */
void strmap_seed(uint64_t seed);
/* The same hash with a seed of the caller's. It is in files (table.h): it does not change. */
uint64_t strmap_hash_with(uint64_t seed, struct sv key);
