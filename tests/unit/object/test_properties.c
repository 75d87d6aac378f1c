/* What holds whatever an object says: to apply the same again changes nothing, and what is pruned and defaulted is
 * finished. Over random documents of every built-in kind, and random values under one schema with everything in it. */
#include "docs.h"

#include "codec/json.h"
#include "object/apply.h"
#include "object/structural.h"
#include "random_doc.h"

#include <stdlib.h>

static const char *text_of(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, v);
	return arena_strdup(a, buf_cstr(&b));
}

/* Fails with the members of x that y has otherwise: all of it would be more than a failure may say. */
static void differ(struct arena *a, const char *kind, const struct val *x, const struct val *y)
{
	VAL_EACH_MEMBER(x, m) {
		const struct val *other = val_member_sv(y, m.key);

		if (!other || !val_equal(m.value, other))
			fail_msg("%s: %.*s: %.450s\n%.450s", kind, SV_ARG(m.key), text_of(a, m.value),
				 other ? text_of(a, other) : "nothing");
	}
	fail_msg("%s: %.900s", kind, text_of(a, y));
}

/* --- apply ---
 *
 * All at one time: when somebody did what had no effect is no difference, and is not kept (update_is_none()).
 */

static struct val *applied(struct arena *a, const struct resource *r, const struct val *live, const struct val *config,
			   struct err *err)
{
	const struct apply_opts o = { .manager = SV("m"),
				      .api_version = arena_svf(a, "%s%s%s", r->group, *r->group ? "/" : "", r->version),
				      .now_ns = NS_PER_SEC,
				      .force = true };
	struct val *v = managed_apply(a, r->schema, live, config, &o, err);

	return v ? decode_typed(a, r->schema, v, NULL, err) : NULL;
}

/* A configuration of that kind, as a client writes it. */
static struct val *config_of(struct arena *a, const struct resource *r, uint64_t seed)
{
	struct random_doc g = { .a = a, .rng = seed };
	struct val *v = random_doc_of(&g, r->schema, 0), *meta = val_new_map(a);

	val_set_strf(a, v, F_apiVersion, "%s%s%s", r->group, *r->group ? "/" : "", r->version);
	val_set_cstr(a, v, F_kind, r->kind);
	val_set_cstr(a, meta, F_name, "x");
	val_set(a, v, F_metadata, meta);
	return v;
}

static void test_apply_twice(void **state)
{
	size_t n = 0, tried = 0;

	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		for (uint64_t seed = 1; seed <= 6; seed++, tried++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			_cleanup_(err_release) struct err err = ERR_INIT;
			const struct val *config = config_of(&a, r, seed + 10 * i);
			struct val *once = applied(&a, r, NULL, config, &err), *twice;

			/* Two elements of one key; or nothing that anybody owns: then who comes next finds an object of
			 * before all applies. */
			if (!once || !val_len(val_get(once, F_metadata, F_managedFields)))
				continue;
			twice = applied(&a, r, once, config, &err);
			if (!twice)
				fail_msg("%s: %s", r->kind, err_msg(&err));
			if (!val_equal(once, twice))
				differ(&a, r->kind, once, twice);
			n++;
		}
	}
	assert_true(n > tried / 3);
}

/* What the manager applies next: the same, less, or something else. */
static const struct val *config_next(struct arena *a, const struct resource *r, const struct val *last, uint64_t seed)
{
	struct val *v = val_clone(a, last), *spec = val_member_mut(v, F_spec);

	if (seed % 3 == 0)
		return config_of(a, r, seed + 1);
	if (seed % 3 == 1 && val_type(spec) == VAL_MAP && spec->n && spec->items[0].sym)
		val_del(spec, (enum sym)spec->items[seed % spec->n].sym);
	return v;
}

/* The same for a manager of a version that there is no more, which owns nothing and changes nothing, except that it is
 * found out at length what goes. */
static const struct val *applied_at_length(struct arena *a, const struct resource *r, const struct val *live,
					   const struct val *config, struct err *err)
{
	struct val *v = val_clone(a, live), *ghost = val_new_map(a);

	val_set_cstr(a, ghost, F_manager, "ghost");
	val_set_cstr(a, ghost, F_operation, "Apply");
	val_set_cstr(a, ghost, F_apiVersion, "gone/v9");
	val_set_cstr(a, ghost, F_fieldsType, "FieldsV1");
	val_set(a, ghost, F_fieldsV1, val_new_raw(a, SV("{\"f:spec\":{}}")));
	val_push(a, val_member_mut(val_member_mut(v, F_metadata), F_managedFields), ghost);
	return applied(a, r, v, config, err);
}

static void test_apply_at_length(void **state)
{
	size_t n = 0, less = 0;

	(void)state;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		for (uint64_t seed = 1; seed <= 9; seed++) {
			_cleanup_(arena_release) struct arena a = ARENA_INIT;
			_cleanup_(err_release) struct err err = ERR_INIT, other = ERR_INIT;
			const struct val *config = config_of(&a, r, seed + 10 * i), *one, *two;
			struct val *live = applied(&a, r, NULL, config, &err);
			const struct val *next = config_next(&a, r, config, seed);

			if (!live || !val_len(val_get(live, F_metadata, F_managedFields)))
				continue;
			one = applied(&a, r, live, next, &err);
			two = applied_at_length(&a, r, live, next, &other);
			assert_true(!one == !two);
			if (!one)
				continue;
			if (!val_equal(one, two))
				differ(&a, r->kind, one, two);
			n++;
			less += !val_equal(one, live);
		}
	}
	assert_true(n > 100 && less > n / 10 && less < n);
}

/* --- pruning and defaults --- */

static const char everything[] =
    "{'type':'object','properties':{'spec':{'type':'object','properties':{"
    "'a':{'type':'string','default':'x'},'b':{'type':'string','nullable':true},"
    "'l':{'type':'array','items':{'type':'object','default':{},'properties':{'c':{'type':'integer','default':1}}}},"
    "'m':{'type':'object','additionalProperties':{'type':'object','properties':{'a':{'type':'string','default':'y'},"
    "'d':{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'e':{'type':'object','properties':"
    "{'f':{'type':'boolean','default':false}}}}}}}},"
    "'e':{'type':'object','x-kubernetes-embedded-resource':true,'properties':{'spec':{'type':'object','properties':"
    "{'a':{'type':'string'}}}}},"
    "'i':{'x-kubernetes-int-or-string':true}},'default':{'a':'z'}}}}";

static struct val *random_value(struct arena *a, uint64_t *rng, int depth)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "i", "l", "m", "spec", "metadata", "z" };
	struct val *v;

	switch (unicode_random(rng) % (depth > 5 ? 4 : 8)) {
	case 0:
		return val_new_null(a);
	case 1:
		return val_new_bool(a, unicode_random(rng) & 1);
	case 2:
		return val_new_int(a, (int64_t)(unicode_random(rng) % 100));
	case 3:
		return val_new_str(a, SV("text"));
	case 4:
		v = val_new_list(a);
		for (uint32_t n = unicode_random(rng) % 4; n > 0; n--)
			val_push(a, v, random_value(a, rng, depth + 1));
		return v;
	default:
		v = val_new_map(a);
		for (uint32_t n = unicode_random(rng) % 6; n > 0; n--)
			val_set_sv(a, v, sv_from(names[unicode_random(rng) % ARRAY_LEN(names)]),
				   random_value(a, rng, depth + 1));
		return v;
	}
}

static void test_prune_and_default_twice(void **state)
{
	_cleanup_(arena_release) struct arena kept = ARENA_INIT;
	struct structural *s = structural_new(&kept, doc(&kept, everything), NULL);
	uint64_t rng = 1;
	size_t n = 0;

	(void)state;
	assert_non_null(s);
	for (int i = 0; i < 20000; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct val *v = val_new_map(&a), *once, *twice;

		val_set_cstr(&a, v, F_apiVersion, "g/v1");
		val_set_cstr(&a, v, F_kind, "T");
		val_set(&a, v, F_spec, random_value(&a, &rng, 0));
		if (structural_decode(s, &a, v, NULL, NULL) < 0)
			continue; /* metadata of an embedded resource that is none */
		once = val_clone(&a, v);
		assert_int_equal(structural_decode(s, &a, v, NULL, NULL), 0);
		if (!val_equal(once, v))
			fail_msg("pruned: %s\nagain: %s", text_of(&a, once), text_of(&a, v));
		assert_int_equal(structural_default(s, &a, v, NULL), 0);
		once = val_clone(&a, v);
		assert_int_equal(structural_default(s, &a, v, NULL), 0);
		if (!val_equal(once, v))
			fail_msg("defaulted: %s\nagain: %s", text_of(&a, once), text_of(&a, v));
		/* Both together: what comes out of the store is what went in. */
		twice = val_clone(&a, v);
		structural_from_store(s, &a, twice);
		if (!val_equal(once, twice))
			fail_msg("stored: %s\nread: %s", text_of(&a, once), text_of(&a, twice));
		n++;
	}
	assert_true(n > 10000);
	structural_release(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply_twice),
		cmocka_unit_test(test_apply_at_length),
		cmocka_unit_test(test_prune_and_default_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
