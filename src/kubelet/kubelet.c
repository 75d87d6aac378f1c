/* The table of pods, where news comes from, and the agent's own life. */
#include "kubelet/kubelet-internal.h"

#include "base/log.h"
#include "base/quarantine.h"
#include "kubelet/link_watch.h"
#include "kubelet/machine.h"
#include "kubelet/status.h"
#include "kubelet/volumes/volumes.h"

#include <stdlib.h>

#define RELIST_NS (10 * NS_PER_SEC)
#define REFRESH_NS (60 * NS_PER_SEC)
#define SYNC_WORKERS 8

static char **strings_copy(const char *const *list)
{
	size_t n = 0;
	char **copy;

	while (list && list[n])
		n++;
	copy = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		copy[i] = xstrdup(list[i]);
	return copy;
}

static void strings_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

/* --- tasks --- */

struct kubelet *kubelet_ref(struct kubelet *k)
{
	k->refs++;
	return k;
}

void kubelet_unref(struct kubelet *k)
{
	if (--k->refs)
		return;
	strings_free(k->node_labels);
	strings_free(k->node_taints);
	free(k->node_name);
	free(k->node_ip);
	free(k->root_dir);
	free(k->log_dir);
	free(k->cluster_dns);
	free(k->resolv_conf);
	free(k->cluster_domain);
	free(k->pause_image);
	free(k->cgroup_root);
	free(k->repair_said);
	strmap_release(&k->table);
	strmap_release_with(&k->by_container, free);
	strmap_release(&k->relisted);
	pthread_mutex_destroy(&k->admitting);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->idle);
	free(k);
}

bool ktask_enter(struct kubelet *k)
{
	bool ok;

	pthread_mutex_lock(&k->lock);
	ok = !k->stopping;
	k->active += ok;
	pthread_mutex_unlock(&k->lock);
	return ok;
}

void ktask_leave(struct kubelet *k)
{
	pthread_mutex_lock(&k->lock);
	if (--k->active == 0)
		pthread_cond_broadcast(&k->idle);
	pthread_mutex_unlock(&k->lock);
}

/* Each timer holds a reference, dropped by its task (kubelet_fired) or by who prevented that (stop_timer). */
void kubelet_rearm(struct kubelet *k, struct env_timer **slot, enum env_class class, int64_t delay_ns, env_fn *fn)
{
	pthread_mutex_lock(&k->lock);
	if (!k->stopping && !*slot) {
		kubelet_ref(k);
		*slot = env_after(k->env, class, delay_ns, fn, k);
	}
	pthread_mutex_unlock(&k->lock);
}

void kubelet_hurry(struct kubelet *k, struct env_timer **slot, enum env_class class, int64_t delay_ns, env_fn *fn)
{
	/* A run that was prevented passes its reference on; one that begins this moment needs no other. */
	if (!k->stopping && *slot && env_timer_stop(k->env, TAKE(*slot)))
		*slot = env_after(k->env, class, delay_ns, fn, k);
}

bool kubelet_fired(struct kubelet *k, struct env_timer **slot)
{
	bool go;

	pthread_mutex_lock(&k->lock);
	*slot = env_timer_cancel(k->env, *slot);
	go = !k->stopping;
	k->active += go;
	pthread_mutex_unlock(&k->lock);
	if (!go)
		kubelet_unref(k);
	return go;
}

void kubelet_fired_end(struct kubelet *k)
{
	ktask_leave(k);
	kubelet_unref(k);
}

static void stop_timer(struct kubelet *k, struct env_timer **slot)
{
	struct env_timer *t;

	pthread_mutex_lock(&k->lock);
	t = TAKE(*slot);
	pthread_mutex_unlock(&k->lock);
	if (t && env_timer_stop(k->env, t))
		kubelet_unref(k);
}

/* --- pods --- */

struct kpod *kpod_ref(struct kpod *p)
{
	p->refs++;
	return p;
}

static void kcont_free(struct kpod *p, struct kcont *c)
{
	probes_stop(p, c);
	free(c->name);
	free(c->id);
	free(c->hook_message);
	free(c->wait_reason);
	free(c->wait_message);
	free(c->pull_error);
	free(c->resize_message);
	free(c);
}

void kpod_unref(struct kpod *p)
{
	if (!p || --p->refs)
		return;
	for (size_t i = 0; i < p->conts.n; i++)
		kcont_free(p, p->conts.p[i]);
	vec_release(&p->conts);
	for (size_t i = 0; i < p->tokens.n; i++) {
		free(p->tokens.p[i].key);
		free(p->tokens.p[i].token);
	}
	vec_release(&p->tokens);
	obj_unref(p->obj);
	obj_unref(p->sent);
	free(p->forced_reason);
	free(p->forced_message);
	free(p->over_limit);
	free(p->noticed);
	free(p->ips);
	free(p->ips_of);
	free(p->uid);
	free(p->ns);
	free(p->name);
	pthread_mutex_destroy(&p->lock);
	kubelet_unref(p->k);
	free(p);
}

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

void kpod_kick(struct kpod *p)
{
	pthread_mutex_lock(&p->k->lock);
	if (!p->k->stopping && p->k->q)
		workq_add(p->k->q, sv_from(p->uid));
	pthread_mutex_unlock(&p->k->lock);
}

struct obj *kpod_obj(struct kpod *p, struct arena *a)
{
	struct obj *o;

	pthread_mutex_lock(&p->lock);
	o = obj_ref(p->obj);
	pthread_mutex_unlock(&p->lock);
	return obj_link(a, o);
}

struct kcont *kpod_cont(struct kpod *p, struct sv name)
{
	struct kcont *c;

	for (size_t i = 0; i < p->conts.n; i++)
		if (sv_is(name, p->conts.p[i]->name))
			return p->conts.p[i];
	c = xcalloc(1, sizeof(*c));
	c->name = xstrndup(name.p, name.n);
	c->kill_at_ns = NEVER_NS;
	pthread_mutex_lock(&p->lock);
	vec_push(&p->conts, c);
	pthread_mutex_unlock(&p->lock);
	return c;
}

void kcont_reset(struct kpod *p, struct kcont *c, struct sv id)
{
	if (c->id && sv_is(id, c->id))
		return;
	probes_stop(p, c);
	pthread_mutex_lock(&p->lock);
	free(c->id);
	c->id = xstrndup(id.p, id.n);
	c->post_start = c->pre_stop = HOOK_NONE;
	free(TAKE(c->hook_message));
	c->kill_at_ns = NEVER_NS;
	c->stop_wanted = c->term_sent = c->killed = c->stop_call = false;
	c->noted = STOP_HOOK;
	c->unanswered = true;
	c->limits.known = false;
	c->resize_reason = NULL;
	pthread_mutex_unlock(&p->lock);
	if (id.n)
		kubelet_know_container(p->k, id, sv_from(p->uid));
}

void kcont_wait(struct kpod *p, struct kcont *c, const char *reason, const char *fmt, ...)
{
	char *message = NULL;
	va_list ap;

	if (fmt) {
		struct buf b = BUF_INIT;

		va_start(ap, fmt);
		buf_vprintf(&b, fmt, ap);
		va_end(ap);
		message = buf_detach(&b);
	}
	pthread_mutex_lock(&p->lock);
	free(c->wait_reason);
	free(c->wait_message);
	c->wait_reason = reason ? xstrdup(reason) : NULL;
	c->wait_message = message;
	pthread_mutex_unlock(&p->lock);
}

void kpod_event(struct kpod *p, const struct val *container, const char *type, const char *reason, const char *fmt, ...)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *o = kpod_obj(p, &a);
	const char *text, *path = NULL;
	va_list ap;
	const struct val *spec;
	bool init, extra;

	va_start(ap, fmt);
	text = arena_vprintf(&a, fmt, ap);
	va_end(ap);
	spec = container ? pod_container(obj_root(o), val_get_str(container, F_name), &init) : NULL;
	extra = spec && container_is_ephemeral(obj_root(o), spec);
	if (spec)
		path = arena_printf(&a, "spec.%s{%.*s}",
				    init    ? "initContainers"
				    : extra ? "ephemeralContainers"
					    : "containers",
				    SV_ARG(val_get_str(container, F_name)));
	if (path)
		recorder_event_at(p->k->recorder, RES(core_pods), obj_root(o), path, type, reason, "%s", text);
	else
		recorder_event(p->k->recorder, RES(core_pods), obj_root(o), type, reason, "%s", text);
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

/* The object is ours to keep a reference of; made when it is a new pod. */
static void pod_seen(struct kubelet *k, struct obj *o, bool vanished, bool refresh)
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
	p->refresh |= refresh;
	pthread_mutex_unlock(&p->lock);
	kpod_kick(p);
	kpod_unref(p);
}

static void on_add(struct obj *o, void *ctx)
{
	pod_seen(ctx, o, false, false);
}

static void on_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct kubelet *k = ctx;

	if (!sv_eq(obj_uid(old), obj_uid(neu)))
		pod_seen(k, old, true, false);
	/* What volumes of kind downwardAPI show and may change. */
	pod_seen(k, neu, false,
		 !val_same(obj_labels(old), obj_labels(neu)) ||
		     !val_same(obj_get(old, F_metadata, F_annotations), obj_get(neu, F_metadata, F_annotations)));
}

static void on_delete(struct obj *o, void *ctx)
{
	pod_seen(ctx, o, true, false);
}

/* --- news from the runtime --- */

static void relist(void *ctx);

/* The word may come before the runtime's own records say so: the sync looks again until they do. */
static void remember(struct kubelet *k, struct sv uid, struct sv id) /* under k->lock */
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
static void on_notice(const struct rt_event *ev, void *ctx)
{
	struct kubelet *k = ctx;
	struct sv uid;

	pthread_mutex_lock(&k->lock);
	uid = ev->pod_uid.n ? ev->pod_uid : sv_from(strmap_get(&k->by_container, ev->container_id));
	if (!k->stopping && k->q && uid.n) {
		remember(k, uid, ev->container_id);
		workq_add(k->q, uid);
	} else if (!ev->container_id.n) /* notices may have been lost: look at everything, now */
		kubelet_hurry(k, &k->relist_timer, ENV_NODE, 0, relist);
	pthread_mutex_unlock(&k->lock);
}

static uint64_t mix(uint64_t h, struct sv id, unsigned state)
{
	return (h ^ sv_hash(id) ^ state) * UINT64_C(0x9e3779b97f4a7c15);
}

/* A Pod whose object the API server has set aside is not in the API, but nobody wanted it to go: it runs on. */
static bool is_set_aside(const struct rt_sandbox *s, size_t n, struct sv uid)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *key = NULL;

		if (!sv_eq(s[i].uid, uid))
			continue;
		key = xasprintf("/registry/pods/%.*s/%.*s", SV_ARG(s[i].ns), SV_ARG(s[i].name));
		if (quarantine_has(sv_from(key)))
			return true;
	}
	return false;
}

static void compare(struct kubelet *k, struct rt_sandbox *s, size_t ns, struct rt_container *c, size_t nc,
		    struct arena *a)
{
	struct strmap now = STRMAP_INIT;
	VEC(struct sv) orphans = VEC_INIT;

	for (size_t i = 0; i < ns; i++) {
		void **h = strmap_slot(&now, s[i].uid);

		*h = (void *)(uintptr_t)mix((uint64_t)(uintptr_t)*h, s[i].id, s[i].ready);
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
		*h = (void *)(uintptr_t)mix((uint64_t)(uintptr_t)*h, c[i].id, c[i].state + 2u);
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
		if (!is_set_aside(s, ns, orphans.p[i]))
			workq_add(k->orphans, orphans.p[i]);
	vec_release(&orphans);
	strmap_release(&now);
}

static void relist(void *ctx)
{
	struct kubelet *k = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_sandbox *s;
	struct rt_container *c;
	size_t ns, nc;

	if (!kubelet_fired(k, &k->relist_timer))
		return;
	if (!runtime_down(k) && k->rt->ops->list_sandboxes(k->rt, &a, SV(""), &s, &ns, NULL) == 0 &&
	    k->rt->ops->list_containers(k->rt, &a, SV(""), &c, &nc, NULL) == 0) {
		compare(k, s, ns, c, nc, &a);
		k->relisted_ns = env_mono_ns(k->env);
	}
	kubelet_rearm(k, &k->relist_timer, ENV_NODE, k->relist_period_ns, relist);
	kubelet_fired_end(k);
}

/* Tokens in volumes are brought up to date; the rest is too, should a watch (config_watch.h) have failed. */
static void refresh(void *ctx)
{
	struct kubelet *k = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kpod **pods;
	size_t n;

	if (!kubelet_fired(k, &k->refresh_timer))
		return;
	pods = kubelet_pods(k, &a, &n);
	for (size_t i = 0; i < n; i++) {
		bool live;

		pthread_mutex_lock(&pods[i]->lock);
		live = pods[i]->obj && volumes_need_refresh(obj_root(pods[i]->obj));
		pods[i]->refresh |= live;
		pthread_mutex_unlock(&pods[i]->lock);
		if (live)
			kpod_kick(pods[i]);
		kpod_unref(pods[i]);
	}
	kubelet_rearm(k, &k->refresh_timer, ENV_NODE, REFRESH_NS, refresh);
	kubelet_fired_end(k);
}

/* --- start and end --- */

static bool is_ready(void *ctx)
{
	struct kubelet *k = ctx;

	return informer_synced(k->pods) && informer_synced(k->services);
}

static char *dup_or(const char *s, const char *or_else)
{
	return s && *s ? xstrdup(s) : or_else ? xstrdup(or_else) : NULL;
}

struct kubelet *kubelet_new(const struct kubelet_opts *o, struct err *err)
{
	struct kubelet *k = xcalloc(1, sizeof(*k));
	const struct informer_handler handler = { .add = on_add, .update = on_update, .del = on_delete };
	struct err e = ERR_INIT;
	char selector[300];

	k->refs = 1;
	k->env = o->env;
	k->client = o->client;
	k->rt = o->runtime;
	k->files = !o->host || o->host == &kubelet_host_real;
	k->host = o->host ? o->host : &kubelet_host_real;
	k->node_name = xstrdup(o->node_name);
	k->node_ip = dup_or(o->node_ip, NULL);
	k->root_dir = dup_or(o->root_dir, "/var/lib/kubelet");
	k->log_dir = dup_or(o->log_dir, "/var/log/pods");
	k->cluster_dns = dup_or(o->cluster_dns, NULL);
	k->resolv_conf = dup_or(o->resolv_conf, NULL);
	k->cluster_domain = dup_or(o->cluster_domain, "cluster.local");
	k->pause_image = dup_or(o->pause_image, NULL);
	k->cgroup_root = xstrdup(o->cgroup_root ? o->cgroup_root : "");
	k->max_pods = o->max_pods ? o->max_pods : 110;
	k->pod_max_pids = o->pod_max_pids ? MAX(o->pod_max_pids, 0) : machine_pod_pids(machine_pids());
	k->port = o->port;
	k->status_period_ns = o->status_period_ns ? o->status_period_ns : 10 * NS_PER_SEC;
	k->lease_period_ns = o->lease_period_ns ? o->lease_period_ns : 10 * NS_PER_SEC;
	k->runtime_hangs = o->runtime_hangs;
	k->runtime_ctx = o->runtime_ctx;
	k->repair = o->repair;
	k->repair_ctx = o->repair_ctx;
	k->relisted_ns = env_mono_ns(k->env);
	k->node_labels = strings_copy(o->node_labels);
	k->node_taints = strings_copy(o->node_taints);
	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->admitting, NULL);
	pthread_cond_init(&k->idle, NULL);

	k->recorder = recorder_new(k->client, "kubelet", k->node_name);
	k->images = images_new(k);
	k->configs = config_watch_new(k);
	if (o->port >= 0 && k->files) {
		k->server = kserver_new(k, o, err);
		if (!k->server)
			goto fail;
		k->port = kserver_port(k->server);
	}
	k->factory = informer_factory_new(k->client);
	snprintf(selector, sizeof(selector), "spec.nodeName=%s", k->node_name);
	k->pods = informer_get(k->factory, RES(core_pods), NULL, NULL, selector);
	k->services = informer_get(k->factory, RES(core_services), NULL, NULL, NULL);
	k->q = workq_new(k->env, &(struct workq_opts){ .name = "kubelet",
						       .class = ENV_NODE,
						       .workers = SYNC_WORKERS,
						       .reconcile = pod_sync,
						       .ctx = k,
						       .ready = is_ready });
	k->orphans = orphans_new(k);
	informer_add_handler(k->pods, &handler, k);
	if (!node_status_new(k, err)) /* sets k->node before its first task runs */
		goto fail;
	informer_factory_start(k->factory);

	node_repair_start(k);
	rt_health_new(k); /* sets k->health */
	k->subscribed = k->rt->ops->subscribe(k->rt, on_notice, k, &e) == 0;
	err_release(&e);
	k->relist_period_ns = k->subscribed ? RELIST_NS : NS_PER_SEC;
	kubelet_rearm(k, &k->relist_timer, ENV_NODE, NS_PER_SEC / 5, relist);
	kubelet_rearm(k, &k->refresh_timer, ENV_NODE, REFRESH_NS, refresh);
	if (k->files)
		logs_rotate_start(k);
	return k;
fail:
	kubelet_free(k);
	return NULL;
}

int kubelet_fd(const struct kubelet *k)
{
	return k->server ? kserver_fd(k->server) : -1;
}

int kubelet_port(const struct kubelet *k)
{
	return k->port;
}

struct kubelet *kubelet_free(struct kubelet *k)
{
	struct workq *q;

	if (!k)
		return NULL;
	if (k->subscribed)
		k->rt->ops->unsubscribe(k->rt);
	/* No news from here on; what is known is still asked for by syncs and tasks under way. */
	k->links = link_watch_free(k->links);
	if (k->factory)
		informer_factory_stop(k->factory);
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	q = TAKE(k->q);
	pthread_mutex_unlock(&k->lock);
	stop_timer(k, &k->relist_timer);
	stop_timer(k, &k->refresh_timer);
	stop_timer(k, &k->status_timer);
	stop_timer(k, &k->lease_timer);
	stop_timer(k, &k->rotate_timer);
	stop_timer(k, &k->health_timer);
	stop_timer(k, &k->repair_timer);
	q = q ? workq_free(q) : NULL;
	pthread_mutex_lock(&k->lock);
	while (k->active) /* tasks under way; those still queued will see stopping */
		pthread_cond_wait(&k->idle, &k->lock);
	pthread_mutex_unlock(&k->lock);
	k->orphans = k->orphans ? workq_free(k->orphans) : NULL; /* after the last relist, which adds to it */
	k->configs = config_watch_free(k->configs);
	k->server = kserver_free(k->server); /* after the last task that could post to its loop */
	k->node = node_status_free(k->node);
	k->factory = informer_factory_free(k->factory);
	for (;;) {
		struct kpod *p = NULL;

		pthread_mutex_lock(&k->lock);
		STRMAP_EACH(&k->table, e) {
			p = kpod_ref(e->value);
			break;
		}
		pthread_mutex_unlock(&k->lock);
		if (!p)
			break;
		for (size_t i = 0; i < p->conts.n; i++)
			probes_stop(p, p->conts.p[i]);
		kubelet_forget_pod(k, p);
		kpod_unref(p);
	}
	k->images = images_free(k->images);
	k->health = rt_health_free(k->health);
	k->recorder = recorder_free(k->recorder);
	kubelet_unref(k);
	return NULL;
}
