/* What is to be done about a volume. See pv_binder.c. */
#include "controllers/podutil.h"
#include "controllers/pv_binder-internal.h"

static void volume_event(struct pv_binder *b, const struct obj *volume, const char *reason, const char *message)
{
	recorder_event(b->ctx->recorder, RES(core_persistentvolumes), obj_root(volume), "Warning", reason, "%s",
		       message);
}

static int pv_volume_failed(struct pv_binder *b, struct obj *volume, const char *reason, const char *message,
			    struct err *err)
{
	if (!val_is(obj_get(volume, F_status, F_phase), "Failed"))
		volume_event(b, volume, reason, message);
	return pv_volume_set_phase(b, volume, "Failed", message, err);
}

/* A node that is no more made it, and nobody else would let it go. Its directory stays where it is. A cache that lags
 * behind a node which has just come is no harm: nobody has the claim any more. */
static bool pv_volume_forsaken(struct pv_binder *b, const struct obj *volume)
{
	struct sv name = local_path_node(obj_root(volume));
	_cleanup_obj_ struct obj *node = name.n ? informer_lookup(b->nodes, SV(""), name) : NULL;

	return name.n && !node;
}

static int pv_volume_forget(struct pv_binder *b, struct obj *volume, struct err *err)
{
	struct client_delete_opts opts = CLIENT_DELETE_OPTS;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc;

	opts.precondition_uid = obj_uid(volume);
	if (!obj_deleting(volume)) /* its update brings us back */
		return client_delete(b->ctx->client, RES(core_persistentvolumes), SV(""), obj_name(volume), &opts,
				     &why) == 0 ||
			       why.reason == ERR_NOT_FOUND
			   ? 0
			   : err_move(err, &why);
	volume_event(b, volume, "VolumeFailedDelete",
		     arena_printf(&a, "node %.*s is gone: what it has in %.*s stays there, and the volume goes",
				  SV_ARG(local_path_node(obj_root(volume))),
				  SV_ARG(val_str(obj_get(volume, F_spec, F_hostPath, F_path)))));
	doc = obj_edit(&a, volume);
	if (!obj_set_finalizer(&a, doc, PROVISIONER_FINALIZER, false) ||
	    client_update(b->ctx->client, RES(core_persistentvolumes), doc, NULL, NULL, &why) == 0 ||
	    why.reason == ERR_NOT_FOUND)
		return 0;
	return err_move(err, &why);
}

/* Its claim is gone. Who provisioned a volume deletes it when it is released; what nobody did needs its admin. */
static int pv_volume_release(struct pv_binder *b, struct obj *volume, struct err *err)
{
	const struct val *policy = obj_get(volume, F_spec, F_persistentVolumeReclaimPolicy);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *failed;
	int rc;

	if (val_is(obj_get(volume, F_status, F_phase), "Failed"))
		return 0;
	if (val_is(policy, "Delete") && !annotation_of(obj_root(volume), ANN_PROVISIONED_BY).n)
		return pv_volume_failed(
		    b, volume, "VolumeFailedDelete",
		    arena_printf(&a,
				 "error getting deleter volume plugin for volume \"%.*s\": no deletable volume "
				 "plugin matched",
				 SV_ARG(obj_name(volume))),
		    err);
	if (val_is(policy, "Recycle") && !pv_recyclable(volume))
		return pv_volume_failed(b, volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!",
					err);
	if ((obj_deleting(volume) || val_is(policy, "Delete")) && pv_volume_forsaken(b, volume))
		return pv_volume_forget(b, volume, err);
	rc = pv_volume_set_phase(b, volume, "Released", NULL, err);
	if (rc < 0 || !val_is(policy, "Recycle"))
		return rc;
	if (!val_is(obj_get(volume, F_status, F_phase), "Released"))
		return 0; /* as it is now it comes again */
	if (pv_recycle(b, volume, &failed, &a, err) < 0)
		return -1;
	return failed ? pv_volume_failed(b, volume, "VolumeFailedRecycle", failed, err) : 0;
}

/* Its claim took another volume: what the binder reserved is free again, what was made for the claim goes. */
static int pv_volume_unbind(struct pv_binder *b, struct obj *volume, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	bool ours = pv_has_annotation(volume, ANN_BOUND_BY_CONTROLLER);
	struct val *doc, *spec;

	if (annotation_of(obj_root(volume), ANN_PROVISIONED_BY).n &&
	    val_is(obj_get(volume, F_spec, F_persistentVolumeReclaimPolicy), "Delete"))
		return pv_volume_release(b, volume, err);
	if (!ours && !val_str(obj_get(volume, F_spec, F_claimRef, F_uid)).n)
		return 0; /* a user's reservation stays */
	doc = obj_edit(&a, volume);
	spec = val_ensure_map(&a, doc, F_spec);
	if (ours) {
		val_del(spec, F_claimRef);
		val_del_sv(val_get_mut(doc, F_metadata, F_annotations), SV(ANN_BOUND_BY_CONTROLLER));
	} else {
		val_del(val_member_mut(spec, F_claimRef), F_uid);
	}
	return client_update(b->ctx->client, RES(core_persistentvolumes), doc, NULL, NULL, err);
}

/* The claim that a reference means, by its uid; *ret NULL: it is gone. */
static int claim_of(struct pv_binder *b, const struct val *ref, struct obj **ret, struct err *err)
{
	struct sv ns = val_get_str(ref, F_namespace), name = val_get_str(ref, F_name), uid = val_get_str(ref, F_uid);
	_cleanup_(err_release) struct err why = ERR_INIT;

	*ret = informer_lookup(b->claims, ns, name);
	if (*ret && sv_eq(obj_uid(*ret), uid))
		return 0;
	/* The cache may not know it yet, and Released is for good. */
	obj_unref(TAKE(*ret));
	if (client_get(b->ctx->client, RES(core_persistentvolumeclaims), ns, name, ret, &why) < 0) {
		*ret = NULL;
		return why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	}
	if (!sv_eq(obj_uid(*ret), uid))
		obj_unref(TAKE(*ret));
	return 0;
}

int pv_volume_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct pv_binder *b = ctx;
	_cleanup_obj_ struct obj *volume = informer_lookup(b->volumes, SV(""), key), *claim = NULL;
	const struct val *ref = obj_get(volume, F_spec, F_claimRef);
	struct sv name;

	(void)ret;
	if (!volume) {
		pv_recycle_forget(b, key);
		return 0;
	}
	if (!val_get_str(ref, F_uid).n) /* free, or reserved for a claim that is to come */
		return pv_volume_set_phase(b, volume, "Available", NULL, err);
	if (claim_of(b, ref, &claim, err) < 0)
		return -1;
	if (!claim)
		return pv_volume_release(b, volume, err);
	name = val_str(obj_get(claim, F_spec, F_volumeName));
	if (!name.n) { /* half bound */
		workq_add_obj(b->claim_q, obj_ns(claim), obj_name(claim));
		return 0;
	}
	if (sv_eq(name, obj_name(volume)))
		return pv_volume_set_phase(b, volume, "Bound", NULL, err);
	return pv_volume_unbind(b, volume, err);
}
