/* What a node makes outside its directory (the pods' network, the bound on all pods' processes) is everybody's who is
 * root on the machine: looked at now and then, put back, and said. */
#include "kubelet/node_repair.h"

#include "base/log.h"
#include "kubelet/cgroups.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/machine.h"
#include "kubelet/node_status.h"
#include "net/link_watch.h"

#include <stdlib.h>

#define REPAIR_NS (10 * NS_PER_SEC)
#define CHANGED_NS NS_PER_SEC /* a pod that comes or goes changes several links, one after another */

/* All pods together leave the machine processes to log in with and to end them. */
void node_limit_pids(struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (cgroup_limit_pids(cgroup_pods_path(&a, k->cgroup_root), machine_pids_allocatable(machine_pids()), &err) <
		0 &&
	    !k->repaired) /* at the start */
		log_warn(SYS, "the number of all pods' processes is not limited", "why", "%s", err_msg(&err));
}

/* What was put back is said each time, what cannot be once until that changes. True: there was such a thing. */
static bool repair_look(struct kubelet *k)
{
	_cleanup_(buf_release) struct buf said = BUF_INIT;
	int rc;

	k->repaired = true;
	rc = k->repair ? k->repair(k->repair_ctx, &said) : 0;
	if (k->files)
		node_limit_pids(k);
	if (rc > 0) {
		log_warn(SYS, "the pods' network was changed by somebody else, and repaired", "what", "%s",
			 buf_cstr(&said));
		node_status_event(k, "Warning", "PodNetworkRepaired", "Something else changed the pods' network: %s",
				  buf_cstr(&said));
	} else if (rc < 0 && (!k->repair_said || strcmp(k->repair_said, buf_cstr(&said)) != 0)) {
		log_error(SYS, "the pods' network cannot be repaired", "why", "%s", buf_cstr(&said));
		node_status_event(k, "Warning", "PodNetworkBroken", "The pods' network cannot be repaired: %s",
				  buf_cstr(&said));
	}
	free(k->repair_said);
	k->repair_said = rc < 0 ? xstrdup(buf_cstr(&said)) : NULL;
	return rc != 0;
}

static void repair_fired(void *ctx)
{
	struct kubelet *k = ctx;
	bool again, did;

	if (!kubelet_fired(k, &k->repair_timer))
		return;
	pthread_mutex_lock(&k->lock);
	k->repair_wanted = false;
	pthread_mutex_unlock(&k->lock);
	did = repair_look(k);
	pthread_mutex_lock(&k->lock);
	k->repair_did = did;
	again = k->repair_wanted && !did;
	pthread_mutex_unlock(&k->lock);
	kubelet_rearm(k, &k->repair_timer, ENV_NODE, again ? CHANGED_NS : REPAIR_NS, repair_fired);
	kubelet_fired_end(k);
}

void node_repair_soon(void *ctx)
{
	struct kubelet *k = ctx;

	pthread_mutex_lock(&k->lock);
	if (!k->repair_wanted && !k->repair_did)
		kubelet_hurry(k, &k->repair_timer, ENV_NODE, CHANGED_NS, repair_fired);
	k->repair_wanted = true;
	pthread_mutex_unlock(&k->lock);
}

void node_repair_start(struct kubelet *k)
{
	if (k->files)
		node_limit_pids(k);
	kubelet_rearm(k, &k->repair_timer, ENV_NODE, NS_PER_SEC / 5, repair_fired);
	if (k->files && k->repair)
		k->links = link_watch_new(k->env, LINK_WATCH_LINKS, node_repair_soon, k);
}
