/* The status of ValidatingAdmissionPolicies, on the real server: written once a generation, as its own account. */
#include "real.h"

#define POLICIES "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

static const char *policy(struct arena *a, const char *expression)
{
	return arena_printf(a,
			    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"matchConstraints\":{\"resourceRules\":[{"
			    "\"apiGroups\":[\"apps\"],\"apiVersions\":[\"v1\"],\"operations\":[\"*\"],"
			    "\"resources\":[\"deployments\"]}]},\"validations\":[{\"expression\":\"%s\"}]}}",
			    expression);
}

static void test_status(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *p, *warnings;
	int64_t version;

	expect(r, 201, "POST", POLICIES, policy(&a, "object.spec.nope == 1"));
	cluster_run(&k, 2);
	p = expect(r, 200, "GET", POLICIES "/p", NULL);
	assert_int_equal(val_get_int(p, 0, F_status, F_observedGeneration), 1);
	warnings = val_get(p, F_status, F_typeChecking, F_expressionWarnings);
	assert_int_equal(val_len(warnings), 1);
	assert_sv(val_get_str(val_at(warnings, 0), F_fieldRef), "spec.validations[0].expression");
	assert_sv(val_get_str(val_at(warnings, 0), F_warning),
		  "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'nope'\n | object.spec.nope == 1\n"
		  " | ...........^\n");
	version = atoll(arena_cstr(&a, val_get_str(p, F_metadata, F_resourceVersion)));

	/* Once. */
	cluster_run(&k, 30);
	p = expect(r, 200, "GET", POLICIES "/p", NULL);
	assert_int_equal(atoll(arena_cstr(&a, val_get_str(p, F_metadata, F_resourceVersion))), version);

	/* What is mended leaves no warning. */
	p = expect_type(r, 200, "PATCH", POLICIES "/p", "application/merge-patch+json",
			"{\"spec\":{\"validations\":[{\"expression\":\"object.spec.replicas > 1\"}]}}");
	assert_int_equal(val_get_int(p, 0, F_metadata, F_generation), 2);
	cluster_run(&k, 2);
	p = expect(r, 200, "GET", POLICIES "/p", NULL);
	assert_int_equal(val_get_int(p, 0, F_status, F_observedGeneration), 2);
	assert_int_equal(val_len(val_get(p, F_status, F_typeChecking, F_expressionWarnings)), 0);
	/* Where nothing is wrong it says that it was looked at. */
	expect(r, 200, "DELETE", POLICIES "/p", NULL);
	expect(r, 201, "POST", POLICIES, policy(&a, "true"));
	cluster_run(&k, 2);
	p = expect(r, 200, "GET", POLICIES "/p", NULL);
	assert_int_equal(val_type(val_get(p, F_status, F_typeChecking)), VAL_MAP);
	cluster_finish(&k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_status, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
