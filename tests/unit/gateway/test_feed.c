/* Kinds that come: how they are asked for, and when they are there. */
#include "unit.h"

#include "gateway/feed.h"
#include "object/api_kind.h"
#include "sim/env_sim.h"

/* An API that serves the kinds in one version, or none, and has no objects. */
struct fake {
	struct client c;
	const char *version; /* NULL: it has none */
	size_t asked, read;
};

static int fake_list(struct client *c, const struct resource *r, _unused_ struct sv ns,
		     const struct client_list_opts *o, struct obj_list *ret, struct err *err)
{
	struct fake *f = CONTAINER_OF(c, struct fake, c);

	if (o && o->field_selector)
		f->asked++;
	else
		f->read++;
	if (!f->version || strcmp(r->version, f->version) != 0)
		return err_set(err, ERR_NOT_FOUND, "the server could not find the requested resource");
	*ret = (struct obj_list){ .rev = 1 };
	return 0;
}

static int fake_watch(_unused_ struct client *c, _unused_ const struct resource *r, _unused_ struct sv ns,
		      _unused_ const struct client_list_opts *o, _unused_ const struct client_watch_cb *cb,
		      _unused_ void *ctx, _unused_ struct client_watch **ret, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "no watches");
}

static const struct client_ops fake_ops = { .list = fake_list, .watch = fake_watch };

static void nothing(_unused_ void *ctx)
{
}

static void test_kinds_come(_unused_ void **state)
{
	struct env *env = env_sim_new(1, NS_PER_SEC, true);
	struct fake fake = { .c = { .ops = &fake_ops, .env = env, .name = "test" } };
	struct gw_feed *f = gw_feed_new(env, &fake.c, nothing, NULL);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct gw_source s;
	int64_t after;

	assert_true(gw_feed_look(f, &after)); /* known: they are not there */
	assert_true(after > 0);
	assert_int_equal(fake.asked, 11); /* each in all its versions */
	assert_int_equal(fake.read, 0);
	assert_null(gw_feed_resource(f, GW_GATEWAYS));
	fake.version = "v1beta1";
	env_sim_run(env, after);
	assert_false(gw_feed_look(f, &after)); /* not what there is of them */
	assert_int_equal(fake.read, 0);	       /* asking reads no objects */
	env_sim_run(env, NS_PER_SEC);
	assert_int_equal(fake.read >= 4, 1);
	assert_true(gw_feed_look(f, &after));
	assert_true(after > 0); /* there are more to come */
	assert_string_equal(gw_feed_resource(f, GW_GATEWAYS)->version, "v1beta1");
	assert_null(gw_feed_resource(f, GW_GRPCROUTES));
	assert_false(gw_feed_has(f, GW_GATEWAYS));
	gw_feed_objects(f, &a, &s);
	assert_int_equal(s.n[GW_GATEWAYS] + s.n[GW_GRPCROUTES], 0);
	gw_feed_free(f);
	env_sim_run(env, 100 * NS_PER_SEC);
	env_sim_free(env);
}

/* A bundle drops the version that we read. Until the new one has been read what was there stays, and is never seen as
 * gone; the old version, when it comes back first, is followed again. */
static void test_versions_go(_unused_ void **state)
{
	struct env *env = env_sim_new(1, NS_PER_SEC, true);
	struct fake fake = { .c = { .ops = &fake_ops, .env = env, .name = "test" }, .version = "v1beta1" };
	struct gw_feed *f = gw_feed_new(env, &fake.c, nothing, NULL);
	int64_t after;

	(void)gw_feed_look(f, &after);
	env_sim_run(env, NS_PER_SEC);
	assert_true(gw_feed_look(f, &after));
	assert_string_equal(gw_feed_resource(f, GW_GATEWAYS)->version, "v1beta1");
	fake.version = NULL; /* a server that starts */
	for (int i = 0; i < 10; i++) {
		env_sim_run(env, 30 * NS_PER_SEC);
		assert_true(gw_feed_look(f, &after));
		assert_true(after > 0); /* nobody else wakes us */
		assert_string_equal(gw_feed_resource(f, GW_GATEWAYS)->version, "v1beta1");
	}
	fake.version = "v1beta1";
	env_sim_run(env, 60 * NS_PER_SEC);
	fake.asked = 0;
	assert_true(gw_feed_look(f, &after));
	assert_int_equal(fake.asked, 3); /* routes of kinds that had no such version */
	fake.version = "v1";
	env_sim_run(env, 60 * NS_PER_SEC);
	for (int i = 0; i < 3; i++) {
		(void)gw_feed_look(f, &after); /* not known: kinds that are new are there, and not yet read */
		env_sim_run(env, NS_PER_SEC);
	}
	assert_true(gw_feed_look(f, &after));
	assert_int_equal(after, 0); /* all are there */
	assert_string_equal(gw_feed_resource(f, GW_GATEWAYS)->version, "v1");
	assert_string_equal(gw_feed_resource(f, GW_GRPCROUTES)->version, "v1");
	gw_feed_free(f);
	env_sim_run(env, 100 * NS_PER_SEC);
	env_sim_free(env);
}

/* A kind that is gone before it was read keeps nobody waiting. */
static void test_gone_unread(_unused_ void **state)
{
	struct env *env = env_sim_new(1, NS_PER_SEC, true);
	struct fake fake = { .c = { .ops = &fake_ops, .env = env, .name = "test" }, .version = "v1" };
	struct gw_feed *f = gw_feed_new(env, &fake.c, nothing, NULL);
	int64_t after;

	assert_false(gw_feed_look(f, &after));
	fake.version = NULL;
	env_sim_run(env, NS_PER_SEC);
	assert_true(gw_feed_look(f, &after));
	assert_true(after > 0);
	assert_null(gw_feed_resource(f, GW_GATEWAYS));
	gw_feed_free(f);
	env_sim_run(env, 100 * NS_PER_SEC);
	env_sim_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_kinds_come), cmocka_unit_test(test_versions_go),
					    cmocka_unit_test(test_gone_unread) };

	return cmocka_run_group_tests_name("gateway_feed", tests, NULL, NULL);
}
