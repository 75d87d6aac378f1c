/* bolt_write.h - writes a database file of bbolt (bolt.h has the format), once and from its beginning to its end.
 *
 *	bolt_out_new()		on an empty file
 *	bolt_out_bucket()	a bucket of the root begins, and the one before ends; names ascend
 *	bolt_out_put() ...	what is in it; keys ascend
 *	bolt_out_end()		the last bucket ends; the two first pages are written
 *
 * As keys ascend, each tree grows from its leaves: a page that is full is written, and its first key goes into the page
 * above. So what is in memory is a page a level, a value, and what waits to be written, however large the file gets.
 *
 * The program that the file is for changes it later, and its code takes two things for granted: a branch has two pages
 * below it at least, and pages that are free are in a list, or in none (then it looks for them, as etcd's do).
 *
 * Nothing is synced. Threads: none; blocking.
 */
#pragma once

#include "base/err.h"

#define BOLT_OUT_PAGE 4096
#define BOLT_OUT_KEY_MAX ((size_t)512)	      /* so that several fit in a page */
#define BOLT_OUT_VALUE_MAX ((size_t)32 << 20) /* with room for the key the reader takes it, too */
#define BOLT_OUT_BUCKETS_MAX 16

struct bolt_out; /* opaque */

struct bolt_out *bolt_out_new(int fd); /* borrowed */
int bolt_out_bucket(struct bolt_out *o, const char *name, struct err *err);
/* ERR_INTERNAL: out of order, or too large. */
int bolt_out_put(struct bolt_out *o, struct sv key, struct sv value, struct err *err);
int bolt_out_end(struct bolt_out *o, uint64_t *ret_bytes, struct err *err);
void bolt_out_free(struct bolt_out *o); /* NULL is fine */
DEFINE_CLEANUP(struct bolt_out *, bolt_out_freep, bolt_out_free)
