/* A pod the API does not know is ended in steps of a queue of its own: one that ignores TERM takes seconds, and neither
 * the next relist nor other pods wait for it. What fails is not repeated here: the next relist still sees the pod. */
#include "kubelet/orphans.h"

#include "base/log.h"
#include "kubelet/host.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/lost.h"
#include "kubelet/net_mount.h"
#include "kubelet/runtime_down.h"

#define ORPHAN_WORKERS 8 /* as many as syncs of pods: both mostly wait for the runtime */
#define ORPHAN_GRACE_S 2

/* What is known of it: enough to find its directories and cgroups. */
static struct val *orphan_doc(struct arena *a, const struct rt_sandbox *s)
{
	struct val *doc = val_new_map(a), *meta = val_set_map(a, doc, F_metadata);

	val_set_str(a, meta, F_namespace, s->ns);
	val_set_str(a, meta, F_name, s->name);
	val_set_str(a, meta, F_uid, s->uid);
	return doc;
}

/* Its sandboxes, and with them its addresses, are gone. What restricts a pod that this agent had, and let go of
 * (lost.h), is in force until then. */
static void orphan_network_is_gone(struct kubelet *k, const struct val *doc)
{
	struct obj *o;

	if (!k->network_gone || !doc)
		return;
	o = obj_new(doc, 0);
	k->network_gone(k->network_ctx, o);
	obj_unref(o);
}

/* 1: there is more to do, at once; 2: in a while. The sandbox goes last: by it the next relist finds what is left of
 * the pod. */
static int orphan_remove(struct kubelet *k, struct arena *a, struct sv uid, const struct rt_sandbox *s, size_t n)
{
	const struct val *doc = n ? orphan_doc(a, s) : NULL;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (k->rt->ops->stop_sandbox(k->rt, s[i].id, NULL) < 0)
			return -1;
	orphan_network_is_gone(k, doc);
	rc = k->host->teardown_pod(k, uid, NULL);
	if (rc || !doc)
		return rc;
	if (k->host->pod_cgroup(k, doc, false, NULL) < 0)
		return -1;
	rc = k->files ? pod_dirs_remove(k, doc, NULL) : 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = k->rt->ops->remove_sandbox(k->rt, s[i].id, NULL);
	return rc;
}

static int orphan_step(void *ctx, struct sv uid, struct reconcile_result *ret, struct err *err)
{
	struct kubelet *k = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_container *c;
	struct rt_sandbox *s;
	size_t nc, ns;
	bool known;
	int rc;

	(void)err;
	pthread_mutex_lock(&k->lock);
	known = strmap_has(&k->table, uid) || k->stopping;
	pthread_mutex_unlock(&k->lock);
	if (known || runtime_down(k) || k->rt->ops->list_containers(k->rt, &a, uid, &c, &nc, NULL) < 0 ||
	    k->rt->ops->list_sandboxes(k->rt, &a, uid, &s, &ns, NULL) < 0)
		return 0;
	if (lost_kept(k, uid, s, ns))
		return 0;
	lost_ends(k, uid, s, ns);
	if (nc)
		log_info(SYS, "removing a pod that is not in the API", "uid", "%.*s", SV_ARG(uid));
	for (size_t i = 0; i < nc; i++) {
		if (rt_may_run(c[i].state))
			k->rt->ops->stop_container(k->rt, c[i].id, ORPHAN_GRACE_S, (ORPHAN_GRACE_S + 1) * NS_PER_SEC,
						   NULL);
		k->rt->ops->remove_container(k->rt, c[i].id, NULL);
	}
	rc = orphan_remove(k, &a, uid, s, ns);
	if (rc > 0) /* a large tree, of which that was a part; or a driver, or a file server, takes its volume away */
		ret->after_ns = rc == 1 ? 1 : NS_PER_SEC;
	return 0;
}

struct workq *orphans_new(struct kubelet *k)
{
	return workq_new(
	    k->env,
	    &(struct workq_opts){
		.name = "orphans", .class = ENV_SLOW, .workers = ORPHAN_WORKERS, .reconcile = orphan_step, .ctx = k });
}
