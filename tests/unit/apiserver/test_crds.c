/* CustomResourceDefinitions from their creation to their end: what is served of them, what their status says, who gets
 * which name, and that nothing of them is lost. */
#include "harness.h"

#include <stdio.h>

#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define FOOS "/apis/ex.com/v1/namespaces/default/foos"

static const char version_1[] =
    "{\"name\":\"v1\",\"served\":true,\"storage\":true,\"subresources\":{\"status\":{},\"scale\":{\"specReplicasPath\":"
    "\".spec.n\",\"statusReplicasPath\":\".status.n\",\"labelSelectorPath\":\".status.sel\"}},\"selectableFields\":[{"
    "\"jsonPath\":\".spec.colour\"}],\"additionalPrinterColumns\":[{\"name\":\"Colour\",\"type\":\"string\","
    "\"jsonPath\":"
    "\".spec.colour\"}],\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":"
    "\"object\","
    "\"properties\":{\"n\":{\"type\":\"integer\"},\"colour\":{\"type\":\"string\",\"default\":\"red\"}}},\"status\":{"
    "\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}}}";

static const char *definition(struct rig *r, const char *plural, const char *kind, const char *names,
			      const char *versions)
{
	return arena_printf(
	    &r->arena,
	    "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":"
	    "{\"name\":\"%s.ex.com\"},\"spec\":{\"group\":\"ex.com\",\"scope\":\"Namespaced\",\"names\":{"
	    "\"plural\":\"%s\",\"kind\":\"%s\"%s},\"versions\":[%s]}}",
	    plural, plural, kind, names, versions);
}

static const struct val *condition(struct rig *r, const char *path, const char *type)
{
	VAL_EACH(val_get(expect(r, 200, "GET", path, NULL), F_status, F_conditions), c)
		if (val_is(val_member(c, F_type), type))
			return c;
	return NULL;
}

static void install(struct rig *r, const char *plural, const char *kind, const char *names, const char *versions)
{
	expect(r, 201, "POST", CRDS, definition(r, plural, kind, names, versions));
	rig_run(r, NS_PER_SEC);
}

static void test_life(void **state)
{
	struct rig *r = *state;
	const struct val *v;
	struct answer *a;

	expect(r, 404, "GET", FOOS, NULL);
	install(r, "foos", "Foo", ",\"shortNames\":[\"fo\"]", version_1);
	assert_val(val_member(condition(r, CRDS "/foos.ex.com", "Established"), F_reason), "InitialNamesAccepted");
	assert_val(val_member(condition(r, CRDS "/foos.ex.com", "NamesAccepted"), F_message), "no conflicts found");
	v = expect(r, 200, "GET", CRDS "/foos.ex.com", NULL);
	assert_val(val_get(v, F_status, F_acceptedNames, F_listKind), "FooList");
	v = expect(
	    r, 201, "POST", FOOS,
	    "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"},\"spec\":{\"n\":2,\"zz\":1},"
	    "\"status\":{\"n\":9}}");
	assert_val(val_member_sv(val_member(v, F_spec), SV("colour")), "red");
	assert_null(val_member_sv(val_member(v, F_spec), SV("zz")));
	assert_null(val_member(v, F_status));
	/* What the status endpoint takes, and what it leaves. */
	v = expect_type(r, 200, "PATCH", FOOS "/f/status", "application/merge-patch+json",
			"{\"spec\":{\"n\":7},\"status\":{\"n\":1,\"sel\":\"a=b\"}}");
	assert_int_equal(val_int_or(val_member_sv(val_member(v, F_spec), SV("n")), 0), 2);
	assert_int_equal(val_get_int(v, 0, F_metadata, F_generation), 1);
	/* Scale is where the definition says. */
	v = expect(r, 200, "GET", FOOS "/f/scale", NULL);
	assert_int_equal(val_get_int(v, 0, F_spec, F_replicas), 2);
	assert_val(val_get(v, F_status, F_selector), "a=b");
	v = expect_type(r, 200, "PATCH", FOOS "/f/scale", "application/merge-patch+json",
			"{\"spec\":{\"replicas\":5}}");
	assert_int_equal(val_get_int(v, 0, F_spec, F_replicas), 5);
	v = expect(r, 200, "GET", FOOS "/f", NULL);
	assert_int_equal(val_int_or(val_member_sv(val_member(v, F_spec), SV("n")), 0), 5);
	assert_int_equal(val_get_int(v, 0, F_metadata, F_generation), 2);
	/* Fields that can be selected by, and others. */
	assert_int_equal(
	    val_len(val_member(expect(r, 200, "GET", FOOS "?fieldSelector=spec.colour%3Dred", NULL), F_items)), 1);
	assert_int_equal(
	    val_len(val_member(expect(r, 200, "GET", FOOS "?fieldSelector=spec.colour%3Dblue", NULL), F_items)), 0);
	expect(r, 400, "GET", FOOS "?fieldSelector=spec.n%3D5", NULL);
	a = api(r, "GET", FOOS, .accept = "application/json;as=Table;v=v1;g=meta.k8s.io");
	assert_val(val_at(val_member(val_at(val_member(a->json, F_rows), 0), F_cells), 1), "red");
	answer_free(a);
	/* It goes with its instances. */
	v = expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	assert_val(val_at(val_get(v, F_metadata, F_finalizers), 0), "customresourcecleanup.apiextensions.k8s.io");
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 404, "GET", CRDS "/foos.ex.com", NULL);
	expect(r, 404, "GET", FOOS "/f", NULL);
	install(r, "foos", "Foo", "", version_1);
	assert_int_equal(val_len(val_member(expect(r, 200, "GET", FOOS, NULL), F_items)), 0);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	install(r, "foos", "Foo", "", version_1);
	expect_status(r, 422, "Invalid", "spec.n",
		      &(struct ask){ .method = "POST",
				     .path = FOOS,
				     .body =
					 "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"},"
					 "\"spec\":{\"n\":\"two\"}}" });
	expect_status(r, 400, "BadRequest", "unknown field \"spec.zz\"",
		      &(struct ask){ .method = "POST",
				     .path = FOOS "?fieldValidation=Strict",
				     .body =
					 "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"},"
					 "\"spec\":{\"zz\":1}}" });
	expect_status(
	    r, 422, "Invalid", "must be Foo",
	    &(struct ask){ .method = "POST",
			   .path = FOOS,
			   .body = "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Bar\",\"metadata\":{\"name\":\"f\"}}" });
	expect_status(
	    r, 400, "BadRequest", "does not match the expected API version",
	    &(struct ask){ .method = "POST",
			   .path = FOOS,
			   .body = "{\"apiVersion\":\"ex.com/v2\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"}}" });
	/* In no namespace, where it has to be in one. */
	expect(r, 404, "POST", "/apis/ex.com/v1/foos", "{\"metadata\":{\"name\":\"f\"}}");
	/* While it goes nothing new comes: an instance whose finalizer nobody takes holds it. */
	expect(r, 201, "POST", FOOS,
	       "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\",\"finalizers\":[\"ex.com/"
	       "x\"]}}");
	/* A short name is taken with a word. */
	a = api(
	    r, "POST", FOOS "?dryRun=All",
	    .body =
		"{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"g\",\"finalizers\":[\"x\"]}}");
	assert_int_equal(a->code, 201);
	assert_int_equal(a->q.n_warnings, 1);
	answer_free(a);
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	rig_run(r, NS_PER_SEC);
	expect(r, 405, "POST", FOOS, "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"g\"}}");
	expect(r, 200, "GET", CRDS "/foos.ex.com", NULL);
	expect_type(r, 200, "PATCH", FOOS "/f", "application/merge-patch+json", "{\"metadata\":{\"finalizers\":null}}");
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 404, "GET", CRDS "/foos.ex.com", NULL);
}

/* Who has a name keeps it; who wants it waits, and gets it when it is free. */
static void test_conflicts(void **state)
{
	struct rig *r = *state;

	install(r, "foos", "Foo", ",\"shortNames\":[\"x\"]", version_1);
	install(r, "bars", "Foo", ",\"shortNames\":[\"x\"],\"singular\":\"bar\",\"listKind\":\"BarList\"", version_1);
	assert_val(val_member(condition(r, CRDS "/bars.ex.com", "NamesAccepted"), F_reason), "KindConflict");
	assert_val(val_member(condition(r, CRDS "/bars.ex.com", "NamesAccepted"), F_message),
		   "\"Foo\" is already in use");
	assert_val(val_member(condition(r, CRDS "/bars.ex.com", "Established"), F_reason), "NotAccepted");
	expect(r, 404, "GET", "/apis/ex.com/v1/bars", NULL);
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	rig_run(r, 10 * NS_PER_SEC);
	assert_val(val_member(condition(r, CRDS "/bars.ex.com", "Established"), F_status), "True");
	expect(r, 200, "GET", "/apis/ex.com/v1/bars", NULL);
}

/* A definition that changes: its objects are there all the time, in the new form; also for the next server. */
static void test_change(void **state)
{
	struct rig *r = *state;
	const struct val *v;

	install(r, "foos", "Foo", "", version_1);
	expect(r, 201, "POST", FOOS, "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"}}");
	expect_type(
	    r, 200, "PATCH", CRDS "/foos.ex.com", "application/json-patch+json",
	    "[{\"op\":\"add\",\"path\":\"/spec/versions/1\",\"value\":{\"name\":\"v2\",\"served\":true,\"storage\":"
	    "false,\"deprecated\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{"
	    "\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"string\"}}}}}}}}]");
	expect(r, 200, "GET", FOOS "/f", NULL); /* before it is followed, and after */
	rig_run(r, NS_PER_SEC);
	expect(r, 200, "GET", FOOS "/f", NULL);
	v = expect(r, 200, "GET", "/apis/ex.com/v2/namespaces/default/foos/f", NULL);
	assert_val(val_member(v, F_apiVersion), "ex.com/v2");
	expect_type(
	    r, 200, "PATCH", CRDS "/foos.ex.com", "application/json-patch+json",
	    "[{\"op\":\"replace\",\"path\":\"/spec/versions/0/storage\",\"value\":false},{\"op\":\"replace\",\"path\":"
	    "\"/spec/versions/1/storage\",\"value\":true}]");
	rig_run(r, NS_PER_SEC);
	v = expect(r, 200, "GET", CRDS "/foos.ex.com", NULL);
	assert_int_equal(val_len(val_get(v, F_status, F_storedVersions)), 2);
	expect_status(r, 422, "Invalid", "must appear in spec.versions",
		      &(struct ask){ .method = "PATCH",
				     .path = CRDS "/foos.ex.com",
				     .type = "application/json-patch+json",
				     .body = "[{\"op\":\"remove\",\"path\":\"/spec/versions/0\"}]" });
	rig_restart(r);
	v = expect(r, 200, "GET", FOOS "/f", NULL); /* served before it says that it is ready */
	assert_val(val_member(v, F_apiVersion), "ex.com/v1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_conflicts, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_change, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("crds", tests, NULL, NULL);
}
