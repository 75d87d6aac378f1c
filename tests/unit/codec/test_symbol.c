/* Names that become symbols while the process runs: however a document has such a key, it is one key. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "codec/doc.h"
#include "codec/json.h"
#include "codec/symbol.h"
#include "codec/val_index.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

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

static void test_intern(void **state)
{
	uint32_t end = sym_end();
	enum sym s;

	(void)state;
	assert_int_equal(sym_intern(SV("spec")), F_spec);
	assert_int_equal(sym_intern(SV("")), SYM_NONE);
	assert_int_equal(sym_intern(SV("a\"b")), SYM_NONE);
	assert_int_equal(sym_intern(SV("a\0b")), SYM_NONE);
	assert_int_equal(sym_end(), end);

	assert_int_equal(sym_find(SV("testWidgets")), SYM_NONE);
	s = sym_intern(SV("testWidgets"));
	assert_true(sym_late(s) && !sym_owned(s));
	assert_int_equal(sym_find(SV("testWidgets")), s);
	assert_int_equal(sym_intern(SV("testWidgets")), s);
	assert_sv(sym_name(s), "testWidgets");
	assert_int_equal(sym_end(), end + 1);
	assert_int_equal(sym_find_below(SV("testWidgets"), end), SYM_NONE);
	assert_int_equal(sym_name((enum sym)(s + 1)).n, 0);
	assert_int_equal(sym_name((enum sym)UINT32_MAX).n, 0);
	for (unsigned i = SYM_NONE + 1; i < SYM_MAX; i++)
		assert_int_equal(sym_intern(sym_name((enum sym)i)), i);
}

static void test_owned(void **state)
{
	struct sym_names *one = sym_names_new(), *other = sym_names_new();
	enum sym quoted = sym_names_add(one, SV("say \"so\"")), again;

	(void)state;
	assert_true(sym_owned(quoted));
	assert_sv(sym_name(quoted), "say \"so\"");
	assert_int_equal(sym_names_add(one, SV("say \"so\"")), quoted);
	assert_int_equal(sym_find(SV("say \"so\"")), SYM_NONE);
	assert_int_equal(sym_names_add(one, SV("metadata")), F_metadata);
	assert_int_equal(sym_names_add(one, SV("")), SYM_NONE);
	again = sym_names_add(other, SV("say \"so\""));
	assert_int_not_equal(again, quoted);
	sym_names_free(one);
	assert_int_equal(sym_name(quoted).n, 0);
	assert_sv(sym_name(again), "say \"so\"");
	sym_names_free(other);
	sym_names_free(NULL);
}

/* Every function with the key as text (decoded before there was a symbol), as a symbol, and owned. */
static void check_forms(struct arena *a, struct val *text, struct val *other, enum sym s, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *copy, *want;

	assert_int_equal(val_len(text), val_len(other));
	assert_true(val_equal(text, other));
	assert_true(val_equal(other, text));
	assert_true(val_same(text, other));
	assert_int_equal(val_hash(text), val_hash(other));
	json_encode(&b, text);
	assert_doc(other, buf_cstr(&b));
	for (int k = 0; k < 2; k++) {
		struct val *v = k ? other : text;
		_cleanup_(val_index_release) struct val_index x = { 0 };

		assert_true(val_is(val_member(v, s), "here"));
		assert_true(val_is(val_member_sv(v, name), "here"));
		assert_true(val_is(val_get(v, s), "here"));
		x = val_index_of(v);
		assert_true(val_is(val_index_get(&x, name), "here"));

		copy = val_clone(a, v);
		val_set_cstr(a, copy, s, "changed");
		assert_int_equal(val_len(copy), val_len(v));
		assert_true(val_is(val_member_sv(copy, name), "changed"));
		assert_false(val_equal(copy, text));
		assert_false(val_equal(other, copy));
		val_set_str_sv(a, copy, name, SV("here"));
		assert_int_equal(val_len(copy), val_len(v));
		assert_true(val_equal(copy, k ? text : other));
		want = val_ensure_map(a, copy, s);
		assert_int_equal(val_len(copy), val_len(v));
		val_set_int(a, want, s, 7);
		assert_int_equal(val_get_int(copy, 0, s, s), 7);
		assert_true(val_del(copy, s));
		assert_false(val_del(copy, s));
		assert_int_equal(val_len(copy), val_len(v) - 1);
		assert_null(val_member_sv(copy, name));
		assert_null(val_member(copy, s));
		val_set_cstr(a, copy, s, "here");
		assert_true(val_del_sv(copy, name));
		assert_false(val_del_sv(copy, name));

		copy = val_clone(a, v);
		val_index_release(&x);
		x = val_index_changing(copy);
		val_index_set(&x, a, name, val_new_str(a, SV("set")));
		assert_true(val_is(val_index_get(&x, name), "set"));
		assert_true(val_index_del(&x, name));
		assert_false(val_index_del(&x, name));
		val_index_set(&x, a, name, val_new_str(a, SV("here")));
		val_index_release(&x);
		assert_int_equal(val_len(copy), val_len(v));
		assert_true(val_equal(copy, k ? text : other));
		copy = val_clone(a, v);
		val_put_all(a, copy, k ? text : other);
		val_add_missing(a, copy, k ? text : other);
		assert_int_equal(val_len(copy), val_len(v));
		assert_true(val_equal(val_sorted(a, copy), v));
	}
}

static struct val *map_of(struct arena *a, size_t others, const char *key, size_t key_n)
{
	struct val *v = val_new_map(a);

	for (size_t i = 0; i < others; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s%zu", i % 3 ? "other" : "ann", i);
		val_set_sv(a, v, sv_from(name), val_new_int(a, (int64_t)i));
		if (i == others / 2)
			val_set_str_sv(a, v, sv_make(key, key_n), SV("here"));
		if (i == 1)
			val_set_bool(a, v, F_spec, true);
	}
	return v;
}

static void test_forms(void **state)
{
	static const size_t sizes[] = { 2, 20, 40, 100, 1000 };
	struct sym_names *names = sym_names_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		char name[32];
		struct sv key = sv_make(name, (size_t)snprintf(name, sizeof(name), "formOf%zu", sizes[i]));
		struct val *text = map_of(&a, sizes[i], key.p, key.n), *now, *less;
		enum sym s = sym_intern(key);

		assert_true(sym_late(s));
		now = map_of(&a, sizes[i], key.p, key.n);
		assert_int_equal(now->n, text->n - 1);
		check_forms(&a, text, now, s, key);
		/* The same number of nodes, one member more. */
		less = val_clone(&a, now);
		val_set_bool(&a, less, F_status, true);
		assert_int_equal(less->n, text->n);
		assert_false(val_equal(less, text));
		assert_false(val_equal(text, less));

		snprintf(name, sizeof(name), "\"%zu\"", sizes[i]);
		key = sv_from(name);
		text = map_of(&a, sizes[i], key.p, key.n);
		check_forms(&a, text, val_clone(&a, text), sym_names_add(names, key), key);
	}
	sym_names_free(names);
}

/* A key that repeats is one key, also when its symbol is made between the two. */
static bool intern_it(struct sv path, void *ctx)
{
	(void)ctx;
	(void)path;
	sym_intern(SV("repeatedKey"));
	return true;
}

static void test_repeat_in_decode(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct json_opts opts = { .duplicate = intern_it };
	const char *json = "{\"spec\":{\"x\":1,\"x\":2},\"a\":{\"repeatedKey\":1,\"repeatedKey\":2},\"repeatedKey\":3}";

	(void)state;
	assert_int_equal(sym_find(SV("repeatedKey")), SYM_NONE);
	for (int k = 0; k < 2; k++) {
		struct val *v = json_decode(&a, sv_from(json), &opts, NULL);

		assert_int_equal(val_len(v), 3);
		assert_doc(v, "{\"spec\":{\"x\":2},\"a\":{\"repeatedKey\":2},\"repeatedKey\":3}");
	}
	assert_int_not_equal(sym_find(SV("repeatedKey")), SYM_NONE);
}

/* --- threads --- */

enum { THREADS = 8, NAMES = 2000 };
static _Atomic(struct val *) published[NAMES];

static void *worker(void *arg)
{
	size_t seed = (size_t)(uintptr_t)arg;
	struct sym_names *mine = sym_names_new();

	for (size_t i = 0; i < NAMES; i++) {
		size_t which = (i * 7 + seed * 131) % NAMES;
		char name[48];
		struct sv key = sv_make(name, (size_t)snprintf(name, sizeof(name), "threadName%zu", which));
		enum sym s = i % 2 ? sym_intern(key) : sym_find(key), own;
		struct val *seen;

		if (s != SYM_NONE) {
			assert_true(sv_eq(sym_name(s), key));
			assert_int_equal(sym_find(key), s);
			assert_true((uint32_t)s < sym_end());
		}
		seen = atomic_load_explicit(&published[which], memory_order_acquire);
		if (seen)
			assert_non_null(val_member_sv(seen, key));
		snprintf(name, sizeof(name), "\"%zu", which);
		own = sym_names_add(mine, sv_from(name));
		assert_true(sym_owned(own) && sv_is(sym_name(own), name));
		if (i % 100 == 99)
			mine = (sym_names_free(mine), sym_names_new());
	}
	sym_names_free(mine);
	return NULL;
}

static void *publisher(void *arg)
{
	struct arena *a = arg;

	for (size_t i = 0; i < NAMES; i++) {
		char json[64];

		snprintf(json, sizeof(json), "{\"threadName%zu\":1}", i);
		atomic_store_explicit(&published[i], doc(a, json), memory_order_release);
	}
	return NULL;
}

/* Their names begin in the table of the first ones, and do not end there. */
static void test_threads(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	pthread_t t[THREADS + 1];
	uint32_t end;

	(void)state;
	for (size_t i = 0; sym_end() < SYM_MAX + SYM_INTERN_FIRST - NAMES / 2; i++) {
		char name[32];

		snprintf(name, sizeof(name), "firstName%zu", i);
		assert_int_not_equal(sym_intern(sv_from(name)), SYM_NONE);
	}
	end = sym_end();
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, worker, (void *)(uintptr_t)i), 0);
	assert_int_equal(pthread_create(&t[THREADS], NULL, publisher, &a), 0);
	for (size_t i = 0; i <= THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_true(sym_end() > end && sym_end() <= end + NAMES);
	assert_true(sym_end() > SYM_MAX + SYM_INTERN_FIRST);
	for (uint32_t s = SYM_MAX; s < sym_end(); s++) {
		assert_int_equal(sym_find(sym_name((enum sym)s)), s);
		assert_int_equal(sym_intern(sym_name((enum sym)s)), s);
		assert_int_equal(sym_find_below(sym_name((enum sym)s), s), SYM_NONE);
	}
}

/* Last: afterwards the table is full. */
static void test_full(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sym_names *names = sym_names_new();
	char big[512];
	struct sv long_name = sv_make(big, sizeof(big));
	size_t n = 0;
	enum sym s;

	(void)state;
	memset(big, 'x', sizeof(big));
	for (; n < SYM_INTERN_MAX + 10; n++) {
		char name[32];

		snprintf(name, sizeof(name), "f%zx", n);
		if (sym_intern(sv_from(name)) == SYM_NONE)
			break;
	}
	assert_true(n < SYM_INTERN_MAX + 10);
	assert_true(sym_end() - SYM_MAX <= SYM_INTERN_MAX);
	assert_int_equal(sym_intern(long_name), SYM_NONE);
	assert_int_equal(sym_intern(SV("noRoomForThis")), SYM_NONE);
	assert_int_equal(sym_intern(SV("spec")), F_spec);
	assert_int_not_equal(sym_find(SV("f0")), SYM_NONE);

	s = sym_names_add(names, SV("noRoomForThis"));
	assert_true(sym_owned(s));
	check_forms(&a, map_of(&a, 10, "noRoomForThis", 13), map_of(&a, 10, "noRoomForThis", 13), s,
		    SV("noRoomForThis"));
	for (n = 1;; n++) {
		char name[32];

		snprintf(name, sizeof(name), "owned%zu", n);
		if (sym_names_add(names, sv_from(name)) == SYM_NONE)
			break;
	}
	assert_int_equal(n, SYM_OWNED_MAX);
	assert_int_equal(sym_names_add(names, SV("noRoomForThis")), s);
	sym_names_free(names);
	names = sym_names_new();
	assert_true(sym_owned(sym_names_add(names, SV("owned3"))));
	sym_names_free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intern),		 cmocka_unit_test(test_owned),	 cmocka_unit_test(test_forms),
		cmocka_unit_test(test_repeat_in_decode), cmocka_unit_test(test_threads), cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
