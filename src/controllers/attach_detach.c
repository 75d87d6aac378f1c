/* attach-detach controller: volumes of drivers are attached to the nodes whose pods want them, by VolumeAttachments
 * that the drivers' own attachers fulfil.
 *
 * Nothing but PersistentVolumes is watched until the first one of a driver is there. */
#include "controllers/attach_detach-internal.h"

#include "base/buf.h"
#include "controllers/podutil.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Keys of the queue are names of nodes, but these: no name is empty or has a slash. */
#define KEY_BEGIN ""	     /* the first volume of a driver has come */
#define KEY_GONE "%.*s/%.*s" /* attachment, its volume: it has gone */
#define READY_NS (50 * NS_PER_MS)

static void index_pod_node(const struct obj *pod, struct index_keys *ret)
{
	bool any = false;

	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		any |= val_member(v, F_persistentVolumeClaim) || val_member(v, F_ephemeral);
	if (any)
		index_keys_add(ret, val_str(obj_get(pod, F_spec, F_nodeName)));
}

static void index_attachment_node(const struct obj *o, struct index_keys *ret)
{
	index_keys_add(ret, val_str(obj_get(o, F_spec, F_nodeName)));
}

static void index_attachment_volume(const struct obj *o, struct index_keys *ret)
{
	index_keys_add(ret, val_str(obj_get(o, F_spec, F_source, F_persistentVolumeName)));
}

/* --- events --- */

static void attach_add(struct attach_detach *c, struct sv node)
{
	if (node.n)
		workq_add(c->q, node);
}

static void attach_pod_news(struct obj *pod, void *ctx)
{
	bool any = false;

	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		any |= val_member(v, F_persistentVolumeClaim) || val_member(v, F_ephemeral);
	if (any)
		attach_add(ctx, val_str(obj_get(pod, F_spec, F_nodeName)));
}

static void attach_pod_updated(struct obj *old, struct obj *now, void *ctx)
{
	if (!sv_eq(val_str(obj_get(old, F_spec, F_nodeName)), val_str(obj_get(now, F_spec, F_nodeName))) ||
	    pod_is_terminal(old) != pod_is_terminal(now))
		attach_pod_news(now, ctx);
}

static void attachment_news(struct obj *o, void *ctx)
{
	attach_add(ctx, val_str(obj_get(o, F_spec, F_nodeName)));
}

static void attachment_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	attachment_news(now, ctx);
}

/* Somebody may wait for the volume to be free: which nodes do is the worker's to know. */
static void attachment_gone(struct obj *o, void *ctx)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;

	attachment_news(o, ctx);
	buf_printf(&key, KEY_GONE, SV_ARG(obj_name(o)),
		   SV_ARG(val_str(obj_get(o, F_spec, F_source, F_persistentVolumeName))));
	workq_add(((struct attach_detach *)ctx)->q, buf_sv(&key));
}

static void attach_node_news(struct obj *node, void *ctx)
{
	attach_add(ctx, obj_name(node));
}

static void attach_node_updated(struct obj *old, struct obj *now, void *ctx)
{
	if (!val_same(obj_get(old, F_status, F_volumesInUse), obj_get(now, F_status, F_volumesInUse)) ||
	    !val_same(obj_get(old, F_spec, F_taints), obj_get(now, F_spec, F_taints)))
		attach_node_news(now, ctx);
}

static void attach_volume_news(struct obj *volume, void *ctx)
{
	struct attach_detach *c = ctx;

	if (obj_get(volume, F_spec, F_csi) && !atomic_exchange(&c->begun, true))
		workq_add(c->q, SV(KEY_BEGIN));
}

/* --- life --- */

static void attach_begin(struct attach_detach *c)
{
	struct informer_factory *f = c->ctx->informers;

	c->claims = informer_get(f, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	c->pods = informer_get(f, RES(core_pods), NULL, NULL, NULL);
	c->nodes = informer_get(f, RES(core_nodes), NULL, NULL, NULL);
	c->drivers = informer_get(f, RES(storage_csidrivers), NULL, NULL, NULL);
	c->attachments = informer_get(f, RES(storage_volumeattachments), NULL, NULL, NULL);
	informer_add_index(c->pods, ATTACH_PODS_BY_NODE, index_pod_node);
	informer_add_index(c->attachments, ATTACH_BY_NODE, index_attachment_node);
	informer_add_index(c->attachments, ATTACH_BY_VOLUME, index_attachment_volume);
	informer_add_handler(c->pods,
			     &(struct informer_handler){ attach_pod_news, attach_pod_updated, attach_pod_news }, c);
	informer_add_handler(c->attachments,
			     &(struct informer_handler){ attachment_news, attachment_updated, attachment_gone }, c);
	informer_add_handler(c->nodes,
			     &(struct informer_handler){ attach_node_news, attach_node_updated, attach_node_news }, c);
}

static bool attach_synced(struct attach_detach *c)
{
	return informer_synced(c->volumes) && informer_synced(c->claims) && informer_synced(c->pods) &&
	       informer_synced(c->nodes) && informer_synced(c->drivers) && informer_synced(c->attachments);
}

/* An attachment has gone. The nodes that wait for its volume look again, and say again what they find. */
static void attach_wake(struct attach_detach *c, struct sv attachment, struct sv volume)
{
	_cleanup_obj_ struct obj *again = informer_lookup(c->attachments, SV(""), attachment);
	struct strmap *nodes = strmap_del(&c->refused, volume);

	if (!again)
		free(strmap_del(&c->since, attachment));
	if (!nodes)
		return;
	STRMAP_EACH(nodes, e)
		workq_add(c->q, sv_make(e->key, e->key_n));
	attach_refused_free(nodes);
}

static int attach_run(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct attach_detach *c = ctx;
	ssize_t slash = sv_find(key, '/');

	if (!c->attachments)
		attach_begin(c);
	if (!attach_synced(c)) {
		ret->after_ns = READY_NS;
		return 0;
	}
	if (slash >= 0)
		attach_wake(c, sv_sub(key, 0, (size_t)slash), sv_sub(key, (size_t)slash + 1, key.n));
	else if (key.n)
		return attach_reconcile(c, key, ret, err);
	return 0;
}

static bool attach_ready(void *ctx)
{
	return informer_synced(((struct attach_detach *)ctx)->volumes);
}

static void *attach_start(struct controller_ctx *ctx)
{
	struct attach_detach *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->volumes = informer_get(ctx->informers, RES(core_persistentvolumes), NULL, NULL, NULL);
	c->q = workq_new(
	    ctx->env,
	    &(struct workq_opts){
		.name = "attachdetach", .workers = 1, .reconcile = attach_run, .ctx = c, .ready = attach_ready });
	informer_add_handler(c->volumes, &(struct informer_handler){ .add = attach_volume_news }, c);
	return c;
}

static void attach_stop(void *controller)
{
	struct attach_detach *c = controller;

	workq_free(c->q);
	strmap_release_with(&c->made, attach_made_free);
	strmap_release_with(&c->since, free);
	strmap_release_with(&c->refused, attach_refused_free);
	free(c);
}

const struct controller_ops attach_detach_controller = { "persistentvolume-attach-detach-controller",
							 "attachdetach-controller", attach_start, attach_stop };
