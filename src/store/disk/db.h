/* db.h - the database: what the log has been applied to, as a set of tables.
 *
 * The file `manifest` names the tables and holds db_meta. It is replaced as a whole (written beside, synced, renamed),
 * so the database is at any moment what one manifest says. Tables of one age come from one stretch of history and share
 * no key; of two ages the higher has the newer versions. A table's part counts from its key `from` on: what is before
 * it has been merged into another one already.
 *
 * Merging keeps the number of tables small and forgets what compaction allows. It goes in steps and commits every
 * 32 MiB, and what was consumed is given back to the file system as soon as nobody reads an older set: so it needs
 * little room and can be left and taken up at any time.
 *
 * Threads: one, the checkpointer, changes the database. A set is immutable; who takes a reference on db->set does so
 * under the lock that protects the pointer.
 */
#pragma once

#include "base/env.h"
#include "store/disk/overlay.h"
#include "store/disk/table.h"

struct db_meta {
	uint64_t format, store_id;
	uint64_t rev;	  /* applied up to here */
	uint64_t wal_seq; /* and this segment of the log */
	uint64_t compact_rev;
	uint64_t full_rev;	   /* all tables have been merged with this compact_rev */
	uint64_t live, live_bytes; /* keys and their records, at rev */
	uint64_t next_number;	   /* of a table or an age */
};

#define DB_FORMAT 2

struct db_part {
	struct table *t; /* a reference */
	uint64_t age;
	struct sv from; /* owned by the set */
};

struct db_set {
	atomic_uint refs;
	atomic_uint *count; /* of sets that were published and are not gone; NULL: never published */
	uint64_t bytes;	    /* of files */
	size_t n;
	struct db_part p[]; /* newest age first */
};

struct db_set *db_set_ref(struct db_set *s);
void db_set_unref(struct db_set *s);

struct db {
	struct env *env;
	char *dir, *path; /* owned; path: of the manifest */
	uint64_t max_bytes;
	uint64_t store_id;
	struct db_set *set;	/* what the manifest on disk names */
	uint64_t next_number;	/* above all that may be in use, also after a crash */
	struct db_merge *merge; /* under way, or NULL */
	uint64_t merge_rev;	/* the last one begun forgets what that compaction allows */
	atomic_uint sets;	/* published and not gone: with more than one, somebody reads an older one */
	bool owes;		/* what merges have consumed was not all given back to the file system */
};

/* Called before a database gets its first manifest: what else it needs is made first. */
typedef int db_first_fn(const struct db_meta *meta, void *ctx, struct err *err);
/* Opens or makes the database in dir. An older format is converted on the way. */
int db_open(struct db *d, struct env *env, const char *dir, uint64_t max_bytes, db_first_fn *first, void *ctx,
	    struct db_meta *ret, struct err *err);
void db_close(struct db *d);
/* Removes files that nothing names: only after the log was found to be whole, as they are what a lost manifest would
 * have to be made from. */
void db_sweep(const struct db *d);

/* --- reading --- */

/* The newest version of key that is not after max_rev. Views until the hold's next use. 1, 0 (not there), -1. */
int db_find(const struct db_set *s, struct sv key, uint64_t max_rev, struct table_hold *hold, struct wal_record *ret,
	    struct sv *ret_key, struct sv *ret_value, struct err *err);
/* Of a revision after the compaction. */
int db_find_rev(const struct db_set *s, uint64_t rev, struct table_hold *hold, struct wal_record *ret,
		struct sv *ret_key, struct sv *ret_value, struct err *err);

/* All versions in [from, to) in the order of keys, each key's from the newest to the oldest. Empty to: to the end. */
struct db_cursor {
	VEC(struct table_iter *) its; /* ordered by what they are at; those at their end are gone */
	struct db_set *set;	      /* a reference */
};
int db_cursor_open(struct db_cursor *c, struct db_set *s, struct sv from, struct sv to, struct err *err);
/* What it is at, or NULL at the end. */
static inline const struct table_iter *db_cursor_at(const struct db_cursor *c)
{
	return c->its.n ? c->its.p[0] : NULL;
}
/* The same over everything, leaving out what is damaged after telling it. */
int db_cursor_open_skipping(struct db_cursor *c, struct db_set *s, table_damage_fn *skip, void *ctx, struct err *err);
int db_cursor_next(struct db_cursor *c, struct err *err);
void db_cursor_release(struct db_cursor *c);

/* --- changing; each makes *ret_set (a reference) and its manifest durable, and leaves d->set to the caller, who
 * replaces it under the lock with db_set_swap() --- */

/* A frozen generation. meta has what the manifest shall say. */
int db_apply(struct db *d, const struct gen *g, struct db_meta *meta, struct db_set **ret_set, struct err *err);
/* meta only. */
int db_put_meta(struct db *d, struct db_meta *meta, struct db_set **ret_set, struct err *err);
/* Takes set; the old one goes to *ret_old, to be unreferenced without the lock. */
void db_set_swap(struct db *d, struct db_set *set_take, struct db_set **ret_old);

/* Does somebody still read an older set, so that neither what was consumed of its tables nor those removed since can be
 * given back? Only another swap makes that true once it was false. */
static inline bool db_is_held(const struct db *d)
{
	return atomic_load(&d->sets) > 1;
}
/* Gives back what merges have consumed of the tables in use. Only while no older set is held. */
void db_give_back(struct db *d);

enum db_haste {
	DB_MERGE,
	DB_MERGE_LATE, /* writes press: only what would become too many tables, or has too much garbage */
	DB_MERGE_TIGHT /* the disk is full, room counts more than work */
};
/* Is there something worth merging? */
bool db_wants_merge(const struct db *d, const struct db_meta *meta, enum db_haste how);
/* One step. 1: *ret_set is new, 0: go on, -1: err, and the merge is given up as far as it is not committed. */
int db_merge_step(struct db *d, struct db_meta *meta, enum db_haste how, struct db_set **ret_set, struct err *err);
void db_merge_stop(struct db *d);
