/* What is marked as changed, or all there is, becomes what is to be in the kernel: of keys (Services, Pods with host
 * ports) are made updates, of so many updates a transaction, and of one or several transactions a sync. proxy.h has the
 * picture of those that need two tables. */
#include "proxy/proxy-internal.h"

#include "base/log.h"
#include "proxy/health.h"
#include "proxy/hostport.h"

#include <netinet/in.h>
#include <stdlib.h>

#define PART_ELEMENTS 2048 /* of a transaction, about: some 100 KB of text */

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
	bool own = p->own_service && sv_is(key, p->own_service);
	struct node_view node = { .name = sv_from(p->node_name),
				  .zone = sv_from(p->node.zone),
				  .external = p->node.external.v.p,
				  .n_external = p->node.external.v.n,
				  .internal = p->node.internal.v.p,
				  .n_internal = p->node.internal.v.n,
				  .questions = own,
				  .leaves = own && p->leaves };
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

static void keys_add_loser(struct sv key, void *ctx)
{
	struct keys *k = ctx;

	vec_push(&k->v, arena_sv(&k->arena, key));
}

static void keys_add_dirty(struct keys *k, const struct strmap *dirty)
{
	STRMAP_EACH(dirty, e)
		vec_push(&k->v, arena_sv(&k->arena, sv_make(e->key, e->key_n)));
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

static void proxy_forget_flows(struct proxy *p, struct flow_frontend *u, size_t n)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (n && p->backend->forget_flows(p->backend, u, n, &why) < 0)
		log_warn("proxy", "flows to gone endpoints stay until they are idle", "error", "%s", err_msg(&why));
}

static void on_due_syns(struct flow_frontend *u, size_t n, void *ctx)
{
	proxy_forget_flows(ctx, u, n);
}

void proxy_forget_syns(struct proxy *p, int64_t now)
{
	syns_look(&p->syns, now, on_due_syns, p);
}

static int transact(struct proxy *p, struct changes *c, struct err *err)
{
	size_t n = 0;

	if (c->commands.n && p->backend->apply(p->backend, buf_sv(&c->commands), err) < 0)
		return -1;
	for (size_t i = 0; i < c->flows.n; i++) {
		if (c->flows.p[i].key.proto == IPPROTO_TCP)
			syns_note(&p->syns, &c->flows.p[i], env_mono_ns(p->env));
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
	size_t written;
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

/* What those want who were left without may be free now. They are not in every sync: one loser may be as large as
 * PROXY_ELEMENTS_MAX allows, and lose on purpose. */
static int write_losers(struct proxy *p, struct writing *w, struct err *err)
{
	struct keys k = { .arena = ARENA_INIT };
	struct batch b;
	int rc = 0;

	change_each_loser(w->tracker, keys_add_loser, &k);
	if (k.v.n) {
		w->keys = &k;
		w->at = 0;
		writing_fill(p, w, &b);
		rc = writing_parts(p, w, &b, err);
	}
	vec_release(&k.v);
	arena_release(&k.arena);
	return rc;
}

static int write_changes(struct proxy *p, struct writing *w, struct err *err)
{
	struct batch b;

	writing_fill(p, w, &b);
	if (writing_parts(p, w, &b, err) < 0)
		return -1;
	return change_freed(w->tracker) ? write_losers(p, w, err) : 0;
}

static void count_loser(_unused_ struct sv key, void *ctx)
{
	++*(size_t *)ctx;
}

/* Said when it becomes another number. */
static void tell_losers(struct proxy *p)
{
	size_t n = 0;

	change_each_loser(p->tracker, count_loser, &n);
	if (n && n != p->losers)
		log_warn(
		    "proxy",
		    "services or pods want addresses of others: whose ClusterIP one is has it, else who came first",
		    "count", "%zu", n);
	p->losers = n;
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

int proxy_sync(struct proxy *p, bool everything, size_t *ret_written, struct err *err)
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
		keys_add_dirty(&keys, &dirty);
		rc = write_changes(p, &w, err);
	}
	tell_losers(p);
	if (rc == 0 && n_triggers)
		observe_triggers(p, n_triggers, env_now_ns(p->env));
	*ret_written = w.written;
	vec_release(&keys.v);
	arena_release(&keys.arena);
	return rc;
}
