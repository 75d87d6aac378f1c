/* heap.h - internal to src/cli: memory goes back to the system after a burst.
 *
 * What malloc() has free it keeps: the top of each heap above a threshold goes back by itself, holes never do, and a
 * burst leaves holes. malloc_trim() gives the holes' pages back, but it walks all heaps under their locks and what is
 * allocated next must be faulted in again, so it is wrong while there is work. The right moment is when the work is
 * over and left something: pages of ours that malloc() has not given to anybody, and hardly any processor time
 * lately. What a trim leaves is no free memory (stacks, tables with addresses, pages that are partly in use) and counts
 * no more. A server that is never quiet is trimmed every ten minutes all the same.
 *
 * The server's first thread, which otherwise waits for the signal to stop, looks every HEAP_LOOK_S seconds, and a
 * first time soon after the start, whose work is over by the second look then.
 */
#pragma once

#include "base/base.h"

#define HEAP_LOOK_S 5

struct heap_watch {
	int64_t trimmed_ns, seen_ns; /* processor time of the process at the last trim, and look */
	int looks;		     /* since that trim */
	size_t left_bytes;	     /* that nobody uses, and that no trim gives back; as of quiet looks since */
	bool trimmed;		     /* once; before, left_bytes is not known */
};

/* The decision: is it time, now that the process has used cpu_ns in all and holds idle_bytes of memory that nobody
 * uses? */
bool heap_due(struct heap_watch *h, int64_t cpu_ns, size_t idle_bytes);
void heap_look(struct heap_watch *h);
int heap_pause_s(const struct heap_watch *h); /* until the next look */
