/* wal.h - the write-ahead log: a few segment files, written in place, over and over.
 *
 * README.md beside this file says how segments, groups and recovery fit together. Everything on
 * disk is little-endian.
 *
 *	segment: head block (4 KiB), group, group, ...
 *	group:   wal_group, records (each padded to 8 bytes), zeros up to the next 4 KiB block
 *	record:  wal_record, key, value
 *
 * Threads: one at a time; who frees a slot (busy) from another thread does so under the lock that
 * wal_free_slot() is called under.
 */
#pragma once

#include "base/err.h"

#include <sys/uio.h>

#define WAL_BLOCK ((size_t)4096)
#define WAL_SEGMENT ((size_t)4 * 1024 * 1024) /* grows past it only for one oversized group */
#define WAL_SLOTS 3
#define WAL_TOMBSTONE UINT32_C(1)

struct wal_record {
	uint64_t rev, create_rev;
	uint64_t prev_rev; /* the version this one replaced, tombstones included; 0: none */
	uint32_t key_n, value_n;
	uint32_t flags;
	uint32_t crc; /* of key and value, then of this head with crc 0 */
};

struct wal_group {
	uint32_t magic;
	uint32_t crc; /* of this head with crc 0, then of the payload; begun with the salt's checksum */
	uint64_t seq; /* of the segment */
	uint64_t salt;
	uint64_t number;    /* in the segment, from 1 */
	uint64_t first_rev; /* the group's records have this and the following revisions */
	uint32_t count;
	uint32_t bytes; /* of payload */
	uint32_t pad[4];
};

struct wal_head {
	uint64_t magic;
	uint64_t seq; /* grows with each use of any slot */
	uint64_t salt;
	uint64_t store_id;
	uint64_t base_rev; /* the revision before the first record */
	uint64_t prev_seq; /* the segment before this one, and where it ends */
	uint64_t prev_end;
	uint32_t version;
	uint32_t crc; /* of this head with crc 0 */
};

/* What a record takes, padding included. */
static inline size_t wal_record_bytes(const struct wal_record *r)
{
	return (sizeof(*r) + r->key_n + r->value_n + 7) & ~(size_t)7;
}

/* Fills in crc; data_crc is crc32c(0, key and value). */
void wal_record_seal(struct wal_record *r, uint32_t data_crc);
/* Reads the record at p (any alignment), checks its lengths against n and its checksum. Views
 * into p. Returns the bytes it takes, padding excluded, or -1. */
ssize_t wal_record_parse(const void *p, size_t n, struct wal_record *ret, struct sv *ret_key, struct sv *ret_value);

/* The same without the checksum, for what lies in a block whose own was compared. */
ssize_t wal_record_peek(const void *p, size_t n, struct wal_record *ret, struct sv *ret_key, struct sv *ret_value);

/* System calls that tests make fail. */
struct wal_io {
	ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t off);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd); /* of a file that is new or the directory */
};
extern struct wal_io wal_io;

/* What the file `wal.note` says: that segment seq exists, in this slot. Two copies, of which the one with the higher
 * number counts and the other is the next to be written. A head is on disk before its note, a note before the first
 * group: so an answered write implies a note, and a segment that the note names and nobody finds is damage. */
struct wal_note {
	uint64_t magic, number;
	uint64_t store_id, seq, salt;
	uint32_t slot, crc; /* crc: of this with crc 0 */
};

struct wal_slot {
	int fd; /* -1: not open */
	bool busy;
	bool unsure;  /* made, and its name and room may not be on disk */
	uint64_t seq; /* 0: none */
};

struct wal {
	char *dir; /* owned */
	uint64_t store_id;
	struct wal_slot slots[WAL_SLOTS];
	int note_fd;		     /* -1: not open */
	struct wal_note note;	     /* the last one written */
	int cur;		     /* slot being written, or -1 */
	uint64_t seq, salt;	     /* of cur */
	uint64_t number;	     /* of the last good group in cur */
	size_t end;		     /* of the last good group in cur */
	uint64_t base_rev;	     /* of cur */
	uint64_t last_seq;	     /* largest ever used */
	uint64_t tail_seq, tail_end; /* where the log ends: last good group anywhere */
};

void wal_init(struct wal *w, const char *dir, uint64_t store_id);
void wal_release(struct wal *w);

typedef int wal_record_fn(const struct wal_record *r, struct sv key, struct sv value, void *ctx, struct err *err);

/* One segment's bytes, of file `name` for messages. */
struct wal_image {
	const char *name;
	const unsigned char *p;
	size_t n;
};
/* True when img begins with a sound head. */
bool wal_head_parse(const struct wal_image *img, struct wal_head *ret);
/* Calls fn for each record of the segment. end: where the next segment says it ends, 0 for the
 * last one. *rev is the revision before the first record and becomes that of the last. Sets
 * *ret_end. ERR_STORE_READ with file name and offset on corruption. */
int wal_scan(const struct wal_image *img, const struct wal_head *h, size_t end, uint64_t *rev, wal_record_fn *fn,
	     void *ctx, size_t *ret_end, struct err *err);

/* Reads wal.note; makes it when `fresh`, of a log that was never written to or has none yet. */
int wal_note_open(struct wal *w, bool fresh, struct err *err);
/* Replays what follows segment applied_seq and revision *rev. segment(slot, seq, ctx) is called
 * before the records of each segment; these slots are busy afterwards. All that fn was told is
 * on disk when this returns. */
int wal_replay(struct wal *w, uint64_t applied_seq, uint64_t *rev, void (*segment)(int slot, uint64_t seq, void *ctx),
	       wal_record_fn *fn, void *ctx, struct err *err);

/* Is there room for a group of that payload in the current segment? */
bool wal_fits(const struct wal *w, size_t payload);
/* Or -1. A slot that was never used takes room for its segment: only with may_make. */
int wal_free_slot(const struct wal *w, bool may_make);
/* Makes a free slot the current segment; its head and the note of it are on disk after that. The current one, if any,
 * is complete. */
int wal_begin(struct wal *w, int slot, uint64_t base_rev, uint64_t salt, struct err *err);
/* Appends and syncs a group. iov[0] and iov[n_iov + 1] are scratch, the records are in between.
 * On failure nothing was written that would be replayed, as far as the disk lets us, and there
 * is no current segment any more; *ret_used says whether its slot holds earlier groups. */
int wal_append(struct wal *w, struct iovec *iov, int n_iov, uint64_t first_rev, uint32_t count, bool *ret_used,
	       struct err *err);
uint64_t wal_bytes(const struct wal *w); /* on disk */
