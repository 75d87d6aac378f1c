/* Tasks and timers of the agent, and its last moment: who drops the last reference frees it. */
#include "kubelet/ktask.h"

#include "kubelet/kubelet-internal.h"
#include "kubelet/runtime_down.h"

#include <stdlib.h>

static void ktask_strings_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

struct kubelet *kubelet_ref(struct kubelet *k)
{
	k->refs++;
	return k;
}

void kubelet_unref(struct kubelet *k)
{
	if (--k->refs)
		return;
	ktask_strings_free(k->node_labels);
	ktask_strings_free(k->node_annotations);
	ktask_strings_free(k->node_taints);
	free(k->node_name);
	free(k->node_ips);
	free(k->root_dir);
	free(k->log_dir);
	free(k->storage_dir);
	free(k->cluster_dns);
	free(k->resolv_conf);
	free(k->cluster_domain);
	free(k->pause_image);
	free(k->cgroup_root);
	free(k->repair_said);
	strmap_release(&k->table);
	strmap_release_with(&k->by_container, free);
	strmap_release(&k->relisted);
	close_fdp(&k->stop_fd);
	runtime_down_release(&k->runtime_down);
	pthread_mutex_destroy(&k->admitting);
	pthread_mutex_destroy(&k->looking_back);
	restored_release(&k->restored);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->idle);
	free(k);
}

bool ktask_enter(struct kubelet *k)
{
	bool ok;

	pthread_mutex_lock(&k->lock);
	ok = !k->stopping;
	k->active += ok;
	pthread_mutex_unlock(&k->lock);
	return ok;
}

bool kubelet_stopping(struct kubelet *k)
{
	bool stopping;

	pthread_mutex_lock(&k->lock);
	stopping = k->stopping;
	pthread_mutex_unlock(&k->lock);
	return stopping;
}

void ktask_leave(struct kubelet *k)
{
	pthread_mutex_lock(&k->lock);
	if (--k->active == 0)
		pthread_cond_broadcast(&k->idle);
	pthread_mutex_unlock(&k->lock);
}

/* Each timer holds a reference, dropped by its task (kubelet_fired) or by who prevented that (kubelet_timer_stop). */
void kubelet_rearm(struct kubelet *k, struct env_timer **slot, enum env_class class, int64_t delay_ns, env_fn *fn)
{
	pthread_mutex_lock(&k->lock);
	if (!k->stopping && !*slot) {
		kubelet_ref(k);
		*slot = env_after(k->env, class, delay_ns, fn, k);
	}
	pthread_mutex_unlock(&k->lock);
}

void kubelet_hurry(struct kubelet *k, struct env_timer **slot, enum env_class class, int64_t delay_ns, env_fn *fn)
{
	/* A run that was prevented passes its reference on; one that begins this moment needs no other. */
	if (!k->stopping && *slot && env_timer_stop(k->env, TAKE(*slot)))
		*slot = env_after(k->env, class, delay_ns, fn, k);
}

bool kubelet_fired(struct kubelet *k, struct env_timer **slot)
{
	bool go;

	pthread_mutex_lock(&k->lock);
	*slot = env_timer_cancel(k->env, *slot);
	go = !k->stopping;
	k->active += go;
	pthread_mutex_unlock(&k->lock);
	if (!go)
		kubelet_unref(k);
	return go;
}

void kubelet_fired_end(struct kubelet *k)
{
	ktask_leave(k);
	kubelet_unref(k);
}

void kubelet_timer_stop(struct kubelet *k, struct env_timer **slot)
{
	struct env_timer *t;

	pthread_mutex_lock(&k->lock);
	t = TAKE(*slot);
	pthread_mutex_unlock(&k->lock);
	if (t && env_timer_stop(k->env, t))
		kubelet_unref(k);
}
