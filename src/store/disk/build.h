/* build.h - a new store made at once of what is given in the order of keys: for a repair, and for what comes back from
 * a snapshot.
 *
 * The directory is made; nobody else may look at it before store_build_end(), behind which all is on disk. There is no
 * history: who asks for a revision before `rev` is told ERR_EXPIRED, and the next write gets the one behind it.
 *
 * Threads: none; blocking.
 */
#pragma once

#include "store/store.h"

struct store_build; /* opaque */

/* dir must not exist. rev: above every mod_rev that comes. NULL with *err. */
struct store_build *store_build_new(struct env *env, const char *dir, int64_t rev, struct err *err);
/* The next key's live version, as it is: with the revisions it has. */
int store_build_add(struct store_build *b, const struct store_kv *kv, struct err *err);
/* The same of a record as it stands in a log or table: head, key, value (wal.h), its checksum right. */
int store_build_add_raw(struct store_build *b, const void *raw, size_t n, struct err *err);
/* Makes it a store. *ret_keys: how many (may be NULL). */
int store_build_end(struct store_build *b, uint64_t *ret_keys, struct err *err);
void store_build_free(struct store_build *b); /* NULL is fine; files of one that did not end stay */
DEFINE_CLEANUP(struct store_build *, store_build_freep, store_build_free)

/* The highest revision that shows anywhere in the store in dir, which nobody uses and which may be damaged; 0: there is
 * no store. -1: somebody uses it (ERR_ALREADY_EXISTS). *ret_lock keeps it from being used while it is open; the
 * caller's. */
int64_t store_top_rev(const char *dir, int *ret_lock, struct err *err);
/* How far revisions leap when it is not known which were given out: more than can have been. */
#define STORE_REV_LEAP INT64_C(1000000)
