/* proc_usage.h - what the machine uses, and what went over links: /proc.
 *
 * For worker tasks; reads a handful of small files.
 */
#pragma once

#include "base/arena.h"

struct usage_link {
	struct sv name;
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped;
};

/* Of the network namespace of a process ("self": ours), without lo, in a. The link of its default route comes first. At
 * most USAGE_LINKS_MAX: the rest is not told. */
#define USAGE_LINKS_MAX 256
struct usage_link *usage_links(struct arena *a, const char *pid, size_t *ret_n);

struct machine_usage {
	uint64_t memory_bytes, available_bytes, swap_bytes, swap_free_bytes;
	uint64_t cpu_ns; /* all processors, since the machine's start */
	uint64_t faults, major_faults;
	int64_t pids, pids_max;
	int64_t started_s; /* since 1970 */
	int cores;
};
void machine_usage_read(struct machine_usage *ret);
