#include "controllers/hpa_calc.h"

#include "controllers/podutil.h"
#include "controllers/status.h"
#include "object/quantity.h"

#include <math.h>

#define REPLICAS_MAX ((double)INT32_MAX)

static const char none_selected[] = "no pods returned by selector while calculating replica count";

/* Pods by what their numbers are worth. */
struct groups {
	size_t ready;
	struct strmap unready, missing; /* names; of both nothing counts at first */
};

static void groups_release(struct groups *g)
{
	strmap_release(&g->unready);
	strmap_release(&g->missing);
}

static bool within(double ratio, struct hpa_tolerance t)
{
	return 1.0 - t.down <= ratio && ratio <= 1.0 + t.up;
}

/* Numbers of strangers can be as large as an int64 is, and a double that is near to that has no int64. */
static int64_t whole(double v)
{
	return (int64_t)MAX(MIN(v, 0x1p63 - 1024), -0x1p63);
}

static int64_t up_to(double replicas)
{
	return (int64_t)MAX(MIN(ceil(replicas), REPLICAS_MAX), 0.0);
}

/* Of processors: while a pod starts it is busy with that. */
static bool cpu_unready(const struct hpa_pods *p, const struct obj *pod, const struct hpa_sample *s)
{
	const struct val *ready = condition_find(obj_get(pod, F_status, F_conditions), "Ready");
	bool is_false = val_is(val_member(ready, F_status), "False");
	int64_t started, changed = 0;

	if (!ready || !time_get(obj_get(pod, F_status, F_startTime), &started))
		return true;
	time_get(val_member(ready, F_lastTransitionTime), &changed);
	if (started + HPA_CPU_STARTS_NS > p->now_ns)
		return is_false || s->at_ns < changed + s->window_ns;
	return is_false && started + HPA_READY_DELAY_NS > changed;
}

static void group_pods(struct hpa_pods *p, struct sv resource, struct groups *g)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct obj *pod = p->pods[i];
		struct sv name = obj_name(pod);
		const struct val *phase = obj_get(pod, F_status, F_phase);
		const struct hpa_sample *s = strmap_get(&p->samples, name);

		if (obj_deleting(pod) || val_is(phase, "Failed"))
			(void)strmap_del(&p->samples, name);
		else if (val_is(phase, "Pending"))
			strmap_set(&g->unready, name, p);
		else if (!s)
			strmap_set(&g->missing, name, p);
		else if (sv_is(resource, "cpu") && cpu_unready(p, pod, s))
			strmap_set(&g->unready, name, p);
		else
			g->ready++;
	}
	STRMAP_EACH(&g->unready, e)
		(void)strmap_del(&p->samples, sv_make(e->key, e->key_n));
}

static void sample_set(struct arena *a, struct hpa_pods *p, struct sv name, int64_t value)
{
	struct hpa_sample *s = ARENA_NEW(a, struct hpa_sample);

	s->value = value;
	strmap_set(&p->samples, name, s);
}

/* What is not known is taken to speak against what would be done. fallback: what a missing pod has when fewer are
 * wanted; by name, or the same for all. */
static void fill_in(struct arena *a, struct hpa_pods *p, const struct groups *g, double ratio,
		    const struct strmap *requests, int64_t same)
{
	STRMAP_EACH(&g->missing, e) {
		struct sv name = sv_make(e->key, e->key_n);
		const int64_t *request = requests ? strmap_get(requests, name) : NULL;

		if (ratio < 1.0)
			sample_set(a, p, name, requests ? (request ? *request : 0) : same);
		else if (ratio > 1.0 || !requests)
			sample_set(a, p, name, 0);
	}
	if (ratio > 1.0)
		STRMAP_EACH(&g->unready, e)
			sample_set(a, p, sv_make(e->key, e->key_n), 0);
}

/* The sum of the samples can be more than an int64 has. */
static double sum_of(const struct hpa_pods *p, const struct strmap *requests, double *ret_requests, size_t *ret_n)
{
	double sum = 0, asked = 0;
	size_t n = 0;

	STRMAP_EACH(&p->samples, e) {
		const struct hpa_sample *s = e->value;
		const int64_t *request = requests ? strmap_get(requests, sv_make(e->key, e->key_n)) : NULL;

		if (requests && !request)
			continue; /* a pod that is no more */
		sum += (double)s->value;
		asked += request ? (double)*request : 0;
		n++;
	}
	if (ret_requests)
		*ret_requests = asked;
	*ret_n = n;
	return sum;
}

/* Which way it goes must not turn by what was filled in. */
static int64_t decide(double first, double again, size_t n, int64_t current, struct hpa_tolerance t)
{
	int64_t wanted = up_to(again * (double)n);

	if (within(again, t) || (first < 1.0 && again > 1.0) || (first > 1.0 && again < 1.0))
		return current;
	if ((again < 1.0 && wanted > current) || (again > 1.0 && wanted < current))
		return current;
	return wanted;
}

/* --- what pods ask for --- */

static bool request_of(const struct val *container, struct sv resource, int64_t *ret)
{
	const struct val *q = val_member_sv(val_get(container, F_resources, F_requests), resource);

	return q && quantity_milli(val_str(q), ret);
}

static int missing_request(struct err *err, struct sv resource, const struct val *container, const struct obj *pod)
{
	return err_set(err, ERR_INVALID, "missing request for %.*s in container %.*s of Pod %.*s", SV_ARG(resource),
		       SV_ARG(val_get_str(container, F_name)), SV_ARG(obj_name(pod)));
}

static int pod_request(const struct obj *pod, struct sv resource, struct sv container, int64_t *ret, struct err *err)
{
	static const enum sym lists[] = { F_containers, F_initContainers };
	const struct val *spec = obj_get(pod, F_spec);
	const struct val *whole = val_member_sv(val_get(spec, F_resources, F_requests), resource);
	bool found = false;
	int64_t one;

	*ret = 0;
	if (whole && !container.n) /* what the pod asks for as one */
		return quantity_milli(val_str(whole), ret) ? 0 : err_set(err, ERR_INVALID, "malformed request");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_member(spec, lists[i]), c) {
			if (i && !val_is(val_member(c, F_restartPolicy), "Always"))
				continue; /* gone by now */
			if (container.n && !sv_eq(val_get_str(c, F_name), container))
				continue;
			if (!request_of(c, resource, &one))
				return missing_request(err, resource, c, pod);
			if (__builtin_add_overflow(*ret, one, ret))
				*ret = INT64_MAX;
			found = true;
		}
	return found || !container.n ? 0
				     : err_set(err, ERR_INVALID, "container %.*s not found in Pod %.*s",
					       SV_ARG(container), SV_ARG(obj_name(pod)));
}

static int requests_of(struct arena *a, const struct hpa_pods *p, struct sv resource, struct sv container,
		       struct strmap *ret, struct err *err)
{
	for (size_t i = 0; i < p->n; i++) {
		int64_t *r = ARENA_NEW(a, int64_t);

		if (pod_request(p->pods[i], resource, container, r, err) < 0)
			return -1;
		strmap_set(ret, obj_name(p->pods[i]), r);
	}
	return 0;
}

/* --- the four ways --- */

static int percent_now(const struct hpa_pods *p, const struct strmap *requests, struct hpa_wish *ret, struct err *err)
{
	double asked;
	size_t n;
	double sum = sum_of(p, requests, &asked, &n);

	if (asked <= 0)
		return err_set(err, ERR_INVALID, "no metrics returned matched known pods");
	ret->percent = (int64_t)MAX(MIN(sum * 100 / asked, REPLICAS_MAX), 0.0);
	ret->average = whole(sum / (double)n);
	return 0;
}

static int utilization_of(struct arena *a, struct hpa_pods *p, struct sv resource, int64_t percent, int64_t current,
			  struct hpa_tolerance t, const struct strmap *requests, struct groups *g, struct hpa_wish *ret,
			  struct err *err)
{
	struct hpa_wish filled = { 0 };
	double ratio;

	group_pods(p, resource, g);
	if (!p->samples.n)
		return err_set(err, ERR_INVALID, "did not receive metrics for targeted pods (pods might be unready)");
	if (percent_now(p, requests, ret, err) < 0)
		return -1;
	ratio = (double)ret->percent / (double)percent;
	if (!(g->unready.n && ratio > 1.0) && !g->missing.n) {
		ret->replicas = within(ratio, t) ? current : up_to(ratio * (double)g->ready);
		return 0;
	}
	fill_in(a, p, g, ratio, requests, 0);
	if (percent_now(p, requests, &filled, err) < 0)
		return -1;
	ret->replicas = decide(ratio, (double)filled.percent / (double)percent, p->samples.n, current, t);
	return 0;
}

int hpa_by_utilization(struct arena *a, struct hpa_pods *p, struct sv resource, struct sv container, int64_t percent,
		       int64_t current, struct hpa_tolerance t, struct hpa_wish *ret, struct err *err)
{
	struct groups g = { 0 };
	struct strmap requests = STRMAP_INIT;
	int rc = -1;

	if (!p->n)
		err_set(err, ERR_INVALID, "%s", none_selected);
	else if (requests_of(a, p, resource, container, &requests, err) == 0)
		rc = utilization_of(a, p, resource, percent, current, t, &requests, &g, ret, err);
	groups_release(&g);
	strmap_release(&requests);
	return rc;
}

static double average_now(const struct hpa_pods *p, int64_t target, struct hpa_wish *ret)
{
	size_t n;
	double sum = sum_of(p, NULL, NULL, &n);

	ret->average = whole(sum / (double)n);
	return (double)ret->average / (double)target;
}

int hpa_by_average(struct arena *a, struct hpa_pods *p, struct sv resource, int64_t target, int64_t current,
		   struct hpa_tolerance t, struct hpa_wish *ret, struct err *err)
{
	struct groups g = { 0 };
	struct hpa_wish filled;
	double ratio;
	int rc = -1;

	if (!p->n)
		return err_set(err, ERR_INVALID, "%s", none_selected);
	group_pods(p, resource, &g);
	if (!p->samples.n) {
		err_set(err, ERR_INVALID, "did not receive metrics for targeted pods (pods might be unready)");
	} else {
		rc = 0;
		ratio = average_now(p, target, ret);
		if (!(g.unready.n && ratio > 1.0) && !g.missing.n) {
			ret->replicas = within(ratio, t) ? current : up_to(ratio * (double)g.ready);
		} else {
			fill_in(a, p, &g, ratio, NULL, target);
			ret->replicas = decide(ratio, average_now(p, target, &filled), p->samples.n, current, t);
		}
	}
	groups_release(&g);
	return rc;
}

int hpa_by_value(const struct hpa_pods *p, int64_t value, int64_t target, int64_t current, struct hpa_tolerance t,
		 struct hpa_wish *ret, struct err *err)
{
	double ratio = (double)value / (double)target;
	size_t ready = 0;

	ret->average = value;
	ret->replicas = current;
	if (!current) { /* from none, which nobody can be ready of */
		ret->replicas = up_to(ratio);
		return 0;
	}
	if (within(ratio, t))
		return 0;
	if (!p->n)
		return err_set(err, ERR_INVALID, "unable to calculate ready pods: %s", none_selected);
	for (size_t i = 0; i < p->n; i++)
		ready += val_is(obj_get(p->pods[i], F_status, F_phase), "Running") && pod_is_ready(p->pods[i]);
	ret->replicas = up_to(ratio * (double)ready);
	return 0;
}

void hpa_by_share(int64_t value, int64_t target, int64_t replicas, struct hpa_tolerance t, struct hpa_wish *ret)
{
	double ratio = replicas ? (double)value / ((double)target * (double)replicas) : 2.0 + t.up;

	ret->replicas = within(ratio, t) ? replicas : up_to((double)value / (double)target);
	ret->average = replicas ? whole(ceil((double)value / (double)replicas)) : 0;
}
