/* watchcache.h - everything that is stored, in memory, and who is watching it.
 *
 * Filled from the store by ranges at one revision, then kept current by one store watch over
 * all keys. Gets and lists are answered from it; they are always consistent, because a
 * commit's change reaches the cache before its completion runs.
 *
 *	store thread ──change──▶ tree of the resource ─▶ ring of recent events ─▶ queue of each watcher
 *
 * Per resource there is an ordered set of objects (by namespace and name, in the byte order of
 * store keys), a ring of recent events for watches that start in the past, and the watchers. An
 * event is one reference-counted struct shared by the ring and all queues; its objects are the
 * published ones, so their JSON exists once.
 *
 * Watchers are filtered when an event is published. Those whose field selector pins
 * metadata.name or spec.nodeName are indexed by that value: a thousand kubelets watching
 * their own pods cost nothing for the pods of others.
 *
 * A watch that begins with what there is is told that in slices (watch_initial.c). One from a revision that the ring
 * no longer reaches is told by the store's log first (watch_past.c), as far back as that goes.
 *
 * Slow watchers (watch_slow.c, watch_sweep.c). A watcher's queue is bounded in events, and in the bytes that it alone
 * keeps alive. An event costs nothing while it is in the ring, or while its object is the current one: both are there
 * anyway. It counts from the moment when it has left the ring and so has the change that replaced its object (a
 * deletion: as soon as it has left the ring itself). Both events are in the same queue, in the order of their
 * revisions, so the sum is kept without looking at what others hold: the events that have left the ring are a beginning
 * of the queue, and an event passing that mark finds the one it replaces by its revision. What several watchers hold
 * counts for each; the sum over all watchers of one user is bounded, too. Over a bound, or when nothing is taken from a
 * queue for a minute or two, the watch ends with ERR_EXPIRED as upstream's does: the stream is closed without a word,
 * and the client starts over from the last revision it saw. That is logged and counted
 * (apiserver_terminated_watchers_total).
 *
 * A stored value that cannot be read is set aside (set_aside.h): it is in no tree, and where it was readable before,
 * watchers hear that it was deleted. One that cannot be opened is hidden instead: the tree keeps what was known, nobody
 * is given it or told anything, watches end.
 *
 * A resource of several versions (versions.h) has one of all this, by whichever of them it is asked for, and hands out
 * objects of the storage version: whoever asked makes views of them. Where conversions wait they are of the versions of
 * their texts.
 *
 * Threads: all functions from any thread. One rwlock per resource; wake callbacks run under
 * it, so they only schedule.
 */
#pragma once

#include "apiserver/objpick.h"
#include "apiserver/registry/selection.h"
#include "client/client.h"
#include "object/obj.h"
#include "object/schema.h"

struct apiserver;
struct watchcache;
struct store_change;

#define WATCH_QUEUE_MAX 4096			    /* events waiting for one watcher */
#define WATCH_QUEUE_BYTES ((size_t)8 * 1024 * 1024) /* that its queue alone keeps alive */
#define WATCH_USER_BYTES ((size_t)64 * 1024 * 1024) /* the same of all watchers of a user; */
#define WATCH_SPARED_BYTES ((size_t)64 * 1024)	    /* who holds less does not end for the others' sake */
#define WATCH_STALL_NS (60 * NS_PER_SEC)	    /* of nothing taken, seen by a look a minute */

struct watchcache *watchcache_new(struct apiserver *s);
int watchcache_start(struct watchcache *c, struct err *err);
/* A kind that came at run time, before it is served: reads what is stored of it, and follows. r: of several versions
 * the storage version. replaces: one that goes and has the same keys, or NULL. own(ctx), or NULL: called once the keys
 * are r's, before they are read; it may wait for the store. */
int wc_late_add(struct watchcache *c, const struct resource *r, const struct resource *replaces, void (*own)(void *ctx),
		void *ctx, struct err *err);
/* After it is served no more: its watches end with ERR_EXPIRED, its objects go. */
void wc_late_drop(struct watchcache *c, const struct resource *r);
struct wc_resource;
void wc_late_free(struct wc_resource *wc);  /* the last holder of the kind went; NULL is fine */
void watchcache_stop(struct watchcache *c); /* ends every watch, detaches from the store */
struct watchcache *watchcache_free(struct watchcache *c);
/* Who reads the store's log for watches from the past (watch_past_read.c): one for a server, outlives its cache. */
struct wc_pasts *wc_pasts_new(struct apiserver *s);
void wc_pasts_free(struct wc_pasts *of);

bool resource_stored(const struct resource *r);
/* The version that the store keeps of r: itself, but where it has several. */
const struct resource *resource_storage(const struct resource *r);
/* Is r what is stored of a built-in resource that the server has: one that is served in some version, or would be if
 * nobody had turned that off, as parts of the server count on these? */
bool resource_kept(const struct resource *r);
/* Of the served versions of a resource the one that stands for it where each is looked at once. */
bool resource_first(const struct resource *r);
/* A stored value as an object of r, in the storage version; NULL when it cannot be read: it is no JSON, has no name, is
 * of a version that r has not, or cannot be converted. */
struct obj *stored_parse(const struct resource *r, struct sv value, int64_t rev);
/* The same of a value that `next` wrote, which has taken r's place with a version that r does not know: where all they
 * differ in are names it is the object in r's storage version. NULL: it is none, or has to be converted. */
struct obj *stored_parse_of(const struct resource *r, const struct resource *next, struct sv value, int64_t rev);

/* A write on its way: the cookie of its store_write. The change callback publishes what it makes at the
 * new revision and leaves a reference in `result`; NULL when the cache lags behind the store. */
struct pending_write {
	const struct watchcache
	    *of; /* whose it is: another server in this process, on the same store, reads the text */
	const struct resource *res;
	struct obj *built;  /* at a likely revision (obj_set_rev()); NULL: a deletion. The writer's */
	struct obj *result; /* owned by the writer */
};

/* The calling thread handles o, an object of r (base/board.h). */
void wc_work(struct watchcache *c, const struct resource *r, const struct obj *o);

struct obj *wc_get(struct watchcache *c, const struct resource *r, struct sv ns, struct sv name); /* new reference */
/* False: of a kind that came and went. One that another took the place of (a changed definition's) is read as before,
 * from the store, by who began with it. */
bool wc_serves(struct watchcache *c, const struct resource *r);
/* There is one, but in a version that r does not know: another kind has taken the place of r's, and wrote it. What
 * wc_get() finds no more is not gone then. */
bool wc_unseen(struct watchcache *c, const struct resource *r, struct sv ns, struct sv name);
/* -1: says so. */
int wc_changed_error(const struct resource *r, struct err *err);
int64_t wc_rev(struct watchcache *c); /* everything up to it is in the cache */
/* False when the store has stopped telling the cache of changes, *why what it said: what is in it ages then. */
bool wc_alive(struct watchcache *c, struct err *why);
size_t wc_count(struct watchcache *c, const struct resource *r);
size_t wc_watcher_count(struct watchcache *c, const struct resource *r); /* but those of one name or node */
size_t wc_bytes(struct watchcache *c, const struct resource *r);	 /* memory that its objects take */

struct wc_list {
	struct obj **objs; /* arena; references released by wc_list_unref() */
	size_t n;
	int64_t rev;
	bool more;	   /* limit cut it off */
	int64_t remaining; /* objects after the cut when there is no selector, else -1 */
};
/* Objects of r in ns ("": all), in key order, that match sel (may be NULL), at most limit (0: all),
 * from the key "ns/name" start on ("": the first). exact > 0: as of that revision; false when the
 * resource has changed since, or was replaced and the store does not say (ask that). */
bool wc_list(struct watchcache *c, const struct resource *r, struct sv ns, const struct selection *sel, struct sv start,
	     size_t limit, int64_t exact, struct arena *a, struct wc_list *ret);
void wc_list_unref(struct wc_list *l);

/* The same for answers that may be long and take their time: without a reference for each object (objpick.h), and
 * selected piece by piece, so that neither the resource's lock nor the caller's thread is held. Whoever has time calls
 * wc_pick_select(), which looks at a few more, until it says false: the pick is complete. */
struct wc_pick {
	struct objpick objs;
	int64_t rev, remaining; /* as above */
	bool more;
	/* Of the selecting. */
	const struct selection *sel;
	size_t limit, selected;
	struct objpick_at at;
};
bool wc_pick(struct watchcache *c, const struct resource *r, struct sv ns, const struct selection *sel, struct sv start,
	     size_t limit, int64_t exact, struct arena *a, struct wc_pick *ret);
bool wc_pick_select(struct wc_pick *p);
void wc_pick_release(struct wc_pick *p); /* complete or not */
void wc_each(struct watchcache *c, const struct resource *r, struct sv ns, int (*fn)(struct obj *o, void *ctx),
	     void *ctx);

/* --- watching --- */

struct wc_watch; /* opaque */

#define WATCH_FROM_NOW INT64_C(-1)

struct wc_watch_opts {
	const struct resource *res;
	struct sv ns;
	const struct selection *sel; /* outlives the watch; may be NULL */
	/* What sel was made of. Whose words are the same want the same: of those that watch so one is asked about a
	 * change. "": nothing is known of it. Read by wc_watch_open() only. */
	struct sv words;
	int64_t since;	       /* > 0: changes after it; WATCH_FROM_NOW: only new ones */
	bool recent;	       /* ERR_EXPIRED where memory does not reach back to since: the log is not asked */
	bool initial;	       /* first everything there is as ADDED; since is ignored */
	bool initial_bookmark; /* and then a bookmark that says so (sendInitialEvents) */
	bool bookmarks;	       /* periodic ones */
	struct sv user;	 /* whose it is, for the log; outlives the watch. "": a component's, which has no peer that
			  * could stall */
	struct sv share; /* with whose it counts (user_share()); "": the user's own */
	/* Something can be read, or the watch ended. Called once until wc_watch_next() said "empty". */
	void (*wake)(void *ctx);
	void *ctx;
};

struct wc_event {
	enum watch_type type;
	struct obj *o; /* owned reference; NULL for bookmarks */
	int64_t rev;
	bool was_there;	  /* of what there is already: told to this watcher alone */
	bool initial_end; /* this bookmark ends the initial events */
};

int wc_watch_open(struct watchcache *c, const struct wc_watch_opts *o, struct wc_watch **ret, struct err *err);
/* 1: *ret is the next event; 0: nothing now; -1: ended, *err says why (once). */
int wc_watch_next(struct wc_watch *w, struct wc_event *ret, struct err *err);
/* Ended, and nothing is left to read but that: worth asking for a reader that has stopped because its peer did. */
bool wc_watch_over(struct wc_watch *w);
/* It ended because the changes since its revision cannot be told (any more): its reader, who would come back with that
 * revision, has to be told so. On the reader's thread, behind the end. */
bool wc_watch_lost(const struct wc_watch *w);
/* No wake runs after it returns. NULL is fine; returns NULL. */
struct wc_watch *wc_watch_close(struct wc_watch *w);

/* Reads anew what is hidden (set_aside.h), each minute; those that wait for an answer are by themselves each second. A
 * task. */
void wc_read_again(struct watchcache *c);
void wc_bookmarks(struct watchcache *c); /* to every watcher that asked for them */
void wc_sweep(struct watchcache *c);	 /* ends watchers that take nothing; every minute */
/* A line of JSON for each watcher with its queue, those that are behind first, until there are max bytes. */
void watchers_describe(struct apiserver *s, struct buf *b, size_t max);
/* Forgets changes that are too old to start a watch from. Returns the bytes of text they held. */
size_t wc_age(struct watchcache *c);
void wc_metrics(struct watchcache *c, struct buf *b);
void wc_slow_metrics(struct watchcache *c, struct buf *b); /* watch_slow.c */
