/* runtime.h - the container runtime seam: CRI v1 (cri/), a fake (tests, simulator), later
 * Docker Engine and an embedded OCI runtime.
 *
 * Blocking-looking calls for worker tasks. All results are arena-owned. Ids are the runtime's.
 * Every implementation passes the suite tests/conformance/runtime*.c.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "base/vec.h"
#include "codec/doc.h"

struct runtime;

/* UNKNOWN: the runtime lost its record of it. It may have ended, run still, or never have run. */
enum rt_state { RT_CREATED, RT_RUNNING, RT_EXITED, RT_UNKNOWN };

static inline bool rt_may_run(enum rt_state s)
{
	return s == RT_RUNNING || s == RT_UNKNOWN;
}

struct rt_label {
	struct sv key, value;
};

struct rt_selinux {
	struct sv user, role, type, level; /* all "": the runtime's choice */
};

/* What its cgroup shall give; 0: not set. */
struct rt_room {
	int64_t cpu_period, cpu_quota, cpu_shares, memory_limit_bytes;
};

struct rt_sandbox_config {
	struct sv name, ns, uid, hostname, log_dir, cgroup_parent;
	struct sv handler;	       /* how it is run: a name of the runtime's configuration; "": its default */
	struct rt_room overhead, room; /* of the sandbox itself; of its containers together: a machine's size */
	uint32_t attempt;
	const struct rt_label *labels, *annotations;
	size_t n_labels, n_annotations;
	const struct sv *dns_servers, *dns_searches, *dns_options;
	size_t n_dns_servers, n_dns_searches, n_dns_options;
	struct rt_port {
		struct sv protocol, host_ip; /* "TCP" */
		int container_port, host_port;
	} * ports;
	size_t n_ports;
	bool host_network, host_pid, host_ipc, share_pid, privileged, readonly_rootfs;
	const struct rt_label *sysctls;
	size_t n_sysctls;
	int64_t run_as_user, run_as_group; /* -1: not set */
	const int64_t *supplemental_groups;
	size_t n_supplemental_groups;
	bool strict_groups; /* these and no others, whatever the image says; where the runtime can (rt_features) */
	struct sv seccomp, apparmor; /* profile: "RuntimeDefault", "Unconfined", "localhost/..." */
	struct rt_selinux selinux;
};

struct rt_mount {
	struct sv container_path, host_path;
	bool readonly, selinux_relabel;
	bool recursive_readonly; /* what is mounted below, too; only where the handler can (struct rt_handler) */
	int propagation;	 /* 0 private, 1 host to container, 2 bidirectional */
	/* Of an image, then host_path is "": its name and id, and what of it, "" all. Where the runtime can
	 * (rt_features). */
	struct sv image, image_ref, image_sub_path;
};

struct rt_container_config {
	struct sv name, image, image_ref, working_dir, log_path; /* log_path is relative to the sandbox's log_dir */
	uint32_t attempt;
	const struct sv *command, *args;
	size_t n_command, n_args;
	const struct rt_label *envs, *labels, *annotations;
	size_t n_envs, n_labels, n_annotations;
	const struct rt_mount *mounts;
	size_t n_mounts;
	struct rt_device {
		struct sv container_path, host_path, permissions;
	} * devices;
	size_t n_devices;
	bool stdin, stdin_once, tty;
	/* Linux resources; 0: not set. */
	int64_t cpu_period, cpu_quota, cpu_shares, memory_limit_bytes, oom_score_adj;
	/* Security. */
	bool privileged, readonly_rootfs, no_new_privs, host_network, host_pid, host_ipc;
	int pid_mode;			   /* 0 pod, 1 container, 2 node, 3 that of pid_target */
	struct sv pid_target;		   /* id of another container of the pod */
	int64_t run_as_user, run_as_group; /* -1: image's */
	struct sv run_as_username;
	const int64_t *supplemental_groups;
	size_t n_supplemental_groups;
	bool strict_groups; /* as the sandbox's */
	const struct sv *add_caps, *drop_caps, *masked_paths, *readonly_paths;
	size_t n_add_caps, n_drop_caps, n_masked_paths, n_readonly_paths;
	struct sv seccomp, apparmor;
	struct rt_selinux selinux;
};

struct rt_sandbox {
	struct sv id, name, ns, uid;
	uint32_t attempt;
	bool ready;
	int64_t created_ns;
	const struct sv *ips; /* primary first; only from sandbox_status */
	size_t n_ips;
	const struct rt_label *labels;
	size_t n_labels;
};

struct rt_container {
	struct sv id, sandbox_id, name, image, image_ref;
	uint32_t attempt;
	enum rt_state state;
	int64_t created_ns, started_ns, finished_ns; /* the last two only from container_status */
	int exit_code;
	struct sv reason, message, log_path;
	const struct rt_label *labels, *annotations;
	size_t n_labels, n_annotations;
};

struct rt_image {
	struct sv id;
	const struct sv *tags, *digests;
	size_t n_tags, n_digests;
	uint64_t size_bytes;
	int64_t uid; /* -1: none, or a name in username */
	struct sv username;
};

struct rt_stats {
	struct sv container_id, name, pod_name, pod_ns, pod_uid;
	uint64_t cpu_usage_ns, memory_working_set_bytes, memory_rss_bytes, fs_used_bytes;
	int64_t timestamp_ns;
};

struct rt_version {
	struct sv name, version, api_version;
};

/* A way in which the runtime runs pods (rt_sandbox_config.handler), "" its default, and what can be asked of it. */
struct rt_handler {
	struct sv name;
	bool recursive_read_only, user_namespaces;
};

/* What can be asked of this runtime. One that does not say can do none of it. */
struct rt_features {
	const struct rt_handler *handlers;
	size_t n_handlers;
	bool told;	    /* it says what follows, be it that it can none of it */
	bool strict_groups; /* supplementalGroupsPolicy: Strict */
	bool image_volumes; /* rt_mount.image */
};

struct rt_status {
	bool runtime, network; /* ready to run pods? conditions RuntimeReady, NetworkReady */
	struct sv why;	       /* not, the first of them, as upstream prints a condition */
	struct rt_features features;
};

/* What of a container's input and output somebody wants; tty: they are one terminal. */
struct rt_streams {
	bool tty, in, out, errs;
};

/* Input and output of a command, a container or a port, held by descriptors. The callee of rt_io_free() closes them. */
struct rt_io {
	const struct rt_io_ops *ops;
	/* To be written; to be read; -1: not wanted. At a terminal out is it, for both ways, and in is -1. Blocking
	 * until their owner says otherwise. */
	int in, out, errs;
};

struct rt_io_ops {
	int (*resize)(struct rt_io *io, int columns, int rows, struct err *err);
	/* What the command ended with, once it has: blocks; ERR_UNAVAILABLE when stop_fd (-1: none) can be read. NULL:
	 * it has no end of its own (attach, ports). Its output may still be under way in the descriptors. */
	int (*wait)(struct rt_io *io, int stop_fd, int *ret_code, struct err *err);
	void (*free)(struct rt_io *io); /* a command that runs yet is killed */
};

static inline void rt_io_free(struct rt_io *io)
{
	if (io)
		io->ops->free(io);
}

/* One lifecycle notice: look at this pod again. */
struct rt_event {
	struct sv pod_uid; /* "" : unknown, look at all */
	struct sv container_id;
};

struct runtime_ops {
	const char *name;
	int (*version)(struct runtime *r, struct arena *a, struct rt_version *ret, struct err *err);
	int (*status)(struct runtime *r, struct arena *a, struct rt_status *ret, struct err *err);
	/* A handler that it does not know is an error that says so: no runtime for "x" is configured. */
	int (*run_sandbox)(struct runtime *r, struct arena *a, const struct rt_sandbox_config *c, struct sv *ret_id,
			   struct err *err);
	int (*stop_sandbox)(struct runtime *r, struct sv id, struct err *err);	 /* idempotent */
	int (*remove_sandbox)(struct runtime *r, struct sv id, struct err *err); /* idempotent */
	int (*sandbox_status)(struct runtime *r, struct arena *a, struct sv id, struct rt_sandbox *ret,
			      struct err *err);
	/* pod_uid "": all. */
	int (*list_sandboxes)(struct runtime *r, struct arena *a, struct sv pod_uid, struct rt_sandbox **ret,
			      size_t *ret_n, struct err *err);
	int (*create_container)(struct runtime *r, struct arena *a, struct sv sandbox_id,
				const struct rt_container_config *c, const struct rt_sandbox_config *sc,
				struct sv *ret_id, struct err *err);
	int (*start_container)(struct runtime *r, struct sv id, struct err *err);
	/* Sends the stop signal and waits at most wait_ns for the end: ERR_TIMEOUT when it still runs then (it is
	 * not killed: the notice of its end, or a later call, is what follows). Killed when it outlives
	 * timeout_s, if the call is still waiting then; at once when that is 0. Idempotent. */
	int (*stop_container)(struct runtime *r, struct sv id, int64_t timeout_s, int64_t wait_ns, struct err *err);
	int (*remove_container)(struct runtime *r, struct sv id, struct err *err);
	int (*container_status)(struct runtime *r, struct arena *a, struct sv id, struct rt_container *ret,
				struct err *err);
	int (*list_containers)(struct runtime *r, struct arena *a, struct sv pod_uid, struct rt_container **ret,
			       size_t *ret_n, struct err *err);
	/* Runs a command to its end; at most max bytes of each stream. ERR_TIMEOUT when it is over time. stop_fd: when
	 * it can be read, the call is given up, which is ERR_UNAVAILABLE and soon the command's end (-1: none). */
	int (*exec_sync)(struct runtime *r, struct arena *a, struct sv id, const struct sv *argv, size_t argc,
			 int64_t timeout_s, size_t max, int stop_fd, struct sv *ret_out, struct sv *ret_err,
			 int *ret_code, struct err *err);
	/* Streaming endpoints: an URL the kubelet forwards the upgraded connection to. */
	int (*exec_url)(struct runtime *r, struct arena *a, struct sv id, const struct sv *argv, size_t argc, bool tty,
			bool in, bool out, bool errs, struct sv *ret_url, struct err *err);
	int (*attach_url)(struct runtime *r, struct arena *a, struct sv id, bool tty, bool in, bool out, bool errs,
			  struct sv *ret_url, struct err *err);
	int (*port_forward_url)(struct runtime *r, struct arena *a, struct sv sandbox_id, const int *ports, size_t n,
				struct sv *ret_url, struct err *err);
	int (*reopen_log)(struct runtime *r, struct sv id, struct err *err);
	/* New limits for a running container; of c only the Linux resources are looked at. */
	int (*update_resources)(struct runtime *r, struct sv id, const struct rt_container_config *c, struct err *err);
	/* Images. NULL result with 0: not present. */
	int (*image_status)(struct runtime *r, struct arena *a, struct sv image, struct rt_image **ret,
			    struct err *err);
	/* stop_fd: when it can be read, the pull is given up, which is an error (-1: none). */
	int (*pull_image)(struct runtime *r, struct arena *a, struct sv image, const struct val *auth, int stop_fd,
			  struct sv *ret_ref, struct err *err);
	int (*list_images)(struct runtime *r, struct arena *a, struct rt_image **ret, size_t *ret_n, struct err *err);
	int (*remove_image)(struct runtime *r, struct sv image, struct err *err);
	int (*stats)(struct runtime *r, struct arena *a, struct rt_stats **ret, size_t *ret_n, struct err *err);
	int (*fs_usage)(struct runtime *r, struct arena *a, uint64_t *ret_bytes, struct sv *ret_mountpoint,
			struct err *err);
	/* Tells the runtime the node's pod CIDR (CNI template runtimes); may be NULL. */
	int (*update_pod_cidr)(struct runtime *r, struct sv cidr, struct err *err);
	/* Subscribes to lifecycle notices; notice() runs on the runtime's own thread. Returns 0, or -1 with
	 * ERR_METHOD_NOT_ALLOWED when the runtime has none (poll then). */
	int (*subscribe)(struct runtime *r, void (*notice)(const struct rt_event *ev, void *ctx), void *ctx,
			 struct err *err);
	void (*unsubscribe)(struct runtime *r); /* no notice() follows; fine when not subscribed */
	void (*free)(struct runtime *r);
};

struct runtime {
	const struct runtime_ops *ops;
};

/* CRI v1 over gRPC: "unix:///run/containerd/containerd.sock". */
struct runtime *runtime_cri_new(struct env *env, const char *endpoint, struct err *err);
/* In memory, for tests and the simulator: containers "run" until told otherwise. */
struct runtime *runtime_fake_new(struct env *env);
