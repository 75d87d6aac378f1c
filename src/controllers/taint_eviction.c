/* taint eviction: pods leave nodes whose NoExecute taints they do not tolerate.
 *
 * A pod that tolerates all of them with a time (tolerationSeconds) leaves when the shortest is over,
 * counted from when it was first seen to be affected; one that tolerates them without a time stays.
 * Admission gives every pod 300 s for not-ready and unreachable. */
#include "base/strmap.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/podutil.h"
#include "controllers/status.h"
#include "pod/node_match.h"

#include <pthread.h>
#include <stdlib.h>

#define INDEX_NODE "node"

struct taint_eviction {
	struct controller_ctx *ctx;
	struct informer *nodes, *pods;
	struct workq *q;
	pthread_mutex_t lock;
	struct strmap since; /* "ns/name" of affected pods -> int64_t *, monotonic */
};

static void eviction_node_key(const struct obj *o, struct index_keys *ret)
{
	index_keys_add(ret, val_str(obj_get(o, F_spec, F_nodeName)));
}

static bool evicts(const struct val *taint)
{
	return val_is(val_member(taint, F_effect), "NoExecute");
}

static bool any_no_execute(const struct obj *node)
{
	VAL_EACH(obj_get(node, F_spec, F_taints), t)
		if (evicts(t))
			return true;
	return false;
}

/* How long the pod may stay: INT64_MAX for ever, 0 not at all. */
static int64_t may_stay_ns(const struct obj *pod, const struct obj *node)
{
	int64_t least = INT64_MAX;

	VAL_EACH(obj_get(node, F_spec, F_taints), taint) {
		bool tolerated = false;

		if (!evicts(taint))
			continue;
		VAL_EACH(obj_get(pod, F_spec, F_tolerations), tol) {
			const struct val *s = val_member(tol, F_tolerationSeconds);

			if (!tolerates_taint(tol, taint))
				continue;
			tolerated = true;
			if (val_type(s) == VAL_INT)
				least = MIN(least, MIN(MAX(s->i, 0), INT64_C(1) << 31) * NS_PER_SEC);
		}
		if (!tolerated)
			return 0;
	}
	return least;
}

static int64_t affected_since(struct taint_eviction *c, struct sv key)
{
	int64_t *at;
	void **slot;

	pthread_mutex_lock(&c->lock);
	slot = strmap_slot(&c->since, key);
	if (!*slot) {
		at = *slot = xcalloc(1, sizeof(*at));
		*at = env_mono_ns(c->ctx->env);
	}
	at = *slot;
	pthread_mutex_unlock(&c->lock);
	return *at;
}

static void forget(struct taint_eviction *c, struct sv key)
{
	pthread_mutex_lock(&c->lock);
	free(strmap_del(&c->since, key));
	pthread_mutex_unlock(&c->lock);
}

static int eviction_evict(struct taint_eviction *c, struct arena *a, struct obj *pod, struct err *err)
{
	struct val *doc = obj_edit(a, pod), *st = val_ensure_map(a, doc, F_status);
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;

	recorder_event(c->ctx->recorder, RES(core_pods), obj_root(pod), "Normal", "TaintManagerEviction",
		       "Marking for deletion Pod %.*s/%.*s", SV_ARG(obj_ns(pod)), SV_ARG(obj_name(pod)));
	if (condition_set(a, st,
			  &(struct condition){ .type = "DisruptionTarget",
					       .status = "True",
					       .reason = "DeletionByTaintManager",
					       .message = SV("Taint manager: deleting due to NoExecute taint") },
			  env_now_ns(c->ctx->env)) &&
	    client_update_status(c->ctx->client, RES(core_pods), doc, NULL, &why) < 0 && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	err_release(&why);
	o.precondition_uid = obj_uid(pod);
	if (client_delete(c->ctx->client, RES(core_pods), obj_ns(pod), obj_name(pod), &o, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static int eviction_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct taint_eviction *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *pod = NULL, *node = NULL;
	struct sv ns, name;
	int64_t stay, left;

	workq_key_split(key, &ns, &name);
	pod = informer_lookup(c->pods, ns, name);
	if (pod && val_str(obj_get(pod, F_spec, F_nodeName)).n)
		node = informer_lookup(c->nodes, SV(""), val_str(obj_get(pod, F_spec, F_nodeName)));
	if (!pod || !node || obj_deleting(pod) || !any_no_execute(node)) {
		forget(c, key);
		return 0;
	}
	stay = may_stay_ns(pod, node);
	if (stay == INT64_MAX) {
		forget(c, key);
		return 0;
	}
	left = affected_since(c, key) + stay - env_mono_ns(c->ctx->env);
	if (left > 0) {
		ret->after_ns = left;
		return 0;
	}
	if (eviction_evict(c, &a, pod, err) < 0)
		return -1;
	forget(c, key);
	return 0;
}

static void eviction_pod_added(struct obj *pod, void *ctx)
{
	struct taint_eviction *c = ctx;

	if (val_str(obj_get(pod, F_spec, F_nodeName)).n)
		workq_add_obj(c->q, obj_ns(pod), obj_name(pod));
}

static void eviction_pod_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_spec, F_nodeName), obj_get(neu, F_spec, F_nodeName)) ||
	    !val_equal(obj_get(old, F_spec, F_tolerations), obj_get(neu, F_spec, F_tolerations)) ||
	    !sv_eq(obj_uid(old), obj_uid(neu)))
		eviction_pod_added(neu, ctx);
}

static void eviction_pod_deleted(struct obj *pod, void *ctx)
{
	eviction_pod_added(pod, ctx); /* forgets it */
}

static void queue_pods(struct taint_eviction *c, struct obj *node)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **pods = informer_by_index(c->pods, &a, INDEX_NODE, obj_name(node), &n);

	for (size_t i = 0; i < n; i++)
		eviction_pod_added(pods[i], c);
}

static void eviction_node_added(struct obj *node, void *ctx)
{
	if (any_no_execute(node))
		queue_pods(ctx, node);
}

static void eviction_node_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if ((any_no_execute(old) || any_no_execute(neu)) &&
	    !val_equal(obj_get(old, F_spec, F_taints), obj_get(neu, F_spec, F_taints)))
		queue_pods(ctx, neu);
}

static bool eviction_ready(void *ctx)
{
	struct taint_eviction *c = ctx;

	return informer_synced(c->nodes) && informer_synced(c->pods);
}

static void *eviction_start(struct controller_ctx *ctx)
{
	struct taint_eviction *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	pthread_mutex_init(&c->lock, NULL);
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	informer_add_index(c->pods, INDEX_NODE, eviction_node_key);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "taint-eviction-controller",
							 .workers = 8,
							 .reconcile = eviction_reconcile,
							 .ctx = c,
							 .ready = eviction_ready });
	informer_add_handler(c->nodes, &(struct informer_handler){ eviction_node_added, eviction_node_updated, NULL },
			     c);
	informer_add_handler(
	    c->pods, &(struct informer_handler){ eviction_pod_added, eviction_pod_updated, eviction_pod_deleted }, c);
	return c;
}

static void eviction_stop(void *controller)
{
	struct taint_eviction *c = controller;

	workq_free(c->q);
	strmap_release_with(&c->since, free);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct controller_ops taint_eviction_controller = { "taint-eviction-controller", "node-controller",
							  eviction_start, eviction_stop };
