/* track.h - what every Node wants of the kernel, what the kernel has, and the difference.
 *
 *	tracker_want()  one Node's entries: what differs from before is marked, whatever else there is
 *	tracker_have()  the kernel was read as a whole: everything is marked
 *	tracker_plan()  for what is marked: the changes that make the kernel what is wanted
 *	tracker_done()  what became of them; what failed stays marked
 *
 * A key belongs to the Node that named it first, and so does every part of a range, and what it is a part of. Another
 * one that wants it, too, has none until it is free: so no Node takes another's range away, or a piece of it. Not
 * thread-safe.
 */
#pragma once

#include "base/arena.h"
#include "netd/model.h"

struct tracker;
struct tracker *tracker_new(void);
struct tracker *tracker_free(struct tracker *t);

/* n 0: it is gone. Returns how many of the entries are another Node's. */
size_t tracker_want(struct tracker *t, struct sv node, const struct net_entry *e, size_t n);
void tracker_have(struct tracker *t, const struct net_entry *e, size_t n);
size_t tracker_wanted(const struct tracker *t); /* how many entries */

struct net_change {
	struct net_key key;
	bool had, want;
	struct net_value is, be; /* before and after */
	bool failed;		 /* the backend's answer */
};
/* In the order in which no packet meets a route whose neighbour is not known: what goes first, routes before what they
 * need; what comes after, routes last. */
size_t tracker_plan(struct tracker *t, struct arena *a, struct net_change **ret);
void tracker_done(struct tracker *t, const struct net_change *c, size_t n);
