/* pvc protection, pv protection, vac protection: what is in use is not deleted under its users.
 *
 * Admission gives every claim, volume and class of attributes a finalizer. It is taken away when the object is being
 * deleted and nobody uses it any more: a claim no scheduled pod of its namespace, a volume no claim, a class neither
 * volume nor claim, which may have it, ask for it, or be on its way there. A pod that is not scheduled
 * yet does not count: it cannot be, while its claim is being deleted. One that has ended does, until it is gone.
 *
 * A bound claim's condition Unused (KEP-5541) asks another question: does a pod that has not ended name it? There
 * one without a node counts, and one that has ended does not. */
#include "base/buf.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "object/pod_refs.h"

#include <stdlib.h>

struct protection {
	struct controller_ctx *ctx;
	const struct resource *res;
	struct sv finalizer;
	struct informer *objects, *pods;   /* pods: of claims' users; NULL for others */
	struct informer *claims, *volumes; /* of classes' users; NULL for others */
	struct workq *q;
};

/* --- who uses it --- */

/* The node agent is done with it, or nobody waits for it. */
static bool shut_down(const struct obj *pod)
{
	return obj_deleting(pod) && val_int_or(obj_get(pod, F_metadata, F_deletionGracePeriodSeconds), -1) == 0;
}

/* The name may be in the buffer. A pod that owns the claim of an ephemeral volume waits for it in a foreground
 * deletion, so that it must not wait for the pod. */
static struct sv claim_of_volume(struct buf *b, const struct obj *pod, const struct val *v)
{
	struct sv name = val_get_str(v, F_persistentVolumeClaim, F_claimName);

	if (!name.n && val_member(v, F_ephemeral) && !shut_down(pod))
		name = pod_ephemeral_claim(b, obj_root(pod), v);
	return name;
}

struct user_search {
	struct sv claim;
	bool found;
};

static int find_user(struct obj *pod, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct user_search *s = ctx;

	if (!val_str(obj_get(pod, F_spec, F_nodeName)).n)
		return 0;
	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		s->found |= sv_eq(claim_of_volume(&b, pod, v), s->claim);
	return s->found;
}

/* Pods by the claims they use. */
#define BY_CLAIM "protected claim"

static void users_claims(const struct obj *pod, struct index_keys *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		index_keys_add_ref(ret, obj_ns(pod), claim_of_volume(&b, pod, v));
}

/* Claims and volumes by the classes of attributes they use. */
#define BY_ATTRIBUTES "attributes class"

static void attributes_of_claim(const struct obj *claim, struct index_keys *ret)
{
	const struct val *status = obj_get(claim, F_status);
	const struct sv names[] = { val_str(obj_get(claim, F_spec, F_volumeAttributesClassName)),
				    val_get_str(status, F_currentVolumeAttributesClassName),
				    val_get_str(status, F_modifyVolumeStatus, F_targetVolumeAttributesClassName) };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		index_keys_add(ret, names[i]);
}

static void attributes_of_volume(const struct obj *volume, struct index_keys *ret)
{
	index_keys_add(ret, val_str(obj_get(volume, F_spec, F_volumeAttributesClassName)));
}

static bool protection_in_use(struct protection *c, const struct obj *o)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct user_search s = { .claim = obj_name(o) };
	struct obj **users;
	size_t n;

	if (c->claims)
		return informer_has_key(c->claims, BY_ATTRIBUTES, obj_name(o)) ||
		       informer_has_key(c->volumes, BY_ATTRIBUTES, obj_name(o));
	if (!c->pods)
		return val_is(obj_get(o, F_status, F_phase), "Bound");
	users = informer_by_ref(c->pods, &a, BY_CLAIM, obj_ns(o), obj_name(o), &n);
	for (size_t i = 0; i < n && !s.found; i++)
		(void)find_user(users[i], &s);
	return s.found;
}

/* The cache may lag behind a pod that has just been bound: before a claim goes, the API server is asked. */
static int in_use_for_sure(struct protection *c, struct obj *o, struct err *err)
{
	struct user_search s = { .claim = obj_name(o) };
	struct obj_list l = { 0 };

	if (!c->pods)
		return 0;
	if (client_list(c->ctx->client, RES(core_pods), obj_ns(o), NULL, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < l.n && !s.found; i++)
		(void)find_user(l.items[i], &s);
	obj_list_release(&l);
	return s.found;
}

/* --- the condition --- */

static bool protection_ended(const struct obj *pod)
{
	const struct val *phase = obj_get(pod, F_status, F_phase);

	return val_is(phase, "Succeeded") || val_is(phase, "Failed");
}

static int say_unused(struct protection *c, struct obj *claim, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	bool in_use = false;
	struct condition said;
	struct obj **users;
	struct val *doc;
	size_t n;

	if (!c->pods || obj_deleting(claim) || !val_is(obj_get(claim, F_status, F_phase), "Bound"))
		return 0;
	users = informer_by_ref(c->pods, &a, BY_CLAIM, obj_ns(claim), obj_name(claim), &n);
	for (size_t i = 0; i < n && !in_use; i++)
		in_use = !protection_ended(users[i]);
	said = (struct condition){ .type = "Unused",
				   .status = in_use ? "False" : "True",
				   .reason = in_use ? "PodUsingPVC" : "NoPodsUsingPVC",
				   .message = in_use ? SV("A pod is currently referencing this PVC")
						     : SV("No pods are currently referencing this PVC") };
	doc = obj_edit(&a, claim);
	if (!condition_set(&a, val_ensure_map(&a, doc, F_status), &said, env_now_ns(c->ctx->env)) ||
	    client_update_status(c->ctx->client, c->res, doc, NULL, &why) == 0 || why.reason == ERR_NOT_FOUND)
		return 0;
	return err_move(err, &why);
}

/* --- the finalizer --- */

static ssize_t finalizer_at(const struct protection *c, const struct obj *o)
{
	ssize_t i = 0;

	VAL_EACH(obj_get(o, F_metadata, F_finalizers), f) {
		if (sv_eq(val_str(f), c->finalizer))
			return i;
		i++;
	}
	return -1;
}

static int protection_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct protection *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o = NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv ns, name;
	struct val *doc, *list;
	ssize_t at;
	int used;

	(void)ret;
	workq_key_split(key, &ns, &name);
	o = informer_lookup(c->objects, ns, name);
	if (!o)
		return 0;
	at = finalizer_at(c, o);
	if (!obj_deleting(o) && at >= 0)
		return say_unused(c, o, err);
	if (obj_deleting(o) && (at < 0 || protection_in_use(c, o)))
		return 0;
	doc = obj_edit(&a, o);
	list = val_ensure_list(&a, val_ensure_map(&a, doc, F_metadata), F_finalizers);
	if (obj_deleting(o)) {
		used = in_use_for_sure(c, o, err);
		if (used)
			return MIN(used, 0); /* in use: the pod's event brings us back */
		val_list_remove(list, (size_t)at);
	} else {
		val_push(&a, list, val_new_str(&a, c->finalizer)); /* older than its admission */
	}
	if (client_update(c->ctx->client, c->res, doc, NULL, NULL, &why) < 0 && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

/* --- events --- */

static void object_changed(struct obj *o, void *ctx)
{
	workq_add_obj(((struct protection *)ctx)->q, obj_ns(o), obj_name(o));
}

static void protection_object_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	object_changed(now, ctx);
}

static void protection_pod_news(struct obj *pod, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct protection *c = ctx;

	VAL_EACH(obj_get(pod, F_spec, F_volumes), v) {
		struct sv claim = claim_of_volume(&b, pod, v);

		if (claim.n)
			workq_add_obj(c->q, obj_ns(pod), claim);
	}
}

/* old: before it was shut down, with all its claims. */
static void protection_pod_updated(struct obj *old, struct obj *now, void *ctx)
{
	if ((shut_down(now) && !shut_down(old)) || protection_ended(now) != protection_ended(old))
		protection_pod_news(old, ctx);
}

/* Classes that it used, and does not any more: the one that it was changed to comes by itself. */
static void protection_keys_news(struct protection *c, struct obj *o, index_key_fn *fn)
{
	struct index_keys keys = { 0 };

	fn(o, &keys);
	for (size_t i = 0; i < keys.keys.n; i++)
		if (keys.keys.p[i].n)
			workq_add(c->q, keys.keys.p[i]);
	vec_release(&keys.keys);
	arena_release(&keys.arena);
}

static void protection_claim_news(struct obj *claim, void *ctx)
{
	protection_keys_news(ctx, claim, attributes_of_claim);
}

static void protection_claim_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)now;
	protection_keys_news(ctx, old, attributes_of_claim);
}

static void protection_volume_news(struct obj *volume, void *ctx)
{
	protection_keys_news(ctx, volume, attributes_of_volume);
}

static void protection_volume_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)now;
	protection_keys_news(ctx, old, attributes_of_volume);
}

static bool protection_ready(void *ctx)
{
	struct protection *c = ctx;

	return informer_synced(c->objects) && (!c->pods || informer_synced(c->pods)) &&
	       (!c->claims || (informer_synced(c->claims) && informer_synced(c->volumes)));
}

static void *protection_new(struct controller_ctx *ctx, const struct resource *res, const char *finalizer,
			    const char *name, bool pods)
{
	struct protection *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->res = res;
	c->finalizer = sv_from(finalizer);
	c->objects = informer_get(ctx->informers, res, NULL, NULL, NULL);
	c->pods = pods ? informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL) : NULL;
	c->q = workq_new(
	    ctx->env,
	    &(struct workq_opts){
		.name = name, .workers = 1, .reconcile = protection_reconcile, .ctx = c, .ready = protection_ready });
	informer_add_handler(c->objects, &(struct informer_handler){ object_changed, protection_object_updated, NULL },
			     c);
	if (c->pods) {
		informer_add_index(c->pods, BY_CLAIM, users_claims);
		informer_add_handler(
		    c->pods,
		    &(struct informer_handler){ protection_pod_news, protection_pod_updated, protection_pod_news }, c);
	}
	return c;
}

static void *start_claims(struct controller_ctx *ctx)
{
	return protection_new(ctx, RES(core_persistentvolumeclaims), "kubernetes.io/pvc-protection",
			      "persistentvolumeclaim-protection-controller", true);
}

static void *start_volumes(struct controller_ctx *ctx)
{
	return protection_new(ctx, RES(core_persistentvolumes), "kubernetes.io/pv-protection",
			      "persistentvolume-protection-controller", false);
}

static void *start_attributes(struct controller_ctx *ctx)
{
	struct protection *c = protection_new(ctx, RES(storage_volumeattributesclasses), "kubernetes.io/vac-protection",
					      "volumeattributesclass-protection-controller", false);

	c->claims = informer_get(ctx->informers, RES(core_persistentvolumeclaims), NULL, NULL, NULL);
	c->volumes = informer_get(ctx->informers, RES(core_persistentvolumes), NULL, NULL, NULL);
	(void)informer_add_index(c->claims, BY_ATTRIBUTES, attributes_of_claim);
	(void)informer_add_index(c->volumes, BY_ATTRIBUTES, attributes_of_volume);
	informer_add_handler(c->claims,
			     &(struct informer_handler){ NULL, protection_claim_updated, protection_claim_news }, c);
	informer_add_handler(c->volumes,
			     &(struct informer_handler){ NULL, protection_volume_updated, protection_volume_news }, c);
	return c;
}

static void protection_stop(void *controller)
{
	struct protection *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops pvc_protection_controller = { "persistentvolumeclaim-protection-controller",
							  "pvc-protection-controller", start_claims, protection_stop };
const struct controller_ops pv_protection_controller = { "persistentvolume-protection-controller",
							 "pv-protection-controller", start_volumes, protection_stop };
const struct controller_ops vac_protection_controller = { "volumeattributesclass-protection-controller",
							  "volumeattributesclass-protection-controller",
							  start_attributes, protection_stop };
