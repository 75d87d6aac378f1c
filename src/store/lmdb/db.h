/* db.h - the tables in LMDB: what the log has been applied to.
 *
 *	log   revision (8 bytes, big-endian) -> wal_record, key, value
 *	keys  key -> db_key: its newest revision; tombstones stay until compacted
 *	meta  "meta" -> db_meta
 *
 * Threads: any number of readers, each with a transaction of its own; one writer.
 * Views into the database live until their transaction is reset or ends.
 */
#pragma once

#include "base/err.h"
#include "store/lmdb/wal.h"

#include <lmdb.h>

struct db {
	MDB_env *env;
	MDB_dbi log, keys, meta;
	char *path; /* of the data file, owned */
	void *map;  /* where it is mapped, or NULL when that could not be found out */
	size_t map_n;
};

struct db_meta {
	uint64_t format, store_id;
	uint64_t rev;	  /* applied up to here */
	uint64_t wal_seq; /* and this segment of the log */
	uint64_t compact_rev, compact_done;
	uint64_t live; /* keys, at rev */
};

struct db_key {
	uint64_t mod_rev, create_rev; /* create_rev 0: a tombstone */
};

#define DB_FORMAT 1
#define DB_READERS 32

/* new_id: the store id if the database is made now. */
int db_open(struct db *d, const char *dir, size_t map_size, uint64_t new_id, struct db_meta *ret, struct err *err);
void db_close(struct db *d);
int db_err(const struct db *d, int rc, struct err *err, const char *what);

/* 1: found, 0: not there, -1: err. */
int db_get_key(const struct db *d, MDB_txn *txn, struct sv key, struct db_key *ret, struct err *err);
int db_get_rev(const struct db *d, MDB_txn *txn, uint64_t rev, struct wal_record *ret, struct sv *ret_key,
	       struct sv *ret_value, struct err *err);

int db_put_log(const struct db *d, MDB_txn *txn, uint64_t rev, const void *p, size_t n, struct err *err);
int db_put_key(const struct db *d, MDB_txn *txn, struct sv key, const struct db_key *k, struct err *err);
int db_put_meta(const struct db *d, MDB_txn *txn, const struct db_meta *m, struct err *err);
/* Deletes from the tables what revision rev (at or before the compaction) made obsolete. */
int db_compact_one(const struct db *d, MDB_txn *txn, uint64_t rev, struct err *err);
uint64_t db_bytes(const struct db *d); /* on disk */
/* Takes the map's pages out of the resident set; the next reader faults in what it needs. */
void db_trim(const struct db *d);

static inline MDB_val db_val(struct sv s)
{
	return (MDB_val){ .mv_size = s.n, .mv_data = (void *)s.p };
}

static inline struct sv db_sv(MDB_val v)
{
	return sv_make(v.mv_data, v.mv_size);
}
