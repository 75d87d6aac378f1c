/* layout.h - which keys the database has its values under, and how it comes to newer ones.
 *
 * A layout is a number; what it means, whoever makes the keys says. A step from one to the next is a list of prefixes
 * that change. The database says its layout itself, under STORE_LAYOUT_KEY; one that does not is of layout 1.
 *
 *	"2<"	the step to 2 is under way: some keys are old, some new, a few both
 *	"2"	it is of layout 2
 *
 * A step goes on where it was, whatever interrupted it: first the mark, then portion by portion copies, and when
 * those are durable the removal of what they were made from, then history is compacted, then the mark. So at every
 * moment each value is there, under its old key or its new one, and a program that knows the mark and not its
 * number leaves everything alone.
 *
 * What moves is written anew: it has new revisions, in the order of keys, and whoever watches from before is told
 * ERR_EXPIRED and reads afresh.
 *
 * A lease (lease.h) is not taken along: nothing that has one is under a prefix that moves.
 *
 * Nobody else may write meanwhile. Blocking: for the start of a server.
 */
#pragma once

#include "store/store.h"

#define STORE_LAYOUT_KEY "/caravel/layout"

/* One prefix of a step. `to` does not begin with `from`, and with no other `from` of its step. */
struct store_move {
	int layout; /* the step to this one */
	const char *from, *to;
};

/* Brings s to `newest`, by way of those between. Refused with words: a newer one than that, a mark that is none, a
 * value that is under both keys and not the same. */
int store_layout_bring(struct store *s, int newest, const struct store_move *moves, size_t n, struct err *err);
