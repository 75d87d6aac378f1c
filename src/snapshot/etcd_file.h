/* etcd_file.h - the snapshot of an etcd, of records that never were in one: what `etcdctl snapshot save` gives, and
 * `snapshot restore` of etcdctl or etcdutl makes a member's data directory of.
 *
 *	etcd_file_new()		on an empty file, and one beside it for what is between
 *	etcd_file_add() ...	records, in any order
 *	etcd_file_end()		the database is built, and its SHA-256 is behind it
 *
 * An etcd has each version of a key under its revision, so records are sorted by theirs: their values go through the
 * second file, and 24 bytes of each are in memory. Those of one revision are parts of one write there, as they may be
 * here. Each keeps the revisions that made and changed it. How often it was changed nobody knows: it says once, or
 * twice when it was at all; Kubernetes does not ask.
 *
 * The etcd is at the revision that end() names, however far behind the records that is, and says that all before is
 * compacted: whoever asks for it is told so, and a watch that goes on at that revision goes on.
 *
 * Buckets and their names are those of etcd 3.4 to 3.6 (server/storage/schema of its sources lists them); who is a
 * member comes from the program that restores it.
 *
 * Threads: none; blocking. Nothing is synced.
 */
#pragma once

#include "store/store.h"

struct etcd_file; /* opaque */

struct etcd_file *etcd_file_new(int fd, int between); /* borrowed */
/* ERR_STORE_READ: it has no revision that a record has. */
int etcd_file_add(struct etcd_file *f, const struct store_kv *kv, struct err *err);
/* rev: not before that of any record. goes_on is asked now and then, and ends it (its error) with -1. */
int etcd_file_end(struct etcd_file *f, int64_t rev, int (*goes_on)(struct err *err), uint64_t *ret_keys,
		  struct err *err);
void etcd_file_free(struct etcd_file *f); /* NULL is fine */
DEFINE_CLEANUP(struct etcd_file *, etcd_file_freep, etcd_file_free)
