/* What policies get wrong about the types of their kinds: a spec in, warnings out. */
#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"
#include "policy/type_check.h"

static const struct val *parse(struct arena *a, const char *text)
{
	char *json = arena_strdup(a, text);
	const struct val *v;

	for (char *c = json; *c; c++)
		if (*c == '`')
			*c = '"';
	v = json_decode(a, sv_from(json), NULL, NULL);
	assert_non_null(v);
	return v;
}

#define RULE(group, version, plural) \
	"{`apiGroups`:[`" group "`],`apiVersions`:[`" version "`],`resources`:[`" plural "`]}"
#define DEPLOYMENTS RULE("apps", "v1", "deployments")
#define SPEC(rules, rest) "{`matchConstraints`:{`resourceRules`:[" rules "]}," rest "}"
#define IS(expression) "`validations`:[{`expression`:`" expression "`}]"

static const struct api_set *kinds; /* with Widget of example.com/v1 */

/* All warnings of a spec, "fieldRef: warning" each. */
static void warns(const char *spec, const char *wanted)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(policy_type_check(&a, kinds, parse(&a, spec)), w)
		buf_printf(&b, "%.*s: %.*s", SV_ARG(val_get_str(w, F_fieldRef)), SV_ARG(val_get_str(w, F_warning)));
	assert_string_equal(buf_cstr(&b), wanted);
}

static void test_built_in(void **state)
{
	(void)state;
	warns(SPEC(DEPLOYMENTS, IS("object.spec.replicas > 1")), "");
	warns(SPEC(DEPLOYMENTS, IS("object.spec.nope > 1")),
	      "spec.validations[0].expression: apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'nope'\n"
	      " | object.spec.nope > 1\n | ...........^\n");
	/* oldObject is of the same kind, and messages are looked at as well. */
	warns(SPEC(DEPLOYMENTS, "`validations`:[{`expression`:`oldObject.metadata.name == 'x'`,"
				"`messageExpression`:`object.kind + 1`}]"),
	      "spec.validations[0].messageExpression: apps/v1, Kind=Deployment: ERROR: <input>:1:13: found no matching "
	      "overload for '_+_' applied to '(string, int)'\n | object.kind + 1\n | ............^\n");
	/* The group of the core has no name before the slash. */
	warns(SPEC(RULE("", "v1", "pods"), IS("object.spec.x == 1")),
	      "spec.validations[0].expression: /v1, Kind=Pod: ERROR: <input>:1:12: undefined field 'x'\n"
	      " | object.spec.x == 1\n | ...........^\n");
}

static void test_several_kinds(void **state)
{
	(void)state;
	warns(
	    SPEC("{`apiGroups`:[`apps`],`apiVersions`:[`v1`],`resources`:[`deployments`,`daemonsets`,`deployments/"
		 "scale`]}",
		 IS("object.spec.replicas > 1")),
	    "spec.validations[0].expression: apps/v1, Kind=DaemonSet: ERROR: <input>:1:12: undefined field 'replicas'\n"
	    " | object.spec.replicas > 1\n | ...........^\n");
	/* Nothing is known of what is not named in full, of subresources and of kinds that there are not. */
	warns(SPEC(RULE("*", "v1", "deployments"), IS("object.nope")), "");
	warns(SPEC(RULE("apps", "*", "deployments"), IS("object.nope")), "");
	warns(SPEC(RULE("apps", "v1", "*"), IS("object.nope")), "");
	warns(SPEC(RULE("apps", "v1", "deployments/scale"), IS("object.nope")), "");
	warns(SPEC(RULE("example.com", "v1", "nothings"), IS("object.nope")), "");
	warns("{" IS("object.nope") "}", "");
}

static void test_variables(void **state)
{
	(void)state;
	/* A variable keeps the type of what it is, fields included. */
	warns(
	    SPEC(DEPLOYMENTS,
		 "`variables`:[{`name`:`s`,`expression`:`object.spec`},"
		 "{`name`:`all`,`expression`:`variables.s.template.spec.containers`}],"
		 "`validations`:[{`expression`:`variables.s.replicas > 1`},{`expression`:`variables.s.nope > 1`},"
		 "{`expression`:`variables.all.all(c, c.image2 == '')`}]"),
	    "spec.validations[1].expression: apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'nope'\n"
	    " | variables.s.nope > 1\n | ...........^\n"
	    "spec.validations[2].expression: apps/v1, Kind=Deployment: ERROR: <input>:1:23: undefined field 'image2'\n"
	    " | variables.all.all(c, c.image2 == '')\n | ......................^\n");
	/* One that is wrong is told of by nobody, and is anything. */
	warns(SPEC(DEPLOYMENTS, "`variables`:[{`name`:`v`,`expression`:`object.nope`}]," IS("variables.v.x > 1")), "");
}

static void test_params(void **state)
{
	(void)state;
#define WITH(version, kind) "`paramKind`:{`apiVersion`:`" version "`,`kind`:`" kind "`},"
	warns(SPEC(DEPLOYMENTS, WITH("v1", "ConfigMap") IS("params.data['x'] == 'y'")), "");
	warns(SPEC(DEPLOYMENTS, WITH("v1", "ConfigMap") IS("params.datum == 'y'")),
	      "spec.validations[0].expression: apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'datum'\n"
	      " | params.datum == 'y'\n | ......^\n");
	/* Of a kind that there is not nobody has any. */
	warns(SPEC(DEPLOYMENTS, WITH("example.com/v1", "Nothing") IS("params.x == 'y'")),
	      "spec.validations[0].expression: apps/v1, Kind=Deployment: ERROR: <input>:1:1: undeclared reference to "
	      "'params' (in container '')\n | params.x == 'y'\n | ^\n");
}

static void test_custom(void **state)
{
	(void)state;
	warns(SPEC(RULE("example.com", "v1", "widgets"), IS("object.spec.size > 1 && object.metadata.name != ''")), "");
	warns(SPEC(RULE("example.com", "v1", "widgets"), IS("object.spec.size == 'x'")),
	      "spec.validations[0].expression: example.com/v1, Kind=Widget: ERROR: <input>:1:18: found no matching "
	      "overload "
	      "for '_==_' applied to '(int, string)'\n | object.spec.size == 'x'\n | .................^\n");
	/* Both as object and as params: types of one name are one. */
	warns(SPEC(RULE("example.com", "v1", "widgets"),
		   WITH("example.com/v1", "Widget") IS("object.spec == params.spec && params.spec.other == 1")),
	      "spec.validations[0].expression: example.com/v1, Kind=Widget: ERROR: <input>:1:42: undefined field "
	      "'other'\n"
	      " | object.spec == params.spec && params.spec.other == 1\n"
	      " | .........................................^\n");
}

static void test_bounds(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT, spec = BUF_INIT;
	const struct resource *const *found;
	struct val *list;
	size_t bytes = 0;

	(void)state;
	/* Ten kinds of a rule, which is then the last one. */
	buf_adds(&b, "{`apiGroups`:[``,`apps`,`batch`],`apiVersions`:[`v1`],`resources`:[");
	for (size_t i = 0; i < resource_count; i++)
		buf_printf(&b, "%s`%s`", i ? "," : "", resource_all[i].plural);
	buf_printf(&b, "]}");
	buf_printf(&spec, SPEC("%s," RULE("networking.k8s.io", "v1", "ingresses"), IS("true")), buf_cstr(&b));
	assert_int_equal(policy_kinds(&a, kinds, parse(&a, buf_cstr(&spec)), &found), 10);
	/* Many rules that each bring a kind. */
	buf_clear(&spec);
	buf_adds(&spec, "{`matchConstraints`:{`resourceRules`:[");
	for (size_t i = 0; i < resource_count; i++)
		buf_printf(&spec, "%s" RULE("%s", "%s", "%s"), i ? "," : "", resource_all[i].group,
			   resource_all[i].version, resource_all[i].plural);
	buf_adds(&spec, "]}}");
	assert_true(policy_kinds(&a, kinds, parse(&a, buf_cstr(&spec)), &found) <= POLICY_CHECK_KINDS_MAX);
	/* Many warnings. */
	buf_clear(&spec);
	buf_printf(&spec, "{`matchConstraints`:{`resourceRules`:[%s]},`validations`:[", buf_cstr(&b));
	for (size_t i = 0; i < 2000; i++)
		buf_printf(&spec, "%s{`expression`:`object.nope == %zu`}", i ? "," : "", i);
	buf_adds(&spec, "]}");
	list = policy_type_check(&a, kinds, parse(&a, buf_cstr(&spec)));
	VAL_EACH(list, w)
		bytes += val_get_str(w, F_warning).n;
	assert_true(val_len(list) > 100);
	assert_true(bytes >= POLICY_CHECK_BYTES_MAX && bytes < POLICY_CHECK_BYTES_MAX + 1024);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_built_in), cmocka_unit_test(test_several_kinds), cmocka_unit_test(test_variables),
		cmocka_unit_test(test_params),	 cmocka_unit_test(test_custom),	       cmocka_unit_test(test_bounds),
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct api_kind *widget = api_kind_new(
	    &(struct api_kind_def){
		.group = "example.com",
		.version = "v1",
		.plural = "widgets",
		.kind = "Widget",
		.namespaced = true,
		.custom = true,
		.schema = parse(&a, "{`type`:`object`,`properties`:{`spec`:{`type`:`object`,`properties`:{"
				    "`size`:{`type`:`integer`}}}}}"),
	    },
	    NULL);
	int rc;

	kinds = api_set_with(api_set_built_in(), &widget, 1, NULL);
	api_kind_unref(widget);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	api_set_unref(kinds);
	return rc;
}
