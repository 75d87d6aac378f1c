/* What was encoded a moment ago: found by all it names, bounded by number and bytes, and outlived by who holds it. */
#include "unit.h"

#include "apiserver/recent.h"
#include "codec/json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct obj *object(size_t bytes)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char *fill = arena_alloc(&a, bytes + 1);
	struct val *v = val_new_map(&a);

	memset(fill, 'x', bytes);
	val_set_str(&a, v, F_data, sv_make(fill, bytes));
	return obj_new(v, 1);
}

static struct recent_bytes *put(struct recent *r, const struct recent_key *k, const char *text)
{
	size_t n = strlen(text);
	char *copy = xmalloc(n + 1);

	memcpy(copy, text, n + 1);
	return recent_add(r, k, copy, n);
}

static bool has(struct recent *r, const struct recent_key *k, const char *text)
{
	struct recent_bytes *b = recent_find(r, k);
	bool same = b && sv_is(recent_sv(b), text);

	recent_unref(b);
	return same;
}

static void test_found(void **state)
{
	struct recent *r = recent_new();
	struct obj *o = object(10), *other = object(10);
	struct recent_key k = { .o = o, .media = "m", .form = "f", .event = 1 }, near;
	struct recent_bytes *held;

	(void)state;
	assert_null(recent_find(r, &k));
	held = put(r, &k, "bytes");
	assert_true(has(r, &k, "bytes"));
	for (int i = 0; i < 4; i++) {
		near = k;
		if (i == 0)
			near.o = other;
		else if (i == 1)
			near.media = "another";
		else if (i == 2)
			near.form = NULL;
		else
			near.event = 2;
		assert_null(recent_find(r, &near));
	}
	obj_unref(o); /* the set has its own */
	assert_true(has(r, &k, "bytes"));
	recent_free(r);
	assert_sv(recent_sv(held), "bytes");
	recent_unref(held);
	obj_unref(other);
}

static void test_bounded(void **state)
{
	struct recent *r = recent_new();
	struct obj *small = object(10), *large = object(RECENT_BYTES), *half = object(RECENT_BYTES / 2);
	struct recent_key k = { .o = small };

	(void)state;
	for (int i = 0; i < 3 * RECENT_MAX; i++) {
		k.event = i;
		recent_unref(put(r, &k, "x"));
		k.event = i - RECENT_MAX;
		assert_null(recent_find(r, &k));
		k.event = MAX(0, i - RECENT_MAX + 1);
		assert_true(has(r, &k, "x"));
	}
	/* One that is larger than all may be is there alone, and goes for the next. */
	recent_unref(put(r, &(struct recent_key){ .o = large }, "large"));
	assert_true(has(r, &(struct recent_key){ .o = large }, "large"));
	assert_null(recent_find(r, &k));
	recent_unref(put(r, &(struct recent_key){ .o = half }, "1"));
	assert_null(recent_find(r, &(struct recent_key){ .o = large }));
	recent_unref(put(r, &k, "x"));
	assert_true(has(r, &(struct recent_key){ .o = half }, "1"));
	recent_free(r);
	obj_unref(small);
	obj_unref(large);
	obj_unref(half);
}

static void *work(void *ctx)
{
	struct recent *r = ctx;
	struct obj *objects[8];
	char text[8];

	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		objects[i] = object(i);
	for (int i = 0; i < 5000; i++) {
		struct recent_key k = { .o = objects[i % 8], .event = i % 5 };
		struct recent_bytes *b = recent_find(r, &k);

		(void)snprintf(text, sizeof(text), "%d", i % 5);
		if (!b)
			b = put(r, &k, text);
		if (!sv_is(recent_sv(b), text))
			return NULL;
		recent_unref(b);
	}
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		obj_unref(objects[i]);
	return ctx;
}

static void test_threads(void **state)
{
	struct recent *r = recent_new();
	pthread_t threads[4];
	void *ok;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, r), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &ok), 0);
		assert_non_null(ok);
	}
	recent_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("apiserver/recent", tests, NULL, NULL);
}
