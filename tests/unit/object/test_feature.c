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

/* --- what is served --- */

static bool served(const char *group, const char *version, const char *plural)
{
	return resource_find(sv_from(group), sv_from(version), sv_from(plural)) != NULL;
}

static void test_served_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "api/all=false", "invalid key with only api/all=false" },
		{ "api/all=yes", "invalid value api/all=yes" },
		{ "apps", "runtime-config invalid key apps" },
		{ "apps/v1/pods/log=true", "runtime-config invalid key apps/v1/pods/log" },
		{ "apps/v1/=true", "runtime-config invalid key apps/v1/" },
		{ "nope.k8s.io/v1=true", "unknown api groups nope.k8s.io" },
		{ "apps/v2=true", "group version apps/v2 that has not been registered" },
		{ "apps/v1=no",
		  "invalid value of apps/v1: no, err: strconv.ParseBool: parsing \"no\": invalid syntax" },
		{ "apps/v1/Deployments=true", "invalid key apps/v1/Deployments: group/version/resource and resource is "
					      "always lowercase plural, not \"Deployments\"" },
		/* Ours: asked for by its name, and never to be had. */
		{ "scheduling.k8s.io/v1beta1=true",
		  "--runtime-config asks for scheduling.k8s.io/v1beta1, whose feature is "
		  "off: add --feature-gates=GenericWorkload=true" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(served_set(sv_from(rows[i][0]), &err), -1);
		assert_string_equal(err_msg(&err), rows[i][1]);
		assert_true(served("apps", "v1", "deployments"));
	}
}

static void test_gate_without_api(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(features_set(SV("GenericWorkload=true"), &err), 0);
	assert_int_equal(served_set(SV(""), &err), -1);
	assert_string_equal(err_msg(&err),
			    "feature gate GenericWorkload is on and no version of its API is served: add "
			    "--runtime-config=scheduling.k8s.io/v1beta1=true");
	err_release(&err);
	assert_int_equal(served_set(SV("scheduling.k8s.io/v1beta1=true"), &err), 0);
	assert_true(served("scheduling.k8s.io", "v1beta1", "podgroups"));
	/* By the name of its stage nobody has to know of versions. */
	features_reset();
	assert_int_equal(features_set(SV("AllBeta=true"), &err), 0);
	assert_int_equal(served_set(SV(""), &err), 0);
	assert_false(served("scheduling.k8s.io", "v1beta1", "podgroups"));
}

static void test_served(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_true(served("resource.k8s.io", "v1", "resourceclaims"));
	assert_false(served("resource.k8s.io", "v1beta2", "resourceclaims"));
	assert_false(served("lifecycle.k8s.io", "v1alpha1", "evictions"));
	/* The taint rules of devices are stored in a version that is not served. */
	assert_true(resource_served_first(RES(resource_devicetaintrules)));

	assert_int_equal(served_set(SV("api/beta=true,resource.k8s.io/v1beta1=false,apps/v1/replicasets=false"), &err),
			 0);
	assert_true(served("resource.k8s.io", "v1beta2", "resourceclaims"));
	assert_false(served("resource.k8s.io", "v1beta1", "resourceclaims"));
	assert_false(served("resource.k8s.io", "v1alpha3", "devicetaintrules"));
	assert_false(served("scheduling.k8s.io", "v1beta1", "podgroups")); /* its gate is off */
	assert_true(served("apps", "v1", "deployments"));
	assert_false(served("apps", "v1", "replicasets"));

	served_reset();
	assert_int_equal(served_set(SV("apps/v1/replicasets,api/all=false,apps/v1=false,policy/v1"), &err), 0);
	assert_true(served("apps", "v1", "replicasets"));
	assert_false(served("apps", "v1", "deployments"));
	assert_true(served("policy", "v1", "poddisruptionbudgets"));
	assert_false(group_version_served(SV(""), SV("v1")));
	assert_true(group_version_served(SV("apps"), SV("v1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_gates_refused, reset),
		cmocka_unit_test_setup(test_gates, reset),
		cmocka_unit_test_setup(test_fields, reset),
		cmocka_unit_test_setup(test_served_refused, reset),
		cmocka_unit_test_setup(test_gate_without_api, reset),
		cmocka_unit_test_setup(test_served, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
