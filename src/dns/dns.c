/* Two queues beside the loop. "names": entries of changed Services, the configuration, what the machine's resolv.conf
 * says: computed in tasks, one at a time, and posted. "node": the annotation, apart, as it writes to the API. */
#include "dns/dns.h"

#include "base/log.h"
#include "base/resolv_conf.h"
#include "client/events.h"
#include "client/informer.h"
#include "client/workq.h"
#include "dns/serve.h"
#include "object/slice.h"

#include <ifaddrs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define INFORMER_POLL_NS (10 * NS_PER_MS)
#define BEGIN_ANYWAY_NS (5 * NS_PER_SEC) /* without an API other names are still answered */
#define SAID_MAX 4096

static const struct sv key_names = { "names", 5 }, key_config = { "config", 6 }, key_host = { "host", 4 },
		       key_begin = { "begin", 5 };

struct dns {
	struct env *env;
	struct client *node_client;
	struct ev_loop *loop;
	struct dns_serve *serve;
	struct dns_counts counts;
	char *node_name, *domain, *cluster_dns, *cluster_cidr, *service_cidr, *resolv_conf;
	int port;

	struct informer_factory *factory, *map_factory; /* the former NULL: those informers are another's */
	struct informer *services, *slices, *nodes, *corefile, *custom;
	struct recorder *recorder;
	struct workq *names, *node;
	_Atomic bool synced;

	pthread_mutex_t lock; /* covers: */
	pthread_cond_t changed;
	struct strmap dirty; /* keys of Services */
	bool stopping, running;

	/* Of the queue "names" alone. */
	int64_t rest_until_ns;
	struct ip_addr host[RESOLV_CONF_SERVERS]; /* the machine's name servers */
	size_t n_host;
	bool host_read;
	char said[SAID_MAX]; /* of the Corefile, last time */
};

/* --- marking --- */

static void dns_wake(struct dns *d, struct sv key)
{
	pthread_mutex_lock(&d->lock);
	if (!d->stopping)
		workq_add(d->names, key);
	pthread_mutex_unlock(&d->lock);
}

static void dns_mark(struct dns *d, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;

	pthread_mutex_lock(&d->lock);
	strmap_set(&d->dirty, obj_path(&key, ns, name), d);
	if (!d->stopping)
		workq_add(d->names, key_names);
	pthread_mutex_unlock(&d->lock);
}

static void dns_on_service(struct obj *o, void *ctx)
{
	dns_mark(ctx, obj_ns(o), obj_name(o));
}

static void dns_on_service_update(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	dns_on_service(neu, ctx);
}

static void dns_on_slice(struct obj *o, void *ctx)
{
	if (slice_service(o).n)
		dns_mark(ctx, obj_ns(o), slice_service(o));
}

static void dns_on_slice_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!sv_eq(slice_service(old), slice_service(neu)))
		dns_on_slice(old, ctx);
	dns_on_slice(neu, ctx);
}

static bool dns_is_own(const struct dns *d, const struct obj *node)
{
	return sv_is(obj_name(node), d->node_name);
}

static void dns_on_node(struct obj *o, void *ctx)
{
	struct dns *d = ctx;

	dns_wake(d, key_config);
	pthread_mutex_lock(&d->lock);
	if (dns_is_own(d, o) && !d->stopping)
		workq_add(d->node, SV("node"));
	pthread_mutex_unlock(&d->lock);
}

/* Of the many changes of a Node's status few matter. */
static void dns_on_node_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_spec, F_podCIDRs), obj_get(neu, F_spec, F_podCIDRs)) ||
	    !val_equal(obj_get(old, F_status, F_addresses), obj_get(neu, F_status, F_addresses)) ||
	    (dns_is_own(ctx, neu) &&
	     !val_equal(obj_get(old, F_metadata, F_annotations), obj_get(neu, F_metadata, F_annotations))))
		dns_on_node(neu, ctx);
}

static void dns_on_map(struct obj *o, void *ctx)
{
	(void)o;
	dns_wake(ctx, key_config);
}

static void dns_on_map_update(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	dns_on_map(neu, ctx);
}

static void dns_slice_key(const struct obj *o, struct index_keys *ret)
{
	index_keys_add_ref(ret, obj_ns(o), slice_service(o));
}

/* --- what is posted --- */

struct dns_post {
	struct dns *d;
	struct dns_update *u;
};

static void dns_apply(void *p)
{
	struct dns_post *post = p;

	dns_serve_update(post->d->serve, post->u);
	free(post);
}

static void dns_post(struct dns *d, struct dns_update *u)
{
	struct dns_post *post = xmalloc(sizeof(*post));

	*post = (struct dns_post){ d, u };
	ev_loop_post(d->loop, dns_apply, post);
}

static void dns_begin(void *p)
{
	dns_serve_begin(((struct dns *)p)->serve);
}

/* --- names --- */

static void dns_add_change(struct dns *d, struct dns_update *u, struct sv key)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf wire = BUF_INIT;
	_cleanup_obj_ struct obj *svc = NULL;
	struct dns_name_change c = { 0 };
	struct sv ns, name;
	size_t n;

	workq_key_split(key, &ns, &name);
	if (!zone_key(ns, name, &wire))
		return;
	svc = informer_lookup(d->services, ns, name);
	if (svc) {
		struct obj **slices = informer_by_ref(d->slices, &a, "service", ns, name, &n);

		c.entry = zone_entry_new(svc, slices, n);
	}
	c.key_n = wire.n;
	c.key = buf_detach(&wire);
	vec_push(&u->names, c);
}

static int dns_mark_first(struct obj *o, void *ctx)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;

	strmap_set(ctx, obj_path(&key, obj_ns(o), obj_name(o)), ctx);
	return 0;
}

static void dns_sync_names(struct dns *d)
{
	_cleanup_(strmap_release) struct strmap dirty = STRMAP_INIT;
	struct dns_update *u;
	bool first = !atomic_exchange(&d->synced, true);

	pthread_mutex_lock(&d->lock);
	dirty = d->dirty;
	d->dirty = STRMAP_INIT;
	pthread_mutex_unlock(&d->lock);
	if (first) /* those that are shared may be synced before all of it has been told to us */
		informer_each(d->services, SV(""), dns_mark_first, &dirty);
	if (!dirty.n && !first)
		return;
	u = xcalloc(1, sizeof(*u));
	u->complete = true;
	STRMAP_EACH(&dirty, e)
		dns_add_change(d, u, sv_make(e->key, e->key_n));
	dns_post(d, u);
	if (first)
		log_info("dns", "cluster names are answered", "services", "%zu", informer_count(d->services));
}

/* --- configuration --- */

struct dns_nets {
	VEC(struct ip_net) list;
};

static void dns_add_net(struct dns_nets *nets, struct sv text)
{
	struct ip_net net;

	if (ip_net_parse(sv_trim(text), &net))
		vec_push(&nets->list, net);
}

static int dns_add_node(struct obj *o, void *ctx)
{
	struct dns_nets *nets = ctx;

	VAL_EACH(obj_get(o, F_spec, F_podCIDRs), c)
		dns_add_net(nets, val_str(c));
	VAL_EACH(obj_get(o, F_status, F_addresses), a)
		dns_add_net(nets, val_get_str(a, F_address)); /* of a name: none */
	return 0;
}

static void dns_add_machine(struct dns_nets *nets)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct ip_net net = { .bits = 128 };

		if (!i->ifa_addr)
			continue;
		net.addr = ip_of_sockaddr(i->ifa_addr);
		if (!ip_is_none(net.addr))
			vec_push(&nets->list, net);
	}
	freeifaddrs(all);
}

static struct dns_clients *dns_who_may_ask(struct dns *d)
{
	struct dns_nets nets = { 0 };
	struct sv rest = sv_from(d->cluster_cidr), one;
	struct dns_clients *c;

	while (sv_split(&rest, ',', &one))
		dns_add_net(&nets, one);
	informer_each(d->nodes, SV(""), dns_add_node, &nets);
	dns_add_machine(&nets);
	c = dns_clients_new(nets.list.p, nets.list.n);
	vec_release(&nets.list);
	return c;
}

/* What of a user's Corefile is left out is said when it changes, in the log and as an event of the ConfigMap. */
static void dns_say(struct dns *d, const struct obj *map, struct buf *said)
{
	struct sv all = sv_sub(buf_sv(said), 0, SAID_MAX - 1), rest = all, line;

	if (sv_is(all, d->said))
		return;
	memcpy(d->said, all.p ? all.p : "", all.n);
	d->said[all.n] = '\0';
	while (sv_split(&rest, '\n', &line))
		if (line.n)
			log_warn("dns", "part of the Corefile is left out, the rest works", "what", "%.*s",
				 SV_ARG(line));
	if (all.n)
		recorder_event(d->recorder, RES(core_configmaps), obj_root(map), "Warning", "CorefilePartlyUsed",
			       "left out by Caravel's name server: %.*s", SV_ARG(sv_sub(all, 0, 800)));
}

static void dns_read_corefile(struct dns *d, struct dns_config *c)
{
	_cleanup_obj_ struct obj *map = informer_lookup(d->corefile, SV("kube-system"), SV("coredns"));
	_cleanup_obj_ struct obj *custom = informer_lookup(d->custom, SV("kube-system"), SV("coredns-custom"));
	_cleanup_(buf_release) struct buf said = BUF_INIT;
	const struct val *files = map ? obj_get(map, F_data) : NULL;

	if (map)
		dns_config_corefile(c, val_str(val_member_sv(files, SV("Corefile"))), files, &said);
	VAL_EACH_MEMBER(custom ? obj_get(custom, F_data) : NULL, m) {
		if (sv_ends(m.key, SV(".override")))
			dns_config_override(c, val_str(m.value), obj_get(custom, F_data), &said);
		else if (sv_ends(m.key, SV(".server")))
			dns_config_corefile(c, val_str(m.value), obj_get(custom, F_data), &said);
	}
	if (map || custom)
		dns_say(d, map ? map : custom, &said);
	else
		d->said[0] = '\0';
}

static bool dns_is_ours(const struct dns *d, struct ip_addr a)
{
	struct sv rest = sv_from(d->cluster_dns), one;
	struct ip_addr own;

	while (sv_split(&rest, ',', &one))
		if (ip_parse(sv_trim(one), &own) && ip_eq(own, a))
			return true;
	return false;
}

/* Reads which servers the machine asks. True: others than before. */
static bool dns_read_host(struct dns *d)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct resolv_conf *r = ARENA_NEW(&a, struct resolv_conf);
	struct ip_addr servers[RESOLV_CONF_SERVERS];
	size_t n = 0;
	bool changed;

	(void)resolv_conf_read(&a, resolv_conf_host_file(&a, d->resolv_conf, NULL), r);
	for (size_t i = 0; i < r->n_servers; i++)
		/* One that is ourselves would ask itself for ever. */
		if (ip_parse(r->servers[i], &servers[n]) && !dns_is_ours(d, servers[n]))
			n++;
	changed = !d->host_read || n != d->n_host || memcmp(servers, d->host, n * sizeof(servers[0])) != 0;
	memcpy(d->host, servers, n * sizeof(servers[0]));
	d->n_host = n;
	d->host_read = true;
	return changed;
}

static void dns_sync_config(struct dns *d)
{
	struct dns_config *c = dns_config_new(sv_from(d->domain));
	struct dns_update *u = xcalloc(1, sizeof(*u));

	u->clients = dns_who_may_ask(d);
	u->cfg = c;
	c->pods = u->clients;
	dns_config_service(c, d->cluster_dns);
	dns_config_ranges(c, d->service_cidr);
	dns_config_ranges(c, d->cluster_cidr);
	dns_read_corefile(d, c);
	(void)dns_read_host(d);
	dns_config_host(c, d->host, d->n_host);
	dns_post(d, u);
}

static int dns_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct dns *d = ctx;
	int64_t now = env_mono_ns(d->env);

	(void)err;
	if (sv_eq(key, key_begin)) {
		ev_loop_post(d->loop, dns_begin, d);
		return 0;
	}
	if (sv_eq(key, key_host)) {
		if (dns_read_host(d))
			dns_sync_config(d);
		return 0;
	}
	if (sv_eq(key, key_config)) {
		dns_sync_config(d);
		return 0;
	}
	if (!informer_synced(d->services) || !informer_synced(d->slices) || !informer_synced(d->nodes)) {
		ret->after_ns = INFORMER_POLL_NS;
		return 0;
	}
	if (d->rest_until_ns > now) {
		ret->after_ns = d->rest_until_ns - now;
		return 0;
	}
	if (!d->synced)
		dns_sync_config(d); /* who may ask is known before the first is answered */
	dns_sync_names(d);
	d->rest_until_ns = env_mono_ns(d->env) + DNS_REST_NS;
	return 0;
}

/* --- the Node's annotation --- */

static int dns_annotate(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct dns *d = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *node = informer_lookup(d->nodes, SV(""), sv_from(d->node_name));
	const char *port = arena_printf(&a, "%d", d->port);
	struct val *patch, *annotations;

	(void)key;
	if (!node)
		return 0; /* its coming calls for another run */
	if (!d->synced) {
		ret->after_ns = INFORMER_POLL_NS;
		return 0;
	}
	if (val_is(val_member_sv(obj_get(node, F_metadata, F_annotations), SV(DNS_PORT_ANNOTATION)), port))
		return 0;
	patch = val_new_map(&a);
	annotations = val_ensure_map(&a, val_ensure_map(&a, patch, F_metadata), F_annotations);
	val_set_str_sv(&a, annotations, SV(DNS_PORT_ANNOTATION), sv_from(port));
	return client_patch(d->node_client, RES(core_nodes), SV(""), sv_from(d->node_name), PATCH_MERGE, patch, NULL,
			    NULL, err);
}

/* --- life --- */

static void dns_run(void *ctx)
{
	struct dns *d = ctx;

	ev_loop_run(d->loop);
	pthread_mutex_lock(&d->lock);
	d->running = false;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void dns_look_at_host(void *ctx)
{
	dns_wake(ctx, key_host);
}

static char *dns_dup(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

/* Of Services and slices whatever zone.c reads. */
void dns_keep(struct informer_factory *f)
{
	static const char *const nodes[] = { "metadata annotations " DNS_PORT_ANNOTATION, "spec podCIDRs",
					     "status addresses", NULL };

	informer_factory_keep(f, RES(core_services), zone_service_paths);
	informer_factory_keep(f, RES(discovery_endpointslices), zone_slice_paths);
	informer_factory_keep(f, RES(core_nodes), nodes);
}

static void dns_watch(struct dns *d, struct client *client, struct informer_factory *f)
{
	static const struct informer_handler on_service = { dns_on_service, dns_on_service_update, dns_on_service },
					     on_slice = { dns_on_slice, dns_on_slice_update, dns_on_slice },
					     on_node = { dns_on_node, dns_on_node_update, dns_on_node },
					     on_map = { dns_on_map, dns_on_map_update, dns_on_map };

	if (!f) {
		f = d->factory = informer_factory_new(client);
		dns_keep(f);
	}
	d->services = informer_get(f, RES(core_services), NULL, NULL, NULL);
	d->slices = informer_get(f, RES(discovery_endpointslices), NULL, SLICE_SERVICE_LABEL, NULL);
	d->nodes = informer_get(f, RES(core_nodes), NULL, NULL, NULL);
	informer_add_index(d->slices, "service", dns_slice_key);
	/* Apart: whether they may be read, or are there, keeps no name waiting. */
	d->map_factory = informer_factory_new(client);
	d->corefile = informer_get(d->map_factory, RES(core_configmaps), "kube-system", NULL, "metadata.name=coredns");
	d->custom =
	    informer_get(d->map_factory, RES(core_configmaps), "kube-system", NULL, "metadata.name=coredns-custom");
	/* With all in place: others' informers run already, and tell what they have from here on. */
	informer_add_handler(d->services, &on_service, d);
	informer_add_handler(d->slices, &on_slice, d);
	informer_add_handler(d->nodes, &on_node, d);
	informer_add_handler(d->corefile, &on_map, d);
	informer_add_handler(d->custom, &on_map, d);
	workq_add(d->names, key_config);
	workq_add(d->names, key_names); /* an empty cluster has names, too */
	workq_add_after(d->names, key_begin, BEGIN_ANYWAY_NS);
	if (d->factory)
		informer_factory_start(d->factory);
	informer_factory_start(d->map_factory);
}

static int dns_start_loop(struct dns *d, const struct dns_opts *o, struct err *err)
{
	d->loop = ev_loop_new(err);
	if (!d->loop)
		return -1;
	d->serve = dns_serve_new(&(struct dns_serve_opts){ .env = o->env,
							   .loop = d->loop,
							   .port = o->port ? o->port : DNS_PORT,
							   .counts = &d->counts,
							   .fd = o->kept_fd,
							   .look_at_host = dns_look_at_host,
							   .ctx = d },
				 err);
	if (!d->serve)
		return -1;
	d->port = dns_serve_port(d->serve);
	d->running = true;
	if (env_thread(o->env, "dns", dns_run, d) < 0) {
		d->running = false;
		return err_set(err, ERR_UNAVAILABLE, "no thread for the name server");
	}
	return 0;
}

struct dns *dns_start(const struct dns_opts *o, struct err *err)
{
	struct dns_config *probe = dns_config_new(sv_from(o->domain));
	struct dns *d;

	if (!probe) {
		(void)err_set(err, ERR_INVALID, "'%s' cannot be the domain of a cluster", o->domain);
		return NULL;
	}
	dns_config_free(probe);
	d = xcalloc(1, sizeof(*d));
	d->env = o->env;
	d->node_client = o->node_client;
	d->node_name = xstrdup(o->node_name);
	d->domain = xstrdup(o->domain);
	d->cluster_dns = dns_dup(o->cluster_dns);
	d->cluster_cidr = dns_dup(o->cluster_cidr);
	d->service_cidr = dns_dup(o->service_cidr);
	d->resolv_conf = dns_dup(o->resolv_conf);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	d->names = workq_new(d->env,
			     &(struct workq_opts){ .name = "dns", .workers = 1, .reconcile = dns_reconcile, .ctx = d });
	d->node = workq_new(
	    d->env, &(struct workq_opts){ .name = "dns-node", .workers = 1, .reconcile = dns_annotate, .ctx = d });
	d->recorder = recorder_new(o->node_client, "caravel-dns", o->node_name);
	if (dns_start_loop(d, o, err) < 0)
		return dns_stop(d);
	dns_watch(d, o->client, o->informers);
	log_info("dns", "the name server listens", "port", "%d", d->port);
	return d;
}

int dns_fd(const struct dns *d)
{
	return dns_serve_fd(d->serve);
}

int dns_port(const struct dns *d)
{
	return d->port;
}

void dns_metrics(const struct dns *d, struct buf *b)
{
	dns_counts_write(&d->counts, b);
}

static void dns_close(void *p)
{
	struct dns *d = p;

	d->serve = dns_serve_free(d->serve);
}

/* What was posted before runs, and then the end. */
static void dns_stop_loop(struct dns *d)
{
	bool runs;

	if (!d->loop)
		return;
	pthread_mutex_lock(&d->lock);
	runs = d->running;
	pthread_mutex_unlock(&d->lock);
	if (runs) {
		ev_loop_post(d->loop, dns_close, d);
		ev_loop_stop(d->loop);
	}
	pthread_mutex_lock(&d->lock);
	while (d->running)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
	dns_serve_free(d->serve);
	ev_loop_free(d->loop);
}

struct dns *dns_stop(struct dns *d)
{
	if (!d)
		return NULL;
	pthread_mutex_lock(&d->lock);
	d->stopping = true;
	pthread_mutex_unlock(&d->lock);
	d->names = workq_free(d->names);
	d->node = workq_free(d->node);
	if (d->factory)
		informer_factory_free(d->factory);
	if (d->map_factory)
		informer_factory_free(d->map_factory);
	recorder_free(d->recorder);
	dns_stop_loop(d);
	strmap_release(&d->dirty);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->changed);
	free(d->node_name);
	free(d->domain);
	free(d->cluster_dns);
	free(d->cluster_cidr);
	free(d->service_cidr);
	free(d->resolv_conf);
	free(d);
	return NULL;
}
