/* usage.h - what this node uses, put together once for whatever page is asked for.
 *
 * Everything is in the arena. Blocking (files of the kernel; with `files` the runtime and file systems); worker tasks
 * of the node's class. Of pods those are told whose cgroup is there, of containers those that run.
 */
#pragma once

#include "kubelet/kubelet-internal.h"
#include "kubelet/usage/cgroup_usage.h"
#include "kubelet/usage/proc_usage.h"
#include "kubelet/usage/rates.h"

struct usage_fs {
	bool has;
	uint64_t capacity_bytes, available_bytes, used_bytes, inodes, inodes_free, inodes_used;
};

struct usage_container {
	struct sv name, id, image, cgroup;
	struct cgroup_usage use;
	struct rate cpu; /* nanoseconds a second */
	int64_t started_s;
	bool has_files;
	uint64_t rootfs_bytes, log_bytes, log_inodes;
};

struct usage_pod {
	struct kpod *p; /* a reference, for the arena's life */
	struct sv ns, name, uid, cgroup;
	struct cgroup_usage use;
	struct rate cpu;
	int64_t started_s; /* 0: not known */
	struct usage_link *links;
	size_t n_links; /* 0 also where it has the machine's */
	struct usage_container *containers;
	size_t n;
};

struct usage_node {
	int64_t now_ns; /* wall clock, when it was read */
	struct machine_usage machine;
	struct cgroup_usage use; /* of the root cgroup, or made of the machine's where that has no numbers */
	struct rate cpu;
	struct usage_link *links;
	size_t n_links;
	struct cgroup_usage pods_use; /* of all pods' cgroup */
	struct rate pods_cpu;
	struct usage_fs fs, image_fs; /* with `files` */
	struct usage_pod *pods;
	size_t n;
};

void usage_take(struct kubelet *k, struct arena *a, bool files, struct usage_node *ret);
/* Would usage_take() have rates now? Else it is to be called twice, RATES_STEP_NS apart. */
bool usage_has_rates(struct kubelet *k);
