#include "unit.h"

#include "base/log.h"
#include "client/workq.h"
#include "ev/ev.h"
#include "sim/env_sim.h"

#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct world {
	struct env *env;
	struct workq *q;
	int runs, fail_first, in_progress;
	bool terminating;
	bool overlap, ready;
	int64_t after_ns, last_ns;
	struct sv readd;
};

static int reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct world *w = ctx;

	(void)key;
	w->overlap |= w->in_progress++ > 0;
	w->runs++;
	w->last_ns = env_mono_ns(w->env);
	if (w->readd.n) {
		struct sv k = w->readd;

		w->readd = SV_NULL;
		workq_add(w->q, k);
	}
	ret->after_ns = w->after_ns;
	w->after_ns = 0;
	w->in_progress--;
	if (w->terminating) {
		err_set(err, ERR_FORBIDDEN, "going");
		return err_add_cause(err, "NamespaceTerminating", SV("metadata.namespace"), "going");
	}
	if (w->runs <= w->fail_first)
		return err_set(err, ERR_CONFLICT, "not yet");
	return 0;
}

static bool is_ready(void *ctx)
{
	return ((struct world *)ctx)->ready;
}

static struct workq *make(struct world *w)
{
	w->env = env_sim_new(1, 0, true);
	w->q = workq_new(w->env,
			 &(struct workq_opts){ .name = "test", .reconcile = reconcile, .ctx = w, .ready = is_ready });
	return w->q;
}

static void unmake(struct world *w)
{
	w->q = workq_free(w->q);
	env_sim_run(w->env, NS_PER_SEC);
	env_sim_free(w->env);
}

static void test_folds_and_waits_for_ready(void **state)
{
	struct world w = { 0 };
	struct workq *q = make(&w);

	(void)state;
	for (int i = 0; i < 10; i++)
		workq_add(q, SV("a"));
	workq_add(q, SV("b"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.runs, 0);
	w.ready = true;
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.runs, 2);
	assert_int_equal(workq_len(q), 0);
	unmake(&w);
}

static void test_added_while_running(void **state)
{
	struct world w = { .ready = true, .readd = SV("a") };
	struct workq *q = make(&w);

	(void)state;
	workq_add(q, SV("a"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.runs, 2);
	assert_false(w.overlap);
	unmake(&w);
}

static enum err_reason failing;
static int warned;

static int fails(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	(void)ctx;
	(void)key;
	(void)ret;
	return err_set(err, failing, "no");
}

static void count_warnings(struct sv line, void *ctx)
{
	(void)ctx;
	warned += sv_starts(line, SV("WARN "));
}

/* What only says that the informer is behind is not told, unless it goes on. */
static void test_warns_of_what_lasts(void **state)
{
	static const struct {
		enum err_reason reason;
		int first, second;
	} cases[] = {
		{ ERR_CONFLICT, 0, 0 }, { ERR_NOT_FOUND, 0, 1 }, { ERR_ALREADY_EXISTS, 0, 1 }, { ERR_INTERNAL, 1, 2 }
	};

	(void)state;
	log_set_sink(count_warnings, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct env *env = env_sim_new(1, 0, true);
		struct workq *q = workq_new(env, &(struct workq_opts){ .name = "test", .reconcile = fails });

		failing = cases[i].reason;
		warned = 0;
		workq_add(q, SV("k"));
		env_sim_run(env, 4 * NS_PER_MS);
		assert_int_equal(warned, cases[i].first);
		env_sim_run(env, 8 * NS_PER_MS);
		assert_int_equal(warned, cases[i].second);
		workq_free(q);
		env_sim_run(env, NS_PER_SEC);
		env_sim_free(env);
	}
	log_set_sink(NULL, NULL);
}

/* What fails for ever does not fill the log. */
static void test_says_it_ever_more_seldom(void **state)
{
	struct env *env = env_sim_new(1, 0, true);
	struct workq *q =
	    workq_new(env, &(struct workq_opts){ .name = "test", .reconcile = fails, .retry_max_ns = 10 * NS_PER_MS });

	(void)state;
	log_set_sink(count_warnings, NULL);
	failing = ERR_INTERNAL;
	warned = 0;
	workq_add(q, SV("k"));
	env_sim_run(env, 10 * NS_PER_SEC); /* a thousand times */
	assert_in_range(warned, 9, 11);
	workq_free(q);
	env_sim_run(env, NS_PER_SEC);
	env_sim_free(env);
	log_set_sink(NULL, NULL);
}

static void test_backoff_doubles(void **state)
{
	struct world w = { .ready = true, .fail_first = 3 };
	struct workq *q = make(&w);
	int64_t start;

	(void)state;
	env_sim_run(w.env, NS_PER_SEC);
	start = env_mono_ns(w.env);
	workq_add(q, SV("a"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.runs, 4);
	assert_true(w.last_ns - start == (5 + 10 + 20) * NS_PER_MS);
	unmake(&w);
}

static void test_gives_up_in_a_terminating_namespace(void **state)
{
	struct world w = { .ready = true, .terminating = true };
	struct workq *q = make(&w);

	(void)state;
	workq_add(q, SV("a"));
	env_sim_run(w.env, 100 * NS_PER_SEC);
	assert_int_equal(w.runs, 1);
	unmake(&w);
}

static void test_earliest_deadline_wins(void **state)
{
	struct world w = { .ready = true };
	struct workq *q = make(&w);
	int64_t start;

	(void)state;
	env_sim_run(w.env, NS_PER_SEC);
	start = env_mono_ns(w.env);
	workq_add_after(q, SV("a"), 10 * NS_PER_SEC);
	workq_add_after(q, SV("a"), 2 * NS_PER_SEC);
	workq_add_after(q, SV("a"), 5 * NS_PER_SEC);
	env_sim_run(w.env, 20 * NS_PER_SEC);
	assert_int_equal(w.runs, 1);
	assert_true(w.last_ns - start == 2 * NS_PER_SEC);
	w.after_ns = 7 * NS_PER_SEC;
	workq_add(q, SV("a"));
	env_sim_run(w.env, 20 * NS_PER_SEC);
	assert_int_equal(w.runs, 3);
	unmake(&w);
}

static void test_freed_with_work_left(void **state)
{
	struct world w = { .ready = true, .fail_first = 100 };
	struct workq *q = make(&w);

	(void)state;
	workq_add(q, SV("a"));
	workq_add_after(q, SV("b"), NS_PER_SEC);
	env_sim_run(w.env, 50 * NS_PER_MS);
	workq_add(q, SV("c"));
	unmake(&w);
	assert_true(w.runs > 0);
}

/* Waits for an answer, which then is a failure, and so on. */
static int ask_and_fail(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct world *w = ctx;

	(void)key;
	if (w->runs++ % 2)
		return err_set(err, ERR_UNAVAILABLE, "nobody there");
	ret->after_ns = 200 * NS_PER_MS;
	ret->undecided = true;
	return 0;
}

static void test_waiting_is_no_success(void **state)
{
	struct world w = { .ready = true };

	(void)state;
	w.env = env_sim_new(1, 0, true);
	w.q = workq_new(w.env,
			&(struct workq_opts){
			    .name = "test", .reconcile = ask_and_fail, .ctx = &w, .retry_max_ns = 60 * NS_PER_SEC });
	workq_add(w.q, SV("a"));
	env_sim_run(w.env, 3600 * NS_PER_SEC);
	/* Fourteen steps of back-off up to a minute, then one failure a minute. */
	assert_in_range(w.runs, 2 * 60, 2 * 80);
	unmake(&w);
}

static int64_t decided_since;

static int ask_for_ever(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct world *w = ctx;

	(void)key;
	(void)err;
	w->runs++;
	decided_since = ret->since_ns;
	ret->after_ns = 200 * NS_PER_MS;
	ret->undecided = true;
	return 0;
}

static void test_waits_ever_longer(void **state)
{
	struct world w = { .ready = true };
	int64_t since;

	(void)state;
	w.env = env_sim_new(1, 0, true);
	w.q = workq_new(w.env, &(struct workq_opts){ .name = "test", .reconcile = ask_for_ever, .ctx = &w });
	workq_add(w.q, SV("a"));
	env_sim_run(w.env, 100 * NS_PER_MS);
	assert_int_equal(w.runs, 1);
	since = decided_since;
	/* At 0.2, 0.6, 1.4, 3, 6.2 s, and then each five; at the earliest each in half the time. */
	env_sim_run(w.env, 60 * NS_PER_SEC);
	assert_in_range(w.runs, 15, 29);
	assert_int_equal(decided_since, since);
	/* Something happened: it is another decision, and begins anew. */
	w.runs = 0;
	workq_add(w.q, SV("a"));
	env_sim_run(w.env, 2 * NS_PER_SEC);
	assert_in_range(w.runs, 4, 6);
	assert_true(decided_since > since);
	unmake(&w);
}

static bool count_ready(void *ctx)
{
	(*(int *)ctx)++;
	return false;
}

static void test_not_asked_once_freed(void **state)
{
	struct env *e = env_sim_new(1, 0, true);
	int asked = 0;
	struct workq_opts o = { .name = "test", .reconcile = reconcile, .ctx = &asked, .ready = count_ready };

	(void)state;
	workq_free(workq_new(e, &o)); /* before its first task ran */
	env_sim_run(e, NS_PER_SEC);
	assert_int_equal(asked, 0);
	env_sim_free(e);
}

/* A ready hook on another thread, which ends only after workq_free() has begun. */
struct slow {
	struct workq *q;
	sem_t have_q, entered;
	atomic_bool left;
};

static bool slow_ready(void *ctx)
{
	struct slow *s = ctx;
	size_t before;
	int i = 0;

	sem_wait(&s->have_q);
	sem_post(&s->entered);
	do { /* a queue takes keys until it is being freed */
		char key[16];

		snprintf(key, sizeof(key), "%d", i++);
		before = workq_len(s->q);
		workq_add(s->q, sv_from(key));
		sched_yield();
	} while (workq_len(s->q) > before);
	for (i = 0; i < 1000; i++)
		sched_yield();
	atomic_store(&s->left, true);
	return true;
}

static void test_free_waits_for_ready(void **state)
{
	struct env *e = env_real_new(2);
	struct slow s = { 0 };
	struct workq_opts o = { .name = "test", .reconcile = reconcile, .ctx = &s, .ready = slow_ready };

	(void)state;
	sem_init(&s.have_q, 0, 0);
	sem_init(&s.entered, 0, 0);
	s.q = workq_new(e, &o);
	sem_post(&s.have_q);
	sem_wait(&s.entered);
	workq_free(s.q);
	assert_true(atomic_load(&s.left));
	env_real_free(e);
	sem_destroy(&s.have_q);
	sem_destroy(&s.entered);
}

static void test_key_split(void **state)
{
	struct sv ns, name;

	(void)state;
	workq_key_split(SV("default/web"), &ns, &name);
	assert_sv(ns, "default");
	assert_sv(name, "web");
	workq_key_split(SV("node-1"), &ns, &name);
	assert_int_equal(ns.n, 0);
	assert_sv(name, "node-1");
}

/* A run that waits is woken: at once, for the same decision; so it is when that happens while it runs. */
static int ask_and_be_woken(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct world *w = ctx;

	if (w->runs == 0)
		workq_wake(w->q, key);
	(void)ask_for_ever(ctx, key, ret, err);
	ret->after_ns = 60 * NS_PER_SEC;
	return 0;
}

static void test_woken(void **state)
{
	struct world w = { .ready = true };
	int64_t since;

	(void)state;
	w.env = env_sim_new(1, 0, true);
	w.q = workq_new(w.env, &(struct workq_opts){ .name = "test", .reconcile = ask_and_be_woken, .ctx = &w });
	workq_wake(w.q, SV("a")); /* nobody waits */
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.runs, 0);
	workq_add(w.q, SV("a"));
	env_sim_run(w.env, NS_PER_SEC);
	assert_int_equal(w.runs, 2);
	since = decided_since;
	for (int i = 3; i < 10; i++) {
		workq_wake(w.q, SV("a"));
		workq_wake(w.q, SV("a"));
		env_sim_run(w.env, NS_PER_SEC);
		assert_int_equal(w.runs, i);
		assert_int_equal(decided_since, since);
	}
	env_sim_run(w.env, 10 * NS_PER_SEC); /* and not else */
	assert_int_equal(w.runs, 9);
	unmake(&w);
}

/* One that failed is not: that has its own time. */
static int fail_always(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct world *w = ctx;

	(void)key;
	(void)ret;
	w->runs++;
	return err_set(err, ERR_UNAVAILABLE, "nobody there");
}

static void test_who_failed_is_not_woken(void **state)
{
	struct world w = { .ready = true };
	int runs;

	(void)state;
	w.env = env_sim_new(1, 0, true);
	w.q = workq_new(w.env, &(struct workq_opts){ .name = "test", .reconcile = fail_always, .ctx = &w });
	workq_add(w.q, SV("a"));
	env_sim_run(w.env, NS_PER_SEC);
	runs = w.runs;
	workq_wake(w.q, SV("a"));
	env_sim_run(w.env, NS_PER_MS);
	assert_int_equal(w.runs, runs);
	unmake(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_folds_and_waits_for_ready),
		cmocka_unit_test(test_added_while_running),
		cmocka_unit_test(test_warns_of_what_lasts),
		cmocka_unit_test(test_says_it_ever_more_seldom),
		cmocka_unit_test(test_backoff_doubles),
		cmocka_unit_test(test_earliest_deadline_wins),
		cmocka_unit_test(test_gives_up_in_a_terminating_namespace),
		cmocka_unit_test(test_freed_with_work_left),
		cmocka_unit_test(test_waiting_is_no_success),
		cmocka_unit_test(test_waits_ever_longer),
		cmocka_unit_test(test_woken),
		cmocka_unit_test(test_who_failed_is_not_woken),
		cmocka_unit_test(test_not_asked_once_freed),
		cmocka_unit_test(test_free_waits_for_ready),
		cmocka_unit_test(test_key_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
