#include "kubelet/lost.h"

#include "base/log.h"
#include "base/timefmt.h"
#include "client/informer.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/node_status.h"
#include "kubelet/pod_table.h"

static void lost_mark(struct kubelet *k, struct kpod *p)
{
	_cleanup_obj_ struct obj *there = informer_lookup(k->pods, sv_from(p->ns), sv_from(p->name));
	bool lost;

	pthread_mutex_lock(&p->lock);
	lost = !there && !p->vanished && p->obj && !obj_deleting(p->obj);
	p->lost = p->lost || lost;
	pthread_mutex_unlock(&p->lock);
	if (lost)
		kpod_kick(p);
}

void lost_look(struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kpod **pods;
	size_t n;

	/* Whoever comes second waits: it must not end what is just about to be marked. */
	pthread_mutex_lock(&k->looking_back);
	if (restored_look(&k->restored, informer_rev(k->pods), env_mono_ns(k->env))) {
		log_warn(SYS,
			 "this is another time of the cluster, restored perhaps: pods that it does not know are kept",
			 "for", "%" PRId64 " s", k->restored.grace_ns / NS_PER_SEC);
		pods = kubelet_pods(k, &a, &n);
		for (size_t i = 0; i < n; i++) {
			lost_mark(k, pods[i]);
			kpod_unref(pods[i]);
		}
	}
	pthread_mutex_unlock(&k->looking_back);
}

bool lost_kept(struct kubelet *k, struct sv uid, const struct rt_sandbox *s, size_t n)
{
	struct kpod *named;

	if (!n || !restored_holds(&k->restored, env_mono_ns(k->env)))
		return false;
	named = kubelet_pod_named(k, s[0].ns, s[0].name);
	if (named) { /* it is in the way of that one */
		kpod_unref(named);
		return false;
	}
	if (restored_tell(&k->restored, uid)) {
		log_warn(SYS, "a pod runs that the restored cluster does not know", "pod", "%.*s/%.*s, uid %.*s",
			 SV_ARG(s[0].ns), SV_ARG(s[0].name), SV_ARG(uid));
		node_status_event(
		    k, "Warning", "KeptAfterRestore",
		    "Pod %.*s/%.*s (uid %.*s) runs here, but the cluster was put back to a time that does "
		    "not know it: it is kept for %" PRId64 " s (--restore-grace), then ended. Make a Pod of "
		    "that name, or save what you need of it",
		    SV_ARG(s[0].ns), SV_ARG(s[0].name), SV_ARG(uid), k->restored.grace_ns / NS_PER_SEC);
	}
	return true;
}

void lost_ends(struct kubelet *k, struct sv uid, const struct rt_sandbox *s, size_t n)
{
	if (!n || !restored_untell(&k->restored, uid))
		return;
	node_status_event(k, "Normal", "EndedAfterRestore",
			  "Pod %.*s/%.*s (uid %.*s), which the restored cluster does not know, is ended",
			  SV_ARG(s[0].ns), SV_ARG(s[0].name), SV_ARG(uid));
}
