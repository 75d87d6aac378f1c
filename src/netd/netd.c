/* The informer marks Nodes as changed; one reconcile key, "network", folds the marks into syncs. Its queue gives what a
 * sync needs: never two at once, at once when idle, and called again when it asks to be. */
#include "netd/netd.h"

#include "base/log.h"
#include "base/retry.h"
#include "base/strmap.h"
#include "client/events.h"
#include "client/informer.h"
#include "client/workq.h"
#include "object/annotation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define INFORMER_POLL_NS (10 * NS_PER_MS)
#define CHECK_NS (10 * NS_PER_SEC)
#define NOTICE_NS NS_PER_SEC	 /* a pod that comes or goes changes several links, one after another */
#define OWN_NS (200 * NS_PER_MS) /* so long what the kernel tells is what we did */
#define SYS "netd"

static const struct retry_policy netd_retry = { .first_ns = NS_PER_SEC, .max_ns = 30 * NS_PER_SEC };
static const struct sv network_key = { "network", 7 };

struct netd {
	struct env *env;
	struct netd_backend *backend;
	struct client *node_client;
	struct recorder *recorder;
	struct informer_factory *factory; /* NULL: the informer is another's */
	struct informer *nodes;
	struct workq *q;
	char *node_name, *addresses;
	_Atomic bool synced;

	pthread_mutex_t lock; /* covers: */
	struct strmap dirty;  /* names of Nodes to look at again */
	bool noticed;	      /* the kernel changed */
	int64_t own_until_ns; /* what it tells until then is ours */
	bool stopping;

	/* Used by syncs only. */
	struct netd_view view;
	struct netd_machine machine;
	struct tracker *tracker;
	struct netd_device device; /* as last made */
	bool read, prepared, wrote, said_addresses;
	int64_t check_ns;
	struct retry failed;
	struct strmap refused;		 /* name of a Node -> why, static */
	char *said;			 /* the last failure */
	char *said_chain[NETD_FAMILIES]; /* of somebody's firewall */
};

void netd_have_release(struct netd_have *h)
{
	vec_release(&h->entries);
}

void netd_device_name(const char *data_dir, char ret[16])
{
	/* as the bridge (kubelet/cni.h): both are known as no way to reach the machine */
	(void)snprintf(ret, 16, "cvl%08x-vx", (unsigned)(sv_hash(sv_from(data_dir)) & 0xffffffff));
}

/* --- marking --- */

static void netd_mark(struct netd *n, struct sv name)
{
	pthread_mutex_lock(&n->lock);
	strmap_set(&n->dirty, name, n);
	if (!n->stopping)
		workq_add(n->q, network_key);
	pthread_mutex_unlock(&n->lock);
}

static void netd_on_node(struct obj *o, void *ctx)
{
	netd_mark(ctx, obj_name(o));
}

/* A Node's status is written every few minutes, and mostly says nothing new to us. */
static void netd_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct netd_node was, now;

	netd_node_read(old, &was);
	netd_node_read(neu, &now);
	if (!netd_node_same(&was, &now))
		netd_mark(ctx, obj_name(neu));
}

static void netd_on_change(void *ctx)
{
	struct netd *n = ctx;

	pthread_mutex_lock(&n->lock);
	if (!n->noticed && !n->stopping && env_mono_ns(n->env) >= n->own_until_ns) {
		n->noticed = true;
		workq_add_after(n->q, network_key, NOTICE_NS);
	}
	pthread_mutex_unlock(&n->lock);
}

/* --- one Node --- */

/* Said once, until it is another reason. */
static void netd_refuse(struct netd *n, const struct obj *node, struct sv name, const char *why)
{
	if (strmap_get(&n->refused, name) == why)
		return;
	strmap_set(&n->refused, name, (void *)(uintptr_t)why);
	log_warn(SYS, "pods of a node are not reached from here", "node", "%.*s: %s", SV_ARG(name), why);
	recorder_event(n->recorder, RES(core_nodes), obj_root(node), "Warning", "PodNetworkUnreachable",
		       "Pods of this node are not reached from node %s: %s", n->node_name, why);
}

static void netd_update(struct netd *n, const struct obj *node, struct sv name)
{
	static const char taken[] = "its Pod range belongs to a node that had it first";
	struct net_entry e[NETD_PEER_ENTRIES];
	struct netd_node peer;
	const char *why = NULL;
	size_t k = 0;

	if (sv_is(name, n->node_name))
		return;
	if (node) {
		netd_node_read(node, &peer);
		k = netd_model_peer(&n->view, &peer, e, &why);
	}
	if (tracker_want(n->tracker, name, e, k))
		why = taken;
	if (why)
		netd_refuse(n, node, name, why);
	else
		strmap_del(&n->refused, name);
}

/* By age: who named a range first has it, also when all are met at once. */
static int netd_by_age(const void *x, const void *y)
{
	const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
	int r = sv_cmp(val_str(obj_get(a, F_metadata, F_creationTimestamp)),
		       val_str(obj_get(b, F_metadata, F_creationTimestamp)));

	return r ? r : sv_cmp(obj_name(a), obj_name(b));
}

static void netd_update_each(struct netd *n, struct obj **nodes, size_t count)
{
	if (count)
		qsort(nodes, count, sizeof(struct obj *), netd_by_age);
	for (size_t i = 0; i < count; i++)
		netd_update(n, nodes[i], obj_name(nodes[i]));
}

static void netd_update_dirty(struct netd *n, struct strmap *dirty)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj **nodes = ARENA_ARRAY(&a, struct obj *, dirty->n + 1);
	size_t count = 0;

	STRMAP_EACH(dirty, d) {
		struct sv name = sv_make(d->key, d->key_n);
		struct obj *node = informer_lookup(n->nodes, SV(""), name);

		if (node)
			nodes[count++] = node;
		else
			netd_update(n, NULL, name);
	}
	netd_update_each(n, nodes, count);
	for (size_t i = 0; i < count; i++)
		obj_unref(nodes[i]);
}

/* Those that are gone are among the dirty. */
static void netd_update_all(struct netd *n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t count;
	struct obj **all = informer_list(n->nodes, &a, SV(""), &count);

	netd_update_each(n, all, count);
}

/* --- this machine --- */

static bool machine_same(const struct netd_machine *a, const struct netd_machine *b)
{
	bool same = a->addrs.n == b->addrs.n && a->onlink.n == b->onlink.n;

	for (int f = 0; f < NETD_FAMILIES; f++)
		same = same && a->mtu[f] == b->mtu[f] && a->link[f] == b->link[f];
	for (size_t i = 0; same && i < a->addrs.n; i++)
		same = ip_eq(a->addrs.p[i].addr, b->addrs.p[i].addr) && a->addrs.p[i].link == b->addrs.p[i].link;
	for (size_t i = 0; same && i < a->onlink.n; i++) {
		const struct netd_onlink *x = &a->onlink.p[i], *y = &b->onlink.p[i];

		same = ip_eq(x->net.addr, y->net.addr) && x->net.bits == y->net.bits && x->link == y->link;
	}
	return same;
}

/* 1: it is another one than before. */
static int netd_look(struct netd *n, struct err *err)
{
	struct netd_machine now = { .mtu = { 0 } };
	bool same;

	if (n->backend->look(n->backend, n->view.kind, n->view.self.addr, &now, err) < 0) {
		netd_machine_release(&now);
		return -1;
	}
	same = machine_same(&now, &n->machine);
	netd_machine_release(&n->machine);
	n->machine = now;
	return !same;
}

static bool netd_read_self(struct netd *n)
{
	_cleanup_obj_ struct obj *node = informer_lookup(n->nodes, SV(""), sv_from(n->node_name));
	struct netd_node self;

	if (!node)
		return false; /* being replaced: what we knew is the better guess */
	netd_node_read(node, &self);
	if (netd_node_same(&self, &n->view.self))
		return false;
	n->view.self = self;
	return true;
}

/* Peers that do not reach this node at its InternalIPs read where. */
static void say_addresses(struct netd *n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_obj_ struct obj *node = informer_lookup(n->nodes, SV(""), sv_from(n->node_name));
	struct sv wanted = sv_from(n->addresses ? n->addresses : ""), said;
	struct val *patch, *meta, *map;

	if (!node || !n->node_client)
		return;
	said = annotation_of(obj_root(node), NETD_ADDRESSES);
	if (sv_eq(said, wanted))
		return;
	patch = val_new_map(&a);
	meta = val_set_map(&a, patch, F_metadata);
	map = val_set_map(&a, meta, F_annotations);
	val_set_sv(&a, map, SV(NETD_ADDRESSES), wanted.n ? val_new_str(&a, wanted) : val_new_null(&a));
	if (client_patch(n->node_client, RES(core_nodes), SV(""), sv_from(n->node_name), PATCH_MERGE, patch, NULL, NULL,
			 &err) < 0 &&
	    !n->said_addresses)
		log_warn(SYS, "peers are not told this node's addresses", "why", "%s", err_msg(&err));
	n->said_addresses = true;
}

/* --- the kernel --- */

static void netd_own(struct netd *n, int64_t until_ns)
{
	pthread_mutex_lock(&n->lock);
	n->own_until_ns = until_ns;
	pthread_mutex_unlock(&n->lock);
}

/* The kernel is read, and the device is made what it has to be. */
static int put_right(struct netd *n, const struct netd_device *want, struct err *err)
{
	struct netd_have have = { .present = false };
	int rc = n->backend->read(n->backend, &have, err);
	bool device = have.present && !have.foreign;

	if (rc == 0 && (device != want->wanted ||
			(device && (!have.right || !have.up || !netd_device_same(&have.device, want))))) {
		if (n->read && device != want->wanted && netd_device_same(want, &n->device))
			log_warn(SYS, "somebody else removed the VXLAN device, putting it back", "mtu", "%d",
				 want->mtu);
		n->wrote = true;
		rc = n->backend->device(n->backend, &have, want, err);
		netd_have_release(&have);
		if (rc == 0)
			rc = n->backend->read(n->backend, &have, err);
	}
	if (rc == 0) {
		tracker_have(n->tracker, have.entries.p, have.entries.n);
		n->device = *want;
		n->read = true;
	}
	netd_have_release(&have);
	return rc;
}

static int netd_apply(struct netd *n, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct net_change *c;
	size_t k = tracker_plan(n->tracker, &a, &c), failed;

	if (!k)
		return 0;
	n->wrote = true;
	failed = n->backend->apply(n->backend, c, k, err);
	tracker_done(n->tracker, c, k);
	if (n->synced)
		log_debug(SYS, "routes to other nodes changed", "changes", "%zu, %zu failed", k, failed);
	return failed ? -1 : 0;
}

static int netd_sync(struct netd *n, bool look, struct err *err)
{
	struct strmap dirty;
	struct netd_device want;
	const char *why;
	bool all, here;
	int rc = 0;

	pthread_mutex_lock(&n->lock);
	dirty = n->dirty;
	n->dirty = STRMAP_INIT;
	pthread_mutex_unlock(&n->lock);
	all = netd_read_self(n);
	if (look || all) {
		rc = netd_look(n, err);
		all = all || rc > 0;
	}
	netd_update_dirty(n, &dirty);
	if (all || !n->read)
		netd_update_all(n);
	strmap_release(&dirty);
	if (rc < 0)
		return -1;
	say_addresses(n);
	here = netd_model_device(&n->view, &want, &why);
	if (!here && tracker_wanted(n->tracker))
		return err_set(err, ERR_UNAVAILABLE, "%s", why); /* what there is serves on */
	want.wanted = want.wanted && tracker_wanted(n->tracker);
	if (tracker_wanted(n->tracker) && !n->prepared) {
		n->backend->prepare(n->backend, &n->view.self, n->machine.link);
		n->prepared = true;
	}
	if (!want.wanted)
		want = (struct netd_device){ .wanted = false };
	if ((look || !n->read || !netd_device_same(&want, &n->device)) && put_right(n, &want, err) < 0)
		return -1;
	return netd_apply(n, err);
}

/* Said once, until it is another. */
static void netd_failed(struct netd *n, const struct err *err)
{
	_cleanup_obj_ struct obj *node = NULL;

	if (n->said && strcmp(n->said, err_msg(err)) == 0)
		return;
	free(n->said);
	n->said = xstrdup(err_msg(err));
	log_kv(LVL_ERROR, SYS, "pods of other nodes are not all reached, will retry", "why", n->said, NULL);
	node = informer_lookup(n->nodes, SV(""), sv_from(n->node_name));
	if (node)
		recorder_event(n->recorder, RES(core_nodes), obj_root(node), "Warning", "PodNetworkBroken",
			       "Pods of other nodes are not all reached: %s", n->said);
}

/* Docker, ufw and firewalld forward nothing but their own: what a pod sends is then dropped without a word. Said once a
 * chain and family, as a rule of its that lets pods pass is not looked for. */
static void netd_look_at_firewall(struct netd *n)
{
	_cleanup_obj_ struct obj *node = informer_lookup(n->nodes, SV(""), sv_from(n->node_name));
	char chain[NFNL_CHAIN_BYTES];

	for (size_t i = 0; node && n->backend->drops && i < n->view.n_cluster; i++) {
		const struct ip_net *range = &n->view.cluster[i];
		bool v6 = !ip_is_v4(range->addr);
		char **said = &n->said_chain[v6];
		const char *to = v6 ? "ip6" : "ip";
		_cleanup_free_ char *how = NULL;

		if (!n->backend->drops(n->backend, v6, chain))
			*chain = '\0';
		if (*chain && (!*said || strcmp(*said, chain) != 0)) {
			struct ip_net_text net = ip_net_text(*range);

			how = xasprintf("nft insert rule %s %s saddr %s accept; nft insert rule %s %s daddr %s accept",
					chain, to, net.s, chain, to, net.s);
			log_kv(LVL_WARN, SYS,
			       "a firewall drops what is forwarded: pods reach nobody unless it lets them", "chain",
			       chain, "with", how, NULL);
			recorder_event(
			    n->recorder, RES(core_nodes), obj_root(node), "Warning", "PodNetworkBlocked",
			    "The firewall's chain '%s' drops what is forwarded (Docker, ufw and firewalld do "
			    "so): pods reach nobody unless a rule lets them, as of: %s",
			    chain, how);
		}
		free(*said);
		*said = *chain ? xstrdup(chain) : NULL;
	}
}

static int netd_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct netd *n = ctx;
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t now = env_mono_ns(n->env);
	bool look;

	(void)key;
	(void)err;
	if (!informer_synced(n->nodes)) {
		ret->after_ns = INFORMER_POLL_NS;
		return 0;
	}
	pthread_mutex_lock(&n->lock);
	look = n->noticed || !n->synced || n->failed.pause_ns || now - n->check_ns >= CHECK_NS;
	n->noticed = false;
	pthread_mutex_unlock(&n->lock);
	if (look) {
		n->check_ns = now;
		netd_look_at_firewall(n);
	}
	n->wrote = false;
	netd_own(n, INT64_MAX);
	if (netd_sync(n, look, &why) < 0) {
		netd_failed(n, &why);
		ret->after_ns = retry_failed(&netd_retry, &n->failed, now);
	} else {
		if (!atomic_exchange(&n->synced, true))
			log_info(SYS, "routes to other nodes are in place", "entries", "%zu",
				 tracker_wanted(n->tracker));
		else if (n->said)
			log_info(SYS, "pods of other nodes are reached again", "entries", "%zu",
				 tracker_wanted(n->tracker));
		free(n->said);
		n->said = NULL;
		retry_forget(&n->failed);
		ret->after_ns = MAX(n->check_ns + CHECK_NS - env_mono_ns(n->env), 1);
	}
	netd_own(n, n->wrote ? env_mono_ns(n->env) + OWN_NS : 0);
	return 0;
}

/* --- life --- */

void netd_keep(struct informer_factory *f)
{
	static const char *const own[] = { "metadata creationTimestamp", NULL };

	informer_factory_keep(f, RES(core_nodes), netd_node_paths);
	informer_factory_keep(f, RES(core_nodes), own);
}

struct netd *netd_new(const struct netd_opts *o, struct err *err)
{
	static const struct informer_handler handler = { netd_on_node, netd_on_update, netd_on_node };
	const char *cidrs = o->cluster_cidr ? o->cluster_cidr : "";
	struct netd *n = xcalloc(1, sizeof(*n));
	struct informer_factory *f;

	n->env = o->env;
	n->backend = o->backend;
	n->node_client = o->node_client;
	n->node_name = xstrdup(o->node_name);
	n->addresses = o->addresses ? xstrdup(o->addresses) : NULL;
	n->view.kind = o->kind;
	n->view.machine = &n->machine;
	n->tracker = tracker_new();
	pthread_mutex_init(&n->lock, NULL);
	if (o->kind == NETD_NONE || !netd_cluster_parse(sv_from(cidrs), n->view.cluster, &n->view.n_cluster)) {
		(void)err_set(err, ERR_INVALID, "'%s' is no list of Pod ranges", cidrs);
		return netd_free(n);
	}
	n->recorder = recorder_new(o->client, SYS, o->node_name);
	f = o->informers;
	if (!f) {
		f = n->factory = informer_factory_new(o->client);
		netd_keep(f);
	}
	n->nodes = informer_get(f, RES(core_nodes), NULL, NULL, NULL);
	n->q =
	    workq_new(n->env, &(struct workq_opts){ .name = SYS, .workers = 1, .reconcile = netd_reconcile, .ctx = n });
	informer_add_handler(n->nodes, &handler, n);
	if (n->backend->watch)
		n->backend->watch(n->backend, n->env, netd_on_change, n);
	workq_add(n->q, network_key);
	if (n->factory)
		informer_factory_start(n->factory);
	return n;
}

bool netd_synced(struct netd *n)
{
	return n->synced;
}

struct netd *netd_free(struct netd *n)
{
	if (!n)
		return NULL;
	/* The queue first, as a sync reads the informer; handlers running meanwhile leave it alone. */
	pthread_mutex_lock(&n->lock);
	n->stopping = true;
	pthread_mutex_unlock(&n->lock);
	if (n->backend->unwatch)
		n->backend->unwatch(n->backend);
	if (n->q)
		workq_free(n->q);
	if (n->factory)
		informer_factory_free(n->factory);
	recorder_free(n->recorder);
	n->backend->free(n->backend);
	tracker_free(n->tracker);
	netd_machine_release(&n->machine);
	strmap_release(&n->dirty);
	strmap_release(&n->refused);
	pthread_mutex_destroy(&n->lock);
	free(n->node_name);
	free(n->addresses);
	for (int f = 0; f < NETD_FAMILIES; f++)
		free(n->said_chain[f]);
	free(n->said);
	free(n);
	return NULL;
}
