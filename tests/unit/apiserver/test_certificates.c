/* CertificateSigningRequests: what is refused of them, by which endpoint what may change, who may do it. */
#include "harness.h"

#include "base/b64.h"
#include "net/csr.h"
#include "object/schema.h"

#define LIST "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#define MERGE "application/merge-patch+json"
#define RBAC "/apis/rbac.authorization.k8s.io/v1/"
#define CONDITION(type, status) "{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"R\"}"
#define APPROVED CONDITION("Approved", "True")

static struct sv groups[] = { { "system:authenticated", 20 } };

static const char *request(struct rig *r, const char *cn, const char *org)
{
	const char *const orgs[] = { org, NULL };
	struct cert_opts o = { .common_name = cn, .organizations = org ? orgs : NULL };
	struct sv csr, key;

	assert_int_equal(csr_make(&r->arena, &o, SV(""), &csr, &key, NULL), 0);
	return arena_cstr(&r->arena, b64_encode(&r->arena, csr));
}

/* more: further members of the spec, each with a comma before it. */
static const char *body(struct rig *r, const char *name, const char *signer, const char *pem64, const char *more)
{
	return arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"request\":\"%s\",\"signerName\":\"%s\"%s}}",
			    name, pem64, signer, more);
}

#define USAGES ",\"usages\":[\"client auth\"]"

static const struct val *made(struct rig *r, const char *name, const char *signer)
{
	return expect(r, 201, "POST", LIST, body(r, name, signer, request(r, "alice", NULL), USAGES));
}

static void test_what_is_no_request(void **state)
{
	struct rig *r = *state;
	const char *good = request(r, "alice", NULL);
	const struct {
		const char *signer, *pem64, *more, *words;
	} rows[] = {
		{ "x.io/y", "eA==", USAGES,
		  "CertificateSigningRequest.certificates.k8s.io \"c\" is invalid: spec.request: Invalid value: "
		  "[]byte{0x78}: PEM block type must be CERTIFICATE REQUEST" },
		{ "x.io/y", "", USAGES, "spec.request: Invalid value: []byte{}" },
		{ "x.io/y", good, "", "spec.usages: Required value" },
		{ "x.io/y", good, ",\"usages\":[\"ping\"]",
		  "spec.usages[0]: Unsupported value: \"ping\": supported "
		  "values: \"any\", \"cert sign\"" },
		{ "x.io/y", good, ",\"usages\":[\"any\",\"\"]", "spec.usages[1]: Unsupported value: \"\"" },
		{ "x.io/y", good, ",\"usages\":[\"any\",\"any\"]", "spec.usages[1]: Duplicate value: \"any\"" },
		{ "", good, USAGES, "spec.signerName: Required value" },
		{ "x", good, USAGES, "must be a fully qualified domain and path of the form" },
		{ "io/y", good, USAGES, "should be a domain with at least two segments" },
		{ "kubernetes.io/legacy-unknown", good, USAGES,
		  "the legacy signerName is not allowed via this API version" },
		{ "x.io/y", good, USAGES ",\"expirationSeconds\":599",
		  "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 "
		  "minutes)" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_status(r, 422, "Invalid", rows[i].words,
			      &(struct ask){ .method = "POST",
					     .path = LIST,
					     .body = body(r, "c", rows[i].signer, rows[i].pem64, rows[i].more) });
}

static void test_who_asks(void **state)
{
	struct rig *r = *state;
	const struct val *o;
	struct answer *a =
	    api(r, "POST", LIST, .user = "alice", .groups = groups, .n_groups = 1,
		.body = body(r, "c", "x.io/y", request(r, "alice", NULL),
			     USAGES ",\"username\":\"admin\",\"uid\":\"7\",\"groups\":[\"system:masters\"],"
				    "\"extra\":{\"a\":[\"b\"]}"));

	assert_int_equal(a->code, 403); /* without a role */
	answer_free(a);
	expect(r, 201, "POST", RBAC "clusterroles",
	       "{\"metadata\":{\"name\":\"ask\"},\"rules\":[{\"apiGroups\":[\"certificates.k8s.io\"],\"resources\":["
	       "\"certificatesigningrequests\"],\"verbs\":[\"create\"]}]}");
	expect(r, 201, "POST", RBAC "clusterrolebindings",
	       "{\"metadata\":{\"name\":\"ask\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"ask\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\",\"apiGroup\":"
	       "\"rbac.authorization.k8s.io\"}]}");
	a = api(r, "POST", LIST, .user = "alice", .groups = groups, .n_groups = 1,
		.body = body(r, "c", "x.io/y", request(r, "alice", NULL),
			     USAGES ",\"username\":\"admin\",\"uid\":\"7\",\"groups\":[\"system:masters\"],"
				    "\"extra\":{\"a\":[\"b\"]}"));
	assert_int_equal(a->code, 201);
	o = api_json(a);
	assert_val(val_get(o, F_spec, F_username), "alice");
	assert_int_equal(val_len(val_get(o, F_spec, F_groups)), 1);
	assert_val(val_at(val_get(o, F_spec, F_groups), 0), "system:authenticated");
	assert_null(val_get(o, F_spec, F_extra));
	assert_null(val_get(o, F_spec, F_uid));
	answer_free(a);
}

static void test_nothing_is_taken_back(void **state)
{
	struct rig *r = *state;
	const struct val *o;

	made(r, "c", "x.io/y");
	/* the object's own endpoint changes metadata alone */
	o = expect_type(
	    r, 200, "PATCH", LIST "/c", MERGE,
	    "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"signerName\":\"z.io/z\",\"username\":\"q\"},"
	    "\"status\":{\"certificate\":\"eA==\",\"conditions\":[" APPROVED "]}}");
	assert_val(val_get(o, F_spec, F_signerName), "x.io/y");
	assert_val(val_get(o, F_spec, F_username), "admin");
	assert_null(val_get(o, F_status, F_conditions));
	assert_null(val_get(o, F_status, F_certificate));
	assert_val(val_member_sv(val_get(o, F_metadata, F_labels), SV("a")), "b");

	/* the approval's endpoint the conditions */
	o = expect_type(
	    r, 200, "PATCH", LIST "/c/approval", MERGE,
	    "{\"spec\":{\"signerName\":\"z.io/z\"},\"status\":{\"certificate\":\"eA==\",\"conditions\":[" APPROVED
	    "]}}");
	assert_val(val_get(o, F_spec, F_signerName), "x.io/y");
	assert_null(val_get(o, F_status, F_certificate));
	assert_val(val_get(val_at(val_get(o, F_status, F_conditions), 0), F_type), "Approved");
	assert_true(val_get_str(val_at(val_get(o, F_status, F_conditions), 0), F_lastUpdateTime).n > 0);
	assert_true(val_get_str(val_at(val_get(o, F_status, F_conditions), 0), F_lastTransitionTime).n > 0);
	expect_status(r, 422, "Invalid",
		      "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"",
		      &(struct ask){ .method = "PATCH",
				     .path = LIST "/c/approval",
				     .type = MERGE,
				     .body = "{\"status\":{\"conditions\":[]}}" });
}

static void test_conditions(void **state)
{
	struct rig *r = *state;
	const struct {
		const char *sub, *conditions, *words;
	} rows[] = {
		{ "approval", APPROVED "," CONDITION("Denied", "True"),
		  "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually "
		  "exclusive" },
		{ "approval", APPROVED "," APPROVED, "status.conditions[1].type: Duplicate value: \"Approved\"" },
		{ "approval", CONDITION("", "True"), "status.conditions[0].type: Required value" },
		{ "approval", CONDITION("Approved", ""), "status.conditions[0].status: Required value" },
		{ "approval", CONDITION("Approved", "False"),
		  "status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\"" },
		{ "approval", CONDITION("Other", "Perhaps"),
		  "status.conditions[0].status: Unsupported value: \"Perhaps\": supported values: \"False\", "
		  "\"True\", \"Unknown\"" },
		{ "status", APPROVED,
		  "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"" },
		{ "status", CONDITION("Denied", "True"),
		  "status.conditions: Forbidden: updates may not add a condition of type \"Denied\"" },
	};

	made(r, "c", "x.io/y");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_status(r, 422, "Invalid", rows[i].words,
			      &(struct ask){ .method = "PATCH",
					     .path = arena_printf(&r->arena, LIST "/c/%s", rows[i].sub),
					     .type = MERGE,
					     .body = arena_printf(&r->arena, "{\"status\":{\"conditions\":[%s]}}",
								  rows[i].conditions) });
	expect_type(r, 200, "PATCH", LIST "/c/approval", MERGE, "{\"status\":{\"conditions\":[" APPROVED "]}}");
	/* a signer that says something else about the decision changes nothing of it, and may say that it failed */
	const struct val *o = expect_type(r, 200, "PATCH", LIST "/c/status", MERGE,
					  "{\"status\":{\"conditions\":[{\"type\":\"Approved\",\"status\":\"True\","
					  "\"reason\":\"Mine\"}," CONDITION("Failed", "True") "]}}");

	assert_val(val_get(val_at(val_get(o, F_status, F_conditions), 0), F_reason), "R");
	assert_val(val_get(val_at(val_get(o, F_status, F_conditions), 1), F_type), "Failed");
}

static void test_certificate(void **state)
{
	struct rig *r = *state;
	struct cert_opts ca = { .common_name = "ca", .ca = true, .not_after_ns = INT64_C(2000000000) * NS_PER_SEC };
	struct sv pem, key;
	const char *patch;
	const struct val *o;

	made(r, "c", "x.io/y");
	assert_int_equal(cert_make(&r->arena, &ca, SV(""), SV(""), &pem, &key, NULL), 0);
	patch = arena_printf(&r->arena, "{\"status\":{\"certificate\":\"%.*s\"}}", SV_ARG(b64_encode(&r->arena, pem)));
	expect_status(
	    r, 422, "Invalid",
	    "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE "
	    "PEM block",
	    &(struct ask){ .method = "PATCH",
			   .path = LIST "/c/status",
			   .type = MERGE,
			   .body = "{\"status\":{\"certificate\":\"eA==\"}}" });
	o = expect_type(r, 200, "PATCH", LIST "/c/status", MERGE, patch);
	assert_true(val_get_str(o, F_status, F_certificate).n > 100);
	expect_status(r, 422, "Invalid",
		      "status.certificate: Forbidden: updates may not modify existing certificate content",
		      &(struct ask){ .method = "PATCH",
				     .path = LIST "/c/status",
				     .type = MERGE,
				     .body = "{\"status\":{\"certificate\":null}}" });
}

static void grant(struct rig *r, const char *name, const char *user, const char *verb, const char *signer)
{
	expect(
	    r, 201, "POST", RBAC "clusterroles",
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"rules\":[{\"apiGroups\":[\"certificates.k8s.io\"],"
			 "\"resources\":[\"signers\"],\"verbs\":[\"%s\"],\"resourceNames\":[\"%s\"]},{\"apiGroups\":["
			 "\"certificates.k8s.io\"],\"resources\":[\"certificatesigningrequests/approval\","
			 "\"certificatesigningrequests/status\"],\"verbs\":[\"patch\"]}]}",
			 name, verb, signer));
	expect(
	    r, 201, "POST", RBAC "clusterrolebindings",
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"%s\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
			 "\"kind\":\"ClusterRole\",\"name\":\"%s\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"%s\","
			 "\"apiGroup\":\"rbac.authorization.k8s.io\"}]}",
			 name, name, user));
}

static void as(struct rig *r, const char *user, const char *sub, const char *patch, int code, const char *words)
{
	struct ask ask = { .method = "PATCH",
			   .path = arena_printf(&r->arena, LIST "/%s", sub),
			   .type = MERGE,
			   .body = patch,
			   .user = user,
			   .groups = groups,
			   .n_groups = 1 };

	if (code == 403) {
		expect_status(r, code, "Forbidden", words, &ask);
	} else {
		struct answer *a = api_ask(r, &ask);

		assert_int_equal(a->code, code);
		answer_free(a);
	}
}

static void test_rights_to_signers(void **state)
{
	static const char approve[] = "{\"status\":{\"conditions\":[" APPROVED "]}}",
			  fail[] = "{\"status\":{\"conditions\":[" CONDITION("Failed", "True") "]}}",
			  label[] = "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}";
	struct rig *r = *state;

	made(r, "a", "example.com/a");
	made(r, "b", "example.com/b");
	made(r, "c", "example.org/a");
	grant(r, "exact", "exact", "approve", "example.com/a");
	grant(r, "domain", "domain", "approve", "example.com/*");
	grant(r, "signer", "signer", "sign", "example.com/*");
	as(r, "exact", "b/approval", approve, 403,
	   "certificatesigningrequests.certificates.k8s.io \"b\" is forbidden: user not permitted to approve requests "
	   "with signerName \"example.com/b\"");
	as(r, "domain", "c/approval", approve, 403, "user not permitted to approve requests");
	as(r, "signer", "a/approval", approve, 403, "user not permitted to approve requests");
	as(r, "exact", "a/status", fail, 403, "user not permitted to sign requests with signerName \"example.com/a\"");
	as(r, "signer", "c/status", fail, 403, "user not permitted to sign requests");
	as(r, "exact", "a/status", label, 200, NULL); /* no certificate, no condition: nobody's business */
	as(r, "exact", "a/approval", approve, 200, NULL);
	as(r, "domain", "b/approval", approve, 200, NULL);
	as(r, "signer", "b/status", "{\"status\":{\"certificate\":\"eA==\"}}", 422, NULL); /* past admission */
}

static void test_no_masters(void **state)
{
	struct rig *r = *state;

	expect_status(r, 403, "Forbidden",
		      "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: use of "
		      "kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
		      &(struct ask){ .method = "POST",
				     .path = LIST,
				     .body = body(r, "c", "kubernetes.io/kube-apiserver-client",
						  request(r, "eve", "system:masters"), USAGES) });
	expect_status(r, 403, "Forbidden", "signer with caravel:kubelet-clients group is not allowed",
		      &(struct ask){ .method = "POST",
				     .path = LIST,
				     .body = body(r, "c", "kubernetes.io/kube-apiserver-client",
						  request(r, "eve", "caravel:kubelet-clients"), USAGES) });
	expect(r, 201, "POST", LIST,
	       body(r, "c", "kubernetes.io/kube-apiserver-client", request(r, "eve", "devs"), USAGES));
	expect(r, 201, "POST", LIST, body(r, "d", "example.com/x", request(r, "eve", "system:masters"), USAGES));
}

static void test_a_node_asks_for_itself(void **state)
{
	static const struct sv nodes[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } };
	struct rig *r = *state;
	static const char *const signers[] = { "kubernetes.io/kube-apiserver-client-kubelet",
					       "kubernetes.io/kubelet-serving" };

	for (size_t i = 0; i < ARRAY_LEN(signers); i++) {
		struct ask ask = {
			.method = "POST", .path = LIST, .user = "system:node:a", .groups = nodes, .n_groups = 2
		};
		struct answer *a;

		ask.body = body(r, "c", signers[i], request(r, "system:node:b", "system:nodes"), USAGES);
		expect_status(r, 403, "Forbidden", "can only create a node CSR with CN=system:node:a", &ask);
		ask.body = body(r, "c", signers[i], "eA==", USAGES);
		expect_status(r, 403, "Forbidden", "unable to parse csr: PEM block type must be CERTIFICATE REQUEST",
			      &ask);
		ask.body = body(r, arena_printf(&r->arena, "c%zu", i), signers[i],
				request(r, "system:node:a", "system:nodes"), USAGES);
		a = api_ask(r, &ask);
		assert_int_equal(a->code, 201);
		answer_free(a);
	}
}

/* Even one that RBAC lets do everything. */
static void test_a_node_tells_its_own_devices(void **state)
{
	static const struct sv all[] = { { "system:nodes", 12 }, { "system:masters", 14 } };
	struct rig *r = *state;
	struct ask ask = { .method = "POST",
			   .path = "/apis/resource.k8s.io/v1/resourceslices",
			   .user = "system:node:a",
			   .groups = all,
			   .n_groups = 2 };
	struct answer *a;

	ask.body = "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"driver\":\"d\",\"nodeName\":\"b\",\"pool\":{\"name\":"
		   "\"p\",\"resourceSliceCount\":1}}}";
	expect_status(r, 403, "Forbidden",
		      "can only create ResourceSlice with the same NodeName as the requesting node", &ask);
	ask.path = "/apis/resource.k8s.io/v1beta1/resourceslices";
	expect_status(r, 404, "NotFound", "the server could not find the requested resource", &ask);
	ask.path = "/apis/resource.k8s.io/v1/resourceslices";
	ask.body = "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"driver\":\"d\",\"nodeName\":\"a\",\"pool\":{\"name\":"
		   "\"p\",\"resourceSliceCount\":1}}}";
	a = api_ask(r, &ask);
	assert_int_equal(a->code, 201);
	answer_free(a);
	ask.user = "system:node:b";
	ask.method = "DELETE";
	ask.path = "/apis/resource.k8s.io/v1/resourceslices/s";
	ask.body = NULL;
	expect_status(r, 403, "Forbidden",
		      "can only delete ResourceSlice with the same NodeName as the requesting node", &ask);
	ask.method = "POST";
	ask.path = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests";
	ask.body =
	    "{\"metadata\":{\"name\":\"r\"},\"spec\":{\"signerName\":\"a.b/c\",\"podName\":\"p\",\"podUID\":\"u\","
	    "\"serviceAccountName\":\"s\",\"serviceAccountUID\":\"u\",\"nodeName\":\"a\",\"nodeUID\":\"u\","
	    "\"stubPKCS10Request\":\"eA==\"}}";
	expect_status(r, 403, "Forbidden", "which is not the requesting node", &ask);
	ask.user = "system:node:a";
	expect_status(r, 403, "Forbidden", "pod \"p\" not found", &ask);
}

static void row(struct rig *r, const char *name, const char *duration, const char *condition)
{
	struct answer *a = api(r, "GET", arena_printf(&r->arena, LIST "/%s", name),
			       .accept = "application/json;as=Table;g=meta.k8s.io;v=v1");
	const struct val *cells = val_get(val_at(val_get(api_json(a), F_rows), 0), F_cells);

	assert_val(val_at(cells, 0), name);
	assert_val(val_at(cells, 2), "x.io/y");
	assert_val(val_at(cells, 3), "admin");
	assert_val(val_at(cells, 4), duration);
	assert_val(val_at(cells, 5), condition);
	answer_free(a);
}

static void test_rows(void **state)
{
	struct rig *r = *state;

	made(r, "a", "x.io/y");
	row(r, "a", "<none>", "Pending");
	expect(r, 201, "POST", LIST,
	       body(r, "b", "x.io/y", request(r, "x", NULL), USAGES ",\"expirationSeconds\":86400"));
	expect_type(r, 200, "PATCH", LIST "/b/approval", MERGE,
		    "{\"status\":{\"conditions\":[" APPROVED "," CONDITION("Failed", "True") "]}}");
	row(r, "b", "24h", "Approved,Failed");
	assert_int_equal(
	    val_len(val_get(expect(r, 200, "GET", LIST "?fieldSelector=spec.signerName=x.io/y", NULL), F_items)), 2);
	assert_int_equal(
	    val_len(val_get(expect(r, 200, "GET", LIST "?fieldSelector=spec.signerName=x.io/z", NULL), F_items)), 0);
	expect(r, 400, "GET", LIST "?fieldSelector=spec.username=admin", NULL);
}

/* What may be asked for, and what can be signed. */
static void test_usages_of_schema_and_signer(void **state)
{
	const char *const *u =
	    schema_field(schema_find(SV("certificates.k8s.io/v1.CertificateSigningRequestSpec")), F_usages)
		->enum_values;
	size_t n = 0;

	(void)state;
	for (; u[n]; n++)
		assert_true(csr_usage_known(sv_from(u[n])));
	assert_int_equal(n, 23);
}

int main(void)
{
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_what_is_no_request),
		RIG_TEST(test_who_asks),
		RIG_TEST(test_nothing_is_taken_back),
		RIG_TEST(test_conditions),
		RIG_TEST(test_certificate),
		RIG_TEST(test_rights_to_signers),
		RIG_TEST(test_no_masters),
		RIG_TEST(test_a_node_asks_for_itself),
		RIG_TEST(test_a_node_tells_its_own_devices),
		RIG_TEST(test_rows),
		cmocka_unit_test(test_usages_of_schema_and_signer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
