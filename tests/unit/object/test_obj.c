#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"
#include "object/obj.h"
#include "sample_pod.h"
#include "unicode.h"

#include <stdio.h>
#include <stdlib.h>

static void test_publish(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *root = json_decode(&a, sv_from(pod_json), NULL, NULL), *again;
	_cleanup_(buf_release) struct buf before = BUF_INIT, after = BUF_INIT, tree = BUF_INIT;
	_cleanup_obj_ struct obj *o = NULL;

	(void)state;
	assert_non_null(root);
	json_encode(&before, root);
	o = obj_new(root, 4711);
	json_encode(&after, root);
	assert_string_equal(buf_cstr(&before), buf_cstr(&after)); /* root is untouched */
	arena_reset(&a);

	assert_int_equal(obj_rev(o), 4711);
	assert_sv(obj_name(o), "web-5d4f8c7b9-x2x7q");
	assert_sv(obj_ns(o), "default");
	assert_sv(obj_uid(o), "0e2a4c7e-5a0b-4a53-8c3c-0d5a0f0c9d11");
	assert_sv(val_str(obj_get(o, F_metadata, F_resourceVersion)), "4711");
	assert_sv(val_str(val_member_sv(obj_get(o, F_metadata, F_annotations), SV("note"))), "a <b> \"quoted\" text");
	assert_int_equal(val_len(obj_labels(o)), 2);
	assert_false(obj_deleting(o));
	assert_true(val_is(val_member(obj_controller_ref(o), F_kind), "ReplicaSet"));
	assert_true(
	    sv_find_sv(obj_json(o), SV("\"uid\":\"0e2a4c7e-5a0b-4a53-8c3c-0d5a0f0c9d11\",\"resourceVersion\":\"4711\","
				       "\"creationTimestamp\"")) > 0);
	/* tree and text say the same */
	json_encode(&tree, obj_root(o));
	assert_true(sv_eq(buf_sv(&tree), obj_json(o)));
	again = json_decode(&a, obj_json(o), NULL, NULL);
	assert_true(val_equal(again, obj_root(o)));
	/* strings lie in the text */
	assert_true(obj_name(o).p > obj_json(o).p && obj_name(o).p < obj_json(o).p + obj_json(o).n);
}

/* An object of a list of strings and a map with the same strings for keys is published, and read back. */
static void published_whole(struct arena *a, const struct val *list, const struct val *map)
{
	_cleanup_(buf_release) struct buf tree = BUF_INIT;
	_cleanup_obj_ struct obj *o = NULL;
	struct val *root = val_new_map(a), *again;

	val_set(a, root, F_args, list);
	val_set(a, root, F_data, map);
	o = obj_new(root, 0);
	json_encode(&tree, obj_root(o));
	assert_true(sv_eq(buf_sv(&tree), obj_json(o)));
	assert_true(val_equal(obj_root(o), root));
	again = json_decode(a, obj_json(o), NULL, NULL);
	assert_non_null(again);
	assert_true(val_equal(again, root));
}

/* Every character, at a position that changes with it: what is measured as escaped is what is escaped. */
static void test_all_of_unicode(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (uint32_t c = 0; c <= 0x10ffff;) {
		struct val *list = val_new_list(&a), *map = val_new_map(&a);

		for (unsigned k = 0; k < 64 && c <= 0x10ffff; c++) {
			char text[64];
			size_t at = c % 19, n = at;

			if (c >= 0xd800 && c <= 0xdfff) /* no characters */
				continue;
			memset(text, 'a', sizeof(text));
			n += utf8_put(text + at, c) + c % 17;
			val_push(&a, list, val_new_str(&a, sv_make(text, n)));
			val_set_str_sv(&a, map, sv_make(text, n), sv_make(text, n));
			k++;
		}
		published_whole(&a, list, map);
		arena_reset(&a);
	}
}

/* Those whose first byte is that of an escaped one (U+2000 to U+2FFF), at every position of a scanner's step. */
static void test_near_line_separator(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t at = 0; at < 34; at++) {
		struct val *list = val_new_list(&a), *map = val_new_map(&a);

		for (uint32_t c = 0x2000; c < 0x3000; c += c < 0x2040 ? 1 : 61) {
			for (size_t behind = 0; behind < 18; behind += 17) {
				char text[64];
				size_t n;

				memset(text, 'a', sizeof(text));
				n = at + utf8_put(text + at, c) + behind;
				val_push(&a, list, val_new_str(&a, sv_make(text, n)));
				val_set_str_sv(&a, map, sv_make(text, n), sv_make(text, n));
			}
		}
		published_whole(&a, list, map);
		arena_reset(&a);
	}
}

static void test_set_rev(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *root = json_decode(&a, sv_from(pod_json), NULL, NULL);
	_cleanup_obj_ struct obj *o = obj_new(root, 1000), *want = obj_new(root, 4711);
	_cleanup_obj_ struct obj *bare = obj_new(json_decode(&a, SV("{\"metadata\":{\"labels\":{}}}"), NULL, NULL), 7);
	_cleanup_obj_ struct obj *none = obj_new(root, 0);

	(void)state;
	assert_false(obj_set_rev(o, 999));
	assert_false(obj_set_rev(o, 10000));
	assert_int_equal(obj_rev(o), 1000);
	assert_true(obj_set_rev(o, 4711));
	assert_int_equal(obj_rev(o), 4711);
	assert_true(sv_eq(obj_json(o), obj_json(want)));
	assert_true(val_equal(obj_root(o), obj_root(want)));
	for (int64_t r = 1, n = 1; n <= 18; r = r * 10 + 9 * (n % 2), n++) {
		_cleanup_obj_ struct obj *of = obj_new(root, r);
		char text[24];

		snprintf(text, sizeof(text), "%" PRId64, r);
		assert_true(val_is(obj_get(of, F_metadata, F_resourceVersion), text));
		assert_true(obj_set_rev(of, r));
		assert_true(val_is(obj_get(of, F_metadata, F_resourceVersion), text));
	}
	assert_false(obj_set_rev(none, 1)); /* it has no place for one */
	/* stored, the revision is left out, wherever it stands */
	assert_true(sv_eq(obj_json_stored(&a, o), obj_json(none)));
	assert_true(sv_eq(obj_json_stored(&a, none), obj_json(none)));
	assert_sv(obj_json_stored(&a, bare), "{\"metadata\":{\"labels\":{}}}");
}

static void test_memory(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o = obj_new(json_decode(&a, sv_from(pod_json), NULL, NULL), 1);

	(void)state;
	print_message("# %zu bytes for %zu of JSON\n", obj_bytes(o), obj_json(o).n);
	assert_true(obj_bytes(o) < obj_json(o).n * 21 / 10);
}

static void test_rev_placement(void **state)
{
	static const struct {
		const char *in;
		int64_t rev;
		const char *out;
		int64_t want;
	} rows[] = {
		{ "{}", 5, "{\"metadata\":{\"resourceVersion\":\"5\"}}", 5 },
		{ "{\"metadata\":{}}", 5, "{\"metadata\":{\"resourceVersion\":\"5\"}}", 5 },
		{ "{\"metadata\":null}", 5, "{\"metadata\":{\"resourceVersion\":\"5\"}}", 5 },
		{ "{\"metadata\":{\"labels\":{}}}", 5, "{\"metadata\":{\"resourceVersion\":\"5\",\"labels\":{}}}", 5 },
		{ "{\"metadata\":{\"name\":\"a\",\"labels\":{}}}", 6,
		  "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"6\",\"labels\":{}}}", 6 },
		{ "{\"kind\":\"x\",\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"1\",\"labels\":{}},"
		  "\"z\":1}",
		  7,
		  "{\"kind\":\"x\",\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"labels\":{}},"
		  "\"z\":1}",
		  7 },
		{ "{\"metadata\":{\"resourceVersion\":\"12\"}}", 0, "{\"metadata\":{\"resourceVersion\":\"12\"}}", 12 },
		{ "{\"metadata\":{\"resourceVersion\":\"x\"}}", 0, "{\"metadata\":{\"resourceVersion\":\"x\"}}", 0 },
		{ "{}", 0, "{}", 0 },
		{ "[1,-2.5,true,null,\"\\\\\",\"\\\\\\\\\\\"\",\"\",[],{}]", 3,
		  "[1,-2.5,true,null,\"\\\\\",\"\\\\\\\\\\\"\",\"\",[],{}]", 3 },
		{ "1", 0, "1", 0 },
		{ "{\"a\\n\":{\"b\\t\":[{\"c\":\"<\"}]},\"d\":9}", 0,
		  "{\"a\\n\":{\"b\\t\":[{\"c\":\"\\u003c\"}]},\"d\":9}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		_cleanup_obj_ struct obj *o = obj_new(json_decode(&a, sv_from(rows[i].in), NULL, NULL), rows[i].rev);

		assert_sv(obj_json(o), rows[i].out);
		json_encode(&b, obj_root(o));
		assert_string_equal(buf_cstr(&b), rows[i].out);
		assert_int_equal(obj_rev(o), rows[i].want);
	}
}

static void test_raw(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *root = val_new_map(&a);
	_cleanup_obj_ struct obj *o = NULL;

	(void)state;
	val_set(&a, root, F_spec, val_new_raw(&a, SV("{\"f:a\":[1,2],\"x\":\"}\"}")));
	val_set_cstr(&a, root, F_kind, "K");
	o = obj_new(root, 0);
	assert_sv(obj_json(o), "{\"spec\":{\"f:a\":[1,2],\"x\":\"}\"},\"kind\":\"K\"}");
	assert_int_equal(val_type(obj_get(o, F_spec)), VAL_RAW);
	assert_sv(val_raw(obj_get(o, F_spec)), "{\"f:a\":[1,2],\"x\":\"}\"}");
	assert_sv(val_str(obj_get(o, F_kind)), "K");
}

static void test_edit_and_links(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT, b = ARENA_INIT;
	struct obj *o = obj_new(json_decode(&a, sv_from(pod_json), NULL, NULL), 9);
	struct val *copy = obj_edit(&b, o), *meta, *labels, shared;
	_cleanup_obj_ struct obj *next = NULL;
	size_t n = val_len(obj_labels(o));

	(void)state;
	/* The arena keeps o alive for the strings the copy borrows. */
	obj_unref(o);
	val_set_cstr(&b, val_get_mut(copy, F_metadata), F_name, "renamed");
	assert_sv(obj_name(o), "web-5d4f8c7b9-x2x7q");
	next = obj_new(copy, 10);
	assert_sv(obj_name(next), "renamed");
	assert_false(obj_same_version(o, next));
	assert_true(obj_same_version(o, o));

	/* A shallow copy of a published map may be added to: it gets an array of its own. */
	shared = *obj_labels(next);
	labels = &shared;
	val_set_str_sv(&b, labels, SV("more"), SV("x"));
	val_set_str_sv(&b, labels, SV("app"), SV("changed"));
	assert_int_equal(val_len(labels), n + 1);
	assert_int_equal(val_len(obj_labels(next)), n);
	assert_true(val_is(val_member_sv(obj_labels(next), SV("app")), "web"));
	meta = val_new_map(&b);
	val_set(&b, meta, F_metadata, obj_get(next, F_metadata));
	val_set_cstr(&b, val_ensure_map(&b, meta, F_metadata), F_name, "third");
	assert_sv(obj_name(next), "renamed");
	assert_sv(val_get_str(meta, F_metadata, F_name), "third");

	assert_null(obj_ref(NULL));
	assert_null(obj_unref(NULL));
	assert_null(obj_link(&b, NULL));
	assert_sv(obj_name(NULL), "");
	assert_null(obj_root(NULL));
}

/* Of a text whose length was foretold nothing is looked at for escapes: numbers, words and empty containers are
 * foretold right, beside what is escaped and what is not. */
static void test_foretold(void **state)
{
	static const char *const texts[] = {
		"{\"a\":0,\"b\":-1,\"c\":9,\"d\":10,\"e\":-9223372036854775808,\"f\":9223372036854775807,\"g\":99}",
		"{\"metadata\":{\"name\":\"x\",\"labels\":{}},\"a\":[true,false,null,[],{},[{}],\"\"]}",
		"{\"a\":1.5,\"b\":\"\\n\"}",
		"{\"a\":100,\"b\":\"<\",\"c\":\"plain\"}",
		"{\"\\u2028\":\"\\\\\",\"\\u2029 \":-10,\"plain\":[\"\\\"\",\"\\t\"]}",
		"{\"metadata\":{\"managedFields\":[{\"fieldsV1\":{\"k:{\\\"a\\\":1}\":{}}}]},\"data\":{\"k\":\"&\"}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		const struct val *v = json_decode(&a, sv_from(texts[i]), NULL, NULL);
		_cleanup_obj_ struct obj *o = NULL;

		assert_non_null(v);
		o = obj_new(v, 0);
		json_encode(&b, v);
		assert_true(sv_eq(obj_json(o), buf_sv(&b)));
		assert_true(val_equal(obj_root(o), v));
	}
}

static void test_finalizers(_unused_ void **state)
{
	static const struct {
		const char *was, *name;
		bool on, changed;
		const char *is;
	} rows[] = {
		{ "{}", "a", true, true, "{\"metadata\":{\"finalizers\":[\"a\"]}}" },
		{ "{\"metadata\":{\"finalizers\":[\"b\"]}}", "a", true, true,
		  "{\"metadata\":{\"finalizers\":[\"b\",\"a\"]}}" },
		{ "{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}", "a", true, false,
		  "{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}" },
		{ "{\"metadata\":{\"finalizers\":[\"a\",\"b\",\"a\"]}}", "a", false, true,
		  "{\"metadata\":{\"finalizers\":[\"b\"]}}" },
		{ "{\"metadata\":{\"name\":\"x\",\"finalizers\":[\"a\"]}}", "a", false, true,
		  "{\"metadata\":{\"name\":\"x\"}}" },
		{ "{\"metadata\":{\"finalizers\":[\"b\"]}}", "a", false, false,
		  "{\"metadata\":{\"finalizers\":[\"b\"]}}" },
		{ "{\"metadata\":{}}", "a", false, false, "{\"metadata\":{}}" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf b = BUF_INIT;
		struct val *doc = json_decode(&a, sv_from(rows[i].was), NULL, NULL);

		assert_int_equal(obj_set_finalizer(&a, doc, rows[i].name, rows[i].on), rows[i].changed);
		json_encode(&b, doc);
		assert_string_equal(buf_cstr(&b), rows[i].is);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foretold),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_rev_placement),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_edit_and_links),
		cmocka_unit_test(test_set_rev),
		cmocka_unit_test(test_finalizers),
		cmocka_unit_test(test_all_of_unicode),
		cmocka_unit_test(test_near_line_separator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
