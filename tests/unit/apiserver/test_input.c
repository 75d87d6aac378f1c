/* What clients may not say: each gets the Status upstream gives, and nothing is stored. */
#include "harness.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define PODS "/api/v1/namespaces/default/pods"
#define DEP "/apis/apps/v1/namespaces/default/deployments"

static const struct {
	int code;
	const char *reason, *message, *field; /* field: of the first cause, or NULL */
	struct ask ask;
} table[] = {
#define POST(path_, body_)                                     \
	{                                                      \
		.method = "POST", .path = path_, .body = body_ \
	}
#define STRATEGIC(body_)                                                                                               \
	{                                                                                                              \
		.method = "PATCH", .path = CM "/kept", .body = body_, .type = "application/strategic-merge-patch+json" \
	}
	/* malformed */
	{ 400, "BadRequest", "couldn't get version/kind; json parse error", NULL, POST(CM, "{\"metadata\":") },
	{ 400, "BadRequest", "couldn't get version/kind; json parse error", NULL, POST(CM, "{\"metadata\":{}} x") },
	{ 400, "BadRequest", "cannot unmarshal array", NULL, POST(CM, "[]") },
	{ 400, "BadRequest", "cannot unmarshal string", NULL, POST(CM, "\"x\"") },
	{ 400, "BadRequest",
	  "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse "
	  "error: "
	  "unexpected end of JSON input (<empty>)",
	  NULL, POST(CM, "") },
	{ 400, "BadRequest", "unexpected end of JSON input ({\"metadata\":{\"name\":\"a\",\"label ...)", NULL,
	  POST(CM, "{\"metadata\":{\"name\":\"a\",\"labels\":{") },
	{ 400, "BadRequest", "cannot unmarshal number into Go struct field .kind of type string", NULL,
	  POST(CM, "{\"kind\":7,\"metadata\":{\"name\":\"a\"}}") },
	/* bytes that are no UTF-8 become U+FFFD, which is no name */
	{ 422, "Invalid", "Invalid value: \"\xef\xbf\xbd\xef\xbf\xbd\"", "metadata.name",
	  POST(CM, "{\"metadata\":{\"name\":\"\xff\xfe\"}}") },
	{ 400, "BadRequest", "", NULL, { .method = "POST", .path = CM, .body = "a: [", .type = "application/yaml" } },
	{ 415,
	  "UnsupportedMediaType",
	  "accepted media types include: application/json",
	  NULL,
	  { .method = "POST", .path = CM, .body = "{}", .type = "text/plain" } },
	/* wrong kinds and versions */
	{ 400, "BadRequest",
	  "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for "
	  "version \"v2\"",
	  NULL, POST(CM, "{\"apiVersion\":\"v2\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}") },
	{ 400, "BadRequest",
	  "the API version in the data (events.k8s.io/v1) does not match the expected API version (v1)", NULL,
	  POST("/api/v1/namespaces/default/events",
	       "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"a\"}}") },
	{ 400, "BadRequest",
	  "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): "
	  "unknown "
	  "conversion",
	  NULL, POST(CM, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"}}") },
	{ 400, "BadRequest", "converting (v1.List) to (core.ConfigMap): unknown conversion", NULL,
	  POST(CM, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[]}") },
	{ 400, "BadRequest", "converting (v1.ConfigMapList) to (core.ConfigMap): unknown conversion", NULL,
	  POST(CM, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMapList\",\"items\":[]}") },
	{ 400, "BadRequest", "no kind \"DeploymentList\" is registered for version \"v1\"", NULL,
	  POST(CM, "{\"apiVersion\":\"v1\",\"kind\":\"DeploymentList\",\"items\":[]}") },
	{ 400, "BadRequest", "unexpected GroupVersion string: a/b/c", NULL,
	  POST(CM, "{\"apiVersion\":\"a/b/c\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}") },
	/* wrong types */
	{ 400, "BadRequest", "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal",
	  NULL, POST(CM, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":1}}") },
	{ 400, "BadRequest", "cannot unmarshal string", NULL,
	  POST(DEP, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"replicas\":\"three\"}}") },
	{ 400, "BadRequest", "", NULL, POST(CM, "{\"metadata\":[]}") },
	{ 400, "BadRequest", "", NULL,
	  POST(CM, "{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":\"yesterday\"}}") },
	/* unknown and duplicate fields */
	{ 400, "BadRequest", "strict decoding error: unknown field \"spec.x\"", NULL,
	  POST(DEP "?fieldValidation=Strict", "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"x\":1}}") },
	{ 400, "BadRequest", "strict decoding error: duplicate field \"data\"", NULL,
	  POST(CM "?fieldValidation=Strict", "{\"metadata\":{\"name\":\"a\"},\"data\":{},\"data\":{}}") },
	{ 400, "BadRequest", "strict decoding error: unknown field \"x\", duplicate field \"data\"", NULL,
	  POST(CM "?fieldValidation=Strict",
	       "{\"metadata\":{\"name\":\"a\"},\"x\":1,\"x\":1,\"data\":{},\"data\":{}}") },
	{ 400,
	  "BadRequest",
	  "strict decoding error: yaml: unmarshal errors:\n  line 4: key \"a\" already set in map\n  line 6: key "
	  "\"data\" "
	  "already set in map, unknown field \"x\"",
	  NULL,
	  { .method = "POST",
	    .path = CM "?fieldValidation=Strict",
	    .body = "metadata: {name: a}\ndata:\n  a: '1'\n  a: '2'\nx: 1\ndata: {}\n",
	    .type = "application/yaml" } },
	{ 400,
	  "BadRequest",
	  "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 3: key \"kind\" "
	  "already "
	  "set in map",
	  NULL,
	  { .method = "PATCH",
	    .path = CM "/a?fieldManager=m&fieldValidation=Strict",
	    .body = "apiVersion: v1\nkind: ConfigMap\nkind: ConfigMap\nmetadata: {name: a}\n",
	    .type = "application/apply-patch+yaml" } },
	{ 422, "Invalid", "fieldValidation: Unsupported value: \"Maybe\"", "fieldValidation",
	  POST(CM "?fieldValidation=Maybe", "{\"metadata\":{\"name\":\"a\"}}") },
	/* names */
	{ 422, "Invalid", "ConfigMap \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\"", "metadata.name",
	  POST(CM, "{\"metadata\":{\"name\":\"A_b\"}}") },
	{ 422, "Invalid", "metadata.labels: Invalid value", "metadata.labels",
	  POST(CM, "{\"metadata\":{\"name\":\"a\",\"labels\":{\"bad key!\":\"v\"}}}") },
	{ 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request",
	  NULL, POST(CM, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}") },
	{ 404, "NotFound", "namespaces \"nowhere\" not found", NULL,
	  POST("/api/v1/namespaces/nowhere/configmaps", "{\"metadata\":{\"name\":\"a\"}}") },
	{ 500, "", "resourceVersion should not be set on objects to be created", NULL,
	  POST(CM, "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"5\"}}") },
	/* kinds' own rules */
	{ 422, "Invalid", "Deployment.apps \"a\" is invalid", NULL, POST(DEP, "{\"metadata\":{\"name\":\"a\"}}") },
	{ 422, "Invalid", "spec.containers: Required value", "spec.containers",
	  POST(PODS, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"containers\":[]}}") },
	/* options */
	{ 422, "Invalid", "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value", "fieldManager",
	  POST(CM "?fieldManager=a%07b", "{\"metadata\":{\"name\":\"a\"}}") },
	/* patches */
	{ 400,
	  "BadRequest",
	  "",
	  NULL,
	  { .method = "PATCH", .path = CM "/kept", .body = "[", .type = "application/merge-patch+json" } },
	{ 400,
	  "BadRequest",
	  "",
	  NULL,
	  { .method = "PATCH", .path = CM "/kept", .body = "[]", .type = "application/merge-patch+json" } },
	{ 400,
	  "BadRequest",
	  "",
	  NULL,
	  { .method = "PATCH", .path = CM "/kept", .body = "{}", .type = "application/json-patch+json" } },
	{ 422,
	  "Invalid",
	  "",
	  NULL,
	  { .method = "PATCH",
	    .path = CM "/kept",
	    .body = "[{\"op\":\"remove\",\"path\":\"/no/where\"}]",
	    .type = "application/json-patch+json" } },
	{ 422,
	  "Invalid",
	  "strict decoding error: unknown field \"x\"",
	  "patch",
	  { .method = "PATCH",
	    .path = CM "/kept?fieldValidation=Strict",
	    .body = "{\"x\":1}",
	    .type = "application/merge-patch+json" } },
	{ 400,
	  "BadRequest",
	  "metadata.managedFields must be nil",
	  NULL,
	  { .method = "PATCH",
	    .path = CM "/kept?fieldManager=m",
	    .body = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"kept\",\"managedFields\":[{"
		    "\"manager\":\"x\"}]}}",
	    .type = "application/apply-patch+yaml" } },
	{ 422,
	  "Invalid",
	  "metadata.",
	  NULL,
	  { .method = "PATCH",
	    .path = CM "/kept",
	    .body = "{\"metadata\":{\"labels\":{\"a\":\"b c\"}}}",
	    .type = "application/merge-patch+json" } },
	{ 422,
	  "Invalid",
	  "strict decoding error: duplicate field \"x\", unknown field \"x\"",
	  "patch",
	  { .method = "PATCH",
	    .path = CM "/kept?fieldValidation=Strict",
	    .body = "{\"x\":1,\"x\":2}",
	    .type = "application/merge-patch+json" } },
	{ 422,
	  "Invalid",
	  " \"\" is invalid: patch: Invalid value: \"map[data:map[k:1]]\": cannot convert int64 to string",
	  "patch",
	  { .method = "PATCH",
	    .path = CM "/kept",
	    .body = "{\"data\":{\"k\":1}}",
	    .type = "application/strategic-merge-patch+json" } },
	{ 422, "Invalid", "\"map[data:map[k:true]]\": unrecognized type: string", "patch",
	  STRATEGIC("{\"data\":{\"k\":true}}") },
	{ 422, "Invalid", "\"map[data:[a]]\": cannot restore map from slice", "patch",
	  STRATEGIC("{\"data\":[\"a\"]}") },
	{ 422, "Invalid", "\"map[metadata:map[finalizers:map[a:b]]]\": cannot restore slice from map", "patch",
	  STRATEGIC("{\"metadata\":{\"finalizers\":{\"a\":\"b\"}}}") },
	{ 422, "Invalid", "\"map[metadata:x]\": cannot restore struct from: string", "patch",
	  STRATEGIC("{\"metadata\":\"x\"}") },
	{ 422, "Invalid", "\"map[immutable:1]\": unrecognized type: bool", "patch", STRATEGIC("{\"immutable\":1}") },
	{ 422, "Invalid", "\"map[binaryData:map[k:a]]\": error decoding from json: illegal base64 data at input byte 1",
	  "patch", STRATEGIC("{\"binaryData\":{\"k\":\"a\"}}") },
	{ 422, "Invalid",
	  "\"map[metadata:map[creationTimestamp:7]]\": json: cannot unmarshal number into Go value of type string",
	  "patch", STRATEGIC("{\"metadata\":{\"creationTimestamp\":7}}") },
	/* what is wrong, and not in which object: that is the patch */
	{ 422,
	  "Invalid",
	  "}}\": parsing time \"soon\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"soon\" as \"2006\"",
	  "patch",
	  { .method = "PATCH",
	    .path = CM "/kept",
	    .body = "{\"metadata\":{\"deletionTimestamp\":\"soon\"}}",
	    .type = "application/merge-patch+json" } },
	/* what cannot be shown as a table, and tables that cannot be */
	{ 406,
	  "NotAcceptable",
	  "only the following media types are accepted",
	  NULL,
	  { .method = "POST",
	    .path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
	    .body = "{\"spec\":{\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"pods\"}}}",
	    .accept = "application/json;as=Table;v=v1;g=meta.k8s.io" } },
	{ 400,
	  "BadRequest",
	  "Unable to convert to Table as requested: includeObject",
	  NULL,
	  { .method = "GET",
	    .path = CM "?includeObject=Some",
	    .accept = "application/json;as=Table;v=v1;g=meta.k8s.io" } },
	{ 422, "Invalid",
	  "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 5: may not "
	  "specify a "
	  "duration less than 10 minutes",
	  "spec.expirationSeconds",
	  POST("/api/v1/namespaces/default/serviceaccounts/default/token", "{\"spec\":{\"expirationSeconds\":5}}") },
	{ 504,
	  "Timeout",
	  "Timeout: Too large resource version: 999999, current: ",
	  NULL,
	  { .method = "GET", .path = CM "/kept?resourceVersion=999999" } },
	/* delete options */
	{ 400,
	  "BadRequest",
	  "",
	  NULL,
	  { .method = "DELETE", .path = CM "/kept", .body = "{\"gracePeriodSeconds\":\"x\"}" } },
	{ 422, "Invalid", "dryRun: Unsupported value", "dryRun", { .method = "DELETE", .path = CM "/kept?dryRun=no" } },
};

static void test_table(void **state)
{
	struct rig *r = *state;
	int64_t before, count;

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"kept\"},\"data\":{\"k\":\"v\"}}");
	before = rev_of(expect(r, 200, "GET", CM, NULL));
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct answer *a;

		expect_status(r, table[i].code, table[i].reason, table[i].message, &table[i].ask);
		if (!table[i].field)
			continue;
		a = api_ask(r, &table[i].ask);
		assert_val(val_get(val_at(val_get(a->json, F_details, F_causes), 0), F_field), table[i].field);
		answer_free(a);
	}
	/* Nothing was written by any of it. */
	assert_int_equal(rev_of(expect(r, 200, "GET", CM, NULL)), before);
	count = (int64_t)val_len(val_get(expect(r, 200, "GET", CM, NULL), F_items));
	assert_int_equal(count, 1);
}

static void test_warnings(void **state)
{
	struct rig *r = *state;
	struct answer *a =
	    api(r, "POST", CM, .body = "{\"metadata\":{\"name\":\"a\"},\"dta\":{},\"data\":{},\"data\":{\"k\":\"v\"}}");

	assert_int_equal(a->code, 201);
	assert_int_equal(a->q.n_warnings, 2);
	assert_sv(a->q.warnings[0], "unknown field \"dta\"");
	assert_sv(a->q.warnings[1], "duplicate field \"data\"");
	answer_free(a);
	/* YAML: a warning for each repeated key, and the last value counts */
	a = api(r, "POST", CM, .body = "metadata: {name: why}\ndata:\n  a: '1'\n  a: '2'\ndta: 1\n",
		.type = "application/yaml");
	assert_int_equal(a->code, 201);
	assert_int_equal(a->q.n_warnings, 2);
	assert_sv(a->q.warnings[0], "line 4: key \"a\" already set in map");
	assert_sv(a->q.warnings[1], "unknown field \"dta\"");
	answer_free(a);
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", CM "/why", NULL), F_data), SV("a")), "2");
	a = api(r, "POST", CM "?fieldValidation=Ignore", .body = "{\"metadata\":{\"name\":\"b\"},\"dta\":{}}");
	assert_int_equal(a->code, 201);
	assert_int_equal(a->q.n_warnings, 0);
	answer_free(a);
}

static void expect_warnings(struct rig *r, const char *path, const char *body, const char *const *want)
{
	struct answer *a = api(r, "POST", path, .body = body);
	size_t n = 0;

	assert_int_equal(a->code, 201);
	while (want[n])
		n++;
	for (size_t i = 0; i < n && i < a->q.n_warnings; i++)
		assert_sv(a->q.warnings[i], want[i]);
	assert_int_equal(a->q.n_warnings, n);
	answer_free(a);
}

/* What is accepted and probably not meant. */
static void test_pod_warnings(void **state)
{
#define TEMPLATE(spec)                                                                                                 \
	"\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":" \
	"{" spec "}}"
	struct rig *r = *state;
	struct answer *a;

	expect_warnings(
	    r, DEP,
	    "{\"metadata\":{\"name\":\"a.b\"},\"spec\":{" TEMPLATE(
		"\"nodeSelector\":{\"beta.kubernetes.io/os\":\"linux\"},\"hostAliases\":[{\"ip\":\"1.1.1.1\"},{\"ip\":"
		"\"1.1.1.1\"}],\"imagePullSecrets\":[{}],\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"env\":[{"
		"\"name\":\"A\",\"value\":\"1\"},{\"name\":\"A\",\"value\":\"2\"},{\"name\":\"A\",\"value\":"
		"\"$(A) 3\"}],\"ports\":[{\"containerPort\":80,\"name\":\"x\"},{\"containerPort\":80}],\"resources\":{"
		"\"limits\":{\"memory\":\"500m\"}}},{\"name\":\"d\",\"image\":\"i\",\"ports\":[{\"containerPort\":81,"
		"\"name\":\"x\"}]}]") "}}",
	    (const char *const[]){
		"metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a "
		"DNS label is recommended: [must not contain dots]",
		"spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "
		"\"kubernetes.io/os\" instead",
		"spec.template.spec.hostAliases[1].ip: duplicate ip \"1.1.1.1\"",
		"spec.template.spec.imagePullSecrets[0].name: invalid empty name \"\"",
		"spec.template.spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped "
		"when using apply",
		"spec.template.spec.containers[0].ports[1]: duplicate port definition with "
		"spec.template.spec.containers[0].ports[0]",
		"spec.template.spec.containers[0].resources.limits[memory]: fractional byte value \"500m\" is invalid, "
		"must be an integer",
		"spec.template.spec.containers[1].ports[0]: duplicate port name \"x\" with "
		"spec.template.spec.containers[0].ports[0], services and probes that select ports by name will use "
		"spec.template.spec.containers[0].ports[0]",
		NULL });
	/* not again when something else changes, and not with an error */
	a = api(r, "PATCH", DEP "/a.b", .type = "application/merge-patch+json", .body = "{\"spec\":{\"replicas\":3}}");
	assert_int_equal(a->code, 200);
	assert_int_equal(a->q.n_warnings, 0);
	answer_free(a);
	a = api(r, "POST", DEP, .body = "{\"metadata\":{\"name\":\"c.d\"},\"spec\":{}}");
	assert_int_equal(a->code, 422);
	assert_int_equal(a->q.n_warnings, 0);
	answer_free(a);
	expect_warnings(r, "/api/v1/namespaces/default/endpoints", "{\"metadata\":{\"name\":\"a\"}}",
			(const char *const[]){
			    "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice", NULL });
}

static void test_size_and_depth(void **state)
{
	struct rig *r = *state;
	size_t n = 1600 * 1024;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "{\"metadata\":{\"name\":\"big\"},\"data\":{\"k\":\"");
	for (size_t i = 0; i < n; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "\"}}");
	{
		struct answer *a = api(r, "POST", CM, .body = buf_cstr(&b));

		/* ConfigMap's own limit of 1 MiB, or the store's. */
		assert_true(a->code == 422 || a->code == 413);
		answer_free(a);
	}
	buf_clear(&b);
	buf_adds(&b, "{\"metadata\":{\"name\":\"deep\"},\"data\":");
	for (int i = 0; i < 20000; i++)
		buf_adds(&b, "{\"a\":");
	buf_adds(&b, "1");
	for (int i = 0; i < 20001; i++)
		buf_addc(&b, '}');
	expect_status(r, 400, "BadRequest", "depth",
		      &(struct ask){ .method = "POST", .path = CM, .body = buf_cstr(&b) });
	expect(r, 404, "GET", CM "/big", NULL);
	expect(r, 404, "GET", CM "/deep", NULL);

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	/* Something without a limit of its own meets the store's. */
	buf_clear(&b);
	buf_adds(&b, "{\"metadata\":{\"name\":\"wide\"},\"webhooks\":null,\"spec\":{\"containers\":[{\"name\":\"c\","
		     "\"image\":\"x\",\"command\":[\"");
	for (size_t i = 0; i < n; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "\"]}]}}");
	expect_status(r, 413, "RequestEntityTooLarge", "request is too large",
		      &(struct ask){ .method = "POST", .path = PODS, .body = buf_cstr(&b) });
}

/* A document of too many values is refused by name, in each form and with each verb that reads one. */
static void test_too_many_values(void **state)
{
	static const struct {
		const char *method, *path, *type;
	} rows[] = {
		{ "POST", CM, NULL },
		{ "POST", CM, "application/yaml" },
		{ "PUT", CM "/x", NULL },
		{ "PATCH", CM "/x", "application/merge-patch+json" },
		{ "PATCH", CM "/x", "application/strategic-merge-patch+json" },
		{ "PATCH", CM "/x?fieldManager=m", "application/apply-patch+yaml" },
		{ "DELETE", CM "/x", NULL },
		{ "DELETE", CM "/x", "application/yaml" },
	};
	struct rig *r = *state;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"x\"}}");
	buf_adds(&b,
		 "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"},\"data\":{\"k\":\"\"");
	for (size_t i = 0; i <= DOC_VALUES_MAX; i++)
		buf_printf(&b, ",\"k%zu\":\"\"", i);
	buf_adds(&b, "}}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_status(
		    r, 413, "RequestEntityTooLarge",
		    "Request entity too large: the object has more than 100000 values: make several",
		    &(struct ask){
			.method = rows[i].method, .path = rows[i].path, .type = rows[i].type, .body = buf_cstr(&b) });
	expect(r, 200, "GET", CM "/x", NULL);
}

/* A patch that is wrong is shown in what is said of it, and that is noted: of a Secret it is not. */
static void test_secret_patches(void **state)
{
	static const struct {
		const char *type, *query, *body;
	} rows[] = {
		{ "application/merge-patch+json", "", "{\"data\":{\"k\":\"canary!\"}}" },
		{ "application/merge-patch+json", "", "{\"stringData\":{\"k\":[\"canary\"]}}" },
		{ "application/merge-patch+json", "?fieldValidation=Strict",
		  "{\"stringData\":{\"k\":\"canary\"},\"x\":1}" },
		{ "application/strategic-merge-patch+json", "", "{\"data\":{\"k\":\"canary!\"}}" },
		{ "application/strategic-merge-patch+json", "", "{\"stringData\":{\"k\":\"canary\",\"l\":1}}" },
		{ "application/json-patch+json", "",
		  "[{\"op\":\"add\",\"path\":\"/data\",\"value\":{\"k\":\"canary!\"}}]" },
		{ "application/json-patch+json", "", "[{\"op\":\"test\",\"path\":\"/data/k\",\"value\":\"canary\"}]" },
	};
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/namespaces/default/secrets",
	       "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"k\":\"v\"}}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer *a =
		    api(r, "PATCH", arena_printf(&r->arena, "/api/v1/namespaces/default/secrets/s%s", rows[i].query),
			.type = rows[i].type, .body = rows[i].body);

		assert_int_equal(a->code, 422);
		if (sv_find_sv(buf_sv(&a->body), SV("canary")) >= 0)
			fail_msg("%s", buf_cstr(&a->body));
		if (i == 0)
			assert_val(val_get(a->json, F_message),
				   " \"\" is invalid: patch: Invalid value: \"<secret contents "
				   "redacted>\": illegal base64 data at input byte 6");
		answer_free(a);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_table),	    T(test_warnings),	     T(test_pod_warnings),
					    T(test_size_and_depth), T(test_too_many_values), T(test_secret_patches) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
