/* The pool for requests: fair between users, bounded, and empty at its end. */
#include "unit.h"

#include "apiserver/run_queue.h"
#include "ev/ev.h"
#include "sim/env_sim.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
	struct run_item item;
	struct ran *in;
	int id;
};

struct ran {
	struct job jobs[RUN_USER_MAX + 64];
	int order[RUN_USER_MAX + 64];
	int n;
};

static void run(struct run_item *item)
{
	struct job *j = CONTAINER_OF(item, struct job, item);

	j->in->order[j->in->n++] = j->id;
}

static bool push(struct run_queue *rq, struct ran *r, int id, const char *user, size_t bytes, bool must)
{
	r->jobs[id].in = r;
	r->jobs[id].id = id;
	return run_queue_push(rq, &r->jobs[id].item, sv_from(user), bytes, run, must);
}

/* Who comes last with one request is served second, not last. */
static void test_fair(void **state)
{
	struct env *env = env_sim_new(1, 0, false);
	struct run_queue *rq = run_queue_new(env);
	struct ran *r = xcalloc(1, sizeof(*r));

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(push(rq, r, i, "many", 0, false));
	assert_true(push(rq, r, 1000, "one", 0, false));
	assert_true(push(rq, r, 1001, "two", 0, false));
	assert_int_equal(run_queue_waiting(rq), 1002);
	(void)env_sim_run(env, 0);
	assert_int_equal(r->n, 1002);
	assert_int_equal(r->order[1], 1000);
	assert_int_equal(r->order[2], 1001);
	/* Of one user in their order. */
	assert_int_equal(r->order[0], 0);
	for (int i = 3; i < r->n; i++)
		assert_int_equal(r->order[i], i - 2);
	/* Nothing wakes up when there is nothing to do. */
	(void)env_sim_run(env, NS_PER_SEC);
	assert_int_equal(env_sim_run(env, 3600 * NS_PER_SEC), 0);
	run_queue_free(rq);
	env_sim_free(env);
	free(r);
}

static void test_bounded(void **state)
{
	struct env *env = env_sim_new(1, 0, false);
	struct run_queue *rq = run_queue_new(env);
	struct ran *r = xcalloc(1, sizeof(*r));

	(void)state;
	for (int i = 0; i < RUN_USER_MAX; i++)
		assert_true(push(rq, r, i, "many", 0, false));
	assert_false(push(rq, r, RUN_USER_MAX, "many", 0, false));
	assert_true(push(rq, r, RUN_USER_MAX + 1, "many", 0, true)); /* it has begun */
	assert_true(push(rq, r, RUN_USER_MAX + 2, "other", RUN_USER_BYTES_MAX, false));
	assert_false(push(rq, r, RUN_USER_MAX + 3, "other", 1, false));
	(void)env_sim_run(env, 0);
	assert_int_equal(r->n, RUN_USER_MAX + 2);
	assert_true(push(rq, r, RUN_USER_MAX + 3, "other", 1, false));
	run_queue_free(rq); /* runs it */
	assert_int_equal(r->n, RUN_USER_MAX + 3);
	(void)env_sim_run(env, 0);
	env_sim_free(env);
	free(r);
}

/* Many users come and go: what is kept of them is bounded, and all are served. */
static void test_many_users(void **state)
{
	struct env *env = env_sim_new(1, 0, false);
	struct run_queue *rq = run_queue_new(env);
	struct ran *r = xcalloc(1, sizeof(*r));
	char user[24];

	(void)state;
	for (int i = 0; i < 4000; i++) {
		(void)snprintf(user, sizeof(user), "user-%d", i);
		assert_true(push(rq, r, i, user, 10, false));
		if (i % 7 == 0)
			(void)env_sim_run(env, 0);
	}
	(void)env_sim_run(env, 0);
	assert_int_equal(r->n, 4000);
	run_queue_free(rq);
	env_sim_free(env);
	free(r);
}

/* --- what runs takes its time --- */

static struct env_ops slow_ops;
static const struct env_ops *sim_ops;
static int64_t worked_ns;

static int64_t slow_mono_ns(struct env *e)
{
	return sim_ops->mono_ns(e) + worked_ns;
}

static void run_slowly(struct run_item *item)
{
	worked_ns += 5 * NS_PER_MS;
	run(item);
}

static void look(void *ctx)
{
	struct ran *r = ctx;

	r->order[RUN_USER_MAX] = r->n;
}

/* A runner that has much to do is one of the class's tasks, and others come between. */
static void test_turns(void **state)
{
	struct env *env = env_sim_new(1, 0, false);
	struct run_queue *rq = run_queue_new(env);
	struct ran *r = xcalloc(1, sizeof(*r));

	(void)state;
	sim_ops = env->ops;
	slow_ops = *env->ops;
	slow_ops.mono_ns = slow_mono_ns;
	env->ops = &slow_ops;
	worked_ns = 0;
	for (int i = 0; i < 100; i++) {
		r->jobs[i].in = r;
		r->jobs[i].id = i;
		assert_true(run_queue_push(rq, &r->jobs[i].item, SV("many"), 0, run_slowly, false));
	}
	env_post(env, ENV_REQUESTS, look, r);
	(void)env_sim_run(env, 0);
	assert_int_equal(r->n, 100);
	assert_in_range(r->order[RUN_USER_MAX], 1, 10);
	run_queue_free(rq);
	env_sim_free(env);
	free(r);
}

/* --- real threads --- */

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool open;
	int inside, most, done;
};

struct visitor {
	struct run_item item;
	struct gate *gate;
	bool slow;
};

static void visit(struct run_item *item)
{
	struct visitor *v = CONTAINER_OF(item, struct visitor, item);
	struct gate *g = v->gate;

	pthread_mutex_lock(&g->lock);
	if (v->slow) {
		g->inside++;
		g->most = MAX(g->most, g->inside);
		pthread_cond_broadcast(&g->cond);
		while (!g->open)
			pthread_cond_wait(&g->cond, &g->lock);
		g->inside--;
	} else {
		g->done++;
		pthread_cond_broadcast(&g->cond);
	}
	pthread_mutex_unlock(&g->lock);
	free(v);
}

static void enter(struct run_queue *rq, struct gate *g, const char *user, bool slow)
{
	struct visitor *v = xcalloc(1, sizeof(*v));

	v->gate = g;
	v->slow = slow;
	assert_true(run_queue_push(rq, &v->item, sv_from(user), 0, visit, false));
}

static void wait_for(struct gate *g, const int *what, int n)
{
	pthread_mutex_lock(&g->lock);
	while (*what < n)
		pthread_cond_wait(&g->cond, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

/* A user with a thousand requests that hang has all the runners he may have, and others are served. */
static void test_slow_user(void **state)
{
	struct env *env = env_real_new(0);
	struct run_queue *rq = run_queue_new(env);
	struct gate g = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

	(void)state;
	for (int i = 0; i < 1000; i++)
		enter(rq, &g, "slow", true);
	wait_for(&g, &g.inside, RUN_USER_RUNNERS);
	for (int i = 0; i < 100; i++) {
		enter(rq, &g, "quick", false);
		if (i % 10 == 0)
			wait_for(&g, &g.done, i + 1);
	}
	wait_for(&g, &g.done, 100);
	pthread_mutex_lock(&g.lock);
	assert_int_equal(g.most, RUN_USER_RUNNERS);
	g.open = true;
	pthread_cond_broadcast(&g.cond);
	pthread_mutex_unlock(&g.lock);
	run_queue_free(rq);
	assert_int_equal(g.inside, 0);
	env_real_free(env);
}

struct pusher {
	struct run_queue *rq;
	struct gate *gate;
	int id;
};

static void *push_many(void *ctx)
{
	struct pusher *p = ctx;
	char user[24];

	for (int i = 0; i < 2000; i++) {
		(void)snprintf(user, sizeof(user), "u%d", (p->id * 7 + i) % 50);
		enter(p->rq, p->gate, user, false);
	}
	return NULL;
}

/* Many threads push; the end comes while much is queued, and none is lost. */
static void test_stop(void **state)
{
	struct env *env = env_real_new(0);
	struct run_queue *rq = run_queue_new(env);
	struct gate g = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct pusher p[4];
	pthread_t t[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		p[i] = (struct pusher){ rq, &g, i };
		assert_int_equal(pthread_create(&t[i], NULL, push_many, &p[i]), 0);
	}
	run_queue_stop(rq);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	run_queue_free(rq);
	assert_int_equal(g.done, 8000);
	env_real_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fair),  cmocka_unit_test(test_bounded),	cmocka_unit_test(test_many_users),
		cmocka_unit_test(test_turns), cmocka_unit_test(test_slow_user), cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
