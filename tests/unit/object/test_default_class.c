/* object/default_class.h: the marks, old and new, and which of several it is. */
#include "docs.h"

#include "object/annotation.h"
#include "object/default_class.h"

struct row {
	const char *name, *made, *mark, *value;
};

static void look(struct default_class_search *s, const struct row *r)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o = NULL;
	struct val *d = doc(&a, "{'metadata':{}}"), *meta = val_ensure_map(&a, d, F_metadata);

	val_set_cstr(&a, meta, F_name, r->name);
	val_set_cstr(&a, meta, F_creationTimestamp, r->made);
	annotation_set(&a, d, r->mark, sv_from(r->value));
	o = obj_new(d, 1);
	assert_int_equal(default_class_look(o, s), 0);
}

static void expect(bool (*is_default)(const struct val *), const struct row *rows, size_t n, const char *want)
{
	struct default_class_search s = { is_default, NULL }, back = { is_default, NULL };

	for (size_t i = 0; i < n; i++)
		look(&s, &rows[i]);
	for (size_t i = n; i-- > 0;)
		look(&back, &rows[i]);
	assert_int_equal(s.found != NULL, want != NULL);
	assert_int_equal(back.found != NULL, want != NULL);
	if (want) {
		assert_sv(obj_name(s.found), want);
		assert_sv(obj_name(back.found), want);
	}
	obj_unref(s.found);
	obj_unref(back.found);
}

static void which(void **state)
{
	static const struct row storage[] = {
		{ "older", "2026-01-01T00:00:00Z", ANN_DEFAULT_STORAGE_CLASS, "true" },
		{ "b", "2026-01-02T00:00:00Z", ANN_DEFAULT_STORAGE_CLASS, "true" },
		{ "a", "2026-01-02T00:00:00Z", "storageclass.beta.kubernetes.io/is-default-class", "true" },
		{ "newest", "2026-01-03T00:00:00Z", ANN_DEFAULT_STORAGE_CLASS, "false" },
		{ "other", "2026-01-03T00:00:00Z", ANN_DEFAULT_INGRESS_CLASS, "true" },
	};

	(void)state;
	expect(storage_class_is_default, storage, ARRAY_LEN(storage), "a");
	expect(storage_class_is_default, storage, 2, "b");
	expect(storage_class_is_default, storage + 3, 2, NULL);
	expect(ingress_class_is_default, storage, ARRAY_LEN(storage), "other");
	expect(ingress_class_is_default, storage, 4, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
