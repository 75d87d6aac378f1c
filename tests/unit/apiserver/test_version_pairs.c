/* Built-in kinds in several versions: of any object, written in any version, each version shows what that one can say,
 * and the way to the stored version and back is none at all. */
#include "harness.h"
#include "everything.h"
#include "random_doc.h"

#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/versions.h"

/* Events are one kind in two groups, and autoscaling/v1 says less: test_conversions.c, object/test_autoscaler.c. */
static const char *const groups[] = { "admissionregistration.k8s.io",
				      "certificates.k8s.io",
				      "coordination.k8s.io",
				      "resource.k8s.io",
				      "scheduling.k8s.io",
				      "storagemigration.k8s.io" };

static bool chosen(const struct resource *r)
{
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (strcmp(r->group, groups[i]) == 0)
			return versions_of(r);
	return false;
}

static struct val *converted(struct arena *a, const struct resource *from, const struct resource *to,
			     const struct val *doc)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *out = NULL;
	struct conversion c = {
		.a = a, .of = versions_of(from), .from = from, .to = to, .docs = &doc, .n = 1, .out = &out
	};

	if (conversion_run(&c, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return out;
}

static struct val *random_object(struct arena *a, const struct resource *r, uint64_t seed)
{
	/* Of a device without `basic` nothing can be said, and it is refused. */
	static const enum sym always[] = { F_basic, SYM_NONE };
	struct random_doc g = { a, seed, always };
	struct val *doc = random_doc_of(&g, r->schema, 0);
	_cleanup_(err_release) struct err err = ERR_INIT;
	char av[160];

	val_set_cstr(a, doc, F_kind, r->kind);
	val_set_cstr(a, doc, F_apiVersion, resource_api_version(r, av, sizeof(av)));
	val_set_cstr(a, val_ensure_map(a, doc, F_metadata), F_name, "x");
	doc = decode_typed(a, r->schema, doc, NULL, &err);
	if (!doc)
		fail_msg("%s", err_msg(&err));
	return doc;
}

static const char *text(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, v);
	return arena_cstr(a, buf_sv(&b));
}

static void test_there_and_back(void **state)
{
	size_t pairs = 0;

	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		for (uint64_t seed = 0; chosen(r) && seed < 60; seed++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			const struct val *doc = random_object(&a, r, seed * 7919 + i);
			const struct resource *stored = versions_of(r)->storage;
			const struct val *back = doc;

			if (stored != r)
				back = converted(&a, stored, r, converted(&a, r, stored, doc));
			assert_string_equal(text(&a, back), text(&a, doc));
			pairs += stored != r;
		}
	}
	assert_true(pairs >= 60 * 17);
}

/* From one version to another by way of the hub, and what is not known there is not carried along. */
static void test_each_shows_each(void **state)
{
	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		for (size_t k = 0; chosen(r) && k < versions_of(r)->n; k++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			const struct resource *to = versions_of(r)->all[k].res;
			const struct val *v;
			char av[160];

			if (to == r)
				continue;
			v = converted(&a, r, to, random_object(&a, r, i + k));
			assert_val(val_get(v, F_apiVersion), resource_api_version(to, av, sizeof(av)));
			assert_val(val_get(v, F_metadata, F_name), "x");
			VAL_EACH_MEMBER(val_get(v, F_spec), m)
				assert_true(m.sym != 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_each_shows_each),
	};

	everything_on();
	strategies_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
