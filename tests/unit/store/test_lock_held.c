/* How much is done while all writers wait: steps between taking the store's lock and giving it back (costs.h). */
#include "store_kit.h"

#include "base/costs.h"

int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);

static _Thread_local uint64_t began, most; /* of any lock of this thread */

static uint64_t steps(void)
{
#ifdef CARAVEL_COUNT_COSTS
	return costs;
#else
	return 0;
#endif
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	int r = __real_pthread_mutex_lock(m);

	began = steps();
	return r;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
	most = MAX(most, steps() - began);
	return __real_pthread_mutex_unlock(m);
}

static struct store *open_disk(const char *dir, struct err *err)
{
	return store_disk_open(&thread_env, dir, (size_t)1 << 30, err);
}

static const struct backend backend = { "disk", true, open_disk, false, NULL };

static int setup(void **state)
{
	return kit_setup(state, &backend);
}

static int count_kv(const struct store_kv *kv, void *ctx)
{
	(void)kv;
	++*(size_t *)ctx;
	return 0;
}

/* Ranges of none, of a few and of all of what was written last, each key twice. */
static void test_ranges(void **state)
{
	enum { KEYS = 3000, STEPS = 1000 };
	static const struct {
		const char *from, *to;
		size_t n;
	} ranges[] = { { "/r/0077/", "/r/00770", 0 }, { "/r/1000", "/r/1010", 10 }, { "/r/", "/r0", KEYS } };
	struct kit *k = *state;
	struct flight f = FLIGHT_INIT;
	char key[32];

	for (int i = 0; i < 2 * KEYS; i++) {
		struct store_write w = { .expect_rev = STORE_ANY_REV, .value = SV("v") };

		w.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "/r/%04d", i * 7 % KEYS));
		flight_commit(&f, k->s, &w);
	}
	flight_wait(&f, 0);
	assert_int_equal(f.ok, 2 * KEYS);
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		struct err err = ERR_INIT;
		size_t n = 0;

		most = 0;
		assert_int_equal(
		    store_range(k->s, sv_from(ranges[i].from), sv_from(ranges[i].to), 0, 0, count_kv, &n, NULL, &err),
		    0);
		assert_int_equal(n, ranges[i].n);
		assert_in_range(most, 0, STEPS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ranges, setup, kit_teardown),
	};

	return cmocka_run_group_tests_name("lock_held", tests, NULL, NULL);
}
