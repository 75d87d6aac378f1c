/* kubelet.h - the node agent: makes this node run the Pods the API assigns to it.
 *
 *	API (informer: pods of this node) ─▶ pod worker, one per pod, serialised (client/workq.h)
 *	                                         │ compares wanted and actual
 *	                                         ▼
 *	          volumes/ ── cri/ (struct runtime_ops) ── probes ── status ─▶ API
 *	                                         ▲
 *	             runtime events, PLEG relist ┘
 *
 * Survives restarts: containers run on while it is away; on start it adopts what the runtime
 * holds (labels io.kubernetes.*), and restarts nothing that matches.
 */
#pragma once

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "client/client.h"
#include "kubelet/runtime.h"

struct ev_loop;
struct kubelet;
struct recorder;

struct buf;
struct informer_factory;
void kubelet_keep(struct informer_factory *f); /* says what of Services is read */

struct kubelet_opts {
	struct env *env;
	struct client *client; /* acting as system:node:<name> */
	/* For Services (environment variables): shared, after kubelet_keep(); stopped before kubelet_free(); NULL: its
	 * own. */
	struct informer_factory *informers;
	/* What the node's other parts add to /metrics; NULL: nothing. Any thread, until kubelet_free(). */
	void (*metrics)(void *ctx, struct buf *b);
	void *metrics_ctx;
	struct runtime *runtime;	 /* borrowed */
	const struct kubelet_host *host; /* NULL: the real host; the simulator gives its own */
	const char *node_name;
	const char
	    *node_ips; /* "v4", "v6", "v4 v6": the first one is its own, the other one it has, too; NULL: 127.0.0.1 */
	const char *root_dir;				/* "/var/lib/kubelet" or under --data-dir */
	const char *log_dir;				/* "/var/log/pods" */
	const char *storage_dir;			/* of the provisioner (local_path.h), absolute; NULL: none */
	const char *cluster_dns, *cluster_domain;	/* for ClusterFirst pods; dns NULL: host's resolv.conf */
	const char *resolv_conf;			/* of pods without cluster DNS; NULL: resolv_conf_host_file() */
	const char *pause_image;			/* for sandboxes */
	int port;					/* HTTPS 10250; 0: any; -1: no server */
	bool port_else_any;				/* a free port where that one is taken */
	int listening_fd;				/* > 0: the server's socket, taken; else it binds one */
	struct sv serving_cert, serving_key, client_ca; /* PEM; client_ca is borrowed */
	const char *cgroup_root;			/* "" : /kubepods */
	int max_pods;					/* 110 */
	int64_t pod_max_pids;				/* 0: by machine_pod_pids(); -1: no limit */
	/* How long pods that run here and that a restored cluster does not know are kept (lost.h); 0: not at all. The
	 * file, NULL for none, is where the last revision outlives the agent. */
	int64_t restore_grace_ns;
	const char *revision_file;
	int64_t status_period_ns, lease_period_ns; /* 0: 10 s, lease 10 s of 40 */
	/* The runtime has not answered for a while, though it is there: whoever owns it may end it, to be started anew.
	 * Called on a thread of the kubelet's own, not after kubelet_free(). May be NULL. */
	void (*runtime_hangs)(void *ctx);
	void *runtime_ctx;
	/* Now and then, and when links changed: is what the node has made of its machine still there? As
	 * podnet_repair(). May be NULL. */
	int (*repair)(void *ctx, struct buf *said);
	void *repair_ctx;
	/* Between the sandbox of a pod of its own network and the first container: what restricts its connections is in
	 * force from the first packet on. Again for each new sandbox, and for those found after a start. -1: it is not
	 * yet, and no container starts until it is. May block for some milliseconds. NULL: nothing does. */
	int (*network_ready)(void *ctx, struct obj *pod, const struct sv *ips, size_t n_ips, struct err *err);
	/* The sandbox, and with it the addresses, is gone; of pod nothing is read but who it is. NULL with the former.
	 */
	void (*network_gone)(void *ctx, struct obj *pod);
	void *network_ctx;
	const char *const *node_labels;	     /* "k=v", NULL-terminated, or NULL */
	const char *const *node_annotations; /* as node_labels */
	const char *const *node_taints;	     /* "k=v:Effect", for a Node that is new; as node_labels */
};

/* What a kubelet asks of its machine, as a table so that the simulator can run the same code. */
struct kubelet_host {
	int (*make_pod_dirs)(struct kubelet *k, const struct val *pod, struct err *err);
	/* 1: one is not there yet; the pod is kicked when there is news. */
	int (*setup_volumes)(struct kubelet *k, const struct val *pod, struct err *err);
	/* Removes its volumes, a part at a time. 1: call again, there is more; 2: the same in a while, or when the pod
	 * is kicked: a driver or a file server is waited for; 0: all are gone. */
	int (*teardown_pod)(struct kubelet *k, struct sv uid, struct err *err);
	/* Makes it, with the limits of its spec, or removes it; of a pod without one, whatever its class was. */
	int (*pod_cgroup)(struct kubelet *k, const struct val *pod, bool create, struct err *err);
	bool (*apparmor)(void); /* can the kernel confine by AppArmor? NULL: it is said to */
	void (*machine_info)(struct kubelet *k, struct arena *a, struct val *node_status); /* capacity, nodeInfo */
	/* A short text about a container of a pod that outlives the agent, and goes with the pod. Both may be NULL:
	 * then nothing is remembered. get: SV_NULL when there is none. */
	int (*note_put)(struct kubelet *k, struct sv uid, const char *container, struct sv text, struct err *err);
	struct sv (*note_get)(struct kubelet *k, struct arena *a, struct sv uid, const char *container);
	/* Bytes on disk of an emptyDir, negative when they cannot be counted. NULL: nobody counts. */
	int64_t (*emptydir_bytes)(struct kubelet *k, const struct val *pod, struct sv volume);
};

/* "key=value:NoSchedule" or "key:NoExecute", as --node-taint and `kubectl taint` take them. */
bool node_taint_parse(struct sv text, struct sv *ret_key, struct sv *ret_value, struct sv *ret_effect);

struct kubelet *kubelet_new(const struct kubelet_opts *o, struct err *err); /* registers the node, starts */
/* Before there is a kubelet: the Node, when it is registered, is said not to be ready since its runtime is down. */
int kubelet_say_down(struct env *env, struct client *c, struct recorder *r, const char *node_name, const char *why,
		     struct err *err);
int kubelet_port(const struct kubelet *k);
/* Of its server's network thread, for small servers of the same node, which stop before kubelet_free(). NULL: none. */
struct ev_loop *kubelet_loop(const struct kubelet *k);
int kubelet_fd(const struct kubelet *k); /* of its listening socket, borrowed; -1: no server */
/* The server's certificate from now on: renewed, or signed at last. Any thread. */
int kubelet_serve_with(struct kubelet *k, struct sv cert, struct sv key, struct err *err);
struct kubelet *kubelet_free(struct kubelet *k); /* stops; containers run on */
