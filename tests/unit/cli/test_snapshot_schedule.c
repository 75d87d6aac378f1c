/* What a schedule does about a snapshot that fails, in virtual time: its process cannot even be started. */
#include "unit.h"

#include "cli/snapshot_schedule.h"
#include "sim/env_sim.h"

#include <string.h>

#define START (INT64_C(1800000000) * NS_PER_SEC)

struct world {
	struct client client; /* first: the client is the world */
	struct env *env;
	struct snapshot_schedule s;
	int asked;
	bool locked; /* it was, while the API was asked */
};

static int api_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
		   struct err *err)
{
	struct world *w = (struct world *)c;

	(void)r, (void)ns, (void)name, (void)ret;
	w->asked++;
	if (pthread_mutex_trylock(&w->s.lock) == 0)
		pthread_mutex_unlock(&w->s.lock);
	else
		w->locked = true;
	return err_set(err, ERR_UNAVAILABLE, "the store does not answer");
}

static void api_free(struct client *c)
{
	(void)c;
}

static struct client *api(void *ctx)
{
	return &((struct world *)ctx)->client;
}

static int setup(void **state)
{
	static const struct client_ops ops = { .get = api_get, .free = api_free };
	static const char *const argv[] = { "/nonexistent/caravel", NULL };
	static const struct snapshot_opts opts = { .cron = "* * * * *" };
	struct world *w = xcalloc(1, sizeof(*w));

	w->env = env_sim_new(1, START, false);
	w->client = (struct client){ .ops = &ops, .env = w->env, .name = "test" };
	snapshot_schedule_start(&w->s, w->env, &opts, argv, NULL, api, w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	snapshot_schedule_stop(&w->s);
	w->env = env_sim_free(w->env);
	snapshot_schedule_release(&w->s);
	free(w);
	return 0;
}

static bool failures_are(struct world *w, const char *n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_free_ char *line = xasprintf("caravel_snapshots_total{result=\"failure\"} %s\n", n);

	snapshot_schedule_metrics(&w->s, &b);
	return strstr(buf_cstr(&b), line) != NULL;
}

/* /metrics and the end of the server take the lock. */
static void test_api_is_asked_without_the_lock(void **state)
{
	struct world *w = *state;

	(void)env_sim_run(w->env, 61 * NS_PER_SEC);
	assert_int_equal(w->asked, 1);
	assert_false(w->locked);
	assert_true(failures_are(w, "1"));
}

/* Whatever hangs in the class that Events are written in: it counts, and of several the last is told. */
static void test_events_wait_alone(void **state)
{
	struct world *w = *state;

	env_sim_hold(w->env, ENV_SLOW);
	(void)env_sim_run(w->env, 181 * NS_PER_SEC);
	assert_true(failures_are(w, "3"));
	assert_int_equal(w->asked, 0);
	env_sim_release(w->env, ENV_SLOW);
	(void)env_sim_run(w->env, NS_PER_SEC);
	assert_int_equal(w->asked, 1);
}

static void test_nothing_is_asked_after_the_stop(void **state)
{
	struct world *w = *state;

	env_sim_hold(w->env, ENV_SLOW);
	(void)env_sim_run(w->env, 61 * NS_PER_SEC);
	snapshot_schedule_stop(&w->s);
	env_sim_release(w->env, ENV_SLOW);
	(void)env_sim_run(w->env, NS_PER_SEC);
	assert_int_equal(w->asked, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = { T(test_api_is_asked_without_the_lock), T(test_events_wait_alone),
						   T(test_nothing_is_asked_after_the_stop) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
