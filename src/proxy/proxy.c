/* Informers mark Services and Pods with host ports as changed; one reconcile key, "rules", folds the marks into syncs.
 * Its queue gives what a sync needs: never two at once, at once when idle, and called again when it asks to be. */
#include "proxy/proxy-internal.h"

#include "base/log.h"
#include "base/timefmt.h"
#include "object/annotation.h"
#include "object/slice.h"
#include "proxy/health.h"
#include "proxy/hostport.h"
#include "proxy/proxy_config.h"

#include <stdlib.h>

#define INFORMER_POLL_NS (10 * NS_PER_MS)
#define CHECK_NS (10 * NS_PER_SEC) /* one short message to the kernel, usually */

static const struct retry_policy proxy_retry = { .first_ns = NS_PER_SEC, .max_ns = 30 * NS_PER_SEC };
static const struct sv rules_key = { "rules", 5 };
#define TRIGGER_ANNOTATION "endpoints.kubernetes.io/last-change-trigger-time"
#define TRIGGERS_MAX 1024 /* of a sync; more are not measured */

/* --- marking --- */

static void wake_locked(struct proxy *p)
{
	if (!p->stopping)
		workq_add(p->q, rules_key);
}

static void proxy_mark(struct proxy *p, const char *prefix, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;

	buf_adds(&key, prefix);
	buf_addsv(&key, ns);
	buf_addc(&key, '/');
	buf_addsv(&key, name);
	pthread_mutex_lock(&p->lock);
	strmap_set(&p->dirty, buf_sv(&key), p);
	wake_locked(p);
	pthread_mutex_unlock(&p->lock);
}

static void on_service(struct obj *o, void *ctx)
{
	proxy_mark(ctx, "", obj_ns(o), obj_name(o));
}

static void on_service_update(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	on_service(neu, ctx);
}

static void on_slice(struct obj *o, void *ctx)
{
	if (slice_service(o).n)
		proxy_mark(ctx, "", obj_ns(o), slice_service(o));
}

/* When what the slice says happened, as its controller saw it. */
static struct sv slice_trigger(const struct obj *slice)
{
	return annotation_of(obj_root(slice), TRIGGER_ANNOTATION);
}

/* Of a slice of before this process nobody knows how long it has been known. */
static void note_trigger(struct proxy *p, const struct obj *slice)
{
	int64_t when;

	if (!p->health || !p->synced || !slice_trigger(slice).n || !time_parse(slice_trigger(slice), &when))
		return;
	pthread_mutex_lock(&p->lock);
	if (p->triggers.n < TRIGGERS_MAX)
		vec_push(&p->triggers, when);
	pthread_mutex_unlock(&p->lock);
}

static void on_slice_add(struct obj *o, void *ctx)
{
	note_trigger(ctx, o);
	on_slice(o, ctx);
}

static void on_slice_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!sv_eq(slice_trigger(old), slice_trigger(neu)))
		note_trigger(ctx, neu);
	if (!sv_eq(slice_service(old), slice_service(neu)))
		on_slice(old, ctx);
	on_slice(neu, ctx);
}

static void proxy_on_pod(struct obj *o, void *ctx)
{
	if (pod_has_host_ports(o))
		proxy_mark(ctx, POD_PREFIX, obj_ns(o), obj_name(o));
}

static void on_pod_update(struct obj *old, struct obj *neu, void *ctx)
{
	/* Of the many changes of a status two matter. Another Pod of the same name may be in the place of one
	 * that went while nobody watched. */
	if (!val_equal(obj_get(old, F_status, F_podIPs), obj_get(neu, F_status, F_podIPs)) ||
	    !val_equal(obj_get(old, F_status, F_phase), obj_get(neu, F_status, F_phase)) ||
	    !val_equal(obj_get(old, F_metadata, F_uid), obj_get(neu, F_metadata, F_uid))) {
		if (pod_has_host_ports(old) || pod_has_host_ports(neu))
			proxy_mark(ctx, POD_PREFIX, obj_ns(neu), obj_name(neu));
	}
}

/* Another zone or the first pod range may concern every Service; Node statuses change often and do not. */
static void on_node(struct obj *o, void *ctx)
{
	struct proxy *p = ctx;

	if (!sv_is(obj_name(o), p->node_name))
		return;
	pthread_mutex_lock(&p->lock);
	p->all_dirty = true;
	wake_locked(p);
	pthread_mutex_unlock(&p->lock);
}

static void on_node_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!own_node_same(old, neu))
		on_node(neu, ctx);
}

static void slice_key(const struct obj *o, struct index_keys *ret)
{
	index_keys_add_ref(ret, obj_ns(o), slice_service(o));
}

/* --- when --- */

/* What a sync that began at `began` and its result mean for the next. */
static void plan_next(struct proxy *p, int64_t began, int rc, size_t written, bool everything)
{
	int64_t now = env_mono_ns(p->env);

	if (rc < 0) {
		p->rest_until_ns = now + retry_failed(&proxy_retry, &p->failed, now);
		return;
	}
	retry_forget(&p->failed);
	if (written)
		p->rest_until_ns = now + retry_rest_ns(now - began);
	if (!everything)
		return;
	p->check_ns = now;
	if (!atomic_exchange(&p->synced, true))
		log_info("proxy", "service rules are in place", "services", "%zu", informer_count(p->services));
}

static int proxy_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct proxy *p = ctx;
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t now = env_mono_ns(p->env);
	bool everything = !p->synced || p->failed.pause_ns > 0;
	size_t written;
	int rc;

	(void)key;
	(void)err;
	if (!informer_synced(p->services) || !informer_synced(p->slices) || !informer_synced(p->nodes) ||
	    (p->pods && !informer_synced(p->pods))) {
		ret->after_ns = INFORMER_POLL_NS;
		return 0;
	}
	if (p->rest_until_ns > now) {
		ret->after_ns = p->rest_until_ns - now;
		return 0;
	}
	if (!everything && now - p->check_ns >= CHECK_NS) {
		p->check_ns = now;
		everything = !p->backend->intact(p->backend);
		if (p->health)
			proxy_health_retry(p->health);
		if (everything)
			log_kv(LVL_WARN, "proxy", "service rules were changed by somebody else, putting them back",
			       "table", p->table, NULL);
	}
	rc = proxy_sync(p, everything, &written, &why);
	if (rc < 0)
		log_kv(LVL_ERROR, "proxy", "rules not written, will retry", "error", err_msg(&why), NULL);
	if (p->health)
		proxy_health_synced(p->health, rc == 0, env_mono_ns(p->env) - now);
	plan_next(p, now, rc, written, everything);
	if (now >= syns_next_ns(&p->syns))
		proxy_forget_syns(p, now);
	ret->after_ns = rc < 0 ? p->failed.pause_ns : MAX(p->check_ns + CHECK_NS - now, 1);
	ret->after_ns = MIN(ret->after_ns, MAX(syns_next_ns(&p->syns) - now, 1));
	return 0;
}

/* --- life --- */

void proxy_keep(struct informer_factory *f)
{
	informer_factory_keep(f, RES(core_services), model_service_paths);
	informer_factory_keep(f, RES(discovery_endpointslices), model_slice_paths);
	informer_factory_keep(f, RES(core_nodes), own_node_paths);
}

static const struct informer_handler service_handler = { on_service, on_service_update, on_service };
static const struct informer_handler slice_handler = { on_slice_add, on_slice_update, on_slice };
static const struct informer_handler pod_handler = { proxy_on_pod, on_pod_update, proxy_on_pod };
static const struct informer_handler node_handler = { on_node, on_node_update, on_node };

static bool table_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < 64 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n && s[0] >= 'a';
}

static void proxy_configure(struct proxy *p, const struct proxy_config *c)
{
	p->cfg.masq_all = c->rules[0].masquerade_all;
	p->cfg.mark = UINT32_C(1) << c->rules[0].masquerade_bit;
	p->node_cidr = c->detect_local == DETECT_NODE_CIDR;
	if (c->detect_local == DETECT_BRIDGE)
		p->local_devices = xstrdup(c->bridge_interface);
	else if (c->detect_local == DETECT_PREFIX)
		p->local_devices = xasprintf("%s*", c->interface_prefix);
	p->cfg.local_devices = p->local_devices;
	for (size_t i = 0; i < c->nodeport_addresses.n; i++) {
		struct ip_net net;

		if (strcmp(c->nodeport_addresses.p[i], "primary") == 0) {
			p->primary = p->cfg.chosen_nodeports[0] = p->cfg.chosen_nodeports[1] = true;
		} else if (ip_net_parse(sv_from(c->nodeport_addresses.p[i]), &net)) {
			nets_add(&p->nodeports, net);
			p->cfg.chosen_nodeports[!ip_is_v4(net.addr)] = true;
		}
	}
}

char *proxy_spare_table(const char *table)
{
	return xasprintf("%s-spare", table);
}

struct proxy *proxy_new(const struct proxy_opts *o, struct err *err)
{
	const char *table = o->table ? o->table : "caravel";
	_cleanup_free_ char *own_node = xasprintf("metadata.name=%s", o->node_name);
	_cleanup_free_ char *own_pods = xasprintf("spec.nodeName=%s", o->node_name);
	struct informer_factory *f;
	struct proxy *p;

	if (!table_name_ok(table)) {
		o->backend->free(o->backend);
		(void)err_set(err, ERR_INVALID, "'%s' cannot be the name of an nftables table", table);
		return NULL;
	}
	p = xcalloc(1, sizeof(*p));
	p->env = o->env;
	p->backend = o->backend;
	p->node_name = xstrdup(o->node_name);
	p->node.zone = xstrdup("");
	p->table = xstrdup(table);
	p->spare = proxy_spare_table(table);
	p->cfg.table = p->table;
	p->cfg.spare = p->spare;
	p->cfg.cluster = families_parse(sv_from(o->cluster_cidr ? o->cluster_cidr : ""));
	p->cfg.replaces = o->replaces;
	p->own_service = o->own_service;
	p->health = o->health;
	if (o->config)
		proxy_configure(p, o->config);
	pthread_mutex_init(&p->lock, NULL);
	p->tracker = change_tracker_new(&p->cfg);
	f = o->informers;
	if (!f) {
		f = p->factory = informer_factory_new(o->client);
		proxy_keep(f);
	}
	p->q = workq_new(p->env,
			 &(struct workq_opts){ .name = "proxy", .workers = 1, .reconcile = proxy_reconcile, .ctx = p });
	p->services = informer_get(f, RES(core_services), NULL, NULL, NULL);
	p->slices = informer_get(f, RES(discovery_endpointslices), NULL, SLICE_SERVICE_LABEL, NULL);
	/* All nodes are somebody's in any case where several share. */
	p->nodes = informer_get(f, RES(core_nodes), NULL, NULL, p->factory ? own_node : NULL);
	informer_add_index(p->slices, "service", slice_key);
	if (o->pod_client) {
		p->pod_factory = informer_factory_new(o->pod_client);
		p->pods = informer_get(p->pod_factory, RES(core_pods), NULL, NULL, own_pods);
		informer_add_handler(p->pods, &pod_handler, p);
	}
	/* With all in place: others' informers run already, and tell what they have from here on. */
	informer_add_handler(p->services, &service_handler, p);
	informer_add_handler(p->slices, &slice_handler, p);
	informer_add_handler(p->nodes, &node_handler, p);
	workq_add(p->q, rules_key); /* an empty cluster has rules, too */
	if (p->pod_factory)
		informer_factory_start(p->pod_factory);
	if (p->factory)
		informer_factory_start(p->factory);
	return p;
}

bool proxy_synced(struct proxy *p)
{
	return p->synced;
}

/* What this process serves itself is served by others from now on. The queue is gone. */
static void proxy_leave(struct proxy *p)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	size_t written;

	if (!p->own_service || !p->synced || p->failed.pause_ns > 0)
		return;
	p->leaves = true;
	/* Informers that are its own still tell. */
	pthread_mutex_lock(&p->lock);
	strmap_set(&p->dirty, sv_from(p->own_service), p);
	pthread_mutex_unlock(&p->lock);
	if (proxy_sync(p, false, &written, &err) < 0)
		log_warn("proxy", "the service that this process serves itself still leads here", "error", "%s",
			 err_msg(&err));
}

struct proxy *proxy_free(struct proxy *p, bool remove_rules)
{
	if (!p)
		return NULL;
	/* The queue first, as a sync reads the informers; handlers running meanwhile leave it alone. */
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_mutex_unlock(&p->lock);
	p->q = workq_free(p->q);
	if (!remove_rules)
		proxy_leave(p);
	p->factory = p->factory ? informer_factory_free(p->factory) : NULL;
	p->pod_factory = p->pod_factory ? informer_factory_free(p->pod_factory) : NULL;
	if (remove_rules) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		render_remove(&b, p->spare);
		render_remove(&b, p->table);
		if (p->backend->apply(p->backend, buf_sv(&b), &err) < 0)
			log_kv(LVL_WARN, "proxy", "service rules stay", "table", p->table, "error", err_msg(&err),
			       NULL);
		p->backend->restore(p->backend);
	}
	p->backend->free(p->backend);
	change_tracker_free(p->tracker);
	strmap_release(&p->dirty);
	syns_release(&p->syns);
	vec_release(&p->triggers);
	pthread_mutex_destroy(&p->lock);
	free(p->node_name);
	own_node_release(&p->node);
	vec_release(&p->nodeports.v);
	free(p->table);
	free(p->spare);
	free(p->local_devices);
	free(p);
	return NULL;
}
