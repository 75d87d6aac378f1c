/* One queue, one key: objects, deaths and the clock wake it. Only what objects changed makes the model and what HAProxy
 * reads anew; else a run looks after the process alone. */
#include "ingress/ingress.h"

#include "base/log.h"
#include "client/events.h"
#include "client/informer.h"
#include "client/workq.h"
#include "ingress/annotations.h"
#include "ingress/backend.h"
#include "ingress/from_ingress.h"
#include "ingress/gateways.h"
#include "ingress/haproxy.h"
#include "ingress/listen.h"
#include "ingress/nodes.h"
#include "ingress/secrets.h"
#include "ingress/words.h"
#include "object/annotation.h"
#include "object/ingress_refs.h"
#include "object/slice.h"

#include <pthread.h>
#include <stdlib.h>

#define SYS "ingress"
#define INFORMER_POLL_NS (10 * NS_PER_MS)
#define LOOK_NS (5 * NS_PER_SEC)
#define REST 4 /* times what a run took, before the next one may take as long */
#define REST_MAX_NS (500 * NS_PER_MS)
#define MISSING_NS (10 * NS_PER_SEC)
#define DOWN_NS (5 * NS_PER_SEC) /* without HAProxy; before that it is on its way back, and nobody is told */
#define SLICES_OF "service"
#define LB_PORTS "ingress-lb" /* of Services: "80", TCP ports of those with addresses that may be nodes' */

static const struct sv ingress_key = { "ingress", 7 };

struct ingress {
	struct env *env;
	struct client *client;
	char *node_name, *data_dir;
	struct arena fixed;
	struct ing_nets trusted; /* in `fixed` */
	bool proxy_protocol;

	struct recorder *recorder;
	struct informer_factory *factory; /* Ingresses and classes; and all else where nobody shares it */
	struct informer *ingresses, *classes, *services, *slices, *nodes;
	struct ing_gateways *gateways; /* NULL: Gateways are not served */
	struct ing_secrets *secrets;
	struct workq *q;

	pthread_mutex_t lock;	 /* covers: */
	struct strmap used;	 /* "ns/name" of Services that count */
	bool changed;		 /* something that the model is made of */
	bool making;		 /* a model, from now on of Services that may not be in `used` yet: */
	struct strmap meanwhile; /* that changed since it began; no values */
	bool stopping;

	/* Of runs alone. */
	struct haproxy *haproxy;
	bool looked_for_old;
	bool stale;	 /* HAProxy was not given what there is now */
	int64_t next_ns; /* before that the model is not made again */
	struct ing_part part;
	size_t routes;				 /* of Ingresses in the model */
	VEC(struct ing_gate_port) wanted, gates; /* by Gateways in the model; those of `listen` */
	struct ing_listen listen;		 /* as rendered */
	struct ing_names names;
	struct tls_checked checked;
	struct ing_words words;
	struct strmap using;	  /* of this run: goes to `used` */
	int64_t ask_ns;		  /* when Secrets that are not watched are to be asked for; 0: there are none */
	int64_t look_ns, down_ns; /* down: since when there is no HAProxy; 0: there is */
	struct ing_ports ports;
	char *failed; /* last failure, said once */
};

/* --- marking --- */

static void ingress_mark(struct ingress *g, bool changed)
{
	pthread_mutex_lock(&g->lock);
	g->changed |= changed;
	if (!g->stopping)
		workq_add(g->q, ingress_key);
	pthread_mutex_unlock(&g->lock);
}

static void ingress_wake(void *ctx)
{
	ingress_mark(ctx, true);
}

static void ingress_on_exit(void *ctx)
{
	ingress_mark(ctx, false);
}

static void ingress_on_object(_unused_ struct obj *o, void *ctx)
{
	ingress_wake(ctx);
}

/* Statuses are nothing that is served. */
static void ingress_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_spec), obj_get(neu, F_spec)) ||
	    !val_equal(obj_get(old, F_metadata, F_annotations), obj_get(neu, F_metadata, F_annotations)) ||
	    obj_deleting(old) != obj_deleting(neu))
		ingress_wake(ctx);
}

static void ingress_if_used(struct ingress *g, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv key = obj_path(&b, ns, name);

	pthread_mutex_lock(&g->lock);
	if (!g->stopping && strmap_has(&g->used, key)) {
		g->changed = true;
		workq_add(g->q, ingress_key);
	} else if (g->making) {
		strmap_set(&g->meanwhile, key, g);
	}
	pthread_mutex_unlock(&g->lock);
}

static void ingress_on_service(struct obj *o, void *ctx)
{
	if (ing_is_balancer(o))
		ingress_mark(ctx, false);
	ingress_if_used(ctx, obj_ns(o), obj_name(o));
}

static void ingress_on_service_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (ing_is_balancer(old))
		ingress_mark(ctx, false);
	ingress_on_service(neu, ctx);
}

static void ingress_on_slice(struct obj *o, void *ctx)
{
	ingress_if_used(ctx, obj_ns(o), slice_service(o));
}

static void ingress_on_slice_update(_unused_ struct obj *old, struct obj *neu, void *ctx)
{
	ingress_on_slice(neu, ctx);
}

static void slice_keys(const struct obj *o, struct index_keys *ret)
{
	index_keys_add_ref(ret, obj_ns(o), slice_service(o));
}

static void ingress_on_node(_unused_ struct obj *o, void *ctx)
{
	ingress_mark(ctx, false);
}

static void ingress_on_node_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (ing_node_changed(old, neu))
		ingress_on_node(neu, ctx);
}

/* --- what this node has to do --- */

static void ingress_look_at_nodes(struct ingress *g, struct arena *a)
{
	size_t n;
	struct obj **nodes = informer_list(g->nodes, a, SV(""), &n);
	struct ing_part part = ing_part_of(nodes, n, sv_from(g->node_name));

	/* What was not said is said then. */
	g->stale |= part.serves != g->part.serves || (part.tells && !g->part.tells);
	g->part = part;
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

	return ing_secrets_get(s->g->secrets, s->a, ns, name);
}

static struct obj **ingress_source_slices(void *ctx, struct arena *a, struct sv ns, struct sv service, size_t *ret_n)
{
	struct source_ctx *s = ctx;

	return informer_by_ref(s->g->slices, a, SLICES_OF, ns, service, ret_n);
}

static void source_uses(void *ctx, struct sv ns, struct sv name)
{
	struct source_ctx *s = ctx;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	strmap_set(&s->g->using, obj_path(&b, ns, name), s->g);
}

/* Kept until it is known whether all that the model is made of was there. */
static void source_say(void *ctx, const struct obj *ingress, const char *reason, const char *message)
{
	struct source_ctx *s = ctx;

	ing_words_add(&s->g->words, ingress, reason, message);
}

/* --- the Node's annotation --- */

/* "80,443", or "": it does not serve. */
static int ingress_announce(struct ingress *g, struct arena *a, struct sv ports, struct err *err)
{
	_cleanup_obj_ struct obj *node = informer_lookup(g->nodes, SV(""), sv_from(g->node_name));
	struct val *patch, *meta, *map;

	if (!node || sv_eq(ing_node_ports(node), ports))
		return 0;
	patch = val_new_map(a);
	meta = val_set_map(a, patch, F_metadata);
	map = val_set_map(a, meta, F_annotations);
	val_set_sv(a, map, SV(INGRESS_NODE_ANNOTATION), ports.n ? val_new_str(a, ports) : val_new_null(a));
	return client_patch(g->client, RES(core_nodes), SV(""), sv_from(g->node_name), PATCH_MERGE, patch, NULL, NULL,
			    err);
}

/* --- serving --- */

static void ingress_say_failed(struct ingress *g, const char *why)
{
	if (sv_eq(sv_from(why), sv_from(g->failed)))
		return;
	if (why)
		log_error(SYS, "Ingresses are not all served as they should be, will retry", "why", "%s", why);
	g->stale = true; /* the next model tells the Ingresses */
	free(g->failed);
	g->failed = why ? xstrdup(why) : NULL;
}

static const char *ingress_taken_text(struct arena *a, const struct ingress *g, int i)
{
	return arena_printf(a,
			    "port %d of node %s is the load balancer's of Service %s: Ingresses are not served there "
			    "until it is free",
			    g->ports.asked[i], g->node_name, g->ports.balancer[i]);
}

/* Which of our ports load balancers have. They had them first: none takes one that this node says it serves. */
static void ingress_look_at_balancers(struct ingress *g, struct arena *a)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_obj_ struct obj *node = informer_lookup(g->nodes, SV(""), sv_from(g->node_name));

	for (int i = 0; i < ING_PORTS; i++) {
		size_t n;
		struct obj **list =
		    informer_by_index(g->services, a, LB_PORTS, arena_svf(a, "%d", g->ports.asked[i]), &n);
		const struct obj *svc = node && g->ports.asked[i] ? ing_balancer_at(node, list, n) : NULL;
		struct sv who = svc ? obj_path(&b, obj_ns(svc), obj_name(svc)) : SV_NULL;

		if (!ing_ports_set_balancer(&g->ports, i, who))
			continue;
		g->stale = true;
		if (who.n && g->routes)
			recorder_event(g->recorder, RES(core_nodes), obj_root(node), "Warning", "IngressPortTaken",
				       "%s", ingress_taken_text(a, g, i));
	}
}

/* False: some of what it is made of is not known yet, and nothing is said; in a moment it will be. */
static bool ingress_model(struct ingress *g, struct arena *a, struct ing_model *ret, int64_t now)
{
	struct ingress_classes classes;
	struct source_ctx sc = { .g = g, .a = a };
	struct ing_source s = { .classes = &classes,
				.service = ingress_source_service,
				.secret = ingress_source_secret,
				.slices = ingress_source_slices,
				.say = source_say,
				.uses = source_uses,
				.ctx = &sc,
				.checked = &g->checked,
				.ports = { g->ports.asked[0], g->ports.asked[1] } };
	int64_t ask_after;
	struct strmap old;
	size_t n;
	struct obj **list = informer_list(g->classes, a, SV(""), &n);
	bool known;

	ingress_classes_of(list, n, &classes);
	s.ingresses = informer_list(g->ingresses, a, SV(""), &s.n_ingresses);
	if (!g->part.serves)
		s.n_ingresses = 0; /* and asks for no Secret */
	pthread_mutex_lock(&g->lock);
	g->making = true;
	pthread_mutex_unlock(&g->lock);
	ing_words_begin(&g->words);
	ing_secrets_begin(g->secrets);
	ing_from_ingresses(a, &s, ret);
	if (g->gateways && g->part.serves)
		ing_gateways_add(g->gateways, a, &s, ret);
	known = !ing_secrets_end(g->secrets, &ask_after);
	g->ask_ns = ask_after ? now + ask_after : 0;
	for (int i = 0; i < ING_PORTS; i++)
		if (g->ports.balancer[i])
			ing_words_add_all(&g->words, &s, "IngressPortTaken", ingress_taken_text(a, g, i));
	if (g->failed) /* known by the look that follows the one that failed */
		ing_words_add_all(&g->words, &s, "IngressNotServed",
				  arena_printf(a, "node %s: %s", g->node_name, g->failed));
	if (known)
		ing_words_tell(&g->words, a, g->recorder, g->part.tells);
	ingress_classes_release(&classes);
	pthread_mutex_lock(&g->lock);
	old = g->used;
	g->used = g->using;
	STRMAP_EACH(&g->meanwhile, e)
		if (strmap_has(&g->used, sv_make(e->key, e->key_n))) {
			g->changed = true;
			workq_add(g->q, ingress_key);
		}
	strmap_release(&g->meanwhile);
	g->meanwhile = STRMAP_INIT;
	g->making = false;
	pthread_mutex_unlock(&g->lock);
	g->using = STRMAP_INIT;
	strmap_release(&old);
	g->routes = ret->n_routes;
	g->wanted.n = 0;
	for (size_t i = 0; i < ret->n_ports; i++)
		vec_push(&g->wanted, ret->ports[i]);
	return known;
}

static bool ingress_has_haproxy(struct ingress *g)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (!g->haproxy)
		g->haproxy = haproxy_new(
		    &(struct haproxy_opts){
			.env = g->env, .data_dir = g->data_dir, .changed = ingress_on_exit, .ctx = g },
		    &err);
	if (!g->haproxy)
		ingress_say_failed(g, err_msg(&err));
	return g->haproxy;
}

static void ingress_rest(struct ingress *g)
{
	if (g->haproxy && haproxy_runs(g->haproxy)) {
		log_info(SYS, "no Ingress is left for this node, haproxy ends", "node", "%s", g->node_name);
		haproxy_end(g->haproxy);
		g->ports.looked_ns = 0;
	} else if (!g->haproxy && !g->looked_for_old) {
		/* Its last Ingress went while no server ran. */
		(void)haproxy_cleanup(g->data_dir);
	}
	g->looked_for_old = true;
}

static bool listens(const struct ing_listen *l)
{
	return l->http_port || l->https_port || l->n_gates;
}

static struct sv ports_text(struct arena *a, const struct ing_listen *l)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const int own[] = { l->http_port, l->https_port };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (own[i])
			buf_printf(&b, "%s%d", b.n ? "," : "", own[i]);
	for (size_t i = 0; i < l->n_gates; i++)
		if (l->gates[i].port != l->http_port && l->gates[i].port != l->https_port)
			buf_printf(&b, "%s%d", b.n ? "," : "", l->gates[i].port);
	return arena_sv(a, buf_sv(&b));
}

/* Where it is to listen now: without an Ingress at their ports only when a Gateway has them, too; at none that a load
 * balancer's Service has. */
static struct ing_listen ingress_listen(struct ingress *g, struct arena *a, int64_t now)
{
	struct ing_listen l;
	_cleanup_obj_ struct obj *node = informer_lookup(g->nodes, SV(""), sv_from(g->node_name));
	struct ing_gate_port *wanted = ARENA_ARRAY(a, struct ing_gate_port, g->wanted.n);
	size_t n = 0;

	for (size_t i = 0; i < g->wanted.n; i++) {
		size_t n_services;
		struct obj **services =
		    informer_by_index(g->services, a, LB_PORTS, arena_svf(a, "%d", g->wanted.p[i].port), &n_services);

		if (!node || !ing_balancer_at(node, services, n_services))
			wanted[n++] = g->wanted.p[i];
	}
	l = ing_ports_listen(&g->ports, a, g->haproxy, &(struct ing_wanted){ g->routes, wanted, n }, now);
	l.own = (uint32_t)strmap_hash(sv_from(g->data_dir));
	l.trusted = g->trusted;
	l.proxy_protocol = g->proxy_protocol;
	return l;
}

/* How soon to come again. m: NULL when nothing changed. */
static int64_t ingress_serve(struct ingress *g, const struct ing_model *m, const struct ing_listen *l)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct ing_state *s = NULL;
	int64_t after = 0;

	if (!listens(l)) {
		g->ports.looked_ns = 0;
		haproxy_end(g->haproxy);
		return ING_PORTS_NS;
	}
	if (m) {
		s = ing_state_new();
		ing_render(&s->arena, &g->names, m, l, &s->conf);
		if (s->conf.refused)
			log_warn("ingress", "texts that may not stand in HAProxy's configuration were left out",
				 "count", "%zu", s->conf.refused);
		g->gates.n = 0;
		for (size_t i = 0; i < l->n_gates; i++)
			vec_push(&g->gates, l->gates[i]);
		g->listen = *l;
		g->listen.gates = g->gates.p;
		g->stale = false;
	}
	if (haproxy_apply(g->haproxy, s, &after, &err) < 0) {
		ingress_say_failed(g, err_msg(&err));
		g->ports.looked_ns = 0; /* somebody may have taken one */
	} else if (!after) {
		ingress_say_failed(g, NULL);
	}
	return after;
}

/* What the Node says. A HAProxy that ended comes back in a moment; until then nothing is taken back. */
static struct sv ingress_says(struct ingress *g, struct arena *a, const struct ing_listen *l, int64_t now)
{
	_cleanup_obj_ struct obj *node = NULL;

	if (!listens(l))
		return SV("");
	if (haproxy_runs(g->haproxy)) {
		g->down_ns = 0;
		return ports_text(a, l);
	}
	g->down_ns = g->down_ns ? g->down_ns : now;
	node = informer_lookup(g->nodes, SV(""), sv_from(g->node_name));
	return node && now - g->down_ns < DOWN_NS ? arena_sv(a, ing_node_ports(node)) : SV("");
}

/* However often something changes, and however many Ingresses there are, about a fifth of one processor is spent. */
static void ingress_made(struct ingress *g, int64_t began_ns)
{
	int64_t now = env_mono_ns(g->env);

	g->next_ns = now + MIN(REST * (now - began_ns), REST_MAX_NS);
}

/* Everything but what is written to the API. */
static int64_t ingress_run(struct ingress *g, struct arena *a, struct sv *ret_says, int64_t now)
{
	struct ing_listen l;
	struct ing_model m;
	bool made = g->stale;
	int64_t after, pause = 0;

	if (made && now < g->next_ns) {
		pause = g->next_ns - now;
		made = false;
	}
	if (made && !ingress_model(g, a, &m, now)) {
		ingress_made(g, now);
		return MAX(INFORMER_POLL_NS, g->next_ns - now);
	}
	if (!g->routes && !g->wanted.n) {
		if (pause)
			return pause;
		g->stale = false;
		ingress_rest(g);
		return 0;
	}
	g->looked_for_old = true;
	if (!ingress_has_haproxy(g))
		return MISSING_NS;
	l = ingress_listen(g, a, now);
	if (!made && !ing_listen_same(&l, &g->listen)) {
		made = g->stale = true;
		if (!ingress_model(g, a, &m, now))
			return INFORMER_POLL_NS;
	}
	after = ingress_serve(g, made ? &m : NULL, &l);
	if (made)
		ingress_made(g, now);
	*ret_says = ingress_says(g, a, &l, now);
	after = after ? MIN(after, LOOK_NS) : LOOK_NS;
	return pause ? MIN(after, pause) : after;
}

static int ingress_reconcile(void *ctx, _unused_ struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct ingress *g = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t now = env_mono_ns(g->env);
	struct sv says = SV("");
	int64_t look = 0;

	if (!informer_factory_synced(g->factory) || !informer_synced(g->services) || !informer_synced(g->slices) ||
	    !informer_synced(g->nodes)) {
		ret->after_ns = INFORMER_POLL_NS;
		return 0;
	}
	if (g->gateways && !ing_gateways_known(g->gateways, &look)) {
		ret->after_ns = look;
		return 0;
	}
	pthread_mutex_lock(&g->lock);
	g->stale |= g->changed || (g->ask_ns && now >= g->ask_ns);
	g->changed = false;
	pthread_mutex_unlock(&g->lock);
	ingress_look_at_nodes(g, &a);
	ingress_look_at_balancers(g, &a);
	if (g->haproxy && now - g->look_ns >= LOOK_NS) {
		g->look_ns = now;
		haproxy_look(g->haproxy);
	}
	ret->after_ns = ingress_run(g, &a, &says, now);
	if (look && (!ret->after_ns || look < ret->after_ns))
		ret->after_ns = look;
	return ingress_announce(g, &a, says, err);
}

/* --- life --- */

static struct informer *ingress_informer(struct ingress *g, const struct resource *r, const struct informer_handler *h)
{
	struct informer *i = informer_get(g->factory, r, NULL, NULL, NULL);

	informer_add_handler(i, h, g);
	return i;
}

void ingress_keep(struct informer_factory *f)
{
	static const char *const namespaces[] = { "metadata labels", NULL };

	informer_factory_keep(f, RES(core_namespaces), namespaces);
	informer_factory_keep(f, RES(core_services), ing_service_paths);
	informer_factory_keep(f, RES(discovery_endpointslices), ing_slice_paths);
	informer_factory_keep(f, RES(core_nodes), ing_node_paths);
}

struct ingress *ingress_start(const struct ingress_opts *o, struct err *err)
{
	static const struct informer_handler all = { ingress_on_object, ingress_on_update, ingress_on_object };
	static const struct informer_handler nodes = { ingress_on_node, ingress_on_node_update, ingress_on_node };
	static const struct informer_handler services = { ingress_on_service, ingress_on_service_update,
							  ingress_on_service };
	static const struct informer_handler slices = { ingress_on_slice, ingress_on_slice_update, ingress_on_slice };
	struct ingress *g = xcalloc(1, sizeof(*g));
	struct informer_factory *f;

	g->env = o->env;
	g->client = o->client;
	g->node_name = xstrdup(o->node_name);
	g->data_dir = xstrdup(o->data_dir);
	g->ports.asked[0] = o->http_port;
	g->ports.asked[1] = o->https_port;
	g->stale = true;
	g->proxy_protocol = o->proxy_protocol;
	if (o->trusted && !ing_nets_parse(&g->fixed, sv_from(o->trusted), &g->trusted)) {
		(void)err_set(err, ERR_INVALID, "'%s' are no ranges of addresses", o->trusted);
		arena_release(&g->fixed);
		free(g->node_name);
		free(g->data_dir);
		free(g);
		return NULL;
	}
	pthread_mutex_init(&g->lock, NULL);
	g->recorder = recorder_new(o->client, "ingress-controller", o->node_name);
	g->factory = informer_factory_new(o->client);
	f = o->informers ? o->informers : g->factory;
	if (!o->informers)
		ingress_keep(f);
	g->q = workq_new(o->env, &(struct workq_opts){ .name = SYS,
						       .class = ENV_NODE,
						       .workers = 1,
						       .retry_max_ns = 10 * NS_PER_SEC,
						       .reconcile = ingress_reconcile,
						       .ctx = g });
	g->ingresses = ingress_informer(g, RES(networking_ingresses), &all);
	g->classes = ingress_informer(g, RES(networking_ingressclasses), &all);
	g->services = informer_get(f, RES(core_services), NULL, NULL, NULL);
	g->slices = informer_get(f, RES(discovery_endpointslices), NULL, SLICE_SERVICE_LABEL, NULL);
	g->nodes = informer_get(f, RES(core_nodes), NULL, NULL, NULL);
	informer_add_index(g->services, LB_PORTS, ing_balancer_keys);
	informer_add_index(g->slices, SLICES_OF, slice_keys);
	informer_add_handler(g->services, &services, g);
	informer_add_handler(g->slices, &slices, g);
	informer_add_handler(g->nodes, &nodes, g);
	g->secrets = ing_secrets_new(o->env, o->client, ingress_wake, g);
	if (!o->no_gateway)
		g->gateways = ing_gateways_new(o->env, o->client, f, ingress_wake, g);
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
	ing_gateways_free(g->gateways);
	ing_secrets_free(g->secrets);
	informer_factory_free(g->factory);
	recorder_free(g->recorder);
	ing_names_release(&g->names);
	tls_checked_release(&g->checked);
	strmap_release(&g->used);
	strmap_release(&g->using);
	strmap_release(&g->meanwhile);
	ing_words_release(&g->words);
	vec_release(&g->wanted);
	vec_release(&g->gates);
	ing_ports_release(&g->ports);
	arena_release(&g->fixed);
	pthread_mutex_destroy(&g->lock);
	free(g->node_name);
	free(g->data_dir);
	free(g->failed);
	free(g);
	return NULL;
}
