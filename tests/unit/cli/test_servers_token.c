/* cli/servers_token.h: who may rotate and to what; every server ends with the newer token, wherever it is interrupted;
 * the older one opens nothing. */
#include "unit.h"

#include "base/file.h"
#include "cli/servers_token.h"
#include "cli/shared_keys.h"
#include "ev/ev.h"
#include "store/store.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define OLD "abcdef.0123456789abcdef"
#define NEXT "bbbbbb.0123456789abcdef"
#define LAST "cccccc.0123456789abcdef"
#define ROTATE(old, next) "{\"old\":\"" old "\",\"new\":\"" next "\"}"

struct rig {
	struct arena a;
	struct env *env;
	struct store *store;
	char dir[64];
	const char *one, *two, *fresh;
	struct servers_token *t1, *t2;
};

/* -1: refused for that reason; else what is good, as the store has it. */
static const char *settled(struct rig *r, const char *dir, const char *token, enum err_reason reason)
{
	struct err err = ERR_INIT;
	const char *now = NULL;

	if (shared_keys_settle(
		&(struct shared_keys_opts){ .env = r->env, .store = r->store, .data_dir = dir, .token = token }, &r->a,
		&now, &err) < 0 &&
	    err.reason != reason)
		fail_msg("%s", err_msg(&err));
	assert_int_equal(err.reason, reason);
	err_release(&err);
	return now;
}

static struct servers_token *opened(struct rig *r, const char *dir, const char *token)
{
	struct servers_token *t = servers_token_new(
	    &(struct servers_token_opts){ .env = r->env, .store = r->store, .data_dir = dir, .token = token }, NULL);

	assert_non_null(t);
	return t;
}

static int setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/caravel-token-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->one = arena_printf(&r->a, "%s/one", r->dir);
	r->two = arena_printf(&r->a, "%s/two", r->dir);
	r->fresh = arena_printf(&r->a, "%s/fresh", r->dir);
	r->env = env_real_new(2);
	r->store = store_mem_new(r->env);
	r->t1 = opened(r, r->one, settled(r, r->one, OLD, ERR_NONE));
	r->t2 = opened(r, r->two, settled(r, r->two, OLD, ERR_NONE));
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	servers_token_free(r->t1);
	servers_token_free(r->t2);
	store_close(r->store);
	env_real_free(r->env);
	tree_remove(r->dir, NULL);
	arena_release(&r->a);
	free(r);
	return 0;
}

static bool is(struct servers_token *t, const char *token)
{
	return servers_token_is(t, sv_sub(sv_from(token), 0, 6), sv_sub(sv_from(token), 7, 16));
}

static const char *file_of(struct rig *r, const char *dir)
{
	struct sv s = SV("");

	assert_int_equal(file_read(&r->a, arena_printf(&r->a, "%s/server/token", dir), 4096, &s, NULL), 0);
	return arena_cstr(&r->a, sv_trim(s));
}

static void rotated(struct rig *r, const char *body)
{
	struct err err = ERR_INIT;
	struct sv said;

	if (servers_token_rotate(r->t1, &r->a, sv_from(body), &said, &err) < 0)
		fail_msg("%s", err_msg(&err));
}

static void refused(struct rig *r, const char *body, enum err_reason reason)
{
	struct err err = ERR_INIT;
	struct sv said;

	assert_int_equal(servers_token_rotate(r->t1, &r->a, sv_from(body), &said, &err), -1);
	assert_int_equal(err.reason, reason);
	assert_null(strstr(err_msg(&err), "0123456789abcdef")); /* no token is told */
	err_release(&err);
}

/* The file that nodes are given follows only where it has the servers' token. */
static void nodes_keep_theirs(void **state)
{
	struct rig *r = *state;
	const char *path = arena_printf(&r->a, "%s/server/node-token", r->one);
	const struct servers_token_opts o = {
		.env = r->env, .store = r->store, .data_dir = r->one, .token = OLD, .nodes = true
	};
	struct sv said;

	servers_token_free(r->t1);
	r->t1 = servers_token_new(&o, NULL);
	assert_non_null(r->t1);
	assert_int_equal(file_write(path, SV("nnnnnn.0123456789abcdef\n"), 0600, NULL), 0);
	rotated(r, ROTATE(OLD, NEXT));
	assert_int_equal(file_read(&r->a, path, 4096, &said, NULL), 0);
	assert_sv(said, "nnnnnn.0123456789abcdef\n");
	assert_int_equal(file_write(path, SV(NEXT "\n"), 0600, NULL), 0);
	rotated(r, ROTATE(NEXT, LAST));
	assert_int_equal(file_read(&r->a, path, 4096, &said, NULL), 0);
	assert_string_equal(arena_cstr(&r->a, sv_trim(said)), file_of(r, r->one));
}

static void who_may_not(void **state)
{
	struct store_write secret = { .key = SV("/registry/secrets/kube-system/bootstrap-token-bbbbbb"),
				      .value = SV("x") };
	struct rig *r = *state;
	int64_t rev;

	refused(r, "", ERR_BAD_REQUEST);
	refused(r, "{\"new\":\"" NEXT "\"}", ERR_BAD_REQUEST);
	refused(r, ROTATE(OLD, "short"), ERR_BAD_REQUEST);
	refused(r, ROTATE("abcdef.0123456789abcdeg", NEXT), ERR_FORBIDDEN);
	refused(r, ROTATE(LAST, NEXT), ERR_FORBIDDEN);
	refused(r, ROTATE(OLD, "abcdef.1111111111111111"), ERR_INVALID);
	assert_int_equal(store_commit_wait(r->store, &secret, &rev, NULL), 1);
	refused(r, ROTATE(OLD, NEXT), ERR_INVALID); /* everybody would read it */
	assert_true(is(r->t1, OLD));
	assert_string_equal(settled(r, r->two, OLD, ERR_NONE), OLD);
}

static void all_have_the_newer(void **state)
{
	struct err err = ERR_INIT;
	struct rig *r = *state;

	rotated(r, ROTATE(OLD, NEXT));
	assert_true(is(r->t1, NEXT) && !is(r->t1, OLD));
	assert_non_null(strstr(file_of(r, r->one), NEXT));
	refused(r, ROTATE(OLD, LAST), ERR_FORBIDDEN);
	/* Who is asked for a place has heard of it, or says so. */
	if (servers_token_fresh(r->t2, &err) < 0)
		assert_int_equal(err.reason, ERR_UNAUTHORIZED);
	err_release(&err);
	assert_true(is(r->t2, NEXT) && !is(r->t2, OLD));
	assert_int_equal(servers_token_fresh(r->t2, NULL), 0);
	assert_non_null(strstr(file_of(r, r->two), NEXT));
	/* And without being asked. */
	rotated(r, ROTATE(NEXT, LAST));
	while (!is(r->t2, LAST))
		sched_yield();
}

static void the_older_opens_nothing(void **state)
{
	struct rig *r = *state;

	rotated(r, ROTATE(OLD, NEXT));
	settled(r, r->fresh, OLD, ERR_UNAUTHORIZED);
	assert_int_equal(access(arena_printf(&r->a, "%s/pki/ca.key", r->fresh), F_OK), -1);
	assert_string_equal(settled(r, r->fresh, NEXT, ERR_NONE), NEXT);
}

/* As a start finds it that was interrupted before the file was written, or that did not run meanwhile. */
static void a_start_that_is_behind(void **state)
{
	struct rig *r = *state;
	const char *file = arena_printf(&r->a, "%s/server/token", r->two), *before = file_of(r, r->two);

	rotated(r, ROTATE(OLD, NEXT));
	rotated(r, ROTATE(NEXT, LAST));
	r->t2 = servers_token_free(r->t2);
	assert_int_equal(file_write(file, sv_from(before), 0600, NULL), 0);
	assert_string_equal(settled(r, r->two, NULL, ERR_NONE), LAST);
	assert_non_null(strstr(file_of(r, r->two), LAST));
	/* A flag that is behind is another thing than a wrong one. */
	assert_string_equal(settled(r, r->two, OLD, ERR_NONE), LAST);
	assert_string_equal(settled(r, r->two, NEXT, ERR_NONE), LAST);
	settled(r, r->two, "dddddd.0123456789abcdef", ERR_UNAUTHORIZED);
}

static void of_a_server_alone(void **state)
{
	struct rig *r = *state;
	struct servers_token *t =
	    servers_token_new(&(struct servers_token_opts){ .env = r->env, .data_dir = r->one, .token = OLD }, NULL);
	struct err err = ERR_INIT;
	struct sv said;

	assert_int_equal(servers_token_rotate(t, &r->a, SV(ROTATE(LAST, NEXT)), &said, &err), -1);
	assert_int_equal(err.reason, ERR_FORBIDDEN);
	err_release(&err);
	assert_int_equal(servers_token_rotate(t, &r->a, SV(ROTATE(OLD, NEXT)), &said, NULL), 0);
	assert_non_null(strstr(file_of(r, r->one), NEXT));
	servers_token_free(t);
}

static void the_note(void **state)
{
	struct rig *r = *state;
	struct servers_token_note n;

	assert_false(servers_token_note_parse(&r->a, SV(""), &n));
	assert_false(servers_token_note_parse(&r->a, SV("[]"), &n));
	assert_false(servers_token_note_parse(&r->a, SV("{\"token\":\"x\"}"), &n));
	assert_false(servers_token_note_parse(&r->a, SV("{\"token\":\"" OLD "\",\"older\":[\"x\"]}"), &n));
	assert_true(servers_token_note_parse(&r->a, SV("{\"token\":\"" OLD "\"}"), &n));
	assert_int_equal(n.n_older, 0);
}

#define RIG(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(who_may_not),
		RIG(nodes_keep_theirs),
		RIG(all_have_the_newer),
		RIG(the_older_opens_nothing),
		RIG(a_start_that_is_behind),
		RIG(of_a_server_alone),
		RIG(the_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
