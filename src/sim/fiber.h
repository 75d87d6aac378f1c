/* fiber.h - tasks that can stand still: each has a stack of its own, and one thread goes from one to the other.
 *
 * One runs at a time, until it says so itself (fiber_rest) or is done; then whoever ran it goes on. So nothing here
 * makes anything less deterministic. A lock that is held meanwhile is held for all others: who waits for it waits for
 * ever, as there is nobody to let go of it. In the simulator that is a fault found: no lock may be held over a call.
 *
 * Not thread-safe: all of a set are of the thread that runs them.
 */
#pragma once

#include "base/base.h"

struct fibers; /* opaque: a set, with stacks that are used again */
struct fiber;  /* opaque: a task that rests */

struct fibers *fibers_new(void);
/* What still rests is dropped as it is, with what it holds. */
struct fibers *fibers_free(struct fibers *f);

/* Runs fn(ctx) on a stack of its own until it is done (NULL), or rests. */
struct fiber *fiber_run(struct fibers *f, void (*fn)(void *ctx), void *ctx);
/* Runs one on that rests, the same way. */
struct fiber *fiber_resume(struct fibers *f, struct fiber *one);
/* Of the one that runs: lets whoever ran it go on, and comes back with fiber_resume(). */
void fiber_rest(struct fibers *f);
/* The one that runs; NULL: none, and nobody may rest. */
struct fiber *fiber_self(struct fibers *f);
size_t fibers_resting(const struct fibers *f);
