/* What is told of a difference: lines as people see them. */
#include "unit.h"

#include "codec/json.h"
#include "print/changes.h"

static const struct val *doc(struct arena *a, const char *json)
{
	const struct val *v = json_decode(a, sv_from(json), NULL, NULL);

	if (!v)
		fail_msg("no JSON: %s", json);
	return v;
}

static void tell(const char *before, const char *after, const char *want)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *x = before ? doc(&a, before) : NULL, *y = after ? doc(&a, after) : NULL;

	changes_print(&b, &a, x, y);
	buf_addc(&b, '\0');
	assert_string_equal(b.p, want);
	assert_int_equal(changes_any(x, y), *want != '\0');
}

static void test_nothing(_unused_ void **state)
{
	tell("{\"a\":1}", "{\"a\":1}", "");
	tell("{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"1\",\"managedFields\":[]}}",
	     "{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"2\",\"managedFields\":[{}]}}", "");
	assert_false(changes_any(NULL, NULL));
}

static void test_values(_unused_ void **state)
{
	tell("{\"spec\":{\"a\":1,\"b\":{\"c\":true}}}", "{\"spec\":{\"a\":2,\"b\":{\"c\":true}}}",
	     "  spec:\n-   a: 1\n+   a: 2\n");
	tell("{\"spec\":{\"a\":1}}", "{\"spec\":{\"a\":1,\"b\":{\"c\":[1,2]}}}",
	     "  spec:\n+   b:\n+     c:\n+     - 1\n+     - 2\n");
	tell("{\"spec\":{\"a\":{}}}", "{\"spec\":{\"a\":[]}}", "  spec:\n-   a: {}\n+   a: []\n");
	tell("{\"a\":null}", "{\"a\":\"\"}", "- a: null\n+ a: \"\"\n");
	/* Two places below one head say it once. */
	tell("{\"m\":{\"a\":1,\"b\":1,\"c\":1}}", "{\"m\":{\"a\":2,\"b\":1}}", "  m:\n-   a: 1\n+   a: 2\n-   c: 1\n");
	/* Below metadata of a template these are fields like others. */
	tell("{\"t\":{\"metadata\":{\"resourceVersion\":\"1\"}}}", "{\"t\":{\"metadata\":{\"resourceVersion\":\"2\"}}}",
	     "  t:\n    metadata:\n-     resourceVersion: \"1\"\n+     resourceVersion: \"2\"\n");
}

static void test_lists(_unused_ void **state)
{
	tell("{\"c\":[{\"name\":\"a\",\"i\":1},{\"name\":\"b\",\"i\":1}]}",
	     "{\"c\":[{\"name\":\"b\",\"i\":2},{\"name\":\"new\",\"i\":1}]}",
	     "  c:\n- - name: a\n-   i: 1\n  - name: b\n-   i: 1\n+   i: 2\n+ - name: new\n+   i: 1\n");
	/* A name twice: by place. */
	tell("{\"c\":[{\"name\":\"a\",\"i\":1},{\"name\":\"a\",\"i\":2}]}",
	     "{\"c\":[{\"name\":\"a\",\"i\":1},{\"name\":\"a\",\"i\":3}]}", "  c:\n  -\n-   i: 2\n+   i: 3\n");
	tell("{\"c\":[1,2,3]}", "{\"c\":[1,4]}", "  c:\n- - 2\n+ - 4\n- - 3\n");
	tell("{\"c\":[[1],[2]]}", "{\"c\":[[1],[3]]}", "  c:\n  -\n-   - 2\n+   - 3\n");
	tell("{\"c\":[]}", "{\"c\":[{\"name\":\"x\"}]}", "  c:\n+ - name: x\n");
}

#define FIELDS(manager, set) "{\"manager\":\"" manager "\",\"fieldsV1\":" set "}"

static void test_owners(_unused_ void **state)
{
	tell("{\"spec\":{\"a\":1,\"b\":1},\"metadata\":{\"managedFields\":[" FIELDS(
		 "was", "{\"f:spec\":{\"f:a\":{},\"f:b\":{}}}") "]}}",
	     "{\"spec\":{\"a\":2},\"metadata\":{\"managedFields\":[" FIELDS(
		 "is",
		 "{\"f:spec\":{\"f:a\":{}}}") "," FIELDS("too",
							 "{\"f:spec\":{\"f:a\":{}}}") "," FIELDS("not",
												 "{\"f:spec\":{\".\":{}"
												 ",\"f:b\":{}}}") "]}}",
	     "  spec:\n-   a: 1\n+   a: 2                                # is, too\n"
	     "-   b: 1                                # was\n");
	/* Items by their keys; what is owned as a whole owns all below. */
	tell("{\"p\":[{\"name\":\"x\",\"port\":1,\"i\":1}],\"l\":{\"z\":{\"j\":1}},\"metadata\":{}}",
	     "{\"p\":[{\"name\":\"x\",\"port\":1,\"i\":2}],\"l\":{\"z\":{\"j\":2}},\"metadata\":{\"managedFields\":"
	     "[" FIELDS("m", "{\"f:p\":{\"k:{\\\"port\\\":1}\":{\".\":{},\"f:i\":{}}},\"f:l\":{\"f:z\":{}}}") "]}}",
	     "  p:\n  - name: x\n-   i: 1\n+   i: 2                                # m\n"
	     "  l:\n    z:\n-     j: 1\n+     j: 2                              # m\n");
	/* A client's words are no orders to a terminal. */
	tell("{\"a\":1,\"metadata\":{}}",
	     "{\"a\":2,\"metadata\":{\"managedFields\":[" FIELDS("e\\u001bvil", "{\"f:a\":{}}") "]}}",
	     "- a: 1\n+ a: 2                                  # e?vil\n");
	/* What is no set of fields owns nothing. */
	tell("{\"a\":1,\"metadata\":{}}", "{\"a\":2,\"metadata\":{\"managedFields\":[" FIELDS("x", "7") "]}}",
	     "- a: 1\n+ a: 2\n");
}

static void test_all(_unused_ void **state)
{
	static const char o[] = "{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"1\",\"managedFields\":[" FIELDS(
	    "m", "{\"f:data\":{\"f:k\":{}}}") "]},\"data\":{\"k\":\"v\"}}";

	tell(NULL, o, "+ metadata:\n+   name: x\n+ data:                                 # m\n+   k: v\n");
	tell(o, NULL, "- metadata:\n-   name: x\n- data:                                 # m\n-   k: v\n");
}

static void test_secrets(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *x =
	    doc(&a, "{\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/last-applied-configuration\":"
		    "\"geheim\"}},\"data\":{\"p\":\"geheim\",\"same\":\"geheim\"},\"type\":\"t\"}");
	const struct val *y =
	    doc(&a, "{\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/last-applied-configuration\":"
		    "\"geheimer\"}},\"data\":{\"p\":\"geheimer\",\"same\":\"geheim\",\"new\":\"geheim\"},"
		    "\"type\":\"t\"}");

	changes_print(&b, &a, changes_hide(&a, x, y, " (before)"), changes_hide(&a, y, x, " (after)"));
	buf_addc(&b, '\0');
	assert_string_equal(b.p, "  data:\n-   p: \"*** (before)\"\n+   p: \"*** (after)\"\n+   new: \"***\"\n");
	buf_clear(&b);
	changes_print(&b, &a, NULL, changes_hide(&a, x, NULL, ""));
	assert_true(sv_find_sv(buf_sv(&b), SV("geheim")) < 0);
}

/* As deep as documents are, and as long: neither the stack nor the square. */
static void test_large(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf x = BUF_INIT, y = BUF_INIT, b = BUF_INIT;

	for (int i = 0; i < 60; i++) {
		buf_adds(&x, i % 2 ? "[" : "{\"a\":");
		buf_adds(&y, i % 2 ? "[" : "{\"a\":");
	}
	buf_adds(&x, "1");
	buf_adds(&y, "2");
	for (int i = 59; i >= 0; i--) {
		buf_adds(&x, i % 2 ? "]" : "}");
		buf_adds(&y, i % 2 ? "]" : "}");
	}
	changes_print(&b, &a, doc(&a, buf_cstr(&x)), doc(&a, buf_cstr(&y)));
	assert_true(b.n > 0);
	buf_clear(&x);
	buf_clear(&y);
	for (int i = 0; i < 20000; i++) {
		buf_printf(&x, "%s{\"name\":\"n%d\",\"v\":1}", i ? "," : "{\"l\":[", i);
		buf_printf(&y, "%s{\"name\":\"n%d\",\"v\":2}", i ? "," : "{\"l\":[", 19999 - i);
	}
	buf_adds(&x, "]}");
	buf_adds(&y, "]}");
	buf_clear(&b);
	changes_print(&b, &a, doc(&a, buf_cstr(&x)), doc(&a, buf_cstr(&y)));
	assert_true(b.n > (size_t)20000 * 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing), cmocka_unit_test(test_values), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_owners),	cmocka_unit_test(test_all),    cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
