/* node lifecycle: notices nodes that fell silent, and says so in conditions, taints and pods.
 *
 * A kubelet proves itself by renewing its Lease (every 10 s) or changing its status. What counts is
 * when this controller *saw* a change, by its own monotonic clock: clocks of nodes do not matter, and
 * after a restart every node gets the full grace again. Every 5 s one pass over all nodes:
 *
 *	heartbeat seen within the grace	──▶ conditions are the kubelet's; taints follow them
 *	silent for longer		──▶ conditions Unknown, pods not ready, taint unreachable
 *
 * The NoExecute taint, which evicts, is set at most every 10 s per zone (every 100 s when most of a
 * large zone is down, never in a small one), and not at all while every node is down: then it is
 * more likely the network between us and them. */
#include "client/workq.h"
#include "controllers/ctrl_metrics.h"
#include "controllers/controllers-internal.h"
#include "controllers/node_lifecycle.h"
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "base/strmap.h"

#include <stdlib.h>

#define GRACE_NS (50 * NS_PER_SEC)
#define STARTUP_GRACE_NS (60 * NS_PER_SEC)
#define PERIOD_NS (5 * NS_PER_SEC)
#define EVICT_EVERY_NS (10 * NS_PER_SEC)
#define EVICT_EVERY_DISRUPTED_NS (100 * NS_PER_SEC)
#define LARGE_ZONE 50
#define INDEX_NODE "node"
#define TICK SV("nodes")

struct health {
	struct obj *node; /* of the last heartbeat, for comparison */
	char *renewed;	  /* the lease's renewTime then */
	int64_t seen_ns;  /* monotonic */
	bool was_ready;	  /* as of the last pass */
};

struct zone {
	size_t ready, not_ready;
	int64_t next_evict_ns; /* monotonic */
};

struct node_lifecycle {
	struct controller_ctx *ctx;
	struct informer *nodes, *leases, *pods;
	struct workq *q;
	int64_t grace_ns, period_ns;
	/* Used by the one worker only. */
	struct strmap health; /* node -> struct health * */
	struct strmap zones;  /* zone -> struct zone * */
};

static void lifecycle_node_key(const struct obj *o, struct index_keys *ret)
{
	index_keys_add(ret, val_str(obj_get(o, F_spec, F_nodeName)));
}

static void health_free(void *p)
{
	struct health *h = p;

	obj_unref(h->node);
	free(h->renewed);
	free(h);
}

static const struct val *lifecycle_conditions(const struct obj *node)
{
	return obj_get(node, F_status, F_conditions);
}

/* Notes a heartbeat when there is one; the node's health record either way. */
static struct health *lifecycle_observe(struct node_lifecycle *c, struct obj *node)
{
	_cleanup_obj_ struct obj *lease = informer_lookup(c->leases, SV("kube-node-lease"), obj_name(node));
	struct sv renewed = val_str(obj_get(lease, F_spec, F_renewTime));
	void **slot = strmap_slot(&c->health, obj_name(node));
	struct health *h = *slot;
	bool beat;

	if (!h) {
		h = *slot = xcalloc(1, sizeof(*h));
		beat = true;
	} else {
		beat = !sv_eq(obj_uid(h->node), obj_uid(node)) || (renewed.n && !sv_is(renewed, h->renewed));
		/* A kubelet's own status update; one of ours leaves Ready Unknown. */
		beat |= !val_same(lifecycle_conditions(h->node), lifecycle_conditions(node)) &&
			!condition_is(lifecycle_conditions(node), "Ready", "Unknown");
	}
	if (beat) {
		h->seen_ns = env_mono_ns(c->ctx->env);
		free(h->renewed);
		h->renewed = xstrndup(renewed.p ? renewed.p : "", renewed.n);
	}
	obj_ref(node);
	obj_unref(h->node);
	h->node = node;
	return h;
}

/* The pods of a silent node cannot be known to be ready. */
static int mark_pods(struct node_lifecycle *c, struct arena *a, struct obj *node, struct err *err)
{
	size_t n;
	struct obj **pods = informer_by_index(c->pods, a, INDEX_NODE, obj_name(node), &n);

	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		const struct val *ready = condition_find(obj_get(pods[i], F_status, F_conditions), "Ready");
		struct val *doc, *st, *list;

		if (!val_is(val_member(ready, F_status), "True"))
			continue;
		doc = obj_edit(a, pods[i]);
		st = val_ensure_map(a, doc, F_status);
		list = val_ensure_list(a, st, F_conditions);
		for (size_t k = 0; k < val_len(list); k++) {
			struct val *cond = val_at_mut(list, k);

			if (!val_is(val_member(cond, F_type), "Ready"))
				continue;
			val_set_cstr(a, cond, F_status, "False");
			val_set_str(a, cond, F_lastTransitionTime, time_text(a, env_now_ns(c->ctx->env)));
		}
		if (client_update_status(c->ctx->client, RES(core_pods), doc, NULL, &why) < 0) {
			if (why.reason == ERR_NOT_FOUND)
				continue;
			return err_move(err, &why);
		}
		recorder_event(c->ctx->recorder, RES(core_pods), obj_root(pods[i]), "Warning", "NodeNotReady",
			       "Node is not ready");
	}
	return 0;
}

/* Turns the kubelet's conditions to Unknown. Replaces *node by what was written. */
static int mark_silent(struct node_lifecycle *c, struct arena *a, struct obj **node, struct err *err)
{
	static const char *const types[] = { "Ready", "MemoryPressure", "DiskPressure", "PIDPressure" };
	struct val *doc = obj_edit(a, *node), *st = val_ensure_map(a, doc, F_status);
	int64_t now = env_now_ns(c->ctx->env);
	bool changed = false;
	struct obj *after;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const struct val *was = condition_find(val_member(st, F_conditions), types[i]);

		if (val_is(val_member(was, F_status), "Unknown"))
			continue;
		changed |=
		    condition_set(a, st,
				  &(struct condition){ .type = types[i],
						       .status = "Unknown",
						       .reason = was ? "NodeStatusUnknown" : "NodeStatusNeverUpdated",
						       .message = was ? SV("Kubelet stopped posting node status.")
								      : SV("Kubelet never posted node status."),
						       .also_time = was ? SYM_NONE : F_lastHeartbeatTime },
				  now);
	}
	if (!changed)
		return 0;
	if (client_update_status(c->ctx->client, RES(core_nodes), doc, &after, err) < 0)
		return -1;
	*node = obj_link(a, after);
	return 0;
}

static struct sv lifecycle_zone_name(struct arena *a, const struct obj *node)
{
	struct sv region = label_of(obj_root(node), "topology.kubernetes.io/region");
	struct sv name = label_of(obj_root(node), "topology.kubernetes.io/zone");

	return arena_svf(a, "%.*s:%.*s", SV_ARG(region), SV_ARG(name));
}

static struct zone *lifecycle_zone_of(struct node_lifecycle *c, const struct obj *node, struct arena *a)
{
	void **slot = strmap_slot(&c->zones, lifecycle_zone_name(a, node));

	if (!*slot)
		*slot = xcalloc(1, sizeof(struct zone));
	return *slot;
}

/* May one more node of this zone be tainted NoExecute now? Takes the turn. */
static bool may_evict(struct node_lifecycle *c, struct zone *z)
{
	int64_t now = env_mono_ns(c->ctx->env), every = EVICT_EVERY_NS;
	size_t all = z->ready + z->not_ready;

	if (z->ready > 0 && z->not_ready > 2 && z->not_ready * 100 >= all * 55) {
		if (all <= LARGE_ZONE)
			return false;
		every = EVICT_EVERY_DISRUPTED_NS;
	}
	if (now < z->next_evict_ns)
		return false;
	z->next_evict_ns = now + every;
	return true;
}

static bool has_no_execute(const struct obj *node, const char *key)
{
	VAL_EACH(obj_get(node, F_spec, F_taints), t)
		if (val_is(val_member(t, F_key), key) && val_is(val_member(t, F_effect), "NoExecute"))
			return true;
	return false;
}

static int taint(struct node_lifecycle *c, struct arena *a, struct obj *node, bool all_down, struct err *err)
{
	const struct val *conds = lifecycle_conditions(node);
	const char *want = condition_is(conds, "Ready", "False")     ? TAINT_NOT_READY
			   : condition_is(conds, "Ready", "Unknown") ? TAINT_UNREACHABLE
								     : NULL;
	bool has_one = has_no_execute(node, TAINT_NOT_READY) || has_no_execute(node, TAINT_UNREACHABLE);
	struct val *taints, *doc;

	if (all_down)
		want = NULL;
	else if (want && !has_one && !may_evict(c, lifecycle_zone_of(c, node, a)))
		want = NULL; /* another time; a change of the key needs no turn */
	if (!node_taints(a, node, want, env_now_ns(c->ctx->env), &taints))
		return 0;
	doc = obj_edit(a, node);
	val_set(a, val_ensure_map(a, doc, F_spec), F_taints, taints);
	if (client_update(c->ctx->client, RES(core_nodes), doc, NULL, NULL, err) < 0)
		return -1;
	if (want && !has_one)
		metric_add(c->ctx->counted, CTRL_METRIC(EVICTIONS), (const struct sv[]){ lifecycle_zone_name(a, node) },
			   1);
	return 0;
}

static int lifecycle_look_at(struct node_lifecycle *c, struct arena *a, struct obj **node, struct err *err)
{
	struct health *h = lifecycle_observe(c, *node);
	bool known = condition_find(lifecycle_conditions(*node), "Ready") != NULL, ready;
	int64_t silent = env_mono_ns(c->ctx->env) - h->seen_ns;

	if (silent > (known ? c->grace_ns : STARTUP_GRACE_NS) && mark_silent(c, a, node, err) < 0)
		return -1;
	ready = condition_is(lifecycle_conditions(*node), "Ready", "True");
	if (!ready && known) {
		if (h->was_ready)
			recorder_event(c->ctx->recorder, RES(core_nodes), obj_root(*node), "Normal", "NodeNotReady",
				       "Node %.*s status is now: NodeNotReady", SV_ARG(obj_name(*node)));
		/* Each pass: pods that got here late are marked too; marked ones cost nothing. */
		if (mark_pods(c, a, *node, err) < 0)
			return -1;
	}
	h->was_ready = ready;
	return 0;
}

static void forget_gone(struct node_lifecycle *c, struct arena *a)
{
	size_t n = 0;
	struct sv *gone = ARENA_ARRAY(a, struct sv, c->health.n + 1);

	STRMAP_EACH(&c->health, e) {
		_cleanup_obj_ struct obj *o = informer_lookup(c->nodes, SV(""), sv_make(e->key, e->key_n));

		if (!o)
			gone[n++] = arena_sv(a, sv_make(e->key, e->key_n));
	}
	for (size_t i = 0; i < n; i++)
		health_free(strmap_del(&c->health, gone[i]));
}

static int lifecycle_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct node_lifecycle *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n, up = 0;
	struct obj **listed = informer_list(c->nodes, &a, SV(""), &n), **nodes = ARENA_ARRAY(&a, struct obj *, n);

	(void)key;
	(void)err;
	/* Whatever goes wrong with one node is tried again at the next pass, soon enough. */
	ret->after_ns = c->period_ns;
	for (size_t i = 0; i < n; i++)
		nodes[i] = listed[i]; /* to be replaced by what is written */
	forget_gone(c, &a);
	STRMAP_EACH(&c->zones, e) {
		struct zone *z = e->value;

		z->ready = z->not_ready = 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct zone *z;
		_cleanup_(err_release) struct err why = ERR_INIT;

		(void)lifecycle_look_at(c, &a, &nodes[i], &why);
		z = lifecycle_zone_of(c, nodes[i], &a);
		if (condition_is(lifecycle_conditions(nodes[i]), "Ready", "True")) {
			z->ready++;
			up++;
		} else {
			z->not_ready++;
		}
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (!obj_deleting(nodes[i]))
			(void)taint(c, &a, nodes[i], up == 0, &why);
	}
	return 0;
}

static void lifecycle_node_added(struct obj *o, void *ctx)
{
	struct node_lifecycle *c = ctx;

	(void)o;
	workq_add(c->q, TICK);
}

/* What a node says of itself shows in its taints at once; its heartbeats need no look. */
static void lifecycle_node_updated(struct obj *old, struct obj *neu, void *ctx)
{
	static const char *const types[] = { "Ready", "MemoryPressure", "DiskPressure", "PIDPressure",
					     "NetworkUnavailable" };
	bool changed =
	    val_bool(obj_get(old, F_spec, F_unschedulable)) != val_bool(obj_get(neu, F_spec, F_unschedulable));

	for (size_t i = 0; i < ARRAY_LEN(types) && !changed; i++)
		changed = !val_equal(val_member(condition_find(lifecycle_conditions(old), types[i]), F_status),
				     val_member(condition_find(lifecycle_conditions(neu), types[i]), F_status));
	if (changed)
		lifecycle_node_added(neu, ctx);
}

static bool lifecycle_ready(void *ctx)
{
	struct node_lifecycle *c = ctx;

	return informer_synced(c->nodes) && informer_synced(c->leases) && informer_synced(c->pods);
}

static void *lifecycle_start(struct controller_ctx *ctx)
{
	struct node_lifecycle *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->grace_ns = ctx->opts->node_monitor_grace_ns > 0 ? ctx->opts->node_monitor_grace_ns : GRACE_NS;
	c->period_ns = ctx->opts->node_monitor_period_ns > 0 ? ctx->opts->node_monitor_period_ns : PERIOD_NS;
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->leases = informer_get(ctx->informers, RES(coordination_leases), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	informer_add_index(c->pods, INDEX_NODE, lifecycle_node_key);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "node-lifecycle-controller",
							 .workers = 1,
							 .reconcile = lifecycle_reconcile,
							 .ctx = c,
							 .ready = lifecycle_ready });
	informer_add_handler(c->nodes, &(struct informer_handler){ lifecycle_node_added, lifecycle_node_updated, NULL },
			     c);
	workq_add(c->q, TICK);
	return c;
}

static void lifecycle_stop(void *controller)
{
	struct node_lifecycle *c = controller;

	workq_free(c->q);
	strmap_release_with(&c->health, health_free);
	strmap_release_with(&c->zones, free);
	free(c);
}

const struct controller_ops node_lifecycle_controller = { "node-lifecycle-controller", "node-controller",
							  lifecycle_start, lifecycle_stop };
