/* Stacks of other threads, and the names in them. */
#include "unit.h"

#include "base/stack.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sleeper {
	atomic_int tid;
	sem_t ready, go;
	bool deaf, busy;
	atomic_bool end;
};

__attribute__((noinline)) static void the_one_that_waits(struct sleeper *s)
{
	atomic_store(&s->tid, (int)syscall(SYS_gettid));
	sem_post(&s->ready);
	while (s->busy && !atomic_load(&s->end))
		;
	sem_wait(&s->go);
	atomic_store(&s->tid, 0); /* no tail call */
}

static void *sleeper_main(void *p)
{
	struct sleeper *s = p;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, STACK_SIGNAL);
	if (s->deaf)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	the_one_that_waits(s);
	return NULL;
}

static size_t ask(struct sleeper *s, void *frames[STACK_FRAMES], int64_t wait_ns)
{
	pthread_t t;
	size_t n;

	sem_init(&s->ready, 0, 0);
	sem_init(&s->go, 0, 0);
	assert_int_equal(pthread_create(&t, NULL, sleeper_main, s), 0);
	while (sem_wait(&s->ready) < 0)
		;
	n = stack_of(atomic_load(&s->tid), frames, wait_ns);
	atomic_store(&s->end, true);
	sem_post(&s->go);
	pthread_join(t, NULL);
	return n;
}

static bool names(void *const *frames, size_t n, const char *what)
{
	char name[STACK_NAME_MAX];

	for (size_t i = 0; i < n; i++)
		if (sv_starts(sv_from(stack_name(frames[i], i > 0, name)), sv_from(what)))
			return true;
	return false;
}

/* The thread sanitizer gives signals on at calls it knows, not where the thread is. */
#ifdef __SANITIZE_THREAD__
#define WHERE 1
#else
#define WHERE 2
#endif

/* In a library's wait, where no frame pointer is kept, and in the middle of our own code. */
static void test_another_threads_stack(void **state)
{
	(void)state;
	for (int busy = 0; busy < WHERE; busy++) {
		struct sleeper s = { .busy = busy };
		void *frames[STACK_FRAMES];
		size_t n = ask(&s, frames, 60 * NS_PER_SEC);

		assert_true(n >= 2);
		assert_true(names(frames, n, "the_one_that_waits+0x"));
		assert_true(names(frames, n, "sleeper_main+0x"));
	}
}

static void test_who_does_not_answer(void **state)
{
	struct sleeper s = { .deaf = true };
	void *frames[STACK_FRAMES];

	(void)state;
	assert_int_equal(ask(&s, frames, NS_PER_MS), 0);
	s = (struct sleeper){ 0 };
	assert_true(ask(&s, frames, 60 * NS_PER_SEC) > 0); /* what is left of the first question harms no other */
	assert_int_equal(stack_of(0x7ffffff0, frames, 60 * NS_PER_SEC), 0); /* there is none with that number */
}

static void test_names(void **state)
{
	char name[STACK_NAME_MAX];

	(void)state;
	assert_string_equal(stack_name((void *)test_names, false, name), "test_names+0x0");
	assert_true(sv_find_sv(sv_from(stack_name((void *)test_names, true, name)), SV("test_names")) < 0);
	assert_true(sv_find_sv(sv_from(stack_name((void *)_cmocka_run_group_tests, false, name)), SV("(")) > 0);
	assert_string_equal(stack_name((void *)16, false, name), "0x10");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_another_threads_stack),
		cmocka_unit_test(test_who_does_not_answer),
		cmocka_unit_test(test_names),
	};

	stack_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
