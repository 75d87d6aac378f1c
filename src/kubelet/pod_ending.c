/* The end of a pod: its containers, sandboxes, volumes; then the object, and what is left of it on the node. */
#include "kubelet/config_watch.h"
#include "kubelet/host.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/net_mount.h"
#include "kubelet/pod_stop.h"
#include "kubelet/pod_table.h"
#include "kubelet/pod_worker-internal.h"
#include "kubelet/probes.h"

void sync_let_go(struct sync *s)
{
	struct kpod *p = s->p;

	for (size_t i = 0; i < p->conts.n; i++)
		probes_stop(p, p->conts.p[i]);
	if (p->watching)
		config_watch_drop(s->k->configs, p, s->pod);
	p->watching = false;
	kubelet_forget_pod(s->k, p);
}

int sync_stopping(struct sync *s, struct err *err)
{
	struct kpod *p = s->p;
	/* Vanished without our doing: a forced delete; nobody waits for it. */
	int64_t grace = s->vanished && !obj_deleting(s->obj) ? 2 : -1;

	if (p->forced_reason && !strcmp(p->forced_reason, "Evicted"))
		grace = 1; /* it goes on filling the disk while it is asked politely */

	p->terminal = true;
	if (!pod_stop_step(p, s->pod, &s->x, grace, &s->wake_ns))
		return 0;
	for (size_t i = 0; i < s->x.n_sandboxes; i++)
		if (s->x.sandboxes[i].ready) {
			if (s->k->rt->ops->stop_sandbox(s->k->rt, s->x.sandboxes[i].id, err) < 0)
				return err_wrap(err, "stopping the sandbox");
			s->changed = true;
		}
	sync_network_is_gone(s);
	if (!p->torn_down) {
		int rc = s->k->host->teardown_pod(s->k, sv_from(p->uid), err);

		if (rc < 0)
			return err_wrap(err, "removing the pod's volumes");
		if (rc > 0) { /* after the others that wait for a sync */
			sync_wake(s, rc > 1 ? NET_LOOK_NS : 0);
			return 0;
		}
		if (s->k->host->pod_cgroup(s->k, s->pod, false, err) < 0)
			return -1;
		p->torn_down = true;
		if (p->watching)
			config_watch_drop(s->k->configs, p, s->pod);
		p->watching = false;
	}
	pod_state_set(p, POD_STOPPED);
	if (p->taken == TAKEN_YES)
		pod_taken_set(p, TAKEN_NO);
	return 0;
}

int sync_stopped(struct sync *s, struct err *err)
{
	struct kpod *p = s->p;
	struct err e = ERR_INIT;

	if (!s->vanished && obj_deleting(s->obj)) {
		const struct client_delete_opts del = { .grace_seconds = 0, .precondition_uid = sv_from(p->uid) };

		if (client_delete(s->k->client, RES(core_pods), sv_from(p->ns), sv_from(p->name), &del, &e) < 0 &&
		    e.reason != ERR_NOT_FOUND && e.reason != ERR_CONFLICT)
			return err_move(err, &e);
		err_release(&e);
		/* Its disappearance comes back through the informer; finalizers may keep it. */
		return 0;
	}
	if (!s->vanished)
		return 0;
	for (size_t i = 0; i < s->x.n_containers; i++)
		if (s->k->rt->ops->remove_container(s->k->rt, s->x.containers[i].id, err) < 0)
			return -1;
	for (size_t i = 0; i < s->x.n_sandboxes; i++)
		if (s->k->rt->ops->remove_sandbox(s->k->rt, s->x.sandboxes[i].id, err) < 0)
			return -1;
	if (s->k->files) {
		int rc = pod_dirs_remove(s->k, s->pod, err);

		if (rc < 0)
			return err_wrap(err, "removing the pod's directory");
		if (rc > 0) {
			sync_wake(s, 0);
			return 0;
		}
	}
	pod_state_set(p, POD_GONE);
	kubelet_forget_pod(s->k, p);
	return 0;
}
