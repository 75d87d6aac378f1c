/* written.h - reading one's own writes: has the informer caught up with what this controller wrote?
 *
 * For controllers whose writes depend on each other through the cache (the slices of one service):
 * a run on a cache older than the last write would repeat it. Threads: any.
 */
#pragma once

#include "client/informer.h"

struct written;

struct written *written_new(void);
struct written *written_free(struct written *w);
void written_note(struct written *w, struct sv key, int64_t rev);
/* False: what i shows is older than the last write for key. */
bool written_seen(struct written *w, struct sv key, struct informer *i);
