/* reloads.h - how often a file of configuration was taken up again, or could not be, and when that was last: upstream's
 * metrics of automatic reloads.
 *
 * Threads: any.
 */
#pragma once

#include "base/buf.h"

#include <stdatomic.h>

struct apiserver;

struct reloads {
	_Atomic uint64_t good, bad;
	_Atomic int64_t good_ns, bad_ns; /* wall clock, of the last */
};

void reloads_note(struct reloads *r, const struct apiserver *s, bool good);
/* what: "authentication", "authorization". Nothing where there was no reload, as upstream. */
void reloads_metrics(const struct reloads *r, const struct apiserver *s, const char *what, struct buf *b);
