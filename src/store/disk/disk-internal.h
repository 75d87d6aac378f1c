/* disk-internal.h - shared by disk.c, changes.c, range.c, group.c, writer.c and checkpoint.c, nobody else. README.md
 * beside this file has the picture. */
#pragma once

#include "store/disk/db.h"
#include "store/disk/overlay.h"
#include "store/disk/reserve.h"
#include "store/watchers.h"

#define GROUP_MAX 512				   /* records synced at once */
#define GROUP_BYTES ((size_t)1 * 1024 * 1024)	   /* stop adding records beyond this */
#define GEN_IDLE_BYTES ((size_t)128 * 1024)	   /* what an idle store may keep in memory */
#define CATCH_UP_MAX 1000			   /* old revisions shown to a watch between two groups */
#define CATCH_UP_BYTES ((size_t)4 * 1024 * 1024)   /* and no more than this of them; one may lie above it */
#define GEN_FULL_BYTES ((size_t)512 * 1024)	   /* of deletions before they become room, on a full disk */
#define ROOM_WORTH_BYTES ((size_t)1 * 1024 * 1024) /* garbage worth collecting on a full disk */
#define DELETION_GROWTH ((size_t)16 * 1024)	   /* by which a step towards a deletion may lengthen a value */
#define STEPS_GROWTH ((size_t)2 * 1024 * 1024)	   /* and all of them what is stored */
#define RETRY_AFTER_S 1				   /* what whoever cannot write is told */
#define PAUSE_NS (200 * NS_PER_MS)		   /* without a write: the store is idle */
#define BURST_NS NS_PER_SEC			   /* writes press that long after they filled a segment */
#define READERS_MAX 32				   /* ranges at once */

struct disk_store {
	struct store store;
	int lock_fd;
	struct db db;
	struct wal wal; /* the writer's; slots' busy flags under mu */
	struct watchers watchers;
	char *damage_told; /* the writer's: what was last met of it, or NULL */

	pthread_mutex_t mu;	  /* everything below */
	pthread_cond_t work;	  /* for the writer */
	pthread_cond_t ckpt_work; /* for the checkpointer */
	pthread_cond_t changed;	  /* for everybody else who waits */

	struct list queue;		   /* records to be written */
	struct gen *active;		   /* or NULL: no current segment */
	struct list frozen;		   /* generations, oldest first */
	int64_t rev;			   /* durable and published */
	int64_t compact_rev;		   /* nothing before it may be read */
	uint64_t live, live_bytes;	   /* keys at rev, and their records */
	struct db_meta meta;		   /* as in the database; db.set goes with it */
	int64_t compact_want;		   /* the checkpointer shall compact up to here */
	int readers;			   /* ranges under way */
	bool gathering;			   /* writes wait for more of them */
	int64_t round_ns;		   /* since when the writer has some in its hands, monotonic; 0: none */
	int64_t wrote_ns;		   /* when it last took some; 0: never */
	int64_t filled_ns;		   /* when a segment was last full; 0: never */
	bool freeze_wanted, expire, probe; /* jobs for the writer */
	bool burst;			   /* memory was used since the checkpointer last gave it back */
	bool dozing;			   /* the checkpointer waits for the end of a burst, of its own accord */
	bool ckpt_poke;			   /* try again although the last attempt failed */
	bool stopping, writer_gone, ckpt_stop, ckpt_gone;

	/* Last failures; ERR_NONE after a success. A merge's own: nobody waits for merges. */
	struct err wal_err, ckpt_err, merge_err;
	uint64_t ckpt_fails; /* merges excluded */
	uint64_t ckpt_steps; /* what it did: each may have made room */

	struct reserve reserve; /* the checkpointer's */
	bool full;		/* the disk is: nothing but deletions until the reserve is back */
	uint64_t growth_upto;	/* then: live_bytes up to which steps towards deletions are taken */
	bool tight;		/* merge for room rather than for order */
	bool apply_waits;	/* a generation found no room; merging may make some */
	bool merge_waits;	/* it found no room, or damage */
	bool room_held;		/* the checkpointer waits for who reads an older set */
	uint64_t merge_room;	/* how much there was when it found too little */
	bool room_poke;		/* look whether it is still full */
	struct err full_err;
};

#define DISK_STORE(s) CONTAINER_OF(s, struct disk_store, store)

/* One moment of the store: the generations, newest first, and the database's tables under them. What is read from the
 * tables lives in a hold until that is used again. */
struct snap {
	struct db_set *set;
	struct table_hold look, kv, prev;
	bool reader;
	bool full; /* the disk */
	uint64_t growth_upto;
	struct gen *gens[WAL_SLOTS];
	int n;
	int64_t rev, compact_rev;
	uint64_t steps; /* of the checkpointer, until then */
};

/* Waits for c (work or ckpt_work, which go by the monotonic clock), but not beyond until_ns. Lock held. */
void disk_wait_until(struct disk_store *s, pthread_cond_t *c, int64_t until_ns);

/* Lock held for open (which may give it up while it waits for its turn), not for close. */
void snap_open(struct disk_store *s, bool reader, struct snap *ret);
void snap_close(struct disk_store *s, struct snap *sn);
void gen_unref(struct gen *g); /* lock held */

/* The overlay at the moment of a snapshot: of each generation the records by revision, which stay where they are. Only
 * the active one's array moves when it grows: what reads it without the lock has a copy. */
struct overlay {
	struct overlay_gen {
		int64_t base_rev;
		struct rec *const *recs;
		size_t n;
	} gens[WAL_SLOTS]; /* newest first */
	int n;
	struct rec **copy; /* owned */
};
/* Lock held; good while it is. */
struct overlay overlay_of(const struct snap *sn);
/* Lock held; good as long as the snapshot. Copying numbers is all that writers wait for. */
void overlay_keep(struct overlay *o);
const struct rec *overlay_rev(const struct overlay *o, int64_t rev); /* or NULL */

/* The change of revision rev: what it made, and what it replaced, 0: nothing. Views of the snapshot's hold. A change
 * that cannot be read is an error. */
int snap_change(struct snap *sn, const struct overlay *o, int64_t rev, struct store_kv *ret, int64_t *ret_prev_rev,
		struct err *err);
int disk_changes(struct store *store, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
		 void *ctx, int64_t *ret_rev, struct err *err);
int disk_range(struct store *store, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
	       void *ctx, int64_t *ret_rev, struct err *err);
/* It is: nothing but deletions from now on. Lock held, or nobody else there. */
void disk_set_full(struct disk_store *s);
void writer_main(void *ctx);
void checkpoint_main(void *ctx);
/* Lock held. For who waits for it: has it failed since there were *fails failures, for a reason that still stands? Then
 * with *err. */
bool checkpoint_failed_since(const struct disk_store *s, uint64_t *fails, struct err *err);
