/* News from the runtime. A notice may be lost or early, so that everything is looked at now and then. */
#include "kubelet/relist.h"

#include "base/quarantine.h"
#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/lost.h"
#include "kubelet/runtime_down.h"
#include "object/store_key.h"

#include <stdlib.h>

#define RELIST_NS (10 * NS_PER_SEC)

static void relist_fired(void *ctx);

/* The word may come before the runtime's own records say so: the sync looks again until they do. */
static void relist_remember(struct kubelet *k, struct sv uid, struct sv id) /* under k->lock */
{
	struct kpod *p = strmap_get(&k->table, uid);

	if (!p || !id.n)
		return;
	pthread_mutex_lock(&p->lock);
	free(p->noticed);
	p->noticed = xstrndup(id.p, id.n);
	p->noticed_looks = 0;
	pthread_mutex_unlock(&p->lock);
}

/* Runs on the runtime's thread: no calls, only kicks. */
static void relist_notice(const struct rt_event *ev, void *ctx)
{
	struct kubelet *k = ctx;
	struct sv uid;

	pthread_mutex_lock(&k->lock);
	uid = ev->pod_uid.n ? ev->pod_uid : sv_from(strmap_get(&k->by_container, ev->container_id));
	if (!k->stopping && k->q && uid.n) {
		relist_remember(k, uid, ev->container_id);
		workq_add(k->q, uid);
	} else if (!ev->container_id.n) /* notices may have been lost: look at everything, now */
		kubelet_hurry(k, &k->relist_timer, ENV_NODE, 0, relist_fired);
	pthread_mutex_unlock(&k->lock);
}

static uint64_t relist_mix(uint64_t h, struct sv id, unsigned state)
{
	return (h ^ sv_hash(id) ^ state) * UINT64_C(0x9e3779b97f4a7c15);
}

/* A Pod whose object the API server has set aside is not in the API, but nobody wanted it to go: it runs on. */
static bool relist_set_aside(struct arena *a, const struct rt_sandbox *s, size_t n, struct sv uid)
{
	for (size_t i = 0; i < n; i++)
		if (sv_eq(s[i].uid, uid) &&
		    quarantine_has(store_key(a, RES(core_pods)->store_path, s[i].ns, s[i].name)))
			return true;
	return false;
}

static void relist_compare(struct kubelet *k, struct rt_sandbox *s, size_t ns, struct rt_container *c, size_t nc,
			   struct arena *a)
{
	struct strmap now = STRMAP_INIT;
	VEC(struct sv) orphans = VEC_INIT;

	for (size_t i = 0; i < ns; i++) {
		void **h = strmap_slot(&now, s[i].uid);

		*h = (void *)(uintptr_t)relist_mix((uint64_t)(uintptr_t)*h, s[i].id, s[i].ready);
	}
	for (size_t i = 0; i < nc; i++) {
		struct sv uid = SV("");
		void **h;

		for (size_t j = 0; j < c[i].n_labels; j++)
			if (sv_is(c[i].labels[j].key, "io.kubernetes.pod.uid"))
				uid = c[i].labels[j].value;
		if (!uid.n)
			continue;
		h = strmap_slot(&now, uid);
		*h = (void *)(uintptr_t)relist_mix((uint64_t)(uintptr_t)*h, c[i].id, c[i].state + 2u);
	}
	pthread_mutex_lock(&k->lock);
	STRMAP_EACH(&now, e) {
		struct sv uid = sv_make(e->key, e->key_n);
		void **seen;

		if (!strmap_has(&k->table, uid)) {
			if (informer_synced(k->pods))
				vec_push(&orphans, arena_sv(a, uid));
			continue;
		}
		seen = strmap_slot(&k->relisted, uid);
		if (*seen != e->value && k->q)
			workq_add(k->q, uid);
		*seen = e->value;
	}
	STRMAP_EACH(&k->relisted, e) /* everything of it is gone from the runtime */
		if (!strmap_has(&now, sv_make(e->key, e->key_n)) && e->value && k->q) {
			workq_add(k->q, sv_make(e->key, e->key_n));
			e->value = NULL;
		}
	pthread_mutex_unlock(&k->lock);
	for (size_t i = 0; i < orphans.n; i++)
		if (!relist_set_aside(a, s, ns, orphans.p[i]))
			workq_add(k->orphans, orphans.p[i]);
	vec_release(&orphans);
	strmap_release(&now);
}

static void relist_fired(void *ctx)
{
	struct kubelet *k = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_sandbox *s;
	struct rt_container *c;
	size_t ns, nc;

	if (!kubelet_fired(k, &k->relist_timer))
		return;
	lost_look(k);
	if (!runtime_down(k) && k->rt->ops->list_sandboxes(k->rt, &a, SV(""), &s, &ns, NULL) == 0 &&
	    k->rt->ops->list_containers(k->rt, &a, SV(""), &c, &nc, NULL) == 0) {
		relist_compare(k, s, ns, c, nc, &a);
		k->relisted_ns = env_mono_ns(k->env);
	}
	kubelet_rearm(k, &k->relist_timer, ENV_NODE, k->relist_period_ns, relist_fired);
	kubelet_fired_end(k);
}

void relist_start(struct kubelet *k)
{
	struct err e = ERR_INIT;

	k->subscribed = k->rt->ops->subscribe(k->rt, relist_notice, k, &e) == 0;
	err_release(&e);
	k->relist_period_ns = k->subscribed ? RELIST_NS : NS_PER_SEC;
	kubelet_rearm(k, &k->relist_timer, ENV_NODE, NS_PER_SEC / 5, relist_fired);
}

void relist_stop(struct kubelet *k)
{
	if (k->subscribed)
		k->rt->ops->unsubscribe(k->rt);
}
