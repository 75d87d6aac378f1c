/* bucket.h - so many at once, then one every so often: for lines of the log that something outside can cause. */
#pragma once

#include "base/base.h"

/* All zero: full. */
struct bucket {
	int left;
	int64_t filled_ns; /* monotonic */
	unsigned missing;  /* refused since the last that was let through */
};

/* Lets one through when there is one left, with the number of those refused before it. most, every_ns: how many there
 * can be at once, and when there is another one. */
static inline bool bucket_take(struct bucket *b, int most, int64_t every_ns, int64_t now_ns, unsigned *ret_missing)
{
	int64_t more = b->filled_ns ? (now_ns - b->filled_ns) / every_ns : most;

	if (more > 0) {
		b->left = (int)MIN(b->left + more, most);
		b->filled_ns = now_ns;
	}
	if (b->left == 0) {
		b->missing++;
		return false;
	}
	b->left--;
	*ret_missing = b->missing;
	b->missing = 0;
	return true;
}
