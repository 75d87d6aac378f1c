#include "kubelet/config_watch.h"

#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_table.h"

#include <stdlib.h>

struct config_watch {
	struct kubelet *k;
	pthread_mutex_t lock;
	struct strmap objects; /* "s ns/name" or "c ns/name" -> struct watched */
};

struct watched {
	struct config_watch *w;
	struct informer_factory *informers; /* of this object alone */
	struct strmap pods;		    /* uids; under w->lock */
};

/* --- what changed --- */

static void config_watch_changed(struct watched *o)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	VEC(struct sv) uids = VEC_INIT;

	pthread_mutex_lock(&o->w->lock);
	STRMAP_EACH(&o->pods, e)
		vec_push(&uids, arena_sv(&a, sv_make(e->key, e->key_n)));
	pthread_mutex_unlock(&o->w->lock);
	for (size_t i = 0; i < uids.n; i++) {
		struct kpod *p = kubelet_pod(o->w->k, uids.p[i]);

		if (!p)
			continue;
		kpod_refresh(p);
		kpod_unref(p);
	}
	vec_release(&uids);
}

static void on_any(struct obj *o, void *ctx)
{
	(void)o;
	config_watch_changed(ctx);
}

static void config_watch_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (obj_rev(old) != obj_rev(neu)) /* not told anew after a re-list */
		config_watch_changed(ctx);
}

/* --- who refers to what --- */

typedef void ref_fn(struct config_watch *w, struct kpod *p, bool secret, struct sv name);

static void volume_refs(const struct val *v, struct config_watch *w, struct kpod *p, ref_fn *fn)
{
	fn(w, p, true, val_get_str(v, F_secret, F_secretName));
	fn(w, p, false, val_get_str(v, F_configMap, F_name));
	VAL_EACH(val_get(v, F_projected, F_sources), src) {
		fn(w, p, true, val_get_str(src, F_secret, F_name));
		fn(w, p, false, val_get_str(src, F_configMap, F_name));
	}
}

static void env_refs(const struct val *containers, struct config_watch *w, struct kpod *p, ref_fn *fn)
{
	VAL_EACH(containers, c) {
		VAL_EACH(val_member(c, F_envFrom), e) {
			fn(w, p, true, val_get_str(e, F_secretRef, F_name));
			fn(w, p, false, val_get_str(e, F_configMapRef, F_name));
		}
		VAL_EACH(val_member(c, F_env), e) {
			fn(w, p, true, val_get_str(e, F_valueFrom, F_secretKeyRef, F_name));
			fn(w, p, false, val_get_str(e, F_valueFrom, F_configMapKeyRef, F_name));
		}
	}
}

static void each_ref(struct config_watch *w, struct kpod *p, const struct val *pod, ref_fn *fn)
{
	VAL_EACH(val_get(pod, F_spec, F_volumes), v)
		volume_refs(v, w, p, fn);
	env_refs(val_get(pod, F_spec, F_initContainers), w, p, fn);
	env_refs(val_get(pod, F_spec, F_containers), w, p, fn);
}

static char *key_of(struct arena *a, const struct kpod *p, bool secret, struct sv name)
{
	return arena_printf(a, "%c %s/%.*s", secret ? 's' : 'c', p->ns, SV_ARG(name));
}

/* --- from the first reference to the last --- */

static void config_watch_ref_add(struct config_watch *w, struct kpod *p, bool secret, struct sv name)
{
	static const struct informer_handler handler = { .add = on_any,
							 .update = config_watch_on_update,
							 .del = on_any };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct informer_factory *start = NULL;
	struct watched *o;
	void **slot;

	if (!name.n)
		return;
	pthread_mutex_lock(&w->lock);
	slot = strmap_slot(&w->objects, sv_from(key_of(&a, p, secret, name)));
	if (!*slot) {
		const char *fields = arena_printf(&a, "metadata.name=%.*s", SV_ARG(name));

		*slot = o = xcalloc(1, sizeof(*o));
		o->w = w;
		start = o->informers = informer_factory_new(w->k->client);
		informer_add_handler(
		    informer_get(start, secret ? RES(core_secrets) : RES(core_configmaps), p->ns, NULL, fields),
		    &handler, o);
	}
	o = *slot;
	strmap_set(&o->pods, sv_from(p->uid), o);
	if (start)
		informer_factory_start(start);
	pthread_mutex_unlock(&w->lock);
}

static void watched_free(void *x)
{
	struct watched *o = x;

	informer_factory_free(o->informers);
	strmap_release(&o->pods);
	free(o);
}

static void config_watch_ref_drop(struct config_watch *w, struct kpod *p, bool secret, struct sv name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct watched *o, *last = NULL;
	char *key;

	if (!name.n)
		return;
	key = key_of(&a, p, secret, name);
	pthread_mutex_lock(&w->lock);
	o = strmap_get(&w->objects, sv_from(key));
	if (o) {
		strmap_del(&o->pods, sv_from(p->uid));
		if (!o->pods.n)
			last = strmap_del(&w->objects, sv_from(key));
	}
	pthread_mutex_unlock(&w->lock);
	if (last) /* waits for its handler, which may be waiting for the lock */
		watched_free(last);
}

void config_watch_add(struct config_watch *w, struct kpod *p, const struct val *pod)
{
	each_ref(w, p, pod, config_watch_ref_add);
}

void config_watch_drop(struct config_watch *w, struct kpod *p, const struct val *pod)
{
	each_ref(w, p, pod, config_watch_ref_drop);
}

struct config_watch *config_watch_new(struct kubelet *k)
{
	struct config_watch *w = xcalloc(1, sizeof(*w));

	w->k = k;
	pthread_mutex_init(&w->lock, NULL);
	return w;
}

struct config_watch *config_watch_free(struct config_watch *w)
{
	if (!w)
		return NULL;
	strmap_release_with(&w->objects, watched_free);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}
