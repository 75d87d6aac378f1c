/* The agent's life: its parts are made and ended in order, and the API's news of pods reaches the table. */
#include "kubelet/kubelet.h"

#include "kubelet/config_watch.h"
#include "kubelet/csi_agent.h"
#include "kubelet/env_vars.h"
#include "kubelet/host.h"
#include "kubelet/images.h"
#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/net_mount.h"
#include "kubelet/logs_rotate.h"
#include "kubelet/machine.h"
#include "kubelet/node_repair.h"
#include "kubelet/node_status.h"
#include "kubelet/lost.h"
#include "kubelet/orphans.h"
#include "kubelet/pod_certs.h"
#include "kubelet/pod_table.h"
#include "kubelet/pod_worker.h"
#include "kubelet/probes.h"
#include "kubelet/relist.h"
#include "kubelet/runtime_class.h"
#include "kubelet/runtime_down.h"
#include "kubelet/runtime_health.h"
#include "kubelet/server.h"
#include "kubelet/trust_bundles.h"
#include "kubelet/usage/rates.h"
#include "kubelet/volume_metrics.h"
#include "kubelet/volumes/volumes.h"
#include "net/link_watch.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <stdlib.h>

#define REFRESH_NS (60 * NS_PER_SEC)
#define SYNC_WORKERS 8

static char **strings_copy(const char *const *list)
{
	size_t n = 0;
	char **copy;

	while (list && list[n])
		n++;
	copy = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		copy[i] = xstrdup(list[i]);
	return copy;
}

/* --- pods --- */

static void on_add(struct obj *o, void *ctx)
{
	lost_look(ctx); /* who has a pod knows of which time it is */
	pod_table_seen(ctx, o, false, false);
}

static void kubelet_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct kubelet *k = ctx;

	if (!sv_eq(obj_uid(old), obj_uid(neu))) {
		lost_look(k);
		pod_table_seen(k, old, true, false);
	}
	/* What volumes of kind downwardAPI show and may change. */
	pod_table_seen(k, neu, false,
		       !val_same(obj_labels(old), obj_labels(neu)) ||
			   !val_same(obj_get(old, F_metadata, F_annotations), obj_get(neu, F_metadata, F_annotations)));
}

static void on_delete(struct obj *o, void *ctx)
{
	lost_look(ctx);
	pod_table_seen(ctx, o, true, false);
}

/* Tokens and certificates in volumes are brought up to date; the rest is too, should a watch (config_watch.h) have
 * failed. */
static void refresh(void *ctx)
{
	struct kubelet *k = ctx;

	if (!kubelet_fired(k, &k->refresh_timer))
		return;
	kubelet_refresh(k, volumes_need_refresh);
	kubelet_rearm(k, &k->refresh_timer, ENV_NODE, REFRESH_NS, refresh);
	kubelet_fired_end(k);
}

/* --- start and end --- */

static bool is_ready(void *ctx)
{
	struct kubelet *k = ctx;

	return informer_synced(k->pods) && informer_synced(k->services);
}

static char *dup_or(const char *s, const char *or_else)
{
	return s && *s ? xstrdup(s) : or_else ? xstrdup(or_else) : NULL;
}

void kubelet_keep(struct informer_factory *f)
{
	informer_factory_keep(f, RES(core_services), env_service_paths);
}

struct kubelet *kubelet_new(const struct kubelet_opts *o, struct err *err)
{
	struct kubelet *k = xcalloc(1, sizeof(*k));
	const struct informer_handler handler = { .add = on_add, .update = kubelet_on_update, .del = on_delete };
	char selector[300];

	k->refs = 1;
	k->env = o->env;
	k->client = o->client;
	k->rt = o->runtime;
	k->files = !o->host || o->host == &kubelet_host_real;
	k->stop_fd = k->files ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	k->host = o->host ? o->host : &kubelet_host_real;
	k->node_name = xstrdup(o->node_name);
	k->node_ips = dup_or(o->node_ips, "127.0.0.1");
	k->root_dir = dup_or(o->root_dir, "/var/lib/kubelet");
	k->log_dir = dup_or(o->log_dir, "/var/log/pods");
	k->cluster_dns = dup_or(o->cluster_dns, NULL);
	k->resolv_conf = dup_or(o->resolv_conf, NULL);
	k->storage_dir = dup_or(o->storage_dir, "");
	k->cluster_domain = dup_or(o->cluster_domain, "cluster.local");
	k->pause_image = dup_or(o->pause_image, NULL);
	k->cgroup_root = xstrdup(o->cgroup_root ? o->cgroup_root : "");
	k->max_pods = o->max_pods ? o->max_pods : 110;
	k->pod_max_pids = o->pod_max_pids ? MAX(o->pod_max_pids, 0) : machine_pod_pids(machine_pids());
	k->port = o->port;
	k->status_period_ns = o->status_period_ns ? o->status_period_ns : 10 * NS_PER_SEC;
	k->lease_period_ns = o->lease_period_ns ? o->lease_period_ns : 10 * NS_PER_SEC;
	k->runtime_hangs = o->runtime_hangs;
	k->runtime_ctx = o->runtime_ctx;
	k->repair = o->repair;
	k->repair_ctx = o->repair_ctx;
	k->network_ready = o->network_ready;
	k->network_gone = o->network_gone;
	k->network_ctx = o->network_ctx;
	k->relisted_ns = env_mono_ns(k->env);
	k->node_labels = strings_copy(o->node_labels);
	k->node_annotations = strings_copy(o->node_annotations);
	k->node_taints = strings_copy(o->node_taints);
	runtime_down_init(&k->runtime_down);
	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->admitting, NULL);
	pthread_mutex_init(&k->looking_back, NULL);
	restored_init(&k->restored, o->revision_file, o->restore_grace_ns);
	pthread_cond_init(&k->idle, NULL);

	k->metrics = o->metrics;
	k->since_ns = env_now_ns(o->env);
	k->metrics_ctx = o->metrics_ctx;
	k->recorder = recorder_new(k->client, "kubelet", k->node_name);
	k->images = images_new(k);
	k->configs = config_watch_new(k);
	k->counted = metric_set_new(volume_families, _VM_MAX);
	k->rates = rates_new();
	k->mounts = net_mounts_new(o->env, NULL);
	net_mounts_counted(k->mounts, k->counted);
	k->certs = pod_certs_new(k);
	k->bundles = trust_bundles_new(k);
	k->classes = runtime_classes_new(k);
	if (k->files)
		csi_agent_start(k);
	if (o->port >= 0 && k->files) {
		k->server = kserver_new(k, o, err);
		if (!k->server)
			goto fail;
		k->port = kserver_port(k->server);
	}
	k->factory = informer_factory_new(k->client);
	snprintf(selector, sizeof(selector), "spec.nodeName=%s", k->node_name);
	k->pods = informer_get(k->factory, RES(core_pods), NULL, NULL, selector);
	if (!o->informers)
		kubelet_keep(k->factory);
	k->services = informer_get(o->informers ? o->informers : k->factory, RES(core_services), NULL, NULL, NULL);
	k->q = workq_new(k->env, &(struct workq_opts){ .name = "kubelet",
						       .class = ENV_NODE,
						       .workers = SYNC_WORKERS,
						       .reconcile = pod_sync,
						       .ctx = k,
						       .ready = is_ready });
	k->orphans = orphans_new(k);
	informer_add_handler(k->pods, &handler, k);
	if (!node_status_new(k, err)) /* sets k->node before its first task runs */
		goto fail;
	informer_factory_start(k->factory);

	node_repair_start(k);
	rt_health_new(k); /* sets k->health */
	relist_start(k);
	kubelet_rearm(k, &k->refresh_timer, ENV_NODE, REFRESH_NS, refresh);
	if (k->files)
		logs_rotate_start(k);
	return k;
fail:
	kubelet_free(k);
	return NULL;
}

int kubelet_fd(const struct kubelet *k)
{
	return k->server ? kserver_fd(k->server) : -1;
}

struct ev_loop *kubelet_loop(const struct kubelet *k)
{
	return k->server ? kserver_loop(k->server) : NULL;
}

int kubelet_port(const struct kubelet *k)
{
	return k->port;
}

int kubelet_serve_with(struct kubelet *k, struct sv cert, struct sv key, struct err *err)
{
	return k->server ? kserver_serve_with(k->server, cert, key, err) : 0;
}

struct kubelet *kubelet_free(struct kubelet *k)
{
	struct workq *q;

	if (!k)
		return NULL;
	relist_stop(k);
	/* No news from here on; what is known is still asked for by syncs and tasks under way. */
	k->links = fd_watch_free(k->links);
	if (k->factory)
		informer_factory_stop(k->factory);
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	q = TAKE(k->q);
	pthread_mutex_unlock(&k->lock);
	if (k->stop_fd >= 0)
		(void)eventfd_write(k->stop_fd, 1);
	kubelet_timer_stop(k, &k->relist_timer);
	kubelet_timer_stop(k, &k->refresh_timer);
	kubelet_timer_stop(k, &k->status_timer);
	kubelet_timer_stop(k, &k->lease_timer);
	kubelet_timer_stop(k, &k->rotate_timer);
	kubelet_timer_stop(k, &k->health_timer);
	kubelet_timer_stop(k, &k->repair_timer);
	q = q ? workq_free(q) : NULL;
	pthread_mutex_lock(&k->lock);
	while (k->active) /* tasks under way; those still queued will see stopping */
		pthread_cond_wait(&k->idle, &k->lock);
	pthread_mutex_unlock(&k->lock);
	k->orphans = k->orphans ? workq_free(k->orphans) : NULL; /* after the last relist, which adds to it */
	k->csi = csi_free(k->csi);
	k->configs = config_watch_free(k->configs);
	k->certs = pod_certs_free(k->certs);
	k->bundles = trust_bundles_free(k->bundles);
	k->classes = runtime_classes_free(k->classes);
	k->server = kserver_free(k->server); /* after the last task that could post to its loop */
	k->mounts = net_mounts_free(k->mounts);
	k->counted = metric_set_free(k->counted);
	k->rates = rates_free(k->rates);
	k->node = node_status_free(k->node);
	k->factory = informer_factory_free(k->factory);
	for (;;) {
		struct kpod *p = NULL;

		pthread_mutex_lock(&k->lock);
		STRMAP_EACH(&k->table, e) {
			p = kpod_ref(e->value);
			break;
		}
		pthread_mutex_unlock(&k->lock);
		if (!p)
			break;
		for (size_t i = 0; i < p->conts.n; i++)
			probes_stop(p, p->conts.p[i]);
		kubelet_forget_pod(k, p);
		kpod_unref(p);
	}
	k->images = images_free(k->images);
	k->health = rt_health_free(k->health);
	k->recorder = recorder_free(k->recorder);
	kubelet_unref(k);
	return NULL;
}
