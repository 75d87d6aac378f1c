/* The Accept headers that clients send, and what they are answered with: each says what its client reads then. */
#include "harness.h"

#include <stdio.h>

#define PROTO "application/vnd.kubernetes.protobuf"
#define CMS "/api/v1/namespaces/default/configmaps"
#define TOYS "/apis/example.com/v1/namespaces/default/toys"
#define WATCH "?watch=true&timeoutSeconds=1"
#define META "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#define METAS "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
#define TABLES                                                                                                        \
	"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/" \
	"json"
#define DISCOVERY                                                               \
	"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," \
	"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
#define OPENAPI2 "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

static const struct {
	const char *client, *accept, *path;
	int code;
	const char *type; /* of the answer; what an object is shown as is not said there */
	const char *kind; /* in it, if it is JSON; NULL: not looked at */
} rows[] = {
	/* client-go: what is asked for, then anything; the typed clients of components and controller-runtime's for
	 * built-in kinds prefer protobuf. */
	{ "client-go", "application/json, */*", CMS, 200, "application/json", "ConfigMapList" },
	{ "client-go, watch", "application/json, */*", CMS WATCH, 200, "application/json", NULL },
	{ "components",
	  PROTO ","
		"application/json",
	  CMS, 200, PROTO, NULL },
	{ "components, watch", PROTO ",application/json", CMS WATCH, 200, PROTO ";stream=watch", NULL },
	{ "controller-runtime", PROTO ", */*", CMS, 200, PROTO, NULL },
	{ "controller-runtime, custom", PROTO ", */*", TOYS, 200, "application/json", "ToyList" },
	{ "controller-runtime, custom, watch", PROTO ", */*", TOYS WATCH, 200, "application/json", NULL },
	{ "components, custom", PROTO ",application/json", TOYS, 200, "application/json", "ToyList" },
	{ "dynamic client", "application/json", TOYS, 200, "application/json", "ToyList" },
	{ "protobuf alone, custom", PROTO, TOYS, 406, "application/json", "Status" },
	{ "protobuf alone, custom, watch", PROTO, TOYS WATCH, 406, "application/json", "Status" },
	{ "an error as protobuf", PROTO ",application/json", CMS "/none", 404, PROTO, NULL },
	/* The metadata client: garbage collectors and informers of metadata. */
	{ "metadata, list", PROTO ";" METAS ",application/json;" METAS ",application/json", CMS, 200, PROTO, NULL },
	{ "metadata, get", PROTO ";" META ",application/json;" META ",application/json", CMS "/a", 200, PROTO, NULL },
	{ "metadata, custom", PROTO ";" METAS ",application/json;" METAS ",application/json", TOYS, 200, PROTO, NULL },
	{ "metadata, watch", PROTO ";" META ",application/json;" META ",application/json", CMS WATCH, 200,
	  PROTO ";stream=watch", NULL },
	{ "metadata of JSON", "application/json;" METAS ",application/json", CMS, 200, "application/json",
	  "PartialObjectMetadataList" },
	/* kubectl and Helm. */
	{ "kubectl get", TABLES, CMS, 200, "application/json", "Table" },
	{ "kubectl get, custom", TABLES, TOYS, 200, "application/json", "Table" },
	{ "kubectl get -w", TABLES, CMS WATCH, 200, "application/json", NULL },
	{ "kubectl, discovery", DISCOVERY, "/apis", 200,
	  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "APIGroupDiscoveryList" },
	{ "kubectl, discovery", DISCOVERY, "/api", 200,
	  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "APIGroupDiscoveryList" },
	{ "older discovery", "application/json, */*", "/apis", 200, "application/json", "APIGroupList" },
	{ "older discovery", "application/json, */*", "/apis/apps/v1", 200, "application/json", "APIResourceList" },
	{ "client-go, OpenAPI v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "/openapi/v2", 200,
	  OPENAPI2, NULL },
	{ "newer OpenAPI v2", OPENAPI2, "/openapi/v2", 200, OPENAPI2, NULL },
	{ "OpenAPI v2", "application/json", "/openapi/v2", 200, "application/json", NULL },
	{ "OpenAPI v3", "application/json", "/openapi/v3/apis/apps/v1", 200, "application/json", NULL },
	{ "OpenAPI v3", "application/json, */*", "/openapi/v3", 200, "application/json", NULL },
	{ "client-go, version", "application/json, */*", "/version", 200, "application/json", NULL },
	/* The others' official clients: generated, so JSON wherever it is offered. */
	{ "Java and Python", "application/json", CMS, 200, "application/json", "ConfigMapList" },
	{ "JavaScript", "application/json, */*;q=0.8", CMS, 200, "application/json", "ConfigMapList" },
	{ "JavaScript, watch", "*/*", CMS WATCH, 200, "application/json", NULL },
	{ "Python, all that is offered", "application/json;stream=watch", CMS WATCH, 200, "application/json", NULL },
	{ "Java, okhttp", "", CMS, 200, "application/json", "ConfigMapList" },
	{ "C# and Rust", "application/json", TOYS, 200, "application/json", "ToyList" },
	{ "kube-rs, metadata", "application/json;" METAS, TOYS, 200, "application/json", "PartialObjectMetadataList" },
	{ "fabric8", "application/json, application/yaml", CMS, 200, "application/json", "ConfigMapList" },
	/* People. */
	{ "a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", CMS,
	  200, "application/json", "ConfigMapList" },
	{ "a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "/", 200, "application/json",
	  NULL },
	{ "YAML", "application/yaml", CMS, 200, "application/yaml", NULL },
	{ "YAML first", "application/yaml;q=0.9, application/json;q=0.5", CMS, 200, "application/yaml", NULL },
	{ "YAML, which no watch can be in", "application/yaml", CMS WATCH, 406, "application/json", "Status" },
	{ "JSON after all", "application/xml, application/json;q=0.1", CMS, 200, "application/json", "ConfigMapList" },
	{ "what there is not", "application/xml", CMS, 406, "application/json", NULL },
	{ "Prometheus", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
	  "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", NULL },
};

static void test_clients(void **state)
{
	struct rig *r = *state;
	bool bad = false;

	expect(r, 201, "POST", CMS, "{\"metadata\":{\"name\":\"a\"}}");
	expect(r, 201, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
	       "{\"metadata\":{\"name\":\"toys.example.com\"},\"spec\":{\"group\":\"example.com\",\"scope\":"
	       "\"Namespaced\","
	       "\"names\":{\"plural\":\"toys\",\"kind\":\"Toy\"},\"versions\":[{\"name\":\"v1\",\"served\":true,"
	       "\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}}]}}");
	rig_run(r, NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer *a = api(r, "GET", rows[i].path, .accept = rows[i].accept);
		const struct val *kind = a->json ? val_get(a->json, F_kind) : NULL;

		if (a->code != rows[i].code || strcmp(a->content_type, rows[i].type) != 0 ||
		    (rows[i].kind && !val_is(kind, rows[i].kind))) {
			print_error("%s: %s of %s: %d %s %.*s\n", rows[i].client, rows[i].accept, rows[i].path, a->code,
				    a->content_type, SV_ARG(val_str(kind)));
			bad = true;
		}
		if (a->streaming && !a->ended)
			answer_gone(a);
		else
			answer_free(a);
	}
	assert_false(bad);
}

/* A custom kind's watch begins with what there is, one bookmark ends that, others come as time passes. */
static void test_watch_list_of_a_custom_kind(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	for (int i = 0; i < 3; i++) {
		char body[100];

		(void)snprintf(body, sizeof(body),
			       "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Toy\",\"metadata\":{\"name\":\"t%d\"}}",
			       i);
		expect(r, 201, "POST", TOYS, body);
	}
	a = api(r, "GET",
		TOYS "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
	assert_int_equal(a->code, 200);
	assert_int_equal(stream_lines(a), 4);
	for (size_t i = 0; i < 3; i++)
		assert_val(val_get(stream_line(a, i), F_type), "ADDED");
	assert_val(val_get(stream_line(a, 3), F_type), "BOOKMARK");
	assert_val(val_get(stream_line(a, 3), F_object, F_kind), "Toy");
	assert_val(val_member_sv(val_get(stream_line(a, 3), F_object, F_metadata, F_annotations),
				 SV("k8s.io/initial-events-end")),
		   "true");
	rig_run(r, 120 * NS_PER_SEC);
	assert_true(stream_lines(a) > 4);
	assert_val(val_get(stream_line(a, 4), F_type), "BOOKMARK");
	assert_null(val_get(stream_line(a, 4), F_object, F_metadata, F_annotations));
	answer_gone(a);
	expect_status(r, 422, "Invalid", "sendInitialEvents is forbidden",
		      &(struct ask){ .method = "GET", .path = TOYS "?sendInitialEvents=true" });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_watch_list_of_a_custom_kind),
	};

	return cmocka_run_group_tests_name("apiserver/accept", tests, rig_setup, rig_teardown);
}
