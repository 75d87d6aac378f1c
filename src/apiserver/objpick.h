/* objpick.h - some objects of a tree as it was, for as long as somebody is told of them.
 *
 * A LIST of 100,000 objects is under way for as long as its reader takes, and there may be fifty at once. So a pick has
 * no reference for each object: it holds the tree's blocks (objtree.h), which do not change while they are held, and a
 * bit for each of their entries. That is 24 bytes for some hundred objects.
 *
 *	take, under the tree's guard ─▶ drop, piece by piece ─▶ walk, as often as needed ─▶ pass, letting go
 *
 * Ownership: memory is the arena's, references on blocks are the pick's until objpick_release().
 * Threads: of one at a time; only taking needs the tree's guard.
 */
#pragma once

#include "apiserver/objtree.h"
#include "base/arena.h"

struct objpick {
	struct objtree_block **blocks; /* NULL: let go of */
	uint64_t (*marks)[OBJTREE_BLOCK / 64];
	size_t n_blocks;
	size_t n; /* objects that are picked */
};

/* A place in a pick; zeros are its beginning. */
struct objpick_at {
	size_t block, at;
};

/* The first max (0: all) of t's objects from start_ns/start_name on that are of ns (""; all). Returns how many more
 * there are. */
size_t objpick_take(struct objpick *ret, const struct objtree *t, struct sv ns, struct sv start_ns,
		    struct sv start_name, size_t max, struct arena *a);
/* Of objects that are in no tree; takes the references. */
void objpick_of(struct objpick *ret, struct obj *const *objs_take, size_t n, struct arena *a);
/* The next that is picked; NULL: there is none. Borrowed from the pick. */
struct obj *objpick_next(const struct objpick *p, struct objpick_at *at);
struct obj *objpick_last(const struct objpick *p);
/* The one that objpick_next() has just returned is not picked any more. */
void objpick_drop(struct objpick *p, const struct objpick_at *at);
/* Nor is anything from there on. */
void objpick_cut(struct objpick *p, const struct objpick_at *at);
/* Lets go of what lies before: nobody goes back there. What objpick_next() has just returned stays. */
void objpick_pass(struct objpick *p, const struct objpick_at *at);
void objpick_release(struct objpick *p);
