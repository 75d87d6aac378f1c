/* informer.h - a live local copy of one resource, and callbacks on its changes.
 *
 * An informer lists, then watches, and starts over when told "too old": its store is at every
 * moment some past state of the cluster, moving only forward. Objects are shared references,
 * not copies. A factory hands out one informer per (resource, namespace, selector), so that
 * ten controllers on Pods cost one watch.
 *
 * A factory may be several components': its owner makes and starts it, says what they all read
 * (informer_factory_keep()), lends it to each for its life, and stops it before the first of them ends, who may then
 * free what its handlers use. Who borrows one asks whether his informers are synced, not whether the factory is; and an
 * informer may be that before a handler added later has heard of everything: a first look is at what is in the store.
 *
 * Handlers of one informer run one at a time, in event order, as tasks of the client's class; every
 * object known when a handler is added is first reported as added. After a re-list, objects
 * that vanished meanwhile are reported as deleted (their last known version).
 *
 * Threads: lookups from any thread.
 */
#pragma once

#include "base/vec.h"
#include "client/client.h"
#include "client/index.h"

struct informer_factory;
struct informer;

struct informer_factory *informer_factory_new(struct client *c);
void informer_factory_start(struct informer_factory *f); /* starts all informers made so far and later */
bool informer_factory_synced(struct informer_factory *f);
/* No handler runs after it returns; lookups go on working, on what was known. */
void informer_factory_stop(struct informer_factory *f);
struct informer_factory *informer_factory_free(struct informer_factory *f); /* stops; no handler runs after */

/* Of this resource's objects nothing but these fields is read (object/keep.h), by whoever says so; several may, and
 * what any of them names is held. Before the first informer_get() of it; afterwards only what has been said already may
 * be said again. In-process the objects are the API server's, whole and held once. */
void informer_factory_keep(struct informer_factory *f, const struct resource *r, const char *const *paths);

/* Lives as long as the factory, or until informer_end(). selectors may be NULL. Started at once when the factory is,
 * never when that has stopped. */
struct informer *informer_get(struct informer_factory *f, const struct resource *r, const char *ns,
			      const char *label_selector, const char *field_selector);

/* Of a resource that is served no more, or that nobody asks for: no handler runs after it returns, and it is gone; one
 * of a factory that is stopped, or just then is, goes with that. Not from a handler; nobody else may have it. */
void informer_end(struct informer_factory *f, struct informer *i);
bool informer_factory_stopped(struct informer_factory *f);

struct informer_handler {
	void (*add)(struct obj *o, void *ctx);
	void (*update)(struct obj *old, struct obj *neu, void *ctx);
	void (*del)(struct obj *o, void *ctx);
};
void informer_add_handler(struct informer *i, const struct informer_handler *h, void *ctx); /* *h is copied */
/* Whom to tell, once each time, that nobody serves the resource any more, as the last list said; it is asked for
 * again all the same, and what was known stays. One at most, said at once after informer_get(). */
void informer_on_unserved(struct informer *i, void (*fn)(void *ctx), void *ctx);
bool informer_unserved(struct informer *i); /* so said the last list */
bool informer_synced(struct informer *i);   /* first list is in the store and its adds were reported */
int64_t informer_rev(struct informer *i);   /* resourceVersion it has caught up to */

struct obj *informer_lookup(struct informer *i, struct sv ns, struct sv name); /* new reference or NULL */
/* Calls fn for each object (of one namespace unless ns is ""), until it returns non-zero; the
 * object is borrowed; fn must not call back into the informer. Order: unspecified, but the same
 * history gives the same order. */
void informer_each(struct informer *i, struct sv ns, int (*fn)(struct obj *o, void *ctx), void *ctx);
/* The same as references linked to the arena (dropped at its reset): controllers' common form. */
struct obj **informer_list(struct informer *i, struct arena *a, struct sv ns, size_t *ret_n);
size_t informer_count(struct informer *i);

/* Secondary index: key_fn adds the keys of an object (client/index.h). Of one name there is one: who shares an informer
 * means the same by it. */
int informer_add_index(struct informer *i, const char *name, index_key_fn *key_fn);
struct obj **informer_by_index(struct informer *i, struct arena *a, const char *name, struct sv key, size_t *ret_n);
bool informer_has_key(struct informer *i, const char *index, struct sv key); /* any object? */
bool informer_has_keys(struct informer *i, const char *index);		     /* any object with any key? */
/* Those whose keys name ns/obj (index_keys_add_ref()). */
struct obj **informer_by_ref(struct informer *i, struct arena *a, const char *index, struct sv ns, struct sv obj,
			     size_t *ret_n);
