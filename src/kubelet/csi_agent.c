#include "kubelet/csi_agent.h"

#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/node_status.h"
#include "kubelet/pod_table.h"

static bool csi_agent_ready(void *ctx)
{
	struct kubelet *k = ctx;

	return k->pods && informer_synced(k->pods);
}

static bool csi_agent_known(void *ctx, struct sv uid)
{
	struct kpod *p = kubelet_pod(ctx, uid);

	if (p)
		kpod_unref(p);
	return p != NULL;
}

static void csi_agent_kick(void *ctx, struct sv uid)
{
	struct kpod *p = kubelet_pod(ctx, uid);

	if (!p)
		return;
	kpod_kick(p);
	kpod_unref(p);
}

static void csi_agent_in_use(void *ctx)
{
	node_status_hurry(ctx);
}

static void csi_agent_event(void *ctx, struct sv uid, const char *type, const char *reason, const char *text)
{
	struct kpod *p = kubelet_pod(ctx, uid);

	if (!p)
		return;
	kpod_event(p, NULL, type, reason, "%s", text);
	kpod_unref(p);
}

void csi_agent_start(struct kubelet *k)
{
	k->csi = csi_new(&(struct csi_opts){ .env = k->env,
					     .client = k->client,
					     .node_name = k->node_name,
					     .root_dir = k->root_dir,
					     .counted = k->counted,
					     .pods_known = csi_agent_ready,
					     .pod_known = csi_agent_known,
					     .kick = csi_agent_kick,
					     .in_use_changed = csi_agent_in_use,
					     .event = csi_agent_event,
					     .ctx = k });
}

int csi_agent_want(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *volume,
		   struct obj *claim, struct obj *source, struct csi_place *ret, struct err *err)
{
	struct kpod *p = k->csi ? kubelet_pod(k, val_get_str(pod, F_metadata, F_uid)) : NULL;
	struct csi_want w = { .volume = volume, .claim = claim, .source = source };
	int rc;

	if (!p)
		return err_set(err, ERR_UNAVAILABLE, "this node takes no volumes of drivers for this pod");
	w.pod = kpod_obj(p, a);
	rc = csi_want(k->csi, a, &w, ret, err);
	kpod_unref(p);
	return rc;
}
