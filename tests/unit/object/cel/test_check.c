#include "cel_test.h"

#include "object/schema.h"

/* What is wrong with an expression, as it is printed. */
static const struct {
	const char *expr, *text;
} rows[] = {
	{ "self.nope == 'x'", "ERROR: <input>:1:5: undefined field 'nope'\n | self.nope == 'x'\n | ....^" },
	{ "self.nested.y == 1", "ERROR: <input>:1:12: undefined field 'y'\n | self.nested.y == 1\n | ...........^" },
	{ "self.hidden", "ERROR: <input>:1:5: undefined field 'hidden'\n | self.hidden\n | ....^" },
	{ "self.keep.z", "ERROR: <input>:1:10: undefined field 'z'\n | self.keep.z\n | .........^" },
	{ "self.name + 1 > 2", "ERROR: <input>:1:11: found no matching overload for '_+_' applied to '(string, int)'\n "
			       "| self.name + 1 > 2\n | ..........^" },
	{ "uuid(self.name)",
	  "ERROR: <input>:1:5: undeclared reference to 'uuid' (in container '')\n | uuid(self.name)\n | ....^" },
	{ "params.x == 1",
	  "ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.x == 1\n | ^" },
	{ "self.name =",
	  "ERROR: <input>:1:11: Syntax error: token recognition error at: '='\n | self.name =\n | ..........^" },
	{ "xxx(", "ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', "
		  "'!', 'true', "
		  "'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | xxx(\n | ....^" },
	{ "1 +",
	  "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', "
	  "'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 +\n | ...^" },
	{ "1 2", "ERROR: <input>:1:3: Syntax error: extraneous input '2' expecting <EOF>\n | 1 2\n | ..^" },
	/* as in the parser's own tests upstream */
	{ "a | b", "ERROR: <input>:1:3: Syntax error: token recognition error at: '| '\n | a | b\n | ..^\n"
		   "ERROR: <input>:1:5: Syntax error: extraneous input 'b' expecting <EOF>\n | a | b\n | ....^" },
	{ "*@a | b",
	  "ERROR: <input>:1:1: Syntax error: extraneous input '*' expecting {'[', '{', '(', '.', '-', '!', 'true', "
	  "'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | *@a | b\n | ^\n"
	  "ERROR: <input>:1:2: Syntax error: token recognition error at: '@'\n | *@a | b\n | .^\n"
	  "ERROR: <input>:1:5: Syntax error: token recognition error at: '| '\n | *@a | b\n | ....^\n"
	  "ERROR: <input>:1:7: Syntax error: extraneous input 'b' expecting <EOF>\n | *@a | b\n | ......^" },
	{ "'abc",
	  "ERROR: <input>:1:1: Syntax error: token recognition error at: ''abc'\n | 'abc\n | ^\n"
	  "ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', "
	  "'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 'abc\n | ....^" },
	{ "1 2 3", "ERROR: <input>:1:3: Syntax error: mismatched input '2' expecting <EOF>\n | 1 2 3\n | ..^" },
	{ "for", "ERROR: <input>:1:1: reserved identifier: for\n | for\n | ^" },
	/* all of them, in the order of their places */
	{ "!foo(self.nope).bar()",
	  "ERROR: <input>:1:5: undeclared reference to 'foo' (in container '')\n | !foo(self.nope).bar()\n | ....^\n"
	  "ERROR: <input>:1:10: undefined field 'nope'\n | !foo(self.nope).bar()\n | .........^\n"
	  "ERROR: <input>:1:20: undeclared reference to 'bar' (in container '')\n | !foo(self.nope).bar()\n | "
	  "...................^" },
	{ "1 +\n  self.nope", "ERROR: <input>:2:7: undefined field 'nope'\n |   self.nope\n | ......^" },
	{ "'\xc3\xa9' + nope", "ERROR: <input>:1:7: undeclared reference to 'nope' (in container '')\n | '\xc3\xa9' + "
			       "nope\n | .\xef\xbc\x8e....^" },
	/* types */
	{ "self.name.size() == 'a'", "ERROR: <input>:1:18: found no matching overload for '_==_' applied to '(int, "
				     "string)'\n | self.name.size() == 'a'\n | "
				     ".................^" },
	{ "self.port.startsWith('a')",
	  "ERROR: <input>:1:21: found no matching overload for 'startsWith' applied to 'int.(string)'\n | "
	  "self.port.startsWith('a')\n | ....................^" },
	{ "self.port.x",
	  "ERROR: <input>:1:10: type 'int' does not support field selection\n | self.port.x\n | .........^" },
	{ "self.port.all(x, true)", "ERROR: <input>:1:5: expression of type 'int' cannot be range of a comprehension "
				    "(must be list, map, or dynamic)\n | "
				    "self.port.all(x, true)\n | ....^" },
	{ "self.list.all(x, x)", "ERROR: <input>:1:14: found no matching overload for '_&&_' applied to '(bool, "
				 "string)'\n | self.list.all(x, x)\n | "
				 ".............^" },
	{ "[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^" },
	{ "{'a': 1, 'b': 2u}",
	  "ERROR: <input>:1:15: expected type 'int' but found 'uint'\n | {'a': 1, 'b': 2u}\n | ..............^" },
	{ "[1, dyn(2)]", "ERROR: <input>:1:8: expected type 'int' but found 'dyn'\n | [1, dyn(2)]\n | .......^" },
	{ "'%s'.format([1, 'a']) + [2, [3]].size() + 'x'", "ERROR: <input>:1:23: found no matching overload for '_+_' "
							   "applied to '(string, int)'\n | '%s'.format([1, 'a']) + [2, "
							   "[3]].size() + 'x'\n | ......................^" },
	{ "self.nums == ['a']",
	  "ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(list(int), list(string))'\n | "
	  "self.nums == ['a']\n | ..........^" },
	{ "true ? 1 : 'a'", "ERROR: <input>:1:6: found no matching overload for '_?_:_' applied to '(bool, int, "
			    "string)'\n | true ? 1 : 'a'\n | .....^" },
	{ "Nope{a: 1}",
	  "ERROR: <input>:1:5: undeclared reference to 'Nope' (in container '')\n | Nope{a: 1}\n | ....^" },
	{ "self.list == null", "ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(list(string), "
			       "null)'\n | self.list == null\n | "
			       "..........^" },
	/* macros */
	{ "has(self)", "ERROR: <input>:1:5: invalid argument to has() macro\n | has(self)\n | ....^" },
	{ "self.list.all(x.y, true)",
	  "ERROR: <input>:1:16: argument must be a simple name\n | self.list.all(x.y, true)\n | ...............^" },
	/* literals that cannot be what they are for */
	{ "duration('1x') == self.took",
	  "ERROR: <input>:1:10: invalid duration argument\n | duration('1x') == self.took\n | .........^" },
	{ "timestamp('nope') == self.when",
	  "ERROR: <input>:1:11: invalid timestamp argument\n | timestamp('nope') == self.when\n | ..........^" },
	{ "self.name.matches('(')",
	  "ERROR: <input>:1:19: invalid matches argument\n | self.name.matches('(')\n | ..................^" },
	{ "9223372036854775808", "ERROR: <input>:1:1: invalid int literal\n | 9223372036854775808\n | ^" },
	{ "18446744073709551616u", "ERROR: <input>:1:1: invalid uint literal\n | 18446744073709551616u\n | ^" },
};

static void test_rows(void **state)
{
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct test_env t;
		struct cel_issues issues;
		struct cel_program *p;
		struct sv got;

		test_env_init(&t);
		issues = CEL_ISSUES(&t.a);
		p = cel_compile(&t.env, sv_from(rows[i].expr), &issues);
		got = p ? SV("fine") : cel_issues_text(&t.a, &issues, sv_from(rows[i].expr));
		if (!sv_is(got, rows[i].text)) {
			print_error("%s\ngives\n%.*s\nwant\n%s\n\n", rows[i].expr, SV_ARG(got), rows[i].text);
			bad++;
		}
		cel_program_unref(p);
		arena_release(&t.a);
	}
	assert_int_equal(bad, 0);
}

/* What is new with a release is refused in new expressions until the next one, and known in stored ones. */
static void test_versions(void **state)
{
	struct test_env t;

	(void)state;
	test_env_init(&t);
	assert_sv(test_run(&t, "[1].includes(1)", NULL),
		  "refused: undeclared reference to 'includes' (in container '')");
	t.env.stored = true;
	assert_sv(test_run(&t, "[1].includes(1)", NULL), "true");
	t.env = (struct cel_env){ .release = CEL_V(1, 38), .vars = t.vars, .n_vars = N_VARS };
	assert_sv(test_run(&t, "[1].includes(1)", NULL), "true");
	t.env.release = CEL_V(1, 28);
	assert_sv(test_run(&t, "isIP('::1')", NULL), "refused: undeclared reference to 'isIP' (in container '')");
	arena_release(&t.a);
}

static void test_escaping(void **state)
{
	static const char *const rows_of[][2] = {
		{ "plain", "plain" },
		{ "a.b", "a__dot__b" },
		{ "a-b", "a__dash__b" },
		{ "a/b", "a__slash__b" },
		{ "a__b", "a__underscores__b" },
		{ "in", "__in__" },
		{ "namespace", "__namespace__" },
		{ "a b", NULL },
		{ "1a", NULL },
		{ "", NULL },
		{ "\xc3\xa9", NULL },
		{ "x_", "x_" },
		{ "a___b", "a__underscores___b" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows_of); i++) {
		struct sv got = cel_escape(&a, sv_from(rows_of[i][0])), back;

		if (!rows_of[i][1]) {
			assert_null(got.p);
			continue;
		}
		assert_sv(got, rows_of[i][1]);
		assert_true(cel_unescape(&a, got, &back));
		assert_sv(back, rows_of[i][0]);
	}
}

/* Literals of object types, as mutating policies write them. */
static const struct cel_type *find_object(void *ctx, struct sv name)
{
	struct arena *a = ctx;
	struct cel_field spec[] = { { .name = SV("replicas"), .key = SV("replicas"), .type = &cel_t_int } };
	const struct cel_type *s = cel_type_object(a, SV("Object.spec"), spec, 1);
	struct cel_field top[] = { { .name = SV("spec"), .key = SV("spec"), .type = s },
				   { .name = SV("a__dash__b"), .key = SV("a-b"), .type = &cel_t_string } };

	if (sv_starts(name, SV("Open"))) {
		struct cel_type *open = (struct cel_type *)cel_type_object(a, name, NULL, 0);

		open->preserve = true;
		return open;
	}
	return sv_is(name, "Object.spec") ? s : sv_is(name, "Object") ? cel_type_object(a, SV("Object"), top, 2) : NULL;
}

static void test_objects(void **state)
{
	struct test_env t;

	(void)state;
	test_env_init(&t);
	t.env.find_type = find_object;
	t.env.find_ctx = &t.a;
	assert_sv(test_run(&t, "Object{spec: Object.spec{replicas: n}, a__dash__b: 'x'}", NULL),
		  "{\"spec\":{\"replicas\":5},\"a-b\":\"x\"}");
	assert_sv(test_run(&t, "Object{spec: Object.spec{?replicas: self.?port}}.spec.replicas", NULL), "8080");
	assert_sv(test_run(&t, "Open{a__dash__b: Open.x{y: [n]}}", NULL), "{\"a-b\":{\"y\":[5]}}");
	assert_sv(test_run(&t, "Open{a: 1}.b == 2", NULL), "error: no such key: b");
	assert_sv(test_run(&t, "Object{nope: 1}", NULL), "refused: undefined field 'nope'");
	assert_sv(test_run(&t, "Object{spec: 1}", NULL),
		  "refused: expected type of field 'spec' is 'Object.spec' but provided type is 'int'");
	assert_sv(test_run(&t, "string{a: 1}", NULL), "refused: 'string' is not a message type");
	arena_release(&t.a);
}

/* Of a whole resource, and of one within: kind, apiVersion and the names of metadata are there, whatever is declared.
 */
static void test_roots(void **state)
{
	static const struct {
		const char *expr, *first;
	} exprs[] = {
		{ "self.kind + self.apiVersion + self.metadata.name + self.metadata.generateName == ''", NULL },
		{ "self.tmpl.metadata.name == self.tmpl.kind", NULL },
		{ "self.metadata.labels.size() > 0", "undefined field 'labels'" },
		{ "self.plain.kind == ''", "undefined field 'kind'" },
		{ "self.bare.kind == '' && self.list.all(x, x.metadata.name != '')", NULL },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *schema = test_doc(
	    &a,
	    "{type: object, properties: {metadata: {type: object}, plain: {type: object},"
	    " tmpl: {type: object, x-kubernetes-embedded-resource: true, properties: {metadata: {type: object, "
	    "properties:"
	    "  {name: {type: string}, generateName: {type: string}, x: {type: string}}}, kind: {type: string}, "
	    "apiVersion: {type: string}}},"
	    " bare: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true},"
	    " list: {type: array, items: {type: object, x-kubernetes-embedded-resource: true}}}}");
	struct cel_var var = { SV("self"), cel_type_openapi(&a, schema, CEL_OAS_ROOT) };
	struct cel_env env = { .release = CEL_V(1, 37), .vars = &var, .n_vars = 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
		struct cel_issues issues = CEL_ISSUES(&a);
		_cleanup_(cel_program_unrefp) struct cel_program *p =
		    cel_compile(&env, sv_from(exprs[i].expr), &issues);

		if (exprs[i].first)
			assert_sv(issues.n ? issues.p[0].message : SV("fine"), exprs[i].first);
		else if (!p)
			fail_msg("%.*s", SV_ARG(issues.p[0].message));
	}
}

/* Kinds that have tables, among them one whose type contains itself. */
static void test_kinds(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct schema *pod = schema_find(SV("core/v1.Pod")),
			    *crd = schema_find(SV("apiextensions/v1.JSONSchemaProps"));
	struct cel_var var = { SV("object"), cel_type_schema(&a, pod) };
	struct cel_env env = { .release = CEL_V(1, 37), .vars = &var, .n_vars = 1 };
	static const struct {
		const char *expr, *first;
	} exprs[] = {
		{ "object.spec.containers.all(c, c.name != '' && c.image.startsWith('x'))", NULL },
		{ "object.metadata.labels['a'] == 'b' && object.metadata.creationTimestamp < "
		  "timestamp('2026-01-01T00:00:00Z')",
		  NULL },
		{ "object.spec.containers[0].resources.requests['cpu'] == '1'", NULL },
		{ "object.spec.containrs.size() > 0", "undefined field 'containrs'" },
		{ "object.spec.replicas > 1", "undefined field 'replicas'" },
		{ "object.spec.hostNetwork == 'yes'",
		  "found no matching overload for '_==_' applied to '(bool, string)'" },
	};

	(void)state;
	assert_non_null(pod);
	for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
		struct cel_issues issues = CEL_ISSUES(&a);
		_cleanup_(cel_program_unrefp) struct cel_program *p =
		    cel_compile(&env, sv_from(exprs[i].expr), &issues);

		if (exprs[i].first)
			assert_sv(issues.n ? issues.p[0].message : SV("fine"), exprs[i].first);
		else if (!p)
			fail_msg("%.*s", SV_ARG(issues.p[0].message));
	}
	if (crd)
		assert_non_null(cel_type_schema(&a, crd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	cmocka_unit_test(test_versions), cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_objects), cmocka_unit_test(test_kinds),	 cmocka_unit_test(test_roots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
