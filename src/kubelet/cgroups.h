/* cgroups.h - the cgroups of pods (cgroupfs driver): v1, v2 and the hybrid of both.
 *
 *	<root>/kubepods/pod<uid>              Guaranteed
 *	<root>/kubepods/burstable/pod<uid>
 *	<root>/kubepods/besteffort/pod<uid>
 *
 * On v1 the path is made in every mounted controller hierarchy; on v2 once, with the controllers enabled down
 * the path. A hierarchy that refuses (read-only, missing) is passed over: the container runtime makes what it
 * needs itself. The runtime puts each container's cgroup below the pod's (CRI cgroup_parent).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "pod/pod_resources.h"

struct cgroup_limits { /* 0: not limited */
	int64_t cpu_milli_request, cpu_milli_limit, memory_limit_bytes, pids_limit;
};

#define CGROUP_ROOT "/sys/fs/cgroup"
bool cgroup_is_v2(void); /* the machine has v2 alone, mounted there; else a directory for each of v1's controllers */

/* "/kubepods/burstable/pod<uid>" below root ("" or "/caravel-x"). */
char *cgroup_pod_path(struct arena *a, const char *root, enum qos_class q, struct sv uid);
/* "/kubepods" below root: all of them. */
char *cgroup_pods_path(struct arena *a, const char *root);
int cgroup_create(const char *path, const struct cgroup_limits *l, struct err *err);
/* Makes it when it is missing and bounds its processes; no other limit of it is touched. 0: no bound. */
int cgroup_limit_pids(const char *path, int64_t limit, struct err *err);
/* Kills what is left in it and removes it everywhere, children first. Fine when absent. */
int cgroup_remove(const char *path, struct err *err);
int cgroup_kill_all(const char *path);			  /* returns how many processes there were */
int cgroup_remove_all(const char *path, struct err *err); /* as cgroup_remove, for whole trees; 1 when there was one */
/* Calls fn with the uid of each pod that has a cgroup below root ("/caravel-x"); with some more than once. */
void cgroup_each_pod(const char *root, void (*fn)(struct sv uid, void *ctx), void *ctx);
/* 1000m -> 1024; at least 2. */
int64_t cgroup_cpu_shares(int64_t milli);
int64_t cgroup_cpu_quota(int64_t milli, int64_t period_us); /* at least 1 ms; 0 for no limit */
