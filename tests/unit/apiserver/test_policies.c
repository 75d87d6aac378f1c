/* Admission policies, asked without sockets: refusals first. */
#include "harness.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
