/* HorizontalPodAutoscalers: every fifteen seconds the number of replicas of what each names, by what its metrics say.
 *
 *	scale of the target ─▶ metrics, one by one ─▶ the highest wish ─▶ windows, rates, bounds ─▶ scale, status
 *
 * What is asked of whom is in hpa_metrics, what the numbers ask for in hpa_calc, how fast and how far in hpa_limits. A
 * metric that cannot be had never makes the target smaller. Behaviour, conditions and words are upstream's.
 */
#include "base/log.h"
#include "base/percent.h"
#include "base/strmap.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/hpa_limits.h"
#include "controllers/hpa_metrics.h"
#include "controllers/status.h"
#include "object/quantity.h"
#include "object/selector.h"

#include <pthread.h>
#include <stdlib.h>

#define PERIOD_NS (15 * NS_PER_SEC) /* upstream's --horizontal-pod-autoscaler-sync-period */

struct hpas {
	struct controller_ctx *ctx;
	struct informer *hpas, *pods;
	struct workq *q;
	pthread_mutex_t lock;	 /* of the map; a history is its key's run's */
	struct strmap histories; /* key -> struct hpa_history *, owned */
};

/* One look at one. */
struct hrun {
	struct hpas *c;
	struct arena *a;
	struct obj *hpa;
	struct val *doc, *st; /* the copy that is written, and its status */
	const struct val *spec;
	struct hpa_history *h;
	const struct api_set *kinds;
	const struct resource *target;
	const struct val *scale;
	const char *scale_path;
	int64_t current, min, max;
	struct val *metrics; /* status.currentMetrics */
};

static void hpa_event(struct hrun *r, const char *type, const char *reason, const char *fmt, ...) _printf_(4, 5);
static void hpa_event(struct hrun *r, const char *type, const char *reason, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	recorder_event(r->c->ctx->recorder, RES(autoscaling_horizontalpodautoscalers), obj_root(r->hpa), type, reason,
		       "%s", buf_cstr(&b));
}

static void hpa_condition(struct hrun *r, const char *type, const char *status, const char *reason, struct sv message)
{
	condition_set(r->a, r->st,
		      &(struct condition){ .type = type, .status = status, .reason = reason, .message = message },
		      env_now_ns(r->c->ctx->env));
}

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
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (hpa_target(r, err) < 0)
		return -1;
	buf_printf(&b, "%s%s%s/%s/namespaces/", *r->target->group ? "/apis/" : "/api", r->target->group, "",
		   r->target->version);
	percent_encode(&b, obj_ns(r->hpa), PERCENT_UNRESERVED);
	buf_printf(&b, "/%s/", r->target->plural);
	percent_encode(&b, val_get_str(r->spec, F_scaleTargetRef, F_name), PERCENT_UNRESERVED);
	buf_adds(&b, "/scale");
	if (client_get_doc(r->c->ctx->client, r->a, buf_cstr(&b), &r->scale, err) < 0)
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

/* --- metrics --- */

/* What a metric asks for, and what it is called. */
struct wish {
	struct hpa_wish w;
	const char *metric;
};

struct source {
	const char *type;   /* "Resource" */
	enum sym member;    /* F_resource */
	const char *reason; /* of the condition when it cannot be had */
	int (*read)(struct hrun *r, const struct val *m, struct hpa_source *s, struct hpa_pods *p,
		    struct hpa_tolerance t, struct wish *ret, struct val *now, struct err *err);
};

static void put_milli(struct hrun *r, struct val *map, enum sym key, int64_t milli)
{
	val_set_str(r->a, map, key, quantity_from_milli(r->a, milli));
}

static struct val *now_of(struct hrun *r, struct val *now)
{
	return val_ensure_map(r->a, now, F_current);
}

static int64_t milli_of(const struct val *target, enum sym key)
{
	int64_t v = 0;

	return quantity_milli(val_str(val_member(target, key)), &v) ? MAX(v, 1) : 1;
}

static int resource_of(struct hrun *r, const struct val *m, struct sv container, struct hpa_source *s,
		       struct hpa_pods *p, struct hpa_tolerance t, struct wish *ret, struct val *now, struct err *err)
{
	const struct val *target = val_get(m, F_target);
	struct sv name = val_get_str(m, F_name);
	const char *what = container.n ? "container resource" : "resource";
	int rc = hpa_get_resource(s, name, container, p, err);

	if (rc == 0 && val_member(target, F_averageValue)) {
		rc = hpa_by_average(r->a, p, name, milli_of(target, F_averageValue), r->current, t, &ret->w, err);
		ret->metric = arena_printf(r->a, "%.*s %s", SV_ARG(name), what);
	} else if (rc == 0) {
		int64_t percent = MAX(val_get_int(target, 1, F_averageUtilization), 1);

		rc = hpa_by_utilization(r->a, p, name, container, percent, r->current, t, &ret->w, err);
		ret->metric = arena_printf(r->a, "%.*s %s utilization (percentage of request)", SV_ARG(name), what);
	}
	if (rc < 0)
		return err_wrap(err, "failed to get %.*s utilization", SV_ARG(name));
	val_set_str(r->a, now, F_name, name);
	if (container.n)
		val_set_str(r->a, now, F_container, container);
	if (!val_member(target, F_averageValue))
		val_set_int(r->a, now_of(r, now), F_averageUtilization, ret->w.percent);
	put_milli(r, now_of(r, now), F_averageValue, ret->w.average);
	return 0;
}

static int read_resource(struct hrun *r, const struct val *m, struct hpa_source *s, struct hpa_pods *p,
			 struct hpa_tolerance t, struct wish *ret, struct val *now, struct err *err)
{
	return resource_of(r, m, SV(""), s, p, t, ret, now, err);
}

static int read_container(struct hrun *r, const struct val *m, struct hpa_source *s, struct hpa_pods *p,
			  struct hpa_tolerance t, struct wish *ret, struct val *now, struct err *err)
{
	return resource_of(r, m, val_get_str(m, F_container), s, p, t, ret, now, err);
}

static void put_metric(struct hrun *r, struct val *now, const struct val *m)
{
	val_set(r->a, now, F_metric, val_clone(r->a, val_get(m, F_metric)));
}

static int read_pods(struct hrun *r, const struct val *m, struct hpa_source *s, struct hpa_pods *p,
		     struct hpa_tolerance t, struct wish *ret, struct val *now, struct err *err)
{
	const struct val *metric = val_get(m, F_metric);
	int64_t target = milli_of(val_get(m, F_target), F_averageValue);

	if (hpa_get_pods(s, metric, p, err) < 0 ||
	    hpa_by_average(r->a, p, SV(""), target, r->current, t, &ret->w, err) < 0)
		return err_wrap(err, "failed to get pods metric value");
	ret->metric = arena_printf(r->a, "pods metric %.*s", SV_ARG(val_get_str(metric, F_name)));
	put_metric(r, now, m);
	put_milli(r, now_of(r, now), F_averageValue, ret->w.average);
	return 0;
}

/* One number, as a value for all or each pod's share of it. */
static int one_number(struct hrun *r, const struct val *m, int64_t value, const struct hpa_pods *p,
		      struct hpa_tolerance t, struct wish *ret, struct val *now, struct err *err)
{
	const struct val *target = val_get(m, F_target);
	bool share = val_member(target, F_averageValue) != NULL;

	if (share)
		hpa_by_share(value, milli_of(target, F_averageValue), val_get_int(r->scale, 0, F_status, F_replicas), t,
			     &ret->w);
	else if (hpa_by_value(p, value, milli_of(target, F_value), r->current, t, &ret->w, err) < 0)
		return -1;
	put_metric(r, now, m);
	put_milli(r, now_of(r, now), share ? F_averageValue : F_value, ret->w.average);
	return 0;
}

static int read_object(struct hrun *r, const struct val *m, struct hpa_source *s, struct hpa_pods *p,
		       struct hpa_tolerance t, struct wish *ret, struct val *now, struct err *err)
{
	const struct val *described = val_get(m, F_describedObject);
	int64_t value;

	if (hpa_get_object(s, val_get(m, F_metric), described, &value, err) < 0 ||
	    one_number(r, m, value, p, t, ret, now, err) < 0)
		return err_wrap(err, "failed to get object metric value");
	ret->metric = arena_printf(r->a, "%.*s metric %.*s", SV_ARG(val_get_str(described, F_kind)),
				   SV_ARG(val_get_str(m, F_metric, F_name)));
	val_set(r->a, now, F_describedObject, val_clone(r->a, described));
	return 0;
}

static int read_external(struct hrun *r, const struct val *m, struct hpa_source *s, struct hpa_pods *p,
			 struct hpa_tolerance t, struct wish *ret, struct val *now, struct err *err)
{
	struct sv name = val_get_str(m, F_metric, F_name);
	int64_t value;

	if (hpa_get_external(s, val_get(m, F_metric), &value, err) < 0 ||
	    one_number(r, m, value, p, t, ret, now, err) < 0)
		return err_wrap(err, "failed to get %.*s external metric", SV_ARG(name));
	ret->metric = arena_printf(r->a, "external metric %.*s", SV_ARG(name));
	return 0;
}

static const struct source sources[] = {
	{ "Resource", F_resource, "FailedGetResourceMetric", read_resource },
	{ "ContainerResource", F_containerResource, "FailedGetContainerResourceMetric", read_container },
	{ "Pods", F_pods, "FailedGetPodsMetric", read_pods },
	{ "Object", F_object, "FailedGetObjectMetric", read_object },
	{ "External", F_external, "FailedGetExternalMetric", read_external },
};

static const struct source *source_of(const struct val *metric)
{
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		if (val_is(val_member(metric, F_type), sources[i].type))
			return &sources[i];
	return NULL;
}

/* The pods that the target selects, as the cache has them. */
static void select_pods(struct hrun *r, const struct selector *sel, struct hpa_pods *p)
{
	size_t n;
	struct obj **pods = informer_list(r->c->pods, r->a, obj_ns(r->hpa), &n);

	p->pods = ARENA_ARRAY(r->a, struct obj *, n + 1);
	p->n = 0;
	for (size_t i = 0; i < n; i++)
		if (selector_matches(sel, obj_labels(pods[i])))
			p->pods[p->n++] = pods[i];
	p->now_ns = env_now_ns(r->c->ctx->env);
}

/* One of spec.metrics. -1: it cannot be had; said. */
static int read_metric(struct hrun *r, const struct val *metric, const struct selector *sel, struct hpa_source *s,
		       struct wish *ret, const char **ret_reason, struct err *err)
{
	const struct val *behavior = val_get(r->spec, F_behavior);
	struct hpa_tolerance t = { hpa_tolerance_of(behavior, true), hpa_tolerance_of(behavior, false) };
	const struct source *source = source_of(metric);
	struct hpa_pods p = { 0 };
	struct val *now = val_new_map(r->a), *status = val_new_map(r->a);
	int rc;

	if (!source) {
		*ret_reason = "InvalidMetricSourceType";
		return err_set(err, ERR_INVALID, "unknown metric source type \"%.*s\"",
			       SV_ARG(val_get_str(metric, F_type)));
	}
	*ret_reason = source->reason;
	select_pods(r, sel, &p);
	rc = source->read(r, val_member(metric, source->member), s, &p, t, ret, now, err);
	strmap_release(&p.samples);
	if (rc < 0) {
		hpa_event(r, "Warning", source->reason, "%s", err_msg(err));
		return -1;
	}
	val_set_cstr(r->a, status, F_type, source->type);
	val_set(r->a, status, source->member, now);
	val_push(r->a, r->metrics, status);
	return 0;
}

static int hpa_selector(struct hrun *r, const struct selector **ret, struct err *err)
{
	struct sv text = val_get_str(r->scale, F_status, F_selector);

	if (!text.n) {
		hpa_event(r, "Warning", "SelectorRequired", "selector is required");
		hpa_condition(r, "ScalingActive", "False", "InvalidSelector",
			      SV("the HPA target's scale is missing a selector"));
		return err_set(err, ERR_INVALID, "selector is required");
	}
	*ret = selector_parse(r->a, text, err);
	if (*ret)
		return 0;
	err_wrap(err, "couldn't convert selector into a corresponding internal selector object");
	hpa_event(r, "Warning", "InvalidSelector", "%s", err_msg(err));
	hpa_condition(r, "ScalingActive", "False", "InvalidSelector", arena_sv(r->a, sv_from(err_msg(err))));
	return -1;
}

/* The highest wish of all. One that cannot be had counts against making it smaller. */
static int read_metrics(struct hrun *r, struct wish *ret, struct err *err)
{
	const struct val *list = val_get(r->spec, F_metrics);
	struct hpa_source s = { .client = r->c->ctx->client,
				.a = r->a,
				.ns = obj_ns(r->hpa),
				.selector = val_get_str(r->scale, F_status, F_selector),
				.kinds = r->kinds };
	_cleanup_(err_release) struct err first = ERR_INIT;
	const char *first_reason = NULL;
	const struct selector *sel;
	size_t failed = 0;

	if (hpa_selector(r, &sel, err) < 0)
		return -1;
	ret->w.replicas = -1;
	VAL_EACH(list, m) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		struct wish one = { 0 };
		const char *reason;

		if (read_metric(r, m, sel, &s, &one, &reason, &why) < 0) {
			if (!failed++) {
				first_reason = reason;
				err_copy(&first, &why);
			}
		} else if (one.w.replicas > ret->w.replicas) {
			*ret = one;
		}
	}
	if (failed && (failed == val_len(list) || ret->w.replicas < r->current)) {
		hpa_condition(r, "ScalingActive", "False", first_reason,
			      arena_svf(r->a, "the HPA was unable to compute the replica count: %s", err_msg(&first)));
		return err_set(err, ERR_UNAVAILABLE, "invalid metrics (%zu invalid out of %zu), first error is: %s",
			       failed, val_len(list), err_msg(&first));
	}
	hpa_condition(r, "ScalingActive", "True", "ValidMetricFound",
		      arena_svf(r->a, "the HPA was able to successfully calculate a replica count from %s",
				ret->metric ? ret->metric : ""));
	return 0;
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
		if (read_metrics(r, &wish, err) < 0)
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
