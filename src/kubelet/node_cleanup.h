/* node_cleanup.h - leaving a machine as it was: for `caravel stop --all`, cleanup, and tests.
 *
 * Ends every pod of this data directory's private containerd (through CRI, so that network plugins undo their
 * part), the daemon and left-over shims; unmounts and deletes their state, network namespaces, the bridge, the
 * pods' cgroups and the runtime directory. The images (data_dir/containerd/root) go too when `images` is set.
 *
 * Continues past failures and reports the first. Idempotent. Blocking. The agent must not run meanwhile.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"

struct node_cleanup_opts {
	struct env *env;
	const char *data_dir;
	const char *kubelet_root; /* pods' volumes; NULL: data_dir/kubelet */
	const char *log_dir;	  /* pods' logs, deleted when given */
	const char *bridge;	  /* NULL: cni_bridge_name(data_dir) */
	const char *cgroup_root;  /* the kubelet's; NULL or "": nothing removed */
	bool images;
};
int node_cleanup(const struct node_cleanup_opts *o, struct err *err);
