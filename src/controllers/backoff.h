/* backoff.h - pauses that double, by key: between deletions of pods that keep failing on one node.
 *
 * Threads: any. A restart forgets them, which costs one retry.
 */
#pragma once

#include "base/env.h"

struct backoff;

struct backoff *backoff_new(struct env *e, int64_t first_ns, int64_t max_ns);
struct backoff *backoff_free(struct backoff *b);
/* How long key has to wait yet. 0: it may go now, and the next time waits longer. A key not asked for twice the longest
 * pause begins anew. */
int64_t backoff_left(struct backoff *b, struct sv key);
