/* Which server is asked: the current one, the next when it fails, and what is remembered of them. */
#include "unit.h"

#include "base/file.h"
#include "client/servers.h"
#include "sim/env_sim.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rig {
	struct env *env;
	struct servers *s;
	char dir[64], file[96];
};

static struct servers *fresh(struct rig *r)
{
	const struct servers_opts o = { .env = r->env, .url = "http://10.0.0.1:6443/base", .file = r->file };
	struct err err = ERR_INIT;
	struct servers *s = servers_new(&o, &err);

	assert_non_null(s);
	return s;
}

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/caravel-servers-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->file, sizeof(r->file), "%s/servers", r->dir);
	r->env = env_sim_new(1, NS_PER_SEC, false);
	r->s = fresh(r);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	servers_unref(r->s);
	env_sim_free(r->env);
	tree_remove(r->dir, NULL);
	free(r);
	return 0;
}

static void current_is(struct servers *s, const char *host, int port)
{
	struct servers_at at;

	servers_current(s, &at);
	assert_string_equal(at.ep.host, host);
	assert_int_equal(at.ep.port, port);
	assert_sv(at.prefix, "/base");
	servers_let_go(&at);
}

static void fails(struct servers *s)
{
	struct servers_at at;

	servers_current(s, &at);
	servers_failed(s, &at);
	servers_let_go(&at);
}

static void test_one_alone(void **state)
{
	struct rig *r = *state;

	current_is(r->s, "10.0.0.1", 6443);
	fails(r->s);
	current_is(r->s, "10.0.0.1", 6443);
	assert_int_equal(servers_count(r->s), 1);
}

static void test_next_and_sticky(void **state)
{
	static const char *const hosts[] = { "10.0.0.1:6443", "10.0.0.2:6443", "[fd00::3]:7443", NULL };
	struct rig *r = *state;
	struct servers_at late;

	servers_learn(r->s, hosts);
	assert_int_equal(servers_count(r->s), 3);
	current_is(r->s, "10.0.0.1", 6443);
	assert_true(servers_find(r->s, "10.0.0.2", 6443, &late));
	assert_string_equal(late.ep.host, "10.0.0.2");
	servers_let_go(&late);
	assert_false(servers_find(r->s, "10.0.0.2", 6444, &late));
	servers_current(r->s, &late);
	fails(r->s);
	current_is(r->s, "10.0.0.2", 6443);
	/* Others that were under way with the first one move nothing. */
	servers_failed(r->s, &late);
	servers_let_go(&late);
	current_is(r->s, "10.0.0.2", 6443);
	fails(r->s);
	current_is(r->s, "fd00::3", 7443);
	/* All have failed lately: the next in turn. */
	fails(r->s);
	current_is(r->s, "10.0.0.1", 6443);
	/* Learning the same again, or more, does not move. */
	servers_learn(r->s, hosts);
	current_is(r->s, "10.0.0.1", 6443);
}

static void test_passed_over(void **state)
{
	static const char *const hosts[] = { "10.0.0.2:6443", "10.0.0.3:6443", NULL };
	struct rig *r = *state;

	servers_learn(r->s, hosts);
	fails(r->s); /* 1 */
	fails(r->s); /* 2 */
	(void)env_sim_run(r->env, 31 * NS_PER_SEC);
	fails(r->s); /* 3: the first has been left alone for long enough */
	current_is(r->s, "10.0.0.1", 6443);
}

static void test_remembered(void **state)
{
	static const char *const hosts[] = { "10.0.0.2:6443", "[fd00::3]:7443", NULL };
	static const char *const fewer[] = { "10.0.0.2:6443", NULL };
	struct rig *r = *state;

	servers_learn(r->s, hosts);
	servers_unref(r->s);
	r->s = fresh(r);
	assert_int_equal(servers_count(r->s), 3);
	fails(r->s);
	fails(r->s);
	current_is(r->s, "fd00::3", 7443);
	/* The one that is current has left: the one we were given, again. */
	servers_learn(r->s, fewer);
	assert_int_equal(servers_count(r->s), 2);
	current_is(r->s, "10.0.0.1", 6443);
}

static void test_bad_names(void **state)
{
	static const char *const hosts[] = { "", ":1", "a", "a:", "a:0", "a:65536", "a:1x", "10.0.0.1:6443", NULL };
	static const char text[] = "\n\n10.0.0.9\nb:99999999999999999999\n10.0.0.4:1\n";
	struct rig *r = *state;
	char *many[SERVERS_MAX * 2 + 1] = { NULL };

	servers_learn(r->s, hosts);
	assert_int_equal(servers_count(r->s), 1);
	servers_unref(r->s);
	assert_int_equal(file_write_again(r->file, sv_from(text), 0600, NULL), 0);
	r->s = fresh(r);
	assert_int_equal(servers_count(r->s), 2);
	for (int i = 0; i < SERVERS_MAX * 2; i++)
		many[i] = xasprintf("10.1.0.%d:1", i);
	servers_learn(r->s, (const char *const *)many);
	assert_int_equal(servers_count(r->s), SERVERS_MAX);
	for (int i = 0; i < SERVERS_MAX * 2; i++)
		free(many[i]);
}

/* Many clients of three servers. */
#define CLIENTS 300

static void shares(struct servers **c, size_t ret[3])
{
	static const char *const hosts[] = { "10.0.0.1", "10.0.0.2", "10.0.0.3" };
	struct servers_at at;

	memset(ret, 0, 3 * sizeof(*ret));
	for (int i = 0; i < CLIENTS; i++) {
		servers_current(c[i], &at);
		for (int k = 0; k < 3; k++)
			ret[k] += strcmp(at.ep.host, hosts[k]) == 0;
		servers_let_go(&at);
	}
}

static void test_spread(void **state)
{
	static const char *const all[] = { "10.0.0.1:6443", "10.0.0.2:6443", "10.0.0.3:6443", NULL };
	static struct servers *c[CLIENTS];
	struct rig *r = *state;
	size_t n[3], before[3];

	for (int i = 0; i < CLIENTS; i++) {
		_cleanup_free_ char *name = xasprintf("node-%d", i);

		c[i] = servers_new(
		    &(struct servers_opts){ .env = r->env, .url = "http://10.0.0.1:6443", .spread = name }, NULL);
		assert_non_null(c[i]);
	}
	shares(c, n);
	assert_int_equal(n[0], CLIENTS); /* they know nobody else */
	for (int i = 0; i < CLIENTS; i++)
		(void)servers_learn(c[i], all);
	shares(c, before);
	for (int k = 0; k < 3; k++)
		assert_in_range(before[k], 70, 130);
	/* Those of one that fails go to both others, and nobody else moves. */
	for (int i = 0; i < CLIENTS; i++) {
		struct servers_at at;

		servers_current(c[i], &at);
		if (strcmp(at.ep.host, "10.0.0.2") == 0)
			servers_failed(c[i], &at);
		servers_let_go(&at);
	}
	shares(c, n);
	assert_int_equal(n[1], 0);
	assert_in_range(n[0], before[0] + 30, CLIENTS);
	assert_in_range(n[2], before[2] + 30, CLIENTS);
	/* Not back while it has just failed, and then as before. */
	for (int i = 0; i < CLIENTS; i++)
		(void)servers_learn(c[i], all);
	shares(c, n);
	assert_int_equal(n[1], 0);
	(void)env_sim_run(r->env, 31 * NS_PER_SEC);
	for (int i = 0; i < CLIENTS; i++)
		(void)servers_learn(c[i], all);
	shares(c, n);
	assert_memory_equal(n, before, sizeof(n));
	for (int i = 0; i < CLIENTS; i++)
		servers_unref(c[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next_and_sticky, setup, teardown),
		cmocka_unit_test_setup_teardown(test_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_names, setup, teardown),
	};

	return cmocka_run_group_tests_name("client/servers", tests, NULL, NULL);
}
