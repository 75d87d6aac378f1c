/* Informers mark Services and Pods with host ports as changed; one reconcile key, "rules", folds the marks into syncs.
 * Its queue gives what a sync needs: never two at once, at once when idle, and called again when it asks to be. */
#include "proxy/proxy.h"

#include "base/log.h"
#include "base/retry.h"
#include "base/timefmt.h"
#include "client/informer.h"
#include "client/workq.h"
#include "object/annotation.h"
#include "object/slice.h"
#include "proxy/health.h"
#include "proxy/hostport.h"
#include "proxy/own_node.h"
#include "proxy/proxy_config.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define INFORMER_POLL_NS (10 * NS_PER_MS)
#define SYN_NS (2 * NS_PER_SEC)
#define PART_ELEMENTS 2048	   /* of a transaction, about: some 100 KB of text */
#define CHECK_NS (10 * NS_PER_SEC) /* one short message to the kernel, usually */

static const struct retry_policy proxy_retry = { .first_ns = NS_PER_SEC, .max_ns = 30 * NS_PER_SEC };
static const struct sv rules_key = { "rules", 5 };
/* To the tracker a Pod is one more Service, under a name that no Service can have. */
#define POD_PREFIX "pod:"
#define TRIGGER_ANNOTATION "endpoints.kubernetes.io/last-change-trigger-time"
#define TRIGGERS_MAX 1024 /* of a sync; more are not measured */

struct proxy {
	struct env *env;
	struct proxy_backend *backend;
	struct informer_factory *factory;     /* NULL: the informers are another's */
	struct informer_factory *pod_factory; /* it, and pods: NULL when host ports are not ours */
	struct informer *pods;
	struct informer *services, *slices, *nodes;
	struct workq *q;
	char *node_name;
	char *local_devices; /* of cfg */
	bool node_cidr;	     /* the Node's pod ranges are the cluster's to us */
	bool primary;	     /* node ports are on the Node's InternalIPs */
	struct proxy_health *health;
	struct render_cfg cfg;
	char *table, *spare;
	const char *own_service; /* or NULL */
	_Atomic bool synced;

	pthread_mutex_t lock; /* covers: */
	struct strmap dirty;  /* keys of Services and Pods to look at again */
	bool all_dirty;
	VEC(int64_t) triggers; /* wall clock: changes that no sync has brought yet */
	bool stopping;	       /* q is gone, or about to be */

	/* Used by syncs only. */
	struct change_tracker *tracker;
	bool prepared, prepared_v6;
	bool leaves;  /* this process is about to end */
	bool rebuild; /* the table's fixed part is another one now */
	struct own_node node;
	struct nets nodeports; /* addresses that serve node ports, where not the Node's are meant */
	int64_t rest_until_ns, check_ns;
	struct strmap syns;  /* frontends of TCP that changed: key -> struct syns */
	int64_t syns_ns;     /* when the first of them is due */
	struct retry failed; /* pause_ns 0: the last sync went well */
};

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

/* --- syncing --- */

/* Whose pod ranges are the whole cluster's, to us, has another fixed part of the table with others. */
static void take_cluster(struct proxy *p)
{
	struct families f = nets_families(&p->node.pods);

	if (memcmp(&f, &p->cfg.cluster, sizeof(f)) == 0)
		return;
	p->cfg.cluster = f;
	p->rebuild = true;
}

static void proxy_read_node(struct proxy *p)
{
	_cleanup_obj_ struct obj *node = informer_lookup(p->nodes, SV(""), sv_from(p->node_name));

	if (p->health)
		proxy_health_node(p->health, !node || own_node_stays(node));
	if (!node)
		return; /* being replaced: what we knew is the better guess */
	own_node_read(&p->node, node);
	if (p->node_cidr)
		take_cluster(p);
}

/* What one transaction is made of. */
struct batch {
	struct proxy *p;
	struct arena arena;
	VEC(struct service_update) updates;
	size_t elements; /* about */
};

static void batch_push(struct batch *b, struct service_update u)
{
	b->elements += 1;
	for (size_t i = 0; i < u.n; i++)
		b->elements += 2 + u.frontends[i].outer.n + u.frontends[i].inside.n;
	vec_push(&b->updates, u);
}

static void add_update(struct batch *b, struct sv key, struct obj *svc)
{
	struct proxy *p = b->p;
	struct node_view node = { .name = sv_from(p->node_name),
				  .zone = sv_from(p->node.zone),
				  .external = p->node.external.v.p,
				  .n_external = p->node.external.v.n,
				  .internal = p->node.internal.v.p,
				  .n_internal = p->node.internal.v.n,
				  .leaves = p->leaves && p->own_service && sv_is(key, p->own_service) };
	struct service_update u = { .key = arena_sv(&b->arena, key) };
	struct obj **slices = NULL;
	size_t n = 0;

	if (svc) {
		slices = informer_by_ref(p->slices, &b->arena, "service", obj_ns(svc), obj_name(svc), &n);
		u.frontends = service_model(&b->arena, svc, slices, n, &node, &u.n);
	}
	if (p->health) {
		size_t local = 0;
		int port = svc ? service_health_port(svc, slices, n, &node, &local) : 0;
		struct sv ns, name;

		workq_key_split(key, &ns, &name);
		proxy_health_service(p->health, ns, name, port, local);
	}
	batch_push(b, u);
}

static void add_pod(struct batch *b, struct sv key, const struct obj *pod)
{
	struct service_update u = { .key = arena_sv(&b->arena, key) };

	if (pod)
		u.frontends = hostport_model(&b->arena, pod, &u.n);
	batch_push(b, u);
}

static void add_key(struct batch *b, struct sv key)
{
	bool is_pod = sv_starts(key, SV(POD_PREFIX));
	struct sv ns, name;

	workq_key_split(is_pod ? sv_sub(key, strlen(POD_PREFIX), key.n) : key, &ns, &name);
	if (is_pod)
		add_pod(b, key, obj_link(&b->arena, informer_lookup(b->p->pods, ns, name)));
	else
		add_update(b, key, obj_link(&b->arena, informer_lookup(b->p->services, ns, name)));
}

/* Keys of Services and Pods, in the order in which they are written. */
struct keys {
	struct arena arena;
	VEC(struct sv) v;
};

static void keys_add(struct keys *k, const char *prefix, const struct obj *o)
{
	struct sv ns = obj_ns(o), name = obj_name(o);

	vec_push(&k->v, arena_svf(&k->arena, "%s%.*s/%.*s", prefix, SV_ARG(ns), SV_ARG(name)));
}

static int keys_add_service(struct obj *o, void *ctx)
{
	keys_add(ctx, "", o);
	return 0;
}

static int keys_add_pod(struct obj *o, void *ctx)
{
	if (pod_has_host_ports(o))
		keys_add(ctx, POD_PREFIX, o);
	return 0;
}

static void keys_add_everything(struct proxy *p, struct keys *k)
{
	informer_each(p->services, SV(""), keys_add_service, k);
	if (p->pods)
		informer_each(p->pods, SV(""), keys_add_pod, k);
}

struct losers {
	struct keys *keys;
	const struct strmap *dirty;
};

static void add_loser(struct sv key, void *ctx)
{
	struct losers *l = ctx;

	if (!strmap_has(l->dirty, key))
		vec_push(&l->keys->v, arena_sv(&l->keys->arena, key));
}

static void keys_add_dirty(struct proxy *p, struct keys *k, const struct strmap *dirty)
{
	struct losers l = { k, dirty };

	STRMAP_EACH(dirty, e)
		vec_push(&k->v, arena_sv(&k->arena, sv_make(e->key, e->key_n)));
	change_each_loser(p->tracker, add_loser, &l);
}

/* Of Services that are gone, which a sync of everything does not meet. */
static void forget_health(struct proxy *p, const struct strmap *dirty)
{
	if (!p->health)
		return;
	STRMAP_EACH(dirty, e) {
		struct sv ns, name;

		workq_key_split(sv_make(e->key, e->key_n), &ns, &name);
		_cleanup_obj_ struct obj *svc = informer_lookup(p->services, ns, name);

		if (!svc)
			proxy_health_service(p->health, ns, name, 0, 0);
	}
}

struct remembered {
	const struct render_cfg *cfg;
	struct buf *out;
	const struct client_set *set;
};

static void add_client(struct ip_addr client, uint64_t ms, void *ctx)
{
	struct remembered *r = ctx;

	if (ms)
		render_client(r->out, r->cfg, r->set->name, r->set->timeout_s, client, ms);
}

/* Who was sent where goes on being sent there: what the table that is about to be replaced remembers. */
static void keep_clients(struct proxy *p, const struct render_cfg *cfg, const char *from, struct changes *c)
{
	for (size_t i = 0; i < c->remembering.n; i++) {
		struct remembered r = { cfg, &c->commands, &c->remembering.p[i] };

		p->backend->clients(p->backend, from, r.set->name, add_client, &r);
	}
}

/* What leads to others than these is forgotten when it is due. */
struct syns {
	struct endpoints now; /* owned */
	int64_t due_ns;
};

static void proxy_syns_free(void *v)
{
	struct syns *y = v;

	free(y->now.p);
	free(y);
}

/* A SYN to an endpoint that is dead is remembered for two minutes, and whoever comes from the same port goes there,
 * too. To one that ends in good order an answer may be under way, and what is answered is to go on: so it is seen
 * later. */
static void proxy_note_syns(struct proxy *p, const struct flow_frontend *u)
{
	void **slot = strmap_slot(&p->syns, sv_make((const char *)&u->key, sizeof(u->key)));
	struct syns *y = *slot;

	/* One that changes again is due when it was: those that always change would never be. */
	if (!y) {
		y = *slot = xcalloc(1, sizeof(*y));
		y->due_ns = env_mono_ns(p->env) + SYN_NS;
		if (p->syns.n == 1)
			p->syns_ns = y->due_ns;
	}
	free(y->now.p);
	y->now.p = xcalloc(u->now.n + 1, sizeof(*y->now.p));
	for (y->now.n = 0; y->now.n < u->now.n; y->now.n++)
		y->now.p[y->now.n] = u->now.p[y->now.n];
}

static void proxy_forget_flows(struct proxy *p, struct flow_frontend *u, size_t n)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (n && p->backend->forget_flows(p->backend, u, n, &why) < 0)
		log_warn("proxy", "flows to gone endpoints stay until they are idle", "error", "%s", err_msg(&why));
}

/* A look costs what the kernel tracks: the next one is SYN_NS later, whatever is due meanwhile. */
static void proxy_forget_syns(struct proxy *p, int64_t now)
{
	VEC(struct flow_frontend) due = VEC_INIT;

	STRMAP_EACH(&p->syns, e) {
		const struct syns *y = e->value;
		struct flow_frontend u = { .now = y->now };

		memcpy(&u.key, e->key, sizeof(u.key));
		if (y->due_ns <= now)
			vec_push(&due, u);
	}
	proxy_forget_flows(p, due.p, due.n);
	for (size_t i = 0; i < due.n; i++)
		proxy_syns_free(strmap_del(&p->syns, sv_make((const char *)&due.p[i].key, sizeof(due.p[i].key))));
	vec_release(&due);
	p->syns_ns = now + SYN_NS;
}

static int transact(struct proxy *p, struct changes *c, struct err *err)
{
	size_t n = 0;

	if (c->commands.n && p->backend->apply(p->backend, buf_sv(&c->commands), err) < 0)
		return -1;
	for (size_t i = 0; i < c->flows.n; i++) {
		if (c->flows.p[i].key.proto == IPPROTO_TCP)
			proxy_note_syns(p, &c->flows.p[i]);
		else
			c->flows.p[n++] = c->flows.p[i];
	}
	proxy_forget_flows(p, c->flows.p, n);
	return 0;
}

/* Forwarding is what a host without Pods of that family may not want. */
static bool proxy_has_v6(const struct proxy *p)
{
	bool any = p->cfg.cluster.has[1];

	for (size_t i = 0; i < p->node.pods.v.n; i++)
		any |= !ip_is_v4(p->node.pods.v.p[i].addr);
	return any;
}

static void proxy_prepare(struct proxy *p)
{
	bool bridge_nf = true;

	p->prepared_v6 = proxy_has_v6(p);
	p->backend->prepare(p->backend, p->prepared_v6, &bridge_nf);
	if (!p->prepared) {
		p->cfg.bridge_nf = bridge_nf;
		if (!bridge_nf)
			log_info("proxy", "the bridge filter (br_netfilter) is missing", "effect",
				 "pods of this node see its address, not the client's, when called through a service");
	}
	p->prepared = true;
}

/* One transaction, or several, of the keys from *at on, which is moved. */
struct writing {
	struct change_tracker *tracker;
	const struct render_cfg *cfg;
	const char *old; /* the table whose clients are to be remembered */
	const struct keys *keys;
	size_t at;
	size_t conflicts, written;
};

static void writing_fill(struct proxy *p, struct writing *w, struct batch *b)
{
	*b = (struct batch){ .p = p };
	while (w->at < w->keys->v.n && b->elements < PART_ELEMENTS)
		add_key(b, w->keys->v.p[w->at++]);
}

static int writing_write(struct proxy *p, struct writing *w, struct batch *b, struct err *err)
{
	const struct nets *ports = p->primary ? &p->node.internal : &p->nodeports;
	struct node_ranges ranges = { p->node.pods.v.p, ports->v.p, p->node.pods.v.n, ports->v.n };
	_cleanup_(changes_release) struct changes c = { 0 };
	int rc;

	change_update(w->tracker, b->updates.p, b->updates.n, &ranges, &c);
	arena_release(&b->arena);
	vec_release(&b->updates);
	keep_clients(p, w->cfg, w->old, &c);
	w->written += c.commands.n;
	w->conflicts += c.conflicts;
	rc = transact(p, &c, err);
	if (rc == 0 && c.commands.n)
		log_debug("proxy", "rules changed", "elements", "+%zu -%zu", c.adds, c.dels);
	return rc;
}

static int writing_parts(struct proxy *p, struct writing *w, struct batch *first, struct err *err)
{
	struct batch b = *first;

	for (;;) {
		if (writing_write(p, w, &b, err) < 0)
			return -1;
		if (w->at == w->keys->v.n)
			return 0;
		writing_fill(p, w, &b);
	}
}

static int writing_serve(struct proxy *p, struct writing *w, struct err *err)
{
	_cleanup_(changes_release) struct changes c = { 0 };

	change_serve(w->tracker, &c);
	return transact(p, &c, err);
}

/* A table that nothing leads to is filled and then put in force. */
static int write_apart(struct proxy *p, struct writing *w, struct err *err)
{
	struct batch b;

	w->at = 0;
	w->conflicts = 0;
	change_reset(w->tracker, true);
	writing_fill(p, w, &b);
	return writing_parts(p, w, &b, err) < 0 ? -1 : writing_serve(p, w, err);
}

static int write_beside(struct proxy *p, struct writing *own, struct err *err)
{
	struct render_cfg cfg = p->cfg;
	struct change_tracker *t = change_tracker_new(&cfg);
	struct writing w = { .tracker = t, .cfg = &cfg, .old = p->table, .keys = own->keys };
	int rc;

	cfg.table = p->spare;
	cfg.spare = p->table;
	rc = write_apart(p, &w, err);
	change_tracker_free(t);
	return rc;
}

static int write_everything(struct proxy *p, struct writing *w, struct err *err)
{
	struct batch b;

	change_reset(p->tracker, false);
	writing_fill(p, w, &b);
	if (w->at == w->keys->v.n)
		return writing_write(p, w, &b, err);
	arena_release(&b.arena);
	vec_release(&b.updates);
	if (p->backend->serves(p->backend, p->table) && write_beside(p, w, err) < 0)
		return -1;
	w->old = p->spare;
	return write_apart(p, w, err);
}

/* What one part of several could not have, a later one may have released. */
static int write_losers(struct proxy *p, struct writing *w, struct err *err)
{
	_cleanup_(strmap_release) struct strmap none = STRMAP_INIT;
	struct keys k = { .arena = ARENA_INIT };
	struct batch b;
	int rc;

	keys_add_dirty(p, &k, &none);
	w->keys = &k;
	w->at = 0;
	w->conflicts = 0;
	writing_fill(p, w, &b);
	rc = writing_parts(p, w, &b, err);
	vec_release(&k.v);
	arena_release(&k.arena);
	return rc;
}

static int write_changes(struct proxy *p, struct writing *w, struct err *err)
{
	struct batch b;
	bool parts;

	writing_fill(p, w, &b);
	parts = w->at < w->keys->v.n;
	if (writing_parts(p, w, &b, err) < 0)
		return -1;
	return parts && w->conflicts ? write_losers(p, w, err) : 0;
}

/* Those that the next sync brings; a failed one leaves them to the next. */
static void observe_triggers(struct proxy *p, size_t n, int64_t now_ns)
{
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < n; i++)
		proxy_health_programmed(p->health, now_ns - p->triggers.p[i]);
	p->triggers.n -= n;
	memmove(p->triggers.p, p->triggers.p + n, p->triggers.n * sizeof(*p->triggers.p));
	pthread_mutex_unlock(&p->lock);
}

/* everything: the kernel's content is not what the tracker believes. */
static int sync_rules(struct proxy *p, bool everything, size_t *ret_written, struct err *err)
{
	_cleanup_(strmap_release) struct strmap dirty = STRMAP_INIT;
	struct keys keys = { .arena = ARENA_INIT };
	struct writing w = { .tracker = p->tracker, .cfg = &p->cfg, .old = p->table, .keys = &keys };
	size_t n_triggers;
	bool all;
	int rc;

	pthread_mutex_lock(&p->lock);
	n_triggers = p->triggers.n;
	dirty = p->dirty;
	p->dirty = STRMAP_INIT;
	all = p->all_dirty;
	p->all_dirty = false;
	pthread_mutex_unlock(&p->lock);

	if (all || everything)
		proxy_read_node(p);
	everything |= p->rebuild;
	p->rebuild = false;
	if (!p->prepared || (!p->prepared_v6 && proxy_has_v6(p)))
		proxy_prepare(p);
	if (everything) {
		keys_add_everything(p, &keys);
		forget_health(p, &dirty);
		rc = write_everything(p, &w, err);
	} else {
		if (all) {
			/* Present ones all; gone ones are among the marked. */
			struct keys now = { .arena = ARENA_INIT };

			informer_each(p->services, SV(""), keys_add_service, &now);
			for (size_t i = 0; i < now.v.n; i++)
				strmap_set(&dirty, now.v.p[i], p);
			vec_release(&now.v);
			arena_release(&now.arena);
		}
		keys_add_dirty(p, &keys, &dirty);
		rc = write_changes(p, &w, err);
	}
	if (w.conflicts)
		log_warn("proxy",
			 "an address is wanted by several services or pods: a ClusterIP is its service's, others are "
			 "whose they "
			 "were first",
			 "count", "%zu", w.conflicts);
	if (rc == 0 && n_triggers)
		observe_triggers(p, n_triggers, env_now_ns(p->env));
	*ret_written = w.written;
	vec_release(&keys.v);
	arena_release(&keys.arena);
	return rc;
}

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
	rc = sync_rules(p, everything, &written, &why);
	if (rc < 0)
		log_kv(LVL_ERROR, "proxy", "rules not written, will retry", "error", err_msg(&why), NULL);
	if (p->health)
		proxy_health_synced(p->health, rc == 0, env_mono_ns(p->env) - now);
	plan_next(p, now, rc, written, everything);
	if (p->syns.n && now >= p->syns_ns)
		proxy_forget_syns(p, now);
	ret->after_ns = rc < 0 ? p->failed.pause_ns : MAX(p->check_ns + CHECK_NS - now, 1);
	if (p->syns.n)
		ret->after_ns = MIN(ret->after_ns, MAX(p->syns_ns - now, 1));
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
	if (sync_rules(p, false, &written, &err) < 0)
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
	strmap_release_with(&p->syns, proxy_syns_free);
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
