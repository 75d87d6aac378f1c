/* How many values a document from a client may have, whatever it is written in. */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/yaml.h"

/* head, n times the element with a comma between, tail. %zu in it is its number. */
static void repeat(struct buf *b, const char *head, const char *element, size_t n, const char *tail)
{
	const char *sign = strstr(element, "%zu");

	buf_adds(b, head);
	for (size_t i = 0; i < n; i++) {
		buf_adds(b, i ? "," : "");
		buf_add(b, element, sign ? (size_t)(sign - element) : strlen(element));
		if (sign)
			buf_printf(b, "%zu%s", i, sign + 3);
	}
	buf_adds(b, tail);
}

static const struct {
	const char *head, *element, *tail;
	size_t values; /* an element has */
	size_t more;   /* around them */
} rows[] = {
	{ "[", "1", "]", 1, 1 },
	{ "[", "[]", "]", 1, 1 },
	{ "[", "{}", "]", 1, 1 },
	{ "{", "\"k%zu\":\"\"", "}", 1, 1 },
	{ "{\"data\":{", "\"k%zu\":{\"name\":[1,2]}", "}}", 4, 2 },
	{ "{\"spec\":{\"x\":[", "{\"name\":\"n\",\"y\":{\"z\":null}}", "]},\"status\":1}", 4, 4 },
	/* What managers own is not counted, at whatever depth it stands. */
	{ "{\"metadata\":{\"managedFields\":[{\"fieldsV1\":{\"f:x\":{\"fieldsV1\":{}},\"f:a\":{}}}]},\"data\":[", "1",
	  "]}", 1, 6 },
};

static struct val *decode(struct arena *a, struct sv text, bool yaml, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);

	return yaml ? yaml_decode_opts(a, text, &(struct yaml_opts){ .values = &values }, err)
		    : json_decode(a, text, &(struct json_opts){ .values = &values }, err);
}

static void must_be_too_many(const struct val *v, struct err *err)
{
	if (v)
		print_error("%s of %zu is not refused\n", val_type_name(val_type(v)), val_len(v));
	assert_null(v);
	assert_int_equal(err->reason, ERR_TOO_LARGE);
	assert_non_null(strstr(err_msg(err), "more than 100000 values: make several objects"));
}

/* As many as there may be, and one element more; all ways of counting agree. */
static void test_limit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int form = 0; form < 3; form++) { /* JSON, YAML that is JSON, YAML that is not */
			size_t n = (DOC_VALUES_MAX - rows[i].more) / rows[i].values;

			for (size_t k = 0; k < 2; k++, n++) {
				_cleanup_(arena_release) struct arena a = ARENA_INIT;
				_cleanup_(buf_release) struct buf b = BUF_INIT;
				_cleanup_(err_release) struct err err = ERR_INIT;
				struct val *v;

				buf_adds(&b, form == 2 ? "# flow\n" : "");
				repeat(&b, rows[i].head, rows[i].element, n, rows[i].tail);
				v = decode(&a, buf_sv(&b), form > 0, &err);
				if (k)
					must_be_too_many(v, &err);
				else if (!v)
					fail_msg("row %zu, form %d: %s", i, form, err_msg(&err));
				if (!k)
					assert_int_equal(val_count(&(struct budget)BUDGET(doc_values_limit), v, &err),
							 0);
			}
		}
	}
}

/* Far more than the limit is not even collected: the decoder stops within a factor of two. */
static void test_far_more(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	repeat(&b, "[", "1", 12 * DOC_VALUES_MAX, "");
	must_be_too_many(decode(&a, buf_sv(&b), false, &err), &err); /* and not: unexpected end of JSON input */
}

/* What aliases copy counts where it stands. */
static void test_aliases(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	repeat(&b, "a: &a [", "1", 1000, "]\n");
	repeat(&b, "b: [", "*a", 98, "]\n");
	assert_non_null(decode(&a, buf_sv(&b), true, &err));
	buf_adds(&b, "c: [*a]\n");
	must_be_too_many(decode(&a, buf_sv(&b), true, &err), &err);
}

/* Nobody counts who was not asked to: what is stored, and lists of it, are as long as they are. */
static void test_not_asked(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	repeat(&b, "[", "1", 2 * DOC_VALUES_MAX, "]");
	assert_int_equal(val_len(json_decode(&a, buf_sv(&b), NULL, NULL)), 2 * DOC_VALUES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_limit), cmocka_unit_test(test_far_more),
					    cmocka_unit_test(test_aliases), cmocka_unit_test(test_not_asked) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
