/* foreign.h - what other API servers keep in a namespace.
 *
 * Kinds that an aggregated server answers have no struct resource: nobody here reads or writes them. But a namespace
 * goes only when nothing is left in it, theirs included. Who wires a process gives the controllers a foreign_empty_fn
 * of their API server; without one there is nothing of others.
 *
 * The function waits for nobody: it begins the work, and tells of it when it is asked again. From any thread.
 */
#pragma once

#include "base/buf.h"
#include "base/strmap.h"

struct foreign_left {
	/* "things.far.example.io has 2 resource instances", ...: what is there yet, after all of it was deleted. */
	struct buf kinds;
	size_t remaining;
	struct strmap finalizers; /* of those: name -> how many, as (void *)(uintptr_t) */
	/* Of whom it is not known what they have: "far.example.io/v1: stale GroupVersion discovery: far.example.io/v1".
	 */
	struct buf undiscovered;
	size_t n_undiscovered;
	struct buf failure; /* the first */
	size_t failures;
};

void foreign_left_release(struct foreign_left *l); /* zeroed is fine, and so it is after it */

/* Deletes all that others keep in ns. True: done, and *ret, which was zeroed, says with what; false: it is under way.
 */
typedef bool foreign_empty_fn(void *ctx, struct sv ns, struct foreign_left *ret);
