/* ResourceQuota's controller while things come faster than it counts; and what a count becomes that others have
 * overtaken. */
#include "real.h"

#include "controllers/quota_status.h"

#define NS "/api/v1/namespaces/default"
#define MERGE "application/merge-patch+json"

/* --- the status --- */

static struct obj *quota_obj(struct rig *r, const char *hard, const char *status_hard, const char *used)
{
	const struct val *doc = json_decode(
	    &r->arena,
	    sv_from(arena_printf(
		&r->arena,
		"{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{%s}},\"status\":{\"hard\":{%s},\"used\":{%s}}}",
		hard, status_hard, used)),
	    NULL, NULL);

	assert_non_null(doc);
	return obj_new(doc, 1);
}

static void test_status(void **state)
{
	static const struct {
		const char *hard;	      /* in force */
		const char *at, *then, *onto; /* used: before the count, behind it, when it is written */
		const char *counted, *used;
	} rows[] = {
		{ "\"pods\":\"9\"", "\"pods\":\"3\"", "\"pods\":\"3\"", "\"pods\":\"3\"", "2", "2" },
		/* One came while it was counted: it may be among them, or not. */
		{ "\"pods\":\"9\"", "\"pods\":\"3\"", "\"pods\":\"4\"", "\"pods\":\"4\"", "4", "5" },
		/* Two came behind that: they are not. */
		{ "\"pods\":\"9\"", "\"pods\":\"3\"", "\"pods\":\"3\"", "\"pods\":\"5\"", "4", "6" },
		{ "\"pods\":\"9\"", "\"pods\":\"3\"", "\"pods\":\"2\"", "\"pods\":\"2\"", "3", "3" },
		/* What is opened, and not in force, is charged as well. */
		{ "", "\"pods\":\"3\"", "\"pods\":\"3\"", "\"pods\":\"5\"", "7", "9" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(quota_list_release) struct quota_list counted = QUOTA_LIST_INIT;
		struct obj *at = quota_obj(r, "\"pods\":\"9\"", rows[i].hard, rows[i].at);
		struct obj *then = quota_obj(r, "\"pods\":\"9\"", rows[i].hard, rows[i].then);
		struct obj *onto = quota_obj(r, "\"pods\":\"9\"", rows[i].hard, rows[i].onto);
		const struct val *st;

		quota_list_set(&counted, SV("pods"), sv_from(rows[i].counted));
		st = quota_status(&r->arena, &counted, at, then, onto);
		assert_val(val_member_sv(val_member(st, F_used), SV("pods")), rows[i].used);
		assert_val(val_member_sv(val_member(st, F_hard), SV("pods")), "9");
		assert_int_equal(quota_in_force(at), rows[i].hard[0] != 0);
		assert_true(quota_opened(&counted, at));
		obj_unref(at);
		obj_unref(then);
		obj_unref(onto);
	}
}

static void test_open(void **state)
{
	_cleanup_(quota_list_release) struct quota_list counted = QUOTA_LIST_INIT;
	struct rig *r = *state;
	struct obj *q = quota_obj(r, "\"pods\":\"9\",\"secrets\":\"9\"", "\"secrets\":\"9\"", "\"secrets\":\"3\"");
	const struct val *st;

	quota_list_set(&counted, SV("pods"), SV("7"));
	quota_list_set(&counted, SV("secrets"), SV("2"));
	assert_false(quota_opened(&counted, q));
	st = quota_status_open(&r->arena, &counted, q);
	assert_val(val_member_sv(val_member(st, F_used), SV("pods")), "7");
	assert_val(val_member_sv(val_member(st, F_used), SV("secrets")), "3"); /* which is charged already */
	assert_null(val_member_sv(val_member(st, F_hard), SV("pods")));
	assert_val(val_member_sv(val_member(st, F_hard), SV("secrets")), "9");
	obj_unref(q);
}

/* --- the storm --- */

static struct {
	const struct client_ops *ops; /* as they were */
	struct client_ops mine;
	struct rig *rig;
	int left, made, writes, unseen;
} storm;

/* As a write does that was admitted when there was no quota. */
static void storm_unseen(void)
{
	static const char value[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"u%d\","
				    "\"namespace\":\"default\",\"uid\":\"u%d\"}}";
	struct arena *a = &storm.rig->arena;
	int i = storm.unseen++;
	struct store_write w = { .key = sv_from(arena_printf(a, "/registry/configmaps/default/u%d", i)),
				 .value = sv_from(arena_printf(a, value, i, i)) };

	assert_int_equal(store_commit_wait(storm.rig->store, &w, NULL, NULL), 1);
}

/* Something comes before each write of the controller, so that it meets another version than it has read. */
static int storm_update(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
			const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct arena *a = &storm.rig->arena;

	storm.writes++;
	if (r == RES(core_resourcequotas) && storm.left > 0) {
		struct val *map = val_new_map(a), *meta = val_set_map(a, map, F_metadata);

		storm.left--;
		val_set_cstr(a, map, F_apiVersion, "v1");
		val_set_cstr(a, map, F_kind, "ConfigMap");
		val_set_str(a, meta, F_namespace, SV("default"));
		val_set_strf(a, meta, F_name, "s%d", storm.made++);
		assert_int_equal(
		    client_create(storm.rig->client, RES(core_configmaps), SV("default"), map, NULL, NULL, NULL), 0);
	}
	return storm.ops->update(c, r, ns, name, doc, o, ret, err);
}

static void storm_client(struct client *c, const char *account)
{
	if (strcmp(account, "resourcequota-controller"))
		return;
	storm.ops = c->ops;
	storm.mine = *c->ops;
	storm.mine.update = storm_update;
	c->ops = &storm.mine;
}

static int64_t storm_used(struct rig *r, bool *ret_in_force)
{
	const struct val *q = expect(r, 200, "GET", NS "/resourcequotas/q", NULL);
	struct sv text = val_str(val_member_sv(val_get(q, F_status, F_used), SV("count/configmaps")));
	int64_t n = -1;

	*ret_in_force = val_member_sv(val_get(q, F_status, F_hard), SV("count/configmaps"));
	return sv_to_i64(text, &n) ? n : -1;
}

/* However much comes, a new quota is in force in a moment, and what is used is right when it is over. */
static void test_storm(void **state)
{
	struct cluster k;
	bool in_force;
	int there;

	storm.rig = *state;
	storm.made = storm.writes = 0;
	cluster_client = storm_client;
	k = cluster_start(state);
	cluster_run(&k, 1);
	there = (int)val_len(val_get(expect(k.rig, 200, "GET", NS "/configmaps", NULL), F_items));
	storm.left = 1000;
	expect(k.rig, 201, "POST", NS "/resourcequotas",
	       "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"count/configmaps\":\"100000\"}}}");
	cluster_run(&k, 2);
	storm_used(k.rig, &in_force);
	assert_true(in_force);
	storm.left = 0;
	cluster_run(&k, 5);
	assert_true(storm.made > 0);
	assert_int_equal(storm_used(k.rig, &in_force), there + storm.made);
	/* What goes while others come is seen, too. */
	storm.left = 20;
	expect(k.rig, 200, "DELETE", NS "/configmaps/s0", NULL);
	cluster_run(&k, 10);
	assert_int_equal(storm.left, 0);
	assert_int_equal(storm_used(k.rig, &in_force), there + storm.made - 1);
	cluster_client = NULL;
	cluster_finish(&k);
}

/* The first count has been made when it writes. */
static int late_update(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
		       const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	if (r == RES(core_resourcequotas) && !storm.unseen)
		storm_unseen();
	return storm.ops->update(c, r, ns, name, doc, o, ret, err);
}

static void late_client(struct client *c, const char *account)
{
	storm_client(c, account);
	storm.mine.update = late_update;
}

/* What was admitted before there was a quota and is done behind its first count is counted all the same. */
static void test_unseen(void **state)
{
	struct cluster k;
	bool in_force;
	int there;

	storm.rig = *state;
	storm.unseen = 0;
	cluster_client = late_client;
	k = cluster_start(state);
	cluster_run(&k, 1);
	there = (int)val_len(val_get(expect(k.rig, 200, "GET", NS "/configmaps", NULL), F_items));
	expect(k.rig, 201, "POST", NS "/resourcequotas",
	       "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"count/configmaps\":\"100000\"}}}");
	cluster_run(&k, 3);
	assert_int_equal(storm.unseen, 1);
	assert_int_equal(storm_used(k.rig, &in_force), there + 1);
	/* And by who took as long as a write may. */
	cluster_run(&k, 30);
	storm_unseen();
	cluster_run(&k, 40);
	assert_int_equal(storm_used(k.rig, &in_force), there + 2);
	assert_true(in_force);
	cluster_client = NULL;
	cluster_finish(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_status, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_open, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_storm, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_unseen, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
