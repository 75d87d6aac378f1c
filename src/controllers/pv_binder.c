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
#include "controllers/pv_binder-internal.h"

#include "base/buf.h"

#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdarg.h>
#include <stdlib.h>

#define BY_CLASS "class"
#define BY_VOLUME "volume"
#define NO_CLASS "/" /* no class is called so */

bool pv_has_annotation(const struct obj *o, const char *name)
{
	return val_member_sv(obj_get(o, F_metadata, F_annotations), sv_from(name)) != NULL;
}

void pv_claim_event(struct pv_binder *b, const struct obj *claim, const char *type, const char *reason, const char *fmt,
		    ...)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	recorder_event(b->ctx->recorder, RES(core_persistentvolumeclaims), obj_root(claim), type, reason, "%s",
		       buf_cstr(&text));
}

static int gone_is_fine(struct err *err, struct err *why)
{
	return why->reason == ERR_NOT_FOUND ? 0 : err_move(err, why);
}

int pv_claim_set_phase(struct pv_binder *b, struct obj *claim, const char *phase, const struct obj *volume,
		       struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc = obj_edit(&a, claim), *st = val_ensure_map(&a, doc, F_status);

	val_set_cstr(&a, st, F_phase, phase);
	if (volume) {
		val_set(&a, st, F_accessModes, val_clone(&a, obj_get(volume, F_spec, F_accessModes)));
		val_set(&a, st, F_capacity, val_clone(&a, obj_get(volume, F_spec, F_capacity)));
	}
	if (val_equal(st, obj_get(claim, F_status)) ||
	    client_update_status(b->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, &why) == 0)
		return 0;
	return gone_is_fine(err, &why);
}

int pv_volume_set_phase(struct pv_binder *b, struct obj *volume, const char *phase, const char *message,
			struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc, *st;

	if (val_is(obj_get(volume, F_status, F_phase), phase) &&
	    sv_is(val_str(obj_get(volume, F_status, F_message)), message ? message : ""))
		return 0;
	doc = obj_edit(&a, volume);
	st = val_ensure_map(&a, doc, F_status);
	val_set_cstr(&a, st, F_phase, phase);
	val_del(st, F_message);
	if (message)
		val_set_cstr(&a, st, F_message, message);
	val_set_str(&a, st, F_lastPhaseTransitionTime, time_text(&a, env_now_ns(b->ctx->env)));
	if (client_update_status(b->ctx->client, RES(core_persistentvolumes), doc, NULL, &why) == 0)
		return 0;
	return gone_is_fine(err, &why);
}

/* volume.spec.claimRef. Returns the volume as it is then. */
static struct obj *refer_to_claim(struct pv_binder *b, struct obj *volume, struct obj *claim, struct err *err)
{
	const struct val *was = obj_get(volume, F_spec, F_claimRef);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc;
	struct obj *now;

	if (was && sv_eq(val_get_str(was, F_uid), obj_uid(claim)))
		return obj_ref(volume);
	doc = obj_edit(&a, volume);
	val_set(&a, val_ensure_map(&a, doc, F_spec), F_claimRef, claim_reference(&a, claim));
	if (!was) /* what a user reserved is the user's to take back */
		annotation_set(&a, doc, ANN_BOUND_BY_CONTROLLER, SV("yes"));
	return client_update(b->ctx->client, RES(core_persistentvolumes), doc, NULL, &now, err) < 0 ? NULL : now;
}

/* claim.spec.volumeName. Returns the claim as it is then. */
static struct obj *refer_to_volume(struct pv_binder *b, struct obj *volume, struct obj *claim, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	bool named = sv_eq(val_str(obj_get(claim, F_spec, F_volumeName)), obj_name(volume));
	struct val *doc;
	struct obj *now;

	if (named && pv_has_annotation(claim, ANN_BIND_COMPLETED))
		return obj_ref(claim);
	doc = obj_edit(&a, claim);
	if (!named) {
		val_set_str(&a, val_ensure_map(&a, doc, F_spec), F_volumeName, obj_name(volume));
		annotation_set(&a, doc, ANN_BOUND_BY_CONTROLLER, SV("yes"));
	}
	annotation_set(&a, doc, ANN_BIND_COMPLETED, SV("yes"));
	return client_update(b->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, &now, err) < 0 ? NULL : now;
}

int pv_bind(struct pv_binder *b, struct obj *volume, struct obj *claim, struct err *err)
{
	_cleanup_obj_ struct obj *v = refer_to_claim(b, volume, claim, err), *c = NULL;

	if (!v)
		return -1;
	pv_volume_seen(b, v, false); /* the next claim does not choose it, however late the event is */
	if (pv_volume_set_phase(b, v, "Bound", NULL, err) < 0)
		return -1;
	c = refer_to_volume(b, v, claim, err);
	return c ? pv_claim_set_phase(b, c, "Bound", v, err) : -1;
}

/* --- events --- */

static void claim_changed(struct obj *claim, void *ctx)
{
	struct pv_binder *b = ctx;
	struct sv volume = val_str(obj_get(claim, F_spec, F_volumeName));

	workq_add_obj(b->claim_q, obj_ns(claim), obj_name(claim));
	if (volume.n)
		workq_add(b->volume_q, volume);
}

static void claim_updated(struct obj *old, struct obj *now, void *ctx)
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

static void volume_updated(struct obj *old, struct obj *now, void *ctx)
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

static bool ready(void *ctx)
{
	struct pv_binder *b = ctx;

	return informer_synced(b->claims) && informer_synced(b->volumes) && informer_synced(b->classes) &&
	       informer_synced(b->pods);
}

static void *start(struct controller_ctx *ctx)
{
	struct pv_binder *b = xcalloc(1, sizeof(*b));

	b->ctx = ctx;
	pthread_mutex_init(&b->lock, NULL);
	b->claims = informer_get(ctx->informers, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	b->volumes = informer_get(ctx->informers, RES(core_persistentvolumes), NULL, NULL, NULL);
	b->classes = informer_get(ctx->informers, RES(storage_storageclasses), NULL, NULL, NULL);
	b->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	/* One claim at a time: two that look at once would choose the same volume, and one would choose again. */
	b->claim_q = workq_new(ctx->env, &(struct workq_opts){ .name = "persistentvolume-binder-claims",
							       .workers = 1,
							       .reconcile = pv_claim_reconcile,
							       .ctx = b,
							       .ready = ready });
	b->volume_q = workq_new(ctx->env, &(struct workq_opts){ .name = "persistentvolume-binder-volumes",
								.workers = 1,
								.reconcile = pv_volume_reconcile,
								.ctx = b,
								.ready = ready });
	(void)informer_add_index(b->pods, PV_PODS_BY_CLAIM, pv_pods_claims);
	(void)informer_add_index(b->claims, BY_CLASS, claims_by_class);
	(void)informer_add_index(b->claims, BY_VOLUME, claims_by_volume);
	informer_add_handler(b->claims, &(struct informer_handler){ claim_changed, claim_updated, claim_changed }, b);
	informer_add_handler(b->volumes, &(struct informer_handler){ volume_added, volume_updated, volume_deleted }, b);
	informer_add_handler(b->classes, &(struct informer_handler){ class_changed, class_updated, NULL }, b);
	return b;
}

static void stop(void *controller)
{
	struct pv_binder *b = controller;

	workq_free(b->claim_q);
	workq_free(b->volume_q);
	pv_shelves_release(&b->shelves);
	pv_shelves_release(&b->waiting);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

const struct controller_ops pv_binder_controller = { "persistentvolume-binder-controller", "persistent-volume-binder",
						     start, stop };
