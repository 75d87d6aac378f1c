/* containerd.h - a private containerd, started and kept running for this node.
 *
 *	data_dir/containerd/config.toml   written at every start
 *	data_dir/containerd/root          images, snapshots, metadata
 *	data_dir/containerd/log           its output
 *	/run/caravel-<hash>/              socket, state, runc's state, network namespaces; hash of data_dir
 *
 * Containers belong to their shims, not to containerd: they run on while it, or the whole agent, is
 * restarted. containerd_free() therefore stops only the daemon; node_cleanup.h is what ends everything.
 * What was being run in containers for a call (exec, hooks, probes) ends with it (lost_execs.h).
 * A daemon left over from an agent that was killed is stopped by the next containerd_start() and replaced.
 * One that does not serve yet is never asked to end (SIGTERM), but killed: asked, it kills the containers of
 * the shims that it is just taking up again.
 *
 * Blocking calls for the program's start and end, not for the simulator.
 */
#pragma once

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"

struct containerd;

struct containerd_opts {
	struct env *env;
	const char *data_dir;		 /* absolute */
	const char *binary;		 /* NULL: "containerd" from PATH */
	const char *cni_conf_dir;	 /* NULL: data_dir/cni/net.d */
	const char *cni_bin_dir;	 /* NULL: cni_find_plugins() */
	const char *sandbox_image;	 /* NULL: PAUSE_IMAGE, imported when missing */
	const char *registry_config_dir; /* hosts.toml tree, or NULL */
	const char *log_dir;		 /* of the pods: cleared of what would hang it (beneath.h) before each start */
	/* containerd_start() has waited for some seconds; may be NULL. */
	void (*waits)(const char *why, void *ctx);
	void *waits_ctx;
	bool (*given_up)(void); /* asked while containerd_start() waits: true ends that; may be NULL */
};

/* Starts it and waits until its CRI answers, and the pause image is there. */
struct containerd *containerd_start(const struct containerd_opts *o, struct err *err);
const char *containerd_socket(const struct containerd *c);   /* "/run/caravel-1a2b3c4d/containerd.sock" */
const char *containerd_endpoint(const struct containerd *c); /* the same with "unix://" */
/* It does not answer any more: ended, and started anew at once. Containers run on. Any thread. */
void containerd_revive(struct containerd *c);
int containerd_pid(const struct containerd *c);		  /* 0 while it is down */
struct containerd *containerd_free(struct containerd *c); /* stops the daemon, waits for its end */

/* Where things are, without starting anything. */
void containerd_run_dir(const char *data_dir, char out[40]);

/* The configuration text (exposed for tests). */
struct containerd_conf {
	const char *root, *state, *socket, *sandbox_image, *cni_conf_dir, *cni_bin_dir, *runc_root, *opt_dir;
	const char *registry_config_dir; /* or NULL */
	bool overlayfs;			 /* else the native snapshotter */
	bool restrict_oom_score_adj;	 /* when we may not lower oom_score_adj */
};
void containerd_config(struct buf *b, const struct containerd_conf *c);
/* Stops the daemon that runs on data_dir's configuration, or all if they are several, whoever started them. True when
 * there was one. */
bool containerd_stop_stale(const char *data_dir, struct err *err);
