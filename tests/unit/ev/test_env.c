/* The real environment: tasks, timers, threads. */
#include "unit.h"

#include "ev/ev.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
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
		env_post(e, ENV_CONTROL, gate_bump, &g);
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
	env_post(e, ENV_CONTROL, meet, &a);
	env_post(e, ENV_CONTROL, meet, &b);
	env_real_free(e); /* runs what is queued first */
	assert_int_equal(a.mine.n, 1);
	assert_int_equal(b.mine.n, 1);
}

struct chain {
	struct env *env;
	struct gate gate;
	pthread_t first;
	int left, elsewhere;
};

static void chain_link(void *p)
{
	struct chain *c = p;

	if (!c->left)
		c->first = pthread_self();
	else
		c->elsewhere += !pthread_equal(c->first, pthread_self());
	if (++c->left < 100)
		env_post_next(c->env, ENV_CONTROL, chain_link, c);
	else
		gate_bump(&c->gate);
}

static void chain_fork(void *p)
{
	struct chain *c = p;

	/* One is taken by this thread, others have to be woken for the rest, of another class, too. */
	for (int i = 0; i < 3; i++)
		env_post_next(c->env, ENV_CONTROL, gate_bump, &c->gate);
	env_post_next(c->env, ENV_NODE, gate_bump, &c->gate);
	gate_wait(&c->gate, 3);
}

static void all_idle(struct env *e)
{
	struct env_class_stats s = env_stats(e, ENV_CONTROL);

	for (; s.idle < s.threads || s.queued; s = env_stats(e, ENV_CONTROL))
		sched_yield();
}

static void test_who_ends_takes_the_next(void **state)
{
	struct env *e = env_real_new(4);
	struct chain c = { .env = e };

	(void)state;
	gate_init(&c.gate);
	/* Others are there, and have nothing to do. */
	for (int i = 0; i < 8; i++)
		env_post(e, ENV_CONTROL, gate_bump, &c.gate);
	gate_wait(&c.gate, 8);
	c.gate.n = 0;
	all_idle(e);
	env_post(e, ENV_CONTROL, chain_link, &c);
	gate_wait(&c.gate, 1);
	assert_int_equal(c.left, 100);
	assert_int_equal(c.elsewhere, 0);
	c.gate.n = 0;
	env_post(e, ENV_CONTROL, chain_fork, &c);
	gate_wait(&c.gate, 4);
	/* Not from a task: as any other. */
	env_post_next(e, ENV_CONTROL, gate_bump, &c.gate);
	gate_wait(&c.gate, 5);
	env_real_free(e);
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
	c = env_after(e, ENV_CONTROL, 3600 * NS_PER_SEC, never, NULL);
	b = env_after(e, ENV_CONTROL, 30 * NS_PER_MS, mark_b, NULL);
	a = env_after(e, ENV_CONTROL, NS_PER_MS, mark_a, NULL); /* earlier than the one the thread sleeps for */
	d = env_after(e, ENV_CONTROL, 15 * NS_PER_SEC, never, NULL);
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
	env_post(e, ENV_CONTROL, hold, &h);
	gate_wait(&running, 1);
	t = env_after(e, ENV_CONTROL, 0, never, NULL); /* queued behind it */
	assert_true(env_timer_stop(e, t));
	gate_bump(&h.mine);
	env_real_free(e);
}

/* --- classes --- */

#define EACH 2 /* threads a class */

struct blocker {
	struct gate running, go, done;
};

static void blocker_task(void *p)
{
	struct blocker *b = p;

	gate_bump(&b->running);
	gate_wait(&b->go, 1);
	gate_bump(&b->done);
}

/* One more than it has threads. */
static void block(struct env *e, struct blocker *b, enum env_class c)
{
	gate_init(&b->running);
	gate_init(&b->go);
	gate_init(&b->done);
	for (int i = 0; i < EACH + 1; i++)
		env_post(e, c, blocker_task, b);
	gate_wait(&b->running, EACH);
}

/* Of all classes but the held one: tasks, timers, and timers that fire at once; more of them than there are threads. */
static void others_go_on(struct env *e, enum env_class held)
{
	struct env_timer *t[ENV_CLASSES + 1][2 * EACH], *due;

	for (enum env_class c = 0; c <= ENV_TIMERS; c++) {
		struct gate g;

		if (c == held)
			continue;
		gate_init(&g);
		for (int i = 0; i < 2 * EACH; i++) {
			if (c < ENV_CLASSES)
				env_post(e, c, gate_bump, &g);
			t[c][i] = env_after(e, c, i % 2 * NS_PER_MS, gate_bump, &g);
		}
		gate_wait(&g, (c < ENV_CLASSES ? 4 : 2) * EACH);
		for (int i = 0; i < 2 * EACH; i++)
			assert_false(env_timer_stop(e, t[c][i]));
	}
	if (held < ENV_CLASSES) {
		due = env_after(e, held, 0, never, NULL);
		assert_true(env_timer_stop(e, due));
	}
}

static void test_a_blocked_class_stops_no_other(void **state)
{
	(void)state;
	for (enum env_class held = 0; held < ENV_CLASSES; held++) {
		struct env *e = env_real_new(EACH);
		struct env_class_stats s;
		struct blocker b;

		block(e, &b, held);
		others_go_on(e, held);
		s = env_stats(e, held);
		assert_int_equal(s.threads, EACH);
		assert_int_equal(s.idle, 0);
		assert_true(s.queued >= 1);
		assert_int_equal(b.running.n, EACH); /* the third waits */
		gate_bump(&b.go);
		env_real_free(e);
		assert_int_equal(b.done.n, EACH + 1);
	}
}

static void test_timers_fire_while_every_class_is_blocked(void **state)
{
	struct env *e = env_real_new(EACH);
	struct blocker b[ENV_CLASSES];
	struct env_timer *t[2];
	struct gate g;

	(void)state;
	for (enum env_class c = 0; c < ENV_CLASSES; c++)
		block(e, &b[c], c);
	gate_init(&g);
	t[0] = env_after(e, ENV_TIMERS, 0, gate_bump, &g);
	t[1] = env_after(e, ENV_TIMERS, NS_PER_MS, gate_bump, &g);
	gate_wait(&g, 2);
	assert_false(env_timer_stop(e, t[0]));
	assert_false(env_timer_stop(e, t[1]));
	for (enum env_class c = 0; c < ENV_CLASSES; c++)
		gate_bump(&b[c].go);
	env_real_free(e);
	for (enum env_class c = 0; c < ENV_CLASSES; c++)
		assert_int_equal(b[c].done.n, EACH + 1);
}

/* A timer that runs on the clock's thread is let go of by itself, and starts the next one. */
static struct again {
	struct env *e;
	struct gate g;
	struct env_timer *t;
	pthread_mutex_t lock;
} again;

static void again_fired(void *p)
{
	pthread_mutex_lock(&again.lock);
	again.t = env_timer_cancel(again.e, again.t);
	if (p)
		again.t = env_after(again.e, ENV_TIMERS, 0, again_fired, NULL);
	pthread_mutex_unlock(&again.lock);
	gate_bump(&again.g);
}

static void test_a_timer_lets_go_of_itself(void **state)
{
	(void)state;
	again.e = env_real_new(1);
	pthread_mutex_init(&again.lock, NULL);
	gate_init(&again.g);
	pthread_mutex_lock(&again.lock);
	again.t = env_after(again.e, ENV_TIMERS, NS_PER_MS, again_fired, &again);
	pthread_mutex_unlock(&again.lock);
	gate_wait(&again.g, 2);
	env_real_free(again.e);
	assert_null(again.t);
}

static void test_a_class_keeps_the_order(void **state)
{
	struct env *e = env_real_new(1);
	struct gate running;
	struct pair h = { .other = &running };

	(void)state;
	gate_init(&h.mine);
	gate_init(&running);
	gate_init(&order);
	env_post(e, ENV_NODE, hold, &h);
	gate_wait(&running, 1);
	env_post(e, ENV_NODE, mark_a, NULL);
	env_post(e, ENV_NODE, mark_b, NULL);
	env_post(e, ENV_NODE, mark_a, NULL);
	gate_bump(&h.mine);
	gate_wait(&order, 3);
	env_real_free(e);
	assert_string_equal(order.order, "aba");
}

/* Threads that are not needed end, but for one, which does the next work. */
static void test_idle_threads_end(void **state)
{
	struct env *e = env_real_new(EACH);
	struct blocker b;
	struct gate g;

	(void)state;
	env_real_set_idle(e, NS_PER_MS);
	for (int round = 0; round < 3; round++) {
		block(e, &b, ENV_SLOW);
		assert_int_equal(env_stats(e, ENV_SLOW).threads, EACH);
		gate_bump(&b.go);
		gate_wait(&b.done, EACH + 1);
		for (struct env_class_stats s = { .threads = EACH }; s.threads > 1 || s.idle < 1;
		     s = env_stats(e, ENV_SLOW))
			usleep(1000);
		gate_init(&g);
		env_post(e, ENV_SLOW, gate_bump, &g);
		gate_wait(&g, 1);
		assert_int_equal(env_stats(e, ENV_SLOW).threads, 1);
		assert_int_equal(env_stats(e, ENV_NODE).threads, 0); /* never had work */
	}
	env_real_free(e);
}

struct stack_seen {
	struct gate go, done;
	pthread_mutex_t lock;
	char *page[EACH];
	int n;
};

static void see_stack(void *p)
{
	struct stack_seen *s = p;
	char here;

	pthread_mutex_lock(&s->lock);
	s->page[s->n++] = (char *)((uintptr_t)&here & ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1));
	pthread_mutex_unlock(&s->lock);
	gate_bump(&s->done);
	gate_wait(&s->go, 1);
}

/* Of threads that ended no stack stays in memory, but for that of the last one until another ends. */
static void test_stacks_go(void **state)
{
	struct env *e = env_real_new(EACH);
	struct stack_seen s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	unsigned char in;
	int there = 0;

	(void)state;
	gate_init(&s.go);
	gate_init(&s.done);
	env_real_set_idle(e, NS_PER_MS);
	for (int i = 0; i < EACH; i++)
		env_post(e, ENV_SLOW, see_stack, &s);
	gate_wait(&s.done, EACH);
	gate_bump(&s.go);
	do {
		usleep(1000);
		there = 0;
		for (int i = 0; i < EACH; i++)
			there += mincore(s.page[i], 1, &in) == 0;
	} while (there > 2); /* of the thread that stays, and of the last that ended */
	env_real_free(e);
	for (int i = 0; i < EACH; i++)
		assert_true(mincore(s.page[i], 1, &in) < 0 && errno == ENOMEM);
}

struct posting {
	struct env *e;
	struct gate go, ran;
};

static void post_to_each(void *p)
{
	struct posting *m = p;

	gate_wait(&m->go, 1);
	for (enum env_class c = 0; c < ENV_CLASSES; c++)
		env_post(m->e, c, gate_bump, &m->ran);
}

/* The end waits for all classes, also for what the last tasks of one post to another. */
static void test_the_end_runs_what_is_queued(void **state)
{
	struct posting m = { .e = env_real_new(1) };

	(void)state;
	gate_init(&m.go);
	gate_init(&m.ran);
	for (enum env_class c = 0; c < ENV_CLASSES; c++)
		env_post(m.e, c, post_to_each, &m);
	gate_bump(&m.go);
	env_real_free(m.e);
	assert_int_equal(m.ran.n, ENV_CLASSES * ENV_CLASSES);
}

static void test_server_numbers(void **state)
{
	struct env *e = env_real_new(0);

	(void)state;
	assert_int_equal(env_stats(e, ENV_REQUESTS).max_threads, 8);
	assert_int_equal(env_stats(e, ENV_CONTROL).max_threads, 16);
	assert_int_equal(env_stats(e, ENV_NODE).max_threads, 24);
	assert_int_equal(env_stats(e, ENV_SLOW).max_threads, 32);
	assert_int_equal(env_stats(e, ENV_KEYS).max_threads, 4);
	assert_string_equal(env_class_name(ENV_SLOW), "slow");
	assert_string_equal(env_class_name(ENV_KEYS), "keys");
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
		cmocka_unit_test(test_who_ends_takes_the_next),
		cmocka_unit_test(test_a_blocked_worker_does_not_block_others),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_cancel_of_a_due_timer_that_waits_for_a_worker),
		cmocka_unit_test(test_a_blocked_class_stops_no_other),
		cmocka_unit_test(test_timers_fire_while_every_class_is_blocked),
		cmocka_unit_test(test_a_timer_lets_go_of_itself),
		cmocka_unit_test(test_a_class_keeps_the_order),
		cmocka_unit_test(test_idle_threads_end),
		cmocka_unit_test(test_stacks_go),
		cmocka_unit_test(test_the_end_runs_what_is_queued),
		cmocka_unit_test(test_server_numbers),
		cmocka_unit_test(test_clock_random_thread),
		cmocka_unit_test(test_random_after_fork),
		cmocka_unit_test(test_random_many),
	};

	return cmocka_run_group_tests_name("ev/env", tests, NULL, NULL);
}
