/* marks.h - the marks of a stretch of time as text: a value of the store.
 *
 *	1 RUN BYTES		seconds that servers ran and bytes that were written, in all, at its end
 *	SECOND REVISION		the first mark; after that by how much both are more than before
 *	12 3
 *	? 60 9			nobody saw when the revisions since the one before came
 *	+ 1 2			the second was not over: there may have been more
 *
 * Decimal, a line each, seconds and revisions rising. Key: STORE's /caravel/history/ and the last revision, 16 digits
 * of hexadecimal, so that the order of keys is that of revisions.
 */
#pragma once

#include "base/buf.h"
#include "base/vec.h"

#define MARKS_ROOT "/caravel/history/"
#define MARKS_BEHIND "/caravel/history0"
#define MARKS_KEY_MAX (sizeof(MARKS_ROOT) + 16)
#define MARKS_MAX ((size_t)16384) /* of one value */

struct mark {
	int64_t sec, rev;
	bool gap, open;
};
typedef VEC(struct mark) marks;

struct stretch {
	int64_t run_s;
	uint64_t bytes;
	marks m; /* at least one */
};

struct sv marks_key(int64_t rev, char out[MARKS_KEY_MAX]);
bool marks_key_rev(struct sv key, int64_t *ret_rev);
void marks_format(struct buf *b, int64_t run_s, uint64_t bytes, const struct mark *m, size_t n);
/* False: it is none. ret is released by the caller either way. */
bool marks_parse(struct sv text, struct stretch *ret);
/* Of rising marks, how many are before the second sec. */
size_t marks_before(const struct mark *m, size_t n, int64_t sec);
