/* bolt.h - reads bbolt's database files, of version 2: what an etcd has its data in, and its snapshots are.
 *
 *	page	u64 number, u16 flags (1 branch, 2 leaf, 4 meta), u16 count, u32 more pages that belong to it
 *	meta	of pages 0 and 1: magic, version, page size, flags, root bucket, freelist, pages, transaction, FNV-1a
 *	branch	elements: u32 offset of its key from here, u32 bytes of it, u64 page
 *	leaf	elements: u32 flags (1: a bucket), u32 offset of key and value from here, u32 and u32 bytes of them
 *	bucket	u64 root page (0: the page is right behind), u64 sequence
 *
 * Format by bbolt's documentation (go.etcd.io/bbolt, page.go and bucket.go name the fields); the code is ours. Only
 * what a file says is read, with pread: nothing is mapped. The file may be anybody's: every number is compared with
 * the file's size before it is used, a tree is no deeper than BOLT_DEPTH_MAX, and no page is visited more often than
 * there are pages.
 *
 * Threads: none.
 */
#pragma once

#include "base/err.h"

#define BOLT_DEPTH_MAX 32
#define BOLT_PAGE_MAX ((size_t)64 << 20) /* with those that belong to it */

struct bolt {
	int fd;	       /* borrowed */
	uint64_t size; /* bytes of database in it */
	uint32_t page;
	uint64_t pages; /* in use */
	uint64_t root, txid;
	uint64_t visits; /* left */
};

/* Is it such a file, by its first page? */
bool bolt_is(int fd);
/* size: of the database, which may be followed by something else. */
int bolt_open(struct bolt *b, int fd, uint64_t size, struct err *err);

/* A key of a bucket: views until it returns; at: where in the file the value is. -1 with *err ends it. */
typedef int bolt_each_fn(struct sv key, struct sv value, uint64_t at, void *ctx, struct err *err);
/* Everything in the named bucket of the root, in the order of keys; buckets in it are passed over. 1, 0: there is no
 * such bucket; -1. */
int bolt_each(struct bolt *b, struct sv bucket, bolt_each_fn *fn, void *ctx, struct err *err);
