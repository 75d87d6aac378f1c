/* Instances of a container: the one that is current, and what is known of the start of one. */
#include "kubelet/instance.h"

#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_table.h"
#include "kubelet/probes.h"
#include "kubelet/runtime.h"

#include <stdlib.h>

void kcont_reset(struct kpod *p, struct kcont *c, struct sv id)
{
	if (c->id && sv_is(id, c->id))
		return;
	probes_stop(p, c);
	pthread_mutex_lock(&p->lock);
	free(c->id);
	c->id = xstrndup(id.p, id.n);
	c->post_start = c->pre_stop = HOOK_NONE;
	free(TAKE(c->hook_message));
	c->kill_at_ns = NEVER_NS;
	c->stop_wanted = c->term_sent = c->killed = c->stop_call = false;
	c->noted = STOP_HOOK;
	c->unanswered = true;
	c->limits.known = false;
	c->resize_reason = NULL;
	pthread_mutex_unlock(&p->lock);
	if (id.n)
		kubelet_know_container(p->k, id, sv_from(p->uid));
}

bool instance_never_ran(const struct kcont *c, const struct val *told, const struct rt_container *rc)
{
	switch (rc->state) {
	case RT_RUNNING:
		return false;
	case RT_CREATED:
		return true;
	case RT_EXITED:
		if (rc->started_ns && !sv_is(rc->reason, "StartError"))
			return false;
		break;
	default:
		break;
	}
	/* Its start was answered, or it was seen running: how it ended since is its own doing. */
	if (c->id && sv_is(rc->id, c->id) && !c->unanswered)
		return false;
	/* Else the start was cut off with the agent or the runtime before this one, unless that one could still say
	 * otherwise. */
	return !status_tells_run(pod_container_status(told, rc->name), rc->id);
}
