/* Encodings beside the JSON: made once, seen by all, counted, gone with the object. */
#include "unit.h"

#include "codec/json.h"
#include "object/obj_encoding.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_int made;

/* Toys: the name twice, and nothing of objects without a name. */
static bool twice(struct buf *b, const struct obj *o)
{
	atomic_fetch_add(&made, 1);
	buf_addsv(b, obj_name(o));
	buf_addsv(b, obj_name(o));
	return obj_name(o).n != 0;
}

static bool nothing(struct buf *b, const struct obj *o)
{
	(void)b;
	(void)o;
	return true;
}

static const struct obj_encoding TWICE = { "twice", twice }, NOTHING = { "nothing", nothing };

static struct obj *object(const char *json)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return obj_new(json_decode(&a, sv_from(json), NULL, NULL), 7);
}

static void test_made_once(void **state)
{
	size_t before = obj_encoded_bytes(), own;
	struct obj *o = object("{\"metadata\":{\"name\":\"ab\"}}");
	struct sv first, again, other;

	(void)state;
	atomic_store(&made, 0);
	own = obj_bytes(o);
	assert_true(obj_encoded(o, &TWICE, &first));
	assert_true(obj_encoded(o, &NOTHING, &other));
	assert_true(obj_encoded(o, &TWICE, &again));
	assert_true(sv_is(first, "abab"));
	assert_ptr_equal(first.p, again.p);
	assert_int_equal(other.n, 0);
	assert_int_equal(atomic_load(&made), 1);
	assert_true(obj_encoded_bytes() > before);
	assert_int_equal(obj_bytes(o), own);
	obj_unref(o);
	assert_int_equal(obj_encoded_bytes(), before);
}

static void test_refused(void **state)
{
	size_t before = obj_encoded_bytes();
	_cleanup_obj_ struct obj *o = object("{}");
	struct sv text;

	(void)state;
	assert_false(obj_encoded(o, &TWICE, &text));
	assert_int_equal(obj_encoded_bytes(), before);
}

#define THREADS 8
#define OBJECTS 200

struct race {
	struct obj *objects[OBJECTS];
	const char *seen[THREADS][OBJECTS];
	pthread_barrier_t start;
};

struct racer {
	struct race *race;
	size_t id;
};

static void *ask(void *ctx)
{
	struct racer *r = ctx;
	struct sv text;

	pthread_barrier_wait(&r->race->start);
	for (size_t i = 0; i < OBJECTS; i++) {
		const struct obj_encoding *first = (i + r->id) % 2 ? &TWICE : &NOTHING;

		if (!obj_encoded(r->race->objects[i], first, &text) ||
		    !obj_encoded(r->race->objects[i], &TWICE, &text) || !sv_is(text, "xx"))
			return NULL;
		r->race->seen[r->id][i] = text.p;
	}
	return r;
}

static void test_race(void **state)
{
	size_t before = obj_encoded_bytes();
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
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &racers[i]), 0);
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
	assert_int_equal(obj_encoded_bytes(), before);
	pthread_barrier_destroy(&race.start);
}

/* Views and marks beside the encodings, each by its key. */
static void test_views(void **state)
{
	static const char v1, v2, mark;
	size_t before = obj_encoded_bytes();
	struct obj *o = object("{\"metadata\":{\"name\":\"a\"}}"), *view = object("{\"x\":1}"), *got;
	struct sv text;

	(void)state;
	assert_false(obj_view(o, &v1, &got));
	assert_ptr_equal(obj_keep_view(o, &v1, view), view);
	assert_true(obj_encoded(o, &TWICE, &text));
	assert_null(obj_keep_view(o, &mark, NULL));
	assert_true(obj_view(o, &v1, &got) && got == view);
	assert_true(obj_view(o, &mark, &got) && !got);
	assert_false(obj_view(o, &v2, &got));
	/* Who comes second gets the first one's, and his goes. */
	assert_ptr_equal(obj_keep_view(o, &v1, object("{\"x\":2}")), view);
	assert_true(obj_encoded_bytes() >= before + obj_bytes(view));
	view = obj_ref(view);
	obj_unref(o);
	assert_int_equal(obj_encoded_bytes(), before);
	assert_int_equal(val_int_or(val_member_sv(obj_root(view), SV("x")), 0), 1); /* it may outlive the object */
	obj_unref(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_once),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
