/* shard.h - shard selectors: the part of a collection whose metadata hash into ranges.
 *
 *	shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000') || shardRange(...)
 *
 * The text is an expression that is parsed and never run: calls of shardRange joined by ||, all of one field (uid or
 * namespace), each with the first hash that is in and the first that is not any more. Hashes are FNV-1a of 64 bits.
 * What is asked for with the gate ShardedListAndWatch (KEP-5866) in lists and watches; errors are in upstream's words.
 *
 * How many ranges there are is the client's to say: they are merged, and an object costs one hash and a binary search.
 * Arena-owned; immutable after. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum shard_field { SHARD_UID, SHARD_NAMESPACE };

struct shards {
	enum shard_field field;
	struct sv words; /* what was understood, as upstream writes it; parses to the same */
	struct shard_range {
		uint64_t first, last; /* both are in */
	} * ranges;		      /* sorted, none touches another */
	size_t n;
};

/* NULL: ERR_BAD_REQUEST. text is not NULL or empty: who asks for nothing has no selector. */
const struct shards *shards_parse(struct arena *a, struct sv text, struct err *err);
/* Is the field's value, "" where there is none, in one of the ranges? */
bool shards_have(const struct shards *s, struct sv value);
