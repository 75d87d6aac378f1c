/* StorageVersionMigrations on the real server: objects of a kind whose storage version has changed. */
#include "real.h"

#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define WIDGETS "/apis/example.com/v1/namespaces/default/widgets"
#define MIGRATIONS "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
#define MERGE "application/merge-patch+json"

#define VERSION(name, storage)                                                                            \
	"{\"name\":\"" name "\",\"served\":true,\"storage\":" storage ",\"schema\":{\"openAPIV3Schema\":" \
	"{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}"
#define VERSIONS(first, second) "\"versions\":[" VERSION("v1", first) "," VERSION("v2", second) "]"

static struct cluster world(void **state)
{
	struct cluster k = cluster_start(state);

	expect(k.rig, 201, "POST", CRDS,
	       "{\"metadata\":{\"name\":\"widgets.example.com\"},\"spec\":{\"group\":\"example.com\",\"scope\":"
	       "\"Namespaced\","
	       "\"names\":{\"plural\":\"widgets\",\"kind\":\"Widget\"}," VERSIONS("true", "false") "}}");
	cluster_run(&k, 2);
	return k;
}

static void migrate(struct rig *r, const char *name, const char *group, const char *resource)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	expect(r, 201, "POST", MIGRATIONS,
	       arena_printf(
		   &a,
		   "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"resource\":{\"group\":\"%s\",\"resource\":\"%s\"}}}",
		   name, group, resource));
}

/* The one condition of a migration that is over. */
static const struct val *ended(struct rig *r, const char *path, const char *type)
{
	const struct val *list = val_get(expect(r, 200, "GET", path, NULL), F_status, F_conditions);

	assert_int_equal(val_len(list), 1);
	assert_sv(val_get_str(val_at(list, 0), F_type), type);
	assert_sv(val_get_str(val_at(list, 0), F_status), "True");
	return val_at(list, 0);
}

static const struct val *migrating(struct rig *r, const struct val **ret_stored)
{
	const struct val *crd = expect(r, 200, "GET", CRDS "/widgets.example.com", NULL);

	*ret_stored = val_get(crd, F_status, F_storedVersions);
	VAL_EACH(val_get(crd, F_status, F_conditions), c)
		if (val_is(val_get(c, F_type), "StorageMigrating"))
			return c;
	return NULL;
}

static void test_custom(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;
	const struct val *stored, *said, *old, *now;
	int64_t rev;

	old = expect(r, 201, "POST", WIDGETS, "{\"metadata\":{\"name\":\"old\"},\"spec\":{\"x\":1}}");
	expect_type(r, 200, "PATCH", CRDS "/widgets.example.com", MERGE, "{\"spec\":{" VERSIONS("false", "true") "}}");
	cluster_run(&k, 2);
	now = expect(r, 201, "POST", WIDGETS, "{\"metadata\":{\"name\":\"young\"}}");
	rev = rev_of(now);
	(void)migrating(r, &stored);
	assert_int_equal(val_len(stored), 2);

	migrate(r, "m", "example.com", "widgets");
	cluster_run(&k, 5);
	assert_sv(val_get_str(ended(r, MIGRATIONS "/m", "Succeeded"), F_reason), "StorageVersionMigrationSucceeded");
	/* The old one is written, without any other change; the young one need not be. */
	now = expect(r, 200, "GET", WIDGETS "/old", NULL);
	assert_true(rev_of(now) > rev);
	assert_true(val_equal(val_get(now, F_spec), val_get(old, F_spec)));
	assert_int_equal(val_len(val_get(now, F_metadata, F_managedFields)),
			 val_len(val_get(old, F_metadata, F_managedFields)));
	assert_int_equal(rev_of(expect(r, 200, "GET", WIDGETS "/young", NULL)), rev);
	said = migrating(r, &stored);
	assert_sv(val_get_str(said, F_status), "False");
	assert_sv(val_get_str(said, F_reason), "MigrationSucceeded");
	assert_int_equal(val_get_int(said, 0, F_observedGeneration), 2);
	assert_int_equal(val_len(stored), 1);
	assert_sv(val_str(val_at(stored, 0)), "v2");

	/* Several of one resource: one after the other, and what is in order stays as it is. */
	rev = rev_of(now);
	migrate(r, "m2", "example.com", "widgets");
	migrate(r, "m3", "example.com", "widgets");
	cluster_run(&k, 5);
	ended(r, MIGRATIONS "/m2", "Succeeded");
	ended(r, MIGRATIONS "/m3", "Succeeded");
	assert_int_equal(rev_of(expect(r, 200, "GET", WIDGETS "/old", NULL)), rev);

	/* So the old version may go. */
	expect_type(r, 200, "PATCH", CRDS "/widgets.example.com", MERGE,
		    "{\"spec\":{\"versions\":[" VERSION("v2", "true") "]}}");
	cluster_run(&k, 2);
	expect(r, 200, "GET", "/apis/example.com/v2/namespaces/default/widgets/old", NULL);
	cluster_finish(&k);
}

static void test_unknown(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;

	/* A kind that is not there may come within a minute. */
	migrate(r, "m", "example.com", "gadgets");
	cluster_run(&k, 30);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", MIGRATIONS "/m", NULL), F_status, F_conditions)), 0);
	cluster_run(&k, 40);
	assert_sv(val_get_str(ended(r, MIGRATIONS "/m", "Failed"), F_message),
		  "migration encountered unhandled error: unable to obtain GVR from discovery");
	/* Built-in ones have no definition. */
	migrate(r, "s", "", "configmaps");
	cluster_run(&k, 5);
	ended(r, MIGRATIONS "/s", "Succeeded");
	cluster_finish(&k);
}

static void test_node_ttl(void **state)
{
	struct cluster k = cluster_start(state);

	cluster_run(&k, 2);
	assert_sv(val_str(val_member_sv(
		      val_get(expect(k.rig, 200, "GET", "/api/v1/nodes/n1", NULL), F_metadata, F_annotations),
		      SV("node.alpha.kubernetes.io/ttl"))),
		  "0");
	cluster_finish(&k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_custom, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_unknown, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_node_ttl, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
