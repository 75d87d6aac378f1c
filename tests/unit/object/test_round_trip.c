/* What is encoded is what was there, in every form an object takes: all of Unicode, lengths and positions. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/pbwire.h"
#include "codec/yaml.h"
#include "object/obj.h"
#include "object/protobuf.h"
#include "unicode.h"

#include <stdio.h>

static void through_json(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, indented = BUF_INIT;
	struct val *again;

	json_encode(&b, v);
	again = json_decode(a, buf_sv(&b), NULL, NULL);
	assert_non_null(again);
	assert_true(val_equal(again, v));
	json_encode_indent(&indented, v, 2);
	again = json_decode(a, buf_sv(&indented), NULL, NULL);
	assert_non_null(again);
	assert_true(val_equal(again, v));
	again = json_decode(a, buf_sv(&b), &(struct json_opts){ .borrow_text = true }, NULL);
	assert_true(val_equal(again, v));
}

static void through_yaml(struct arena *a, const struct val *v, bool as_stream)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv rest, doc;
	struct val *again;

	yaml_encode(&b, v);
	again = yaml_decode(a, buf_sv(&b), &err);
	if (!again)
		fail_msg("%s:\n%.*s", err_msg(&err), SV_ARG(buf_sv(&b)));
	if (!val_equal(again, v))
		fail_msg("not the same:\n%.*s", SV_ARG(buf_sv(&b)));
	if (!as_stream)
		return;
	rest = buf_sv(&b);
	assert_true(yaml_next_document(&rest, &doc)); /* and it is one document of a stream */
	again = yaml_decode(a, doc, &err);
	assert_non_null(again);
	assert_true(val_equal(again, v));
	assert_false(yaml_next_document(&rest, &doc));
}

static void through_obj(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf tree = BUF_INIT;
	_cleanup_obj_ struct obj *o = obj_new(v, 0);

	(void)a;
	json_encode(&tree, obj_root(o));
	assert_true(sv_eq(buf_sv(&tree), obj_json(o)));
	assert_true(val_equal(obj_root(o), v));
}

/* A ConfigMap with data of the map, as kubectl sends it. */
static void protobuf_body(struct buf *body, const struct val *map)
{
	_cleanup_(buf_release) struct buf cm = BUF_INIT;
	size_t m;

	m = pb_open(&cm, 1);
	pb_sv(&cm, 1, SV("name"));
	VAL_EACH_MEMBER(map, e)
		pb_map_entry(&cm, 12, e.key, val_str(e.value));
	pb_close(&cm, m);
	VAL_EACH_MEMBER(map, e)
		pb_map_entry(&cm, 2, e.key, val_str(e.value));
	buf_add(body, "k8s\0", 4);
	m = pb_open(body, 1);
	pb_sv(body, 1, SV("v1"));
	pb_sv(body, 2, SV("ConfigMap"));
	pb_close(body, m);
	pb_sv(body, 2, buf_sv(&cm));
}

static void through_protobuf(struct arena *a, const struct val *map)
{
	_cleanup_(buf_release) struct buf body = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *doc;

	protobuf_body(&body, map);
	doc = protobuf_decode(a, buf_sv(&body), SV(""), SV(""), NULL, &err);
	if (!doc)
		fail_msg("%s", err_msg(&err));
	assert_true(val_equal(val_get(doc, F_data), map));
	assert_true(val_equal(val_get(doc, F_metadata, F_annotations), map));
}

/* Protobuf pays for its values, too: here for each member of the map twice. */
static void test_too_many_values(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t n = DOC_VALUES_MAX / 2 - 5; n < DOC_VALUES_MAX; n += 10) {
		_cleanup_(buf_release) struct buf body = BUF_INIT;
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct budget values = BUDGET(doc_values_limit);
		struct val *map = val_new_map(&a), one = { .type = VAL_STR, .n = 1, .s = "v" };

		for (size_t i = 0; i < n; i++)
			val_append_sv(&a, map, arena_svf(&a, "k%zu", i), &one);
		protobuf_body(&body, map);
		if (protobuf_decode(&a, buf_sv(&body), SV(""), SV(""), &values, &err))
			continue;
		assert_int_equal(err.reason, ERR_TOO_LARGE);
		assert_true(n > DOC_VALUES_MAX / 2 - 5 && n < DOC_VALUES_MAX / 2 + 10);
		return;
	}
	fail();
}

/* Every character of the first plane; of the others, whose bytes are all alike, one in 29 and the last of each. */
static bool taken(uint32_t c)
{
	return unicode_is_char(c) && (c < 0x10000 || c % 29 == 0 || (c & 0xffff) >= 0xfff0);
}

/* 64 characters at a time, each between letters whose number changes with it, as values and as keys. */
static void test_all_of_unicode(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (uint32_t c = 0; c < UNICODE_END;) {
		struct val *root = val_new_map(&a), *list = val_new_list(&a), *map = val_new_map(&a);

		for (unsigned k = 0; k < 64 && c < UNICODE_END; c++) {
			char text[64];
			size_t n = c % 19;

			if (!taken(c))
				continue;
			memset(text, 'a', sizeof(text));
			n += utf8_put(text + n, c);
			memset(text + n, 'a', sizeof(text) - n);
			n += c % 17;
			val_push(&a, list, val_new_str(&a, sv_make(text, n)));
			val_set_str_sv(&a, map, sv_make(text, n), sv_make(text, n));
			k++;
		}
		val_set(&a, root, F_args, list);
		val_set(&a, root, F_data, map);
		through_json(&a, root);
		through_yaml(&a, map, false);
		through_protobuf(&a, map);
		arena_reset(&a);
	}
}

/* Every character of the first 256 and some others alone, first, last, doubled and beside a line end. */
static void test_places(void **state)
{
	static const char *const around[][2] = { { "", "" },	{ "a", "" },	    { "", "a" },      { "a\n", "" },
						 { "", "\na" }, { "a\n", "\nb\n" }, { " ", " " },     { "a: ", "" },
						 { "- ", "" },	{ "", " #a" },	    { "\n", "\n\n" }, { "", ":" } };
	static const uint32_t others[] = { 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff, 0xfffd, 0x1fffe, 0x10ffff, 0xe000 };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (uint32_t i = 0; i < 256 + ARRAY_LEN(others); i++) {
		struct val *root = val_new_map(&a), *list = val_new_list(&a), *map = val_new_map(&a);
		char one[5] = "", text[32];
		size_t n = utf8_put(one, i < 256 ? i : others[i - 256]);

		for (size_t k = 0; k < ARRAY_LEN(around); k++)
			for (int times = 1; times <= 2; times++) {
				size_t before = strlen(around[k][0]), behind = strlen(around[k][1]), at = before;

				memcpy(text, around[k][0], before);
				for (int t = 0; t < times; t++, at += n)
					memcpy(text + at, one, n);
				memcpy(text + at, around[k][1], behind);
				val_push(&a, list, val_new_str(&a, sv_make(text, at + behind)));
				val_set_str_sv(&a, map, sv_make(text, at + behind), sv_make(text, at + behind));
			}
		val_set(&a, root, F_args, list);
		val_set(&a, root, F_data, map);
		through_json(&a, root);
		through_yaml(&a, root, true);
		through_obj(&a, root);
		arena_reset(&a);
	}
}

static struct val *random_value(struct arena *a, uint64_t *rng, int depth)
{
	static const int64_t numbers[] = { 0, 1, -1, INT64_MAX, INT64_MIN, 4096 };
	char text[300];
	uint32_t kind = unicode_random(rng) % (depth > 5 ? 6 : 10), n = unicode_random(rng) % 6;
	struct val *v;

	switch (kind) {
	case 0:
		return val_new_null(a);
	case 1:
		return val_new_bool(a, n & 1);
	case 2:
		return val_new_int(a, numbers[n]);
	case 3:
		return val_new_float(a, (double)(int32_t)unicode_random(rng) / 1024.0 + 0.5);
	case 4:
	case 5:
		return val_new_str(a, sv_make(text, unicode_text(rng, text, kind == 4 ? 12 : sizeof(text))));
	case 6:
	case 7:
		v = val_new_list(a);
		for (uint32_t i = 0; i < n; i++)
			val_push(a, v, random_value(a, rng, depth + 1));
		return v;
	default:
		v = val_new_map(a);
		for (uint32_t i = 0; i < n; i++) {
			if (unicode_random(rng) % 3 == 0)
				val_set(a, v, i & 1 ? F_spec : F_status, random_value(a, rng, depth + 1));
			else
				val_set_sv(a, v, sv_make(text, unicode_text(rng, text, 40)),
					   random_value(a, rng, depth + 1));
		}
		return v;
	}
}

static void test_random_documents(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	uint64_t rng = 1;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct val *root = val_new_map(&a);

		val_set(&a, root, F_spec, random_value(&a, &rng, 0));
		val_set(&a, root, F_data, random_value(&a, &rng, 0));
		through_json(&a, root);
		through_yaml(&a, root, true);
		through_obj(&a, root);
		arena_reset(&a);
	}
}

/* Parts of a published object are frozen; a document that took one over can be changed after val_thaw(). */
static void test_thaw(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o =
	    obj_new(json_decode(&a, SV("{\"spec\":{\"ports\":[{\"port\":1},{\"port\":2}]}}"), NULL, NULL), 0);
	struct val *doc = val_new_map(&a), *outer = val_new_map(&a);

	(void)state;
	val_set(&a, doc, F_spec, obj_get(o, F_spec));
	val_set(&a, outer, F_template, doc);
	val_thaw(&a, outer);
	val_thaw(&a, NULL);
	val_set_int(&a, val_at_mut(val_get_mut(outer, F_template, F_spec, F_ports), 1), F_port, 3);
	assert_true(val_del(val_at_mut(val_get_mut(outer, F_template, F_spec, F_ports), 0), F_port));
	assert_int_equal(val_get_int(val_at(obj_get(o, F_spec, F_ports), 0), 0, F_port), 1);
	assert_int_equal(val_get_int(val_at(obj_get(o, F_spec, F_ports), 1), 0, F_port), 2);
	assert_int_equal(val_get_int(val_at(val_get(outer, F_template, F_spec, F_ports), 1), 0, F_port), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_unicode),	 cmocka_unit_test(test_places),
		cmocka_unit_test(test_random_documents), cmocka_unit_test(test_thaw),
		cmocka_unit_test(test_too_many_values),
	};

	return cmocka_run_group_tests_name("object/round_trip", tests, NULL, NULL);
}
