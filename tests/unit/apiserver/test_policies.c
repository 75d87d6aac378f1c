/* Admission policies, asked without sockets: refusals first. */
#include "harness.h"

#include "object/served.h"

#include <stdio.h>

#define POLICIES "/apis/admissionregistration.k8s.io/v1/"
#define MAPS "/api/v1/namespaces/default/configmaps"

static void put(struct rig *r, const char *prefix, const char *name, const char *spec, const char *bound)
{
	char path[200], body[16384];

	snprintf(path, sizeof(path), POLICIES "%sadmissionpolicies", prefix);
	snprintf(
	    body, sizeof(body),
	    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"matchConstraints\":{\"resourceRules\":[{\"apiGroups\":[\"\"],"
	    "\"apiVersions\":[\"v1\"],\"operations\":[\"CREATE\"],\"resources\":[\"configmaps\"]}]},%s}}",
	    name, spec);
	expect(r, 201, "POST", path, body);
	snprintf(path, sizeof(path), POLICIES "%sadmissionpolicybindings", prefix);
	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"policyName\":\"%s\"%s}}", name, name,
		 bound);
	expect(r, 201, "POST", path, body);
}

#define DENY ",\"validationActions\":[\"Deny\"]"

static void says(const struct val *status, const char *words)
{
	struct sv message = val_get_str(status, F_message);

	if (!memmem(message.p, message.n, words, strlen(words)))
		fail_msg("%.*s has no %s", SV_ARG(message), words);
}

static void a_rule_refuses(void **state)
{
	struct rig *r = *state;

	put(r, "validating", "p", "\"validations\":[{\"expression\":\"has(object.data)\",\"message\":\"no data\"}]",
	    DENY);
	says(expect(r, 422, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}"),
	     "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no data");
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"x\":\"y\"}}");
	expect(r, 200, "DELETE", POLICIES "validatingadmissionpolicies/p", NULL);
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"b\"}}");
}

/* Each variable uses the one before it: no stack grows with them, and each is worked out once. */
static void a_long_chain_of_variables(void **state)
{
	struct rig *r = *state;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "\"variables\":[{\"name\":\"v0\",\"expression\":\"1\"}");
	for (int i = 1; i < 200; i++)
		buf_printf(&b, ",{\"name\":\"v%d\",\"expression\":\"variables.v%d + 1\"}", i, i - 1);
	buf_adds(&b, "],\"validations\":[{\"expression\":\"variables.v199 + variables.v150 == 351 && "
		     "object.metadata.name == 'x'\",\"messageExpression\":\"'it is ' + string(variables.v199)\"}]");
	put(r, "validating", "p", buf_cstr(&b), DENY);
	says(expect(r, 422, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}"), "denied request: it is 200");
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"x\"}}");
}

static void of_two_of_a_name_the_first(void **state)
{
	struct rig *r = *state;

	put(r, "validating", "p",
	    "\"variables\":[{\"name\":\"a\",\"expression\":\"1\"},{\"name\":\"a\",\"expression\":\"variables.a + 1\"}],"
	    "\"validations\":[{\"expression\":\"variables.a == 1\"}]",
	    DENY);
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"x\"}}");
}

static void types_of_variables_stay(void **state)
{
	struct rig *r = *state;

	put(r, "validating", "p",
	    "\"variables\":[{\"name\":\"who\",\"expression\":\"request.userInfo\"},"
	    "{\"name\":\"l\",\"expression\":\"[request.kind]\"}],"
	    "\"validations\":[{\"expression\":\"variables.who.username == 'x' && variables.l[0].kind == "
	    "'ConfigMap'\"}]",
	    DENY);
	expect(r, 422, "POST", MAPS, "{\"metadata\":{\"name\":\"x\"}}");
}

static void exclusions_and_names(void **state)
{
	struct rig *r = *state;

	expect(
	    r, 201, "POST", POLICIES "validatingadmissionpolicies",
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"matchConstraints\":{\"resourceRules\":[{\"apiGroups\":[\"\"],"
	    "\"apiVersions\":[\"v1\"],\"operations\":[\"*\"],\"resources\":[\"*\"]}],\"excludeResourceRules\":[{"
	    "\"apiGroups\":[\"\"],\"apiVersions\":[\"*\"],\"operations\":[\"*\"],\"resources\":[\"configmaps\"],"
	    "\"resourceNames\":[\"free\"]}]},\"validations\":[{\"expression\":\"false\"}]}}");
	expect(r, 201, "POST", POLICIES "validatingadmissionpolicybindings",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"policyName\":\"p\"" DENY "}}");
	expect(r, 422, "POST", MAPS, "{\"metadata\":{\"name\":\"x\"}}");
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"free\"}}");
}

static void mutations(void **state)
{
	struct rig *r = *state;
	const struct val *o;

	put(r, "mutating", "a",
	    "\"reinvocationPolicy\":\"IfNeeded\",\"mutations\":[{\"patchType\":\"JSONPatch\",\"jsonPatch\":{"
	    "\"expression\":"
	    "\"has(object.data) && 'late' in object.data ? [JSONPatch{op: 'add', path: '/data/seen', value: 'yes'}] : "
	    "[]\"}}]",
	    "");
	put(r, "mutating", "b",
	    "\"reinvocationPolicy\":\"Never\",\"mutations\":[{\"patchType\":\"ApplyConfiguration\","
	    "\"applyConfiguration\":{"
	    "\"expression\":\"Object{data: {'late': 'yes'}}\"}}]",
	    "");
	o = expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"x\"},\"data\":{\"own\":\"1\"}}");
	assert_int_equal(val_len(val_get(o, F_data)), 3);
	put(r, "mutating", "c",
	    "\"reinvocationPolicy\":\"Never\",\"mutations\":[{\"patchType\":\"ApplyConfiguration\","
	    "\"applyConfiguration\":{"
	    "\"expression\":\"Object{bogus: 1}\"}}]",
	    "");
	o = expect(r, 403, "POST", MAPS, "{\"metadata\":{\"name\":\"y\"}}");
	says(
	    o,
	    "policy 'c' with binding 'c' denied request: error applying patch: failed to convert patch object to typed "
	    "object: .bogus: field not declared in schema");
	assert_true(val_is(val_get(o, F_reason), "Invalid"));
}

#define JSON_PATCH(expr)                                                                                              \
	"\"reinvocationPolicy\":\"Never\",\"mutations\":[{\"patchType\":\"JSONPatch\",\"jsonPatch\":{\"expression\":" \
	"\"" expr "\"}}]"

/* Everything was asked about the namespace of the request: rights, quotas, standards of Pods. */
static void an_object_stays_where_it_was_made(void **state)
{
	struct rig *r = *state;
	const struct val *o;

	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"other\"}}");
	put(r, "mutating", "away",
	    JSON_PATCH("[JSONPatch{op: 'replace', path: '/metadata/namespace', value: 'other'}]"), "");
	o = expect(r, 400, "POST", MAPS, "{\"metadata\":{\"name\":\"x\"}}");
	says(o, "the namespace of the provided object does not match the namespace sent on the request");
	expect(r, 400, "POST", MAPS, "{\"metadata\":{\"generateName\":\"x\"}}");
	expect(r, 404, "GET", MAPS "/x", NULL);
	expect(r, 404, "GET", "/api/v1/namespaces/other/configmaps/x", NULL);
}

static void an_object_keeps_its_kind(void **state)
{
	struct rig *r = *state;

	put(r, "mutating", "secret", JSON_PATCH("[JSONPatch{op: 'replace', path: '/kind', value: 'Secret'}]"), "");
	says(expect(r, 403, "POST", MAPS, "{\"metadata\":{\"name\":\"x\"}}"),
	     "policy 'secret' with binding 'secret' denied request: the patch changes the object's kind or apiVersion");
}

/* --- parameters: nobody has read for him what he may not read --- */

#define RBAC "/apis/rbac.authorization.k8s.io/v1/"

/* name may verb resource (of group) in ns; NULL: everywhere. */
static void grant(struct rig *r, const char *name, const char *group, const char *resource, const char *verb,
		  const char *ns)
{
	char path[200], body[1024], id[100], place[100];
	const char *kind = ns ? "Role" : "ClusterRole", *lower = ns ? "role" : "clusterrole";

	snprintf(id, sizeof(id), "%s-%s-%s", name, verb, resource[0] == '*' ? "all" : resource);
	snprintf(place, sizeof(place), "%s%s%s", ns ? "namespaces/" : "", ns ? ns : "", ns ? "/" : "");
	snprintf(path, sizeof(path), RBAC "%s%ss", place, lower);
	snprintf(body, sizeof(body),
		 "{\"metadata\":{\"name\":\"%s\"},\"rules\":[{\"apiGroups\":[\"%s\"],\"resources\":[\"%s\"],\"verbs\":["
		 "\"%s\"]}]}",
		 id, group, resource, verb);
	expect(r, 201, "POST", path, body);
	snprintf(path, sizeof(path), RBAC "%s%sbindings", place, lower);
	snprintf(
	    body, sizeof(body),
	    "{\"metadata\":{\"name\":\"%s\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"%s\","
	    "\"name\":\"%s\"},\"subjects\":[{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"User\","
	    "\"name\":\"%s\"}]}",
	    id, kind, id, name);
	expect(r, 201, "POST", path, body);
}

/* eve writes what she likes of the group, and reads nothing. */
static void eve_writes(struct rig *r)
{
	static const char *const verbs[] = { "create", "update", "patch", "delete" };

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		grant(r, "eve", "admissionregistration.k8s.io", "*", verbs[i], NULL);
}

/* As eve; words NULL: she may. */
static void eve(struct rig *r, const char *method, const char *path, const char *body, const char *words)
{
	struct ask a = { .method = method, .path = path, .body = body, .user = "eve" };

	if (!strcmp(method, "PATCH"))
		a.type = "application/merge-patch+json";
	if (words) {
		expect_status(r, 422, "Invalid", words, &a);
		return;
	}
	struct answer *got = api_ask(r, &a);

	if (got->code >= 300)
		fail_msg("%s %s: %d %s", method, path, got->code, buf_cstr(&got->body));
	answer_free(got);
}

#define JUDGES "\"validations\":[{\"expression\":\"true\"}]"
#define MUTATES                                                                                                       \
	"\"reinvocationPolicy\":\"Never\",\"mutations\":[{\"patchType\":\"JSONPatch\",\"jsonPatch\":{\"expression\":" \
	"\"[JSONPatch{op: 'remove', path: '/data/x'}]\"}}]"
static const struct policies_of {
	const char *version, *prefix, *rules, *actions;
} families[] = {
	{ "v1", "validating", JUDGES, DENY },
	{ "v1", "mutating", MUTATES, "" },
	{ "v1beta1", "mutating", MUTATES, "" },
	{ "v1alpha1", "mutating", MUTATES, "" },
};

static void eve_policy(struct rig *r, const struct policies_of *f, const char *name, const char *kind,
		       const char *words)
{
	char path[200], body[2048];

	snprintf(path, sizeof(path), "/apis/admissionregistration.k8s.io/%s/%sadmissionpolicies", f->version,
		 f->prefix);
	snprintf(body, sizeof(body),
		 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"paramKind\":%s,\"matchConstraints\":{\"resourceRules\":[{"
		 "\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"operations\":[\"CREATE\"],\"resources\":["
		 "\"configmaps\"]}]},%s}}",
		 name, kind, f->rules);
	eve(r, "POST", path, body, words);
}

static void eve_binding(struct rig *r, const struct policies_of *f, const char *name, const char *policy,
			const char *ref, const char *words)
{
	char path[200], body[2048];

	snprintf(path, sizeof(path), "/apis/admissionregistration.k8s.io/%s/%sadmissionpolicybindings", f->version,
		 f->prefix);
	snprintf(body, sizeof(body),
		 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"policyName\":\"%s\",\"paramRef\":%s%s}}", name, policy,
		 ref, f->actions);
	eve(r, "POST", path, body, words);
}

#define WHO "user &{eve  [system:authenticated] map[]} "
#define ON_REF WHO "does not have \"%s\" permission on the object referenced by paramRef"
#define SECRET_KIND "{\"apiVersion\":\"v1\",\"kind\":\"Secret\"}"
#define NAMED(n, where) "{\"name\":\"" n "\"" where ",\"parameterNotFoundAction\":\"Deny\"}"
#define SELECTED(where) "{\"selector\":{}" where ",\"parameterNotFoundAction\":\"Deny\"}"
#define IN_SYSTEM ",\"namespace\":\"kube-system\""
#define IN_DEFAULT ",\"namespace\":\"default\""

/* All versions of them are served. */
static int all_versions_setup(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(served_set(SV("admissionregistration.k8s.io/v1beta1=true,"
				       "admissionregistration.k8s.io/v1alpha1=true"),
				    &err),
			 0);
	return rig_setup(state);
}

static int all_versions_teardown(void **state)
{
	int rc = rig_teardown(state);

	served_reset();
	return rc;
}

static void parameters_of_policies(void **state)
{
	struct rig *r = *state;
	char path[200];

	eve_writes(r);
	grant(r, "eve", "", "secrets", "list", NULL);
	grant(r, "eve", "", "secrets", "get", "default");
	grant(r, "eve", "", "configmaps", "get", NULL);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		const struct policies_of *f = &families[i];

		eve_policy(r, f, "p", SECRET_KIND,
			   "spec.paramKind: Forbidden: " WHO
			   "must have \"get\" permission on all objects of the referenced paramKind (kind=Secret, "
			   "apiVersion=v1)");
		/* What is not there yet may be anything of its group. */
		eve_policy(r, f, "p", "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Later\"}",
			   "on all objects of the referenced paramKind (kind=Later, apiVersion=example.com/v1)");
		eve_policy(r, f, "p", "{\"apiVersion\":\"v1\",\"kind\":\"Later\"}", "(kind=Later, apiVersion=v1)");
		/* A policy whose form is wrong hears of that alone. */
		eve_policy(r, f, "p", "{\"apiVersion\":\"v1\"}", "spec.paramKind.kind: Required");
		eve_policy(r, f, "none", "null", NULL);
		eve_policy(r, f, "p", "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"}", NULL);
		/* Nor by a change, whichever way it comes. */
		snprintf(path, sizeof(path), "/apis/admissionregistration.k8s.io/%s/%sadmissionpolicies/p", f->version,
			 f->prefix);
		eve(r, "PATCH", path, "{\"spec\":{\"paramKind\":{\"kind\":\"Secret\"}}}", "(kind=Secret");
		eve(r, "PATCH", path, "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}", NULL);
		/* What an administrator has put there she may leave there. */
		expect_type(r, 200, "PATCH", path, "application/merge-patch+json",
			    "{\"spec\":{\"paramKind\":{\"kind\":\"Secret\"}}}");
		eve(r, "PATCH", path, "{\"metadata\":{\"labels\":{\"a\":\"c\"}}}", NULL);
		eve(r, "PATCH", path, "{\"spec\":{\"paramKind\":null}}", NULL);
		eve(r, "PATCH", path, "{\"spec\":{\"paramKind\":" SECRET_KIND "}}", "(kind=Secret");
		eve(r, "DELETE", path, NULL, NULL);
		snprintf(path, sizeof(path), "/apis/admissionregistration.k8s.io/%s/%sadmissionpolicies/none",
			 f->version, f->prefix);
		eve(r, "DELETE", path, NULL, NULL);
	}
}

/* The policy is an administrator's; who binds it chooses what it reads. */
static void parameters_of_bindings(void **state)
{
	struct rig *r = *state;
	char path[200], get[200], list[200];

	snprintf(get, sizeof(get), "spec.paramRef: Forbidden: " ON_REF, "get");
	snprintf(list, sizeof(list), "spec.paramRef: Forbidden: " ON_REF, "list");
	eve_writes(r);
	grant(r, "eve", "", "configmaps", "get", "default");
	grant(r, "eve", "", "configmaps", "list", "default");
	grant(r, "eve", "", "nodes", "get", NULL);
	for (size_t i = 0; i < 2; i++) {
		const struct policies_of *f = &families[i];
		static const struct {
			const char *name, *kind;
		} policies[] = { { "secret", SECRET_KIND },
				 { "map", "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"}" },
				 { "node", "{\"apiVersion\":\"v1\",\"kind\":\"Node\"}" },
				 { "later", "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Later\"}" },
				 { "plain", "null" } };

		for (size_t k = 0; k < ARRAY_LEN(policies); k++) {
			char body[2048];

			snprintf(path, sizeof(path), POLICIES "%sadmissionpolicies", f->prefix);
			snprintf(body, sizeof(body),
				 "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"paramKind\":%s,\"matchConstraints\":{"
				 "\"resourceRules\":[{\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"operations\":["
				 "\"CREATE\"],\"resources\":[\"pods\"]}]},%s}}",
				 policies[k].name, policies[k].kind, f->rules);
			expect(r, 201, "POST", path, body);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		const struct policies_of *f = &families[i];

		eve_binding(r, f, "b", "secret", SELECTED(IN_SYSTEM), list);
		eve_binding(r, f, "b", "secret", NAMED("t", IN_SYSTEM), get);
		eve_binding(r, f, "b", "secret", NAMED("t", ""), get);
		eve_binding(r, f, "b", "map", SELECTED(IN_SYSTEM), list);
		eve_binding(r, f, "b", "map", NAMED("t", IN_SYSTEM), get);
		/* Without a namespace it is that of whatever is judged: all. */
		eve_binding(r, f, "b", "map", SELECTED(""), list);
		eve_binding(r, f, "b", "map", NAMED("t", ""), get);
		eve_binding(r, f, "b", "node", SELECTED(""), list);
		/* What it will read nobody knows. */
		eve_binding(r, f, "b", "absent", NAMED("t", IN_DEFAULT),
			    "spec.paramRef: Forbidden: unable to get policy absent to determine minimum required "
			    "permissions and " WHO
			    "does not have \"get\" permission for all groups, versions and resources");
		eve_binding(r, f, "b", "later", SELECTED(IN_DEFAULT),
			    "unable to resolve paramKind &{example.com/v1 Later} to determine minimum required "
			    "permissions and " WHO "does not have \"list\" permission for all groups");
		eve_binding(r, f, "b", "plain", NAMED("t", IN_DEFAULT), get);
		eve_binding(r, f, "b", "secret", "{\"parameterNotFoundAction\":\"Deny\"}",
			    "one of name or selector must be specified");
		eve_binding(r, f, "none", "secret", "null", NULL);
		eve_binding(r, f, "n", "node", NAMED("t", ""), NULL);
		eve_binding(r, f, "s", "map", SELECTED(IN_DEFAULT), NULL);
		eve_binding(r, f, "b", "map", NAMED("t", IN_DEFAULT), NULL);
		snprintf(path, sizeof(path), "/apis/admissionregistration.k8s.io/%s/%sadmissionpolicybindings/b",
			 f->version, f->prefix);
		eve(r, "PATCH", path, "{\"spec\":{\"paramRef\":{\"namespace\":\"kube-system\"}}}", get);
		eve(r, "PATCH", path, "{\"spec\":{\"paramRef\":{\"namespace\":null}}}", get);
		eve(r, "PATCH", path, "{\"spec\":{\"policyName\":\"secret\"}}", get);
		eve(r, "PATCH", path, "{\"spec\":{\"paramRef\":{\"name\":\"u\"}}}", NULL);
		/* What an administrator has put there she may leave there, but not move. */
		expect_type(r, 200, "PATCH", path, "application/merge-patch+json",
			    "{\"spec\":{\"policyName\":\"secret\",\"paramRef\":{\"namespace\":\"kube-system\"}}}");
		eve(r, "PATCH", path, "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}", NULL);
		eve(r, "PATCH", path, "{\"spec\":{\"paramRef\":{\"name\":\"other\"}}}", get);
		eve(r, "PATCH", path, "{\"spec\":{\"paramRef\":null}}", NULL);
		for (const char *const *n = (const char *const[]){ "b", "s", "n", "none", NULL }; *n; n++) {
			snprintf(path, sizeof(path),
				 "/apis/admissionregistration.k8s.io/%s/%sadmissionpolicybindings/%s", f->version,
				 f->prefix, *n);
			eve(r, "DELETE", path, NULL, NULL);
		}
	}
}

/* The sentence shows who was asked about: all that is known of him. */
static void parameters_words(void **state)
{
	const struct http_header who[] = { { SV("impersonate-user"), SV("eve") },
					   { SV("impersonate-uid"), SV("7") },
					   { SV("impersonate-group"), SV("g") },
					   { SV("impersonate-extra-two"), SV("x") },
					   { SV("impersonate-extra-two"), SV("y") },
					   { SV("impersonate-extra-one"), SV("z") },
					   { .name = { 0 } } };
	struct rig *r = *state;

	eve_writes(r);
	expect_status(r, 422, "Invalid", "user &{eve 7 [g system:authenticated] map[one:[z] two:[x y]]} must have",
		      &(struct ask){ .method = "POST",
				     .path = POLICIES "validatingadmissionpolicies",
				     .body = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"paramKind\":" SECRET_KIND
					     ",\"matchConstraints\":{\"resourceRules\":[{\"apiGroups\":[\"\"],"
					     "\"apiVersions\":[\"v1\"],\"operations\":[\"CREATE\"],\"resources\":["
					     "\"configmaps\"]}]}," JUDGES "}}",
				     .cert_user = "root",
				     .cert_group = "system:masters",
				     .headers = who });
}

/* Who may read everything may bind what is not there yet. */
static void parameters_for_who_reads_all(void **state)
{
	struct rig *r = *state;

	eve_writes(r);
	grant(r, "eve", "*", "*", "get", NULL);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		char name[40];

		snprintf(name, sizeof(name), "p%zu", i);
		eve_binding(r, &families[i], name, name, NAMED("t", IN_SYSTEM), NULL);
		eve_binding(r, &families[i], "x", name, SELECTED(IN_SYSTEM),
			    "does not have \"list\" permission for all");
		eve_policy(r, &families[i], name, "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Later\"}", NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_rule_refuses, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_long_chain_of_variables, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(of_two_of_a_name_the_first, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(types_of_variables_stay, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(exclusions_and_names, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(mutations, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(an_object_stays_where_it_was_made, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(an_object_keeps_its_kind, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(parameters_of_policies, all_versions_setup, all_versions_teardown),
		cmocka_unit_test_setup_teardown(parameters_of_bindings, all_versions_setup, all_versions_teardown),
		cmocka_unit_test_setup_teardown(parameters_words, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(parameters_for_who_reads_all, all_versions_setup,
						all_versions_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
