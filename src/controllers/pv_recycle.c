/* Volumes of the policy Recycle (deprecated) whose claim is gone: emptied by a pod, and then free for other claims.
 *
 *	Released ──▶ pod recycler-for-NAME ──▶ Succeeded ──▶ pod deleted ──▶ no claimRef, Available
 *	                                  └──▶ Failed ────▶ pod deleted ──▶ Failed
 *	         └──▶ no pod can be made, REFUSED_MAX times ──────────────▶ Failed
 *
 * Not while a pod that has not ended names the claim: its finalizer may have been taken away under it.
 *
 * Of hostPath and NFS alone, as upstream's; its pod, too. What says that a volume was emptied is the pod that was made
 * for it: any other of that name is deleted, and a volume that is still bound when its pod has gone is emptied once
 * more. */
#include "base/retry.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/pv_binder-internal.h"

#include <stdlib.h>

#define RECYCLER "recycler-for-"
#define RECYCLER_NS "default"
#define ANN_RECYCLER "caravel.io/recycler-pod" /* volume: its uid */
#define RECYCLER_IMAGE "busybox:1.36"	       /* whichever it is: the command below is all that it has to run */
#define USED_AGAIN_NS (15 * NS_PER_SEC)
#define USERS_MAX 512 /* bytes of an event that name pods */
/* A pod that is refused (admission, a quota) is tried again with upstream's pauses, which gives an admin some minutes;
 * a server that begins anew counts anew. */
#define REFUSED_MAX 10
static const struct retry_policy refused_policy = { .first_ns = 500 * NS_PER_MS, .max_ns = 122 * NS_PER_SEC };
#define SCRUB "test -e /scrub && find /scrub -mindepth 1 -delete && test -z \"$(ls -A /scrub)\" || exit 1"

/* Upstream's least time, and what is added for each GiB. */
static const struct {
	enum sym source;
	int64_t least_s, more_s;
} recyclers[] = { { F_hostPath, 60, 30 }, { F_nfs, 300, 30 } };

static ssize_t recycler_of(const struct obj *volume)
{
	for (size_t i = 0; i < ARRAY_LEN(recyclers); i++)
		if (obj_get(volume, F_spec, recyclers[i].source))
			return (ssize_t)i;
	return -1;
}

/* A node's root is refused where volumes are made, and once more here: one may have been stored before it was. */
bool pv_recyclable(const struct obj *volume)
{
	ssize_t i = recycler_of(volume);

	return i >= 0 && !volume_is_root(obj_get(volume, F_spec));
}

static int64_t recycler_seconds(const struct obj *volume, size_t i)
{
	int64_t gib = volume_capacity_bytes(volume) >> 30;

	return MAX(recyclers[i].least_s, MIN(gib, INT32_MAX / recyclers[i].more_s) * recyclers[i].more_s);
}

static struct val *recycler_new(struct arena *a, const struct obj *volume)
{
	size_t i = (size_t)recycler_of(volume);
	struct val *doc = val_new_map(a), *meta = val_set_map(a, doc, F_metadata), *spec = val_set_map(a, doc, F_spec),
		   *vol = val_new_map(a), *c = val_new_map(a), *command, *mount = val_new_map(a);

	val_set_cstr(a, doc, F_apiVersion, "v1");
	val_set_cstr(a, doc, F_kind, "Pod");
	val_set_strf(a, meta, F_name, RECYCLER "%.*s", SV_ARG(obj_name(volume)));
	val_set_cstr(a, meta, F_namespace, RECYCLER_NS);
	val_push(a, val_set_list(a, meta, F_ownerReferences),
		 owner_ref(a, RES(core_persistentvolumes), obj_root(volume), false, false));
	val_set_cstr(a, spec, F_restartPolicy, "Never");
	val_set_int(a, spec, F_activeDeadlineSeconds, recycler_seconds(volume, i));
	val_set_cstr(a, vol, F_name, "vol");
	val_set(a, vol, recyclers[i].source, obj_get(volume, F_spec, recyclers[i].source));
	val_push(a, val_set_list(a, spec, F_volumes), vol);
	val_set_cstr(a, c, F_name, "pv-recycler");
	val_set_cstr(a, c, F_image, RECYCLER_IMAGE);
	command = val_set_list(a, c, F_command);
	val_push(a, command, val_new_str(a, SV("/bin/sh")));
	val_push(a, val_set_list(a, c, F_args), val_new_str(a, SV("-c")));
	val_push(a, val_get_mut(c, F_args), val_new_str(a, SV(SCRUB)));
	val_set_cstr(a, mount, F_name, "vol");
	val_set_cstr(a, mount, F_mountPath, "/scrub");
	val_push(a, val_set_list(a, c, F_volumeMounts), mount);
	val_push(a, val_set_list(a, spec, F_containers), c);
	return doc;
}

static void recycle_event(struct pv_binder *b, const struct obj *volume, const char *type, const char *reason,
			  const char *text)
{
	recorder_event(b->ctx->recorder, RES(core_persistentvolumes), obj_root(volume), type, reason, "%s", text);
}

struct recycler_refused {
	unsigned times;
	int64_t next_ns; /* monotonic */
};

void pv_recycle_forget(struct pv_binder *b, struct sv volume)
{
	free(strmap_del(&b->refused, volume));
}

void pv_recycle_free(struct pv_binder *b)
{
	strmap_release_with(&b->refused, free);
}

/* Is there a pause after a refusal? It comes again when that is over. */
static bool recycle_rests(struct pv_binder *b, const struct obj *volume)
{
	const struct recycler_refused *r = strmap_get(&b->refused, obj_name(volume));
	int64_t left = r ? r->next_ns - env_mono_ns(b->ctx->env) : 0;

	if (left > 0)
		workq_add_after(b->volume_q, obj_name(volume), left);
	return left > 0;
}

/* 0, with *ret_failed once it was refused too often. What is nobody's will, but the server's state, is no refusal. */
static int recycle_refused(struct pv_binder *b, const struct obj *volume, const char **ret_failed, struct arena *a,
			   struct err *why, struct err *err)
{
	const char *text = arena_printf(a, "Recycle failed: unexpected error creating recycler pod:  %s", err_msg(why));
	struct recycler_refused *r;
	void **slot;
	int64_t pause;

	if (why->reason == ERR_UNAVAILABLE || why->reason == ERR_SERVER_TIMEOUT || why->reason == ERR_TIMEOUT ||
	    why->reason == ERR_TOO_MANY_REQUESTS || why->reason == ERR_CONFLICT)
		return err_move(err, why);
	slot = strmap_slot(&b->refused, obj_name(volume));
	if (!*slot)
		*slot = xcalloc(1, sizeof(*r));
	r = *slot;
	if (++r->times >= REFUSED_MAX) {
		pv_recycle_forget(b, obj_name(volume));
		*ret_failed = text;
		return 0;
	}
	recycle_event(b, volume, "Warning", "VolumeFailedRecycle", text);
	pause = retry_pause_ns(&refused_policy, r->times);
	r->next_ns = env_mono_ns(b->ctx->env) + pause;
	workq_add_after(b->volume_q, obj_name(volume), pause);
	return 0;
}

static int recycle_begin(struct pv_binder *b, struct obj *volume, const char **ret_failed, struct arena *arena,
			 struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *pod = NULL;
	struct val *doc;

	if (client_create(b->ctx->client, RES(core_pods), SV(RECYCLER_NS), recycler_new(&a, volume), NULL, &pod, &why) <
	    0) {
		if (why.reason == ERR_ALREADY_EXISTS) /* the cache will know it */
			return 0;
		return recycle_refused(b, volume, ret_failed, arena, &why, err);
	}
	pv_recycle_forget(b, obj_name(volume));
	doc = obj_edit(&a, volume);
	annotation_set(&a, doc, ANN_RECYCLER, obj_uid(pod));
	return client_update(b->ctx->client, RES(core_persistentvolumes), doc, NULL, NULL, err);
}

static bool pod_names_claim(const struct obj *pod, struct sv claim)
{
	VAL_EACH(obj_get(pod, F_spec, F_volumes), v)
		if (sv_eq(val_get_str(v, F_persistentVolumeClaim, F_claimName), claim))
			return true;
	return false;
}

/* 1: a pod that has not ended names the claim the volume was bound to, which may be gone without it: what it writes
 * from now on would be another one's. The API server is asked, as the cache may lag behind a pod that begins. A claim
 * of that name which is there is another claim, and so are its pods'. */
static int recycle_used(struct pv_binder *b, struct obj *volume, struct arena *a, struct err *err)
{
	const struct val *ref = obj_get(volume, F_spec, F_claimRef);
	struct sv ns = val_get_str(ref, F_namespace), name = val_get_str(ref, F_name);
	_cleanup_obj_ struct obj *claim = informer_lookup(b->claims, ns, name);
	_cleanup_(buf_release) struct buf users = BUF_INIT;
	struct obj_list l = { 0 };
	bool used = false;

	if (claim)
		return 0;
	if (client_list(b->ctx->client, RES(core_pods), ns, NULL, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < l.n; i++)
		if (!pod_is_terminal(l.items[i]) && pod_names_claim(l.items[i], name)) {
			if (users.n < USERS_MAX)
				buf_printf(&users, "%s%.*s/%.*s", used ? "," : "", SV_ARG(ns),
					   SV_ARG(obj_name(l.items[i])));
			used = true;
		}
	obj_list_release(&l);
	if (used)
		recycle_event(b, volume, "Normal", "VolumeFailedRecycle",
			      arena_printf(a, "Volume is used by pods: %.*s", SV_ARG(buf_sv(&users))));
	return used;
}

static int recycler_delete(struct pv_binder *b, const struct obj *pod, struct err *err)
{
	struct client_delete_opts opts = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;

	opts.precondition_uid = obj_uid(pod);
	return client_delete(b->ctx->client, RES(core_pods), SV(RECYCLER_NS), obj_name(pod), &opts, &why) == 0 ||
		       why.reason == ERR_NOT_FOUND
		   ? 0
		   : err_move(err, &why);
}

static int recycle_done(struct pv_binder *b, struct obj *volume, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = obj_edit(&a, volume);

	val_del(val_get_mut(doc, F_spec), F_claimRef);
	val_del_sv(val_get_mut(doc, F_metadata, F_annotations), SV(ANN_BOUND_BY_CONTROLLER));
	val_del_sv(val_get_mut(doc, F_metadata, F_annotations), SV(ANN_RECYCLER));
	if (client_update(b->ctx->client, RES(core_persistentvolumes), doc, NULL, NULL, err) < 0)
		return -1;
	recycle_event(b, volume, "Normal", "VolumeRecycled", "Volume recycled");
	return 0;
}

/* Which pod was made for it is written on the volume: whoever may make pods there can make one of that name, with any
 * owner, that does nothing. 1, 0, -1. */
static int recycler_is_of(struct pv_binder *b, const struct obj *pod, const struct obj *volume, struct err *err)
{
	_cleanup_obj_ struct obj *now = NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (sv_eq(annotation_of(obj_root(volume), ANN_RECYCLER), obj_uid(pod)))
		return 1;
	/* The cache may lag behind what was written when the pod was made. */
	if (client_get(b->ctx->client, RES(core_persistentvolumes), SV(""), obj_name(volume), &now, &why) < 0)
		return why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	return sv_eq(obj_uid(now), obj_uid(volume)) && sv_eq(annotation_of(obj_root(now), ANN_RECYCLER), obj_uid(pod));
}

int pv_recycle(struct pv_binder *b, struct obj *volume, const char **ret_failed, struct arena *a, struct err *err)
{
	struct sv name = arena_svf(a, RECYCLER "%.*s", SV_ARG(obj_name(volume)));
	_cleanup_obj_ struct obj *pod = informer_lookup(b->pods, SV(RECYCLER_NS), name);
	const struct val *phase = obj_get(pod, F_status, F_phase);
	struct sv said;
	int own;

	*ret_failed = NULL;
	if (obj_deleting(volume))
		return 0;
	if (!pod) {
		int used;

		if (recycle_rests(b, volume))
			return 0;
		used = recycle_used(b, volume, a, err);

		if (used > 0)
			workq_add_after(b->volume_q, obj_name(volume), USED_AGAIN_NS);
		return used ? MIN(used, 0) : recycle_begin(b, volume, ret_failed, a, err);
	}
	if (obj_deleting(pod))
		return 0; /* its going brings us back */
	own = recycler_is_of(b, pod, volume, err);
	if (own <= 0)
		return own < 0 ? -1 : recycler_delete(b, pod, err);
	if (val_is(phase, "Succeeded"))
		return recycler_delete(b, pod, err) < 0 ? -1 : recycle_done(b, volume, err);
	if (!val_is(phase, "Failed"))
		return 0;
	said = val_str(obj_get(pod, F_status, F_message));
	*ret_failed = said.n ? arena_printf(a, "Recycle failed: %.*s", SV_ARG(said))
			     : "Recycle failed: pod failed, pod.Status.Message unknown";
	return recycler_delete(b, pod, err);
}

/* --- its pods' news --- */

static void recycler_news(struct obj *pod, void *ctx)
{
	struct pv_binder *b = ctx;
	struct sv name = obj_name(pod), prefix = SV(RECYCLER);

	if (sv_is(obj_ns(pod), RECYCLER_NS) && sv_starts(name, prefix))
		workq_add(b->volume_q, sv_sub(name, prefix.n, name.n));
}

static void recycler_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	recycler_news(now, ctx);
}

void pv_recycle_watch(struct pv_binder *b)
{
	informer_add_handler(b->pods, &(struct informer_handler){ recycler_news, recycler_updated, recycler_news }, b);
}
