/* What a Pod asks for as a whole: containers, sidecars, init containers, the Pod's own word, overhead. */
#include "unit.h"

#include "base/arena.h"
#include "codec/json.h"
#include "pod/pod_resources.h"

/* JSON with ' for ". */
static const struct val *spec(struct arena *a, const char *text)
{
	char *t = arena_strdup(a, text);
	const struct val *v;

	for (char *p = t; *p; p++)
		if (*p == '\'')
			*p = '"';
	v = json_decode(a, sv_from(t), NULL, NULL);
	assert_non_null(v);
	return v;
}

#define C(cpu) "{'resources':{'requests':{'cpu':'" cpu "'},'limits':{'cpu':'" cpu "'}}}"
#define SIDECAR(cpu) "{'restartPolicy':'Always','resources':{'requests':{'cpu':'" cpu "'},'limits':{'cpu':'" cpu "'}}}"

static void test_sums(void **state)
{
	static const struct {
		const char *spec;
		int64_t cpu_milli;
	} cases[] = {
		{ "{'containers':[" C("1") "," C("200m") "]}", 1200 },
		{ "{'initContainers':[" C("3") "],'containers':[" C("1") "]}", 3000 },
		/* An init container runs with the sidecars before it, not with those after. */
		{ "{'initContainers':[" SIDECAR("1") "," C("3") "," SIDECAR("500m") "],'containers':[" C("1") "]}",
		  4000 },
		{ "{'initContainers':[" SIDECAR("2") "," SIDECAR("2") "],'containers':[" C("1") "]}", 5000 },
		{ "{'resources':{'requests':{'cpu':'7'},'limits':{'cpu':'7'}},'containers':[" C("1") "]}", 7000 },
		{ "{'resources':{'requests':{'cpu':'7'},'limits':{'cpu':'7'}},'overhead':{'cpu':'250m'},'containers':[{"
		  "}]}",
		  7250 },
		{ "{'overhead':{'cpu':'250m'},'containers':[" C("1") "]}", 1250 },
		{ "{'containers':[{'resources':{'requests':{'cpu':'99E'},'limits':{'cpu':'99E'}}}," C("1") "]}",
		  INT64_C(1) << 52 },
	};
	struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct res_list r = RES_LIST_INIT, l = RES_LIST_INIT;

		pod_requests(spec(&a, cases[i].spec), RES_AS_WRITTEN, &r);
		pod_limits(spec(&a, cases[i].spec), RES_AS_WRITTEN, &l);
		assert_int_equal(res_list_get(&r, SV("cpu")), cases[i].cpu_milli);
		assert_int_equal(res_list_get(&l, SV("cpu")), cases[i].cpu_milli);
		res_list_release(&r);
		res_list_release(&l);
	}
	arena_release(&a);
}

static void test_ways(void **state)
{
	struct arena a = ARENA_INIT;
	struct res_list r = RES_LIST_INIT;
	const struct val *s = spec(&a, "{'resources':{'requests':{'memory':'1Gi'}},'overhead':{'memory':'1Mi'},"
				       "'containers':[{'resources':{'requests':{'cpu':'1','example.com/x':'2'}}},{}]}");

	(void)state;
	pod_requests(s, RES_ASSUME_SOME, &r);
	assert_int_equal(res_list_get(&r, SV("cpu")), 1100);
	assert_int_equal(res_list_get(&r, SV("memory")), 1025 << 20);
	assert_int_equal(res_list_get(&r, SV("example.com/x")), 2);
	res_list_release(&r);
	pod_requests(s, RES_CONTAINERS_ONLY, &r);
	assert_false(res_list_has(&r, SV("memory")));
	res_list_release(&r);
	/* Overhead limits nothing by itself. */
	pod_limits(s, RES_AS_WRITTEN, &r);
	assert_int_equal(r.n, 0);
	res_list_release(&r);
	arena_release(&a);
}

static void test_class(void **state)
{
	static const struct {
		const char *spec, *class;
	} cases[] = {
		{ "{'containers':[{}]}", "BestEffort" },
		{ "{'containers':[" C("1") "]}", "Burstable" },
		{ "{'containers':[{'resources':{'limits':{'cpu':'1','memory':'1Gi'}}}]}", "Guaranteed" },
		{ "{'containers':[{'resources':{'limits':{'cpu':'1','memory':'1Gi'}}},{}]}", "Burstable" },
		{ "{'containers':[{'resources':{'requests':{'cpu':'1000m'},'limits':{'cpu':'1','memory':'1Gi'}}}]}",
		  "Guaranteed" },
		{ "{'initContainers':[{}],'containers':[{'resources':{'limits':{'cpu':'1','memory':'1Gi'}}}]}",
		  "Burstable" },
		/* The Pod's own word stands in place of its containers'. */
		{ "{'resources':{'requests':{'cpu':'1'}},'containers':[{}]}", "Burstable" },
		{ "{'resources':{'requests':{'cpu':'1','memory':'1Gi'},'limits':{'cpu':'1','memory':'1Gi'}},'"
		  "containers':[{}]}",
		  "Guaranteed" },
		{ "{'resources':{'requests':{'cpu':'1','memory':'1Gi'},'limits':{'cpu':'1','memory':'1Gi'}},'"
		  "containers':[" C("100m") "]}",
		  "Guaranteed" },
		{ "{'resources':{},'containers':[{'resources':{'limits':{'cpu':'1','memory':'1Gi'}}}]}", "Guaranteed" },
	};
	struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(qos_name(pod_qos_class(spec(&a, cases[i].spec))), cases[i].class);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
