/* HorizontalPodAutoscaler from one version to the other and back: what of v2 stands where in v1, and which texts of
 * annotations are believed. */
#include "docs.h"

#include "object/autoscaler.h"
#include "object/decode.h"
#include "resources.h"

#define ANN "autoscaling.alpha.kubernetes.io/"
#define REF "'scaleTargetRef':{'kind':'Deployment','name':'d','apiVersion':'apps/v1'}"

static const struct val *typed(struct arena *a, bool v2, const struct val *v)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct resource *r =
	    v2 ? RES(autoscaling_horizontalpodautoscalers) : RES(autoscaling_horizontalpodautoscalers_v1);
	const struct val *out = decode_typed(a, r->schema, v, NULL, &err);

	if (!out)
		fail_msg("%s: %s", json(a, v), err_msg(&err));
	return out;
}

static const struct val *to_v1(struct arena *a, const struct val *v2)
{
	return typed(a, false, autoscaler_to_v1(a, v2));
}

static const struct val *to_v2(struct arena *a, const struct val *v1)
{
	return typed(a, true, autoscaler_to_v2(a, v1));
}

static const struct val *object(struct arena *a, bool v2, const char *annotations, const char *spec, const char *status)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "{'kind':'HorizontalPodAutoscaler','apiVersion':'autoscaling/%s','metadata':{'name':'h'",
		   v2 ? "v2" : "v1");
	if (annotations)
		buf_printf(&b, ",'annotations':{%s}", annotations);
	buf_printf(&b, "},'spec':{" REF ",'minReplicas':1,'maxReplicas':3%s%s}", spec ? "," : "", spec ? spec : "");
	if (status)
		buf_printf(&b, ",'status':{%s}", status);
	buf_adds(&b, "}");
	return typed(a, v2, doc(a, buf_cstr(&b)));
}

/* An annotation's text; %s NULL: there is none. */
static void check_annotation(struct arena *a, const struct val *v1, const char *name, const char *want)
{
	const struct val *v =
	    val_member_sv(val_get(v1, F_metadata, F_annotations), sv_from(arena_cstr(a, arena_svf(a, ANN "%s", name))));

	if (!want) {
		assert_null(v);
		return;
	}
	assert_non_null(v);
	assert_string_equal(arena_cstr(a, val_str(v)), unquote(a, want));
}

/* What v2 says, and what of it v1 has itself and in annotations; converted back it is the same again. */
static const struct {
	const char *spec, *status;
	const char *percent, *current; /* of v1's own fields */
	const char *metrics, *current_metrics, *conditions, *behavior;
} rows[] = {
	{ "'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization','averageUtilization':"
	  "50}}}]",
	  NULL, "50", NULL, NULL, NULL, NULL, NULL },
	{ "'metrics':[{'type':'Resource','resource':{'name':'memory','target':{'type':'Utilization',"
	  "'averageUtilization':70}}},{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization',"
	  "'averageUtilization':50}}}]",
	  NULL, "50", NULL, "[{'type':'Resource','resource':{'name':'memory','targetAverageUtilization':70}}]", NULL,
	  NULL, NULL },
	/* The first CPU metric is not in per cent: nothing is v1's own. */
	{ "'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'type':'AverageValue','averageValue':"
	  "'100m'}}}]",
	  NULL, NULL, NULL, "[{'type':'Resource','resource':{'name':'cpu','targetAverageValue':'100m'}}]", NULL, NULL,
	  NULL },
	{ "'metrics':[{'type':'Pods','pods':{'metric':{'name':'p','selector':{'matchLabels':{'a':'b'}}},'target':{"
	  "'type':'AverageValue','averageValue':'1k'}}}]",
	  NULL, NULL, NULL,
	  "[{'type':'Pods','pods':{'metricName':'p','targetAverageValue':'1k','selector':{'matchLabels':{'a':'b'}}}}]",
	  NULL, NULL, NULL },
	{ "'metrics':[{'type':'Object','object':{'describedObject':{'kind':'Ingress','name':'i','apiVersion':"
	  "'networking.k8s.io/v1'},'target':{'type':'Value','value':'10'},'metric':{'name':'rps'}}}]",
	  NULL, NULL, NULL,
	  "[{'type':'Object','object':{'target':{'kind':'Ingress','name':'i','apiVersion':'networking.k8s.io/v1'},"
	  "'metricName':'rps','targetValue':'10'}}]",
	  NULL, NULL, NULL },
	/* A value that v1 cannot leave out is none when there is another. */
	{ "'metrics':[{'type':'Object','object':{'describedObject':{'kind':'Ingress','name':'i'},'target':{'type':"
	  "'AverageValue','averageValue':'2'},'metric':{'name':'rps'}}}]",
	  NULL, NULL, NULL,
	  "[{'type':'Object','object':{'target':{'kind':'Ingress','name':'i'},'metricName':'rps','targetValue':'0',"
	  "'averageValue':'2'}}]",
	  NULL, NULL, NULL },
	{ "'metrics':[{'type':'External','external':{'metric':{'name':'q'},'target':{'type':'AverageValue',"
	  "'averageValue':'5'}}},{'type':'External','external':{'metric':{'name':'q'},'target':{'type':'Value','value':"
	  "'7'}}}]",
	  NULL, NULL, NULL,
	  "[{'type':'External','external':{'metricName':'q','targetAverageValue':'5'}},{'type':'External','external':{"
	  "'metricName':'q','targetValue':'7'}}]",
	  NULL, NULL, NULL },
	{ "'metrics':[{'type':'ContainerResource','containerResource':{'name':'cpu','target':{'type':'Utilization',"
	  "'averageUtilization':5},'container':'c'}}]",
	  NULL, NULL, NULL,
	  "[{'type':'ContainerResource','containerResource':{'name':'cpu','targetAverageUtilization':5,'container':'c'}"
	  "}]",
	  NULL, NULL, NULL },
	/* As Go writes a struct without names for its fields. */
	{ "'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization','averageUtilization':"
	  "50}}}],'behavior':{'scaleUp':{'stabilizationWindowSeconds':0,'selectPolicy':'Max','policies':[{'type':'Pods'"
	  ",'value':4,'periodSeconds':15}],'tolerance':'100m'}}",
	  NULL, "50", NULL, NULL, NULL, NULL,
	  "{'ScaleUp':{'StabilizationWindowSeconds':0,'SelectPolicy':'Max','Policies':[{'Type':'Pods','Value':4,"
	  "'PeriodSeconds':15}],'Tolerance':'100m'},'ScaleDown':null}" },
	{ "'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization','averageUtilization':"
	  "50}}}]",
	  "'observedGeneration':2,'currentReplicas':1,'desiredReplicas':2,'currentMetrics':[{'type':'Resource',"
	  "'resource':{'name':'cpu','current':{'averageValue':'30m','averageUtilization':30}}},{'type':'Pods','pods':{"
	  "'metric':{'name':'p'},'current':{'averageValue':'3'}}},{'type':'Object','object':{'metric':{'name':'o'},"
	  "'current':{'value':'4'},'describedObject':{'kind':'K','name':'n'}}},{'type':'External','external':{'metric':"
	  "{'name':'e'},'current':{'value':'0','averageValue':'5'}}},{'type':'ContainerResource','containerResource':{"
	  "'name':'cpu','current':{'averageValue':'6m'},'container':'c'}}],'conditions':[{'type':'AbleToScale',"
	  "'status':'True','lastTransitionTime':'2026-01-01T00:00:00Z','reason':'R','message':'m<'}]",
	  "50", "30", NULL,
	  "[{'type':'Resource','resource':{'name':'cpu','currentAverageUtilization':30,'currentAverageValue':'30m'}},"
	  "{'type':'Pods','pods':{'metricName':'p','currentAverageValue':'3'}},{'type':'Object','object':{'target':{"
	  "'kind':'K','name':'n'},'metricName':'o','currentValue':'4'}},{'type':'External','external':{'metricName':"
	  "'e','currentValue':'0','currentAverageValue':'5'}},{'type':'ContainerResource','containerResource':{'name':"
	  "'cpu','currentAverageValue':'6m','container':'c'}}]",
	  "[{'type':'AbleToScale','status':'True','lastTransitionTime':'2026-01-01T00:00:00Z','reason':'R','message':"
	  "'m\\u003c'}]",
	  NULL },
};

static const struct val *number(struct arena *a, const char *text)
{
	return text ? doc(a, text) : NULL;
}

static void test_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const struct val *v2 = object(&a, true, "'a':'b'", rows[i].spec, rows[i].status);
		const struct val *v1 = to_v1(&a, v2);

		assert_true(
		    val_same(val_get(v1, F_spec, F_targetCPUUtilizationPercentage), number(&a, rows[i].percent)));
		assert_true(
		    val_same(val_get(v1, F_status, F_currentCPUUtilizationPercentage), number(&a, rows[i].current)));
		check_annotation(&a, v1, "metrics", rows[i].metrics);
		check_annotation(&a, v1, "current-metrics", rows[i].current_metrics);
		check_annotation(&a, v1, "conditions", rows[i].conditions);
		check_annotation(&a, v1, "behavior", rows[i].behavior);
		if (!val_equal(to_v2(&a, v1), v2))
			fail_msg("row %zu\ngot  %s\nwant %s", i, json(&a, to_v2(&a, v1)), json(&a, v2));
		/* Once more there and back, nothing changes. */
		assert_true(val_equal(to_v1(&a, to_v2(&a, v1)), v1));
	}
}

/* Upstream's decoder knows names in any case and passes over those it does not know. */
static void test_texts_that_are_read(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *v1 = object(&a, false,
				      "'" ANN "metrics':'[{\\'TYPE\\':\\'Pods\\',\\'pods\\':{\\'metricname\\':\\'p\\',"
				      "\\'targetAverageValue\\':1,\\'x\\':[]}},null]','" ANN
				      "behavior':'{\\'scaledown\\':{\\'SELECTPOLICY\\':\\'Min\\'}}','b':'c'",
				      "'targetCPUUtilizationPercentage':7", NULL);
	const struct val *v2 = to_v2(&a, v1);

	(void)state;
	assert_doc(
	    &a, val_get(v2, F_spec, F_metrics),
	    "[{'type':'Pods','pods':{'metric':{'name':'p'},'target':{'type':'AverageValue','averageValue':'1'}}},"
	    "{'type':''},{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization',"
	    "'averageUtilization':7}}}]");
	assert_doc(&a, val_get(v2, F_spec, F_behavior), "{'scaleDown':{'selectPolicy':'Min','policies':null}}");
	assert_doc(&a, val_get(v2, F_metadata, F_annotations), "{'b':'c'}");
}

/* One that cannot be read is as none, and gone as the others are. */
static void test_texts_that_are_not(void **state)
{
	static const char *const texts[] = { "",
					     "x",
					     "{}",
					     "[]",
					     "null",
					     "[1]",
					     "5",
					     "[{\\'type\\':5}]",
					     "[{\\'type\\':\\'Pods\\'},7]",
					     "[{\\'pods\\':{\\'targetAverageValue\\':\\'x\\'}}]",
					     "[{\\'resource\\':[]}]" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		const struct val *v2;

		buf_printf(&b, "'%smetrics':'%s','%sbehavior':'%s','%sconditions':'%s','%scurrent-metrics':'%s'", ANN,
			   texts[i], ANN, i ? texts[i] : "{\\'ScaleUp\\':null}", ANN, texts[i], ANN, texts[i]);
		v2 = to_v2(&a, object(&a, false, buf_cstr(&b), NULL, "'currentCPUUtilizationPercentage':9"));
		assert_doc(&a, val_get(v2, F_spec, F_metrics),
			   "[{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization',"
			   "'averageUtilization':80}}}]");
		if (i != 9)
			assert_doc(
			    &a, val_get(v2, F_status, F_currentMetrics),
			    "[{'type':'Resource','resource':{'name':'cpu','current':{'averageUtilization':9}}}]");
		assert_null(val_get(v2, F_spec, F_behavior));
		/* The last two are fine as something else. */
		assert_true(i > 8 || !val_get(v2, F_status, F_conditions));
		assert_null(val_get(v2, F_metadata, F_annotations));
	}
}

/* v1 writes its annotations itself: what a v2 object has under their names is not one of them. */
static void test_annotations_of_v2(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *v1 =
	    to_v1(&a, object(&a, true, "'" ANN "metrics':'[]','" ANN "conditions':'x','z':'y'", NULL, NULL));

	(void)state;
	assert_doc(&a, val_get(v1, F_metadata, F_annotations), "{'z':'y'}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_texts_that_are_read),
		cmocka_unit_test(test_texts_that_are_not),
		cmocka_unit_test(test_annotations_of_v2),
	};

	return cmocka_run_group_tests_name("autoscaler", tests, NULL, NULL);
}
