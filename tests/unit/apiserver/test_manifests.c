/* Configurations of admission out of files: what a folder may hold, what they are asked about, what a change does. */
#include "harness.h"

#include "apiserver/admission/setup.h"
#include "apiserver/apiserver-internal.h"
#include "object/feature.h"

#include <stdio.h>
#include <unistd.h>

#define MAPS "/api/v1/namespaces/default/configmaps"
#define POLICIES "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

static char folder[] = "/tmp/caravel-manifests-XXXXXX";

static void file(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", folder, name);
	FILE *f = text ? fopen(path, "w") : NULL;

	if (!text) {
		(void)unlink(path);
		return;
	}
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

#define POLICY_OF(name, more)                                                                                        \
	"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: " name "}\n" \
	"spec: {matchConstraints: {resourceRules: [{apiGroups: ['', admissionregistration.k8s.io], apiVersions: "    \
	"['*'], "                                                                                                    \
	"operations: ['*'], resources: ['*']}]}" more "}\n"
#define RULE(expression) ", validations: [{expression: \"" expression "\"}]"
#define BINDING_OF(name, policy, more)                                                                         \
	"---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: " \
	"{name: " name "}\nspec: {policyName: " policy ", validationActions: [Deny]" more "}\n"
#define STATIC ".static.k8s.io"
#define HOOK(client)                                                                                                   \
	"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: h" STATIC \
	"}\nwebhooks: [{name: a.b.c, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {" client "}}]\n"

static void test_refused(void **state)
{
	static const struct {
		enum manifests_of of;
		const char *text, *why;
	} rows[] = {
		{ MANIFESTS_VALIDATING, POLICY_OF("p", RULE("true")), "its name must end with \".static.k8s.io\"" },
		{ MANIFESTS_VALIDATING, POLICY_OF("p" STATIC, RULE("true")) "---\n" POLICY_OF("p" STATIC, RULE("true")),
		  "is there twice" },
		{ MANIFESTS_VALIDATING,
		  POLICY_OF("p" STATIC, RULE("true") ", paramKind: {apiVersion: v1, kind: ConfigMap}"),
		  "spec.paramKind is not supported" },
		{ MANIFESTS_VALIDATING,
		  POLICY_OF("p" STATIC, RULE("true"))
		      BINDING_OF("b" STATIC, "p" STATIC, ", paramRef: {name: x, parameterNotFoundAction: Deny}"),
		  "spec.paramRef is not supported" },
		{ MANIFESTS_VALIDATING, POLICY_OF("p" STATIC, RULE("true")) BINDING_OF("b" STATIC, "other", ""),
		  "there is no policy \"other\" in this folder" },
		{ MANIFESTS_VALIDATING, POLICY_OF("p" STATIC, RULE("1 +")), "spec.validations[0].expression" },
		{ MANIFESTS_VALIDATING, POLICY_OF("p" STATIC, RULE("true") ", nothing: 1"),
		  "unknown field \"spec.nothing\"" },
		{ MANIFESTS_VALIDATING, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: p" STATIC "}\n",
		  "unsupported resource type v1, Kind=ConfigMap" },
		{ MANIFESTS_VALIDATING, "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}]\n",
		  "unsupported resource type v1, Kind=Pod" },
		{ MANIFESTS_MUTATING, POLICY_OF("p" STATIC, RULE("true")), "unsupported resource type" },
		{ MANIFESTS_VALIDATING, "a: [", "a.yaml" },
		{ MANIFESTS_VALIDATING_HOOKS, HOOK("service: {namespace: x, name: svc}"),
		  "clientConfig.url is required" },
		{ MANIFESTS_VALIDATING_HOOKS, HOOK(""), "webhooks[0].clientConfig" },
	};
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		file("a.yaml", rows[i].text);
		if (manifests_new(rows[i].of, folder, &err) || !strstr(err_msg(&err), rows[i].why))
			fail_msg("%zu: %s; want %s", i, err_msg(&err), rows[i].why);
		err_release(&err);
	}
	assert_null(manifests_new(MANIFESTS_VALIDATING, "tmp", &err));
	err_release(&err);
	assert_null(manifests_new(MANIFESTS_VALIDATING, "/nowhere/at/all", &err));
	err_release(&err);
	file("a.yaml", HOOK("url: 'https://example.com/x'"));
	manifests_free(manifests_new(MANIFESTS_VALIDATING_HOOKS, folder, &err));
	assert_int_equal(err.reason, ERR_NONE);
	file("a.yaml", NULL);
}

static void test_in_force(void **state)
{
	struct rig *r = *state;
	struct manifests **m = &r->server->admission->manifests[MANIFESTS_VALIDATING];
	_cleanup_(err_release) struct err err = ERR_INIT;

	/* What is no manifest is passed over. */
	file("README", "not yaml: [");
	file(".hidden.yaml", "not yaml: [");
	file("a.yaml", POLICY_OF("p" STATIC, RULE("object == null || object.metadata.name != 'bad'"))
			   BINDING_OF("b" STATIC, "p" STATIC, ""));
	*m = manifests_new(MANIFESTS_VALIDATING, folder, &err);
	if (!*m)
		fail_msg("%s", err_msg(&err));
	admission_policies_changed(r->server, false);
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"good\"}}");
	expect_status(r, 422, "Invalid",
		      "ValidatingAdmissionPolicy 'p.static.k8s.io' with binding 'b.static.k8s.io' denied request",
		      &(struct ask){ .method = "POST", .path = MAPS, .body = "{\"metadata\":{\"name\":\"bad\"}}" });
	/* Policies of the API are not asked about policies; this one is, and nobody sees it there. */
	expect_status(r, 422, "Invalid", "denied request",
		      &(struct ask){ .method = "POST",
				     .path = POLICIES,
				     .body = "{\"metadata\":{\"name\":\"bad\"},\"spec\":{\"matchConstraints\":{"
					     "\"resourceRules\":[{\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
					     "\"operations\":[\"*\"],\"resources\":[\"pods\"]}]},"
					     "\"validations\":[{\"expression\":\"true\"}]}}" });
	expect(r, 404, "GET", POLICIES "/p" STATIC, NULL);
	expect_status(r, 422, "Invalid", "names ending with \".static.k8s.io\" are reserved",
		      &(struct ask){ .method = "POST",
				     .path = POLICIES,
				     .body =
					 "{\"metadata\":{\"name\":\"x.static.k8s.io\"},\"spec\":{\"matchConstraints\":{"
					 "\"resourceRules\":[{\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
					 "\"operations\":[\"*\"],\"resources\":[\"pods\"]}]},"
					 "\"validations\":[{\"expression\":\"true\"}]}}" });

	/* The same again is no change; what is broken leaves what was; what is other counts from then on. */
	assert_false(manifests_reload(*m));
	file("a.yaml", "a: [");
	assert_false(manifests_reload(*m));
	expect(r, 422, "POST", MAPS, "{\"metadata\":{\"name\":\"bad\"}}");
	file("a.yaml", POLICY_OF("p" STATIC, RULE("object == null || object.metadata.name != 'worse'"))
			   BINDING_OF("b" STATIC, "p" STATIC, ""));
	rig_run(r, 70 * NS_PER_SEC); /* a minute is enough */
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"bad\"}}");
	expect(r, 422, "POST", MAPS, "{\"metadata\":{\"name\":\"worse\"}}");
	file("a.yaml", NULL);
	file("README", NULL);
	file(".hidden.yaml", NULL);
	assert_true(manifests_reload(*m));
}

static struct admission_set *configured(const char *plugin, const char *kind, const char *more, struct err *err)
{
	_cleanup_free_ char *text =
	    xasprintf("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: %s\n"
		      "  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: %s, staticManifestsDir: %s%s}\n",
		      plugin, kind, folder, more);
	_cleanup_free_ char *path = xasprintf("%s/admission.conf", folder);
	struct apiserver_opts o = { .admission_config = path };
	struct admission_set *s;

	file("admission.conf", text);
	s = admission_set_new(&o, err);
	file("admission.conf", NULL);
	return s;
}

/* How a server comes to them. */
static void test_configured(void **state)
{
	static const struct {
		const char *plugin, *kind;
		enum manifests_of of;
	} rows[] = {
		{ "ValidatingAdmissionWebhook", "WebhookAdmissionConfiguration", MANIFESTS_VALIDATING_HOOKS },
		{ "MutatingAdmissionWebhook", "WebhookAdmissionConfiguration", MANIFESTS_MUTATING_HOOKS },
		{ "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyConfiguration", MANIFESTS_VALIDATING },
		{ "MutatingAdmissionPolicy", "MutatingAdmissionPolicyConfiguration", MANIFESTS_MUTATING },
	};
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct admission_set *s;

		assert_null(configured(rows[i].plugin, "Config", "", &err));
		assert_non_null(strstr(err_msg(&err), "it is no "));
		err_release(&err);
		assert_null(configured(rows[i].plugin, rows[i].kind, "/nowhere", &err));
		assert_non_null(strstr(err_msg(&err), "/nowhere"));
		err_release(&err);
		s = configured(rows[i].plugin, rows[i].kind, "", &err);
		if (!s)
			fail_msg("%s", err_msg(&err));
		for (size_t k = 0; k < _MANIFESTS_MAX; k++)
			assert_int_equal(s->manifests[k] != NULL, k == rows[i].of);
		admission_set_free(s);
	}
	assert_int_equal(features_set(SV("ManifestBasedAdmissionControlConfig=false"), &err), 0);
	assert_null(configured(rows[2].plugin, rows[2].kind, "", &err));
	assert_non_null(strstr(err_msg(&err), "feature gate ManifestBasedAdmissionControlConfig"));
	features_reset();
}

/* How often they were asked, under upstream's names. */
static void test_counted(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	file("a.yaml", POLICY_OF("p" STATIC, RULE("object == null || object.metadata.name != 'bad'"))
			   BINDING_OF("b" STATIC, "p" STATIC, ""));
	r->server->admission->manifests[MANIFESTS_VALIDATING] = manifests_new(MANIFESTS_VALIDATING, folder, NULL);
	admission_policies_changed(r->server, false);
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"good\"}}");
	expect(r, 422, "POST", MAPS, "{\"metadata\":{\"name\":\"bad\"}}");
	a = api(r, "GET", "/metrics");
	assert_non_null(strstr(buf_cstr(&a->body),
			       "apiserver_validating_admission_policy_check_total{enforcement_action="
			       "\"deny\",error_type=\"no_error\",policy=\"p.static.k8s.io\","
			       "policy_binding=\"b.static.k8s.io\"} 1\n"));
	assert_non_null(strstr(buf_cstr(&a->body),
			       "apiserver_validating_admission_policy_check_duration_seconds_bucket{enforcement_action="
			       "\"deny\",error_type=\"no_error\",policy=\"p.static.k8s.io\","
			       "policy_binding=\"b.static.k8s.io\",le=\"+Inf\"} 1\n"));
	/* As upstream: what a rule lets through is counted only where it could not be asked. */
	assert_null(strstr(buf_cstr(&a->body), "enforcement_action=\"allow\""));
	answer_free(a);
	file("a.yaml", NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_configured),
		cmocka_unit_test_setup_teardown(test_in_force, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_counted, rig_setup, rig_teardown),
	};
	int rc;

	if (!mkdtemp(folder))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(folder);
	return rc;
}
