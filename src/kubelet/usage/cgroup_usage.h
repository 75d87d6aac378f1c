/* cgroup_usage.h - what the processes of a cgroup use, as the kernel counts it.
 *
 * v1, v2 and the hybrid of both; path is one below each hierarchy, as kubelet/cgroups.h makes it ("" : the root). What
 * a kernel does not count is 0 with its `has` false. Reads a handful of small files; for worker tasks.
 */
#pragma once

#include "base/base.h"

/* Pressure stall information: microseconds in all, and averages of 10, 60 and 300 s in percent. */
struct usage_psi_line {
	double avg10, avg60, avg300;
	uint64_t total_us;
};

struct usage_psi {
	bool has;
	struct usage_psi_line some, full;
};

struct cgroup_usage {
	bool has_cpu, has_memory, has_pids, has_swap;
	uint64_t cpu_ns, user_ns, system_ns;
	uint64_t periods, throttled_periods, throttled_ns;
	uint64_t memory_bytes, working_set_bytes, rss_bytes, cache_bytes, mapped_bytes, kernel_bytes;
	uint64_t max_bytes, limit_bytes; /* limit 0: none */
	uint64_t faults, major_faults, hits_of_limit, oom_kills;
	uint64_t swap_bytes;
	uint64_t pids;
	struct usage_psi cpu_psi, memory_psi, io_psi; /* v2 only */
};

/* False: there is no such cgroup in any hierarchy. */
bool cgroup_usage_read(const char *path, struct cgroup_usage *ret);
/* The same of hierarchies mounted elsewhere; v2: root is the one there is. For tests. */
bool cgroup_usage_below(const char *root, bool v2, const char *path, struct cgroup_usage *ret);
/* The first process in it or below it; 0: none. */
pid_t cgroup_first_pid(const char *path);
