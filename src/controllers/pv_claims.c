/* What is to be done about a claim. See pv_binder.c. */
#include "base/buf.h"
#include "controllers/podutil.h"
#include "controllers/pv_binder-internal.h"
#include "object/default_class.h"
#include "object/pod_refs.h"

/* --- its class --- */

static struct obj *class_of(struct pv_binder *b, const struct obj *claim)
{
	struct sv name = storage_class_name(claim);

	return name.n ? informer_lookup(b->classes, SV(""), name) : NULL;
}

/* Is the binding put off until a pod that uses the claim has a node? Over when the scheduler has named it. */
static bool waits_for_consumer(const struct obj *claim, const struct obj *class)
{
	return val_is(obj_get(class, F_volumeBindingMode), "WaitForFirstConsumer") &&
	       !annotation_of(obj_root(claim), ANN_SELECTED_NODE).n;
}

/* A claim that named no class, made when there was no default: 1 when it has one now. */
static int assign_default_class(struct pv_binder *b, struct obj *claim, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct default_class_search s = { storage_class_is_default, NULL };
	struct val *doc;
	int rc;

	if (storage_class_name(claim).p)
		return 0;
	informer_each(b->classes, SV(""), default_class_look, &s);
	if (!s.found)
		return 0;
	doc = obj_edit(&a, claim);
	val_set_str(&a, val_ensure_map(&a, doc, F_spec), F_storageClassName, obj_name(s.found));
	obj_unref(s.found);
	rc = client_update(b->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, NULL, err);
	return rc < 0 ? -1 : 1;
}

/* --- asking for a volume --- */

static int ask_provisioner(struct pv_binder *b, struct obj *claim, const struct obj *class, struct err *err)
{
	struct sv who = val_str(obj_get(class, F_provisioner));
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc;

	if (sv_starts(who, SV("kubernetes.io/"))) {
		pv_claim_event(b, claim, "Warning", "ProvisioningFailed", "no volume plugin matched name: %.*s",
			       SV_ARG(who));
		return 0;
	}
	/* Each node makes what was chosen for it, and a class that binds at once has nobody choose. */
	if (sv_is(who, LOCAL_PATH_PROVISIONER) && !annotation_of(obj_root(claim), ANN_SELECTED_NODE).n) {
		pv_claim_event(
		    b, claim, "Warning", "ProvisioningFailed",
		    "failed to provision volume with StorageClass \"%.*s\": no node was chosen, whose directory "
		    "it would be: the class needs volumeBindingMode: WaitForFirstConsumer",
		    SV_ARG(obj_name(class)));
		return 0;
	}
	pv_claim_event(
	    b, claim, "Normal", "ExternalProvisioning",
	    "Waiting for a volume to be created either by the external provisioner '%.*s' or manually by the "
	    "system administrator. If volume creation is delayed, please verify that the provisioner is "
	    "running and correctly registered.",
	    SV_ARG(who));
	if (sv_eq(annotation_of(obj_root(claim), ANN_PROVISIONER), who) &&
	    sv_eq(annotation_of(obj_root(claim), ANN_PROVISIONER_BETA), who))
		return 0;
	doc = obj_edit(&a, claim);
	annotation_set(&a, doc, ANN_PROVISIONER, who);
	annotation_set(&a, doc, ANN_PROVISIONER_BETA, who);
	return client_update(b->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, NULL, err);
}

void pv_pods_claims(const struct obj *pod, struct index_keys *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (val_str(obj_get(pod, F_spec, F_nodeName)).n)
		return;
	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		index_keys_add_ref(ret, obj_ns(pod), pod_volume_claim(&b, obj_root(pod), v));
}

#define PODS_NAMED_MAX 20 /* an event's message is not a list of everything */

static void say_what_it_waits_for(struct pv_binder *b, const struct obj *claim)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf names = BUF_INIT;
	size_t n;
	struct obj **pods = informer_by_ref(b->pods, &a, PV_PODS_BY_CLAIM, obj_ns(claim), obj_name(claim), &n);

	for (size_t i = 0; i < MIN(n, PODS_NAMED_MAX); i++)
		buf_printf(&names, "%s%.*s", i ? "," : "", SV_ARG(obj_name(pods[i])));
	if (n)
		pv_claim_event(b, claim, "Normal", "WaitForPodScheduled", "waiting for %s %s to be scheduled",
			       n > 1 ? "pods" : "pod", buf_cstr(&names));
	else
		pv_claim_event(b, claim, "Normal", "WaitForFirstConsumer",
			       "waiting for first consumer to be created before binding");
}

/* Its volume was to be made by a node that is no more: of the provisioner that runs on that node alone, nobody is left
 * to say so. Its pod is placed anew. 1 when that was so. */
static int forget_lost_node(struct pv_binder *b, struct obj *claim, const struct obj *class, struct err *err)
{
	struct sv name = annotation_of(obj_root(claim), ANN_SELECTED_NODE);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = NULL;
	struct val *doc;

	if (!name.n || !val_is(obj_get(class, F_provisioner), LOCAL_PATH_PROVISIONER))
		return 0;
	node = informer_lookup(b->nodes, SV(""), name);
	if (node)
		return 0;
	pv_claim_event(b, claim, "Warning", "ProvisioningFailed",
		       "node %.*s, on which the volume was to be made, is gone: another one is chosen", SV_ARG(name));
	doc = obj_edit(&a, claim);
	val_del_sv(val_get_mut(doc, F_metadata, F_annotations), SV(ANN_SELECTED_NODE));
	return client_update(b->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, NULL, err) < 0 ? -1 : 1;
}

/* --- the cases --- */

static int find_one(struct pv_binder *b, struct obj *claim, struct err *err)
{
	_cleanup_obj_ struct obj *class = class_of(b, claim);
	struct sv name = storage_class_name(claim);
	bool wait = waits_for_consumer(claim, class);
	_cleanup_obj_ struct obj *volume = pv_best_volume(b, claim, wait);
	int rc;

	if (volume)
		return pv_bind(b, volume, claim, err);
	rc = assign_default_class(b, claim, err);
	if (rc == 0)
		rc = forget_lost_node(b, claim, class, err);
	if (rc)
		return MIN(rc, 0); /* the update brings us back */
	if (!wait)
		pv_claim_waits(b, claim);
	if (wait) {
		say_what_it_waits_for(b, claim);
	} else if (class) {
		if (ask_provisioner(b, claim, class, err) < 0)
			return -1;
	} else if (name.n) {
		pv_claim_event(b, claim, "Warning", "ProvisioningFailed",
			       "storageclass.storage.k8s.io \"%.*s\" not found", SV_ARG(name));
	} else {
		pv_claim_event(b, claim, "Normal", "FailedBinding",
			       "no persistent volumes available for this claim and no storage class is set");
	}
	return val_is(obj_get(claim, F_status, F_phase), "Pending")
		   ? 0
		   : pv_claim_set_phase(b, claim, "Pending", NULL, err);
}

/* The claim names its volume: by its user's wish, or half bound. */
static int take_named(struct pv_binder *b, struct obj *claim, struct sv name, struct err *err)
{
	_cleanup_obj_ struct obj *volume = informer_lookup(b->volumes, SV(""), name);
	const struct val *ref = obj_get(volume, F_spec, F_claimRef);
	const char *why;

	if (volume && ref && volume_is_for(volume, claim))
		return pv_bind(b, volume, claim, err);
	if (volume && ref) {
		pv_claim_event(b, claim, "Warning", "FailedBinding",
			       "volume \"%.*s\" already bound to a different claim.", SV_ARG(name));
	} else if (volume) {
		why = volume_misfit(volume, claim);
		if (!why)
			return pv_bind(b, volume, claim, err);
		pv_claim_event(b, claim, "Warning", "VolumeMismatch", "Cannot bind to requested volume \"%.*s\": %s",
			       SV_ARG(name), why);
	}
	return pv_claim_set_phase(b, claim, "Pending", NULL, err);
}

static int pv_claim_lost(struct pv_binder *b, struct obj *claim, const char *reason, const char *message,
			 struct err *err)
{
	if (!val_is(obj_get(claim, F_status, F_phase), "Lost"))
		pv_claim_event(b, claim, "Warning", reason, "%s", message);
	return pv_claim_set_phase(b, claim, "Lost", NULL, err);
}

/* It was bound once: it keeps its volume, or it is lost. */
static int keep_bound(struct pv_binder *b, struct obj *claim, struct sv name, struct err *err)
{
	_cleanup_obj_ struct obj *volume = NULL;

	if (!name.n)
		return pv_claim_lost(b, claim, "ClaimLost",
				     "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
				     err);
	volume = informer_lookup(b->volumes, SV(""), name);
	/* A cache that lags must not lose a claim for good. */
	if (!volume) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (client_get(b->ctx->client, RES(core_persistentvolumes), SV(""), name, &volume, &why) < 0) {
			if (why.reason != ERR_NOT_FOUND)
				return err_move(err, &why);
			return pv_claim_lost(b, claim, "ClaimLost",
					     "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
					     err);
		}
	}
	if (!obj_get(volume, F_spec, F_claimRef) || volume_is_for(volume, claim))
		return pv_bind(b, volume, claim, err);
	return pv_claim_lost(b, claim, "ClaimMisbound",
			     "Two claims are bound to the same volume, this one is bound incorrectly", err);
}

/* A volume can be had: the claim that waits for such a one looks again. */
static int claims_offer(struct pv_binder *b, struct sv name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *volume = informer_lookup(b->volumes, SV(""), name), *claim = NULL;
	struct reconcile_result again = { 0 };
	struct sv key;

	claim = volume ? pv_claim_waiting(b, volume) : NULL;
	if (!claim)
		return 0;
	key = arena_svf(&a, "%.*s/%.*s", SV_ARG(obj_ns(claim)), SV_ARG(obj_name(claim)));
	if (pv_claim_reconcile(b, key, &again, err) < 0) {
		workq_add(b->claim_q, key);
		return -1;
	}
	if (!pv_shelves_has(&b->waiting, key)) /* it may have taken another */
		workq_add(b->claim_q, name);
	return 0;
}

int pv_claim_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct pv_binder *b = ctx;
	_cleanup_obj_ struct obj *claim = NULL;
	struct sv ns, name, volume;

	(void)ret;
	workq_key_split(key, &ns, &name);
	if (!ns.n)
		return claims_offer(b, name, err);
	pv_shelves_del(&b->waiting, key);
	claim = informer_lookup(b->claims, ns, name);
	if (!claim)
		return 0;
	volume = val_str(obj_get(claim, F_spec, F_volumeName));
	if (pv_has_annotation(claim, ANN_BIND_COMPLETED))
		return keep_bound(b, claim, volume, err);
	if (obj_deleting(claim)) /* nothing new for one that goes */
		return 0;
	return volume.n ? take_named(b, claim, volume, err) : find_one(b, claim, err);
}
