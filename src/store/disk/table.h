/* table.h - an immutable file of versions, sorted by key and, per key, from the newest to the oldest.
 *
 *	file:   head (4 KiB), blocks of records, blocks of revisions, area
 *	block:  table_block, then records as in the log (wal_record, key, value, padded to 8 bytes)
 *	revs:   table_block, then table_rev entries in the order of revisions
 *	area:   an entry per block with its first key, the last key, an entry per block of revisions, filter
 *
 * Written once, synced, and only then named by the manifest. Everything has a checksum that is compared before a byte
 * of it is believed: the head its own, the area one in the head, a block one that begins with the file's salt and the
 * block's offset, so that a block of another file or place is none. Files are read, never mapped: a short or
 * unreadable file is an error with words and not a signal. The area stays in memory, about 1/150 of the file.
 *
 * Threads: a table may be read from any thread; references are atomic. Holds and iterators are one thread's.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"
#include "store/disk/wal.h"

#include <stdatomic.h>

struct table_head {
	uint64_t magic;
	uint64_t store_id, number, salt;
	uint64_t first_rev, last_rev; /* the stretch of history it comes from */
	uint64_t wal_seq;	      /* what of the log had been applied with it */
	uint64_t hist_rev;	      /* versions after this one can be found by revision */
	uint64_t entries;
	uint64_t area_at; /* the area's offset */
	uint64_t size;	  /* of the file */
	uint32_t blocks, rev_blocks, filter_n;
	uint32_t area_crc;
	uint32_t version;
	uint32_t crc; /* of this head with crc 0 */
};

struct table_block {
	uint32_t magic;
	uint32_t crc;	/* of salt, offset, this head with crc 0 and payload */
	uint32_t bytes; /* of payload */
	uint32_t count;
};

struct table_rev {
	uint64_t rev;
	uint32_t block, pad;
};

struct table {
	atomic_uint refs;
	int fd;
	char *path; /* owned */
	struct table_head head;
	unsigned char *area; /* owned */
	uint32_t *at;	     /* owned: where in the area each block's entry is; one more for the last key */
	const unsigned char *revs, *filter;
	uint64_t given; /* back to the file system, up to here; the checkpointer's */
};

/* System calls that tests make fail. */
struct table_io {
	ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t off);
	ssize_t (*pread)(int fd, void *p, size_t n, off_t off);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd); /* of the directory */
};
extern struct table_io table_io;

char *table_path(const char *dir, uint64_t number); /* caller frees */
/* What is named in dir stays so. */
int table_sync_dir(const char *dir, struct err *err);
/* A directory just made or renamed has that name after a power cut only when its parent is synced. */
int table_sync_parent(const char *path, struct err *err);
/* crc: of the head, as the manifest has it; NULL, and store_id 0, when nobody knows. */
struct table *table_open(const char *dir, uint64_t number, uint64_t store_id, const uint32_t *crc, struct err *err);
struct table *table_ref(struct table *t);
void table_unref(struct table *t);

struct table_entry { /* of a block */
	uint64_t off;
	uint32_t bytes; /* its head included */
	struct sv first_key;
};
/* i: up to head.blocks; that one is only the last key of all. */
struct table_entry table_entry(const struct table *t, size_t i);
/* The block in which key's newest version is, if there is any. */
size_t table_seek(const struct table *t, struct sv key);

/* A block in memory. Views into it live until the next use or the release of the hold. */
struct table_hold {
	const struct table *t;
	uint64_t off;
	unsigned char *p; /* owned */
	size_t cap;
	uint32_t bytes, count; /* of payload, behind the block's head */
};
void table_hold_release(struct table_hold *h);

/* A key as the filters of all tables of one store look for it; those of old tables go by its checksum. */
struct table_key {
	struct sv key;
	uint32_t hash;
};
struct table_key table_key(uint64_t store_id, struct sv key);
/* The newest version of the key that is not after max_rev. 1: found, 0: not here, -1: err. */
int table_find(const struct table *t, const struct table_key *want, uint64_t max_rev, struct table_hold *hold,
	       struct wal_record *ret, struct sv *ret_key, struct sv *ret_value, struct err *err);
/* Of a revision after head.hist_rev, in a block from min_block on. */
int table_find_rev(const struct table *t, uint64_t rev, size_t min_block, struct table_hold *hold,
		   struct wal_record *ret, struct sv *ret_key, struct sv *ret_value, struct err *err);

/* Tells what a reader that goes on had to leave out. */
typedef void table_damage_fn(const struct table *t, size_t block, struct err *why, void *ctx);

struct table_iter {
	struct table *t; /* a reference */
	size_t block;	 /* the next to load */
	struct table_hold hold;
	uint32_t at, left;
	table_damage_fn *skip; /* NULL: damage is an error */
	void *skip_ctx;
	/* The version it is at; views until the next step. */
	struct wal_record h;
	struct sv key, value;
	const void *raw; /* the record as it lies in the file */
	size_t raw_n;	 /* padding excluded */
};
/* To the first version of the first key that is not before `from`. 1: there is one, 0: none, -1: err. */
int table_iter_seek(struct table_iter *it, struct sv from, struct err *err);
int table_iter_next(struct table_iter *it, struct err *err);
void table_iter_release(struct table_iter *it);

/* --- writing --- */

struct table_out {
	int fd;
	char *path; /* owned */
	struct table_head head;
	struct buf out, block, area;
	struct buf first_key, last_key; /* of the block; of all */
	uint64_t off;			/* where `block` will be */
	uint64_t flushed;		/* what of the file has been written */
	uint32_t block_count;
	VEC(uint32_t) hashes;
	VEC(struct table_rev) revs;
};

/* head: store_id, number, salt, revisions and wal_seq, hist_rev. After a failure o still wants table_out_abort. */
int table_out_begin(struct table_out *o, const char *dir, const struct table_head *head, struct err *err);
/* In order. raw: record, key and value in one piece. */
int table_out_add(struct table_out *o, const void *raw, size_t n, struct err *err);
uint64_t table_out_bytes(const struct table_out *o);
/* Ends and syncs the file; its name is on disk when the directory has been synced. */
int table_out_end(struct table_out *o, struct err *err);
void table_out_abort(struct table_out *o); /* removes it; also fine after the end, or of a zeroed one */
/* Ends it and opens what came of it; on failure nothing is left of it. */
struct table *table_out_open(struct table_out *o, const char *dir, struct err *err);
