/* One queue, one key: objects, deaths and the clock wake it, and it does all that there is to do. */
#include "ingress/ingress.h"

#include "base/log.h"
#include "client/events.h"
#include "client/informer.h"
#include "client/workq.h"
#include "ingress/from_ingress.h"
#include "ingress/haproxy.h"
#include "ingress/ports.h"
#include "object/annotation.h"
#include "object/default_class.h"
#include "object/slice.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define SYS "ingress"
#define INFORMER_POLL_NS (10 * NS_PER_MS)
#define LOOK_NS (5 * NS_PER_SEC)
#define PORTS_NS (10 * NS_PER_SEC) /* how long a port that somebody has is left to him */
#define MISSING_NS (60 * NS_PER_SEC)
#define CONNECTIONS_MAX 4096
#define SLICES_OF "service"
#define WORDS_MAX 8192 /* of Events that are remembered as said */

static const struct sv ingress_key = { "ingress", 7 };

struct ingress {
	struct env *env;
	struct client *client, *node_client;
	char *node_name, *data_dir;
	int ports[2]; /* http, https, as asked for */

	struct recorder *recorder;
	struct informer_factory *factory;
	struct informer *ingresses, *classes, *services, *slices, *secrets, *nodes;
	struct workq *q;

	pthread_mutex_t lock; /* covers: */
	struct strmap used;   /* "v ns/name", "s ns/name": Services and Secrets that count */
	bool stopping;

	/* Of runs alone. */
	struct haproxy *haproxy;
	bool class_made, looked_for_old;
	struct ing_names names;
	struct ing_checked checked;
	struct strmap said;	 /* what Events told, and still holds */
	struct strmap saying;	 /* of this run */
	struct strmap announced; /* "ns/name" of Ingresses with our addresses in their status */
	struct strmap using;	 /* of this run: goes to `used` */
	int64_t look_ns;
	int64_t ports_ns; /* when it was last asked who has the ports; 0: ask */
	bool taken[2];
	char *failed; /* last failure, said once */
};

/* --- marking --- */

static void ingress_wake(struct ingress *g)
{
	pthread_mutex_lock(&g->lock);
	if (!g->stopping)
		workq_add(g->q, ingress_key);
	pthread_mutex_unlock(&g->lock);
}

static void ingress_on_exit(void *ctx)
{
	ingress_wake(ctx);
}

static void ingress_on_object(_unused_ struct obj *o, void *ctx)
{
	ingress_wake(ctx);
}

/* Our own writes of status are nothing new. */
static void ingress_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_spec), obj_get(neu, F_spec)) ||
	    !val_equal(obj_get(old, F_metadata, F_annotations), obj_get(neu, F_metadata, F_annotations)) ||
	    obj_deleting(old) != obj_deleting(neu) || !val_equal(obj_get(old, F_status), obj_get(neu, F_status)))
		ingress_wake(ctx);
}

static void ingress_if_used(struct ingress *g, char kind, struct sv ns, struct sv name)
{
	_cleanup_free_ char *key = xasprintf("%c %.*s/%.*s", kind, SV_ARG(ns), SV_ARG(name));

	pthread_mutex_lock(&g->lock);
	if (!g->stopping && strmap_has(&g->used, sv_from(key)))
		workq_add(g->q, ingress_key);
	pthread_mutex_unlock(&g->lock);
}

static void ingress_on_service(struct obj *o, void *ctx)
{
	ingress_if_used(ctx, 'v', obj_ns(o), obj_name(o));
}

static void ingress_on_service_update(_unused_ struct obj *old, struct obj *neu, void *ctx)
{
	ingress_on_service(neu, ctx);
}

static void ingress_on_secret(struct obj *o, void *ctx)
{
	ingress_if_used(ctx, 's', obj_ns(o), obj_name(o));
}

static void ingress_on_secret_update(_unused_ struct obj *old, struct obj *neu, void *ctx)
{
	ingress_on_secret(neu, ctx);
}

static void ingress_on_slice(struct obj *o, void *ctx)
{
	ingress_if_used(ctx, 'v', obj_ns(o), slice_service(o));
}

static void ingress_on_slice_update(_unused_ struct obj *old, struct obj *neu, void *ctx)
{
	ingress_on_slice(neu, ctx);
}

static void slice_keys(const struct obj *o, struct index_keys *ret)
{
	index_keys_add_ref(ret, obj_ns(o), slice_service(o));
}

static struct sv node_ports(const struct obj *node)
{
	return annotation_of(obj_root(node), ING_NODE_ANNOTATION);
}

static void ingress_on_node_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!sv_eq(node_ports(old), node_ports(neu)) ||
	    (node_ports(neu).n && !val_equal(obj_get(old, F_status, F_addresses), obj_get(neu, F_status, F_addresses))))
		ingress_wake(ctx);
}

/* --- what the model asks for --- */

struct source_ctx {
	struct ingress *g;
	struct arena *a;
};

static struct obj *ingress_source_service(void *ctx, struct sv ns, struct sv name)
{
	struct source_ctx *s = ctx;
	struct obj *o = informer_lookup(s->g->services, ns, name);

	return o ? obj_link(s->a, o) : NULL;
}

static struct obj *ingress_source_secret(void *ctx, struct sv ns, struct sv name)
{
	struct source_ctx *s = ctx;
	struct obj *o = informer_lookup(s->g->secrets, ns, name);

	return o ? obj_link(s->a, o) : NULL;
}

static struct obj **ingress_source_slices(void *ctx, struct arena *a, struct sv ns, struct sv service, size_t *ret_n)
{
	struct source_ctx *s = ctx;

	return informer_by_ref(s->g->slices, a, SLICES_OF, ns, service, ret_n);
}

static void source_uses(void *ctx, bool secret, struct sv ns, struct sv name)
{
	struct source_ctx *s = ctx;

	strmap_set(&s->g->using, arena_svf(s->a, "%c %.*s/%.*s", secret ? 's' : 'v', SV_ARG(ns), SV_ARG(name)), s->g);
}

/* Once, until it has been otherwise. */
static void source_say(void *ctx, const struct obj *ingress, const char *reason, const char *message)
{
	struct source_ctx *s = ctx;
	struct ingress *g = s->g;
	struct sv key = arena_svf(s->a, "%.*s %s", SV_ARG(obj_uid(ingress)), message);

	if (g->saying.n == WORDS_MAX || strmap_set(&g->saying, key, g) || strmap_has(&g->said, key))
		return;
	recorder_event(g->recorder, RES(networking_ingresses), obj_root(ingress), "Warning", reason, "%s", message);
}

/* --- the class --- */

static int ingress_make_class(struct ingress *g, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct default_class_search search = { .is_default = ingress_class_is_default };
	struct val *doc = val_new_map(&a), *meta = val_new_map(&a), *spec = val_new_map(&a);

	informer_each(g->classes, SV(""), default_class_look, &search);
	val_set_cstr(&a, doc, F_apiVersion, "networking.k8s.io/v1");
	val_set_cstr(&a, doc, F_kind, "IngressClass");
	val_set_cstr(&a, meta, F_name, ING_CLASS);
	val_set(&a, doc, F_metadata, meta);
	if (!search.found)
		annotation_set(&a, doc, ANN_DEFAULT_INGRESS_CLASS, SV("true"));
	obj_unref(search.found);
	val_set_cstr(&a, spec, F_controller, ING_CONTROLLER);
	val_set(&a, doc, F_spec, spec);
	if (client_create(g->client, RES(networking_ingressclasses), SV(""), doc, NULL, NULL, &why) == 0 ||
	    why.reason == ERR_ALREADY_EXISTS) /* as it is: its admin may have changed it */
		return 0;
	return err_move(err, &why);
}

/* --- status --- */

/* A list as status.loadBalancer.ingress has it, of all Nodes that serve; NULL: nobody does. */
static struct val *ingress_addresses(struct ingress *g, struct arena *a)
{
	size_t n_nodes, n = 0;
	struct obj **nodes = informer_list(g->nodes, a, SV(""), &n_nodes);
	struct val *list = val_new_list(a);
	VEC(struct sv) all = VEC_INIT;

	for (size_t i = 0; i < n_nodes; i++) {
		const char *const types[] = { "ExternalIP", "InternalIP" };
		bool found = false;

		for (size_t t = 0; node_ports(nodes[i]).n && !found && t < ARRAY_LEN(types); t++)
			VAL_EACH(obj_get(nodes[i], F_status, F_addresses), addr)
				if (val_is(val_get(addr, F_type), types[t])) {
					vec_push(&all, val_get_str(addr, F_address));
					found = true;
				}
	}
	if (all.n > 1)
		qsort(all.p, all.n, sizeof(*all.p), sv_order);
	for (size_t i = 0; i < all.n; i++) {
		struct val *one = val_new_map(a);

		if (i && sv_eq(all.p[i], all.p[i - 1]))
			continue;
		val_set_str(a, one, F_ip, all.p[i]);
		val_push(a, list, one);
		n++;
	}
	vec_release(&all);
	return n ? list : NULL;
}

static int status_write(struct ingress *g, struct arena *a, const struct obj *o, const struct val *addresses,
			struct err *err)
{
	struct val *patch = val_new_map(a), *lb = val_new_map(a), *status = val_new_map(a);

	val_set(a, lb, F_ingress, addresses ? addresses : val_new_null(a));
	val_set(a, status, F_loadBalancer, lb);
	val_set(a, patch, F_status, status);
	if (client_patch(g->client, RES(networking_ingresses), obj_ns(o), obj_name(o), PATCH_MERGE, patch,
			 &(struct client_write_opts){ .subresource = "status" }, NULL, err) == 0)
		return 0;
	return err->reason == ERR_NOT_FOUND ? (err_release(err), 0) : -1;
}

/* Every node writes the same, so it does not matter who does. An Ingress that is no longer ours loses what we wrote. */
static int ingress_write_status(struct ingress *g, const struct ing_source *s, struct arena *a, struct err *err)
{
	const struct val *addresses = ingress_addresses(g, a);
	_cleanup_(buf_release) struct buf key = BUF_INIT;

	for (size_t i = 0; i < s->n_ingresses; i++) {
		const struct obj *o = s->ingresses[i];
		const struct val *has = obj_get(o, F_status, F_loadBalancer, F_ingress);
		struct sv path = obj_path(&key, obj_ns(o), obj_name(o));
		bool ours = ing_is_ours(s, o);

		if (!ours && !strmap_has(&g->announced, path))
			continue;
		if (!val_same(has, ours ? addresses : NULL) && status_write(g, a, o, ours ? addresses : NULL, err) < 0)
			return -1;
		if (ours)
			strmap_set(&g->announced, path, g);
		else
			strmap_del(&g->announced, path);
	}
	return 0;
}

/* "80,443", or "": it does not serve. */
static int ingress_announce(struct ingress *g, struct arena *a, struct sv ports, struct err *err)
{
	_cleanup_obj_ struct obj *node = informer_lookup(g->nodes, SV(""), sv_from(g->node_name));
	struct val *patch, *meta, *map;

	if (!node || sv_eq(node_ports(node), ports))
		return 0;
	patch = val_new_map(a);
	meta = val_set_map(a, patch, F_metadata);
	map = val_set_map(a, meta, F_annotations);
	val_set_sv(a, map, SV(ING_NODE_ANNOTATION), ports.n ? val_new_str(a, ports) : val_new_null(a));
	return client_patch(g->node_client, RES(core_nodes), SV(""), sv_from(g->node_name), PATCH_MERGE, patch, NULL,
			    NULL, err);
}

/* --- serving --- */

static void ingress_say_failed(struct ingress *g, const char *why)
{
	if (why && (!g->failed || strcmp(g->failed, why) != 0))
		log_error(SYS, "Ingresses are not all served as they should be, will retry", "why", "%s", why);
	free(g->failed);
	g->failed = why ? xstrdup(why) : NULL;
}

/* Which of our ports are free; who has one is told once. */
static struct ing_listen ingress_listen(struct ingress *g, struct arena *a, int64_t now)
{
	static const char *const flags[] = { "--ingress-http-port", "--ingress-https-port" };
	struct rlimit files = { .rlim_max = 0 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct ing_listen l = { .threads = cpus > 1 ? 2 : 1 };
	int ports[2];

	for (int i = 0; i < 2; i++) {
		bool ask = g->ports[i] && (!g->ports_ns || (g->taken[i] && now - g->ports_ns >= PORTS_NS));
		const char *who = ask ? port_holder(a, g->ports[i], haproxy_pids(g->haproxy, a)) : NULL;

		if (who && !g->taken[i])
			log_warn(SYS, "another program has the port, Ingresses are served without it", "port",
				 "%d: %s; %s N takes another", g->ports[i], who, flags[i]);
		if (ask)
			g->taken[i] = who;
		ports[i] = g->taken[i] ? 0 : g->ports[i];
	}
	if (!g->ports_ns || now - g->ports_ns >= PORTS_NS)
		g->ports_ns = now;
	l.http_port = ports[0];
	l.https_port = ports[1];
	l.name_servers = access("/etc/resolv.conf", R_OK) == 0;
	l.v6 = access("/proc/net/if_inet6", F_OK) == 0;
	(void)getrlimit(RLIMIT_NOFILE, &files);
	l.max_connections = files.rlim_max == RLIM_INFINITY || files.rlim_max > 2 * CONNECTIONS_MAX + 200
				? CONNECTIONS_MAX
				: (int)MAX(((int64_t)files.rlim_max - 200) / 2, 100);
	return l;
}

/* How soon to come again, 0: no need. */
static int64_t ingress_serve(struct ingress *g, const struct ing_model *m, struct arena *a, struct sv *ret_ports,
			     int64_t now)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct ing_listen l;
	struct ing_state *s;
	int64_t after = 0;

	if (!g->haproxy) {
		g->haproxy = haproxy_new(
		    &(struct haproxy_opts){
			.env = g->env, .data_dir = g->data_dir, .changed = ingress_on_exit, .ctx = g },
		    &err);
		if (!g->haproxy) {
			ingress_say_failed(g, err_msg(&err));
			return MISSING_NS;
		}
	}
	l = ingress_listen(g, a, now);
	if (!l.http_port && !l.https_port) {
		g->ports_ns = 0;
		haproxy_end(g->haproxy);
		return PORTS_NS;
	}
	s = ing_state_new();
	ing_render(&s->arena, &g->names, m, &l, &s->conf);
	if (haproxy_apply(g->haproxy, s, &after, &err) < 0) {
		ingress_say_failed(g, err_msg(&err));
		g->ports_ns = 0; /* somebody may have taken one */
	} else if (!after) {
		ingress_say_failed(g, NULL);
	}
	if (haproxy_runs(g->haproxy))
		*ret_ports = l.http_port && l.https_port ? arena_svf(a, "%d,%d", l.http_port, l.https_port)
							 : arena_svf(a, "%d", l.http_port + l.https_port);
	return after;
}

static void ingress_remember(struct ingress *g)
{
	struct strmap old;

	strmap_release(&g->said);
	g->said = g->saying;
	g->saying = STRMAP_INIT;
	pthread_mutex_lock(&g->lock);
	old = g->used;
	g->used = g->using;
	pthread_mutex_unlock(&g->lock);
	g->using = STRMAP_INIT;
	strmap_release(&old);
}

static int ingress_reconcile(void *ctx, _unused_ struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct ingress *g = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct source_ctx sc = { g, &a };
	struct ing_source s = { .service = ingress_source_service,
				.secret = ingress_source_secret,
				.slices = ingress_source_slices,
				.say = source_say,
				.uses = source_uses,
				.ctx = &sc,
				.checked = &g->checked };
	int64_t now = env_mono_ns(g->env), after = 0;
	struct sv ports = SV("");
	struct ing_model m;
	bool look;

	if (!informer_factory_synced(g->factory)) {
		ret->after_ns = INFORMER_POLL_NS;
		return 0;
	}
	if (!g->class_made && ingress_make_class(g, err) < 0)
		return -1;
	g->class_made = true;
	look = g->haproxy && now - g->look_ns >= LOOK_NS;
	if (look) {
		g->look_ns = now;
		haproxy_look(g->haproxy);
	}
	s.ingresses = informer_list(g->ingresses, &a, SV(""), &s.n_ingresses);
	s.classes = informer_list(g->classes, &a, SV(""), &s.n_classes);
	ing_from_ingresses(&a, &s, &m);
	ingress_remember(g);
	if (m.n_routes) {
		after = ingress_serve(g, &m, &a, &ports, now);
		after = after ? MIN(after, LOOK_NS) : LOOK_NS;
	} else if (g->haproxy && haproxy_runs(g->haproxy)) {
		log_info(SYS, "no Ingress is left, haproxy ends", "node", "%s", g->node_name);
		haproxy_end(g->haproxy);
		g->ports_ns = 0;
	} else if (!g->haproxy && !g->looked_for_old) {
		/* Its last Ingress went while no server ran. */
		(void)haproxy_cleanup(g->data_dir);
	}
	g->looked_for_old = true;
	ret->after_ns = after;
	if (ingress_announce(g, &a, ports, err) < 0)
		return -1;
	return ingress_write_status(g, &s, &a, err);
}

/* --- life --- */

static struct informer *ingress_informer(struct ingress *g, const struct resource *r, const struct informer_handler *h)
{
	struct informer *i = informer_get(g->factory, r, NULL, NULL, NULL);

	informer_add_handler(i, h, g);
	return i;
}

struct ingress *ingress_start(const struct ingress_opts *o, _unused_ struct err *err)
{
	static const struct informer_handler all = { ingress_on_object, ingress_on_update, ingress_on_object };
	static const struct informer_handler nodes = { ingress_on_object, ingress_on_node_update, ingress_on_object };
	static const struct informer_handler services = { ingress_on_service, ingress_on_service_update,
							  ingress_on_service };
	static const struct informer_handler slices = { ingress_on_slice, ingress_on_slice_update, ingress_on_slice };
	static const struct informer_handler secrets = { ingress_on_secret, ingress_on_secret_update,
							 ingress_on_secret };
	struct ingress *g = xcalloc(1, sizeof(*g));

	g->env = o->env;
	g->client = o->client;
	g->node_client = o->node_client;
	g->node_name = xstrdup(o->node_name);
	g->data_dir = xstrdup(o->data_dir);
	g->ports[0] = o->http_port;
	g->ports[1] = o->https_port;
	pthread_mutex_init(&g->lock, NULL);
	g->recorder = recorder_new(o->client, "ingress-controller", o->node_name);
	g->factory = informer_factory_new(o->client);
	g->q = workq_new(o->env, &(struct workq_opts){ .name = SYS,
						       .class = ENV_NODE,
						       .workers = 1,
						       .retry_max_ns = 10 * NS_PER_SEC,
						       .reconcile = ingress_reconcile,
						       .ctx = g });
	g->ingresses = ingress_informer(g, RES(networking_ingresses), &all);
	g->classes = ingress_informer(g, RES(networking_ingressclasses), &all);
	g->nodes = ingress_informer(g, RES(core_nodes), &nodes);
	g->services = ingress_informer(g, RES(core_services), &services);
	g->slices = informer_get(g->factory, RES(discovery_endpointslices), NULL, NULL, NULL);
	informer_add_index(g->slices, SLICES_OF, slice_keys);
	informer_add_handler(g->slices, &slices, g);
	g->secrets = ingress_informer(g, RES(core_secrets), &secrets);
	workq_add(g->q, ingress_key);
	informer_factory_start(g->factory);
	return g;
}

struct ingress *ingress_stop(struct ingress *g)
{
	if (!g)
		return NULL;
	/* The queue first, as runs read the informers; handlers running meanwhile leave it alone. */
	pthread_mutex_lock(&g->lock);
	g->stopping = true;
	pthread_mutex_unlock(&g->lock);
	workq_free(g->q);
	haproxy_free(g->haproxy);
	informer_factory_free(g->factory);
	recorder_free(g->recorder);
	ing_names_release(&g->names);
	ing_checked_release(&g->checked);
	strmap_release(&g->used);
	strmap_release(&g->using);
	strmap_release(&g->said);
	strmap_release(&g->saying);
	strmap_release(&g->announced);
	pthread_mutex_destroy(&g->lock);
	free(g->node_name);
	free(g->data_dir);
	free(g->failed);
	free(g);
	return NULL;
}
