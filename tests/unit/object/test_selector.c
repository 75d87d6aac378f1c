#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"
#include "object/selector.h"

#include <stdlib.h>

static const struct {
	const char *in, *out; /* formatted again */
} good[] = {
	{ "", "" },
	{ "  ", "" },
	{ "x", "x" },
	{ "!x", "!x" },
	{ "! x", "!x" },
	{ "x=a", "x=a" },
	{ "x==a", "x==a" },
	{ "x!=a", "x!=a" },
	{ " x = a ", "x=a" },
	{ "x=", "x=" },
	{ "x=,z", "x=,z" },
	{ "x= ", "x=" },
	{ "x>1", "x>1" },
	{ "x<1", "x<1" },
	{ "x > 1, z < 7", "x>1,z<7" },
	{ "x in (a)", "x in (a)" },
	{ "x in (b,a,b)", "x in (a,b)" },
	{ "x in ( a , b )", "x in (a,b)" },
	{ "x in (a,,b)", "x in (,a,b)" },
	{ "x in (,a)", "x in (,a)" },
	{ "x in (a,)", "x in (,a)" },
	{ "x in ()", "x in ()" },
	{ "x in (,)", "x in ()" },
	{ "x notin (a,b)", "x notin (a,b)" },
	{ "x notin ()", "x notin ()" },
	{ "x in\t(a)", "x in (a)" },
	{ "b=1,a=2", "a=2,b=1" },
	{ "y,x in (foo,,baz),z notin ()", "x in (,baz,foo),y,z notin ()" },
	{ "a.example/in in (in,notin)", "a.example/in in (in,notin)" },
	{ "in in (in)", "in in (in)" },
	{ "notin", "notin" },
	{ "!in", "!in" },
	{ "in=in", "in=in" },
	{ "name=x", "name=x" },
	{ "app.kubernetes.io/name=web,tier!=db", "app.kubernetes.io/name=web,tier!=db" },
};

#define LABEL_MSG                                                                                                    \
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "    \
	"start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for " \
	"validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define NAME_MSG                                                                                              \
	"name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " \
	"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "  \
	"'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

static const struct {
	const char *in, *error;
} bad[] = {
	{ "=", "found '=', expected: !, identifier, or 'end of string'" },
	{ ",", "found ',', expected: !, identifier, or 'end of string'" },
	{ "(a)", "found '(', expected: !, identifier, or 'end of string'" },
	{ "x,", "found '', expected: identifier after ','" },
	{ "x,,y", "found ',', expected: identifier after ','" },
	{ "x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt" },
	{ "x(a)", "unable to parse requirement: found '(', expected: in, notin, =, ==, !=, gt, lt" },
	{ "!", "unable to parse requirement: found '', expected: identifier" },
	{ "!!x", "unable to parse requirement: found '!', expected: identifier" },
	{ "!x=a", "found '=', expected: ',' or 'end of string'" },
	{ "x=a b", "found 'b', expected: ',' or 'end of string'" },
	{ "x===a", "unable to parse requirement: found '=', expected: identifier" },
	{ "x=a=b", "found '=', expected: ',' or 'end of string'" },
	{ "x in a", "unable to parse requirement: found 'a' expected: '('" },
	{ "x in (", "unable to parse requirement: found '', expected: ',', ')' or identifier" },
	{ "x in (a", "unable to parse requirement: found '', expected: ',' or ')'" },
	{ "x in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'" },
	{ "x in (a,=)", "unable to parse requirement: found '=', expected: ',', or identifier" },
	{ "x in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier" },
	{ "x>",
	  "unable to parse requirement: values[0]: Invalid value: \"\": for 'Gt', 'Lt' operators, the value must be "
	  "an integer" },
	{ "x>a",
	  "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must "
	  "be an integer" },
	{ "-x=a", "unable to parse requirement: <nil>: Invalid value: \"-x\": " NAME_MSG },
	{ "/x", "unable to parse requirement: <nil>: Invalid value: \"/x\": prefix part must be non-empty" },
	{ "x=-a", "unable to parse requirement: values[0][x]: Invalid value: \"-a\": " LABEL_MSG },
	{ "x=\"a\\", "unable to parse requirement: values[0][x]: Invalid value: \"\\\"a\\\\\": " LABEL_MSG },
};

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT, again = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct selector *s = selector_parse(&a, sv_from(good[i].in), &err);

		if (!s)
			fail_msg("%s: %s", good[i].in, err_msg(&err));
		selector_format(&b, s);
		assert_string_equal(buf_cstr(&b), good[i].out);
		selector_format(&again, selector_parse(&a, buf_sv(&b), &err));
		assert_string_equal(buf_cstr(&again), good[i].out);
		assert_int_equal(selector_empty(s), good[i].out[0] == '\0');
	}
}

static void test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (selector_parse(&a, sv_from(bad[i].in), &err))
			fail_msg("accepted %s", bad[i].in);
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
		assert_string_equal(err_msg(&err), bad[i].error);
	}
}

static void test_match(void **state)
{
	static const char labels[] = "{\"app\":\"web\",\"name\":\"n\",\"empty\":\"\",\"num\":\"5\",\"x.io/y\":\"z\"}";
	static const struct {
		const char *sel;
		bool match;
	} rows[] = {
		{ "", true },
		{ "app", true },
		{ "nope", false },
		{ "!app", false },
		{ "!nope", true },
		{ "app=web", true },
		{ "app==web", true },
		{ "app=db", false },
		{ "app=", false },
		{ "empty=", true },
		{ "empty", true },
		{ "nope=", false },
		{ "app!=web", false },
		{ "app!=db", true },
		{ "nope!=db", true },
		{ "name=n", true },
		{ "name=m", false },
		{ "x.io/y=z", true },
		{ "app in (a,web)", true },
		{ "app in (a,b)", false },
		{ "nope in (a)", false },
		{ "empty in ()", true },
		{ "app notin (a,b)", true },
		{ "app notin (a,web)", false },
		{ "nope notin (a)", true },
		{ "num>4", true },
		{ "num>5", false },
		{ "num<6", true },
		{ "num<5", false },
		{ "app>1", false },
		{ "nope<1", false },
		{ "app=web,name=n,num>1,!nope", true },
		{ "app=web,name=m", false },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *l = json_decode(&a, sv_from(labels), NULL, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct selector *s = selector_parse(&a, sv_from(rows[i].sel), NULL);

		assert_non_null(s);
		if (selector_matches(s, l) != rows[i].match)
			fail_msg("%s", rows[i].sel);
	}
	assert_true(selector_matches(NULL, l));
	assert_true(selector_matches(selector_parse(&a, SV("!a,b!=c"), NULL), NULL));
	assert_false(selector_matches(selector_parse(&a, SV("a"), NULL), NULL));
}

static void test_label_selector(void **state)
{
	static const struct {
		const char *json, *out; /* out: text, or the error after '!' */
	} rows[] = {
		{ "{}", "" },
		{ "{\"matchLabels\":{\"b\":\"1\",\"a\":\"2\"}}", "a=2,b=1" },
		{ "{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"In\",\"values\":[\"b\",\"a\"]}]}",
		  "k in (a,b)" },
		{ "{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"NotIn\",\"values\":[\"a\"]},"
		  "{\"key\":\"j\",\"operator\":\"Exists\"},{\"key\":\"i\",\"operator\":\"DoesNotExist\"}],"
		  "\"matchLabels\":{\"z\":\"\"}}",
		  "!i,j,k notin (a),z=" },
		{ "{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"Gt\",\"values\":[\"1\"]}]}",
		  "!\"Gt\" is not a valid label selector operator" },
		{ "{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"In\"}]}",
		  "!values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty" },
		{ "{\"matchExpressions\":[{\"key\":\"-\",\"operator\":\"Exists\"}]}",
		  "!key: Invalid value: \"-\": " NAME_MSG },
		{ "{\"matchLabels\":{\"a\":\"-\"}}", "!values[0][a]: Invalid value: \"-\": " LABEL_MSG },
		{ "{\"matchLabels\":{\"-\":\"-\"}}",
		  "![key: Invalid value: \"-\": " NAME_MSG ", values[0][-]: Invalid value: \"-\": " LABEL_MSG "]" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct selector *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		s = selector_from_label_selector(&a, json_decode(&a, sv_from(rows[i].json), NULL, NULL), &err);
		if (!s) {
			assert_int_equal(rows[i].out[0], '!');
			assert_string_equal(err_msg(&err), rows[i].out + 1);
			continue;
		}
		selector_format(&b, s);
		assert_string_equal(buf_cstr(&b), rows[i].out);
	}
	s = selector_from_label_selector(&a, NULL, NULL);
	assert_false(selector_matches(s, NULL));
	assert_false(selector_empty(s));
	s = selector_from_label_selector(&a, json_decode(&a, SV("{}"), NULL, NULL), NULL);
	assert_true(selector_matches(s, NULL));
	assert_true(selector_empty(s));
	s = selector_from_map(&a, json_decode(&a, SV("{\"app\":\"web\",\"t\":\"x\"}"), NULL, NULL));
	assert_true(selector_matches(s, json_decode(&a, SV("{\"t\":\"x\",\"app\":\"web\",\"u\":\"\"}"), NULL, NULL)));
	assert_false(selector_matches(s, json_decode(&a, SV("{\"t\":\"x\"}"), NULL, NULL)));
	assert_true(selector_empty(selector_from_map(&a, NULL)));
}

static void test_fields(void **state)
{
	static const struct {
		const char *in, *out; /* "label op value" joined by ';', or the error after '!' */
	} rows[] = {
		{ "", "" },
		{ ",,", "" },
		{ "metadata.name=x", "metadata.name = x" },
		{ "metadata.name==x", "metadata.name = x" },
		{ "metadata.name!=x", "metadata.name != x" },
		{ "a=", "a = " },
		{ "=x", " = x" },
		{ "b=1,a!=2", "a != 2;b = 1" },
		{ "status.phase!=Running,spec.nodeName=n", "spec.nodeName = n;status.phase != Running" },
		{ "a=b\\,c", "a = b,c" },
		{ "a=b\\=c", "a = b=c" },
		{ "a=b\\\\", "a = b\\" },
		{ "a=b\\\\,c=d", "a = b\\;c = d" },
		{ "a=b\\,c,d=e", "a = b,c;d = e" },
		{ "a=b!c", "a = b!c" },
		{ "a", "!invalid selector: 'a'; can't understand 'a'" },
		{ "a=b,c", "!invalid selector: 'a=b,c'; can't understand 'c'" },
		{ "a!b", "!invalid selector: 'a!b'; can't understand 'a!b'" },
		{ "a=b=c", "!invalid field selector: unescaped character in value: 61" },
		{ "a=b\\x", "!invalid field selector: invalid escape sequence: \\x" },
		{ "a=b\\", "!invalid field selector: invalid escape sequence: \\" },
		{ "a=\\\xc3\xa9z", "!invalid field selector: invalid escape sequence: \\\xc3\xa9" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct field_selector *fs = field_selector_parse(&a, sv_from(rows[i].in), &err);

		if (!fs) {
			assert_int_equal(rows[i].out[0], '!');
			assert_string_equal(err_msg(&err), rows[i].out + 1);
			continue;
		}
		for (size_t j = 0; j < fs->n; j++)
			buf_printf(&b, "%s%.*s %s %.*s", j ? ";" : "", SV_ARG(fs->terms[j].label),
				   fs->terms[j].negated ? "!=" : "=", SV_ARG(fs->terms[j].value));
		assert_string_equal(buf_cstr(&b), rows[i].out);
	}
}

static const char *one_of(struct arena *a, int form)
{
	int k = rand() % 6, v = rand() % 12, w = rand() % 12;

	switch (form) {
	case 0:
		return arena_printf(a, "k%d in (%d,%d)", k, v, w);
	case 1:
		return arena_printf(a, "k%d notin (%d,%d)", k, v, w);
	case 2:
		return arena_printf(a, "k%d=%d", k, v);
	case 3:
		return arena_printf(a, "k%d!=%d", k, v);
	case 4:
		return arena_printf(a, "k%d>%d", k, v / 4);
	case 5:
		return arena_printf(a, "k%d<%d", k, v / 2);
	case 6:
		return arena_printf(a, "k%d", k);
	default:
		return arena_printf(a, "!k%d", k);
	}
}

/* What a selector of many requirements says is what all of them say one by one. */
static void test_many(void **state)
{
	size_t yes = 0, no = 0;

	(void)state;
	srand(7);
	for (int round = 0; round < 4000; round++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf text = BUF_INIT;
		struct val *labels = val_new_map(&a);
		int n = 9 + rand() % 8, forms = 1 + rand() % 8;
		bool all = true;

		for (int i = 0; i < 6; i++)
			if (rand() % 4)
				val_set_str_sv(&a, labels, arena_svf(&a, "k%d", i),
					       rand() % 9 ? arena_svf(&a, "%d", rand() % 6) : SV("x"));
		for (int i = 0; i < n; i++) {
			/* Mostly of the sort that is met, or nearly all would come to nothing. */
			const char *one = one_of(&a, rand() % 4 ? 1 : rand() % forms);

			buf_printf(&text, "%s%s", i ? "," : "", one);
			all = all && selector_matches(selector_parse(&a, sv_from(one), NULL), labels);
		}
		if (selector_matches(selector_parse(&a, buf_sv(&text), NULL), labels) != all)
			fail_msg("%s", buf_cstr(&text));
		yes += all;
		no += !all;
	}
	assert_true(yes > 200 && no > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	       cmocka_unit_test(test_errors), cmocka_unit_test(test_match),
		cmocka_unit_test(test_label_selector), cmocka_unit_test(test_fields), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
