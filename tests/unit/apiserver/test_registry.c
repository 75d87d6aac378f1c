/* The verbs: what they answer, what they store. */
#include "harness.h"

#include "apiserver/steps.h"
#include "store/store.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define DEP "/apis/apps/v1/namespaces/default/deployments"

static const char deployment[] =
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"},\"spec\":{\"selector\":{"
    "\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{"
    "\"containers\":[{"
    "\"name\":\"c\",\"image\":\"x\"}]}}}}";

static void test_create_get(void **state)
{
	struct rig *r = *state;
	const struct val *o = expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}"),
			 *again;

	assert_val(val_get(o, F_kind), "ConfigMap");
	assert_val(val_get(o, F_apiVersion), "v1");
	assert_val(val_get(o, F_metadata, F_namespace), "default");
	assert_int_equal(val_get_str(o, F_metadata, F_uid).n, 36);
	assert_val(val_get(o, F_metadata, F_creationTimestamp), "2026-01-01T00:00:00Z");
	assert_null(val_get(o, F_metadata, F_generation));
	assert_val(val_get(val_at(val_get(o, F_metadata, F_managedFields), 0), F_manager), "unit");
	assert_true(rev_of(o) > 0);
	again = expect(r, 200, "GET", CM "/a", NULL);
	assert_true(val_equal(o, again));
	expect_status(r, 409, "AlreadyExists", "configmaps \"a\" already exists",
		      &(struct ask){ .method = "POST", .path = CM, .body = "{\"metadata\":{\"name\":\"a\"}}" });
	expect_status(r, 404, "NotFound", "configmaps \"b\" not found",
		      &(struct ask){ .method = "GET", .path = CM "/b" });
}

static void test_generate_name(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 50; i++) {
		const struct val *o = expect(r, 201, "POST", CM, "{\"metadata\":{\"generateName\":\"g-\"}}");
		struct sv name = val_get_str(o, F_metadata, F_name);

		assert_int_equal(name.n, 7);
		assert_true(sv_starts(name, SV("g-")));
	}
	expect_status(r, 422, "Invalid", "name or generateName is required",
		      &(struct ask){ .method = "POST", .path = CM, .body = "{\"metadata\":{}}" });
}

static void test_dry_run(void **state)
{
	struct rig *r = *state;
	const struct val *o = expect(r, 201, "POST", CM "?dryRun=All", "{\"metadata\":{\"name\":\"dry\"}}");

	assert_int_equal(val_get_str(o, F_metadata, F_uid).n, 36);
	expect(r, 404, "GET", CM "/dry", NULL);
	expect_status(
	    r, 422, "Invalid", "dryRun: Unsupported value: []string{\"Some\"}",
	    &(struct ask){ .method = "POST", .path = CM "?dryRun=Some", .body = "{\"metadata\":{\"name\":\"dry\"}}" });
}

static void test_update(void **state)
{
	struct rig *r = *state;
	const struct val *first = expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}");
	const struct val *second =
	    expect(r, 200, "PUT", CM "/a", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"w\"}}");
	char body[256];

	assert_true(rev_of(second) > rev_of(first));
	assert_sv(val_get_str(second, F_metadata, F_uid), arena_cstr(&r->arena, val_get_str(first, F_metadata, F_uid)));
	/* The same again changes nothing. */
	assert_int_equal(
	    rev_of(expect(r, 200, "PUT", CM "/a", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"w\"}}")),
	    rev_of(second));
	(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"%d\"}}",
		       (int)rev_of(first));
	expect_status(r, 409, "Conflict",
		      "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply "
		      "your changes "
		      "to the latest version and try again",
		      &(struct ask){ .method = "PUT", .path = CM "/a", .body = body });
	/* "0" is any version */
	expect(r, 200, "PUT", CM "/a",
	       "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"0\"},\"data\":{\"k\":\"w\"}}");
	expect_status(r, 409, "Conflict", "Precondition failed: UID in precondition: other",
		      &(struct ask){ .method = "PUT",
				     .path = CM "/a",
				     .body = "{\"metadata\":{\"name\":\"a\",\"uid\":\"other\"}}" });
	expect_status(
	    r, 404, "NotFound", "configmaps \"nope\" not found",
	    &(struct ask){ .method = "PUT", .path = CM "/nope", .body = "{\"metadata\":{\"name\":\"nope\"}}" });
	expect_status(r, 400, "BadRequest", "the name of the object (b) does not match the name on the URL (a)",
		      &(struct ask){ .method = "PUT", .path = CM "/a", .body = "{\"metadata\":{\"name\":\"b\"}}" });
	/* Leases may be made by PUT but never overwritten blindly. */
	expect(r, 201, "PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
	       "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"x\",\"leaseDurationSeconds\":15}}");
	expect_status(r, 422, "Invalid",
		      "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
		      &(struct ask){ .method = "PUT",
				     .path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
				     .body = "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"y\","
					     "\"leaseDurationSeconds\":15}}" });
}

static void test_generation_and_status(void **state)
{
	struct rig *r = *state;
	const struct val *o = expect(r, 201, "POST", DEP, deployment);

	assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 1);
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 1);
	o = expect_type(r, 200, "PATCH", DEP "/web", "application/merge-patch+json",
			"{\"spec\":{\"replicas\":3},\"status\":{\"replicas\":9}}");
	assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 2);
	assert_int_equal(val_get_int(o, 0, F_status, F_replicas), 0);
	o = expect_type(r, 200, "PATCH", DEP "/web/status", "application/merge-patch+json",
			"{\"spec\":{\"replicas\":5},\"status\":{\"replicas\":2}}");
	assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 2);
	assert_int_equal(val_get_int(o, 0, F_status, F_replicas), 2);
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 3);
	o = expect(r, 200, "GET", DEP "/web/status", NULL);
	assert_int_equal(val_get_int(o, 0, F_status, F_replicas), 2);
	o = expect_type(r, 200, "PATCH", DEP "/web", "application/merge-patch+json",
			"{\"metadata\":{\"labels\":{\"x\":\"y\"}}}");
	assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 2);
}

static void test_scale(void **state)
{
	struct rig *r = *state;
	const struct val *o;

	expect(r, 201, "POST", DEP, deployment);
	o = expect(r, 200, "GET", DEP "/web/scale", NULL);
	assert_val(val_get(o, F_kind), "Scale");
	assert_val(val_get(o, F_apiVersion), "autoscaling/v1");
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 1);
	assert_val(val_get(o, F_status, F_selector), "app=web");
	o = expect(r, 200, "PUT", DEP "/web/scale",
		   "{\"apiVersion\":\"autoscaling/"
		   "v1\",\"kind\":\"Scale\",\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"},"
		   "\"spec\":{\"replicas\":4}}");
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 4);
	o = expect_type(r, 200, "PATCH", DEP "/web/scale", "application/merge-patch+json",
			"{\"spec\":{\"replicas\":5}}");
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 5);
	o = expect(r, 200, "GET", DEP "/web", NULL);
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 5);
	/* Applying a Scale owns the one field it shows. */
	expect_status(r, 409, "Conflict", ".spec.replicas",
		      &(struct ask){ .method = "PATCH",
				     .path = DEP "/web/scale?fieldManager=hpa",
				     .type = "application/apply-patch+yaml",
				     .body =
					 "{\"apiVersion\":\"autoscaling/v1\",\"kind\":\"Scale\",\"metadata\":{\"name\":"
					 "\"web\"},\"spec\":{\"replicas\":7}}" });
	o = expect_type(r, 200, "PATCH", DEP "/web/scale?fieldManager=hpa&force=true", "application/apply-patch+yaml",
			"{\"apiVersion\":\"autoscaling/v1\",\"kind\":\"Scale\",\"metadata\":{\"name\":\"web\"},"
			"\"spec\":{\"replicas\":7}}");
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 7);
	o = expect(r, 200, "GET", DEP "/web", NULL);
	VAL_EACH(val_get(o, F_metadata, F_managedFields), m) {
		if (val_is(val_get(m, F_manager), "hpa")) {
			assert_val(val_get(m, F_operation), "Apply");
			assert_val(val_get(m, F_subresource), "scale");
		}
	}
	expect_status(r, 404, "NotFound", "deployments/scale.apps \"none\" not found",
		      &(struct ask){ .method = "GET", .path = DEP "/none/scale" });
	expect_status(r, 422, "Invalid", "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
		      &(struct ask){ .method = "PATCH",
				     .path = DEP "/web/scale",
				     .type = "application/merge-patch+json",
				     .body = "{\"spec\":{\"replicas\":-1}}" });
}

static void test_patch(void **state)
{
	struct rig *r = *state;
	const struct val *o;

	expect(r, 201, "POST", DEP, deployment);
	o = expect_type(r, 200, "PATCH", DEP "/web", "application/strategic-merge-patch+json",
			"{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"d\",\"image\":\"y\"}]}}}}");
	assert_int_equal(val_len(val_get(o, F_spec, F_template, F_spec, F_containers)), 2);
	o = expect_type(r, 200, "PATCH", DEP "/web", "application/json-patch+json",
			"[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":7}]");
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 7);
	expect_status(r, 422, "Invalid", "",
		      &(struct ask){ .method = "PATCH",
				     .path = DEP "/web",
				     .type = "application/json-patch+json",
				     .body = "[{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":1}]" });
	expect_status(r, 415, "UnsupportedMediaType", "accepted media types include: application/json-patch+json",
		      &(struct ask){ .method = "PATCH", .path = DEP "/web", .type = "text/plain", .body = "{}" });
	expect_status(
	    r, 404, "NotFound", "deployments.apps \"nope\" not found",
	    &(struct ask){
		.method = "PATCH", .path = DEP "/nope", .type = "application/merge-patch+json", .body = "{}" });
	expect_status(r, 409, "Conflict", "the object has been modified",
		      &(struct ask){ .method = "PATCH",
				     .path = DEP "/web",
				     .type = "application/merge-patch+json",
				     .body = "{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{\"replicas\":8}}" });
}

static void test_apply(void **state)
{
	struct rig *r = *state;
	const char *yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: s\ndata:\n  a: '1'\n  b: '2'\n";
	struct answer *a;
	const struct val *o;

	expect_status(
	    r, 422, "Invalid", "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value",
	    &(struct ask){ .method = "PATCH", .path = CM "/s", .type = "application/apply-patch+yaml", .body = yaml });
	o = expect_type(r, 201, "PATCH", CM "/s?fieldManager=one", "application/apply-patch+yaml", yaml);
	assert_val(val_get(val_at(val_get(o, F_metadata, F_managedFields), 0), F_operation), "Apply");
	assert_int_equal(
	    rev_of(expect_type(r, 200, "PATCH", CM "/s?fieldManager=one", "application/apply-patch+yaml", yaml)),
	    rev_of(o));
	a = api(r, "PATCH", CM "/s?fieldManager=two", .type = "application/apply-patch+yaml",
		.body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: s\ndata:\n  a: 'x'\n");
	assert_int_equal(a->code, 409);
	assert_int_equal(val_len(val_get(a->json, F_details, F_causes)), 1);
	assert_val(val_get(val_at(val_get(a->json, F_details, F_causes), 0), F_reason), "FieldManagerConflict");
	answer_free(a);
	o = expect_type(r, 200, "PATCH", CM "/s?fieldManager=two&force=true", "application/apply-patch+yaml",
			"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: s\ndata:\n  a: 'x'\n");
	assert_sv(val_str(val_member_sv(val_get(o, F_data), SV("a"))), "x");
	assert_sv(val_str(val_member_sv(val_get(o, F_data), SV("b"))), "2");
	/* What one no longer lists and nobody else owns goes. */
	o = expect_type(r, 200, "PATCH", CM "/s?fieldManager=one", "application/apply-patch+yaml",
			"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: s\n");
	assert_null(val_member_sv(val_get(o, F_data), SV("b")));
	expect_status(
	    r, 422, "Invalid", "force: Forbidden: may not be specified for non-apply patch",
	    &(struct ask){
		.method = "PATCH", .path = CM "/s?force=true", .type = "application/merge-patch+json", .body = "{}" });
}

static void test_delete(void **state)
{
	struct rig *r = *state;
	const struct val *o;

	o = expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"a\"}}");
	expect_status(
	    r, 409, "Conflict",
	    "ConfigMap \"a\": the UID in the precondition (nope) does not match the UID in record (",
	    &(struct ask){ .method = "DELETE", .path = CM "/a", .body = "{\"preconditions\":{\"uid\":\"nope\"}}" });
	o = expect(r, 200, "DELETE", CM "/a", NULL);
	assert_val(val_get(o, F_status), "Success");
	assert_val(val_get(o, F_details, F_name), "a");
	assert_val(val_get(o, F_details, F_kind), "configmaps");
	expect_status(r, 404, "NotFound", "configmaps \"a\" not found",
		      &(struct ask){ .method = "DELETE", .path = CM "/a" });

	/* Finalizers hold it; the update that takes the last one away ends it. */
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"f\",\"finalizers\":[\"x.io/hold\"]}}");
	o = expect(r, 200, "DELETE", CM "/f", NULL);
	assert_val(val_get(o, F_kind), "ConfigMap");
	assert_true(val_get_str(o, F_metadata, F_deletionTimestamp).n > 0);
	assert_int_equal(val_get_int(o, -1, F_metadata, F_deletionGracePeriodSeconds), 0);
	expect(r, 200, "GET", CM "/f", NULL);
	expect_type(r, 200, "PATCH", CM "/f", "application/merge-patch+json", "{\"metadata\":{\"finalizers\":null}}");
	expect(r, 404, "GET", CM "/f", NULL);

	/* Propagation becomes finalizers for the garbage collector. */
	expect(r, 201, "POST", DEP, deployment);
	o = expect(r, 200, "DELETE", DEP "/web?propagationPolicy=Foreground", NULL);
	assert_val(val_at(val_get(o, F_metadata, F_finalizers), 0), "foregroundDeletion");
	o = expect(r, 200, "DELETE", DEP "/web?propagationPolicy=Orphan", NULL);
	assert_val(val_at(val_get(o, F_metadata, F_finalizers), 0), "orphan");
	expect(r, 200, "DELETE", DEP "/web", "{\"propagationPolicy\":\"Background\"}");
	expect(r, 404, "GET", DEP "/web", NULL);
	expect_status(r, 422, "Invalid",
		      "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"X\"",
		      &(struct ask){ .method = "DELETE", .path = CM "/a?propagationPolicy=X" });
}

static void test_deletecollection(void **state)
{
	struct rig *r = *state;
	const struct val *o;
	char body[128];

	for (int i = 0; i < 10; i++) {
		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"c%d\",\"labels\":{\"odd\":\"%d\"}}}", i,
			       i % 2);
		expect(r, 201, "POST", CM, body);
	}
	o = expect(r, 200, "DELETE", CM "?labelSelector=odd%3D1", NULL);
	assert_val(val_get(o, F_kind), "ConfigMapList");
	assert_int_equal(val_len(val_get(o, F_items)), 5);
	o = expect(r, 200, "GET", CM, NULL);
	assert_int_equal(val_len(val_get(o, F_items)), 5);
	expect(r, 200, "DELETE", CM, NULL);
	o = expect(r, 200, "GET", CM, NULL);
	assert_int_equal(val_len(val_get(o, F_items)), 0);
}

static void test_namespace_life(void **state)
{
	struct rig *r = *state;
	const struct val *o;

	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}");
	o = expect(r, 200, "DELETE", "/api/v1/namespaces/n", NULL);
	assert_val(val_get(o, F_status, F_phase), "Terminating");
	expect_status(r, 403, "Forbidden", "being terminated",
		      &(struct ask){ .method = "POST",
				     .path = "/api/v1/namespaces/n/configmaps",
				     .body = "{\"metadata\":{\"name\":\"late\"}}" });
	o = expect(r, 200, "PUT", "/api/v1/namespaces/n/finalize",
		   "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"n\"},\"spec\":{"
		   "\"finalizers\":[]}}");
	expect(r, 404, "GET", "/api/v1/namespaces/n", NULL);
}

static void test_methods(void **state)
{
	static const char *const no_api[] = { "/nothing/here", "/apis/nope.io", "/apis/nope.io/v1",
					      "/apis/nope.io/v1/things" };
	static const char *const no_resource[] = {
		"/apis/apps/v9", "/apis/apps/v9/deployments",	       "/api/v2",
		"/api/v1/nopes", "/api/v1/namespaces/default/nopes/x", "/api/v1/namespaces/default/configmaps/x/status"
	};
	struct rig *r = *state;

	expect_status(r, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource",
		      &(struct ask){ .method = "POST", .path = CM "/a", .body = "{}" });
	expect_status(r, 405, "MethodNotAllowed", "does not allow this method",
		      &(struct ask){ .method = "DELETE", .path = "/api/v1/namespaces" });
	/* across all namespaces things are listed and watched only */
	expect_status(r, 405, "MethodNotAllowed", "does not allow this method",
		      &(struct ask){ .method = "DELETE", .path = "/api/v1/configmaps" });
	expect_status(r, 405, "MethodNotAllowed", "does not allow this method",
		      &(struct ask){ .method = "POST", .path = "/api/v1/configmaps", .body = "{}" });
	expect_status(r, 404, "NotFound", "the server could not find the requested resource",
		      &(struct ask){ .method = "GET", .path = "/api/v1/namespaces/default/nothings" });
	expect_status(r, 404, "NotFound", "could not find", &(struct ask){ .method = "GET", .path = CM "/a/log" });
	/* Where no API is, nobody words a Status; below a group that is served somebody does. */
	for (size_t i = 0; i < ARRAY_LEN(no_api); i++) {
		struct answer *a = api(r, "GET", no_api[i]);

		assert_int_equal(a->code, 404);
		assert_string_equal(a->content_type, "text/plain; charset=utf-8");
		assert_sv(buf_sv(&a->body), "404 page not found\n");
		answer_free(a);
	}
	for (size_t i = 0; i < ARRAY_LEN(no_resource); i++) {
		struct answer *a = api(r, "GET", no_resource[i]);

		assert_int_equal(a->code, 404);
		assert_val(val_get(api_json(a), F_reason), "NotFound");
		assert_int_equal(val_len(val_get(api_json(a), F_details)), 0);
		assert_int_equal(val_type(val_get(api_json(a), F_details)), VAL_MAP);
		answer_free(a);
	}
	expect(r, 405, "HEAD", "/api/v1/namespaces/default/configmaps", NULL);
	expect(r, 405, "PUT", "/api/v1/namespaces/default/pods/x/binding", "{}");
	expect(r, 405, "GET", "/api/v1/namespaces/default/pods/x/eviction", NULL);
	expect(r, 405, "GET", "/api/v1/namespaces/default/finalize", NULL);
	expect(r, 404, "DELETE", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x", NULL);
	expect(r, 200, "POST", "/apis", "{}");
	expect_status(r, 403, "Forbidden",
		      "configmaps is forbidden: User \"eve\" cannot list resource \"configmaps\" in API group \"\" "
		      "in the namespace \"default\"",
		      &(struct ask){ .method = "GET", .path = CM, .user = "eve" });
}

/* --- others are faster --- */

static struct {
	struct rig *r;
	int left;
} faster;

static int faster_value(const struct store_kv *kv, void *ctx)
{
	buf_add(ctx, kv->value.p, kv->value.n);
	return 1;
}

/* Right before a write the object is written by somebody else. */
static int faster_commit(struct api_req *q, struct err *err, void *ctx)
{
	_cleanup_(buf_release) struct buf was = BUF_INIT;
	struct store_write w = { .key = SV("/registry/configmaps/default/raced"), .expect_rev = STORE_ANY_REV };

	(void)ctx;
	(void)err;
	if (faster.left <= 0 || !q->res || strcmp(q->res->plural, "configmaps") != 0)
		return 0;
	faster.left--;
	assert_int_equal(store_range(faster.r->store, w.key, SV(""), 0, 1, faster_value, &was, NULL, NULL), 0);
	w.value = buf_sv(&was);
	assert_int_equal(store_commit_wait(faster.r->store, &w, NULL, NULL), 1);
	return 0;
}

/* A patch that names no version is made on whatever there is, however often that changes; what it keeps has a bound. */
static void test_patch_among_others(void **state)
{
	static const char path[] = CM "/raced", merge[] = "application/merge-patch+json";
	static const struct req_plugins p = { .commit = faster_commit };
	struct rig *r = *state;
	struct buf b = BUF_INIT;
	const char *rev;

	faster.r = r;
	faster.left = 0;
	req_set_plugins(r->server, &p);
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"raced\"}}");
	faster.left = 50;
	expect_type(r, 200, "PATCH", path, merge, "{\"data\":{\"a\":\"1\"}}");
	assert_int_equal(faster.left, 0);
	rev = arena_cstr(&r->arena, val_get_str(expect(r, 200, "GET", path, NULL), F_metadata, F_resourceVersion));
	faster.left = 1;
	expect_type(r, 409, "PATCH", path, merge,
		    arena_printf(&r->arena, "{\"metadata\":{\"resourceVersion\":\"%s\"},\"data\":{\"a\":\"2\"}}", rev));
	assert_int_equal(faster.left, 0);
	buf_adds(&b, "{\"data\":{\"b\":\"");
	for (int i = 0; i < 900000; i++)
		buf_addc(&b, 'b');
	buf_adds(&b, "\"}}");
	expect_type(r, 200, "PATCH", path, merge, buf_cstr(&b));
	faster.left = 1000;
	expect_type(r, 409, "PATCH", path, merge, "{\"data\":{\"a\":\"3\"}}");
	assert_in_range(faster.left, 900, 995);
	buf_release(&b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_create_get),
		T(test_generate_name),
		T(test_dry_run),
		T(test_update),
		T(test_generation_and_status),
		T(test_scale),
		T(test_patch),
		T(test_apply),
		T(test_delete),
		T(test_deletecollection),
		T(test_namespace_life),
		T(test_methods),
		T(test_patch_among_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
