/* Feature gates and --runtime-config: refusals first. What is served here is asked of the tables, not of an api_set,
 * which is made once a process. */
#include "unit.h"

#include "codec/json.h"
#include "object/decode.h"
#include "object/feature.h"
#include "object/served.h"

static int reset(void **state)
{
	(void)state;
	features_reset();
	served_reset();
	return 0;
}

static void test_gates_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "NoSuchGate=true", "unrecognized feature gate: NoSuchGate" },
		{ "GenericWorkload", "missing bool value for GenericWorkload" },
		{ "GenericWorkload=yes",
		  "invalid value of GenericWorkload=yes, err: strconv.ParseBool: parsing \"yes\": "
		  "invalid syntax" },
		{ "JobManagedBy=false", "cannot set feature gate JobManagedBy to false, feature is locked to true" },
		{ "DeclarativeValidationTakeover=true",
		  "cannot set feature gate DeclarativeValidationTakeover to true, feature is locked to false" },
		{ "allalpha=true", "unrecognized feature gate: allalpha" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		/* What stands before the fault is not set either. */
		assert_int_equal(features_set(arena_svf(&a, "GenericWorkload=true,%s", rows[i][0]), &err), -1);
		assert_string_equal(err_msg(&err), rows[i][1]);
		assert_false(feature_on(FG_GenericWorkload));
	}
}

static void test_gates(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_true(feature_on(FG_NONE));
	assert_true(feature_on(FG_WatchList));
	assert_false(feature_on(FG_EmptyDirVolumeMode));
	assert_int_equal(feature_find(SV("WatchList")), FG_WatchList);
	assert_int_equal(features_set(SV(""), &err), 0);
	assert_int_equal(features_set(SV(" WatchList = false ,JobManagedBy=true,,EmptyDirVolumeMode=T"), &err), 0);
	assert_false(feature_on(FG_WatchList));
	assert_true(feature_on(FG_EmptyDirVolumeMode));
	assert_true(feature_on(FG_JobManagedBy));

	features_reset();
	assert_int_equal(features_set(SV("AllAlpha=true,EmptyDirVolumeMode=false"), &err), 0);
	for (int f = FG_NONE + 1; f < FG_COUNT; f++)
		assert_int_equal(feature_on((enum feature)f), f == FG_EmptyDirVolumeMode ? false
							      : feature_all[f].stage == FEATURE_ALPHA
								  ? true
								  : feature_all[f].on);
	assert_int_equal(features_set(SV("WatchList=true,AllBeta=false"), &err), 0);
	assert_true(feature_on(FG_WatchList));
	assert_false(feature_on(FG_CoordinatedLeaderElection));
	assert_false(feature_on(FG_ConstrainedImpersonation));
	assert_true(feature_on(FG_CSIVolumeHealth));
}

static bool kept(const char *ref, const char *text, enum sym name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct val *v = json_decode(&a, sv_from(text), NULL, &err);

	v = decode_typed(&a, schema_find(sv_from(ref)), v, NULL, &err);
	assert_non_null(v);
	return val_member(v, name);
}

/* A field follows its gate. */
static void test_fields(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	assert_false(kept("core/v1.EmptyDirVolumeSource", "{\"mode\":5}", F_mode));
	assert_true(kept("core/v1.PodSpec", "{\"resources\":{}}", F_resources));
	assert_int_equal(features_set(SV("EmptyDirVolumeMode=true,PodLevelResources=false"), &err), 0);
	assert_true(kept("core/v1.EmptyDirVolumeSource", "{\"mode\":5}", F_mode));
	assert_false(kept("core/v1.PodSpec", "{\"resources\":{}}", F_resources));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_gates_refused, reset),
		cmocka_unit_test_setup(test_gates, reset),
		cmocka_unit_test_setup(test_fields, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
