/* Secrets by name: who is asked, and how often, and what holds while nobody answers. */
#include "unit.h"

#include "client/client.h"
#include "codec/json.h"
#include "ingress/secrets.h"
#include "sim/env_sim.h"

#include <stdio.h>

#define WATCHED 256
#define ASKED 40
#define BEFORE_NS (14 * NS_PER_SEC)
#define AFTER_NS (2 * NS_PER_SEC)

/* An API that has every Secret, but for watches, and answers or does not. */
struct silent {
	struct client c;
	bool answers;
	size_t gets, last_gets; /* last_gets: of the name last */
	struct sv last;
};

struct rig {
	struct env *env;
	struct silent api;
	struct ing_secrets *secrets;
	size_t found; /* of the last run */
	int64_t after_ns;
	size_t more; /* than ASKED */
};

static int silent_get(struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns, struct sv name,
		      struct obj **ret, struct err *err)
{
	struct silent *s = CONTAINER_OF(c, struct silent, c);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	s->gets++;
	s->last_gets += sv_eq(name, s->last);
	if (!s->answers)
		return err_set(err, ERR_UNAVAILABLE, "nobody answers");
	*ret = obj_new(json_decode(&a, SV("{\"kind\":\"Secret\"}"), NULL, NULL), 1);
	return 0;
}

static int silent_list(_unused_ struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns,
		       _unused_ const struct client_list_opts *o, _unused_ struct obj_list *ret, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "nobody answers");
}

static const struct client_ops silent_ops = { .get = silent_get, .list = silent_list };

static void rig_changed(_unused_ void *ctx)
{
}

static struct rig *rig_new(void)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->env = env_sim_new(1, NS_PER_SEC, true);
	r->api = (struct silent){ .c = { .ops = &silent_ops, .env = r->env, .name = "test" } };
	r->secrets = ing_secrets_new(r->env, &r->api.c, rig_changed, NULL);
	return r;
}

static void rig_free(struct rig *r)
{
	ing_secrets_free(r->secrets);
	env_sim_run(r->env, 100 * NS_PER_SEC);
	env_sim_free(r->env);
	free(r);
}

/* All of them; how often the API was asked. */
static size_t rig_run(struct rig *r, bool waits)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t before = r->api.gets;

	r->found = 0;
	ing_secrets_begin(r->secrets);
	for (size_t i = 0; i < WATCHED + ASKED + r->more; i++)
		r->found += ing_secrets_get(r->secrets, &a, SV("d"), arena_svf(&a, "s%zu", i)) != NULL;
	assert_int_equal(ing_secrets_end(r->secrets, &r->after_ns), waits);
	return r->api.gets - before;
}

static void test_who_is_asked(_unused_ void **state)
{
	struct rig *r = rig_new();

	r->api.answers = true;
	assert_int_equal(rig_run(r, true), ASKED); /* watches have said nothing yet */
	assert_int_equal(r->found, ASKED);
	assert_true(r->after_ns > BEFORE_NS);
	env_sim_run(r->env, BEFORE_NS);
	assert_int_equal(rig_run(r, false), 0);
	env_sim_run(r->env, AFTER_NS);
	assert_int_equal(rig_run(r, false), ASKED);
	rig_free(r);
}

/* Many are asked for in turn; where watches are no connections, nobody is. */
static void test_many(_unused_ void **state)
{
	struct rig *r = rig_new();

	r->api.answers = true;
	r->more = 100;
	assert_int_equal(rig_run(r, true), ASKED + 100); /* what is new at once */
	env_sim_run(r->env, BEFORE_NS + AFTER_NS);
	assert_int_equal(rig_run(r, false), 64);
	assert_int_equal(r->after_ns, NS_PER_SEC);
	assert_int_equal(rig_run(r, false), 64);
	assert_int_equal(rig_run(r, false), ASKED + 100 - 128);
	assert_true(r->after_ns > BEFORE_NS);
	assert_int_equal(r->found, ASKED + 100);
	rig_free(r);

	r = rig_new();
	r->api.c.here = true;
	assert_int_equal(rig_run(r, true), 0);
	rig_free(r);
}

/* More than a round's 15 seconds have room for: those behind come, too, and each once a round. */
static void test_very_many(_unused_ void **state)
{
	struct rig *r = rig_new();
	size_t all = ASKED + 1160;

	r->api.answers = true;
	r->more = all - ASKED;
	r->api.last = SV("s1455");
	for (size_t i = 0; i < all / 256; i++) { /* also of new ones not all at once */
		assert_int_equal(rig_run(r, true), 256);
		assert_int_equal(r->after_ns, NS_PER_SEC);
	}
	assert_int_equal(rig_run(r, true), all % 256);
	assert_int_equal(r->api.last_gets, 1);
	env_sim_run(r->env, BEFORE_NS + AFTER_NS);
	for (size_t i = 0; i < all / 64; i++) {
		assert_int_equal(rig_run(r, false), 64);
		assert_int_equal(r->after_ns, NS_PER_SEC);
		env_sim_run(r->env, NS_PER_SEC);
	}
	assert_int_equal(r->api.last_gets, 1);
	assert_int_equal(rig_run(r, false), all % 64);
	assert_int_equal(r->api.last_gets, 2);
	assert_int_equal(r->after_ns, NS_PER_SEC); /* the next is due */
	env_sim_run(r->env, NS_PER_SEC);
	assert_int_equal(rig_run(r, false), 64);
	rig_free(r);
}

static void test_nobody_answers(_unused_ void **state)
{
	struct rig *r = rig_new();

	assert_int_equal(rig_run(r, true), 1);
	r->api.answers = true;
	assert_int_equal(rig_run(r, true), ASKED - 1);
	env_sim_run(r->env, BEFORE_NS + AFTER_NS);
	assert_int_equal(rig_run(r, false), ASKED);
	assert_int_equal(r->found, ASKED);
	r->api.answers = false;
	env_sim_run(r->env, BEFORE_NS + AFTER_NS);
	assert_int_equal(rig_run(r, false), 1); /* each of them may take as long as a request may */
	assert_int_equal(r->found, ASKED);
	r->api.answers = true;
	assert_int_equal(rig_run(r, false), ASKED - 1);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_who_is_asked), cmocka_unit_test(test_many),
					    cmocka_unit_test(test_very_many), cmocka_unit_test(test_nobody_answers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
