/* csi.h - volumes of drivers outside, on this node: which drivers there are, and what pods want of them.
 *
 *	csi_want() ──▶ attached ──▶ staged ──▶ published ──▶ kick, csi_want() is 0
 *	csi_drop_pod() ──▶ unpublished ──▶ (nobody left) unstaged ──▶ kick, csi_drop_pod() is false
 *
 * Asking costs nothing: what takes long is a task of the volume's own, which kicks the pod when there is news. What was
 * mounted by an agent before is found at start; of what no pod of this node wants any more the driver is asked to take
 * it away.
 *
 * A driver shows itself by a socket in <root>/plugins_registry. It is asked who it is, the Node and its CSINode say so,
 * and it is told that it is registered; when the socket goes, all that is taken back. One whose registration fails is
 * tried again, after half a second, then ever later, to two minutes.
 *
 * Threads: any; nothing here waits for a driver but its own tasks (ENV_VOLUMES; of sockets ENV_SLOW). Callbacks come
 * without a lock held.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "client/client.h"
#include "kubelet/csi/csi_message.h"

struct csi;

/* One call of a program on a socket; the answer in the arena. Given up when stop_fd can be read. */
typedef int csi_ask_fn(void *ctx, struct arena *a, const char *socket, const char *method, struct sv request,
		       int64_t timeout_ns, int stop_fd, struct sv *ret, struct err *err);

struct csi_opts {
	struct env *env;
	struct client *client; /* the node's own */
	const char *node_name, *root_dir;
	const char *host_dir; /* where the machine's /sys and /etc are; NULL: at its root */
	csi_ask_fn *ask;      /* NULL: gRPC; tests have their own */
	void *ask_ctx;
	struct metric_set *counted; /* of volume_families; NULL: nobody counts */
	/* Of the agent, all with ctx. Until pods are known nothing is taken away, and nothing mounted. */
	bool (*pods_known)(void *ctx);
	bool (*pod_known)(void *ctx, struct sv uid);
	void (*kick)(void *ctx, struct sv uid); /* the pod's volumes have news */
	void (*in_use_changed)(void *ctx);	/* csi_in_use() says something else: the Node is to say it soon */
	void (*event)(void *ctx, struct sv uid, const char *type, const char *reason, const char *text); /* of a pod */
	bool (*mounted)(const char *path); /* does the mount table have it? NULL: the machine's */
	void *ctx;
};

/* What a pod wants: a claim's volume, or one of its own (inline). References are taken as needed. */
struct csi_want {
	struct obj *pod;
	const struct val *volume;   /* of the pod's spec */
	struct obj *claim, *source; /* the claim and its PersistentVolume; NULL: inline */
};

struct csi_place {
	const char *path; /* in the arena: a directory, or a device */
	bool block;
};
/* err->reason_text where the driver's attacher says that the node is full, and has for two minutes: upstream's reason
 * of pods that are rejected for it. */
#define CSI_NODE_FULL "VolumeAttachmentLimitExceeded"
/* 0: it is there; 1: it is being made ready, or waits for its driver: the pod is kicked; -1: the last try failed, there
 * will be others, each with a kick. */
int csi_want(struct csi *c, struct arena *a, const struct csi_want *w, struct csi_place *ret, struct err *err);
/* The pod wants nothing any more. True: something of it is still mounted, or may be; it is kicked when that is gone. */
bool csi_drop_pod(struct csi *c, struct sv uid);
/* The Node is there, or there anew: its CSINode comes, is its own, and has what drivers say. */
void csi_node_registered(struct csi *c);
/* Names of volumes that must stay attached, as node.status.volumesInUse has them; NULL: none. */
struct val *csi_in_use(struct csi *c, struct arena *a);
/* How full a volume of the pod is, as its driver said last; false: it did not. spec_name: the PersistentVolume's name,
 * or that of the pod's own volume. */
bool csi_fullness(struct csi *c, struct sv uid, struct sv spec_name, struct csi_stats *ret);

struct csi *csi_new(const struct csi_opts *o);
/* Calls under way are given up. No callback after. */
struct csi *csi_free(struct csi *c);
