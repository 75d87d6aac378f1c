/* ephemeral volume controller: the claim of each generic ephemeral volume of a Pod, made from the template in the Pod.
 *
 * The claim has a name that follows from the Pod's and the volume's, and the Pod as its controller: it goes with it.
 * What has that name and another owner, or none, is data of somebody else. The Pod does not get it, and waits until it
 * is gone. */
#include "base/buf.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "object/pod_refs.h"
#include "pod/volume_match.h"

#include <stdlib.h>

struct ephemeral {
	struct controller_ctx *ctx;
	struct informer *pods, *claims;
	struct workq *q;
};

#define EPHEMERAL_BY_CLAIM "ephemeral claim"

static void ephemeral_claims(const struct obj *pod, struct index_keys *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		if (val_member(v, F_ephemeral))
			index_keys_add_ref(ret, obj_ns(pod), pod_ephemeral_claim(&b, obj_root(pod), v));
}

static struct val *ephemeral_claim(struct arena *a, const struct obj *pod, const struct val *template, struct sv name)
{
	struct val *doc = val_new_map(a), *meta = val_set_map(a, doc, F_metadata);
	const struct val *labels = val_get(template, F_metadata, F_labels);
	const struct val *annotations = val_get(template, F_metadata, F_annotations);

	val_set_cstr(a, doc, F_apiVersion, "v1");
	val_set_cstr(a, doc, F_kind, "PersistentVolumeClaim");
	val_set_str(a, meta, F_name, name);
	val_set_str(a, meta, F_namespace, obj_ns(pod));
	if (labels)
		val_set(a, meta, F_labels, val_clone(a, labels));
	if (annotations)
		val_set(a, meta, F_annotations, val_clone(a, annotations));
	val_push(a, val_set_list(a, meta, F_ownerReferences), owner_ref(a, RES(core_pods), obj_root(pod), true, true));
	val_set(a, doc, F_spec, val_clone(a, val_member(template, F_spec)));
	return doc;
}

static int ephemeral_volume(struct ephemeral *c, const struct obj *pod, const struct val *v, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv name = pod_ephemeral_claim(&b, obj_root(pod), v);
	_cleanup_obj_ struct obj *claim = informer_lookup(c->claims, obj_ns(pod), name);

	if (claim)
		return claim_made_for_pod(claim, obj_root(pod), err);
	if (client_create(c->ctx->client, RES(core_persistentvolumeclaims), obj_ns(pod),
			  ephemeral_claim(&a, pod, val_get(v, F_ephemeral, F_volumeClaimTemplate), name), NULL, NULL,
			  err) < 0)
		return err_wrap(err, "create PVC %.*s", SV_ARG(name));
	return 0;
}

static int ephemeral_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct ephemeral *c = ctx;
	_cleanup_obj_ struct obj *pod = NULL;
	struct sv ns, name;

	(void)ret;
	workq_key_split(key, &ns, &name);
	pod = informer_lookup(c->pods, ns, name);
	if (!pod || obj_deleting(pod))
		return 0;
	VAL_EACH(obj_get(pod, F_spec, F_volumes), v) {
		if (!val_member(v, F_ephemeral) || ephemeral_volume(c, pod, v, err) == 0)
			continue;
		err_wrap(err, "ephemeral volume %.*s", SV_ARG(val_get_str(v, F_name)));
		recorder_event(c->ctx->recorder, RES(core_pods), obj_root(pod), "Warning", "FailedBinding", "%s",
			       err_msg(err));
		return -1;
	}
	return 0;
}

/* --- events --- */

static void ephemeral_pod_added(struct obj *pod, void *ctx)
{
	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		if (val_member(v, F_ephemeral)) {
			workq_add_obj(((struct ephemeral *)ctx)->q, obj_ns(pod), obj_name(pod));
			return;
		}
}

/* A Pod's volumes are for good, so its updates say nothing. One that waits for a name, or lost its claim, looks again.
 */
static void ephemeral_claim_gone(struct obj *claim, void *ctx)
{
	struct ephemeral *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **pods = informer_by_ref(c->pods, &a, EPHEMERAL_BY_CLAIM, obj_ns(claim), obj_name(claim), &n);

	for (size_t i = 0; i < n; i++)
		workq_add_obj(c->q, obj_ns(pods[i]), obj_name(pods[i]));
}

static bool ephemeral_ready(void *ctx)
{
	struct ephemeral *c = ctx;

	return informer_synced(c->pods) && informer_synced(c->claims);
}

static void *ephemeral_start(struct controller_ctx *ctx)
{
	struct ephemeral *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->claims = informer_get(ctx->informers, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "ephemeral-volume",
							 .workers = 1,
							 .reconcile = ephemeral_reconcile,
							 .ctx = c,
							 .ready = ephemeral_ready });
	(void)informer_add_index(c->pods, EPHEMERAL_BY_CLAIM, ephemeral_claims);
	informer_add_handler(c->pods, &(struct informer_handler){ .add = ephemeral_pod_added }, c);
	informer_add_handler(c->claims, &(struct informer_handler){ .del = ephemeral_claim_gone }, c);
	return c;
}

static void ephemeral_stop(void *controller)
{
	struct ephemeral *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops ephemeral_volumes_controller = { "ephemeral-volume-controller",
							     "ephemeral-volume-controller", ephemeral_start,
							     ephemeral_stop };
