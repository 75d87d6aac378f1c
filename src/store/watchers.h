/* watchers.h - the open watches of one store, shared by the backends.
 *
 * A watch starts lagging: its backend reads old changes from its log and reports them in
 * portions (watchers_take_lagging() … watchers_give_back()) until the watch has everything and
 * becomes live; from then on watchers_change() reports to it as things are committed.
 *
 * Threads: one thread at a time delivers (the store's own), any thread adds and removes.
 * Callbacks run without the lock held, with the watch marked busy; watchers_remove() waits for
 * a busy watch, which is how "no callback runs after unwatch returns" is kept.
 */
#pragma once

#include "base/list.h"
#include "store/store-internal.h"

#include <pthread.h>

struct store_watch {
	struct list link;
	struct sv from, to; /* owned */
	int64_t since;	    /* everything up to here was reported */
	const struct store_watch_cb *cb;
	void *ctx;
	bool live, busy, ended;
};

struct watchers {
	pthread_mutex_t mu;
	pthread_cond_t idle; /* a watch is no longer busy */
	struct list all;
	size_t lagging;
};

void watchers_init(struct watchers *ws);
void watchers_release(struct watchers *ws); /* frees watches that were not removed */

struct store_watch *watchers_add(struct watchers *ws, struct sv from, struct sv to, int64_t since,
				 const struct store_watch_cb *cb, void *ctx);
void watchers_remove(struct watchers *ws, struct store_watch *w); /* frees w */

/* Delivery, by the store's thread only. */
void watchers_change(struct watchers *ws, const struct store_change *c); /* to live watches */
bool watchers_want_prev(struct watchers *ws, struct sv key);		 /* does a live watch on key? */
void watchers_progress(struct watchers *ws, int64_t rev);		 /* to live watches */
void watchers_expire(struct watchers *ws, int64_t compact_rev);		 /* ends those that need older changes */
void watchers_end(struct watchers *ws, const struct err *why);		 /* ends all */

bool watchers_lagging(struct watchers *ws);
/* The next lagging watch, busy, or NULL. */
struct store_watch *watchers_take_lagging(struct watchers *ws);
/* The same of one that is known to lag: for a backend that has its own order. */
void watchers_take(struct watchers *ws, struct store_watch *w);
/* It was told everything up to rev; live says whether that is all there is. Reports progress
 * when it became live. */
void watchers_give_back(struct watchers *ws, struct store_watch *w, int64_t rev, bool live);
/* Instead of giving back: it lies before the compaction. */
void watchers_give_up(struct watchers *ws, struct store_watch *w, int64_t compact_rev);
/* Instead of giving back: it cannot go on, for the reason given. */
void watchers_break(struct watchers *ws, struct store_watch *w, const struct err *why);
