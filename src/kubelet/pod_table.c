/* The table of pods. */
#include "kubelet/pod_table.h"

#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"

#include <stdatomic.h>
#include <stdlib.h>

struct kpod *kubelet_pod(struct kubelet *k, struct sv uid)
{
	struct kpod *p;

	pthread_mutex_lock(&k->lock);
	p = strmap_get(&k->table, uid);
	if (p)
		kpod_ref(p);
	pthread_mutex_unlock(&k->lock);
	return p;
}

struct kpod *kubelet_pod_named(struct kubelet *k, struct sv ns, struct sv name)
{
	struct kpod *found = NULL;

	pthread_mutex_lock(&k->lock);
	STRMAP_EACH(&k->table, e) {
		struct kpod *p = e->value;

		/* A successor of the same name may wait beside the one that ends: the living one is meant. */
		if (sv_is(ns, p->ns) && sv_is(name, p->name) && (!found || !p->vanished))
			found = p;
	}
	if (found)
		kpod_ref(found);
	pthread_mutex_unlock(&k->lock);
	return found;
}

struct kpod **kubelet_pods(struct kubelet *k, struct arena *a, size_t *ret_n)
{
	struct kpod **list;

	*ret_n = 0;
	pthread_mutex_lock(&k->lock);
	list = ARENA_ARRAY(a, struct kpod *, k->table.n + 1);
	STRMAP_EACH(&k->table, e)
		list[(*ret_n)++] = kpod_ref(e->value);
	pthread_mutex_unlock(&k->lock);
	return list;
}

static bool kpod_was_handed(struct kpod *p, const char *volume)
{
	bool was = false;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->handed.n && !was; i++)
		was = !strcmp(p->handed.p[i], volume);
	pthread_mutex_unlock(&p->lock);
	return was;
}

/* Looked at and said under one lock: of two that come at once one is the first. */
bool kubelet_hands(struct kubelet *k, struct kpod *p, const char *volume)
{
	bool own, others = false;

	pthread_mutex_lock(&k->lock);
	own = kpod_was_handed(p, volume);
	STRMAP_EACH(&k->table, e) {
		struct kpod *other = e->value;

		others |= other != p && !atomic_load(&other->torn_down) && kpod_was_handed(other, volume);
	}
	if (!own) {
		pthread_mutex_lock(&p->lock);
		vec_push(&p->handed, xstrdup(volume));
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return !own && !others;
}

void kubelet_know_container(struct kubelet *k, struct sv id, struct sv uid)
{
	pthread_mutex_lock(&k->lock);
	if (!strmap_has(&k->by_container, id))
		strmap_set(&k->by_container, id, xstrndup(uid.p, uid.n));
	pthread_mutex_unlock(&k->lock);
}

void kubelet_forget_container(struct kubelet *k, struct sv id)
{
	pthread_mutex_lock(&k->lock);
	free(strmap_del(&k->by_container, id));
	pthread_mutex_unlock(&k->lock);
}

void kubelet_forget_pod(struct kubelet *k, struct kpod *p)
{
	bool had;

	pthread_mutex_lock(&k->lock);
	had = strmap_get(&k->table, sv_from(p->uid)) == p;
	if (had)
		strmap_del(&k->table, sv_from(p->uid));
	strmap_del(&k->relisted, sv_from(p->uid));
	for (bool again = true; again;) {
		again = false;
		STRMAP_EACH(&k->by_container, e) {
			if (strcmp(e->value, p->uid) != 0)
				continue;
			free(strmap_del(&k->by_container, sv_make(e->key, e->key_n)));
			again = true;
			break;
		}
	}
	pthread_mutex_unlock(&k->lock);
	if (had)
		kpod_unref(p);
}

void pod_table_seen(struct kubelet *k, struct obj *o, bool vanished, bool refresh)
{
	struct sv uid = obj_uid(o);
	struct kpod *p;
	void **slot;

	pthread_mutex_lock(&k->lock);
	slot = strmap_slot(&k->table, uid);
	p = *slot;
	if (!p && vanished) {
		strmap_del(&k->table, uid);
		pthread_mutex_unlock(&k->lock);
		return;
	}
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->k = kubelet_ref(k);
		p->refs = 1;
		p->uid = xstrndup(uid.p, uid.n);
		p->ns = xstrndup(obj_ns(o).p, obj_ns(o).n);
		p->name = xstrndup(obj_name(o).p, obj_name(o).n);
		pthread_mutex_init(&p->lock, NULL);
		*slot = p;
	}
	kpod_ref(p);
	pthread_mutex_unlock(&k->lock);

	pthread_mutex_lock(&p->lock);
	if (!vanished || !p->obj) {
		obj_unref(p->obj);
		p->obj = obj_ref(o);
	}
	p->vanished = vanished;
	p->lost = p->lost && vanished;
	p->refresh |= refresh;
	pthread_mutex_unlock(&p->lock);
	kpod_kick(p);
	kpod_unref(p);
}

void kubelet_refresh(struct kubelet *k, bool (*uses)(const struct val *pod))
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kpod **pods;
	size_t n;

	pods = kubelet_pods(k, &a, &n);
	for (size_t i = 0; i < n; i++) {
		struct obj *o = kpod_obj(pods[i], &a);

		if (o && uses(obj_root(o)))
			kpod_refresh(pods[i]);
		kpod_unref(pods[i]);
	}
}

void kubelet_kick_all(struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kpod **pods;
	size_t n;

	pods = kubelet_pods(k, &a, &n);
	for (size_t i = 0; i < n; i++) {
		kpod_kick(pods[i]);
		kpod_unref(pods[i]);
	}
}
