/* pod gc: every 20 s, pods that nobody else will clean up.
 *
 *	terminated		beyond 12,500 of them, oldest first
 *	orphaned		of a node that is gone, after 40 s of quarantine and a look at the API
 *	out of service		being deleted, of a node that is not ready and whose admin says that it is switched off
 *	terminating, unbound	being deleted and never scheduled: no kubelet will finish them
 */
#include "base/strmap.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/node_lifecycle.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdlib.h>

#define PERIOD_NS (20 * NS_PER_SEC)
#define QUARANTINE_NS (40 * NS_PER_SEC)
#define TERMINATED_MAX 12500

struct podgc {
	struct controller_ctx *ctx;
	struct informer *nodes, *pods;
	struct workq *q;
	struct strmap missing; /* node -> int64_t *: since when, monotonic; used by the one worker only */
};

/* Kills without grace. failed: first says in the status that the pod failed, and why, when there is a reason. */
static void reap(struct podgc *c, struct arena *a, struct obj *pod, bool failed, const char *why_failed)
{
	struct client_delete_opts o = { .grace_seconds = 0, .precondition_uid = obj_uid(pod) };

	if (failed && !pod_is_terminal(pod)) {
		struct client_write_opts status = { .subresource = "status" };
		struct val *doc = val_new_map(a), *st = val_set_map(a, doc, F_status);

		val_set_cstr(a, st, F_phase, "Failed");
		if (why_failed)
			condition_set(a, st,
				      &(struct condition){ .type = "DisruptionTarget",
							   .status = "True",
							   .reason = "DeletionByPodGC",
							   .message = sv_from(why_failed) },
				      env_now_ns(c->ctx->env));
		if (client_patch(c->ctx->client, RES(core_pods), obj_ns(pod), obj_name(pod), PATCH_STRATEGIC, doc,
				 &status, NULL, NULL) < 0)
			return; /* at the next pass */
	}
	(void)client_delete(c->ctx->client, RES(core_pods), obj_ns(pod), obj_name(pod), &o, NULL);
}

/* Is the node gone, for long enough, and not only from the cache? */
static bool node_gone(struct podgc *c, struct sv name)
{
	_cleanup_obj_ struct obj *node = informer_lookup(c->nodes, SV(""), name);
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t now = env_mono_ns(c->ctx->env), *since;
	void **slot;

	if (node) {
		free(strmap_del(&c->missing, name));
		return false;
	}
	slot = strmap_slot(&c->missing, name);
	if (!*slot) {
		since = *slot = xcalloc(1, sizeof(*since));
		*since = now;
	}
	since = *slot;
	if (now - *since < QUARANTINE_NS)
		return false;
	return client_get(c->ctx->client, RES(core_nodes), SV(""), name, &node, &err) < 0 &&
	       err.reason == ERR_NOT_FOUND;
}

/* Its node agent ends nothing any more, and its admin has said so. */
static bool podgc_node_off(struct podgc *c, struct sv name)
{
	_cleanup_obj_ struct obj *node = informer_lookup(c->nodes, SV(""), name);

	return node && !condition_ready(obj_root(node)) && node_out_of_service(node);
}

static int by_creation(const void *x, const void *y)
{
	const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
	int64_t ta = 0, tb = 0;

	time_get(obj_get(a, F_metadata, F_creationTimestamp), &ta);
	time_get(obj_get(b, F_metadata, F_creationTimestamp), &tb);
	if (ta != tb)
		return ta < tb ? -1 : 1;
	return sv_cmp(obj_uid(a), obj_uid(b));
}

static int podgc_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct podgc *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n, done = 0;
	struct obj **pods = informer_list(c->pods, &a, SV(""), &n), **ended = ARENA_ARRAY(&a, struct obj *, n);

	(void)key;
	(void)err;
	ret->after_ns = PERIOD_NS;
	for (size_t i = 0; i < n; i++) {
		struct sv node = val_str(obj_get(pods[i], F_spec, F_nodeName));

		if (!node.n && obj_deleting(pods[i]))
			reap(c, &a, pods[i], false, NULL);
		else if (node.n && obj_deleting(pods[i]) && podgc_node_off(c, node))
			reap(c, &a, pods[i], true, NULL);
		else if (node.n && node_gone(c, node))
			reap(c, &a, pods[i], true, "PodGC: node no longer exists");
		else if (pod_is_terminal(pods[i]) && !obj_deleting(pods[i]))
			ended[done++] = pods[i];
	}
	if (done <= TERMINATED_MAX)
		return 0;
	qsort(ended, done, sizeof(struct obj *), by_creation);
	for (size_t i = 0; i < done - TERMINATED_MAX; i++)
		reap(c, &a, ended[i], false, NULL);
	return 0;
}

static bool podgc_ready(void *ctx)
{
	struct podgc *c = ctx;

	return informer_synced(c->nodes) && informer_synced(c->pods);
}

static void *podgc_start(struct controller_ctx *ctx)
{
	struct podgc *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "pod-garbage-collector-controller",
							 .workers = 1,
							 .reconcile = podgc_reconcile,
							 .ctx = c,
							 .ready = podgc_ready });
	workq_add(c->q, SV("pods"));
	return c;
}

static void podgc_stop(void *controller)
{
	struct podgc *c = controller;

	workq_free(c->q);
	strmap_release_with(&c->missing, free);
	free(c);
}

const struct controller_ops podgc_controller = { "pod-garbage-collector-controller", "pod-garbage-collector",
						 podgc_start, podgc_stop };
