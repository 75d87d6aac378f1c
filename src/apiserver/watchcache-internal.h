/* watchcache-internal.h - shared by watchcache.c (contents), watchcache_feed.c (following the store),
 * watchcache_kinds.c, watchcache_late.c and watchcache_close.c (which resources there are, and those that come and go),
 * watchcache_stored.c (those that were replaced), watch_ring.c (recent changes), watch_queue.c and watchers.c (who
 * watches), watch_slow.c and watch_sweep.c (who is too slow), watch_initial.c (what there is), watch_past.c (changes
 * that only the store remembers) and watch_past_read.c (who reads those). */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/objtree.h"
#include "apiserver/watchcache.h"
#include "base/bucket.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/strmap.h"
#include "base/vec.h"

#define RING_EVENTS_MAX 4096
#define RING_BYTES_MAX ((size_t)8 * 1024 * 1024)
/* Of definitions, which are large, are written twice when they come and then hardly ever, and have few readers. Whoever
 * comes back to an older revision than that is told by the store (watch_past.c). */
#define RING_BYTES_DEFINITIONS ((size_t)64 * 1024)
#define RING_AGE_NS (5 * 60 * NS_PER_SEC) /* as long as the store keeps history */

/* One change, shared by the ring and every queue it is in. */
struct wc_change {
	atomic_int refs;
	struct obj *o;	  /* new version; of a deletion the last one at the deletion's revision */
	struct obj *prev; /* NULL: created, or it has left the ring: who is offered it later needs no past of it */
	struct obj
	    *gone; /* prev at the new revision: for watchers whose selector it left; made on demand under the lock */
	int64_t rev, mono_ns;
	bool deleted;
	bool in_ring; /* guarded by the resource's lock */
	bool shared;  /* the same: another change of the resource has this revision (wc_is_after()) */
};

/* Is c told to a watch that goes on behind a revision? Of several changes with one revision (store.h) that client may
 * have seen the first alone, and nobody knows: it is told all of them, once more perhaps. */
static inline bool wc_is_after(const struct wc_change *c, int64_t since)
{
	return c->rev > since || (c->rev == since && c->shared);
}

struct wc_item {
	struct wc_change *ev; /* NULL: bookmark */
	int64_t rev;
	uint32_t
	    back;     /* its object's last version is so many revisions older; 0: there is none, or too old to matter */
	uint8_t type; /* enum watch_type */
	bool counted; /* in the queue's bytes */
};

/* A user with watches, or those who share, in watchcache.owners. */
struct wc_owner {
	char *user;
	size_t watches;	     /* guarded by owners_lock */
	atomic_size_t bytes; /* that their queues alone keep alive */
	/* Of those that are told the log (watch_past_read.c), guarded by its lock: bytes that were read for them and
	 * are not taken, who of them waits until there is room, and the link of all users of whom some do. */
	size_t past_bytes;
	struct list past_held, past_link;
};

enum wc_slow { WC_SLOW_NOT, WC_SLOW_EVENTS, WC_SLOW_BYTES, WC_SLOW_USER, WC_SLOW_STALLED };

/* What there is already, told in slices: only the slice at hand is held, however much there is. */
struct wc_initial {
	bool bookmark_due;    /* behind the last slice */
	struct obj *upto;     /* owned: the last one looked at, while filling. Changes behind it are not queued: a later
			       * slice will have them */
	struct wc_list slice; /* in the arena; what is not taken yet are slice.objs[at] and those behind */
	struct arena arena;
	size_t at;
	size_t behind; /* so many queued changes come before the slice */
};

/* Those who want the same changes: of one namespace, by the same selectors. Guarded by the resource's lock. */
struct wc_alike {
	char *key;
	size_t key_n, watches;
	uint64_t asked; /* about the change of that number (wc_resource.dispatched), */
	bool wants;	/* which said */
	uint8_t type;	/* enum watch_type */
};

/* Of one that ended. */
struct wc_end {
	struct err why;
	enum wc_slow slow; /* until that has been logged; with what waited then: */
	size_t events, bytes;
};

/* There may be tens of thousands that wait: what is there for a while only has a block of its own meanwhile. */
struct wc_watch {
	struct list link;
	struct wc_alike *alike; /* NULL: nobody is known to be */
	struct wc_resource *in;
	/* What of wc_watch_opts is asked later. */
	const struct selection *sel;
	struct sv user;
	void (*wake)(void *ctx);
	void *ctx;
	int64_t since;
	struct sv ns; /* owned; "": all, and always of a kind without them */
	char *bucket; /* owned: key of the index it is in, or NULL */
	struct wc_owner *owner;
	int64_t opened_ns; /* monotonic */
	/* Set while changes older than the ring are told from the store's log; the reader's own. The watch is in its
	 * resource's `past` list until it has joined the others; this stays until what was read is written out. */
	struct wc_past *past;
	bool lost; /* that is gone; the reader's thread alone */
	bool bookmarks;
	/* There may be more of what there is behind initial->upto, and `initial` stays meanwhile: it changes with the
	 * resource's lock held, too, so that either lock is enough to ask. */
	bool filling;
	pthread_mutex_t lock;
	/* All below guarded by lock. */
	bool scheduled;
	bool read;		    /* somebody has */
	struct wc_item *queue;	    /* a ring that grows; NULL while nothing waits */
	struct wc_item only;	    /* where it is while it has room for one */
	uint32_t head, n, cap;	    /* WATCH_QUEUE_MAX is far less */
	uint32_t out;		    /* the first of them have left the resource's ring, as of the last look */
	size_t bytes;		    /* that the queue alone keeps alive */
	uint64_t taken, taken_then; /* events; and at the last sweep */
	int64_t stuck_ns; /* this sweep was the first since something waits and nothing is taken; 0: none was */
	struct wc_initial *initial; /* NULL: all of it is told */
	struct wc_end *ended;	    /* NULL: it has not */
	struct list
	    to_wake; /* in wc_resource.to_wake while scheduled and not woken yet; guarded by the resource's lock */
};

struct wc_early { /* a change during the fill */
	char *ns, *name;
	struct obj *o; /* NULL: deleted */
	int64_t rev;
};

extern struct lock_site wc_lock; /* of wc_resource.lock, where much goes by it */

/* What a kind that came at run time has beyond the others (watchcache_late.c); guarded by its resource's lock. */
struct wc_late {
	bool filling, gone;
	bool replaced;		     /* gone, as another kind has its place, and its objects */
	size_t was_count, was_bytes; /* and then what there was in its tree */
	int64_t filled_rev;	     /* changes up to it are in the tree since the fill */
	VEC(struct wc_early) early;
	struct wc_resource *twin; /* takes its place soon, and has the same path; guarded by watchcache.late_lock */
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
	int64_t last_rev;	       /* of the newest change, or of the fill */
	int64_t ring_floor;	       /* every change after this revision is in the ring */
	int64_t filled_newest;	       /* the newest of what it was filled with; */
	bool filled_shared;	       /* several objects have that (wc_is_after()) */
	struct list watchers;	       /* those without a bucket */
	struct list past;	       /* those that are told older changes first; nothing is dispatched to them */
	struct list to_wake;	       /* watchers that got changes since the last wc_wake() */
	struct strmap buckets;	       /* "n/NAME", "h/NODE" -> struct list * */
	struct strmap alike;	       /* namespace and words of selectors -> struct wc_alike * */
	uint64_t dispatched;	       /* changes */
	size_t n_watchers, n_pinned;   /* all; those with a bucket */
	_Atomic uint64_t n_terminated; /* watchers that were too slow */
	_Atomic uint64_t n_changes;    /* that the store told of */
	bool changed;		       /* it is in watchcache.changed */
	struct wc_late *late;	       /* of a kind that came at run time, else NULL; guarded by lock */
};

struct watchcache {
	struct apiserver *s;
	/* Per resource_all; NULL when it is not stored. Versions of a resource have the same one. */
	struct wc_resource **by_id;
	struct strmap by_path; /* store_path -> struct wc_resource * */
	_Atomic int64_t rev;
	pthread_mutex_t owners_lock;
	struct strmap owners;	  /* user -> struct wc_owner * */
	struct bucket slow_lines; /* of the log; guarded by owners_lock */
	pthread_mutex_t late_lock;
	struct strmap late_by_path; /* the same of kinds that came at run time; guarded by late_lock */
	/* Changed since the last progress; each keeps its resource. Store callbacks come one at a time: they need no
	 * lock for it. */
	VEC(struct wc_resource *) changed;
	struct store_watch *watch;
	/* Held by whoever changes trees and tells strategies of it: the store's callbacks, the load, and
	 * wc_read_again(). Before any resource's lock. */
	pthread_mutex_t feeding;
	pthread_mutex_t again_lock;
	pthread_cond_t again_cond;
	/* Guarded by again_lock: the next look at what waits for an answer. */
	struct env_timer *again_timer;
	bool again_armed, again_stopping;
	atomic_bool broken; /* the store's watch ended; `why` is set before and never changes */
	struct err why;
};

struct wc_resource *wc_late_find(const struct resource *res);
/* What holds res; NULL when it is not stored. Its own `res` is the storage version. */
static inline struct wc_resource *wc_resource_find(struct watchcache *c, const struct resource *res)
{
	return resource_late(res) ? wc_late_find(res) : c->by_id[res->id];
}
struct wc_resource *wc_resource_new(struct watchcache *c, const struct resource *res);
void wc_resource_free(struct wc_resource *r); /* NULL is fine */
/* Of all kinds that are served now, in whatever versions. */
void wc_each_resource(struct watchcache *c, void (*fn)(struct wc_resource *r, void *ctx), void *ctx);
/* Reads what is stored of r into its tree (watchcache_feed.c); *ret_rev: as of then. */
int wc_fill(struct wc_resource *r, int64_t rev, int64_t *ret_rev, struct err *err);

/* --- what is hidden (watchcache_again.c) --- */

void wc_again_arm(struct watchcache *c); /* something waits for an answer */
void wc_again_stop(struct watchcache *c);
/* What an object of r is since rev is hidden: watches end, nobody is told by the ring. No lock of r is held. */
void wc_hide(struct wc_resource *r, int64_t rev);

/* --- kinds that came at run time (watchcache_kinds.c) --- */

/* A change that r, being late, does not take into its tree, as it is not filled yet or has it or is gone. r's lock is
 * held for writing. */
bool wc_late_keeps(struct wc_resource *r, struct sv ns, struct sv name, struct obj *o, int64_t rev);
bool wc_late_gone(const struct wc_resource *r);	    /* r's lock is held; false for built-in ones */
bool wc_late_replaced(const struct wc_resource *r); /* r's lock is held; false for built-in ones */
/* The one whose objects have keys of that path; a reference to its kind is the caller's (resource_unref()). */
struct wc_resource *wc_late_at(struct watchcache *c, struct sv path);
/* Who else has the path of r, a late kind's: what it replaces or is replaced by. So many, with references. */
#define WC_TWINS_MAX 2
size_t wc_late_twins(struct watchcache *c, const struct wc_resource *r, struct wc_resource *ret[WC_TWINS_MAX]);
/* What is to replace r, or has; NULL: nothing. With a reference to its kind. */
struct wc_resource *wc_late_next(const struct wc_resource *r);
/* r is being replaced, and by what can read kv: that r cannot is no damage. */
bool wc_late_follows(const struct wc_resource *r, const struct store_kv *kv);
/* One change into the tree and to the watchers; r's lock is held for writing. o_take NULL: deleted. */
void wc_publish(struct wc_resource *r, struct sv ns, struct sv name, struct obj *o_take, int64_t rev,
		struct wc_change **ret);

/* --- their end (watchcache_close.c) --- */

/* r follows the store no more; replaced: another one does. Its lock is held for writing. */
void wc_late_close(struct wc_resource *r, bool replaced);
/* r cannot follow the store any more, as its successor writes what it cannot read: its watches end, and who has it
 * reads what the store has. No lock is held. */
void wc_late_overtaken(struct wc_resource *r);

/* --- what the store has, and a kind that was replaced, as who began before still has it (watchcache_stored.c) --- */

void wc_key_split(const struct wc_resource *r, struct sv key, struct sv *ns, struct sv *name);
/* A stored value as an object of r's, of the name that its key says: the tree finds it by that. NULL: it is none. */
struct obj *wc_parse(const struct wc_resource *r, const struct store_kv *kv);
/* What the store has of r now, in ns ("": all) or of that name (not ""). No lock is held. */
struct wc_stored {
	const struct wc_resource *of;
	struct objtree tree;
	int64_t rev;
	bool unseen; /* there are some that only r's successor can read */
};
/* -1 with ERR_EXPIRED: what there is cannot be told by r any more. */
int wc_stored_read(struct wc_stored *t, struct wc_resource *r, struct sv ns, struct sv name, struct err *err);
void wc_stored_release(struct wc_stored *t);

/* --- recent changes (watch_ring.c); the resource's lock is held --- */

struct wc_change *wc_change_ref(struct wc_change *c); /* these two from anywhere */
void wc_change_unref(struct wc_change *c);
void wc_ring_push(struct wc_resource *r, struct wc_change *c);
void wc_ring_share(struct wc_resource *r, struct wc_change *c); /* before that: is c's revision that of another? */
void wc_ring_release(struct wc_resource *r);

/* Gives a change to every watcher that wants it; the resource's lock is held for writing. They hear of it from
 * wc_wake(), at the end of a group of writes: woken at once they would look a hundred times, for one change each. */
void wc_dispatch(struct wc_resource *r, struct wc_change *c);
void wc_wake(struct wc_resource *r);
void wc_end_all(struct wc_resource *r, const struct err *why);

/* Everything up to it is in r's tree; r's lock is held. The cache's revision follows a change only after it was
 * published, so that r may be ahead of it by its own newest change. */
int64_t wc_resource_rev(struct wc_resource *r);

/* Calls fn for each watcher, in the past or not; r's lock is held. */
void wc_each_watch(struct wc_resource *r, void (*fn)(struct wc_watch *w, void *ctx), void *ctx);

/* --- one watcher (watch_queue.c) --- */

/* Its lock is held for these. ev NULL: a bookmark. */
void wc_queue_push(struct wc_watch *w, struct wc_change *ev, enum watch_type type, int64_t rev);
struct wc_item wc_queue_pop(struct wc_watch *w); /* there is one; the reference is the caller's */
void wc_queue_drop(struct wc_watch *w);
/* Counts what has left the resource's ring since. The resource's lock is held, too. */
void wc_queue_settle(struct wc_watch *w);
/* What c is to this watcher, by its namespace and selectors; false: nothing. The resource's lock is held for writing,
 * unless c is the caller's own. */
bool wc_watch_wants(struct wc_watch *w, struct wc_change *c, enum watch_type *ret);
void wc_watch_push(struct wc_watch *w, struct wc_change *c); /* if it wants it */
void wc_watch_wake(struct wc_watch *w);
void wc_watch_end(struct wc_watch *w, const struct err *why);
/* Among those that changes are dispatched to, with what it asked for of the past. False: the ring does not reach back
 * to it. The resource's lock is held for writing by the first, taken by the second. */
bool wc_watch_enlist(struct wc_watch *w);
bool wc_watch_join(struct wc_watch *w);

/* --- too slow (watch_slow.c) --- */

struct wc_owner *wc_owner_get(struct watchcache *c, struct sv user);
void wc_owner_put(struct watchcache *c, struct wc_owner *o);
void wc_slow_check(struct wc_watch *w); /* ends it when it is over a bound; its and the resource's lock are held */
void wc_slow_end(struct wc_watch *w, enum wc_slow why);	   /* its lock is held */
void wc_slow_report(struct wc_watch *w, enum wc_slow why); /* no lock is held */
void wc_watch_end_locked(struct wc_watch *w, enum err_reason reason, const char *msg, bool wake);

/* --- what there is already (watch_initial.c) --- */

/* It is to begin with that; nobody else has the watch yet. */
void wc_initial_begin(struct wc_watch *w, bool bookmark);

/* The next slice. The resource's lock is held, for reading at least; the reader is the only one who asks. False: many
 * objects were looked at for nothing, and there are more. */
bool wc_initial_slice(struct wc_watch *w);
/* The reader found nothing queued, and slices are to come. True: look again; false: many objects were looked at for
 * nothing, and the reader is woken once others had their turn. No lock is held. */
bool wc_initial_step(struct wc_watch *w);
bool wc_initial_waiting(const struct wc_watch *w); /* part of it is not taken yet; the watch's lock is held */
/* A later slice will tell of o. The resource's lock is held for writing. */
bool wc_initial_beyond(const struct wc_watch *w, const struct obj *o);
/* The next of the slice at hand, or the bookmark behind the last; false: neither is due now. The watch's lock is held.
 */
bool wc_initial_next(struct wc_watch *w, struct wc_event *ret);
void wc_initial_release(struct wc_watch *w); /* both locks are held, or nobody has the watch any more */

/* --- the past (watch_past.c) --- */

/* Asks the store for what comes after w->since. ERR_EXPIRED: it has been compacted away. No lock is held. */
int wc_past_open(struct wc_watch *w, struct err *err);
/* The reader found nothing queued. True: look again; false: the store will wake it. No lock is held. */
bool wc_past_step(struct wc_watch *w);
void wc_past_close(struct wc_watch *w); /* nothing where there is none */

/* Who reads the log (watch_past_read.c). */
void wc_pasts_stop(struct wc_pasts *of);  /* the store is asked no more */
void wc_past_count(struct watchcache *c); /* another watch begins in the past */
void wc_past_metrics(struct watchcache *c, struct buf *b);
