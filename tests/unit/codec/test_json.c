/* The JSON codec against tables: what must decode (and how it is written again), what must not
 * and with which words. Expected numbers and escapes are what Go's encoding/json produces. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct accept {
	const char *in, *out; /* out NULL: the same */
};

static const struct accept accepts[] = {
	/* bytes that are no UTF-8: one U+FFFD each */
	{ "\"\xff\"", "\"\xef\xbf\xbd\"" },
	{ "\"a\x80\\n\"", "\"a\xef\xbf\xbd\\n\"" },
	{ "\"\xc0\xaf\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\"\xc3\"", "\"\xef\xbf\xbd\"" },
	{ "\"\xe2\x82\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\"\xed\xa0\x80\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\"\xf4\x90\x80\x80\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\"0123456789abcdef0123\xe9\"", "\"0123456789abcdef0123\xef\xbf\xbd\"" },
	{ "{\"\xe9\":1}", "{\"\xef\xbf\xbd\":1}" },
	{ "null", NULL },
	{ "true", NULL },
	{ "false", NULL },
	{ " \t\r\n null \n", "null" },
	{ "\"\"", NULL },
	{ "\"asd\"", NULL },
	{ "[]", NULL },
	{ "[ ]", "[]" },
	{ "{}", NULL },
	{ "{ }", "{}" },
	{ "[[]]", NULL },
	{ "[[] ]", "[[]]" },
	{ "[[[]],{},[{}]]", NULL },
	{ "[\"\"]", NULL },
	{ "[null]", NULL },
	{ "[null, 1, \"1\", {}]", "[null,1,\"1\",{}]" },
	{ "[1\n]", "[1]" },
	{ " [1]", "[1]" },
	{ "[1,null,null,null,2]", NULL },
	{ "[2] ", "[2]" },
	{ "{\"\":0}", NULL },
	{ "{\"a\":[]}", NULL },
	{ "{\"a\":\"b\"}", NULL },
	{ "{\n\"a\": \"b\"\n}", "{\"a\":\"b\"}" },
	{ "{\"a\":\"b\",\"c\":\"d\"}", NULL },
	{ "{\"metadata\":{\"name\":\"x\"},\"zz\":1}", NULL },
	{ "{\"zz\":1,\"metadata\":{}}", NULL },
	{ "{\"min\":-1.0e+28,\"max\":1.0e+28}", "{\"min\":-1e+28,\"max\":1e+28}" },
	{ "{\"foo\\u0000bar\":42}", NULL },
	{ "{\"meta\\u0064ata\":1}", "{\"metadata\":1}" },
	{ "{\"a\":\"b\",\"a\":\"c\"}", "{\"a\":\"c\"}" },
	{ "{\"a\":1,\"b\":2,\"a\":3,\"b\":4,\"a\":5}", "{\"b\":4,\"a\":5}" },
	{ "{\"name\":1,\"name\":{\"x\":[1,2]}}", "{\"name\":{\"x\":[1,2]}}" },
	/* integers */
	{ "0", NULL },
	{ "-0", "0" },
	{ "1", NULL },
	{ "-1", NULL },
	{ "20", NULL },
	{ "-123", NULL },
	{ "9223372036854775807", NULL },
	{ "-9223372036854775808", NULL },
	{ "9007199254740993", NULL },
	{ "1234567890123456789", NULL },
	{ "9223372036854775808", "9223372036854776000" },
	{ "-9223372036854775809", "-9223372036854776000" },
	{ "18446744073709551615", "18446744073709552000" },
	{ "100000000000000000000", "100000000000000000000" },
	{ "1000000000000000000000", "1e+21" },
	{ "123456789012345678901234567890", "1.2345678901234568e+29" },
	/* doubles */
	{ "0.0", "0" },
	{ "-0.0", "-0" },
	{ "-0e1", "-0" },
	{ "1.0", "1" },
	{ "1.5", NULL },
	{ "-1.5", NULL },
	{ "0.1", NULL },
	{ "0.1e1", "1" },
	{ "1e2", "100" },
	{ "1E2", "100" },
	{ "1e+2", "100" },
	{ "1e-2", "0.01" },
	{ "123.456e78", "1.23456e+80" },
	{ "123.456789", NULL },
	{ "0.000001", NULL },
	{ "0.00000123", NULL },
	{ "0.0000001", "1e-7" },
	{ "0.00000012", "1.2e-7" },
	{ "1e-9", "1e-9" },
	{ "1e-10", "1e-10" },
	{ "1e20", "100000000000000000000" },
	{ "1e21", "1e+21" },
	{ "1.7976931348623157e308", "1.7976931348623157e+308" },
	{ "5e-324", NULL },
	{ "4.9406564584124654e-324", "5e-324" },
	{ "2.2250738585072014e-308", "2.2250738585072014e-308" },
	{ "2.225073858507201e-308", NULL },
	{ "1e-400", "0" },
	{ "-1e-400", "-0" },
	{ "0e400", "0" },
	{ "0.30000000000000004", NULL },
	{ "0.3", NULL },
	{ "2.5", NULL },
	{ "3.141592653589793", NULL },
	{ "3.14159265358979323846264338327950288", "3.141592653589793" },
	{ "0.1000000000000000055511151231257827021181583404541015625", "0.1" },
	{ "9007199254740993.0", "9007199254740992" },
	{ "9007199254740992.5", "9007199254740992" },
	{ "123456789.123456789", "123456789.12345679" },
	{ "1.0000000000000002", NULL },
	{ "100.25", NULL },
	{ "1e22", "1e+22" },
	{ "1e23", "1e+23" },
	{ "8.5e15", "8500000000000000" },
	{ "0.00001e5", "1" },
	/* strings */
	{ "\" \"", NULL },
	{ "\"a/*b*/c/*d//e\"", NULL },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
	{ "\"\\u0000\"", NULL },
	{ "\"\\u001f\"", NULL },
	{ "\"\\u001F\"", "\"\\u001f\"" },
	{ "\"\\u0008\\u000c\\u000a\\u000d\\u0009\"", "\"\\b\\f\\n\\r\\t\"" },
	{ "\"\\u0041\\u004a\\u004A\"", "\"AJJ\"" },
	{ "\"\\u0060\\u012a\\u12AB\"", "\"`\xc4\xaa\xe1\x8a\xab\"" },
	{ "\"\\uD801\\udc37\"", "\"\xf0\x90\x90\xb7\"" },
	{ "\"\\ud83d\\ude39\\ud83d\\udc8d\"", "\"\xf0\x9f\x98\xb9\xf0\x9f\x92\x8d\"" },
	{ "\"\\uDBFF\\uDFFF\"", "\"\xf4\x8f\xbf\xbf\"" },
	{ "\"\\uDBFF\\uDFFE\"", "\"\xf4\x8f\xbf\xbe\"" },
	{ "\"\\uFFFF\"", "\"\xef\xbf\xbf\"" },
	{ "\"\\ud800\"", "\"\xef\xbf\xbd\"" },
	{ "\"\\ud800abc\"", "\"\xef\xbf\xbd"
			    "abc\"" },
	{ "\"\\ud800\\n\"", "\"\xef\xbf\xbd\\n\"" },
	{ "\"\\ud800\\ud800\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\"\\ud800\\ud800\\udc00\"", "\"\xef\xbf\xbd\xf0\x90\x80\x80\"" },
	{ "\"\\udc00\\ud800\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\"\\udfff\"", "\"\xef\xbf\xbd\"" },
	{ "\"\\ud83d\\u0041\"", "\"\xef\xbf\xbd"
				"A\"" },
	{ "\"\\u2028\\u2029\"", NULL },
	{ "\"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xa7\xe2\x82\xac\"", "\"\\u2028\\u2029\xe2\x80\xa7\xe2\x82\xac\"" },
	{ "\"<a href='x'>&</a>\"", "\"\\u003ca href='x'\\u003e\\u0026\\u003c/a\\u003e\"" },
	{ "{\"<\":\">\"}", "{\"\\u003c\":\"\\u003e\"}" },
	{ "\"\x7f\"", NULL },
	{ "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", NULL },
	{ "\"\xed\x9f\xbf\xee\x80\x80\"", NULL },
	{ "\"\xe0\xa0\x80\xf0\x90\x80\x80\xc2\x80\"", NULL },
	{ "\"0123456789abcdef\"", NULL },
	{ "\"0123456789abcde\\\"f\"", NULL },
	{ "\"0123456789abcdef0123456789abcdef\xc3\xa9 and more than thirty-two bytes\"", NULL },
	{ "\"0123456789abcdef0123456789abcdef<\"", "\"0123456789abcdef0123456789abcdef\\u003c\"" },
	{ "[\"\\n0123456789abcdef\",\"0123456789abcdef\\n\"]", NULL },
};

static const struct accept rejects[] = {
	/* out: the error */
	{ "", "unexpected end of JSON input" },
	{ " ", "unexpected end of JSON input" },
	{ "[", "unexpected end of JSON input" },
	{ "[1", "unexpected end of JSON input" },
	{ "[1,", "unexpected end of JSON input" },
	{ "[\"", "unexpected end of JSON input" },
	{ "[\"a", "unexpected end of JSON input" },
	{ "[\"a\\", "unexpected end of JSON input" },
	{ "\"\\u", "unexpected end of JSON input" },
	{ "\"\\u00", "unexpected end of JSON input" },
	{ "{", "unexpected end of JSON input" },
	{ "{\"a", "unexpected end of JSON input" },
	{ "{\"a\"", "unexpected end of JSON input" },
	{ "{\"a\":", "unexpected end of JSON input" },
	{ "{\"a\":1", "unexpected end of JSON input" },
	{ "{\"a\":1,", "unexpected end of JSON input" },
	{ "-", "unexpected end of JSON input" },
	{ "1.", "unexpected end of JSON input" },
	{ "1e", "unexpected end of JSON input" },
	{ "1e+", "unexpected end of JSON input" },
	{ "t", "unexpected end of JSON input" },
	{ "tru", "unexpected end of JSON input" },
	{ "nul", "unexpected end of JSON input" },
	{ "[][", "invalid character '[' after top-level value" },
	{ "[]]", "invalid character ']' after top-level value" },
	{ "{}}", "invalid character '}' after top-level value" },
	{ "1 2", "invalid character '2' after top-level value" },
	{ "01", "invalid character '1' after top-level value" },
	{ "-01", "invalid character '1' after top-level value" },
	{ "0x42", "invalid character 'x' after top-level value" },
	{ "1_000", "invalid character '_' after top-level value" },
	{ "truex", "invalid character 'x' after top-level value" },
	{ "\"\"x", "invalid character 'x' after top-level value" },
	{ "{}#", "invalid character '#' after top-level value" },
	{ "{}/**/", "invalid character '/' after top-level value" },
	{ "x", "invalid character 'x' looking for beginning of value" },
	{ "'a'", "invalid character '\\'' looking for beginning of value" },
	{ "]", "invalid character ']' looking for beginning of value" },
	{ "}", "invalid character '}' looking for beginning of value" },
	{ ",", "invalid character ',' looking for beginning of value" },
	{ ":", "invalid character ':' looking for beginning of value" },
	{ "*", "invalid character '*' looking for beginning of value" },
	{ "+1", "invalid character '+' looking for beginning of value" },
	{ ".5", "invalid character '.' looking for beginning of value" },
	{ "NaN", "invalid character 'N' looking for beginning of value" },
	{ "Infinity", "invalid character 'I' looking for beginning of value" },
	{ "True", "invalid character 'T' looking for beginning of value" },
	{ "\f[]", "invalid character '\\f' looking for beginning of value" },
	{ "\x01", "invalid character '\\x01' looking for beginning of value" },
	{ "\x7f", "invalid character '\\x7f' looking for beginning of value" },
	{ "\xef\xbb\xbf{}", "invalid character '\xc3\xaf' looking for beginning of value" },
	{ "\xff", "invalid character '\xc3\xbf' looking for beginning of value" },
	{ "\x80", "invalid character '\\u0080' looking for beginning of value" },
	{ "\xe2\x81\xa0", "invalid character '\xc3\xa2' looking for beginning of value" },
	{ "[,1]", "invalid character ',' looking for beginning of value" },
	{ "[1,]", "invalid character ']' looking for beginning of value" },
	{ "[1,,2]", "invalid character ',' looking for beginning of value" },
	{ "[a]", "invalid character 'a' looking for beginning of value" },
	{ "{\"a\":}", "invalid character '}' looking for beginning of value" },
	{ "{\"a\"::1}", "invalid character ':' looking for beginning of value" },
	{ "{\"a\":a}", "invalid character 'a' looking for beginning of value" },
	{ "[1 2]", "invalid character '2' after array element" },
	{ "[1:2]", "invalid character ':' after array element" },
	{ "[\"\": 1]", "invalid character ':' after array element" },
	{ "[1}", "invalid character '}' after array element" },
	{ "[012]", "invalid character '1' after array element" },
	{ "[1a]", "invalid character 'a' after array element" },
	{ "[1\x01]", "invalid character '\\x01' after array element" },
	{ "[\"x\"\"y\"]", "invalid character '\"' after array element" },
	{ "{\"a\" 1}", "invalid character '1' after object key" },
	{ "{\"a\"}", "invalid character '}' after object key" },
	{ "{\"a\",1}", "invalid character ',' after object key" },
	{ "{\"a\"\"b\"}", "invalid character '\"' after object key" },
	{ "{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair" },
	{ "{\"a\":1]", "invalid character ']' after object key:value pair" },
	{ "{\"a\":1;}", "invalid character ';' after object key:value pair" },
	{ "{a:1}", "invalid character 'a' looking for beginning of object key string" },
	{ "{1:1}", "invalid character '1' looking for beginning of object key string" },
	{ "{'a':1}", "invalid character '\\'' looking for beginning of object key string" },
	{ "{,}", "invalid character ',' looking for beginning of object key string" },
	{ "{\"a\":1,}", "invalid character '}' looking for beginning of object key string" },
	{ "{null:null}", "invalid character 'n' looking for beginning of object key string" },
	{ "{[]:1}", "invalid character '[' looking for beginning of object key string" },
	{ "-x", "invalid character 'x' in numeric literal" },
	{ "--1", "invalid character '-' in numeric literal" },
	{ "-.5", "invalid character '.' in numeric literal" },
	{ "-Infinity", "invalid character 'I' in numeric literal" },
	{ "[-]", "invalid character ']' in numeric literal" },
	{ "1.x", "invalid character 'x' after decimal point in numeric literal" },
	{ "[1.]", "invalid character ']' after decimal point in numeric literal" },
	{ "1.e1", "invalid character 'e' after decimal point in numeric literal" },
	{ "1ex", "invalid character 'x' in exponent of numeric literal" },
	{ "[1e]", "invalid character ']' in exponent of numeric literal" },
	{ "1e+-1", "invalid character '-' in exponent of numeric literal" },
	{ "1e1.5", "invalid character '.' after top-level value" },
	{ "tx", "invalid character 'x' in literal true (expecting 'r')" },
	{ "[fals]", "invalid character ']' in literal false (expecting 'e')" },
	{ "nulL", "invalid character 'L' in literal null (expecting 'l')" },
	{ "trUe", "invalid character 'U' in literal true (expecting 'u')" },
	{ "\"\t\"", "invalid character '\\t' in string literal" },
	{ "\"a\nb\"", "invalid character '\\n' in string literal" },
	{ "\"\x1f\"", "invalid character '\\x1f' in string literal" },
	{ "\"0123456789abcdef\x01\"", "invalid character '\\x01' in string literal" },
	{ "\"\\x00\"", "invalid character 'x' in string escape code" },
	{ "\"\\a\"", "invalid character 'a' in string escape code" },
	{ "\"\\'\"", "invalid character '\\'' in string escape code" },
	{ "\"\\U0041\"", "invalid character 'U' in string escape code" },
	{ "\"\\\n\"", "invalid character '\\n' in string escape code" },
	{ "\"\\u00G0\"", "invalid character 'G' in \\u hexadecimal character escape" },
	{ "\"\\u00\"", "invalid character '\"' in \\u hexadecimal character escape" },
	{ "\"\\ud83d\\u\"", "invalid character '\"' in \\u hexadecimal character escape" },
	{ "1e400", "json: cannot unmarshal number 1e400 into Go value of type float64" },
	{ "-1e400", "json: cannot unmarshal number -1e400 into Go value of type float64" },
};

static void test_accept(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(accepts); i++) {
		for (int borrow = 0; borrow < 2; borrow++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			_cleanup_(buf_release) struct buf b = BUF_INIT, pretty = BUF_INIT,
							  limited = { .limit = 1 << 20 };
			_cleanup_(err_release) struct err err = ERR_INIT;
			struct json_opts opts = { .borrow_text = borrow };
			const char *want = accepts[i].out ? accepts[i].out : accepts[i].in;
			struct sv text = sv_from(accepts[i].in);
			char *exact = xmemdup(text.p, text.n); /* no NUL behind it: sanitizers see overruns */
			struct val *v = json_decode(&a, sv_make(exact, text.n), &opts, &err), *again;

			if (!v)
				fail_msg("%s: %s", accepts[i].in, err_msg(&err));
			json_encode(&b, v);
			assert_string_equal(buf_cstr(&b), want);
			json_encode(&limited, v);
			assert_string_equal(buf_cstr(&limited), want);
			again = json_decode(&a, buf_sv(&b), NULL, &err);
			assert_non_null(again);
			if (strcmp(want, "-0") != 0)
				assert_true(val_equal(v, again));
			json_encode_indent(&pretty, v, 2);
			again = json_decode(&a, buf_sv(&pretty), NULL, &err);
			assert_non_null(again);
			assert_true(val_equal(v, again));
			free(exact);
		}
	}
}

static void test_reject(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rejects); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct sv text = sv_from(rejects[i].in);
		char *exact = xmemdup(text.p, text.n);

		if (json_decode(&a, sv_make(exact, text.n), NULL, &err))
			fail_msg("accepted: %s", rejects[i].in);
		assert_int_equal(err.reason, ERR_BAD_REQUEST);
		assert_string_equal(err_msg(&err), rejects[i].out);
		assert_false(json_valid(sv_make(exact, text.n)));
		free(exact);
	}
}

/* Every prefix of a valid text is an error, and none reads behind its end. */
static void test_prefixes(void **state)
{
	static const char text[] =
	    "{\"metadata\":{\"name\":\"a\\u00e9\\n\",\"l\":[1,-2.5e3,true,false,null]},\"\xe2\x82\xac\":{}}";

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		char *exact = xmemdup(text, n ? n : 1);

		assert_false(json_valid(sv_make(exact, n)));
		free(exact);
	}
	assert_true(json_valid(sv_from(text)));
}

static char *nested(size_t depth, const char *open, const char *close)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < depth; i++)
		buf_adds(&b, open);
	buf_adds(&b, "1");
	for (size_t i = 0; i < depth; i++)
		buf_adds(&b, close);
	return buf_detach(&b);
}

static void test_depth(void **state)
{
	(void)state;
	for (int map = 0; map < 2; map++) {
		const char *open = map ? "{\"a\":" : "[", *close = map ? "}" : "]";
		_cleanup_free_ char *fits = nested(JSON_DEPTH_MAX, open, close);
		_cleanup_free_ char *over = nested(JSON_DEPTH_MAX + 1, open, close);
		_cleanup_free_ char *far = nested(10000, open, close);
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct json_opts opts = { .max_depth = 10 };
		struct val *v = json_decode(&a, sv_from(fits), NULL, &err);

		assert_non_null(v);
		assert_true(val_equal(v, val_clone(&a, v)));
		json_encode(&b, v);
		assert_string_equal(buf_cstr(&b), fits);
		assert_false(val_deeper_than(v, JSON_DEPTH_MAX));
		assert_true(val_deeper_than(v, JSON_DEPTH_MAX - 1));
		assert_null(json_decode(&a, sv_from(over), NULL, &err));
		assert_string_equal(err_msg(&err), "exceeded max depth");
		assert_false(json_valid(sv_from(far)));
		assert_false(json_valid(sv_make(far, 10000)));
		assert_null(json_decode(&a, sv_from(fits), &opts, NULL));
	}
}

static bool note_duplicate(struct sv path, void *ctx)
{
	struct buf *b = ctx;

	if (b->n)
		buf_addc(b, ' ');
	buf_addsv(b, path);
	return b->n < 1000;
}

static void test_duplicates(void **state)
{
	static const struct accept rows[] = {
		{ "{\"a\":1}", "" },
		{ "{\"a\":1,\"a\":1}", "a" },
		{ "{\"metadata\":1,\"metadata\":2}", "metadata" },
		{ "{\"a\":1,\"a\":1,\"a\":2}", "a a" },
		{ "{\"spec\":{\"x\":[0,{\"y\":1,\"y\":2}]}}", "spec.x[1].y" },
		{ "[[0,{\"y\":1,\"y\":2}]]", "[0][1].y" },
		{ "{\"a\":[{\"metadata\":{\"k\":{},\"k\":[]}}]}", "a[0].metadata.k" },
		{ "{\"a\":{\"a\":{\"a\":1}}}", "" },
		{ "{\"\":1,\"\":1}", "" }, /* an empty path */
		{ "{\"a\":\"b\",\"b\":\"a\"}", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct json_opts opts = { .duplicate = note_duplicate, .ctx = &b };

		assert_non_null(json_decode(&a, sv_from(rows[i].in), &opts, NULL));
		assert_string_equal(buf_cstr(&b), rows[i].out);
	}
}

/* Maps that repeat maps become one, so do the elements of lists that repeat lists; anything else begins anew. */
static void test_duplicates_merged(void **state)
{
	static const struct accept rows[] = {
		{ "{\"a\":{\"x\":1,\"y\":1},\"b\":0,\"a\":{\"y\":2,\"z\":3}}",
		  "{\"b\":0,\"a\":{\"x\":1,\"y\":2,\"z\":3}}" },
		{ "{\"spec\":{\"a\":{\"x\":1}},\"spec\":{\"a\":{\"y\":2}},\"spec\":{}}",
		  "{\"spec\":{\"a\":{\"x\":1,\"y\":2}}}" },
		{ "{\"a\":{\"x\":1},\"a\":null,\"a\":{\"y\":2}}", "{\"a\":{\"y\":2}}" },
		{ "{\"a\":{\"x\":1},\"a\":{\"y\":2},\"a\":null}", "{\"a\":null}" },
		{ "{\"a\":[{\"x\":1}],\"a\":[{\"y\":1}]}", "{\"a\":[{\"x\":1,\"y\":1}]}" },
		{ "{\"a\":[{\"x\":1},{\"x\":2}],\"a\":[{\"y\":1}]}", "{\"a\":[{\"x\":1,\"y\":1}]}" },
		{ "{\"a\":[{\"x\":1}],\"a\":[{\"x\":3},{\"y\":1}]}", "{\"a\":[{\"x\":3},{\"y\":1}]}" },
		{ "{\"a\":[{\"x\":1},2],\"a\":[null,null,null]}", "{\"a\":[{\"x\":1},2,null]}" },
		{ "{\"a\":[[{\"x\":1}],3],\"a\":[[{\"y\":1}],4]}", "{\"a\":[[{\"x\":1,\"y\":1}],4]}" },
		{ "{\"a\":[{\"b\":[{\"x\":1}]}],\"a\":[{\"b\":[{\"y\":1}]}]}",
		  "{\"a\":[{\"b\":[{\"x\":1,\"y\":1}]}]}" },
		{ "{\"a\":[{\"x\":1}],\"a\":null,\"a\":[{\"y\":1}]}", "{\"a\":[{\"y\":1}]}" },
		{ "{\"a\":[{\"x\":1}],\"a\":[],\"a\":[{\"y\":1}]}", "{\"a\":[{\"x\":1,\"y\":1}]}" },
		{ "{\"a\":[{\"x\":1}],\"a\":{\"y\":1}}", "{\"a\":{\"y\":1}}" },
		{ "{\"a\":[{\"x\":1}],\"a\":[]}", "{\"a\":[]}" },
		{ "{\"a\":{},\"a\":{}}", "{\"a\":{}}" },
		{ "{\"a\":1,\"a\":2}", "{\"a\":2}" },
		{ "[{\"metadata\":{\"k\":{\"x\":1},\"k\":{\"x\":2}}}]", "[{\"metadata\":{\"k\":{\"x\":2}}}]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct val *v = json_decode(&a, sv_from(rows[i].in), &(struct json_opts){ .merge = true }, NULL);

		assert_non_null(v);
		json_encode(&b, v);
		assert_string_equal(buf_cstr(&b), rows[i].out);
	}
}

/* Merging a row costs what is in it; one by one this would take tens of gigabytes. */
static void test_duplicates_merged_large(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *v;

	(void)state;
	buf_addc(&b, '{');
	for (int i = 0; i < 50000; i++)
		buf_printf(&b, "%s\"data\":{\"m\":{\"k%d\":%d}}", i ? "," : "", i, i);
	buf_addc(&b, '}');
	v = json_decode(&a, buf_sv(&b), &(struct json_opts){ .borrow_text = true, .merge = true }, NULL);
	assert_non_null(v);
	v = (struct val *)val_member_sv(val_member_sv(v, SV("data")), SV("m"));
	assert_int_equal(val_len(v), 50000);
	assert_int_equal(val_member_sv(v, SV("k77"))->i, 77);
}

/* Lists as well: many short ones and a long one, and many over the same place. */
static void test_lists_merged_large(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct json_opts opts = { .borrow_text = true, .merge = true };
	const struct val *v;

	(void)state;
	buf_addc(&b, '{');
	for (int i = 0; i < 50000; i++)
		buf_printf(&b, "\"a\":[{\"k%d\":%d}],", i, i);
	buf_adds(&b, "\"a\":[{}");
	for (int i = 0; i < 50000; i++)
		buf_adds(&b, ",1");
	buf_adds(&b, "]}");
	v = json_decode(&a, buf_sv(&b), &opts, NULL);
	assert_non_null(v);
	v = val_member_sv(v, SV("a"));
	assert_int_equal(val_len(v), 50001);
	assert_int_equal(val_len(val_at(v, 0)), 50000);
	assert_int_equal(val_at(v, 50000)->i, 1);
}

/* The innermost map of 300 levels is large, and at each level something repeats: each time the whole would be moved. */
static void test_duplicates_merged_deep(void **state)
{
	enum { LEVELS = 300, MEMBERS = 20000 };

	(void)state;
	for (int levels = 10; levels <= LEVELS; levels *= 30) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct json_opts opts = { .borrow_text = true, .merge = true };
		const struct val *v;

		for (int i = 0; i < levels; i++)
			buf_adds(&b, "{\"a\":");
		buf_adds(&b, "{\"k\":1");
		for (int i = 0; i < MEMBERS; i++)
			buf_printf(&b, ",\"k%d\":1", i);
		buf_adds(&b, "}");
		for (int i = 0; i < levels; i++) {
			buf_adds(&b, ",\"a\":");
			for (int k = 0; k < i; k++)
				buf_adds(&b, "{\"a\":");
			buf_printf(&b, "{\"z%d\":1}", i);
			for (int k = 0; k < i; k++)
				buf_addc(&b, '}');
			buf_addc(&b, '}');
		}
		v = json_decode(&a, buf_sv(&b), &opts, &err);
		if (levels == LEVELS) {
			assert_null(v);
			assert_non_null(strstr(err_msg(&err), "write each once"));
		} else {
			for (int i = 0; i < levels; i++)
				v = val_member_sv(v, SV("a"));
			assert_int_equal(val_len(v), MEMBERS + 1 + levels);
		}
		assert_true(a.bytes < 64 * 1024 * 1024);
	}
}

/* Whoever hears of repeated members says how many are enough: behind a long name each has a long path. */
static void test_duplicates_long(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT, paths = BUF_INIT;
	struct json_opts opts = { .duplicate = note_duplicate, .ctx = &paths, .borrow_text = true };

	(void)state;
	buf_adds(&b, "{\"");
	for (int i = 0; i < 5000; i++)
		buf_adds(&b, "long");
	buf_adds(&b, "\":{\"a\":1");
	for (int i = 0; i < 1000; i++)
		buf_adds(&b, ",\"a\":1");
	buf_adds(&b, "}}");
	assert_non_null(json_decode(&a, buf_sv(&b), &opts, NULL));
	assert_int_equal(paths.n, 20002);
	assert_true(a.bytes < 1000000);
}

/* A map large enough for the sorted search, with two members that repeat. */
static void test_duplicates_large(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT, paths = BUF_INIT;
	struct json_opts opts = { .duplicate = note_duplicate, .ctx = &paths };
	struct val *v;

	(void)state;
	buf_adds(&b, "{\"m\":{\"metadata\":1");
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, ",\"k%d\":%d", i, i);
	buf_adds(&b, ",\"k77\":-1,\"metadata\":2}}");
	v = json_decode(&a, buf_sv(&b), &opts, NULL);
	assert_non_null(v);
	assert_string_equal(buf_cstr(&paths), "m.k77 m.metadata");
	v = (struct val *)val_member_sv(v, SV("m"));
	assert_int_equal(val_len(v), 20001);
	assert_int_equal(val_member_sv(v, SV("k77"))->i, -1);
	assert_int_equal(val_member_sv(v, SV("k78"))->i, 78);
	assert_int_equal(val_member_sv(v, SV("metadata"))->i, 2);
}

static void test_numbers_kept_apart(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *v = json_decode(&a, SV("[1,1.0,1e0,9223372036854775807,9223372036854775808]"), NULL, NULL);

	(void)state;
	assert_int_equal(val_at(v, 0)->type, VAL_INT);
	assert_int_equal(val_at(v, 1)->type, VAL_FLOAT);
	assert_int_equal(val_at(v, 2)->type, VAL_FLOAT);
	assert_int_equal(val_at(v, 3)->type, VAL_INT);
	assert_int_equal(val_at(v, 4)->type, VAL_FLOAT);
	assert_true(val_equal(val_at(v, 0), val_at(v, 1)));
}

/* Doubles made from a bit pattern survive text, and no shorter text would have done. */
static void test_double_round_trip(void **state)
{
	uint64_t x = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct val *v;
		double d;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(&d, &x, sizeof(d));
		if (i % 3 == 0)
			d = (double)(int64_t)(x >> 20) / 1000;
		if (!isfinite(d))
			continue;
		json_encode(&b, val_new_float(&a, d));
		v = json_decode(&a, buf_sv(&b), NULL, NULL);
		assert_non_null(v);
		assert_true(val_num(v) == d);
	}
}

static void test_borrow(void **state)
{
	static const char text[] = "{\"k\":\"plain\",\"e\":\"a\\nb\"}";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct json_opts opts = { .borrow_text = true };
	struct val *v = json_decode(&a, sv_from(text), &opts, NULL);
	const char *s = val_member_sv(v, SV("k"))->s, *e = val_member_sv(v, SV("e"))->s;

	(void)state;
	assert_true(s >= text && s < text + sizeof(text));
	assert_false(e >= text && e < text + sizeof(text));
	assert_sv(val_str(val_member_sv(v, SV("e"))), "a\nb");
	v = json_decode(&a, sv_from(text), NULL, NULL);
	s = val_member_sv(v, SV("k"))->s;
	assert_false(s >= text && s < text + sizeof(text));
}

static void test_indent(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *v = json_decode(&a, SV("{\"a\":[1,{\"b\":\"<\"}],\"metadata\":{},\"l\":[]}"), NULL, NULL);

	(void)state;
	val_set_sv(&a, v, SV("raw"), val_new_raw(&a, SV("{\"f:x\":{}}")));
	json_encode_indent(&b, v, 2);
	assert_string_equal(buf_cstr(&b),
			    "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"\\u003c\"\n    }\n  ],\n  \"metadata\": {},\n"
			    "  \"l\": [],\n  \"raw\": {\n    \"f:x\": {}\n  }\n}");
}

static void test_limit(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = { .limit = 10 };
	struct val *v = json_decode(&a, SV("{\"metadata\":{\"name\":\"xxxxxxxxxxxxxxxxxxxx\"}}"), NULL, NULL);

	(void)state;
	json_encode(&b, v);
	assert_true(b.overflow);
	assert_true(b.n <= 10);
}

/* Whatever stands where, in strings of all short lengths: the encoder looks at several bytes at once. */
static void test_escapes_anywhere(void **state)
{
	static const struct {
		const char *in, *out;
	} escaped[] = { { "\"", "\\\"" },   { "\\", "\\\\" }, { "<", "\\u003c" },    { ">", "\\u003e" },
			{ "&", "\\u0026" }, { "\n", "\\n" },  { "\x1f", "\\u001f" }, { "\xe2\x80\xa8", "\\u2028" } };
	char in[128], out[256];

	(void)state;
	for (size_t e = 0; e < ARRAY_LEN(escaped); e++) {
		for (int n = 0; n < 40; n++) {
			for (int at = 0; at <= n; at++) {
				_cleanup_(buf_release) struct buf b = BUF_INIT;

				snprintf(in, sizeof(in), "%.*s%s%.*s", at, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
					 escaped[e].in, n - at, "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
				snprintf(out, sizeof(out), "\"%.*s%s%.*s\"", at,
					 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", escaped[e].out, n - at,
					 "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
				json_encode_str(&b, sv_from(in));
				assert_string_equal(buf_cstr(&b), out);
				assert_false(json_str_plain(sv_from(in)));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escapes_anywhere),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_reject),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_duplicates_large),
		cmocka_unit_test(test_duplicates_merged),
		cmocka_unit_test(test_duplicates_merged_deep),
		cmocka_unit_test(test_lists_merged_large),
		cmocka_unit_test(test_duplicates_long),
		cmocka_unit_test(test_duplicates_merged_large),
		cmocka_unit_test(test_borrow),
		cmocka_unit_test(test_numbers_kept_apart),
		cmocka_unit_test(test_indent),
		cmocka_unit_test(test_double_round_trip),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
