#include "cli/heap.h"
#include "base/arena.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define IDLE_MIN ((size_t)512 * 1024) /* less is not worth the page faults */
#define WORK_NS (20 * NS_PER_MS)      /* less work than this leaves no holes: what stayed at a trim stays */
#define QUIET_NS (50 * NS_PER_MS)     /* between two looks: one percent of a processor */
#define LOOKS_MAX (600 / HEAP_LOOK_S) /* busy or not */

bool heap_due(struct heap_watch *h, int64_t cpu_ns, size_t idle_bytes)
{
	bool quiet = cpu_ns - h->seen_ns < QUIET_NS;

	h->seen_ns = cpu_ns;
	if (quiet && h->trimmed) {
		bool since = cpu_ns - h->trimmed_ns >= WORK_NS;

		h->left_bytes = since ? MIN(h->left_bytes, idle_bytes) : idle_bytes;
	}
	if (++h->looks < LOOKS_MAX && !quiet)
		return false;
	if (idle_bytes < h->left_bytes + IDLE_MIN || cpu_ns - h->trimmed_ns < WORK_NS)
		return false;
	h->trimmed = true;
	h->trimmed_ns = cpu_ns;
	h->looks = 0;
	return true;
}

static int64_t used_ns(const struct timeval *t)
{
	return (int64_t)t->tv_sec * NS_PER_SEC + (int64_t)t->tv_usec * 1000;
}

/* Resident pages of our own less what malloc() has given out: its free memory, and a little for stacks and tables. */
static size_t idle_bytes(void)
{
	struct mallinfo2 m = mallinfo2();
	unsigned long resident = 0, shared = 0;
	size_t own, page = (size_t)sysconf(_SC_PAGESIZE);
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%*u %lu %lu", &resident, &shared) != 2)
		resident = shared = 0;
	(void)fclose(f);
	own = resident > shared ? (resident - shared) * page : 0;
	return own > m.uordblks + m.hblkhd ? own - m.uordblks - m.hblkhd : 0;
}

void heap_look(struct heap_watch *h)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) == 0 && heap_due(h, used_ns(&u.ru_utime) + used_ns(&u.ru_stime), idle_bytes()))
		arena_trim();
}

int heap_pause_s(const struct heap_watch *h)
{
	return h->seen_ns ? HEAP_LOOK_S : 1;
}
