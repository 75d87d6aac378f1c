/* Built-in kinds in several versions: of any object, written in any version, each version shows what that one can say,
 * and the way to the stored version and back is none at all. */
#include "harness.h"
#include "everything.h"
#include "random_doc.h"

#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/versions.h"

/* Events are one kind in two groups, and what autoscaling/v1 cannot say is in its annotations, in the form of a text:
 * test_kinds.c, object/test_autoscaler.c. All others are here, those that are still to come among them. */
static bool chosen(const struct resource *r)
{
	return versions_of(r) && strcmp(r->kind, "Event") != 0 && strcmp(r->group, "autoscaling") != 0;
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

/* What v1 of a PodCertificateRequest has no more: it is not there afterwards, nor is it upstream. */
static void forget(struct arena *a, const struct resource *r, struct val *doc)
{
	if (strcmp(r->kind, "PodCertificateRequest") != 0 || !val_get(doc, F_spec))
		return;
	val_set(a, val_ensure_map(a, doc, F_spec), F_pkixPublicKey, val_new_null(a));
	val_set(a, val_ensure_map(a, doc, F_spec), F_proofOfPossession, val_new_null(a));
}

/* Between any two versions, by way of the hub: what came back is what went. */
static void test_each_pair(void **state)
{
	size_t pairs = 0;

	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		for (size_t k = 0; chosen(r) && k < versions_of(r)->n; k++) {
			const struct resource *to = versions_of(r)->all[k].res;

			for (uint64_t seed = 0; to != r && seed < 60; seed++, pairs++) {
				_cleanup_(arena_release) struct arena a = ARENA_INIT;
				struct val *doc = random_object(&a, r, seed * 6007 + i * 31 + k), *back;

				back = converted(&a, to, r, converted(&a, r, to, doc));
				forget(&a, r, doc);
				forget(&a, r, back);
				assert_string_equal(text(&a, back), text(&a, doc));
			}
		}
	}
	assert_true(pairs >= 60 * 34);
}

/* Of every kind, those among them whose versions say different things: what a version shows of an object of another
 * goes the way back and comes again as it was, so that two clients of two versions who only look change nothing. */
static void test_shown_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		for (size_t k = 0; versions_of(r) && k < versions_of(r)->n; k++) {
			const struct resource *to = versions_of(r)->all[k].res;

			for (uint64_t seed = 0; to != r && seed < 60; seed++) {
				_cleanup_(arena_release) struct arena a = ARENA_INIT;
				const struct val *shown = random_object(&a, r, seed * 4001 + i * 31 + k), *again;

				/* Once for the defaults. */
				shown = converted(&a, to, r, converted(&a, r, to, shown));
				shown = converted(&a, r, to, shown);
				again = converted(&a, r, to, converted(&a, to, r, shown));
				assert_string_equal(text(&a, again), text(&a, shown));
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_each_shows_each),
		cmocka_unit_test(test_each_pair),
		cmocka_unit_test(test_shown_again),
	};

	everything_on();
	strategies_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
