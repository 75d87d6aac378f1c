/* What objects use of a quota, by tables: object in, amounts out. */
#include "unit.h"

#include "codec/json.h"
#include "quota/quota.h"

static const struct val *parse(struct arena *a, const char *text)
{
	char *json = arena_strdup(a, text);
	const struct val *v;

	for (char *c = json; *c; c++)
		if (*c == '\'')
			*c = '"';
	v = json_decode(a, sv_from(json), NULL, NULL);
	assert_non_null(v);
	return v;
}

static void uses(const struct resource *r, const char *object, int64_t now_ns, const char *wanted)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(quota_list_release) struct quota_list l = QUOTA_LIST_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	quota_usage(&a, r, parse(&a, object), now_ns, &l);
	quota_list_sort(&l);
	quota_list_text(&l, &b);
	assert_string_equal(buf_cstr(&b), wanted);
	for (size_t i = 0; i < l.n; i++) /* one question, one answer */
		assert_true(quota_names(r, quota_count_name(&a, r), l.p[i].name) ||
			    sv_starts(l.p[i].name, SV("requests.")));
}

#define AMOUNTS(kind, list) "'resources':{'" kind "':{" list "}}"

static void test_pods(void **state)
{
	static const struct {
		const char *pod, *uses;
	} rows[] = {
		{ "{'spec':{'containers':[{'name':'c'}]}}", "count/pods=1,pods=1" },
		{ "{'spec':{'containers':[{" AMOUNTS("requests", "'cpu':'500m','memory':'1G'") "},{" AMOUNTS(
		      "requests", "'cpu':'1'") "}]}}",
		  "count/pods=1,cpu=1500m,memory=1G,pods=1,requests.cpu=1500m,requests.memory=1G" },
		{ "{'spec':{'containers':[{" AMOUNTS("limits", "'cpu':'1','memory':'512Mi','x.io/gpu':'1'") "}]}}",
		  "count/pods=1,limits.cpu=1,limits.memory=512Mi,pods=1" },
		{ "{'spec':{'containers':[{" AMOUNTS(
		      "requests", "'x.io/gpu':'2','hugepages-2Mi':'4Mi','ephemeral-storage':'1Gi'") "}]}}",
		  "count/pods=1,ephemeral-storage=1Gi,hugepages-2Mi=4Mi,pods=1,requests.ephemeral-storage=1Gi,requests."
		  "hugepages-2Mi=4Mi,requests.x.io/gpu=2" },
		/* The larger of what runs together and of what starts before it; sidecars stay. */
		{ "{'spec':{'containers':[{" AMOUNTS(
		      "requests", "'cpu':'1'") "}],'initContainers':[{'restartPolicy':"
					       "'Always'," AMOUNTS("requests", "'cpu':'2'") "},{" AMOUNTS(
						   "requests", "'cpu':'4'") "}]}}",
		  "count/pods=1,cpu=6,pods=1,requests.cpu=6" },
		{ "{'spec':{'containers':[{" AMOUNTS("requests", "'cpu':'3'") "}],'initContainers':[{" AMOUNTS(
		      "requests", "'cpu':'2'") "}]}}",
		  "count/pods=1,cpu=3,pods=1,requests.cpu=3" },
		{ "{'spec':{'resources':{'requests':{'cpu':'5'}},'overhead':{'cpu':'1'},'containers':[{" AMOUNTS(
		      "requests", "'cpu':'3'") "}]}}",
		  "count/pods=1,cpu=6,pods=1,requests.cpu=6" },
		/* During a resize the larger counts, unless it cannot be had. */
		{ "{'spec':{'containers':[{'name':'c'," AMOUNTS(
		      "requests", "'cpu':'1'") "}]},'status':{"
					       "'containerStatuses':[{"
					       "'name':'c'," AMOUNTS("requests", "'cpu':'2'") "}]}"
											      "}",
		  "count/pods=1,cpu=2,pods=1,requests.cpu=2" },
		{ "{'spec':{'containers':[{'name':'c'," AMOUNTS(
		      "requests", "'cpu':'9'") "}]},'status':{'conditions':[{'type':'PodResizePending','reason':"
					       "'Infeasible'}],'containerStatuses':[{'name':'c',"
					       "'allocatedResources':{'cpu':'2'}," AMOUNTS("requests",
											   "'cpu':'1'") "}]"
													"}}",
		  "count/pods=1,cpu=2,pods=1,requests.cpu=2" },
		{ "{'spec':{'containers':[{" AMOUNTS("requests", "'cpu':'1'") "}]},'status':{'phase':'Failed'}}",
		  "count/pods=1" },
		/* The grace of one that is deleted ends a second ago, or in a second. */
		{ "{'metadata':{'deletionTimestamp':'1970-01-01T00:00:50Z','deletionGracePeriodSeconds':49},'spec':{}}",
		  "count/pods=1" },
		{ "{'metadata':{'deletionTimestamp':'1970-01-01T00:00:50Z','deletionGracePeriodSeconds':51},'spec':{}}",
		  "count/pods=1,pods=1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		uses(RES(core_pods), rows[i].pod, 100 * NS_PER_SEC, rows[i].uses);
}

static void test_others(void **state)
{
	(void)state;
	uses(RES(core_secrets), "{}", 0, "count/secrets=1,secrets=1");
	uses(RES(apps_deployments), "{}", 0, "count/deployments.apps=1");
	uses(RES(core_services), "{'spec':{'type':'ClusterIP','ports':[{}]}}", 0, "count/services=1,services=1");
	uses(RES(core_services), "{'spec':{'type':'NodePort','ports':[{},{}]}}", 0,
	     "count/services=1,services=1,services.nodeports=2");
	uses(RES(core_services), "{'spec':{'type':'LoadBalancer','ports':[{},{}]}}", 0,
	     "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2");
	uses(RES(core_services),
	     "{'spec':{'type':'LoadBalancer','allocateLoadBalancerNodePorts':false,'ports':[{},{'nodePort':30000}]}}",
	     0, "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1");
	uses(RES(core_persistentvolumeclaims),
	     "{'spec':{'storageClassName':'gold','resources':{'requests':{'storage':'1Gi'}}},'status':{"
	     "'allocatedResources':{'storage':'2Gi'}}}",
	     0,
	     "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,"
	     "gold.storageclass.storage.k8s.io/requests.storage=2Gi,persistentvolumeclaims=1,requests.storage=2Gi");
	uses(RES(core_persistentvolumeclaims), "{'spec':{'resources':{'requests':{'storage':'1500m'}}}}", 0,
	     "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=2");
}

static void test_scopes(void **state)
{
#define SELECTS(name, op, values) \
	"{'spec':{'scopeSelector':{'matchExpressions':[{'scopeName':'" name "','operator':'" op "'" values "}]}}}"
#define FAR                                                                                             \
	"{'spec':{'affinity':{'podAntiAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[{'" \
	"podAffinityTerm':{'namespaceSelector':{}}}]}}}}"
	static const struct {
		const char *quota, *pod;
		bool met;
	} rows[] = {
		{ "{}", "{}", true },
		{ "{'spec':{'scopes':['BestEffort']}}", "{'spec':{'containers':[{}]}}", true },
		{ "{'spec':{'scopes':['NotBestEffort']}}", "{'spec':{'containers':[{}]}}", false },
		{ "{'spec':{'scopes':['Terminating']}}", "{'spec':{'activeDeadlineSeconds':0}}", true },
		{ "{'spec':{'scopes':['NotTerminating','BestEffort']}}", "{'spec':{'activeDeadlineSeconds':1}}",
		  false },
		{ "{'spec':{'scopes':['PriorityClass']}}", "{'spec':{'priorityClassName':'x'}}", true },
		{ "{'spec':{'scopes':['PriorityClass']}}", "{}", false },
		{ SELECTS("PriorityClass", "In", ",'values':['x','y']"), "{'spec':{'priorityClassName':'y'}}", true },
		{ SELECTS("PriorityClass", "In", ",'values':['x','y']"), "{}", false },
		{ SELECTS("PriorityClass", "NotIn", ",'values':['x']"), "{'spec':{'priorityClassName':'x'}}", false },
		{ SELECTS("PriorityClass", "NotIn", ",'values':['x']"), "{}", true },
		{ SELECTS("PriorityClass", "DoesNotExist", ""), "{}", true },
		{ SELECTS("PriorityClass", "Exists", ""), "{}", false },
		{ SELECTS("CrossNamespacePodAffinity", "Exists", ""), FAR, true },
		{ SELECTS("CrossNamespacePodAffinity", "Exists", ""), "{'spec':{'affinity':{}}}", false },
		{ SELECTS("VolumeAttributesClass", "Exists", ""), "{'spec':{'volumeAttributesClassName':'x'}}", false },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *any, *claim;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(quota_scopes_met(parse(&a, rows[i].quota), RES(core_pods), parse(&a, rows[i].pod)),
				 rows[i].met);
	any = parse(&a, SELECTS("VolumeAttributesClass", "In", ",'values':['gold']"));
	claim = parse(&a, "{'spec':{'volumeAttributesClassName':'silver'},'status':{'currentVolumeAttributesClassName':"
			  "'gold'}}");
	assert_true(quota_scopes_met(any, RES(core_persistentvolumeclaims), claim));
	assert_false(quota_scopes_met(any, RES(core_persistentvolumeclaims), parse(&a, "{}")));
	assert_false(quota_scopes_met(any, RES(core_secrets), parse(&a, "{}")));
}

static void test_names(void **state)
{
	(void)state;
	assert_true(quota_names(RES(core_pods), SV("count/pods"), SV("requests.x.io/gpu")));
	assert_false(quota_names(RES(core_pods), SV("count/pods"), SV("limits.x.io/gpu")));
	assert_false(quota_names(RES(core_pods), SV("count/pods"), SV("requests.storage")));
	assert_false(
	    quota_names(RES(core_pods), SV("count/pods"), SV("x.storageclass.storage.k8s.io/requests.storage")));
	assert_true(quota_names(RES(core_persistentvolumeclaims), SV("count/persistentvolumeclaims"),
				SV("x.storageclass.storage.k8s.io/requests.storage")));
	assert_false(quota_names(RES(core_services), SV("count/services"), SV("services.x")));
	assert_false(quota_names(RES(apps_deployments), SV("count/deployments.apps"), SV("deployments.apps")));
}

static void test_missing(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(quota_list_release) struct quota_list l = QUOTA_LIST_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	quota_list_set(&l, SV("requests.cpu"), SV("1"));
	quota_list_set(&l, SV("limits.memory"), SV("1"));
	quota_list_set(&l, SV("requests.x.io/gpu"), SV("1"));
	quota_pod_missing(&a,
			  parse(&a,
				"{'spec':{'containers':[{'name':'b'},{'name':'a','resources':{'requests':{'cpu':'1'}}"
				"}],'initContainers':[{'name':'0'}]}}"),
			  &l, &b);
	assert_string_equal(buf_cstr(&b), "limits.memory for: 0,a,b; requests.cpu for: 0,b");
	buf_clear(&b);
	quota_pod_missing(&a, parse(&a, "{'spec':{'resources':{'limits':{'cpu':'1'}},'containers':[{'name':'b'}]}}"),
			  &l, &b);
	assert_int_equal(b.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pods),  cmocka_unit_test(test_others),  cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_names), cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
