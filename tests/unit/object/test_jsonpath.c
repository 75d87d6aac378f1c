/* Paths of printer columns: what they lead to, what is no path, and that a walk has an end. */
#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"
#include "object/jsonpath.h"

static const char doc[] =
    "{\"a\":{\"b\":[1,2,3],\"c.d\":\"x\",\"e\":null,\"t\":true},\"l\":[{\"k\":\"p\",\"v\":1},{\"k\":\"q\",\"v\":2.5}],"
    "\"deep\":{\"x\":{\"name\":\"found\"}}}";

static void test_values(void **state)
{
	static const struct {
		const char *path, *want; /* NULL: nothing */
	} cases[] = {
		{ ".a.b[1]", "2" },
		{ ".a.b[-1]", "3" },
		{ ".a.b[7]", NULL },
		{ ".a.b[1:]", "2" },
		{ ".a.b[::2]", "1" },
		{ ".a.b[0,2]", "1" },
		{ ".a.b", "[1,2,3]" },
		{ ".a.c\\.d", "\"x\"" },
		{ ".a['c.d']", "\"x\"" },
		{ ".a.e", "null" },
		{ ".a.nothing", NULL },
		{ ".nothing.at.all", NULL },
		{ ".l[*].k", "\"p\"" },
		{ ".l[?(@.k==\"q\")].v", "2.5" },
		{ ".l[?(@.v>1)].k", "\"q\"" },
		{ ".l[?(@.v>=1)].k", "\"p\"" },
		{ ".l[?(@.z)].k", NULL },
		{ ".l[?(@.k==5)].k", NULL },
		{ "..name", "\"found\"" },
		{ ".deep.*.name", "\"found\"" },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *v = json_decode(&a, sv_from(doc), NULL, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct jsonpath *p = jsonpath_parse(&a, sv_from(cases[i].path), &err);
		const struct val *got;

		if (!p)
			fail_msg("%s: %s", cases[i].path, err_msg(&err));
		got = jsonpath_first(p, v);
		if (got)
			json_encode(&b, got);
		if (!got != !cases[i].want || (got && strcmp(buf_cstr(&b), cases[i].want) != 0))
			fail_msg("%s leads to %s", cases[i].path, got ? buf_cstr(&b) : "nothing");
	}
}

static void test_refused(void **state)
{
	static const char *const paths[] = { ".a[",	     ".a[x]", ".a['b", ".a[?(@.b",    ".a[?(5==)]",
					     ".a[?(@.b==1)", "a]",    ".a..",  ".a.b[1:2:z]", ".a[?(@)]" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf many = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_null(jsonpath_parse(&a, sv_from(paths[i]), NULL));
	for (size_t i = 0; i < 200; i++)
		buf_adds(&many, ".a[?(@");
	assert_null(jsonpath_parse(&a, buf_sv(&many), NULL));
	buf_clear(&many);
	while (many.n <= JSONPATH_BYTES_MAX)
		buf_adds(&many, ".a");
	assert_null(jsonpath_parse(&a, buf_sv(&many), NULL));
}

/* Each of these would look at everything once more for each step. */
static void test_costs(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct jsonpath *p = jsonpath_parse(&a, SV("..a..a..a..a..a..a..a..z"), NULL);

	(void)state;
	for (size_t i = 0; i < 60; i++)
		buf_adds(&b, "{\"a\":");
	buf_adds(&b, "1");
	for (size_t i = 0; i < 60; i++)
		buf_adds(&b, "}");
	assert_non_null(p);
	assert_null(jsonpath_first(p, json_decode(&a, buf_sv(&b), NULL, NULL)));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_values), cmocka_unit_test(test_refused),
					    cmocka_unit_test(test_costs) };

	return cmocka_run_group_tests_name("jsonpath", tests, NULL, NULL);
}
