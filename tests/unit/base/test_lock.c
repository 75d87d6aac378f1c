/* A lock that was waited for is known, with how often; one that nobody waited for is not. */
#include "unit.h"

#include "base/lock.h"

#include <sched.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static struct lock_site sites[] = { { .name = "mutex" }, { .name = "read" }, { .name = "write" }, { .name = "idle" } };

static void *waits(void *which)
{
	switch ((intptr_t)which) {
	case 0:
		lock_mutex(&mutex, &sites[0]);
		pthread_mutex_unlock(&mutex);
		break;
	case 1:
		lock_read(&rwlock, &sites[1]);
		pthread_rwlock_unlock(&rwlock);
		break;
	default:
		lock_write(&rwlock, &sites[2]);
		pthread_rwlock_unlock(&rwlock);
		break;
	}
	return NULL;
}

static void count(const struct lock_site *s, void *ctx)
{
	for (size_t i = 0; i < ARRAY_LEN(sites); i++)
		((int *)ctx)[i] += s == &sites[i];
}

static void test_waits(void **state)
{
	int known[ARRAY_LEN(sites)] = { 0 };

	(void)state;
	lock_mutex(&mutex, &sites[3]); /* at once: nobody has it */
	pthread_mutex_unlock(&mutex);
	for (intptr_t which = 0; which < 3; which++)
		for (int times = 1; times <= 2; times++) {
			struct lock_site *s = &sites[which];
			pthread_t t;

			lock_mutex(&mutex, &sites[3]);
			lock_write(&rwlock, &sites[3]);
			assert_int_equal(pthread_create(&t, NULL, waits, (void *)which), 0);
			while (!atomic_load(&s->waiting))
				sched_yield();
			pthread_rwlock_unlock(&rwlock);
			pthread_mutex_unlock(&mutex);
			pthread_join(t, NULL);
			assert_int_equal(atomic_load(&s->waits), times);
			assert_int_equal(atomic_load(&s->waiting), 0);
			assert_true(atomic_load(&s->longest_ns) > 0);
			assert_true(atomic_load(&s->total_ns) >= atomic_load(&s->longest_ns));
		}
	lock_each(count, known);
	for (size_t i = 0; i < ARRAY_LEN(sites); i++)
		assert_int_equal(known[i], i < 3); /* each once */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_waits) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
