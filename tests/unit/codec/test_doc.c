#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "codec/doc.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/val_index.h"

#include <stdlib.h>

static struct val *doc(struct arena *a, const char *json)
{
	struct val *v = json_decode(a, sv_from(json), NULL, NULL);

	assert_non_null(v);
	return v;
}

#define assert_doc(v, json)                                      \
	do {                                                     \
		_cleanup_(buf_release) struct buf b_ = BUF_INIT; \
		json_encode(&b_, (v));                           \
		assert_string_equal(buf_cstr(&b_), (json));      \
	} while (0)

static void test_symbols(void **state)
{
	(void)state;
	for (int s = SYM_NONE + 1; s < SYM_MAX; s++)
		assert_int_equal(sym_find(sym_name((enum sym)s)), s);
	assert_int_equal(sym_find(SV("no such field name")), SYM_NONE);
	assert_int_equal(sym_find(SV("")), SYM_NONE);
}

static void test_read(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *v = doc(&a, "{\"metadata\":{\"name\":\"n\",\"labels\":{\"app.example/x\":\"y\",\"name\":\"z\"}},"
				"\"spec\":{\"replicas\":3,\"paused\":true,\"ratio\":1.5},\"l\":[1,2,3]}");
	const struct val *labels = val_get(v, F_metadata, F_labels);
	const char *const keys[] = { "metadata", "spec", "l" };
	size_t n = 0;
	int64_t sum = 0;

	(void)state;
	assert_sv(val_get_str(v, F_metadata, F_name), "n");
	assert_int_equal(val_get_int(v, 7, F_spec, F_replicas), 3);
	assert_int_equal(val_get_int(v, 7, F_spec, F_name), 7);
	assert_true(val_get_bool(v, F_spec, F_paused));
	assert_false(val_get_bool(v, F_spec, F_replicas));
	assert_int_equal(val_len(v), 3);
	assert_int_equal(val_len(labels), 2);
	assert_true(val_is(val_member_sv(labels, SV("app.example/x")), "y"));
	assert_true(val_is(val_member_sv(labels, SV("name")), "z"));
	assert_true(val_is(val_member(labels, F_name), "z"));
	assert_null(val_member_sv(labels, SV("app.example/")));
	assert_null(val_member_sv(labels, SV("y"))); /* a value, not a key */
	/* the wrong type and NULL are absent */
	assert_null(val_get(v, F_metadata, F_name, F_labels));
	assert_null(val_get(NULL, F_metadata));
	assert_null(val_at(v, 0));
	assert_int_equal(val_len(NULL), 0);
	assert_sv(val_str(NULL), "");
	assert_true(val_num(val_get(v, F_spec, F_replicas)) == 3);
	VAL_EACH(val_member_sv(v, SV("l")), e) {
		sum += e->i;
	}
	assert_int_equal(sum, 6);
	VAL_EACH(v, e) {
		(void)e;
		fail();
	}
	VAL_EACH_MEMBER(v, m) {
		assert_sv(m.key, keys[n++]);
	}
	assert_int_equal(n, 3);
	VAL_EACH_MEMBER(val_member_sv(v, SV("l")), m) {
		fail();
	}
}

static void test_build(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *v = val_new_map(&a), *m, *l;

	(void)state;
	m = val_set_map(&a, v, F_metadata);
	val_set_cstr(&a, m, F_name, "x");
	val_set_strf(&a, m, F_namespace, "ns-%d", 3);
	val_set_str_sv(&a, val_ensure_map(&a, m, F_labels), SV("k"), SV("v"));
	val_set_str_sv(&a, val_ensure_map(&a, m, F_labels), SV("name"), SV("w"));
	val_set_str_sv(&a, val_ensure_map(&a, m, F_labels), SV("k"), SV("v2"));
	m = val_ensure_map(&a, v, F_spec);
	val_set_int(&a, m, F_replicas, 2);
	val_set_bool(&a, m, F_paused, false);
	l = val_set_list(&a, m, F_args);
	for (int i = 0; i < 100; i++)
		val_push(&a, l, val_new_int(&a, i));
	while (val_len(l) > 2)
		val_list_remove(l, 1);
	val_list_insert(&a, l, 1, val_new_str(&a, SV("mid")));
	val_list_insert(&a, l, 3, val_new_null(&a));
	assert_doc(v, "{\"metadata\":{\"name\":\"x\",\"namespace\":\"ns-3\",\"labels\":{\"k\":\"v2\",\"name\":\"w\"}},"
		      "\"spec\":{\"replicas\":2,\"paused\":false,\"args\":[0,\"mid\",99,null]}}");
	assert_true(val_del(v, F_spec));
	assert_false(val_del(v, F_spec));
	m = val_get_mut(v, F_metadata, F_labels);
	assert_true(val_del_sv(m, SV("k")));
	assert_false(val_del_sv(m, SV("k")));
	assert_true(val_del_sv(m, SV("name")));
	assert_doc(v, "{\"metadata\":{\"name\":\"x\",\"namespace\":\"ns-3\",\"labels\":{}}}");
	val_set(&a, v, F_metadata, NULL);
	assert_doc(v, "{\"metadata\":null}");
	assert_doc(val_new_float(&a, 1.25), "1.25");
}

/* A member element copied in keeps none of the symbol it had where it came from. */
static void test_moves_between_containers(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *v = doc(&a, "{\"metadata\":{\"name\":\"x\"}}");
	struct val *out = val_new_map(&a), *l = val_set_list(&a, out, F_items);

	(void)state;
	val_push(&a, l, val_get(v, F_metadata, F_name));
	val_set_sv(&a, out, SV("copy"), val_get(v, F_metadata));
	val_set(&a, out, F_spec, val_get(v, F_metadata));
	assert_doc(out, "{\"items\":[\"x\"],\"copy\":{\"name\":\"x\"},\"spec\":{\"name\":\"x\"}}");
}

static void test_clone(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT, b = ARENA_INIT;
	struct val *v = doc(&a, "{\"metadata\":{\"name\":\"x\",\"labels\":{\"q\":\"r\"}},\"l\":[1,{\"z\":[]}]}");
	struct val *c = val_clone(&b, v), *n = val_clone_nodes(&a, v);

	(void)state;
	assert_true(val_equal(v, c));
	val_set_cstr(&a, val_get_mut(n, F_metadata), F_name, "changed");
	assert_sv(val_get_str(v, F_metadata, F_name), "x");
	arena_reset(&a);
	assert_doc(c, "{\"metadata\":{\"name\":\"x\",\"labels\":{\"q\":\"r\"}},\"l\":[1,{\"z\":[]}]}");
	assert_null(val_clone(&b, NULL));
}

static void test_equal(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} rows[] = {
		{ "1", "1", true },
		{ "1", "2", false },
		{ "1", "1.0", true },
		{ "1", "1.5", false },
		{ "9007199254740993", "9007199254740992.0", true },
		{ "9007199254740993", "9007199254740992", false },
		{ "9223372036854775000", "9.223372036854774784e18", true },
		{ "9223372036854775807", "9223372036854773760.0", false },
		{ "null", "null", true },
		{ "null", "false", false },
		{ "true", "true", true },
		{ "true", "false", false },
		{ "\"a\"", "\"a\"", true },
		{ "\"a\"", "\"b\"", false },
		{ "\"1\"", "1", false },
		{ "[]", "{}", false },
		{ "[1,2]", "[1,2]", true },
		{ "[1,2]", "[2,1]", false },
		{ "[1]", "[1,1]", false },
		{ "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true },
		{ "{\"a\":1,\"name\":2,\"b\":3}", "{\"b\":3,\"name\":2,\"a\":1}", true },
		{ "{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}", false },
		{ "{\"a\":1}", "{\"b\":1}", false },
		{ "{\"a\":null}", "{}", false },
		{ "{\"name\":1}", "{\"kind\":1}", false },
		{ "{\"a\":{\"x\":[{\"p\":1,\"q\":2}]}}", "{\"a\":{\"x\":[{\"q\":2,\"p\":1}]}}", true },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *big1 = val_new_map(&a), *big2 = val_new_map(&a);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(val_equal(doc(&a, rows[i].a), doc(&a, rows[i].b)), rows[i].equal);
		assert_int_equal(val_equal(doc(&a, rows[i].b), doc(&a, rows[i].a)), rows[i].equal);
	}
	for (int i = 0; i < 500; i++) {
		struct val *x = val_new_int(&a, i), *y = val_new_int(&a, 499 - i);

		val_set_sv(&a, big1, arena_svf(&a, "k%d", i), x);
		val_set_sv(&a, big2, arena_svf(&a, "k%d", 499 - i), y);
	}
	assert_true(val_equal(big1, big2));
	val_set_sv(&a, big2, SV("k250"), val_new_int(&a, 0));
	assert_false(val_equal(big1, big2));
	assert_true(val_equal(val_new_raw(&a, SV("{\"a\":1,\"b\":2}")), doc(&a, "{\"b\":2,\"a\":1}")));
	assert_false(val_equal(val_new_raw(&a, SV("{\"a\":1}")), val_new_raw(&a, SV("{\"a\":2}"))));
	assert_true(val_equal(NULL, NULL));
	assert_false(val_equal(NULL, val_new_null(&a)));
}

static void test_sorted(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT, was = BUF_INIT;
	const struct val *v =
	    doc(&a, "{\"spec\":{\"b\":1,\"name\":[{\"z\":{},\"$patch\":\"x\"},[],2]},\"a\":null,\"B\":{}}");

	(void)state;
	json_encode(&was, v);
	json_encode(&b, val_sorted(&a, v));
	assert_string_equal(buf_cstr(&b),
			    "{\"B\":{},\"a\":null,\"spec\":{\"b\":1,\"name\":[{\"$patch\":\"x\",\"z\":{}},[],2]}}");
	buf_clear(&b);
	json_encode(&b, v);
	assert_string_equal(buf_cstr(&b), buf_cstr(&was)); /* v is untouched */
	assert_null(val_sorted(&a, NULL));
}

/* Against the plain functions: members set, removed and set again, in a map that grows past where a table is made. */
static void test_index(void **state)
{
	static const size_t sizes[] = { 1, 15, 16, 17, 40, 700 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct val *plain = val_new_map(&a), *indexed = val_new_map(&a);
		struct val_index x = val_index_changing(indexed);

		for (size_t i = 0; i < 3 * sizes[k]; i++) {
			struct sv key = i % 7 == 3 ? sym_name((enum sym)(1 + i % sizes[k]))
						   : arena_svf(&a, "key-%zu", i % sizes[k]);
			const struct val *v = i % 5 ? val_new_int(&a, (int64_t)i) : val_new_strf(&a, "%zu", i);

			if (i % 3 == 2) {
				assert_int_equal(val_index_del(&x, key), val_del_sv(plain, key));
				assert_null(val_index_get(&x, key));
			} else {
				val_set_sv(&a, plain, key, v);
				assert_true(val_equal(val_index_set(&x, &a, key, v), v));
				assert_true(val_equal(val_index_get(&x, key), v));
			}
		}
		val_index_release(&x);
		assert_true(val_equal(plain, indexed));
		assert_int_equal(val_len(plain), val_len(indexed));

		_cleanup_(val_index_release) struct val_index in = val_index_of(indexed);

		VAL_EACH_MEMBER(plain, m)
			assert_true(val_equal(val_index_get(&in, m.key), m.value));
		assert_null(val_index_get(&in, SV("no such member")));
	}

	_cleanup_(val_index_release) struct val_index none = val_index_of(NULL);

	assert_null(val_index_get(&none, SV("name")));
}

static void test_put_all(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *m = doc(&a, "{\"name\":1,\"x.y\":2}");

	(void)state;
	val_add_missing(&a, m, doc(&a, "{\"x.y\":3,\"z\":4}"));
	assert_doc(m, "{\"name\":1,\"x.y\":2,\"z\":4}");
	val_put_all(&a, m, doc(&a, "{\"x.y\":3,\"w\":5}"));
	assert_doc(m, "{\"name\":1,\"x.y\":3,\"z\":4,\"w\":5}");
}

static void test_hash(void **state)
{
	static const char *const equal[][2] = {
		{ "{\"a\":1,\"name\":[true,null]}", "{\"name\":[true,null],\"a\":1}" },
		{ "80", "80.0" },
		{ "0", "-0.0" },
		{ "[9007199254740993]", "[9007199254740992.0]" },
	};
	static const char *const unequal[] = { "1",	     "2",	   "\"1\"", "[1]",  "[2]",  "{\"a\":1}",
					       "{\"b\":1}",  "[]",	   "{}",    "true", "null", "\"\"",
					       "{\"a\":[]}", "{\"a\":{}}", "[1,2]", "[2,1]" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(equal); i++) {
		assert_true(val_equal(doc(&a, equal[i][0]), doc(&a, equal[i][1])));
		assert_true(val_hash(doc(&a, equal[i][0])) == val_hash(doc(&a, equal[i][1])));
	}
	for (size_t i = 0; i < ARRAY_LEN(unequal); i++)
		for (size_t k = 0; k < i; k++)
			assert_true(val_hash(doc(&a, unequal[i])) != val_hash(doc(&a, unequal[k])));
	assert_true(val_hash(val_new_raw(&a, SV("{\"a\":1}"))) == val_hash(doc(&a, "{\"a\":1}")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols), cmocka_unit_test(test_read),
		cmocka_unit_test(test_build),	cmocka_unit_test(test_moves_between_containers),
		cmocka_unit_test(test_clone),	cmocka_unit_test(test_equal),
		cmocka_unit_test(test_sorted),	cmocka_unit_test(test_index),
		cmocka_unit_test(test_put_all), cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
