/* What all parts of a pod's sync do; see pod_worker-internal.h. */
#include "kubelet/kubelet-internal.h"
#include "kubelet/instance.h"
#include "kubelet/pod_worker-internal.h"
#include "kubelet/status_sync.h"

int sync_look_again(struct sync *s, struct err *err)
{
	if (pod_actual_read(s->k, s->a, sv_from(s->p->uid), &s->x, err) < 0)
		return -1;
	s->changed = false;
	return 0;
}

void sync_wake(struct sync *s, int64_t ns)
{
	s->wake_ns = MIN(s->wake_ns, MAX(ns, NS_PER_MS));
}

bool sync_never_ran(const struct sync *s, const struct rt_container *rc)
{
	return instance_never_ran(kpod_cont(s->p, rc->name), pod_told(s->p, s->obj), rc);
}

void sync_network_is_gone(struct sync *s)
{
	if (s->p->ready_of)
		s->k->network_gone(s->k->network_ctx, s->obj);
	free(s->p->ready_of);
	s->p->ready_of = NULL;
}
