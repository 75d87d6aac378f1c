/* The kinds as they are made, and the questions that all who deal with snapshots ask. */
#include "unit.h"

#include "codec/json.h"
#include "object/described.h"
#include "object/structural.h"
#include "volsnap/volsnap.h"

static void test_kinds(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *all = described_crds(&a, volsnap_crds_json);

	assert_int_equal(val_len(all), _VOLSNAP_MAX);
	VAL_EACH(all, crd) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct val *v = val_at(val_get(crd, F_spec, F_versions), 0);
		struct structural *s = structural_new(&a, val_get(v, F_schema, F_openAPIV3Schema), &err);

		if (!s)
			fail_msg("%s", err_msg(&err));
		structural_release(s);
		assert_true(val_is(val_get(v, F_name), "v1"));
		assert_int_equal(val_len(val_get(crd, F_spec, F_versions)), 1);
		assert_true(
		    val_str(val_member_sv(val_get(crd, F_metadata, F_annotations), SV("api-approved.kubernetes.io")))
			.n > 0);
	}
}

static struct obj *object(const char *text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = json_decode(&a, sv_from(text), NULL, NULL);

	assert_non_null(doc);
	return obj_new(doc, 1);
}

#define SNAPSHOT "{\"metadata\":{\"name\":\"s\",\"namespace\":\"n\",\"uid\":\"u\"}"
#define REF(ns, name, uid) "\"volumeSnapshotRef\":{\"namespace\":\"" ns "\",\"name\":\"" name "\",\"uid\":\"" uid "\"}"

static void bound(const char *status, const char *ref, bool is)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *snapshot = object(arena_printf(&a, SNAPSHOT ",\"status\":{%s}}", status));
	_cleanup_obj_ struct obj *content =
	    object(arena_printf(&a, "{\"metadata\":{\"name\":\"c\"},\"spec\":{%s}}", ref));

	assert_int_equal(volsnap_bound(snapshot, content), is);
}

/* One that points at another's content, or is pointed at by name alone, is not bound. */
static void test_bound(_unused_ void **state)
{
	bound("", REF("n", "s", "u"), false);
	bound("\"boundVolumeSnapshotContentName\":\"d\"", REF("n", "s", "u"), false);
	bound("\"boundVolumeSnapshotContentName\":\"c\"", REF("n", "s", ""), false);
	bound("\"boundVolumeSnapshotContentName\":\"c\"", REF("n", "s", "v"), false);
	bound("\"boundVolumeSnapshotContentName\":\"c\"", REF("m", "s", "u"), false);
	bound("\"boundVolumeSnapshotContentName\":\"c\"", REF("n", "t", "u"), false);
	bound("\"boundVolumeSnapshotContentName\":\"c\"", REF("n", "s", "u"), true);
}

static void goes(const char *meta, const char *source, const char *uid, bool is)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *content = object(
	    arena_printf(&a,
			 "{\"metadata\":{\"name\":\"c\"%s},\"spec\":{\"source\":{%s},\"volumeSnapshotRef\":{\"uid\":"
			 "\"%s\"}}}",
			 meta, source, uid));

	assert_int_equal(volsnap_goes(obj_root(content)), is);
}

/* Data go when their snapshot goes, never with the content's deletion alone. */
static void test_goes(_unused_ void **state)
{
#define DELETED ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\""
#define MARKED ",\"annotations\":{\"" ANN_VOLSNAP_BEING_DELETED "\":\"yes\"}"
	goes("", "\"volumeHandle\":\"v\"", "u", false);
	goes(MARKED, "\"volumeHandle\":\"v\"", "u", false);
	goes(DELETED, "\"volumeHandle\":\"v\"", "u", false);
	goes(DELETED, "\"snapshotHandle\":\"v\"", "u", false);
	goes(DELETED MARKED, "\"volumeHandle\":\"v\"", "u", true);
	goes(DELETED, "\"snapshotHandle\":\"v\"", "", true);
}

static void source(const char *spec, const char *is)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *claim =
	    object(arena_printf(&a, "{\"metadata\":{\"name\":\"c\",\"namespace\":\"n\"},\"spec\":{%s}}", spec));

	assert_true(sv_is(volsnap_source_of(claim), is));
}

static void test_source(_unused_ void **state)
{
#define OF(group, kind, more) "{\"apiGroup\":\"" group "\",\"kind\":\"" kind "\",\"name\":\"s\"" more "}"
	source("\"a\":1", "");
	source("\"dataSource\":" OF("", "PersistentVolumeClaim", ""), "");
	source("\"dataSource\":" OF("other", "VolumeSnapshot", ""), "");
	source("\"dataSourceRef\":" OF(VOLSNAP_GROUP, "VolumeSnapshot", ",\"namespace\":\"m\""), "");
	source("\"dataSource\":" OF(VOLSNAP_GROUP, "VolumeSnapshot", ""), "s");
	source("\"dataSourceRef\":" OF(VOLSNAP_GROUP, "VolumeSnapshot", ",\"namespace\":\"n\""), "s");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_kinds), cmocka_unit_test(test_bound),
					    cmocka_unit_test(test_goes), cmocka_unit_test(test_source) };

	return cmocka_run_group_tests_name("volsnap", tests, NULL, NULL);
}
