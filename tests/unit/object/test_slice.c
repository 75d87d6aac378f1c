/* object/slice.h: what an EndpointSlice's endpoints are good for, by conditions that are there, absent, null, or
 * nonsense. */
#include "docs.h"

#include "object/slice.h"

static void conditions(void **state)
{
	static const struct {
		const char *endpoint;
		bool ready, serving, terminating;
	} cases[] = {
		{ "{}", true, true, false }, /* unknown */
		{ "{'conditions':null}", true, true, false },
		{ "{'conditions':{}}", true, true, false },
		{ "{'conditions':{'ready':null,'serving':null,'terminating':null}}", true, true, false },
		{ "{'conditions':{'ready':'no'}}", true, true, false },
		{ "{'conditions':{'ready':true}}", true, true, false },
		{ "{'conditions':{'ready':false}}", false, false, false },
		{ "{'conditions':{'ready':false,'serving':true,'terminating':true}}", false, true, true },
		{ "{'conditions':{'ready':false,'terminating':true}}", false, false, true },
		{ "{'conditions':{'ready':true,'serving':false}}", true, false, false },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct val *v = doc(&a, cases[i].endpoint);

		if (endpoint_ready(v) != cases[i].ready || endpoint_serving(v) != cases[i].serving ||
		    endpoint_terminating(v) != cases[i].terminating)
			fail_msg("%s", cases[i].endpoint);
	}
}

static void service(void **state)
{
	static const char *const cases[][2] = {
		{ "{'metadata':{'name':'s'}}", "" },
		{ "{'metadata':{'name':'s','labels':{'app':'x','kubernetes.io/service-name':'web'}}}", "web" },
		{ "{'metadata':{'name':'s','labels':{'kubernetes.io/service-name':''}}}", "" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_obj_ struct obj *o = obj_new(doc(&a, cases[i][0]), 1);

		assert_sv(slice_service(o), cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions),
		cmocka_unit_test(service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
