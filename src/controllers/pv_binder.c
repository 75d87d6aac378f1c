/* persistent volume binder: claims get volumes.
 *
 * A binding is four writes: the volume's claimRef, the volume's phase, the claim's volumeName, the claim's phase. The
 * first one decides: it is refused when somebody else wrote the volume meanwhile, so that no volume is given twice.
 * Whoever dies in between is continued by the next look at either object, which finds the reference on the one side and
 * completes the other.
 *
 *	claim: Pending ──▶ Bound ──(volume gone)──▶ Lost
 *	volume: Available ──▶ Bound ──(claim gone)──▶ Released ──(policy Delete)──▶ gone, by who made it
 */
#include "controllers/podutil.h"
#include "controllers/pv_binder-internal.h"

#include <stdlib.h>

#define BY_CLASS "class"
#define BY_VOLUME "volume"
#define BY_NODE "selected node"
#define FILES_BY_NODE "files by node"
#define NO_CLASS "/" /* no class is called so */

/* --- events --- */

static void claim_changed(struct obj *claim, void *ctx)
{
	struct pv_binder *b = ctx;
	struct sv volume = val_str(obj_get(claim, F_spec, F_volumeName));

	workq_add_obj(b->claim_q, obj_ns(claim), obj_name(claim));
	if (volume.n)
		workq_add(b->volume_q, volume);
}

static void binder_claim_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	claim_changed(now, ctx);
}

static void volume_changed(struct obj *volume, void *ctx)
{
	const struct val *ref = obj_get(volume, F_spec, F_claimRef);
	struct pv_binder *b = ctx;

	workq_add(b->volume_q, obj_name(volume));
	if (ref)
		workq_add_obj(b->claim_q, val_get_str(ref, F_namespace), val_get_str(ref, F_name));
}

/* The volume that an unbound claim insists on. */
static void claims_by_volume(const struct obj *claim, struct index_keys *ret)
{
	if (!pv_has_annotation(claim, ANN_BIND_COMPLETED))
		index_keys_add(ret, val_str(obj_get(claim, F_spec, F_volumeName)));
}

static void try_again(struct pv_binder *b, const char *index, struct sv key)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **claims = informer_by_index(b->claims, &a, index, key, &n);

	for (size_t i = 0; i < n; i++)
		claim_changed(claims[i], b);
}

static void volume_added(struct obj *volume, void *ctx)
{
	pv_volume_seen(ctx, volume, false); /* first: who is told below looks for it there, and is not told again */
	volume_changed(volume, ctx);
	try_again(ctx, BY_VOLUME, obj_name(volume));
}

static void binder_volume_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	volume_added(now, ctx);
}

static void volume_deleted(struct obj *volume, void *ctx)
{
	pv_volume_seen(ctx, volume, true);
	volume_changed(volume, ctx);
}

/* Of the claims that are not bound: the class that they name; those that name none may get a default. */
static void claims_by_class(const struct obj *claim, struct index_keys *ret)
{
	struct sv name = storage_class_name(claim);

	if (!pv_has_annotation(claim, ANN_BIND_COMPLETED))
		index_keys_add(ret, name.p ? name : SV(NO_CLASS));
}

/* Those whose volume is to be made on a certain node. */
static void claims_by_node(const struct obj *claim, struct index_keys *ret)
{
	if (!val_str(obj_get(claim, F_spec, F_volumeName)).n)
		index_keys_add(ret, annotation_of(obj_root(claim), ANN_SELECTED_NODE));
}

/* Those whose files a node of ours has. */
static void volumes_by_node(const struct obj *volume, struct index_keys *ret)
{
	index_keys_add(ret, local_path_node(obj_root(volume)));
}

static void binder_node_deleted(struct obj *node, void *ctx)
{
	struct pv_binder *b = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **volumes = informer_by_index(b->volumes, &a, FILES_BY_NODE, obj_name(node), &n);

	for (size_t i = 0; i < n; i++)
		volume_changed(volumes[i], b);
	try_again(b, BY_NODE, obj_name(node));
}

static void class_changed(struct obj *class, void *ctx)
{
	try_again(ctx, BY_CLASS, obj_name(class));
	try_again(ctx, BY_CLASS, SV(NO_CLASS));
}

static void class_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	class_changed(now, ctx);
}

static bool binder_ready(void *ctx)
{
	struct pv_binder *b = ctx;

	return informer_synced(b->claims) && informer_synced(b->volumes) && informer_synced(b->classes) &&
	       informer_synced(b->pods) && informer_synced(b->nodes);
}

static void *binder_start(struct controller_ctx *ctx)
{
	struct pv_binder *b = xcalloc(1, sizeof(*b));

	b->ctx = ctx;
	pthread_mutex_init(&b->lock, NULL);
	b->claims = informer_get(ctx->informers, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	b->volumes = informer_get(ctx->informers, RES(core_persistentvolumes), NULL, NULL, NULL);
	b->classes = informer_get(ctx->informers, RES(storage_storageclasses), NULL, NULL, NULL);
	b->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	b->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	/* One claim at a time: two that look at once would choose the same volume, and one would choose again. */
	b->claim_q = workq_new(ctx->env, &(struct workq_opts){ .name = "persistentvolume-binder-claims",
							       .workers = 1,
							       .reconcile = pv_claim_reconcile,
							       .ctx = b,
							       .ready = binder_ready });
	b->volume_q = workq_new(ctx->env, &(struct workq_opts){ .name = "persistentvolume-binder-volumes",
								.workers = 1,
								.reconcile = pv_volume_reconcile,
								.ctx = b,
								.ready = binder_ready });
	(void)informer_add_index(b->pods, PV_PODS_BY_CLAIM, pv_pods_claims);
	(void)informer_add_index(b->claims, BY_CLASS, claims_by_class);
	(void)informer_add_index(b->claims, BY_VOLUME, claims_by_volume);
	(void)informer_add_index(b->claims, BY_NODE, claims_by_node);
	(void)informer_add_index(b->volumes, FILES_BY_NODE, volumes_by_node);
	informer_add_handler(b->nodes, &(struct informer_handler){ .del = binder_node_deleted }, b);
	pv_recycle_watch(b);
	informer_add_handler(b->claims,
			     &(struct informer_handler){ claim_changed, binder_claim_updated, claim_changed }, b);
	informer_add_handler(b->volumes,
			     &(struct informer_handler){ volume_added, binder_volume_updated, volume_deleted }, b);
	informer_add_handler(b->classes, &(struct informer_handler){ class_changed, class_updated, NULL }, b);
	return b;
}

static void binder_stop(void *controller)
{
	struct pv_binder *b = controller;

	workq_free(b->claim_q);
	workq_free(b->volume_q);
	pv_shelves_release(&b->shelves);
	pv_shelves_release(&b->waiting);
	pv_recycle_free(b);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

const struct controller_ops pv_binder_controller = { "persistentvolume-binder-controller", "persistent-volume-binder",
						     binder_start, binder_stop };
