/* Versions beside the object: kept once, seen by all, counted, gone with it. */
#include "unit.h"

#include "codec/json.h"
#include "object/obj_view.h"

#include <pthread.h>

static struct obj *object(const char *json)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return obj_new(json_decode(&a, sv_from(json), NULL, NULL), 7);
}

#define THREADS 8
#define OBJECTS 200

struct race {
	struct obj *objects[OBJECTS];
	const struct obj *seen[THREADS][OBJECTS];
	pthread_barrier_t start;
};

struct racer {
	struct race *race;
	size_t id;
};

static const char v1, v2, mark;

static void *keep(void *ctx)
{
	struct racer *r = ctx;
	struct obj *got;

	pthread_barrier_wait(&r->race->start);
	for (size_t i = 0; i < OBJECTS; i++) {
		struct obj *o = r->race->objects[i];

		(void)obj_keep_view(o, (i + r->id) % 2 ? &v1 : &v2, object("{\"x\":1}"));
		r->race->seen[r->id][i] = obj_keep_view(o, &v1, object("{\"x\":2}"));
		if (!obj_view(o, &v1, &got) || got != r->race->seen[r->id][i])
			return NULL;
	}
	return r;
}

static void test_race(void **state)
{
	size_t before = obj_view_bytes();
	static struct race race;
	struct racer racers[THREADS];
	pthread_t threads[THREADS];
	void *ok;

	(void)state;
	assert_int_equal(pthread_barrier_init(&race.start, NULL, THREADS), 0);
	for (size_t i = 0; i < OBJECTS; i++)
		race.objects[i] = object("{\"metadata\":{\"name\":\"x\"}}");
	for (size_t i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){ .race = &race, .id = i };
		assert_int_equal(pthread_create(&threads[i], NULL, keep, &racers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &ok), 0);
		assert_non_null(ok);
	}
	for (size_t t = 1; t < THREADS; t++)
		for (size_t i = 0; i < OBJECTS; i++)
			assert_ptr_equal(race.seen[t][i], race.seen[0][i]);
	for (size_t i = 0; i < OBJECTS; i++)
		obj_unref(race.objects[i]);
	assert_int_equal(obj_view_bytes(), before);
	pthread_barrier_destroy(&race.start);
}

/* Views and marks, each by its key. */
static void test_views(void **state)
{
	size_t before = obj_view_bytes();
	struct obj *o = object("{\"metadata\":{\"name\":\"a\"}}"), *view = object("{\"x\":1}"), *got;
	size_t own = obj_bytes(o);

	(void)state;
	assert_false(obj_view(o, &v1, &got));
	assert_ptr_equal(obj_keep_view(o, &v1, view), view);
	assert_null(obj_keep_view(o, &mark, NULL));
	assert_true(obj_view(o, &v1, &got) && got == view);
	assert_true(obj_view(o, &mark, &got) && !got);
	assert_false(obj_view(o, &v2, &got));
	/* Who comes second gets the first one's, and his goes. */
	assert_ptr_equal(obj_keep_view(o, &v1, object("{\"x\":2}")), view);
	assert_true(obj_view_bytes() >= before + obj_bytes(view));
	assert_int_equal(obj_bytes(o), own);
	view = obj_ref(view);
	obj_unref(o);
	assert_int_equal(obj_view_bytes(), before);
	assert_int_equal(val_int_or(val_member_sv(obj_root(view), SV("x")), 0), 1); /* it may outlive the object */
	obj_unref(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_views),
	};

	return cmocka_run_group_tests_name("object/obj_view", tests, NULL, NULL);
}
