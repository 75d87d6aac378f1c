/* etcd-internal.h - shared by files of src/store/etcd/ only.
 *
 *	any thread ──commit──▶ loop: txn ─────────────▶ etcd
 *	                         │ answer                │
 *	                         ▼                       │ one watch of all keys (live), one for each watch that
 *	          delivery: answered ◀── batches ◀── loop ◀ lags (catchup)
 *	              │
 *	              └─▶ change() of live watches, progress(), then completions of that revision
 *
 * What was before is told on the thread of who asks (past.c).
 *
 * An answer and its change come in any order. A change that looks like that of a write under way is held back until
 * that is answered, so that completions are in the order of revisions and changes have their cookies; not for a write
 * in doubt, whose connection has ended. What looks like it need not be it: others write the same to the same, and
 * whose it was only the answer says.
 *
 * Position: es->rev. Everything up to it was told to live watches, and a completion waits until its revision is. As
 * the live watch is of all keys, each revision of etcd's comes by; nothing is asked to know that there is nothing.
 *
 * Locks: es->mu before watchers.mu. Callbacks run with neither.
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "store/etcd/etcd.h"
#include "store/etcd/link.h"
#include "store/etcd/wire.h"
#include "store/watchers.h"

#include <pthread.h>
#include <stdatomic.h>

/* Limits of time; es_in() makes instants of them. */
#define ES_WRITE_NS (30 * NS_PER_SEC) /* until a write that nobody answers fails */
#define ES_READ_NS (10 * NS_PER_SEC)
#define ES_CLOSE_NS (5 * NS_PER_SEC)
#define ES_BATCH_BYTES ((size_t)8 << 20) /* of changes not told yet: the peer waits */
#define ES_PAST_BYTES ((size_t)1 << 20)	 /* the same of one watch that lags */
#define ES_PORTION 64			 /* old changes between two looks at what is new */

struct es;

/* --- leases of what ends by itself (ttl.c); all of the loop --- */

/* Who wants one: embedded in what is written, the list's until done(). */
struct ttl_wait {
	struct list link; /* es->ttl.waiting */
	int64_t ttl_s;
	int64_t until_ns; /* of the loop's clock: no longer */
	/* lease 0: there is none, for the reason that e says; else e is NULL. */
	void (*done)(struct ttl_wait *w, int64_t lease, const struct grpc_end *e);
};
struct ttl {
	int64_t id;	  /* the last lease; 0: none, or not yet */
	int64_t ttl_s;	  /* of whom it was granted for */
	int64_t until_ns; /* it lives that long at least, of the loop's clock */
	size_t uses;	  /* by so many, whatever became of them */
	bool asked;	  /* one is being granted, for those who wait */
	struct list waiting;
	struct link_req req;
};
void ttl_lease(struct es *es, struct ttl_wait *w); /* done() once, at once perhaps */
void ttl_forget(struct es *es, int64_t id);	   /* etcd does not know it */
void ttl_hurry(struct es *es, int64_t until_ns);   /* the store is closing */

/* --- writes (commit.c) --- */

struct ecommit_key {
	struct list link; /* among those of its key, in the order they came */
	struct ecommit *of;
	struct sv key, value; /* behind the commit */
	int64_t expect_rev;
	bool tombstone, guard;
	void *cookie;
};

struct ecommit {
	struct list link; /* es->incoming, then es->answered, then es->waiting */
	struct link_req req;
	struct es *es;
	store_done_fn *done;
	void *ctx;
	atomic_uint refs;    /* its own, and of changes that may be its */
	atomic_bool settled; /* it was answered, or is in doubt: no change waits for it */
	/* What done() is told. */
	enum store_outcome outcome;
	int64_t rev;
	size_t which;
	bool has_current;
	struct etcd_kv current; /* in text */
	struct buf text;
	struct err err;
	size_t cookie_at;    /* of the delivery: whose cookie was given last */
	struct ttl_wait ttl; /* ttl_s 0: it stays */
	int64_t lease;	     /* by which it goes; 0: not known yet */
	bool leased_anew;    /* the lease that it was given first was not there any more */
	size_t behind;	     /* of its keys those for which another one is first */
	size_t n;
	struct ecommit_key keys[]; /* its own is the first, then those beside it */
};

void es_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx);
/* Loop: the commit under way that ev looks like, with a reference, or NULL. */
struct ecommit *ecommit_of(struct es *es, const struct etcd_event *ev);
/* Delivery, of one that was applied at ev's revision: the cookie of its write that ev is of; NULL: none. */
void *ecommit_cookie(struct ecommit *c, const struct etcd_event *ev);
void ecommit_run(struct ecommit *c); /* delivery: done(); takes the reference */
void ecommit_unref(struct ecommit *c);
void es_hurry_commits(struct es *es); /* loop: the store is closing */

/* --- changes as they come (feed.c) --- */

/* Whole revisions. */
struct batch {
	struct list link;
	VEC(struct etcd_event) ev;
	VEC(char *) texts;	  /* what ev has views into */
	VEC(struct ecommit *) of; /* of the live feed: as many as ev; who may have made it, or NULL */
	size_t bytes, at;
	int64_t lost; /* instead: changes up to this revision are gone */
	int64_t jump; /* instead: the position is this one from now on */
};
struct batch *batch_free(struct batch *b);

/* A watch of all keys, on whatever connection there is; goes on where it was on the next one. Loop. */
struct feed {
	struct list link; /* es->feeds */
	struct es *es;
	struct grpc_call *call;
	int64_t next;		/* the revision it goes on with */
	struct batch *building; /* of fragments */
	int lacking;		/* how often what came next was told without what was there before */
	bool held, started;
	void (*got)(struct feed *f, struct batch *b_take);
	void (*lost)(struct feed *f, int64_t compact_rev); /* it has stopped */
};
void feed_start(struct es *es, struct feed *f, int64_t next);
void feed_hold(struct feed *f, bool held);
void feed_stop(struct feed *f);
void feeds_up(struct es *es);

/* --- watches that lag (catchup.c) --- */

struct catchup {
	struct list link; /* es->catchups */
	struct es *es;
	struct store_watch *w; /* NULL: it is not wanted any more */
	bool busy, running;    /* running: its feed was started */
	struct feed feed;
	struct list batches;
	size_t bytes;
	int64_t lost;
};
int es_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb, void *ctx,
	     struct store_watch **ret_watch, struct err *err);
void es_unwatch(struct store *s, struct store_watch *w);
/* Delivery: one portion of one watch. Lock held, given up in between. False: there is nothing to do. */
bool catchup_step(struct es *es);
void catchups_drop(struct es *es); /* delivery, last */

/* --- the past, told to who asks (past.c) --- */

int es_changes(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
	       void *ctx, int64_t *ret_rev, struct err *err);
void past_stop(struct es *es);	     /* loop: the store is closing */
void past_drop_pages(struct es *es); /* last */

/* --- the whole --- */

struct es {
	struct store store;
	struct ev_loop *loop;
	struct link *link;
	struct link_endpoint endpoints[LINK_ENDPOINTS_MAX];
	size_t n_endpoints;
	struct tls_ctx *tls;
	int patience;
	struct watchers watchers;
	_Atomic int64_t rev; /* the position; set by the delivery */

	pthread_mutex_t mu;
	pthread_cond_t changed;
	/* Under mu. */
	struct list incoming; /* commits for the loop */
	size_t n_commits;     /* not done */
	struct list answered; /* commits for the delivery */
	struct list batches;  /* of the live feed */
	size_t batch_bytes;
	struct list catchups;
	struct list pages; /* of the past, used last first */
	bool loading;	   /* one more */
	int64_t compact_rev;
	struct list syncs;	   /* that know their revision, for the delivery */
	uint64_t keys;		   /* as of the last look */
	bool keys_asked;	   /* one is under way */
	int64_t keys_asked_ns;	   /* of the environment's clock; 0: never */
	bool expire;		   /* compact_rev has moved */
	bool blind, stop_delivery; /* blind: writes are answered whether their changes come or not */
	int running;		   /* threads */
	/* Of the loop. */
	struct list feeds;
	struct feed live;
	struct strmap by_key;		 /* struct keyq: commits under way and behind them */
	struct list sync_now, sync_next; /* that are being asked for, and who came after that began */
	struct link_req sync;
	struct link_req jump;
	struct ttl ttl;
	struct ev_timer *closing, *pages_timer, *jump_again;
	bool gone; /* the store is closing */
	/* Of the delivery. */
	struct list waiting; /* applied, but not told yet: by revision */
	struct compactor *compactor;
};

#define ES(s) CONTAINER_OF(s, struct es, store)

/* When a limit of ns that begins now is reached. Loop. */
static inline int64_t es_in(struct es *es, int64_t ns)
{
	return ev_loop_now_ns(es->loop) + es->patience * ns;
}

void es_live_start(struct es *es, int64_t next); /* live.c */
void es_delivery(void *ctx);			 /* live.c: the store's thread */
/* Lock held. */
static inline void es_wake(struct es *es)
{
	pthread_cond_broadcast(&es->changed);
}

/* Asks and waits (ask.c). The request is taken. */
int es_ask(struct es *es, const char *method, struct buf *request, int64_t timeout_ns, struct buf *ret_answer,
	   struct err *err);

int es_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn, void *ctx,
	     int64_t *ret_rev, struct err *err);
int es_lease_grant(struct store *s, int64_t id, int64_t ttl_s, int64_t *ret_id, struct err *err);
int es_lease_keepalive(struct store *s, int64_t id, int64_t *ret_ttl_s, struct err *err);
int es_lease_revoke(struct store *s, int64_t id, struct err *err);
void es_sync(struct store *s, store_sync_fn *done, void *ctx);
/* Asked for by es_sync(). */
struct syncer {
	struct list link;
	struct es *es;
	store_sync_fn *done;
	void *ctx;
	int64_t rev;
	struct err err;
};

/* Forgets history in turn with the other servers (compactor.c). */
struct compactor *compactor_start(struct es *es, int64_t interval_ns);
struct compactor *compactor_stop(struct compactor *c); /* waits */
int es_compact(struct store *s, int64_t rev, struct err *err);
