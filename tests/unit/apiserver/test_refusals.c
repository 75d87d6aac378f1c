/* What is refused before an endpoint is asked, or by its options: codes, media types and upstream's words, in one
 * table. */
#include "harness.h"

#include "object/feature.h"

#include <stdio.h>
#include <string.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define POD "/api/v1/namespaces/default/pods/p"
#define REVIEWS "/apis/authentication.k8s.io/v1/selfsubjectreviews"
#define MATCH "resourceVersionMatch: "
#define UNLESS "resourceVersionMatch is forbidden "

static const struct refusal {
	const char *method, *path, *accept;
	int code;
	size_t causes;
	const char *message;
} refusals[] = {
	/* A list or watch is told everything that is wrong with its options. */
	{ "GET", CM "?resourceVersion=1&resourceVersionMatch=Bogus", NULL, 422, 1,
	  MATCH "Unsupported value: \"Bogus\": supported values: \"Exact\", \"NotOlderThan\", \"\"" },
	{ "GET", CM "?resourceVersionMatch=Bogus&continue=x&sendInitialEvents=true", NULL, 422, 4,
	  "[" MATCH "Forbidden: " UNLESS "unless resourceVersion is provided, " MATCH "Forbidden: " UNLESS
	  "when continue is provided, " MATCH
	  "Unsupported value: \"Bogus\": supported values: \"Exact\", \"NotOlderThan\", \"\", "
	  "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list]" },
	{ "GET", CM "?watch=true&resourceVersion=0&resourceVersionMatch=Exact", NULL, 422, 2,
	  "[" MATCH "Forbidden: " UNLESS "for watch unless sendInitialEvents is provided, " MATCH
	  "Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]" },
	{ "GET", CM "?watch=true&sendInitialEvents=true", NULL, 422, 1,
	  MATCH "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan" },
	{ "GET", CM "?watch=true&resourceVersionMatch=NotOlderThan", NULL, 422, 1,
	  MATCH "Forbidden: " UNLESS "for watch unless sendInitialEvents is provided" },
	/* Logs, too. */
	{ "GET", POD "/log?tailLines=-1", NULL, 422, 1,
	  "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0" },
	{ "GET", POD "/log?sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z", NULL, 422, 1,
	  "PodLogOptions \"p\" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be "
	  "specified" },
	{ "GET", POD "/log?limitBytes=0&sinceSeconds=0", NULL, 422, 2,
	  "[limitBytes: Invalid value: 0: must be greater than 0, sinceSeconds: Invalid value: 0: must be greater "
	  "than 0]" },
	{ "GET", POD "/log?stream=Both", NULL, 422, 1,
	  "stream: Unsupported value: \"Both\": supported values: \"All\", \"Stderr\", \"Stdout\"" },
	{ "GET", POD "/log?stream=Stdout&tailLines=1", NULL, 422, 1,
	  "tailLines: Forbidden: `tailLines` and specific `stream` are mutually exclusive for now" },
	/* A Pod without a node is told of that first: the rest is for the node to judge. */
	{ "GET", POD "/exec", NULL, 400, 0, "pod p does not have a host assigned" },
	{ "POST", POD "/exec?command=ls", NULL, 400, 0, "pod p does not have a host assigned" },
	{ "POST", POD "/attach", NULL, 400, 0, "pod p does not have a host assigned" },
	/* Documents that have no other form. */
	{ "GET", "/version", "text/html", 406, 0, "Available representations: application/json" },
	{ "GET", "/version", "text/html, application/*;q=0.1", 200, 0, "gitVersion" },
	{ "GET", "/version", "*/*", 200, 0, "gitVersion" },
	{ "GET", "/openapi/v2", "text/html", 406, 0, "" },
	{ "GET", "/openapi/v3/api/v1", "text/html", 406, 0, "" },
	{ "GET", "/openapi/v3/api/v1", "application/json", 200, 0, "openapi" },
	/* Methods that nobody knows. */
	{ "BREW", "/api/v1/namespaces/default/pods", NULL, 405, 0,
	  "the server does not allow this method on the requested resource" },
};

static void test_refusals(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/default/pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}");
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		const struct refusal *f = &refusals[i];
		struct answer *a = api(r, f->method, f->path, .accept = f->accept);
		const char *text = a->code == 422 || a->code == 400 || a->code == 405
				       ? arena_cstr(&a->arena, val_get_str(api_json(a), F_message))
				       : buf_cstr(&a->body);

		if (a->code != f->code || !strstr(text, f->message))
			fail_msg("%s %s: %d %.300s", f->method, f->path, a->code, text);
		if (f->causes) {
			assert_int_equal(val_len(val_get(api_json(a), F_details, F_causes)), f->causes);
			assert_true(val_get_str(api_json(a), F_details, F_kind).n > 0);
		}
		answer_free(a);
	}
}

/* Evictions may still name the version they came from, and no other. */
static void test_older_eviction(void **state)
{
	static const char body[] = "{\"apiVersion\":\"%s\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"p\"}}";
	static const struct {
		const char *api_version;
		int code;
	} rows[] = { { "policy/v1beta2", 400 }, { "v1", 400 }, { "policy/v1beta1", 201 } };
	struct rig *r = *state;
	char text[160];

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/default/pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(text, sizeof(text), body, rows[i].api_version);
		expect(r, rows[i].code, "POST", POD "/eviction", text);
	}
	expect(r, 404, "GET", POD, NULL);
}

/* Without constrained impersonation (test_impersonation.c has that). Groups, uid or extras of nobody: refused before
 * any right is asked for, in plain text. */
static void test_impersonating_nobody(void **state)
{
	static const struct {
		struct http_header headers[4];
		const char *text;
	} rows[] = {
		{ { { SV("impersonate-group"), SV("devs") } },
		  "requested [{Group  devs    }] without impersonating a user\n" },
		{ { { SV("impersonate-uid"), SV("x") } },
		  "requested [{UID  x  authentication.k8s.io/v1  }] without impersonating a user\n" },
		{ { { SV("impersonate-extra-a%2fb"), SV("<x>") }, { SV("impersonate-group"), SV("g") } },
		  "requested [{UserExtra  &lt;x&gt;  authentication.k8s.io/v1  a/b} {Group  g    }] without" },
	};
	static const struct http_header empty[] = { { SV("impersonate-user"), SV("") }, { .name = { 0 } } };
	struct rig *r = *state;
	struct answer *a;

	assert_int_equal(features_set(SV("ConstrainedImpersonation=false"), NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		a = api(r, "POST", REVIEWS, .body = "{}", .cert_user = "alice", .headers = rows[i].headers);
		assert_int_equal(a->code, 500);
		assert_string_equal(a->content_type, "text/plain; charset=utf-8");
		if (!strstr(buf_cstr(&a->body), rows[i].text))
			fail_msg("%s", buf_cstr(&a->body));
		answer_free(a);
	}
	/* An empty name is no wish to be somebody else. */
	a = api(r, "POST", REVIEWS, .body = "{}", .cert_user = "alice", .headers = empty);
	assert_int_equal(a->code, 201);
	assert_val(val_get(api_json(a), F_status, F_userInfo, F_username), "alice");
	answer_free(a);
	features_reset();
}

/* Who alice is by these headers: "NAME GROUP GROUP", or what she may not. */
static void expect_self(struct rig *r, const struct http_header *headers, const char *wanted)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct answer *a = api(r, "POST", REVIEWS, .body = "{}", .cert_user = "alice", .headers = headers);
	const struct val *user = val_get(api_json(a), F_status, F_userInfo);

	if (a->code == 201) {
		buf_addsv(&b, val_get_str(user, F_username));
		VAL_EACH(val_get(user, F_groups), group)
			buf_printf(&b, " %.*s", SV_ARG(val_str(group)));
	} else {
		assert_int_equal(a->code, 403);
		buf_addsv(&b, val_get_str(api_json(a), F_message));
	}
	if (strncmp(buf_cstr(&b), wanted, strlen(wanted)) != 0)
		fail_msg("%s", buf_cstr(&b));
	answer_free(a);
}

/* alice may be the accounts of team and the group system:unauthenticated. In the words of the right that is not
 * constrained. */
static void test_impersonating_accounts(void **state)
{
#define AS(name)                                 \
	{                                        \
		SV("impersonate-user"), SV(name) \
	}
	static const struct {
		struct http_header headers[4];
		const char *self;
	} rows[] = {
		{ { AS("system:serviceaccount:team") }, "users \"system:serviceaccount:team\" is forbidden" },
		{ { AS("system:serviceaccount:team:") }, "users \"system:serviceaccount:team:\" is forbidden" },
		{ { AS("system:serviceaccount::robot") }, "users \"system:serviceaccount::robot\" is forbidden" },
		{ { AS("system:serviceaccount:team:robot:x") },
		  "users \"system:serviceaccount:team:robot:x\" is forbidden" },
		{ { AS("system:serviceaccount:team:../x") }, "users \"system:serviceaccount:team:../x\" is forbidden" },
		{ { AS("system:serviceaccount:Team:robot") },
		  "users \"system:serviceaccount:Team:robot\" is forbidden" },
		{ { AS("system:serviceaccount:other:robot") }, "serviceaccounts \"robot\" is forbidden" },
		/* The first counts, and who it is about is asked first. */
		{ { AS("bob"), AS("system:serviceaccount:team:robot") }, "users \"bob\" is forbidden" },
		{ { { SV("impersonate-group"), SV("system:masters") }, AS("bob") }, "users \"bob\" is forbidden" },
		{ { AS("system:serviceaccount:team:robot"), { SV("impersonate-uid"), SV("1") } },
		  "uids.authentication.k8s.io \"1\" is forbidden" },
		{ { AS("system:serviceaccount:team:robot"), AS("bob") },
		  "system:serviceaccount:team:robot system:serviceaccounts system:serviceaccounts:team "
		  "system:authenticated" },
		/* Who is not authenticated gets nothing that everybody gets who is. */
		{ { AS("system:serviceaccount:team:robot"), { SV("impersonate-group"), SV("system:unauthenticated") } },
		  "selfsubjectreviews.authentication.k8s.io is forbidden: User \"system:serviceaccount:team:robot\"" },
	};
#undef AS
	struct rig *r = *state;

	assert_int_equal(features_set(SV("ConstrainedImpersonation=false"), NULL), 0);
	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"team\"}}");
	expect(
	    r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/team/roles",
	    "{\"metadata\":{\"name\":\"actor\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"serviceaccounts\"],"
	    "\"verbs\":[\"impersonate\"]}]}");
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings",
	       "{\"metadata\":{\"name\":\"actor\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"Role\",\"name\":\"actor\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\"}]}");
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
	       "{\"metadata\":{\"name\":\"nobody\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"groups\"],"
	       "\"resourceNames\":[\"system:unauthenticated\"],\"verbs\":[\"impersonate\"]}]}");
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"nobody\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"nobody\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\"}]}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect_self(r, rows[i].headers, rows[i].self);
	features_reset();
}

/* A certificate that names nobody is none, and one that says that he is not authenticated is believed. */
static void test_certificates_of_nobody(void **state)
{
	static const char denied[] = "selfsubjectreviews.authentication.k8s.io is forbidden: User \"%s\" cannot create";
	static const struct {
		const char *user, *group, *as;
	} rows[] = {
		{ "", "system:masters", "system:anonymous" },
		{ "system:anonymous", "devs", "system:anonymous" },
		{ "u", "system:unauthenticated", "u" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char words[200];

		(void)snprintf(words, sizeof(words), denied, rows[i].as);
		expect_status(r, 403, "Forbidden", words,
			      &(struct ask){ .method = "POST",
					     .path = REVIEWS,
					     .body = "{}",
					     .cert_user = rows[i].user,
					     .cert_group = rows[i].group });
	}
}

/* Causes of a refused update are named as often as upstream's functions find them, which differs by kind and field; the
 * message says each once. */
static void test_causes_of_updates(void **state)
{
#define APPS "/apis/apps/v1/namespaces/default/"
#define SPEC(labels)                                                                                        \
	"{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":" labels "}," \
	"\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}"
	static const struct {
		const char *kind, *patch, *field;
		size_t n;
	} rows[] = {
		{ CM, "{\"metadata\":{\"labels\":{\"a b\":\"\"}}}", "metadata.labels", 4 },
		{ CM, "{\"metadata\":{\"deletionTimestamp\":\"2030-01-01T00:00:00Z\"}}",
		  "metadata.deletionTimestamp: Invalid value: 2030-01-01 00:00:00 +0000 UTC: field is immutable", 2 },
		{ CM, "{\"metadata\":{\"finalizers\":[\"a b/c\"]}}", "metadata.finalizers", 2 },
		{ APPS "deployments", "{\"metadata\":{\"labels\":{\"a b\":\"\"}}}", "metadata.labels", 3 },
		{ APPS "daemonsets", "{\"metadata\":{\"labels\":{\"a b\":\"\"}}}", "metadata.labels", 4 },
		{ APPS "daemonsets", "{\"spec\":" SPEC("{\"a\":\"c\"}") "}", "spec.template.metadata.labels", 2 },
		{ APPS "statefulsets", "{\"spec\":" SPEC("{\"a\":\"c\"}") "}", "spec.template.metadata.labels", 1 },
	};
	struct rig *r = *state;

	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"x\"}}");
	expect(r, 201, "POST", APPS "deployments",
	       "{\"metadata\":{\"name\":\"x\"},\"spec\":" SPEC("{\"a\":\"b\"}") "}");
	expect(r, 201, "POST", APPS "daemonsets", "{\"metadata\":{\"name\":\"x\"},\"spec\":" SPEC("{\"a\":\"b\"}") "}");
	expect(r, 201, "POST", APPS "statefulsets",
	       "{\"metadata\":{\"name\":\"x\"},\"spec\":" SPEC("{\"a\":\"b\"}") "}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct val *st = expect_type(r, 422, "PATCH", arena_printf(&r->arena, "%s/x", rows[i].kind),
						   "application/merge-patch+json", rows[i].patch);
		const struct val *causes = val_get(st, F_details, F_causes);

		assert_int_equal(val_len(causes), rows[i].n);
		if (sv_find_sv(val_get_str(st, F_message), sv_from(rows[i].field)) < 0)
			fail_msg("%.*s", SV_ARG(val_get_str(st, F_message)));
		assert_true(sv_find_sv(val_get_str(st, F_message), SV("[metadata.")) < 0);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_refusals),
					    T(test_older_eviction),
					    T(test_impersonating_nobody),
					    T(test_impersonating_accounts),
					    T(test_certificates_of_nobody),
					    T(test_causes_of_updates) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
