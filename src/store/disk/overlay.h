/* overlay.h - generations of records that are durable in the log, but not yet in the database.
 *
 * A generation belongs to one segment of the log. The active one is appended to by the writer,
 * under the store's lock; frozen, it never changes again. References keep it alive for readers;
 * counts are under the store's lock as well.
 */
#pragma once

#include "base/list.h"
#include "base/vec.h"
#include "store/disk/recmap.h"
#include "store/disk/wal.h"
#include "store/store.h"

/* A write on its way, and what becomes of it: a version. */
struct rec {
	struct list link; /* in the queue or the group */
	unsigned n_also; /* of the first record of a write: how many follow that belong to it, its own being the last */
	store_done_fn *done; /* NULL: of one beside another */
	void *ctx, *cookie;
	int64_t expect_rev;
	bool for_deletion, guard;
	uint32_t data_crc;
	uint64_t key_hash;	/* strmap_hash() */
	size_t prev_bytes;	/* of the live version it replaces, 0: none */
	struct err *why;	/* owned; refused from the start */
	struct wal_record head; /* exactly as on disk, with data right behind it */
	char data[];
};

_Static_assert(offsetof(struct rec, data) == offsetof(struct rec, head) + sizeof(struct wal_record),
	       "head and data are written in one piece");

struct gen {
	struct list link; /* in the frozen ones, oldest first */
	unsigned refs;
	int slot;
	uint64_t seq;
	int64_t base_rev;	/* recs.p[i] has revision base_rev + 1 + i */
	VEC(struct rec *) recs; /* owned */
	struct recmap keys;	/* newest record of each key */
	size_t bytes;
	uint64_t live, live_bytes; /* keys of the whole store and their records, as of the last record */
};

struct rec *rec_new(struct sv key, struct sv value, bool tombstone);
struct rec *rec_free(struct rec *r);
size_t rec_disk_bytes(const struct rec *r);  /* padding included */
struct store_kv rec_kv(const struct rec *r); /* view */
static inline struct sv rec_key(const struct rec *r)
{
	return sv_make(r->data, r->head.key_n);
}
/* Of two pointers to records, for qsort(): by key, of one key the newest first. */
int rec_order(const void *a, const void *b);

struct gen *gen_new(int slot, uint64_t seq, int64_t base_rev, uint64_t live, uint64_t live_bytes);
struct gen *gen_free(struct gen *g);
void gen_add(struct gen *g, struct rec *r_take);
/* The newest record of each key, in the order of keys. */
typedef VEC(struct rec *) gen_recs;
void gen_sorted(const struct gen *g, gen_recs *ret);
struct rec *gen_rev(const struct gen *g, int64_t rev); /* or NULL */
static inline int64_t gen_last_rev(const struct gen *g)
{
	return g->base_rev + (int64_t)g->recs.n;
}
