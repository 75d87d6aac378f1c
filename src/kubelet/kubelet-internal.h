/* kubelet-internal.h - the node agent as its parts see it: what all of them share, each field with its part.
 *
 * Ownership. It is counted (ktask.h); the client, the runtime and the host are borrowed until kubelet_free(). Locks:
 * admitting before lock before kpod.lock; none of them across a call to client, runtime or host.
 */
#pragma once

#include "base/buf.h"
#include "base/strmap.h"
#include "client/events.h"
#include "client/informer.h"
#include "client/workq.h"
#include "kubelet/kubelet.h"
#include "kubelet/restored.h"
#include "kubelet/runtime_down.h"

#include <pthread.h>

#define SYS "kubelet"
#define NEVER_NS INT64_MAX

struct kubelet {
	struct env *env;
	struct client *client;
	struct runtime *rt;
	const struct kubelet_host *host;
	bool files; /* the real host: file system, cgroups and sockets are there */
	char *node_name, *node_ips, *root_dir, *log_dir, *storage_dir, *cluster_dns, *cluster_domain, *resolv_conf,
	    *pause_image, *cgroup_root;
	int max_pods, port;
	int64_t pod_max_pids; /* 0: no limit */
	int64_t status_period_ns, lease_period_ns;
	char **node_labels, **node_annotations, **node_taints;

	struct informer_factory *factory;
	struct informer *pods, *services;
	void (*metrics)(void *ctx, struct buf *b);
	void *metrics_ctx;
	struct metric_set *counted; /* volume_families (volume_metrics.h) */
	struct rates *rates;	    /* of what was used, since it was asked for last (usage/) */
	int64_t since_ns;	    /* wall clock: of its start */
	struct recorder *recorder;
	struct workq *q, *orphans; /* by uid */
	struct restored restored;
	pthread_mutex_t looking_back; /* before k->lock; one looks at a time (lost.h) */

	pthread_mutex_t lock; /* table, by_container, active, stopping */
	pthread_cond_t idle;
	pthread_mutex_t admitting;  /* before k->lock; one pod at a time is taken or refused */
	struct strmap table;	    /* uid -> kpod */
	struct strmap by_container; /* runtime id -> uid (owned text) */
	struct strmap relisted;	    /* uid -> hash of what the last relist saw */
	int active;
	bool stopping;
	int stop_fd; /* an eventfd: what lasts as long as a user says (hooks, probes, pulls) is given up; -1: not told
		      */
	_Atomic int refs;

	struct env_timer *relist_timer, *refresh_timer, *status_timer, *lease_timer, *rotate_timer, *health_timer,
	    *repair_timer;
	int64_t relist_period_ns;
	bool subscribed;
	_Atomic int measuring;	     /* pods whose emptyDirs are being measured */
	_Atomic int64_t relisted_ns; /* mono: the last relist that came through */
	struct runtime_down runtime_down;
	struct rt_health *health;
	void (*runtime_hangs)(void *ctx);
	void *runtime_ctx;
	int (*repair)(void *ctx, struct buf *said);
	void *repair_ctx;
	int (*network_ready)(void *ctx, struct obj *pod, const struct sv *ips, size_t n_ips, struct err *err);
	void (*network_gone)(void *ctx, struct obj *pod);
	void *network_ctx;
	char *repair_said; /* last; the repair's task only, as whether there was one */
	bool repaired;
	bool repair_wanted; /* the links changed since it began to look; under lock */
	bool repair_did; /* the last look changed links itself, or could not: the next one comes when due; under lock */
	struct fd_watch *links;

	struct config_watch *configs;
	struct csi *csi; /* NULL: there are no files */
	struct net_mounts *mounts;
	struct pod_certs *certs;
	struct trust_bundles *bundles;
	struct runtime_classes *classes;
	struct node_status *node;
	struct images *images;
	struct kserver *server;
};
