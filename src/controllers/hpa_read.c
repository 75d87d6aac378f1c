/* Metrics of an autoscaler, one by one: each kind of source, what it asks for, and what the status says of it. */
#include "controllers/hpa-internal.h"
#include "object/quantity.h"
#include "object/selector.h"

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

int hpa_read(struct hrun *r, struct wish *ret, struct err *err)
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
