#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/yaml.h"

#include <stdlib.h>

static const struct {
	const char *yaml, *json;
} good[] = {
	{ "", "null" },
	{ "# only a comment\n", "null" },
	{ "a: b", "{\"a\":\"b\"}" },
	{ "a: b\n", "{\"a\":\"b\"}" },
	{ "---\na: b\n", "{\"a\":\"b\"}" },
	{ "\xef\xbb\xbf"
	  "a: b\nc: d\n",
	  "{\"a\":\"b\",\"c\":\"d\"}" },
	{ "\xef\xbb\xbf# edited elsewhere\r\na:\r\n- b\r\nc: d\r\n", "{\"a\":[\"b\"],\"c\":\"d\"}" },
	{ "\xef\xbb\xbf---\na: b\nc: d\n", "{\"a\":\"b\",\"c\":\"d\"}" },
	{ "\xef\xbb\xbf", "null" },
	{ "a: b\n...\n", "{\"a\":\"b\"}" },
	{ "a: b\n---\nc: d\n", "{\"a\":\"b\"}" },
	{ "{\"a\": [1, 2.5, null]}", "{\"a\":[1,2.5,null]}" },
	{ "{a: [1, b]}", "{\"a\":[1,\"b\"]}" },
	{ "- a\n- - b\n  - c\n- {}\n- []\n", "[\"a\",[\"b\",\"c\"],{},[]]" },
	{ "metadata:\n  name: x\n  labels:\n    k: v\nspec:\n- 1\n",
	  "{\"metadata\":{\"name\":\"x\",\"labels\":{\"k\":\"v\"}},\"spec\":[1]}" },
	/* nulls and booleans */
	{ "[~, null, Null, NULL, nUll]", "[null,null,null,null,\"nUll\"]" },
	{ "a:\nb: \"\"\n", "{\"a\":null,\"b\":\"\"}" },
	{ "[true, True, TRUE, yes, Yes, YES, on, On, ON, y, Y]",
	  "[true,true,true,true,true,true,true,true,true,true,true]" },
	{ "[false, False, FALSE, no, No, NO, off, Off, OFF, n, N]",
	  "[false,false,false,false,false,false,false,false,false,false,false]" },
	{ "[tRue, yEs, oN, \"true\", 'no', !!str yes]", "[\"tRue\",\"yEs\",\"oN\",\"true\",\"no\",\"yes\"]" },
	/* numbers */
	{ "[0, 7, -7, +7, 1_000, 0777, 0o17, 0x1F, -0x10, 0b101, -0b11]", "[0,7,-7,7,1000,511,15,31,-16,5,-3]" },
	{ "[08, 09.5, 1.0, 1e3, 1.5e3, .5, 5., -.5, 1e21]", "[8,9.5,1,1000,1500,0.5,5,-0.5,1e+21]" },
	{ "[9223372036854775807, 9223372036854775808, 18446744073709551615]",
	  "[9223372036854775807,9223372036854776000,18446744073709552000]" },
	{ "[1.2.3, 1a, 0x, 0xg, 0b2, -, +, 1e, 1e400, 12:30, 10.0.0.1]",
	  "[\"1.2.3\",\"1a\",\"0x\",\"0xg\",\"0b2\",\"-\",\"+\",\"1e\",\"1e400\",\"12:30\",\"10.0.0.1\"]" },
	{ "[!!int \"3\", !!float 3, !!bool \"yes\", !!str 3, ! 4]", "[3,3,true,\"3\",\"4\"]" },
	{ "[2025-01-02, 2025-01-02T03:04:05Z]", "[\"2025-01-02\",\"2025-01-02T03:04:05Z\"]" },
	/* strings */
	{ "a: 'it''s'\nb: \"x\\ty\\u00e9\\x41\"\n", "{\"a\":\"it's\",\"b\":\"x\\ty\xc3\xa9"
						    "A\"}" },
	{ "a: |\n  x\n   y\n\nb: >\n  p\n  q\n\n  r\nc: |-\n  z\n",
	  "{\"a\":\"x\\n y\\n\",\"b\":\"p q\\nr\\n\",\"c\":\"z\"}" },
	{ "a: |+\n  x\n\nb: |2\n   y\n", "{\"a\":\"x\\n\\n\",\"b\":\" y\\n\"}" },
	{ "a: x # comment\nb: x#y\nc: http://h:1/\n", "{\"a\":\"x\",\"b\":\"x#y\",\"c\":\"http://h:1/\"}" },
	{ "a: one\n  two\n", "{\"a\":\"one two\"}" },
	{ "a: !!binary aGVsbG8=\n", "{\"a\":\"hello\"}" },
	{ "\"\\0\"", "\"\\u0000\"" },
	/* keys */
	{ "1: a\ntrue: b\n1.5: c\n'2': d\nyes : e2\n~x: f\n", NULL },
	{ "1: a\ntrue: b\n1.5: c\n'2': d\n? k\n: v\n",
	  "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\",\"2\":\"d\",\"k\":\"v\"}" },
	{ "0x10: a\n", "{\"16\":\"a\"}" },
	/* anchors and merges */
	{ "a: &x {p: 1}\nb: *x\nc: [*x, *x]\n", "{\"a\":{\"p\":1},\"b\":{\"p\":1},\"c\":[{\"p\":1},{\"p\":1}]}" },
	{ "a: &x 1\nb: *x\na2: &x 2\nc: *x\n", "{\"a\":1,\"b\":1,\"a2\":2,\"c\":2}" },
	{ "a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n", "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"p\":1}}" },
	{ "a: &x {p: 1}\nb: &y {p: 2, r: 3}\nc:\n  <<: [*x, *y]\n",
	  "{\"a\":{\"p\":1},\"b\":{\"p\":2,\"r\":3},\"c\":{\"p\":1,\"r\":3}}" },
	{ "a:\n  '<<': 1\n", "{\"a\":{\"\\u003c\\u003c\":1}}" },
};

#define CONVERTING "error converting YAML to JSON: "
static const struct {
	const char *yaml, *error;
} bad[] = {
	{ "a: b: c\n", CONVERTING "yaml: mapping values are not allowed in this context" },
	{ "x: 1\ny:\n  a: b: c\n", CONVERTING "yaml: line 3: mapping values are not allowed in this context" },
	{ "x: 1\n\ty: 2\n", CONVERTING "yaml: line 2: found a tab character that violates indentation" },
	{ "a: @x\n", CONVERTING "yaml: found character that cannot start any token" },
	{ "a: [1\n", CONVERTING "yaml: line 1: did not find expected ',' or ']'" },
	{ "a: 1\n b: 2\n", CONVERTING "yaml: line 2: mapping values are not allowed in this context" },
	{ "x:\n- 1\n  y: 2\nz\n", CONVERTING "yaml: line 3: mapping values are not allowed in this context" },
	{ "a: *nope\n", CONVERTING "yaml: unknown anchor 'nope' referenced" },
	{ "a: &x [*x]\n", CONVERTING "yaml: unknown anchor 'x' referenced" },
	{ "a: 1\nb: 2\na: 3\n", CONVERTING "yaml: unmarshal errors:\n  line 3: key \"a\" already set in map" },
	{ "m:\n  metadata: 1\n  metadata: 2\n",
	  CONVERTING "yaml: unmarshal errors:\n  line 3: key \"metadata\" already set in map" },
	{ "a: .inf\n", CONVERTING "json: unsupported value: +Inf" },
	{ "a: -.INF\n", CONVERTING "json: unsupported value: -Inf" },
	{ "a: .NaN\n", CONVERTING "json: unsupported value: NaN" },
	{ "~: 1\n", CONVERTING "unsupported map key of type: null" },
	{ "[a]: 1\n", CONVERTING "yaml: line 1: invalid map key" },
	{ "a:\n  <<: 1\n", CONVERTING "yaml: map merge requires map or sequence of maps as the value" },
	{ "a: \"\x01\"\n", CONVERTING "yaml: control characters are not allowed" },
	{ "a: \xff\n", CONVERTING "yaml: invalid leading UTF-8 octet" },
	{ "a: 'x\n", CONVERTING "yaml: line 2: found unexpected end of stream" },
};

static void test_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT, y = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct sv text = sv_from(good[i].yaml);
		char *exact = xmemdup(text.p, text.n ? text.n : 1);
		struct val *v = yaml_decode(&a, sv_make(exact, text.n), &err), *again;

		free(exact);
		if (!good[i].json)
			continue;
		if (!v)
			fail_msg("%s: %s", good[i].yaml, err_msg(&err));
		json_encode(&b, v);
		assert_string_equal(buf_cstr(&b), good[i].json);
		/* and back: text for people means the same */
		yaml_encode(&y, v);
		again = yaml_decode(&a, buf_sv(&y), &err);
		if (!again)
			fail_msg("%s: %s", buf_cstr(&y), err_msg(&err));
		if (!val_equal(v, again))
			fail_msg("%s came back different", buf_cstr(&y));
	}
}

static void test_errors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (yaml_decode(&a, sv_from(bad[i].yaml), &err))
			fail_msg("accepted %s", bad[i].yaml);
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
		assert_string_equal(err_msg(&err), bad[i].error);
	}
}

/* Whoever asks for one document hears of what would be lost. */
static void test_alone(void **state)
{
	static const struct {
		const char *yaml, *error;
	} cases[] = {
		{ "a: 1\n", NULL },
		{ "# c\n---\na: 1\n# d\n", NULL },
		{ "a: 1\n...\n", NULL },
		{ "", NULL },
		{ "  a: 1\nb: 2\n", CONVERTING "yaml: line 1: did not find expected <document start>" },
		{ "a: 1\n---\nb: 2\n", CONVERTING "yaml: line 2: a second document begins, and there may be one only" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		const struct yaml_opts alone = { .alone = true };
		struct val *v = yaml_decode_opts(&a, sv_from(cases[i].yaml), &alone, &err);

		if (!!v == !!cases[i].error)
			fail_msg("%s: %s", cases[i].yaml, v ? "accepted" : err_msg(&err));
		if (cases[i].error)
			assert_string_equal(err_msg(&err), cases[i].error);
		assert_non_null(yaml_decode(&a, sv_from(cases[i].yaml), NULL));
	}
}

static void test_bombs(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf laughs = BUF_INIT, deep = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	buf_adds(&laughs, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 9; i++) {
		buf_printf(&laughs, "a%d: &a%d [", i, i);
		for (int j = 0; j < 9; j++)
			buf_printf(&laughs, "%s*a%d", j ? "," : "", i - 1);
		buf_adds(&laughs, "]\n");
	}
	assert_null(yaml_decode(&a, buf_sv(&laughs), &err));
	assert_string_equal(err_msg(&err), CONVERTING "yaml: document contains excessive aliasing");
	err_release(&err);
	for (int i = 0; i < 600; i++)
		buf_adds(&deep, "- ");
	assert_null(yaml_decode(&a, buf_sv(&deep), &err));
	assert_string_equal(err_msg(&err), CONVERTING "yaml: exceeded max depth");
}

/* A text counts as long as it is, wherever an alias puts it: it is written there. */
static void test_long_alias(void **state)
{
	(void)state;
	for (int n = 10; n <= 100; n *= 10) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;

		buf_adds(&b, "- &a ");
		for (int i = 0; i < 100000; i++)
			buf_addc(&b, 'x');
		for (int i = 0; i < n; i++)
			buf_adds(&b, "\n- *a");
		if (n == 10) {
			assert_int_equal(val_len(yaml_decode(&a, buf_sv(&b), &err)), 11);
		} else {
			assert_null(yaml_decode(&a, buf_sv(&b), &err));
			assert_string_equal(err_msg(&err), CONVERTING "yaml: document contains excessive aliasing");
		}
	}
}

static void hear_nothing(struct sv what, void *ctx)
{
	(void)what;
	(void)ctx;
}

/* Where a key is that comes again is known. */
static void test_key_again(void **state)
{
	enum { KEYS = 2000 };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct yaml_opts opts = { .duplicate = hear_nothing };
	const struct val *v;

	(void)state;
	buf_adds(&b, "spec: 0\n");
	for (int i = 0; i < KEYS; i++)
		buf_printf(&b, "k%d: 1\n", i);
	for (int i = 0; i < KEYS; i++)
		buf_printf(&b, "k%d: %d\n", KEYS - 1, i);
	buf_adds(&b, "spec: {a: 1}\nk0: {spec: 1}\n");
	v = yaml_decode_opts(&a, buf_sv(&b), &opts, NULL);
	assert_int_equal(val_len(v), KEYS + 1);
	assert_int_equal(val_member_sv(val_get(v, F_spec), SV("a"))->i, 1);
	assert_int_equal(val_get_int(val_member_sv(v, SV("k0")), 0, F_spec), 1);
	assert_int_equal(val_member_sv(v, arena_svf(&a, "k%d", KEYS - 1))->i, KEYS - 1);
}

/* An alias is a copy: changing one place leaves the other alone. */
static void test_alias_is_a_copy(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *v = yaml_decode(&a, SV("spec: &x {name: one}\nstatus: *x\n"), NULL);

	(void)state;
	val_set_cstr(&a, val_get_mut(v, F_status), F_name, "two");
	json_encode(&b, v);
	assert_string_equal(buf_cstr(&b), "{\"spec\":{\"name\":\"one\"},\"status\":{\"name\":\"two\"}}");
}

static void test_documents(void **state)
{
	static const struct {
		const char *in, *out; /* each document in brackets */
	} rows[] = {
		{ "", "" },
		{ "\n\n# c\n---\n", "" },
		{ "a: 1\n", "[a: 1\n]" },
		{ "a: 1", "[a: 1]" },
		{ "---\na: 1\n---\nb: 2\n", "[a: 1\n][b: 2\n]" },
		{ "a: 1\n--- # comment\nb: 2", "[a: 1\n][b: 2]" },
		{ "a: 1\n---\n---\n# nothing\n---\nb: 2\n---\n", "[a: 1\n][b: 2\n]" },
		{ "a: |\n  ---\n  x\n---\nb: 2\n", "[a: |\n  ---\n  x\n][b: 2\n]" },
		{ "a: 1\r\n---\r\nb: 2\r\n", "[a: 1\r\n][b: 2\r\n]" },
		{ "a: 1\n---b: 2\n", "[a: 1\n---b: 2\n]" },
		{ "--- {a: 1}\n", "[--- {a: 1}\n]" },
		{ "# first\na: 1\n", "[# first\na: 1\n]" },
		{ "{\"a\":1}\n---\n{\"b\":2}\n", "[{\"a\":1}\n][{\"b\":2}\n]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct sv rest = sv_from(rows[i].in), doc;

		while (yaml_next_document(&rest, &doc))
			buf_printf(&b, "[%.*s]", SV_ARG(doc));
		assert_string_equal(buf_cstr(&b), rows[i].out);
	}
}

static void test_encode(void **state)
{
	static const struct {
		const char *json, *yaml;
	} rows[] = {
		{ "{\"a\":1,\"b\":\"x\"}", "a: 1\nb: x\n" },
		{ "{\"metadata\":{\"labels\":{},\"name\":\"nm\"},\"l\":[]}",
		  "metadata:\n  labels: {}\n  name: nm\nl: []\n" },
		{ "{\"l\":[1,{\"a\":1,\"b\":[2,{\"c\":3}]},[4,5]]}",
		  "l:\n- 1\n- a: 1\n  b:\n  - 2\n  - c: 3\n- - 4\n  - 5\n" },
		{ "[null,true,1.5,\"\"]", "- null\n- true\n- 1.5\n- \"\"\n" },
		{ "[\"true\",\"1\",\"1e3\",\"null\",\"~\",\"no\",\"y\",\"0x1\",\"2025-01-02T03:04:05Z\",\"12:30\"]",
		  "- \"true\"\n- \"1\"\n- \"1e3\"\n- \"null\"\n- \"~\"\n- \"no\"\n- \"y\"\n- \"0x1\"\n"
		  "- \"2025-01-02T03:04:05Z\"\n- \"12:30\"\n" },
		{ "[\"a b\",\"a: b\",\"a:b\",\"a #b\",\"a#b\",\" a\",\"a \",\"-\",\"-a\",\"- "
		  "a\",\"*a\",\"a:\",\"10.0.0.1\"]",
		  "- a b\n- \"a: b\"\n- a:b\n- \"a #b\"\n- a#b\n- \" a\"\n- \"a \"\n- \"-\"\n- -a\n- \"- a\"\n- "
		  "\"*a\"\n"
		  "- \"a:\"\n- 10.0.0.1\n" },
		{ "{\"a\":\"x\\ny\",\"b\":\"x\\ny\\n\",\"c\":\"x\\n\\n\",\"d\":\" x\\ny\",\"e\":\"\\n\"}",
		  "a: |-\n  x\n  y\nb: |\n  x\n  y\nc: |+\n  x\n\nd: \" x\\ny\"\ne: \"\\n\"\n" },
		{ "[\"x\\ny\",{\"k\":\"p\\nq\\n\"}]", "- |-\n  x\n  y\n- k: |\n    p\n    q\n" },
		{ "{\"a b\":1,\"true\":2,\"\":3,\"a: b\":4}", "a b: 1\n\"true\": 2\n\"\": 3\n\"a: b\": 4\n" },
		{ "[\"\\u0001\\u007f\\t\\\"\\\\\",\"\\u2028\\ufeff\\u0085\",\"\xc3\xa9\xe2\x82\xac\"]",
		  "- \"\\x01\\x7f\\t\\\"\\\\\"\n- \"\\u2028\\ufeff\\x85\"\n- \xc3\xa9\xe2\x82\xac\n" },
		{ "\"x\"", "x\n" },
		{ "\"x\\nb: y\"", "|-\n  x\n  b: y\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct val *v = json_decode(&a, sv_from(rows[i].json), NULL, NULL), *again;

		yaml_encode(&b, v);
		assert_string_equal(buf_cstr(&b), rows[i].yaml);
		again = yaml_decode(&a, buf_sv(&b), &err);
		if (!again)
			fail_msg("%s", err_msg(&err));
		assert_true(val_equal(v, again));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode), cmocka_unit_test(test_errors),	       cmocka_unit_test(test_alone),
		cmocka_unit_test(test_bombs),  cmocka_unit_test(test_alias_is_a_copy), cmocka_unit_test(test_documents),
		cmocka_unit_test(test_encode), cmocka_unit_test(test_long_alias),      cmocka_unit_test(test_key_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
