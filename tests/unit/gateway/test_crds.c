/* The kinds as they are made: spelled out whole, and a schema that a server takes. */
#include "unit.h"

#include "gateway/crds.h"
#include "object/structural.h"

static bool mentions_use(const struct val *v)
{
	bool found = false;

	VAL_EACH(v, one)
		found |= mentions_use(one);
	VAL_EACH_MEMBER(v, m)
		found |= sv_is(m.key, "$use") || mentions_use(m.value);
	return found;
}

static void test_whole(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *all = described_crds(&a, gw_crds_json);

	assert_int_equal(val_len(all), 6);
	assert_false(mentions_use(all));
	VAL_EACH(all, crd) {
		const struct val *versions = val_get(crd, F_spec, F_versions);
		size_t stored = 0;

		assert_true(val_is(val_get(crd, F_apiVersion), "apiextensions.k8s.io/v1"));
		VAL_EACH(versions, v) {
			stored += val_bool(val_get(v, F_storage));
			assert_true(val_len(val_get(v, F_schema, F_openAPIV3Schema, F_properties)) >= 4);
		}
		assert_int_equal(stored, 1);
	}
}

static void test_compiles(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *all = described_crds(&a, gw_crds_json);

	VAL_EACH(all, crd)
		VAL_EACH(val_get(crd, F_spec, F_versions), v) {
			_cleanup_(err_release) struct err err = ERR_INIT;
			struct structural *s = structural_new(&a, val_get(v, F_schema, F_openAPIV3Schema), &err);

			if (!s)
				fail_msg("%s", err_msg(&err));
			structural_release(s);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole), cmocka_unit_test(test_compiles) };

	return cmocka_run_group_tests_name("gateway_crds", tests, NULL, NULL);
}
