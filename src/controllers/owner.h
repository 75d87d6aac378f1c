/* owner.h - who controls an object: controller references, adoption and release.
 *
 * An object belongs to the controller named by the ownerReference with controller: true. An
 * orphan that an owner's selector matches is adopted; a child that stops matching is let go.
 */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "client/client.h"
#include "client/informer.h"
#include "object/selector.h"

/* Index "controller": objects by their controller's uid; those without one by their namespace,
 * so that the candidates for an owner are two lookups and not a walk over the namespace. */
#define INDEX_CONTROLLER "controller"
index_key_fn index_controller;

/* A new ownerReference to owner. */
struct val *owner_ref(struct arena *a, const struct resource *r, const struct val *owner, bool controller, bool block);
/* The object that ref names, if it is of kind r and still the same one. New reference or NULL. */
struct obj *owner_resolve(struct informer *owners, const struct resource *r, struct sv ns, const struct val *ref);

/* The owner's spec.selector: of a ReplicationController a plain map, of all others a label selector. NULL: it is
 * malformed. */
const struct selector *owner_selector(struct arena *a, const struct resource *r, const struct obj *owner,
				      struct err *err);

struct objs {
	struct obj **p; /* arena-owned array; references held by the arena */
	size_t n;
};

struct claim {
	struct client *client;
	const struct resource *owner_res, *child_res;
	struct obj *owner;
	const struct selector *selector;
	struct informer *children;	       /* with INDEX_CONTROLLER */
	bool (*skip)(const struct obj *child); /* true: not ours to look at; NULL: none */
	const char *finalizer;		       /* given to the adopted, taken from those let go; NULL: none */
};
/* The children of c->owner: adopts matching orphans, lets go of children that do not match.
 * Before the first adoption the owner is read from the server: it may be going or replaced. */
int claim_children(struct arena *a, const struct claim *c, struct objs *ret, struct err *err);
