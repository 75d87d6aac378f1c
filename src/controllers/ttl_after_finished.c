/* ttl after finished: deletes Jobs ttlSecondsAfterFinished after they completed or failed. */
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/status.h"

#include <stdlib.h>

struct ttl {
	struct controller_ctx *ctx;
	struct informer *jobs;
	struct workq *q;
};

/* When it ended; false while it runs. */
static bool ended(const struct obj *job, int64_t *ret_ns)
{
	static const char *const types[] = { "Complete", "Failed" };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const struct val *c = condition_find(obj_get(job, F_status, F_conditions), types[i]);

		if (val_is(val_member(c, F_status), "True"))
			return time_get(val_member(c, F_lastTransitionTime), ret_ns);
	}
	return false;
}

static int ttl_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct ttl *c = ctx;
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	_cleanup_obj_ struct obj *job = NULL, *now = NULL;
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct val *seconds;
	struct sv ns, name;
	int64_t at, left;

	workq_key_split(key, &ns, &name);
	job = informer_lookup(c->jobs, ns, name);
	seconds = obj_get(job, F_spec, F_ttlSecondsAfterFinished);
	if (!job || val_type(seconds) != VAL_INT || obj_deleting(job) || !ended(job, &at))
		return 0;
	left = at + seconds->i * NS_PER_SEC - env_now_ns(c->ctx->env);
	if (left > 0) {
		ret->after_ns = left;
		return 0;
	}
	/* Somebody may have asked for more time just now. */
	if (client_get(c->ctx->client, RES(batch_jobs), ns, name, &now, &why) < 0)
		return why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	if (!obj_same_version(job, now))
		return 0; /* its event brings us back */
	o.propagation = "Foreground";
	o.precondition_uid = obj_uid(job);
	if (client_delete(c->ctx->client, RES(batch_jobs), ns, name, &o, &why) < 0 && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static void job_added(struct obj *job, void *ctx)
{
	struct ttl *c = ctx;
	int64_t at;

	if (val_type(obj_get(job, F_spec, F_ttlSecondsAfterFinished)) == VAL_INT && ended(job, &at))
		workq_add_obj(c->q, obj_ns(job), obj_name(job));
}

static void ttl_job_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	job_added(neu, ctx);
}

static bool ttl_ready(void *ctx)
{
	return informer_synced(((struct ttl *)ctx)->jobs);
}

static void *ttl_start(struct controller_ctx *ctx)
{
	struct ttl *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->jobs = informer_get(ctx->informers, RES(batch_jobs), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "ttl-after-finished-controller",
							 .workers = 1,
							 .reconcile = ttl_reconcile,
							 .ctx = c,
							 .ready = ttl_ready });
	informer_add_handler(c->jobs, &(struct informer_handler){ .add = job_added, .update = ttl_job_updated }, c);
	return c;
}

static void ttl_stop(void *controller)
{
	struct ttl *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops ttl_after_finished_controller = { "ttl-after-finished-controller",
							      "ttl-after-finished-controller", ttl_start, ttl_stop };
