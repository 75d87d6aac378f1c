#include "cli/heap.h"

#include <malloc.h>
#include <sys/resource.h>

#define BURST_NS NS_PER_SEC	      /* less work than this leaves little behind */
#define QUIET_NS (300 * NS_PER_MS)    /* between two looks: one percent of a processor */
#define LOOKS_MAX (600 / HEAP_LOOK_S) /* busy or not */

bool heap_due(struct heap_watch *h, int64_t cpu_ns)
{
	bool quiet = cpu_ns - h->seen_ns < QUIET_NS;

	h->seen_ns = cpu_ns;
	if (++h->looks < LOOKS_MAX && !quiet)
		return false;
	if (cpu_ns - h->trimmed_ns < BURST_NS)
		return false;
	h->trimmed_ns = cpu_ns;
	h->looks = 0;
	return true;
}

static int64_t used_ns(const struct timeval *t)
{
	return (int64_t)t->tv_sec * NS_PER_SEC + (int64_t)t->tv_usec * 1000;
}

void heap_look(struct heap_watch *h)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) == 0 && heap_due(h, used_ns(&u.ru_utime) + used_ns(&u.ru_stime)))
		(void)malloc_trim(0);
}
