/* gc_far.h - kinds that other API servers answer, for the garbage collector (client/foreign.h).
 *
 *	kinds ─▶ of those that can be listed, watched and deleted: a list each half minute ─▶ the graph
 *	an owner of theirs, an object of theirs that has to go ◀─ asked for, one by one
 *
 * Upstream watches them; here they are listed, as nobody waits for another server: what happens there is known half a
 * minute later, and what is decided is asked about at that moment, as with all others. A kind is theirs as long as its
 * APIService is there; while its server does not answer, what it has told stays, and no owner counts as gone.
 *
 * What they say is metadata of strangers. An object with a uid that the graph has of somebody else is left out.
 *
 * Threads: any. The lock is the graph's.
 */
#pragma once

#include "controllers/controllers.h"
#include "controllers/gc_graph.h"

#include <pthread.h>

struct gc_far; /* opaque */

/* NULL: there are no others, which is fine for all below. */
struct gc_far *gc_far_new(struct controller_ctx *ctx, pthread_mutex_t *lock, struct gc_graph *graph);
void gc_far_start(struct gc_far *f); /* from here on the graph is fed, and told of what to look at; */
void gc_far_stop(struct gc_far *f);  /* to here. Asking goes on */
struct gc_far *gc_far_free(struct gc_far *f);
/* All that is known of is in the graph. The lock is held. */
bool gc_far_synced(const struct gc_far *f);
/* Since when there are kinds that were not known before; monotonic. The lock is held. */
int64_t gc_far_since(const struct gc_far *f);
/* A reference (resource_unref()), or NULL: nobody has such a kind. Takes the lock. */
const struct resource *gc_far_kind(struct gc_far *f, struct sv group, struct sv kind);
bool gc_far_is(const struct resource *r); /* theirs */

/* 0, or -1, or 1: not yet, `who` is woken to ask again. Of *ret there is the metadata, as it was at the earliest when
 * `of` was asked for the first time: a text for the decision that it is for. */
int gc_far_get(struct gc_far *f, const struct resource *r, struct sv ns, struct sv name, struct sv of,
	       const struct foreign_wake *who, struct obj **ret, struct err *err);
/* method: "PATCH", a merge; "DELETE", with options. */
int gc_far_write(struct gc_far *f, const struct resource *r, const char *method, struct sv ns, struct sv name,
		 const struct val *body, const struct foreign_wake *who, struct err *err);
