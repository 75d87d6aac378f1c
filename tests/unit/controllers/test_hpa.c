/* HorizontalPodAutoscalers: what is not known first, then the arithmetic, the limits, and all of it against the real
 * API server, whose kubelets are this file. */
#include "real.h"

#include "apiserver/webhook/webhook.h"
#include "base/timefmt.h"
#include "controllers/hpa_calc.h"
#include "controllers/hpa_limits.h"
#include "controllers/status.h"

#define NS "/api/v1/namespaces/default"
#define HPAS "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"

/* --- the arithmetic --- */

static const struct hpa_tolerance tenth = { 0.1, 0.1 };

struct calc {
	struct arena a;
	struct hpa_pods p;
	struct hpa_wish w;
	struct err err;
};

static struct calc calc_begin(void)
{
	struct calc c = { .p = { .now_ns = 10000 * NS_PER_SEC } };

	return c;
}

static void calc_end(struct calc *c)
{
	for (size_t i = 0; i < c->p.n; i++)
		obj_unref(c->p.pods[i]);
	free(c->p.pods);
	strmap_release(&c->p.samples);
	err_release(&c->err);
	arena_release(&c->a);
}

/* A pod that asks for that many thousandths of a core; use -1: nothing is known of it. */
static void calc_pod(struct calc *c, const char *name, const char *phase, const char *ready, int request, int use)
{
	const char *text = arena_printf(
	    &c->a,
	    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{%s%d%s}}]},"
	    "\"status\":{\"phase\":\"%s\",\"startTime\":\"1970-01-01T00:00:00Z\",\"conditions\":[{\"type\":\"Ready\","
	    "\"status\":\"%s\",\"lastTransitionTime\":\"1970-01-01T01:00:00Z\"}]}}",
	    name, request < 0 ? "\"none\":" : "\"requests\":{\"cpu\":\"", MAX(request, 0), request < 0 ? "" : "m\"}",
	    phase, ready);
	struct hpa_sample *s = ARENA_NEW(&c->a, struct hpa_sample);
	struct val *doc = json_decode(&c->a, sv_from(text), NULL, NULL);

	assert_non_null(doc);
	c->p.pods = xrealloc(c->p.pods, (c->p.n + 1) * sizeof(*c->p.pods));
	c->p.pods[c->p.n++] = obj_new(doc, 1);
	s->value = use;
	s->at_ns = c->p.now_ns;
	if (use >= 0)
		strmap_set(&c->p.samples, sv_from(name), s);
}

static int calc_percent(struct calc *c, int percent, int current)
{
	return hpa_by_utilization(&c->a, &c->p, SV("cpu"), SV(""), percent, current, tenth, &c->w, &c->err);
}

static void test_what_is_not_known(_unused_ void **state)
{
	struct calc c = calc_begin();

	assert_int_equal(calc_percent(&c, 50, 1), -1);
	assert_string_equal(err_msg(&c.err), "no pods returned by selector while calculating replica count");
	calc_end(&c);
	c = calc_begin();
	calc_pod(&c, "a", "Running", "True", -1, 100);
	assert_int_equal(calc_percent(&c, 50, 1), -1);
	assert_string_equal(err_msg(&c.err), "missing request for cpu in container c of Pod a");
	calc_end(&c);
	c = calc_begin();
	calc_pod(&c, "a", "Running", "True", 100, -1);
	assert_int_equal(calc_percent(&c, 50, 1), -1);
	assert_string_equal(err_msg(&c.err), "did not receive metrics for targeted pods (pods might be unready)");
	calc_end(&c);
	/* Of one of three nothing is known: it speaks against both directions. */
	c = calc_begin();
	calc_pod(&c, "a", "Running", "True", 100, 60);
	calc_pod(&c, "b", "Running", "True", 100, 60);
	calc_pod(&c, "c", "Running", "True", 100, -1);
	assert_int_equal(calc_percent(&c, 50, 3), 0); /* 120 % of the wish, but 80 % with the third at nothing */
	assert_int_equal(c.w.replicas, 3);
	assert_int_equal(c.w.percent, 60);
	calc_end(&c);
	c = calc_begin();
	calc_pod(&c, "a", "Running", "True", 100, 10);
	calc_pod(&c, "b", "Running", "True", 100, 10);
	calc_pod(&c, "c", "Running", "True", 100, -1);
	assert_int_equal(calc_percent(&c, 50, 3), 0); /* 20 %, but 80 % with the third as busy as it may be */
	assert_int_equal(c.w.replicas, 3);
	calc_end(&c);
	/* Who is not running yet counts as idle when more are wanted; who is going not at all. */
	c = calc_begin();
	calc_pod(&c, "a", "Running", "True", 100, 200);
	calc_pod(&c, "b", "Pending", "False", 100, -1);
	calc_pod(&c, "c", "Failed", "False", 100, 1000);
	assert_int_equal(calc_percent(&c, 50, 2), 0);
	assert_int_equal(c.w.replicas, 4); /* 100 % of two, not 200 % */
	calc_end(&c);
}

static void test_arithmetic(_unused_ void **state)
{
	static const struct {
		int use, percent, replicas;
	} rows[] = { { 50, 50, 3 },  { 54, 50, 3 }, { 46, 50, 3 }, { 56, 50, 4 },
		     { 100, 50, 6 }, { 20, 50, 2 }, { 0, 50, 0 } };
	struct calc c;
	struct hpa_wish w = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		c = calc_begin();
		for (const char *n = "abc"; *n; n++)
			calc_pod(&c, arena_printf(&c.a, "%c", *n), "Running", "True", 100, rows[i].use);
		assert_int_equal(calc_percent(&c, rows[i].percent, 3), 0);
		assert_int_equal(c.w.replicas, rows[i].replicas);
		assert_int_equal(c.w.percent, rows[i].use);
		assert_int_equal(c.w.average, rows[i].use);
		calc_end(&c);
	}
	c = calc_begin();
	calc_pod(&c, "a", "Running", "True", 100, 3000);
	calc_pod(&c, "b", "Running", "True", 100, 1000);
	assert_int_equal(hpa_by_average(&c.a, &c.p, SV(""), 1000, 2, tenth, &c.w, &c.err), 0);
	assert_int_equal(c.w.replicas, 4);
	assert_int_equal(c.w.average, 2000);
	assert_int_equal(hpa_by_value(&c.p, 3000, 1000, 2, tenth, &c.w, &c.err), 0);
	assert_int_equal(c.w.replicas, 6);
	assert_int_equal(hpa_by_value(&c.p, 3000, 1000, 0, tenth, &c.w, &c.err), 0); /* from none */
	assert_int_equal(c.w.replicas, 3);
	calc_end(&c);
	hpa_by_share(10000, 2000, 4, tenth, &w);
	assert_int_equal(w.replicas, 5);
	assert_int_equal(w.average, 2500);
	hpa_by_share(10000, 2000, 0, tenth, &w); /* nothing is divided by */
	assert_int_equal(w.replicas, 5);
	hpa_by_share(INT64_MAX, 1, 1, tenth, &w);
	assert_int_equal(w.replicas, INT32_MAX);
	assert_true(w.average > 0);
	/* The largest number there is asks for more, not for less. */
	c = calc_begin();
	calc_pod(&c, "a", "Running", "True", 100, 0);
	((struct hpa_sample *)strmap_get(&c.p.samples, SV("a")))->value = INT64_MAX;
	assert_int_equal(hpa_by_average(&c.a, &c.p, SV(""), 1, 1, tenth, &c.w, &c.err), 0);
	assert_int_equal(c.w.replicas, INT32_MAX);
	assert_true(c.w.average > 0);
	((struct hpa_sample *)strmap_get(&c.p.samples, SV("a")))->value = -5000;
	assert_int_equal(hpa_by_average(&c.a, &c.p, SV(""), 1, 1, tenth, &c.w, &c.err), 0);
	assert_int_equal(c.w.replicas, 0);
	calc_end(&c);
}

/* --- limits --- */

static int64_t limit(struct hpa_history *h, struct hpa_bounds *b, int64_t wanted, const char *able, const char *limited)
{
	struct hpa_said a, l;
	int64_t n = hpa_limit(h, b, wanted, &a, &l);

	assert_string_equal(a.reason, able);
	assert_string_equal(l.reason, limited);
	return n;
}

static void test_limits(_unused_ void **state)
{
	struct hpa_history h = { 0 };
	struct hpa_bounds b = { .min = 1, .max = 10, .current = 3, .now_ns = 1000 * NS_PER_SEC };

	/* Nobody said how fast: twice as many, at once. */
	assert_int_equal(limit(&h, &b, 9, "ReadyForNewScale", "ScaleUpLimit"), 6);
	b.current = 6;
	b.now_ns += 15 * NS_PER_SEC;
	assert_int_equal(limit(&h, &b, 20, "ReadyForNewScale", "TooManyReplicas"), 10);
	/* Down only as far as was asked for within five minutes. */
	b.current = 10;
	b.now_ns += 15 * NS_PER_SEC;
	assert_int_equal(limit(&h, &b, 2, "ScaleDownStabilized", "DesiredWithinRange"), 10);
	b.now_ns += 290 * NS_PER_SEC;
	assert_int_equal(limit(&h, &b, 0, "ScaleDownStabilized", "DesiredWithinRange"), 2);
	b.now_ns += 301 * NS_PER_SEC;
	assert_int_equal(limit(&h, &b, 0, "ReadyForNewScale", "TooFewReplicas"), 1);
	assert_true(h.asked.n <= 5);
	for (int i = 0; i < 1000; i++) { /* what no window reaches any more makes room */
		b.now_ns += 15 * NS_PER_SEC;
		(void)limit(&h, &b, 10, "ReadyForNewScale", "DesiredWithinRange");
	}
	assert_in_range(h.asked.n, 1, 25);
	hpa_history_release(&h);
}

static void test_behavior(_unused_ void **state)
{
	static const char text[] =
	    "{\"scaleUp\":{\"stabilizationWindowSeconds\":60,\"selectPolicy\":\"Min\",\"policies\":[{\"type\":\"Pods\","
	    "\"value\":2,\"periodSeconds\":30},{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":30}],"
	    "\"tolerance\":\"500m\"},\"scaleDown\":{\"stabilizationWindowSeconds\":0,\"selectPolicy\":\"Disabled\"}}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct hpa_history h = { 0 };
	struct hpa_bounds b = { .min = 1, .max = 50, .current = 4, .now_ns = 1000 * NS_PER_SEC };

	b.behavior = json_decode(&a, sv_from(text), NULL, NULL);
	assert_true(hpa_tolerance_of(b.behavior, true) == 0.5);
	assert_true(hpa_tolerance_of(b.behavior, false) == 0.1);
	assert_int_equal(limit(&h, &b, 30, "ReadyForNewScale", "ScaleUpLimit"), 6);
	hpa_changed(&h, &b, 6);
	b.current = 6;
	b.now_ns += 15 * NS_PER_SEC;
	assert_int_equal(limit(&h, &b, 30, "ReadyForNewScale", "ScaleUpLimit"), 6); /* two in half a minute are had */
	b.now_ns += 16 * NS_PER_SEC;
	assert_int_equal(limit(&h, &b, 30, "ReadyForNewScale", "ScaleUpLimit"), 8);
	assert_int_equal(limit(&h, &b, 1, "ReadyForNewScale", "ScaleDownLimit"), 6); /* never smaller */
	b.now_ns += NS_PER_SEC;
	assert_int_equal(limit(&h, &b, 30, "ScaleUpStabilized", "DesiredWithinRange"),
			 6); /* one was asked for just now */
	hpa_history_release(&h);
}

/* --- with the API server --- */

static struct {
	struct arena arena;
	struct rig *rig;
	int milli;    /* what each pod uses; -1: the node does not answer */
	size_t asked; /* other servers */
	const char *path;
	const char *other;
} far;

/* The summary of n1: all pods of the cluster run there. */
static const char *summary(void)
{
	const struct val *pods = expect(far.rig, 200, "GET", NS "/pods", NULL);
	struct buf b = BUF_INIT;
	char at[TIME_TEXT_MAX];
	const char *text;

	time_format(env_now_ns(far.rig->env), false, at);
	buf_adds(&b, "{\"pods\":[");
	VAL_EACH(val_get(pods, F_items), p)
		buf_printf(&b,
			   "%s{\"podRef\":{\"uid\":\"%.*s\"},\"containers\":[{\"name\":\"c\",\"cpu\":{\"time\":\"%s\","
			   "\"usageNanoCores\":%d},\"memory\":{\"workingSetBytes\":1048576}}]}",
			   b.p[b.n - 1] == '[' ? "" : ",", SV_ARG(val_get_str(p, F_metadata, F_uid)), at,
			   far.milli * 1000000);
	buf_adds(&b, "]}");
	text = arena_strdup(&far.arena, buf_cstr(&b));
	buf_release(&b);
	return text;
}

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, _unused_ void *ctx)
{
	struct err err = ERR_INIT;

	if (sv_find_sv(sv_from(sent->url), SV("/stats/summary")) >= 0 && far.milli >= 0) {
		webhook_call_answer(c, 200, SV("application/json"), sv_from(summary()), NULL);
		return;
	}
	err_set(&err, ERR_UNAVAILABLE, "dial tcp: connection refused");
	webhook_call_answer(c, 0, SV(""), SV(""), &err);
}

static const struct webhook_network far_network = { .call = far_call };

static struct cluster begin(void **state)
{
	struct cluster k = cluster_start(state);

	memset(&far, 0, sizeof(far));
	far.rig = k.rig;
	webhook_set_network(k.rig->server, &far_network);
	k.beat = true;
	expect(k.rig, 201, "POST", DEPLOYMENTS,
	       "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":2,\"selector\":{\"matchLabels\":{\"app\":"
	       "\"web\"}},"
	       "\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\","
	       "\"image\":\"a\",\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]}}}}");
	cluster_run(&k, 5);
	return k;
}

static void finish(struct cluster *k)
{
	cluster_finish(k);
	arena_release(&far.arena);
}

static void make_hpa(struct cluster *k, const char *target, const char *more)
{
	expect(
	    k->rig, 201, "POST", HPAS,
	    arena_printf(&k->rig->arena,
			 "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"scaleTargetRef\":{\"apiVersion\":\"apps/v1\","
			 "\"kind\":\"Deployment\",\"name\":\"%s\"},\"minReplicas\":1,\"maxReplicas\":5,\"metrics\":[{"
			 "\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\","
			 "\"averageUtilization\":50}}}]%s}}",
			 target, more));
}

static int64_t replicas(struct cluster *k)
{
	return val_get_int(expect(k->rig, 200, "GET", DEPLOYMENTS "/web", NULL), -1, F_spec, F_replicas);
}

static void assert_condition(struct cluster *k, const char *type, const char *status, const char *reason,
			     const char *part)
{
	const struct val *d = expect(k->rig, 200, "GET", HPAS "/web", NULL);
	const struct val *c = condition_find(val_get(d, F_status, F_conditions), type);

	assert_val(val_member(c, F_status), status);
	assert_val(val_member(c, F_reason), reason);
	if (sv_find_sv(val_get_str(c, F_message), sv_from(part)) < 0)
		fail_msg("'%s' is not in '%.*s'", part, SV_ARG(val_get_str(c, F_message)));
}

static void test_nothing_is_known(void **state)
{
	struct cluster k = begin(state);

	far.milli = -1;
	make_hpa(&k, "none", "");
	cluster_run(&k, 20);
	assert_condition(&k, "AbleToScale", "False", "FailedGetScale", "deployments/scale.apps \"none\" not found");
	expect(k.rig, 200, "DELETE", HPAS "/web", NULL);
	make_hpa(&k, "web", "");
	cluster_run(&k, 20);
	assert_condition(&k, "AbleToScale", "True", "SucceededGetScale", "");
	assert_condition(
	    &k, "ScalingActive", "False", "FailedGetResourceMetric",
	    "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from "
	    "resource metrics API");
	assert_int_equal(replicas(&k), 2);
	finish(&k);
}

/* What a user calls something is a part of a path that a controller asks by, with rights of its own: a part and no
 * more. */
static void test_names_lead_nowhere(void **state)
{
	static const char *const bad[] = {
		"/api/v1/namespaces/default/pods/../secrets",
		"/api/v1/namespaces/%2E%2e/pods",
		"/api/v1/namespaces/default/pods/x%2Fstatus",
		"/api/v1/namespaces//pods",
		"/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/a%252fb?x=/../",
	};
	struct cluster k = begin(state);
	const struct val *doc;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(client_get_doc(k.rig->client, &k.rig->arena, bad[i], &doc, &err), -1);
		assert_int_equal(err.reason, ERR_INVALID);
	}
	assert_int_equal(
	    client_get_doc(k.rig->client, &k.rig->arena, "/api/v1/namespaces/default?a=../b%2F", &doc, NULL), 0);
	finish(&k);
}

static void test_up_and_down(void **state)
{
	struct cluster k = begin(state);
	const struct val *d;
	int64_t rev;

	far.milli = 50;
	make_hpa(&k, "web", ",\"behavior\":{\"scaleDown\":{\"stabilizationWindowSeconds\":60}}");
	cluster_run(&k, 40);
	assert_int_equal(replicas(&k), 2);
	d = expect(k.rig, 200, "GET", HPAS "/web", NULL);
	assert_int_equal(val_get_int(val_at(val_get(d, F_status, F_currentMetrics), 0), -1, F_resource, F_current,
				     F_averageUtilization),
			 50);
	assert_val(val_get(val_at(val_get(d, F_status, F_currentMetrics), 0), F_resource, F_current, F_averageValue),
		   "50m");
	assert_int_equal(val_get_int(d, -1, F_status, F_currentReplicas), 2);
	assert_condition(&k, "ScalingActive", "True", "ValidMetricFound",
			 "from cpu resource utilization (percentage of request)");
	rev = rev_of(d);
	cluster_run(&k, 60);
	assert_int_equal(rev_of(expect(k.rig, 200, "GET", HPAS "/web", NULL)), rev); /* at rest nothing is written */
	far.milli = 400;
	cluster_run(&k, 400); /* new pods are looked at with care for five minutes */
	assert_int_equal(replicas(&k), 5);
	assert_condition(&k, "ScalingLimited", "True", "TooManyReplicas", "");
	d = expect(k.rig, 200, "GET", HPAS "/web", NULL);
	assert_true(val_get_str(d, F_status, F_lastScaleTime).n > 0);
	far.milli = 5;
	cluster_run(&k, 30);
	assert_int_equal(replicas(&k), 5);
	assert_condition(&k, "AbleToScale", "True", "ScaleDownStabilized", "");
	cluster_run(&k, 90);
	assert_int_equal(replicas(&k), 1);
	/* Its node is silent: it stays as it is. */
	far.milli = -1;
	cluster_run(&k, 60);
	assert_int_equal(replicas(&k), 1);
	assert_condition(&k, "ScalingActive", "False", "FailedGetResourceMetric", "");
	/* Who scales it to nothing has switched it off. */
	expect_type(k.rig, 200, "PATCH", DEPLOYMENTS "/web", "application/merge-patch+json",
		    "{\"spec\":{\"replicas\":0}}");
	far.milli = 400;
	cluster_run(&k, 40);
	assert_int_equal(replicas(&k), 0);
	assert_condition(&k, "ScalingActive", "False", "ScalingDisabled", "");
	finish(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_not_known),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_behavior),
		cmocka_unit_test_setup_teardown(test_nothing_is_known, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_names_lead_nowhere, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_up_and_down, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("controllers/hpa", tests, NULL, NULL);
}
