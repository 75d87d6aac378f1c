/* Discovery, OpenAPI, health, version, metrics. */
#include "harness.h"

#include "codec/pbwire.h"

#define AGGREGATED "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"

static const struct val *named(const struct val *list, enum sym key, const char *name)
{
	VAL_EACH(list, v)
		if (val_is(val_get(v, key), name))
			return v;
	return NULL;
}

static void test_legacy(void **state)
{
	struct rig *r = *state;
	const struct val *v, *g;

	v = expect(r, 200, "GET", "/api", NULL);
	assert_val(val_get(v, F_kind), "APIVersions");
	assert_val(val_at(val_get(v, F_versions), 0), "v1");
	v = expect(r, 200, "GET", "/apis", NULL);
	assert_val(val_get(v, F_kind), "APIGroupList");
	g = named(val_get(v, F_groups), F_name, "apps");
	assert_val(val_get(g, F_preferredVersion, F_groupVersion), "apps/v1");
	v = expect(r, 200, "GET", "/apis/apps", NULL);
	assert_val(val_get(v, F_kind), "APIGroup");
	v = expect(r, 200, "GET", "/api/v1", NULL);
	assert_val(val_get(v, F_kind), "APIResourceList");
	assert_val(val_get(v, F_groupVersion), "v1");
	g = named(val_get(v, F_resources), F_name, "pods");
	assert_val(val_get(g, F_kind), "Pod");
	assert_val(val_get(g, F_singularName), "pod");
	assert_true(val_get_bool(g, F_namespaced));
	assert_val(val_at(val_get(g, F_shortNames), 0), "po");
	assert_int_equal(val_len(val_get(g, F_verbs)), 8);
	assert_val(val_get(g, F_storageVersionHash), "xPOwRZ+Yhw8=");
	assert_non_null(named(val_get(v, F_resources), F_name, "pods/log"));
	g = named(val_get(expect(r, 200, "GET", "/apis/apps/v1", NULL), F_resources), F_name, "deployments/scale");
	assert_val(val_get(g, F_group), "autoscaling");
	assert_val(val_get(g, F_kind), "Scale");
	expect(r, 404, "GET", "/apis/nothing.io", NULL);
	expect(r, 404, "GET", "/apis/apps/v9", NULL);
}

static void test_aggregated(void **state)
{
	struct rig *r = *state;
	struct answer *a = api(r, "GET", "/apis", .accept = AGGREGATED);
	const struct val *res;

	assert_true(sv_find_sv(sv_from(a->content_type), SV("as=APIGroupDiscoveryList")) > 0);
	assert_val(val_get(a->json, F_kind), "APIGroupDiscoveryList");
	assert_val(val_get(a->json, F_apiVersion), "apidiscovery.k8s.io/v2");
	res = named(val_get(a->json, F_items), F_metadata, "");
	VAL_EACH(val_get(a->json, F_items), g)
		if (val_is(val_get(g, F_metadata, F_name), "apps"))
			res = g;
	assert_non_null(res);
	res = val_at(val_get(res, F_versions), 0);
	assert_val(val_get(res, F_version), "v1");
	res = named(val_get(res, F_resources), F_resource, "deployments");
	assert_val(val_get(res, F_scope), "Namespaced");
	assert_val(val_get(res, F_responseKind, F_kind), "Deployment");
	assert_int_equal(val_len(val_get(res, F_subresources)), 2);
	assert_int_equal(a->q.headers[0].value.n, 130);
	answer_free(a);
	a = api(r, "GET", "/api", .accept = AGGREGATED);
	assert_int_equal(val_len(val_get(a->json, F_items)), 1);
	answer_free(a);
}

static void test_openapi(void **state)
{
	struct rig *r = *state;
	const struct val *v;

	v = expect(r, 200, "GET", "/openapi/v3", NULL);
	assert_non_null(val_member_sv(val_get(v, F_paths), SV("apis/apps/v1")));
	v = expect(r, 200, "GET", "/openapi/v3/apis/apps/v1", NULL);
	assert_non_null(val_get(v, F_components, F_schemas));
	v = expect(r, 200, "GET", "/openapi/v3/api/v1", NULL);
	assert_non_null(val_get(v, F_components, F_schemas));
	v = expect(r, 200, "GET", "/openapi/v2", NULL);
	assert_non_null(val_get(v, F_definitions));
	expect(r, 404, "GET", "/openapi/v3/apis/nothing/v1", NULL);
}

/* What client-go asks for: gnostic's Document, of which definitions are field 9, in parts. */
static void test_openapi_protobuf(void **state)
{
	struct rig *r = *state;
	struct answer *a =
	    api(r, "GET", "/openapi/v2", .accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
	struct pb_field definitions, paths, data;
	size_t n = 0, found = 0;

	assert_int_equal(a->code, 200);
	assert_string_equal(a->content_type, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
	assert_true(pb_valid(buf_sv(&a->body)));
	assert_sv(pb_get_sv(buf_sv(&a->body), 1), "2.0");
	assert_true(pb_find(buf_sv(&a->body), 8, &paths));
	assert_true(pb_valid(paths.bytes));
	assert_true(pb_find(buf_sv(&a->body), 9, &definitions));
	PB_EACH(buf_sv(&a->body), document, part) {
		if (part.no != 9)
			continue;
		PB_EACH(part.bytes, reader, entry) {
			struct sv schema = pb_get_sv(entry.bytes, 2), ext;

			n++;
			if (!sv_is(pb_get_sv(entry.bytes, 1), "io.k8s.api.core.v1.ConfigMap"))
				continue;
			found++;
			assert_sv(pb_get_sv(pb_get_sv(schema, 22), 1), "object"); /* TypeItem */
			ext = pb_get_sv(schema, 31);
			assert_sv(pb_get_sv(ext, 1), "x-kubernetes-group-version-kind");
			assert_sv(pb_get_sv(pb_get_sv(ext, 2), 2),
				  "[{\"group\":\"\",\"kind\":\"ConfigMap\",\"version\":\"v1\"}]");
			assert_true(pb_find(schema, 25, &data));
		}
		assert_false(reader.bad);
	}
	assert_false(document.bad);
	assert_int_equal(found, 1);
	assert_int_equal(n, val_len(val_get(expect(r, 200, "GET", "/openapi/v2", NULL), F_definitions)));
	answer_free(a);
}

static void test_health(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	a = api(r, "GET", "/readyz");
	assert_int_equal(a->code, 200);
	assert_string_equal(buf_cstr(&a->body), "ok");
	answer_free(a);
	a = api(r, "GET", "/livez?verbose");
	assert_true(sv_find_sv(buf_sv(&a->body), SV("[+]ping ok\n")) >= 0);
	assert_true(sv_ends(buf_sv(&a->body), SV("livez check passed\n")));
	answer_free(a);
	a = api(r, "GET", "/readyz/ping");
	assert_string_equal(buf_cstr(&a->body), "ok");
	answer_free(a);
	a = api(r, "GET", "/readyz?verbose&exclude=ping");
	assert_true(sv_find_sv(buf_sv(&a->body), SV("[+]ping excluded: ok")) >= 0);
	answer_free(a);
	a = api(r, "GET", "/readyz/nothing");
	assert_int_equal(a->code, 404);
	answer_free(a);
	apiserver_shutdown(r->server);
	a = api(r, "GET", "/readyz");
	assert_int_equal(a->code, 500);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("[-]shutdown failed")) >= 0);
	answer_free(a);
}

static void test_version_and_metrics(void **state)
{
	struct rig *r = *state;
	const struct val *v = expect(r, 200, "GET", "/version", NULL);
	struct answer *a;

	assert_val(val_get(v, F_major), "1");
	assert_val(val_get(v, F_minor), "37");
	assert_true(sv_starts(val_get_str(v, F_gitVersion), SV("v1.37.0+caravel-")));
	expect(r, 404, "GET", "/api/v1/namespaces/default/pods/nope", NULL);
	a = api(r, "GET", "/metrics");
	assert_true(
	    sv_find_sv(
		buf_sv(&a->body),
		SV("apiserver_request_total{code=\"404\",component=\"apiserver\",dry_run=\"\",group=\"\",resource="
		   "\"pods\",scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"} 1\n")) >= 0);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("apiserver_storage_objects{resource=\"namespaces\"} 4\n")) >= 0);
	answer_free(a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_legacy),		  T(test_aggregated), T(test_openapi),
		T(test_openapi_protobuf), T(test_health),     T(test_version_and_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
