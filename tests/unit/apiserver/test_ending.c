/* The first steps of the end: not ready, then refusing what comes from outside. */
#include "harness.h"

static void test_unready(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	expect(r, 200, "GET", "/readyz", NULL);
	apiserver_unready(r->server);
	a = api(r, "GET", "/readyz?verbose");
	assert_int_equal(a->code, 500);
	assert_non_null(strstr(buf_cstr(&a->body), "[-]shutdown failed: reason withheld"));
	answer_free(a);
	expect(r, 200, "GET", "/livez", NULL);
	expect(r, 201, "POST", "/api/v1/namespaces/default/configmaps", "{\"metadata\":{\"name\":\"c\"}}");
}

static void test_refusing(void **state)
{
	static const struct ask get = { .method = "GET",
					.path = "/api/v1/namespaces/default/configmaps",
					.authorization = "" };
	struct rig *r = *state;
	struct answer *a;

	a = api_ask(r, &get);
	assert_int_equal(a->code, 403); /* as nobody */
	answer_free(a);
	apiserver_refuse(r->server);
	expect_status(r, 429, "TooManyRequests", "shutting down", &get);
	a = api_ask(r, &get);
	assert_int_equal(val_get_int(api_json(a), 0, F_details, F_retryAfterSeconds), 5);
	answer_free(a);
	a = api_ask(r, &(struct ask){ .method = "GET", .path = "/livez", .authorization = "" });
	assert_int_not_equal(a->code, 429);
	answer_free(a);
	/* Those in this process go on. */
	expect(r, 201, "POST", "/api/v1/namespaces/default/configmaps", "{\"metadata\":{\"name\":\"c\"}}");
	assert_int_equal(apiserver_under_way(r->server), 0);
}

/* Files that are looked at each minute do not answer: the rest of the minute is done all the same. */
static void test_files_hang(void **state)
{
	static const char service[] = "/api/v1/namespaces/default/services/kubernetes";
	struct rig *r = *state;

	env_sim_hold(r->env, ENV_SLOW);
	rig_run(r, 61 * NS_PER_SEC);
	for (int i = 0; i < 3; i++) {
		expect(r, 200, "DELETE", service, NULL);
		rig_run(r, 60 * NS_PER_SEC);
		expect(r, 200, "GET", service, NULL);
	}
	env_sim_release(r->env, ENV_SLOW);
	rig_run(r, 120 * NS_PER_SEC);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_unready), T(test_refusing), T(test_files_hang) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
