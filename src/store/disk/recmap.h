/* recmap.h - of each key its newest record: a hash table beside the records, which are somebody else's.
 *
 * Seeded as every strmap, so that hostile keys do not collide on purpose. Zero-initialised is a valid empty map. Not
 * thread-safe.
 */
#pragma once

#include "base/base.h"

struct rec;

struct recmap {
	struct recmap_slot {
		uint64_t hash;
		struct rec *r; /* NULL: free */
	} * slots;	       /* owned; open addressing */
	size_t cap, n;	       /* cap: a power of two, or 0 */
};

/* key's record, or NULL. hash: strmap_hash(key), which records have with them. */
struct rec *recmap_get(const struct recmap *m, struct sv key, uint64_t hash);
/* In place of the one of the same key. */
void recmap_put(struct recmap *m, struct rec *r);
void recmap_release(struct recmap *m);
