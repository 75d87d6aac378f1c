/* restored.h - has the cluster been put back to another time? Told by the revisions of its store, which then leap or go
 * back (docs/design/2026-11-30-snapshots.md).
 *
 *	each look: the newest revision ── close to the last one ──▶ remembered
 *	                                └─ far above, or below ───▶ restored: for grace_ns from now on
 *
 * The last revision outlives the agent in a file, which is not brought up to date before the grace is over: a start
 * meanwhile finds the same, and begins it anew. A file that cannot be read is none, and then there is nothing to
 * compare with.
 *
 * Threads: any, but for init and release.
 */
#pragma once

#include "base/strmap.h"

#include <pthread.h>

#define RESTORED_LEAP INT64_C(500000)	  /* half of what a restore leaps at least (restore_rev()) */
#define RESTORED_FILE_EVERY INT64_C(1000) /* revisions that the file may lag */

struct restored {
	char *file; /* NULL: nothing outlives the agent */
	int64_t grace_ns;
	pthread_mutex_t lock;
	int64_t rev, filed; /* the last one seen, and that of the file; 0: none */
	int64_t until_ns;   /* NEVER_NS: nothing is found, or it is over */
	struct strmap told; /* uids of pods that are kept: what is told once */
};

/* file: NULL, or a path that may be there or not, copied. grace_ns 0: nothing is ever found. */
void restored_init(struct restored *r, const char *file, int64_t grace_ns);
void restored_release(struct restored *r);
/* rev: the newest that the API told of, 0: none. now_ns: monotonic. True: it was found just now. */
bool restored_look(struct restored *r, int64_t rev, int64_t now_ns);
bool restored_holds(struct restored *r, int64_t now_ns); /* it was found, and the grace is not over */
bool restored_tell(struct restored *r, struct sv uid);	 /* true: for the first time */
bool restored_untell(struct restored *r, struct sv uid); /* true: it was told of */
