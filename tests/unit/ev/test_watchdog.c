/* Who holds a thread for too long is named: instants are given, not waited for, but where a thread has to be asked for
 * its stack. */
#include "unit.h"

#include "base/board.h"
#include "ev/ev.h"
#include "ev/watchdog.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct reports {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int n;
	struct run_report last;
	char what[600], called[STACK_NAME_MAX], step[32];
	bool named;	/* a running one told the work and had the function in its stack that were looked for */
	bool called_it; /* one had called it */
	const char *look_for, *look_for_work;
	enum run_kind kind; /* only those of it */
};

static void note(const struct run_report *r, void *ctx)
{
	struct reports *all = ctx;
	char name[STACK_NAME_MAX];

	if (r->kind != all->kind)
		return;
	pthread_mutex_lock(&all->lock);
	if (all->named) { /* that is the one that is looked at */
		pthread_mutex_unlock(&all->lock);
		return;
	}
	all->n++;
	all->last = *r;
	(void)snprintf(all->what, sizeof(all->what), "%s", r->what);
	(void)snprintf(all->called, sizeof(all->called), "%s", r->called);
	(void)snprintf(all->step, sizeof(all->step), "%s", r->step ? r->step : "-");
	all->called_it |= all->look_for && sv_starts(sv_from(r->called), sv_from(all->look_for));
	for (size_t i = 0; i < r->n_frames && all->look_for_work; i++)
		if (strcmp(r->what, all->look_for_work) == 0 &&
		    sv_starts(sv_from(stack_name(r->frames[i], i > 0, name)), sv_from(all->look_for)))
			all->named = true;
	pthread_cond_broadcast(&all->cond);
	pthread_mutex_unlock(&all->lock);
}

static struct reports *watch(enum run_kind kind, int64_t long_ns, int64_t stuck_ns)
{
	struct reports *all = xcalloc(1, sizeof(*all));

	all->kind = kind;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->cond, NULL);
	assert_int_equal(watchdog_start(&(struct watchdog_opts){
			     .report = note, .ctx = all, .long_ns = long_ns, .stuck_ns = stuck_ns }),
			 0);
	return all;
}

static void watch_no_more(struct reports *all)
{
	watchdog_stop();
	pthread_mutex_destroy(&all->lock);
	pthread_cond_destroy(&all->cond);
	free(all);
}

/* Real time, which the watchdog knows, is another: where instants are given, nothing is stuck. */
static int64_t now_ns = 1000 * NS_PER_SEC;

static void a_run(int64_t ns)
{
	run_begin(RUN_LOOP, NULL, now_ns);
	now_ns += ns;
	run_end(now_ns);
}

static void test_a_long_turn_is_named(void **state)
{
	struct reports *all = watch(RUN_LOOP, 0, INT64_MAX);
	uint64_t was, n, stuck;
	int mark;

	watchdog_counts(RUN_LOOP, &was, &stuck);
	a_run(100 * NS_PER_MS); /* not more than that */
	assert_int_equal(all->n, 0);

	run_begin(RUN_LOOP, NULL, now_ns);
	mark = work_enter("request", SV("GET"), SV("/api/v1/pods"), SV("john"));
	work_tick(now_ns += 20 * NS_PER_MS, "authorized");
	work_leave(&mark);
	work_tick(now_ns += 3 * NS_PER_MS, "received");
	mark = work_enter("request", SV("PATCH"), SV("/api/v1/namespaces/default/configmaps/large"), SV("jane"));
	work_of(state, 1, 216000);
	work_tick(now_ns += NS_PER_MS, "authorized");
	work_tick(now_ns += 150 * NS_PER_MS, "mutated");
	work_tick(now_ns += 15 * NS_PER_MS, "answered");
	work_leave(&mark);
	run_end(now_ns += 30 * NS_PER_MS);
	assert_int_equal(all->n, 1);
	assert_string_equal(all->what, "request PATCH /api/v1/namespaces/default/configmaps/large jane");
	assert_int_equal(all->last.ns, 219 * NS_PER_MS);
	assert_int_equal(all->last.what_ns, 150 * NS_PER_MS);
	assert_int_equal(all->last.bytes, 216000);
	assert_int_equal(all->last.works, 2);
	assert_string_equal(all->step, "mutated");
	assert_false(all->last.running || all->last.after);
	assert_int_equal(all->last.missing, 0);
	watchdog_counts(RUN_LOOP, &n, &stuck);
	assert_int_equal(n, was + 1);

	/* What comes behind a request: its answer being written. And a run in which nothing was written down. */
	run_begin(RUN_LOOP, NULL, now_ns);
	mark = work_enter("request", SV("GET"), SV("/api/v1/nodes"), SV("jane"));
	work_tick(now_ns += NS_PER_MS, "answered");
	work_leave(&mark);
	run_end(now_ns += 101 * NS_PER_MS);
	assert_string_equal(all->what, "request GET /api/v1/nodes jane");
	assert_true(all->last.after);
	assert_string_equal(all->step, "-");
	run_begin(RUN_LOOP, NULL, now_ns);
	run_calls(free);
	run_end(now_ns += 101 * NS_PER_MS);
	assert_string_equal(all->what, "");
	assert_true(sv_find_sv(sv_from(all->called), SV("free")) >= 0);
	assert_int_equal(all->n, 3);

	/* A thousand short ones: the last is all there is to say. */
	run_begin(RUN_LOOP, NULL, now_ns);
	for (int i = 0; i < 1000; i++) {
		mark = work_enter("request", SV("GET"), i < 999 ? SV("/version") : SV("/livez"), SV("jane"));
		work_tick(now_ns += NS_PER_MS, "answered");
		work_leave(&mark);
	}
	run_end(now_ns);
	assert_string_equal(all->what, "request GET /livez jane");
	assert_int_equal(all->last.works, 1000);
	assert_int_equal(all->last.what_ns, 0);
	watch_no_more(all);
}

static void test_work_in_work(void **state)
{
	struct reports *all = watch(RUN_LOOP, 0, INT64_MAX);
	int outer, inner;

	(void)state;
	run_begin(RUN_LOOP, NULL, now_ns);
	outer = work_enter("reconcile", SV("deployment"), SV("default/web"), SV(""));
	inner = work_enter("request", SV("PUT"), SV("/x"), SV("c"));
	run_begin((enum run_kind)ENV_CONTROL, NULL, now_ns); /* none of its own */
	work_tick(now_ns += 150 * NS_PER_MS, "committed");
	run_end(now_ns);
	work_leave(&inner);
	work_leave(&outer);
	assert_int_equal(all->n, 0);
	run_end(now_ns);
	assert_int_equal(all->n, 1);
	assert_string_equal(all->what, "reconcile deployment default/web, in it: request PUT /x c");
	watch_no_more(all);
}

/* The same request goes on, in itself too: nothing is written again, unless something else was between or it is another
 * by its stamp. */
static void test_work_again(void **state)
{
	struct work *w = work_mine();
	int mark, inner;

	assert_int_equal(work_again(state, 7), -1);
	mark = work_enter("request", SV("GET"), SV("/a"), SV("jane"));
	work_of(state, 7, 12);
	work_key(SV("/registry/a"));
	inner = work_again(state, 7); /* inside of it: nothing nests, and what it works on stays */
	assert_int_equal(inner, 1);
	assert_int_equal(atomic_load(&w->depth), 1);
	assert_string_equal(w->level[0].key, "/registry/a");
	assert_int_equal(work_again(state, 8), -1); /* another one does */
	work_leave(&inner);
	assert_int_equal(atomic_load(&w->depth), 1);
	work_leave(&mark);
	assert_int_equal(work_again(state, 8), -1);
	assert_int_equal(work_again(&mark, 7), -1);
	mark = work_again(state, 7);
	assert_int_equal(mark, 0);
	assert_int_equal(atomic_load(&w->depth), 1);
	assert_string_equal(w->level[0].what, "request GET /a jane");
	assert_string_equal(w->level[0].key, "");
	assert_int_equal(w->level[0].bytes, 12);
	inner = work_enter("x", SV(""), SV(""), SV(""));
	assert_int_equal(work_again(state, 7), -1); /* too deep */
	work_leave(&inner);
	work_leave(&mark);
	mark = work_enter("publish", SV(""), SV(""), SV(""));
	work_leave(&mark);
	assert_int_equal(work_again(state, 7), -1);
	mark = work_enter("request", SV("GET"), SV("/a"), SV(""));
	work_of(state, 0, 0);
	work_leave(&mark);
	assert_int_equal(work_again(state, 0), -1);
	assert_int_equal(atomic_load(&w->depth), 0);
}

static void test_reports_are_bounded(void **state)
{
	struct reports *all = watch(RUN_LOOP, 0, INT64_MAX);
	uint64_t was, n, stuck;

	(void)state;
	watchdog_counts(RUN_LOOP, &was, &stuck);
	for (int i = 0; i < REPORTS_AT_ONCE + 20; i++)
		a_run(101 * NS_PER_MS);
	assert_int_equal(all->n, REPORTS_AT_ONCE);
	now_ns += REPORTS_EVERY_NS;
	a_run(101 * NS_PER_MS);
	assert_int_equal(all->n, REPORTS_AT_ONCE + 1);
	assert_int_equal(all->last.missing, 20);
	a_run(101 * NS_PER_MS);
	assert_int_equal(all->n, REPORTS_AT_ONCE + 1);
	watchdog_counts(RUN_LOOP, &n, &stuck);
	assert_int_equal(n, was + REPORTS_AT_ONCE + 22);
	watch_no_more(all);
	a_run(101 * NS_PER_MS); /* nobody is told */
}

__attribute__((noinline)) static void the_task_that_hangs(void *ctx)
{
	struct reports *all = ctx;
	_cleanup_(work_leave) _unused_ int mark = work_enter("reconcile", SV("pod"), SV("default/stuck"), SV(""));

	pthread_mutex_lock(&all->lock);
	while (!all->named)
		pthread_cond_wait(&all->cond, &all->lock);
	pthread_mutex_unlock(&all->lock);
}

/* Its first report may come before it has begun to work, or without a stack: it lasts until one has everything. */
static void test_a_stuck_task_shows_its_stack(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) { /* also after nothing was to be seen */
		struct env *e = env_real_new(1);
		struct reports *all = watch((enum run_kind)ENV_CONTROL, 0, NS_PER_MS);
		uint64_t was, n, n_long;

		all->look_for = "the_task_that_hangs+0x";
		all->look_for_work = "reconcile pod default/stuck";
		watchdog_counts((enum run_kind)ENV_CONTROL, &n_long, &was);
		env_post(e, ENV_CONTROL, the_task_that_hangs, all);
		pthread_mutex_lock(&all->lock);
		while (!all->named)
			pthread_cond_wait(&all->cond, &all->lock);
		assert_string_equal(all->what, "reconcile pod default/stuck");
		assert_string_equal(all->called, "the_task_that_hangs+0x0");
		assert_true(all->last.running);
		pthread_mutex_unlock(&all->lock);
		watchdog_counts((enum run_kind)ENV_CONTROL, &n_long, &n);
		assert_int_equal(n, was + 1);
		env_real_free(e); /* the task is over */
		watch_no_more(all);
	}
}

static void stop_loop(void *ctx)
{
	ev_loop_stop(ctx);
}

/* Turns of a loop and tasks of every class are runs, with what was called. */
static void test_what_is_a_run(void **state)
{
	struct reports *all = watch(RUN_LOOP, 1, INT64_MAX);
	struct ev_loop *l = ev_loop_new(NULL);
	struct ev_timer *t;

	(void)state;
	all->look_for = "stop_loop+0x0";
	ev_loop_post(l, stop_loop, l);
	ev_loop_run(l);
	assert_true(all->called_it);
	all->called_it = false;
	t = ev_timer_start(l, 0, 0, stop_loop, l);
	ev_loop_run(l);
	assert_true(all->called_it);
	ev_timer_stop(t);
	ev_loop_free(l);
	watch_no_more(all);
	for (enum env_class c = 0; c <= ENV_TIMERS; c++) {
		bool told = c == ENV_CONTROL || c == ENV_REQUESTS || c == ENV_TIMERS; /* others may take their time */
		struct env *e = env_real_new(1);
		struct env_timer *due;
		sem_t done;

		sem_init(&done, 0, 0);
		all = watch((enum run_kind)c, 1, INT64_MAX);
		due = env_after(e, c, 0, (env_fn *)(void *)sem_post, &done);
		while (sem_wait(&done) < 0)
			;
		env_timer_cancel(e, due);
		env_real_free(e);
		assert_int_equal(all->n, told);
		watch_no_more(all);
	}
}

/* Others look while the thread writes: never half of one thing and half of another. */
static atomic_bool enough;

static void *writer(void *p)
{
	(void)p;
	while (!atomic_load(&enough)) {
		int mark = work_enter("request", SV("aaaa"), SV("aaaaaaaa"), SV("a"));

		work_key(SV("aaaaaaaa"));
		work_leave(&mark);
		mark = work_enter("bbbbbbb", SV("bbbb"), SV("bbbbbbbb"), SV("b"));
		work_key(SV("bbbbbbbb"));
		work_leave(&mark);
	}
	return NULL;
}

static void test_looking_while_it_is_written(void **state)
{
	pthread_t t;
	int seen = 0;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, writer, NULL), 0);
	while (seen < 2000) {
		for (size_t i = 0; i < WORK_SLOTS; i++) {
			struct work w;

			if (!work_peek(i, &w) || !w.level[0].key[0] ||
			    (w.level[0].key[0] != 'a' && w.level[0].key[0] != 'b'))
				continue;
			seen++;
			assert_string_equal(w.level[0].what, w.level[0].key[0] == 'a' ? "request aaaa aaaaaaaa a"
										      : "bbbbbbb bbbb bbbbbbbb b");
		}
	}
	atomic_store(&enough, true);
	pthread_join(t, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_long_turn_is_named),
		cmocka_unit_test(test_work_in_work),
		cmocka_unit_test(test_work_again),
		cmocka_unit_test(test_reports_are_bounded),
		cmocka_unit_test(test_a_stuck_task_shows_its_stack),
		cmocka_unit_test(test_what_is_a_run),
		cmocka_unit_test(test_looking_while_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
