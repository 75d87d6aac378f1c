/* watchcache-internal.h - shared by watchcache.c (contents), watchcache_feed.c (following the store), watch_ring.c
 * (recent changes), watch_queue.c and watchers.c (who watches) and watch_past.c (changes that only the store
 * remembers). */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/objtree.h"
#include "apiserver/watchcache.h"
#include "base/list.h"
#include "base/strmap.h"
#include "base/vec.h"

#define RING_EVENTS_MAX 4096
#define RING_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define RING_AGE_NS (5 * 60 * NS_PER_SEC) /* as long as the store keeps history */

/* One change, shared by the ring and every queue it is in. */
struct wc_change {
	atomic_int refs;
	struct obj *o;	  /* new version; of a deletion the last one at the deletion's revision */
	struct obj *prev; /* NULL: created */
	struct obj
	    *gone; /* prev at the new revision: for watchers whose selector it left; made on demand under the lock */
	int64_t rev, mono_ns;
	bool deleted;
};

struct wc_item {
	struct wc_change *ev; /* NULL: bookmark */
	int64_t rev;
	enum watch_type type;
};

struct wc_watch {
	struct list link;
	struct wc_resource *in;
	struct wc_watch_opts o;
	char *ns, *bucket; /* owned; bucket: key of the index it is in, or NULL */
	/* Set while changes older than the ring are told from the store's log; the reader's own. The watch is in its
	 * resource's `past` list then. */
	struct wc_past *past;
	pthread_mutex_t lock;
	/* All below guarded by lock. */
	struct wc_list initial;
	size_t initial_at;
	struct arena initial_arena;
	bool initial_bookmark_due;
	struct wc_item *queue; /* a ring that grows; NULL while nothing waits */
	size_t head, n, cap;
	bool scheduled, ended;
	struct list
	    to_wake; /* in wc_resource.to_wake while scheduled and not woken yet; guarded by the resource's lock */
	struct err why;
};

struct wc_resource {
	struct watchcache *cache;
	const struct resource *res;
	char *prefix; /* of its store keys */
	size_t prefix_n;
	pthread_rwlock_t lock;
	struct objtree tree;
	struct wc_change **ring; /* circular */
	size_t ring_head, ring_n, ring_cap, ring_bytes;
	int64_t last_rev;      /* of the newest change, or of the fill */
	int64_t ring_floor;    /* every change after this revision is in the ring */
	struct list watchers;  /* those without a bucket */
	struct list past;      /* those that are told older changes first; nothing is dispatched to them */
	struct list to_wake;   /* watchers that got changes since the last wc_wake() */
	struct strmap buckets; /* "n/NAME", "h/NODE" -> struct list * */
	size_t n_watchers;
	struct wc_resource *view_of; /* set: the same objects in another form (strategy->stored_as) */
	struct wc_resource *view;    /* the other way round */
	atomic_bool live;	     /* a view is filled when somebody first looks at it */
	bool changed;		     /* it is in watchcache.changed */
};

struct watchcache {
	struct apiserver *s;
	struct wc_resource **by_id; /* per resource_all; NULL when it is not stored */
	struct strmap by_path;	    /* store_path -> struct wc_resource *, views excluded */
	_Atomic int64_t rev;
	/* Changed since the last progress. Store callbacks come one at a time: they need no lock for it. */
	struct wc_resource **changed; /* room for all */
	size_t n_changed;
	struct store_watch *watch;
	atomic_bool broken; /* the store's watch ended; `why` is set before and never changes */
	struct err why;
};

/* What holds res; NULL when it is not stored. Fills a view. */
struct wc_resource *wc_resource_of(struct watchcache *c, const struct resource *res);

/* --- recent changes (watch_ring.c); the resource's lock is held --- */

struct wc_change *wc_change_ref(struct wc_change *c); /* these two from anywhere */
void wc_change_unref(struct wc_change *c);
void wc_ring_push(struct wc_resource *r, struct wc_change *c);
void wc_ring_release(struct wc_resource *r);

/* --- stored text (stored.c) --- */

/* A stored value as an object; NULL when it cannot be read. */
struct obj *stored_text(struct sv value, int64_t rev);
/* A stored object in the form of res, a view; NULL when it has none. */
struct obj *stored_view(const struct resource *res, const struct obj *o);

/* wc_list() with the resource's lock already held. */
void wc_collect(struct wc_resource *r, struct sv ns, const struct selection *sel, struct sv start, size_t limit,
		struct arena *a, struct wc_list *ret);
/* Gives a change to every watcher that wants it; the resource's lock is held for writing. They hear of it from
 * wc_wake(), at the end of a group of writes: woken at once they would look a hundred times, for one change each. */
void wc_dispatch(struct wc_resource *r, struct wc_change *c);
void wc_wake(struct wc_resource *r);
void wc_end_all(struct wc_resource *r, const struct err *why);

/* Everything up to it is in r's tree; r's lock is held. The cache's revision follows a change only after it was
 * published, so that r may be ahead of it by its own newest change. */
int64_t wc_resource_rev(struct wc_resource *r);

/* --- one watcher (watch_queue.c) --- */

/* Its lock is held for these four. ev NULL: a bookmark. */
void wc_queue_push(struct wc_watch *w, struct wc_change *ev, enum watch_type type, int64_t rev);
void wc_queue_drop(struct wc_watch *w);
void wc_watch_push(struct wc_watch *w, struct wc_change *c); /* if its selectors want it */
void wc_watch_wake(struct wc_watch *w);
void wc_watch_end(struct wc_watch *w, const struct err *why);
/* A change happens: the queue takes it if the selectors want it, wc_wake() wakes. The resource's lock is held for
 * writing. */
void wc_watch_offer(struct wc_watch *w, struct wc_change *c);
/* Among those that changes are dispatched to, with what it asked for of the past. False: the ring does not reach back
 * to it. The resource's lock is held for writing by the first, taken by the second. */
bool wc_watch_enlist(struct wc_watch *w);
bool wc_watch_join(struct wc_watch *w);

/* --- the past (watch_past.c) --- */

/* Asks the store for what comes after w->o.since. ERR_EXPIRED: it has been compacted away. No lock is held. */
int wc_past_open(struct wc_watch *w, struct err *err);
/* The reader found nothing queued. True: look again; false: the store will wake it. No lock is held. */
bool wc_past_step(struct wc_watch *w);
void wc_past_close(struct wc_watch *w); /* nothing where there is none */
