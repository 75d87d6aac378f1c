/* HorizontalPodAutoscalers: every fifteen seconds the number of replicas of what each names, by what its metrics say.
 *
 *	scale of the target ─▶ metrics, one by one ─▶ the highest wish ─▶ windows, rates, bounds ─▶ scale, status
 *
 * Whom the numbers are asked of is in hpa_metrics, how each metric is read in hpa_read, what the numbers ask for in
 * hpa_calc, how fast and how far in hpa_limits. A metric that cannot be had never makes the target smaller. Behaviour,
 * conditions and words are upstream's.
 */
#include "base/strmap.h"
#include "controllers/hpa-internal.h"
#include "controllers/owner_scale.h"
#include "controllers/status.h"

#include <stdlib.h>

#define PERIOD_NS (15 * NS_PER_SEC) /* upstream's --horizontal-pod-autoscaler-sync-period */

/* --- the target --- */

static int hpa_target(struct hrun *r, struct err *err)
{
	const struct val *ref = val_get(r->spec, F_scaleTargetRef);
	struct sv group = SV(""), version = SV("");

	if (!api_version_split(val_get_str(ref, F_apiVersion), &group, &version))
		return err_set(err, ERR_INVALID, "unexpected GroupVersion string: %.*s",
			       SV_ARG(val_get_str(ref, F_apiVersion)));
	r->target = api_find_kind(r->kinds, group, version, val_get_str(ref, F_kind));
	if (!r->target) /* any version of it will do */
		r->target = api_find_kind(r->kinds, group, SV(""), val_get_str(ref, F_kind));
	if (!r->target)
		return err_set(err, ERR_NOT_FOUND, "no matches for kind \"%.*s\" in group \"%.*s\"",
			       SV_ARG(val_get_str(ref, F_kind)), SV_ARG(group));
	return 0;
}

static int get_scale(struct hrun *r, struct err *err)
{
	if (hpa_target(r, err) < 0 || scale_read(r->c->ctx->client, r->a, r->target, obj_ns(r->hpa),
						 val_get_str(r->spec, F_scaleTargetRef, F_name), &r->scale, err) < 0)
		return -1;
	r->current = val_get_int(r->scale, 0, F_spec, F_replicas);
	return 0;
}

static int put_scale(struct hrun *r, int64_t n, struct err *err)
{
	struct val *doc = val_clone(r->a, r->scale);

	val_set_int(r->a, val_ensure_map(r->a, doc, F_spec), F_replicas, n);
	return client_update(r->c->ctx->client, r->target, doc, &(struct client_write_opts){ .subresource = "scale" },
			     NULL, err);
}

/* --- the status --- */

static int hpa_put_status(struct hrun *r, int64_t desired, struct err *err)
{
	val_set_int(r->a, r->st, F_currentReplicas, r->current);
	val_set_int(r->a, r->st, F_desiredReplicas, desired);
	status_int(r->a, r->st, F_observedGeneration, val_int_or(obj_get(r->hpa, F_metadata, F_generation), 0));
	if (val_len(r->metrics))
		val_set(r->a, r->st, F_currentMetrics, r->metrics);
	if (val_equal(val_get(r->doc, F_status), obj_get(r->hpa, F_status)))
		return 0;
	if (client_update_status(r->c->ctx->client, RES(autoscaling_horizontalpodautoscalers), r->doc, NULL, err) < 0)
		return err->reason == ERR_NOT_FOUND || err->reason == ERR_CONFLICT ? err_forgive(err) : -1;
	return 0;
}

/* --- one look --- */

static void said(struct hrun *r, const char *type, const struct hpa_said *s)
{
	hpa_condition(r, type, s->status, s->reason, sv_from(s->message));
}

/* How many there should be, and why. -1: nobody can say; the status does. */
static int decide_replicas(struct hrun *r, const struct hpa_bounds *b, int64_t *ret, const char **ret_why,
			   struct err *err)
{
	struct hpa_said able, limited;
	struct wish wish = { 0 };

	*ret = r->current;
	*ret_why = "";
	if (!r->current && r->min) {
		hpa_condition(r, "ScalingActive", "False", "ScalingDisabled",
			      SV("scaling is disabled since the replica count of the target is zero"));
	} else if (r->current > r->max) {
		*ret = r->max;
		*ret_why = "Current number of replicas above Spec.MaxReplicas";
	} else if (r->current < r->min) {
		*ret = r->min;
		*ret_why = "Current number of replicas below Spec.MinReplicas";
	} else {
		if (hpa_read(r, &wish, err) < 0)
			return -1;
		if (wish.w.replicas > r->current)
			*ret_why = arena_printf(r->a, "%s above target", wish.metric);
		else if (wish.w.replicas < r->current)
			*ret_why = "All metrics below target";
		*ret = hpa_limit(r->h, b, wish.w.replicas, &able, &limited);
		said(r, "AbleToScale", &able);
		said(r, "ScalingLimited", &limited);
	}
	return 0;
}

static int rescale(struct hrun *r, const struct hpa_bounds *b, int64_t n, const char *why, struct err *err)
{
	if (put_scale(r, n, err) < 0) {
		hpa_event(r, "Warning", "FailedRescale", "New size: %" PRId64 "; reason: %s; error: %s", n, why,
			  err_msg(err));
		hpa_condition(
		    r, "AbleToScale", "False", "FailedUpdateScale",
		    arena_svf(r->a, "the HPA controller was unable to update the target scale: %s", err_msg(err)));
		return -1;
	}
	hpa_condition(r, "AbleToScale", "True", "SucceededRescale",
		      arena_svf(r->a, "the HPA controller was able to update the target scale to %" PRId64, n));
	hpa_event(r, "Normal", "SuccessfulRescale", "New size: %" PRId64 "; reason: %s", n, why);
	hpa_changed(r->h, b, n);
	val_set_str(r->a, r->st, F_lastScaleTime, time_text(r->a, env_now_ns(r->c->ctx->env)));
	return 0;
}

/* It comes again in its time whatever failed: what failed is in the status and its event. */
static int hpa_failed(struct hrun *r, struct err *why, struct err *err)
{
	int rc = hpa_put_status(r, val_get_int(r->st, 0, F_desiredReplicas), err);

	err_release(why);
	return rc;
}

static int hpa_look(struct hrun *r, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct hpa_bounds b;
	const char *reason;
	int64_t wanted;

	if (get_scale(r, &why) < 0) {
		hpa_event(r, "Warning", "FailedGetScale", "%s", err_msg(&why));
		hpa_condition(r, "AbleToScale", "False", "FailedGetScale",
			      arena_svf(r->a, "the HPA controller was unable to get the target's current scale: %s",
					err_msg(&why)));
		return hpa_failed(r, &why, err);
	}
	hpa_condition(r, "AbleToScale", "True", "SucceededGetScale",
		      SV("the HPA controller was able to get the target's current scale"));
	b = (struct hpa_bounds){ r->min, r->max, r->current, val_get(r->spec, F_behavior),
				 env_mono_ns(r->c->ctx->env) };
	if (!r->h->asked.n)
		vec_push(&r->h->asked, ((struct hpa_then){ r->current, b.now_ns }));
	if (decide_replicas(r, &b, &wanted, &reason, &why) < 0) {
		hpa_event(r, "Warning", "FailedComputeMetricsReplicas", "%s", err_msg(&why));
		return hpa_failed(r, &why, err);
	}
	if (wanted != r->current && rescale(r, &b, wanted, reason, &why) < 0)
		return hpa_failed(r, &why, err);
	return hpa_put_status(r, wanted, err);
}

/* --- the queue --- */

static void hpa_history_free(void *p)
{
	hpa_history_release(p);
	free(p);
}

static struct hpa_history *hpa_history_of(struct hpas *c, struct sv key)
{
	void **slot;

	pthread_mutex_lock(&c->lock);
	slot = strmap_slot(&c->histories, key);
	if (!*slot)
		*slot = xcalloc(1, sizeof(struct hpa_history));
	pthread_mutex_unlock(&c->lock);
	return *slot;
}

static void hpa_history_drop(struct hpas *c, struct sv key)
{
	struct hpa_history *h;

	pthread_mutex_lock(&c->lock);
	h = strmap_del(&c->histories, key);
	pthread_mutex_unlock(&c->lock);
	if (h)
		hpa_history_free(h);
}

static int hpa_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct hpas *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *hpa = NULL;
	struct hrun r = { .c = c, .a = &a };
	struct sv ns, name;
	int rc;

	workq_key_split(key, &ns, &name);
	hpa = informer_lookup(c->hpas, ns, name);
	if (!hpa) {
		hpa_history_drop(c, key);
		return 0;
	}
	r.hpa = hpa;
	r.h = hpa_history_of(c, key);
	r.doc = obj_edit(&a, hpa);
	r.st = val_ensure_map(&a, r.doc, F_status);
	r.spec = obj_get(hpa, F_spec);
	r.min = val_get_int(r.spec, 1, F_minReplicas);
	r.max = val_get_int(r.spec, 1, F_maxReplicas);
	r.metrics = val_new_list(&a);
	r.kinds = api_current_get(c->ctx->opts->kinds);
	ret->after_ns = PERIOD_NS;
	rc = hpa_look(&r, err);
	api_set_unref(r.kinds);
	return rc;
}

static void hpa_added(struct obj *o, void *ctx)
{
	workq_add_obj(((struct hpas *)ctx)->q, obj_ns(o), obj_name(o));
}

/* Its own status, which it has just written, is no news. */
static void hpa_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_spec), obj_get(neu, F_spec)))
		hpa_added(neu, ctx);
}

static bool hpa_ready(void *ctx)
{
	struct hpas *c = ctx;

	return informer_synced(c->hpas) && informer_synced(c->pods);
}

static void *hpa_start(struct controller_ctx *ctx)
{
	struct hpas *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	pthread_mutex_init(&c->lock, NULL);
	c->hpas = informer_get(ctx->informers, RES(autoscaling_horizontalpodautoscalers), NULL, NULL, NULL);
	c->pods = informer_get(ctx->informers, RES(core_pods), NULL, NULL, NULL);
	/* Servers of metrics decide how long it lasts. */
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "horizontalpodautoscaler",
							 .class = ENV_SLOW,
							 .workers = 5,
							 .reconcile = hpa_reconcile,
							 .ctx = c,
							 .ready = hpa_ready });
	informer_add_handler(c->hpas, &(struct informer_handler){ hpa_added, hpa_updated, hpa_added }, c);
	return c;
}

static void hpa_stop(void *controller)
{
	struct hpas *c = controller;

	workq_free(c->q);
	strmap_release_with(&c->histories, hpa_history_free);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct controller_ops hpa_controller = { "horizontal-pod-autoscaler-controller", "horizontal-pod-autoscaler",
					       hpa_start, hpa_stop };
