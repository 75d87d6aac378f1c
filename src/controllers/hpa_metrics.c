#include "controllers/hpa_metrics.h"

#include "base/percent.h"
#include "base/timefmt.h"
#include "controllers/status.h"
#include "object/quantity.h"
#include "object/selector.h"

#define CUSTOM "/apis/custom.metrics.k8s.io/"
#define WINDOW_MAX_NS (3600 * NS_PER_SEC)
#define WINDOW_NS (60 * NS_PER_SEC) /* where nobody says of what time a number is */

static void put_query(struct buf *b, const char *name, struct sv value)
{
	buf_printf(b, "%s=", name);
	percent_encode(b, value, PERCENT_UNRESERVED);
}

static void put_part(struct buf *b, struct sv name)
{
	buf_addc(b, '/');
	percent_encode(b, name, PERCENT_UNRESERVED);
}

/* Bounded: it is added to times. */
static int64_t window_of(const struct val *item)
{
	int64_t ns, seconds = val_int_or(val_member_sv(item, SV("windowSeconds")), WINDOW_NS / NS_PER_SEC);

	if (!duration_parse(val_get_str(item, F_window), &ns))
		ns = MIN(MAX(seconds, 0), WINDOW_MAX_NS / NS_PER_SEC) * NS_PER_SEC;
	return MIN(MAX(ns, 0), WINDOW_MAX_NS);
}

/* The sum over its containers, or that of one. False: of one nothing is known. */
static bool usage_of(const struct val *item, struct sv resource, struct sv container, int64_t *ret)
{
	bool any = false;
	int64_t one;

	*ret = 0;
	VAL_EACH(val_get(item, F_containers), c) {
		if (container.n && !sv_eq(val_get_str(c, F_name), container))
			continue;
		if (!quantity_milli(val_str(val_member_sv(val_get(c, F_usage), resource)), &one) ||
		    __builtin_add_overflow(*ret, one, ret))
			return false;
		any = true;
	}
	return any;
}

static void put_sample(struct arena *a, struct hpa_pods *p, struct sv pod, const struct val *item, int64_t value)
{
	struct hpa_sample *s = ARENA_NEW(a, struct hpa_sample);

	s->value = value;
	s->window_ns = window_of(item);
	if (!time_get(val_get(item, F_timestamp), &s->at_ns))
		s->at_ns = p->now_ns;
	strmap_set(&p->samples, pod, s);
}

int hpa_get_resource(const struct hpa_source *s, struct sv resource, struct sv container, struct hpa_pods *p,
		     struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *list;
	int64_t value;

	buf_adds(&b, "/apis/metrics.k8s.io/v1beta1/namespaces");
	put_part(&b, s->ns);
	buf_adds(&b, "/pods?");
	put_query(&b, "labelSelector", s->selector);
	if (client_get_doc(s->client, s->a, buf_cstr(&b), &list, err) < 0)
		return err_wrap(
		    err,
		    "unable to get metrics for resource %.*s: unable to fetch metrics from resource metrics "
		    "API",
		    SV_ARG(resource));
	if (!val_len(val_get(list, F_items)))
		return err_set(err, ERR_NOT_FOUND,
			       "unable to get metrics for resource %.*s: no metrics returned from resource metrics API",
			       SV_ARG(resource));
	VAL_EACH(val_get(list, F_items), item)
		if (usage_of(item, resource, container, &value))
			put_sample(s->a, p, val_get_str(item, F_metadata, F_name), item, value);
	return 0;
}

/* The metric's own selector, where it has one, as a parameter behind '?' or '&'. */
static int put_selector(const struct hpa_source *s, struct buf *b, char behind, const char *name,
			const struct val *metric, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	const struct selector *sel;

	if (!val_member(metric, F_selector))
		return 0;
	sel = selector_from_label_selector(s->a, val_member(metric, F_selector), err);
	if (!sel)
		return -1;
	selector_format(&text, sel);
	buf_addc(b, behind);
	put_query(b, name, buf_sv(&text));
	return 0;
}

/* Of the newest version that answers; a failure is that of the first. */
static int get_custom(const struct hpa_source *s, const char *rest, const struct val **ret, struct err *err)
{
	static const char *const versions[] = { "v1beta2", "v1beta1" };
	_cleanup_(err_release) struct err second = ERR_INIT;

	if (client_get_doc(s->client, s->a, arena_printf(s->a, CUSTOM "%s/%s", versions[0], rest), ret, err) == 0)
		return 0;
	if (client_get_doc(s->client, s->a, arena_printf(s->a, CUSTOM "%s/%s", versions[1], rest), ret, &second) < 0)
		return -1;
	return err_forgive(err);
}

int hpa_get_pods(const struct hpa_source *s, const struct val *metric, struct hpa_pods *p, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv name = val_get_str(metric, F_name);
	const struct val *list;
	int64_t value;

	buf_adds(&b, "namespaces");
	put_part(&b, s->ns);
	buf_adds(&b, "/pods/*");
	put_part(&b, name);
	buf_addc(&b, '?');
	put_query(&b, "labelSelector", s->selector);
	if (put_selector(s, &b, '&', "metricLabelSelector", metric, err) < 0)
		return -1;
	if (get_custom(s, buf_cstr(&b), &list, err) < 0)
		return err_wrap(err, "unable to get metric %.*s: unable to fetch metrics from custom metrics API",
				SV_ARG(name));
	if (!val_len(val_get(list, F_items)))
		return err_set(err, ERR_NOT_FOUND,
			       "unable to get metric %.*s: no metrics returned from custom metrics API", SV_ARG(name));
	VAL_EACH(val_get(list, F_items), item)
		if (quantity_milli(val_get_str(item, F_value), &value))
			put_sample(s->a, p, val_str(val_member(val_member_sv(item, SV("describedObject")), F_name)),
				   item, value);
	return 0;
}

/* "deployments.apps", of the kind that is meant. */
static int put_described(const struct hpa_source *s, struct buf *b, const struct val *described, struct err *err)
{
	struct sv group = SV(""), version = SV("");
	const struct resource *r;

	if (val_get_str(described, F_apiVersion).n &&
	    !api_version_split(val_get_str(described, F_apiVersion), &group, &version))
		return err_set(err, ERR_INVALID, "invalid API version in scale target reference");
	r = api_find_kind(s->kinds, group, version, val_get_str(described, F_kind));
	if (!r)
		return err_set(err, ERR_NOT_FOUND, "no matches for kind \"%.*s\" in group \"%.*s\"",
			       SV_ARG(val_get_str(described, F_kind)), SV_ARG(group));
	/* Whatever is named: nothing of another namespace, nor of the cluster. An HPA must not read what its author may
	 * not (upstream: a reference is not supposed to leave its namespace). */
	buf_adds(b, "namespaces");
	put_part(b, s->ns);
	if (r == RES(core_namespaces)) { /* what is of the namespace itself stands where the name of a kind does */
		buf_adds(b, "/metrics");
		return 0;
	}
	buf_printf(b, "/%s%s%s", r->plural, *r->group ? "." : "", r->group);
	put_part(b, val_get_str(described, F_name));
	return 0;
}

int hpa_get_object(const struct hpa_source *s, const struct val *metric, const struct val *described, int64_t *ret,
		   struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv name = val_get_str(metric, F_name);
	const struct val *list;

	if (put_described(s, &b, described, err) < 0)
		return -1;
	put_part(&b, name);
	if (put_selector(s, &b, '?', "metricLabelSelector", metric, err) < 0)
		return -1;
	if (get_custom(s, buf_cstr(&b), &list, err) < 0)
		return err_wrap(err, "unable to get metric %.*s: %.*s on %.*s %.*s", SV_ARG(name),
				SV_ARG(val_get_str(described, F_kind)), SV_ARG(s->ns),
				SV_ARG(val_get_str(described, F_name)));
	if (!quantity_milli(val_get_str(val_at(val_get(list, F_items), 0), F_value), ret))
		return err_set(err, ERR_NOT_FOUND,
			       "unable to get metric %.*s: %.*s on %.*s %.*s: the custom metrics API gave no number",
			       SV_ARG(name), SV_ARG(val_get_str(described, F_kind)), SV_ARG(s->ns),
			       SV_ARG(val_get_str(described, F_name)));
	return 0;
}

int hpa_get_external(const struct hpa_source *s, const struct val *metric, int64_t *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv name = val_get_str(metric, F_name);
	const struct val *list;
	int64_t one;

	buf_adds(&b, "/apis/external.metrics.k8s.io/v1beta1/namespaces");
	put_part(&b, s->ns);
	put_part(&b, name);
	if (put_selector(s, &b, '?', "labelSelector", metric, err) < 0)
		return -1;
	if (client_get_doc(s->client, s->a, buf_cstr(&b), &list, err) < 0)
		return err_wrap(
		    err,
		    "unable to get external metric %.*s/%.*s: unable to fetch metrics from external metrics "
		    "API",
		    SV_ARG(s->ns), SV_ARG(name));
	if (!val_len(val_get(list, F_items)))
		return err_set(err, ERR_NOT_FOUND,
			       "unable to get external metric %.*s/%.*s: no metrics returned from external metrics API",
			       SV_ARG(s->ns), SV_ARG(name));
	*ret = 0;
	VAL_EACH(val_get(list, F_items), item) {
		/* One that is no number is not nothing: the sum of the others would make the target smaller. */
		if (!quantity_milli(val_get_str(item, F_value), &one))
			return err_set(
			    err, ERR_NOT_FOUND,
			    "unable to get external metric %.*s/%.*s: the external metrics API gave no number",
			    SV_ARG(s->ns), SV_ARG(name));
		if (__builtin_add_overflow(*ret, one, ret))
			*ret = INT64_MAX;
	}
	return 0;
}
