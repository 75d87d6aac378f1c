/* node_cleanup.h - leaving a machine as it was: for `caravel cleanup`, a node's start on another's leftovers, tests.
 *
 * Ends every pod of this data directory's private containerd (through CRI, so that network plugins undo their
 * part), the daemon and left-over shims; unmounts and deletes their state, network namespaces, the bridge, the
 * pods' cgroups and the runtime directory. The images (data_dir/containerd/root) go too when `images` is set, and with
 * them what says who may have which (pull_records.h).
 *
 * The data directory need not exist any more: everything is found by names made of its path, pods by their
 * cgroups. Nothing is removed that could be somebody else's: in kubelet_root and log_dir, unless claim_owns() says
 * they are ours alone, only what belongs to pods found here.
 *
 * Continues past failures and reports the first. Idempotent. Blocking. The agent must not run meanwhile.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"
#include "kubelet/claim.h"

struct node_cleanup_opts {
	struct env *env;
	const char *data_dir;
	const char *kubelet_root; /* pods' volumes; NULL: data_dir/kubelet */
	const char *log_dir;	  /* pods' logs, deleted when given */
	const char *bridge;	  /* NULL: cni_bridge_name(data_dir) */
	const char *cgroup_root;  /* the kubelet's; NULL or "": nothing removed */
	bool images;
	void (*say)(const char *what, void *ctx); /* what was done, in a few words; may be NULL */
	void *ctx;
};
int node_cleanup(const struct node_cleanup_opts *o, struct err *err);
/* Whether containers of an earlier node of this data directory are there that no containerd can know any more,
 * because the directory was deleted: a new node cannot adopt them. */
bool node_has_leftovers(const char *data_dir);
/* claim_take(), but a server that has it is asked to end, waited for, and killed after half a minute. 1 when there
 * was one. */
int node_take_over(const char *data_dir, struct claim **ret, struct err *err);
