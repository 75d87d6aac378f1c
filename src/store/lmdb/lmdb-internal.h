/* lmdb-internal.h - shared by lmdb.c, writer.c and checkpoint.c, nobody else. README.md beside
 * this file has the picture. */
#pragma once

#include "store/lmdb/db.h"
#include "store/lmdb/overlay.h"
#include "store/watchers.h"

#define GROUP_MAX 512				 /* records synced at once */
#define GROUP_BYTES ((size_t)1 * 1024 * 1024)	 /* stop adding records beyond this */
#define GEN_IDLE_BYTES ((size_t)1 * 1024 * 1024) /* what an idle store may keep in memory */
#define CATCH_UP_MAX 1000			 /* old revisions shown to a watch between two groups */
#define COMPACT_MAX 4096			 /* revisions compacted in one transaction */

struct lmdb_store {
	struct store store;
	struct env *env;
	int lock_fd;
	struct db db;
	struct wal wal; /* the writer's; slots' busy flags under mu */
	struct watchers watchers;

	pthread_mutex_t mu;	  /* everything below */
	pthread_cond_t work;	  /* for the writer */
	pthread_cond_t ckpt_work; /* for the checkpointer */
	pthread_cond_t changed;	  /* for everybody else who waits */

	struct list queue;		   /* records to be written */
	struct gen *active;		   /* or NULL: no current segment */
	struct list frozen;		   /* generations, oldest first */
	int64_t rev;			   /* durable and published */
	int64_t compact_rev;		   /* nothing before it may be read */
	uint64_t live;			   /* keys at rev */
	struct db_meta meta;		   /* as in the database */
	int64_t compact_want;		   /* the checkpointer shall compact up to here */
	bool gathering;			   /* writes wait for more of them */
	bool freeze_wanted, expire, probe; /* jobs for the writer */
	bool burst;			   /* memory was used since the checkpointer last gave it back */
	bool ckpt_poke;			   /* try again although the last attempt failed */
	bool stopping, writer_gone, ckpt_stop, ckpt_gone;

	struct err wal_err, ckpt_err; /* last failure; ERR_NONE after a success */
	uint64_t ckpt_fails;

	MDB_txn *writer_txn, *txns[DB_READERS];
	bool txn_used[DB_READERS];
};

#define LMDB_STORE(s) CONTAINER_OF(s, struct lmdb_store, store)

/* One moment of the store: the generations, newest first, and a database snapshot under them. */
struct snap {
	MDB_txn *txn;
	int pool; /* index into txns, -1: the writer's */
	struct gen *gens[WAL_SLOTS];
	int n;
	int64_t rev, compact_rev;
};

/* Lock held for open (which may give it up while it waits), not for close. */
int snap_open(struct lmdb_store *s, bool writer, struct snap *ret, struct err *err);
void snap_close(struct lmdb_store *s, struct snap *sn);
void gen_unref(struct gen *g); /* lock held */

void writer_main(void *ctx);
void checkpoint_main(void *ctx);
