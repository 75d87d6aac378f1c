/* The real environment: tasks, timers, threads. */
#include "unit.h"

#include "ev/ev.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int n;
	char order[8];
};

static void gate_init(struct gate *g)
{
	memset(g, 0, sizeof(*g));
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->cond, NULL);
}

static void gate_bump(void *p)
{
	struct gate *g = p;

	pthread_mutex_lock(&g->lock);
	g->n++;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

static void gate_wait(struct gate *g, int n)
{
	pthread_mutex_lock(&g->lock);
	while (g->n < n)
		pthread_cond_wait(&g->cond, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void test_tasks_run_in_parallel(void **state)
{
	struct env *e = env_real_new(4);
	struct gate g;

	(void)state;
	gate_init(&g);
	for (int i = 0; i < 1000; i++)
		env_post(e, gate_bump, &g);
	gate_wait(&g, 1000);
	env_real_free(e);
}

struct pair {
	struct gate mine, *other;
};

/* Waits for its sibling: would hang if both were not running at once. */
static void meet(void *p)
{
	struct pair *m = p;

	gate_bump(m->other);
	gate_wait(&m->mine, 1);
}

static void test_a_blocked_worker_does_not_block_others(void **state)
{
	struct env *e = env_real_new(2);
	struct pair a, b;

	(void)state;
	gate_init(&a.mine);
	gate_init(&b.mine);
	a.other = &b.mine;
	b.other = &a.mine;
	env_post(e, meet, &a);
	env_post(e, meet, &b);
	env_real_free(e); /* runs what is queued first */
	assert_int_equal(a.mine.n, 1);
	assert_int_equal(b.mine.n, 1);
}

static struct gate order;

static void mark(char c)
{
	pthread_mutex_lock(&order.lock);
	order.order[order.n++] = c;
	pthread_cond_broadcast(&order.cond);
	pthread_mutex_unlock(&order.lock);
}

static void mark_a(void *p)
{
	(void)p;
	mark('a');
}

static void mark_b(void *p)
{
	(void)p;
	mark('b');
}

static void never(void *p)
{
	(void)p;
	abort();
}

static void test_timers(void **state)
{
	struct env *e = env_real_new(1);
	struct env_timer *a, *b, *c, *d;

	(void)state;
	gate_init(&order);
	c = env_after(e, 3600 * NS_PER_SEC, never, NULL);
	b = env_after(e, 30 * NS_PER_MS, mark_b, NULL);
	a = env_after(e, NS_PER_MS, mark_a, NULL); /* earlier than the one the thread sleeps for */
	d = env_after(e, 15 * NS_PER_SEC, never, NULL);
	assert_true(env_timer_stop(e, d));
	gate_wait(&order, 2);
	assert_string_equal(order.order, "ab");
	assert_false(env_timer_stop(e, a));
	assert_false(env_timer_stop(e, b));
	assert_null(env_timer_cancel(e, c));
	assert_null(env_timer_cancel(e, NULL));
	env_real_free(e);
}

static void hold(void *p)
{
	struct pair *m = p;

	gate_bump(m->other); /* running */
	gate_wait(&m->mine, 1);
}

static void test_cancel_of_a_due_timer_that_waits_for_a_worker(void **state)
{
	struct env *e = env_real_new(1);
	struct gate running;
	struct pair h = { .other = &running };
	struct env_timer *t;

	(void)state;
	gate_init(&h.mine);
	gate_init(&running);
	env_post(e, hold, &h);
	gate_wait(&running, 1);
	t = env_after(e, 0, never, NULL); /* queued behind it */
	assert_true(env_timer_stop(e, t));
	gate_bump(&h.mine);
	env_real_free(e);
}

static void test_clock_random_thread(void **state)
{
	struct env *e = env_real_new(1);
	unsigned char a[32] = { 0 }, b[32] = { 0 };
	struct gate g;

	(void)state;
	assert_true(env_now_ns(e) > INT64_C(1700000000) * NS_PER_SEC);
	assert_true(env_mono_ns(e) <= env_mono_ns(e));
	env_random(e, a, sizeof(a));
	env_random(e, b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	gate_init(&g);
	assert_int_equal(env_thread(e, "a-rather-long-thread-name", gate_bump, &g), 0);
	gate_wait(&g, 1);
	env_real_free(e);
}

/* Random bytes are kept in stock; a forked child must not give out the same. */
static void test_random_after_fork(void **state)
{
	struct env *e = env_real_new(1);
	uint64_t mine[8], theirs[8];
	int fds[2], status;
	pid_t pid;

	(void)state;
	(void)env_random_u64(e);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (size_t i = 0; i < ARRAY_LEN(theirs); i++)
			theirs[i] = env_random_u64(e);
		_exit(write(fds[1], theirs, sizeof(theirs)) == (ssize_t)sizeof(theirs) ? 0 : 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(mine); i++)
		mine[i] = env_random_u64(e);
	assert_int_equal(read(fds[0], theirs, sizeof(theirs)), sizeof(theirs));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (size_t i = 0; i < ARRAY_LEN(mine); i++)
		for (size_t k = 0; k < ARRAY_LEN(theirs); k++)
			assert_int_not_equal(mine[i], theirs[k]);
	close(fds[0]);
	close(fds[1]);
	env_real_free(e);
}

/* Nor does the stock repeat itself when it is filled again. */
static void test_random_many(void **state)
{
	struct env *e = env_real_new(1);
	unsigned char seen[3000][16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		env_random(e, seen[i], 3 + i % 14);
		memset(seen[i] + 3 + i % 14, 0, sizeof(seen[i]) - 3 - i % 14);
		for (size_t k = i % 14 > 5 ? 0 : i; k < i; k++) /* eight random bytes and more: never twice */
			assert_memory_not_equal(seen[i], seen[k], sizeof(seen[i]));
	}
	env_real_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tasks_run_in_parallel),
		cmocka_unit_test(test_a_blocked_worker_does_not_block_others),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_cancel_of_a_due_timer_that_waits_for_a_worker),
		cmocka_unit_test(test_clock_random_thread),
		cmocka_unit_test(test_random_after_fork),
		cmocka_unit_test(test_random_many),
	};

	return cmocka_run_group_tests_name("ev/env", tests, NULL, NULL);
}
