/* store.h - the revisioned key-value store under the API server.
 *
 * A store is a set of keys, each with a history of versions. Every committed write gets the
 * next revision, a single counter for the whole store; revisions never repeat and never go
 * backwards, also across restarts. Reads see one revision, never a mixture. A fresh store is at
 * revision 1 and the first write gets 2, as in etcd, so that no revision a client sees is ever 0.
 *
 * Three implementations live below this header: mem/ (tests, simulation), disk/ (default),
 * etcd/ (a cluster of others, over the network). All pass tests/conformance/store.c; new behaviour is added there
 * first.
 *
 * Writes are asynchronous, so that a loop thread can have hundreds in flight and a backend
 * can put everything that arrived during one disk sync into the next (group commit). The
 * answer comes only when the write is durable. Writes of one key are made in the order they were queued; those of
 * different keys that are in flight at once in any (mem, disk: in that one, too).
 *
 * A revision is of one change, or of several that are one write (`also`): a backend may give each its own or all
 * the same, and its callers count on neither. What all have: later writes have greater revisions; the changes of one
 * are told in their order, without a progress() between them; a range and a watch know all of a revision or nothing
 * of it.
 *
 * Threads: a struct store may be used from any thread. Watch callbacks and commit
 * completions run on the store's own thread (mem: inside the call that committed), one at a
 * time, in revision order; for one commit, the callbacks of every watch that has caught up run
 * before its completion.
 * They must be short, must not block, and must not call back into the store, except
 * store_commit() which only queues (mem: runs after the current one).
 *
 * Memory: bytes handed to a callback are borrowed and die when the callback returns.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "base/env.h"
#include "base/err.h"

struct store;	    /* opaque */
struct store_watch; /* opaque */

#define STORE_KEY_MAX ((size_t)500) /* bytes of a key */
/* As a range: all keys there can be, which are text. */
#define STORE_ALL_FROM SV("\0")
#define STORE_ALL_TO SV("\xff\xff\xff\xff")
#define STORE_SLOW_NS (2 * NS_PER_SEC)		   /* after which upstream gives up asking whether etcd is well */
#define STORE_VALUE_MAX ((size_t)4 * 1024 * 1024)  /* bytes of a value */
#define STORE_TTL_MAX (INT64_C(100) * 365 * 86400) /* seconds that a key may be given */
#define STORE_ALSO_MAX ((size_t)4096)		   /* writes beside one; */
#define STORE_ALSO_BYTES ((size_t)1 * 1024 * 1024) /* of their keys and values */

/* One version of one key. All views are borrowed. */
struct store_kv {
	struct sv key, value;
	int64_t create_rev, mod_rev;
	bool deleted;	       /* a tombstone: value is empty, create_rev 0, mod_rev the deletion's revision */
	const struct err *why; /* value is SV_NULL, as nothing could be made of what is stored (transform.h); or NULL */
};

/* Return non-zero to stop. */
typedef int store_each_fn(const struct store_kv *kv, void *ctx);

/* One conditional write, or several that are one. */
struct store_write {
	struct sv key, value; /* copied by store_commit() */
	/* Revision the key must be at: its mod_rev; 0: it must not exist; STORE_ANY_REV: whatever. */
	int64_t expect_rev;
	/* Delete; value is ignored. Deleting what is not there is a STORE_MISMATCH without
	 * `current`, whatever was expected: it spends no revision. */
	bool tombstone;
	/* A step towards a deletion (it takes a finalizer away, or says how a Pod ends): where room is kept for
	 * deletions, this is taken as well, unless there is nothing yet, it makes the value much longer, or all such
	 * steps have made much of what is stored. */
	bool for_deletion;
	/* Of a write beside another: nothing is written, the key must be at expect_rev (not STORE_ANY_REV) when the
	 * others are. It has no revision, and no watch hears of it. */
	bool guard;
	/* Opaque to the store; handed to watch callbacks of this very process as change.cookie,
	 * so that the writer's parsed object need not be parsed again. The writer may drop it in
	 * the completion: a watch that lags behind gets the change later, without the cookie. */
	void *cookie;
	int64_t lease; /* the key goes with it (lease.h); 0: with none */
	/* The key goes so many seconds after this write, or somewhat later: a twentieth of that, a minute at most, and
	 * what the backend needs to see it. That is a deletion as any other, which nobody asked for; several keys may
	 * go at one revision. The next write decides anew. 0: it stays. Only where store_has_ttl(); elsewhere nothing
	 * comes of it. Not with a lease, not of a write beside another; of a tombstone it says nothing. */
	int64_t ttl_s;
	/* Further writes: all are made or none, also when the process ends meanwhile, and who reads what is there now
	 * sees all or none. Their revisions do not fall, in their order, this one's being the last; mem and disk give
	 * each its own, etcd all the same. One that deletes
	 * whatever is there (STORE_ANY_REV) and finds nothing is passed over. Keys differ; no leases, no writes beside
	 * those; a key that has a lease is refused. Copied. */
	const struct store_write *also;
	size_t n_also;
};
#define STORE_ANY_REV INT64_C(-1)

enum store_outcome {
	STORE_OK,
	STORE_MISMATCH, /* expect_rev did not hold; current (may be NULL: no such key) is what is there */
	/* Not written; err says why: ERR_BAD_REQUEST (bad key), ERR_TOO_LARGE, ERR_UNAVAILABLE
	 * (shutting down, disk full, disk failing). Of a store across a network ERR_UNAVAILABLE and ERR_TIMEOUT may
	 * mean that nobody knows: it is there as a whole, or not. */
	STORE_FAILED,
};

struct store_result {
	enum store_outcome outcome;
	int64_t rev;  /* STORE_OK: the write's revision */
	size_t which; /* STORE_MISMATCH: 0: its own expectation, the first that is looked at; else that of also[which -
			 1] */
	const struct store_kv *current;
	const struct err *err;
};
typedef void store_done_fn(const struct store_result *r, void *ctx);

struct store_change {
	struct store_kv kv;	     /* new version, or tombstone */
	const struct store_kv *prev; /* the live version it replaced; NULL if none, see wants_prev */
	void *cookie;		     /* of the write, or NULL when it came from elsewhere */
	bool more; /* the next change is of the same revision, though perhaps of a key that is not watched */
};

struct store_watch_cb {
	void (*change)(const struct store_change *c, void *ctx);
	/* Everything up to rev has been reported (called after a batch of changes); may be NULL. */
	void (*progress)(int64_t rev, void *ctx);
	/* Called at most once, last: compacted (ERR_EXPIRED) or the store closed (ERR_UNAVAILABLE).
	 * The watch still has to be given to unwatch, except when the store closed. May be NULL. */
	void (*end)(const struct err *why, void *ctx);
	/* change() looks at prev. A watch that does not is told none where it would have to be read from a disk. */
	bool wants_prev;
};

/* One change of the past. Return non-zero to stop; not before a revision is whole (`more`). */
typedef int store_change_fn(const struct store_change *c, void *ctx);

struct store_stats {
	int64_t rev, compact_rev;
	uint64_t keys, bytes; /* live keys; bytes on disk (mem: of values) */
};

/* Live watches have been told everything up to rev; err: it could not be said what there is. */
typedef void store_sync_fn(int64_t rev, const struct err *err, void *ctx);

struct store_ops {
	const char *name;

	/* Calls fn for each live key in [from, to) at revision rev (0: now), in key order, until
	 * fn returns non-zero or limit keys were reported (0: no limit). Empty to: only the key
	 * `from`. Sets *ret_rev to the revision read. ERR_EXPIRED if rev was compacted away,
	 * ERR_BAD_REQUEST if it lies in the future. */
	int (*range)(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
		     void *ctx, int64_t *ret_rev, struct err *err);

	/* Queues a write; done(r, ctx) is called exactly once. */
	void (*commit)(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx);
	/* Between gather(true) and gather(false) queued writes may be held back, so that many of one
	 * caller share a sync. Only the caller that gathers may wait for an answer, and only after
	 * gather(false). May be NULL: a backend that has nothing to gain. */
	void (*gather)(struct store *s, bool on);

	/* Reports every change to keys in [from, to) after revision since, in revision order,
	 * each exactly once, until unwatch. ERR_EXPIRED when since lies before the compaction.
	 * Changes already there are reported from within this call or from the store's thread. */
	int (*watch)(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		     void *ctx, struct store_watch **ret_watch, struct err *err);
	/* No callback runs after this returns. Must not be called from a callback. */
	void (*unwatch)(struct store *s, struct store_watch *w);

	/* Tells what a watch since then would be told next, on the calling thread: of at most `most` revisions,
	 * whatever keys they are of, or until fn returns non-zero. *ret_rev: up to it all was told, of one revision
	 * more at least; the newest there is when nothing is left. So what looks at much of the past is nothing to the
	 * store's thread. ERR_EXPIRED as watch has it, ERR_STORE_READ: a change cannot be read. It reads a disk or
	 * waits for a network (ERR_UNAVAILABLE, ERR_TIMEOUT: nobody answers for now), which is nothing for a loop. */
	int (*changes)(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
		       void *ctx, int64_t *ret_rev, struct err *err);

	/* Forgets versions older than rev, keeping what a range at rev or later reports. Ranges and
	 * watches before rev fail or end with ERR_EXPIRED. Idempotent; a rev in the future is
	 * ERR_BAD_REQUEST. May take long: not for a loop thread, nor for a store callback. */
	int (*compact)(struct store *s, int64_t rev, struct err *err);

	/* True while writes succeed; false with the cause after a failed sync or a full disk, until one works again:
	 * errnum ENOSPC when nothing but room is missing; and while the disk keeps a write waiting for more than
	 * STORE_SLOW_NS: ETIMEDOUT. Reads go on. For /readyz. */
	bool (*healthy)(struct store *s, struct err *why);
	/* Does not wait: `keys` and `bytes` may be those of some seconds before. */
	void (*stats)(struct store *s, struct store_stats *ret);

	/* done runs, as a completion does, when live watches have been told everything that anybody had been answered
	 * before this was called, whoever wrote it. Several may be asked for together. NULL: nobody else writes, so
	 * that is always so. */
	void (*sync)(struct store *s, store_sync_fn *done, void *ctx);

	/* Leases (lease.h); NULL: this store has none. ret_id is id, or one that is free when that is 0. An id that is
	 * there already is ERR_ALREADY_EXISTS, one that is not ERR_NOT_FOUND. */
	int (*lease_grant)(struct store *s, int64_t id, int64_t ttl_s, int64_t *ret_id, struct err *err);
	int (*lease_keepalive)(struct store *s, int64_t id, int64_t *ret_ttl_s, struct err *err);
	int (*lease_revoke)(struct store *s, int64_t id, struct err *err);

	/* Keys go by themselves (store_write.ttl_s). */
	bool ttl;

	/* The process is to end: from now on no question and no write waits for longer than some two seconds in all,
	 * whoever does not answer. NULL: nobody is waited for. */
	void (*hurry)(struct store *s);

	/* Finishes queued writes and releases everything; a watch still open ends with
	 * ERR_UNAVAILABLE and is released too. No other call on s may be running. */
	void (*close)(struct store *s);
};

/* Embedded first in an implementation's own struct. */
struct store {
	const struct store_ops *ops;
	struct env *env;
};

/* What a range brought, or why it failed: r, rev and err as store_range() has them. */
typedef void store_range_done_fn(int r, int64_t rev, const struct err *err, void *ctx);

/* Backends. */
struct store *store_mem_new(struct env *env);
/* Opens or creates dir/; holds dir/lock against a second process, whose pid it names
 * (ERR_ALREADY_EXISTS). max_bytes is the largest size the database may reach. */
#define STORE_DISK_MAX ((size_t)64 << 30) /* of a server's: address space, not memory */
struct store *store_disk_open(struct env *env, const char *dir, size_t max_bytes, struct err *err);
/* From now on nothing in this process waits for the disk: what a machine loses that dies, it loses as well, and what is
 * stored may be damaged then. For tests, before any store is opened. */
void store_disk_no_sync(void);

/* Thin wrappers. */
int store_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn, void *ctx,
		int64_t *ret_rev, struct err *err);
/* One key as it is now, its value in a. */
struct store_found {
	struct sv value; /* .p NULL, with a rev: not to be had for now (transform.h) */
	int64_t rev;	 /* of its last write; 0: there is none */
	int64_t at;	 /* of the store, when it was read */
};
int store_read(struct store *s, struct arena *a, struct sv key, struct store_found *ret, struct err *err);
/* The same as a range, and the caller goes on: a range reads a disk or waits for a network, which is nothing for a
 * loop. fn for each key and then done, once, run in a task of class c. from and to are copied. Before it is done the
 * store may not close. */
void store_range_async(struct store *s, enum env_class c, struct sv from, struct sv to, int64_t rev, size_t limit,
		       store_each_fn *fn, store_range_done_fn *done, void *ctx);
void store_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx);
void store_gather(struct store *s, bool on);
/* Waits for the answer: never call it from a loop thread or a store callback. 1: applied,
 * 0: expectation did not hold, -1: failed. */
int store_commit_wait(struct store *s, const struct store_write *w, int64_t *ret_rev, struct err *err);
int store_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		void *ctx, struct store_watch **ret_watch, struct err *err);
void store_unwatch(struct store *s, struct store_watch *w);
int store_changes(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
		  void *ctx, int64_t *ret_rev, struct err *err);
int store_compact(struct store *s, int64_t rev, struct err *err);
int store_lease_grant(struct store *s, int64_t id, int64_t ttl_s, int64_t *ret_id, struct err *err);
int store_lease_keepalive(struct store *s, int64_t id, int64_t *ret_ttl_s, struct err *err); /* its full time again */
int store_lease_revoke(struct store *s, int64_t id, struct err *err);			     /* and its keys are gone */
/* Do keys go by themselves when the time is up that they were written with? */
bool store_has_ttl(const struct store *s);
bool store_shared(struct store *s);				  /* others may write: it has a sync */
void store_sync(struct store *s, store_sync_fn *done, void *ctx); /* of one that is shared */
void store_hurry(struct store *s);
bool store_healthy(struct store *s, struct err *why);
void store_stats(struct store *s, struct store_stats *ret);
struct store *store_close(struct store *s); /* NULL is fine; returns NULL */
