/* Who may give rights away: only what he holds, or what he may escalate or bind. */
#include "harness.h"

#define ROLES "/apis/rbac.authorization.k8s.io/v1/clusterroles"
#define BINDINGS "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"

/* eve may write roles and bindings and get pods, nothing else. */
static void make_eve(struct rig *r)
{
	expect(r, 201, "POST", ROLES,
	       "{\"metadata\":{\"name\":\"eve\"},\"rules\":[{\"apiGroups\":[\"rbac.authorization.k8s.io\"],"
	       "\"resources\":[\"*\"],"
	       "\"verbs\":[\"get\",\"create\",\"update\",\"patch\"]},{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],"
	       "\"verbs\":"
	       "[\"get\"]}]}");
	expect(r, 201, "POST", BINDINGS,
	       "{\"metadata\":{\"name\":\"eve\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\","
	       "\"name\":\"eve\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"eve\"}]}");
}

static void expect_eve(struct rig *r, int code, const char *path, const char *body)
{
	struct answer *a = api(r, "POST", path, .body = body, .user = "eve");

	assert_int_equal(a->code, code);
	answer_free(a);
}

/* 900 short strings spell 27 million rights: they are counted before they are compared. */
static void test_too_many_rights(void **state)
{
	struct rig *r = *state;
	_cleanup_(buf_release) struct buf list = BUF_INIT;
	const char *names;

	make_eve(r);
	for (int i = 0; i < 300; i++)
		buf_printf(&list, "%s\"x%d\"", i ? "," : "", i);
	names = buf_cstr(&list);
	expect_status(
	    r, 403, "Forbidden", "is attempting to grant more than 16384 RBAC permissions at once",
	    &(struct ask){ .method = "POST",
			   .path = ROLES,
			   .user = "eve",
			   .body = arena_printf(&r->arena,
						"{\"metadata\":{\"name\":\"wide\"},\"rules\":[{\"apiGroups\":"
						"[\"\"],\"verbs\":[%s],\"resources\":[%s],\"resourceNames\":[%s]}]}",
						names, names, names) });
	/* All that is there in few words is no product. */
	expect_status(
	    r, 403, "Forbidden", "permissions not currently held",
	    &(struct ask){ .method = "POST",
			   .path = ROLES,
			   .user = "eve",
			   .body = arena_printf(&r->arena,
						"{\"metadata\":{\"name\":\"long\"},\"rules\":[{\"apiGroups\":"
						"[\"\"],\"verbs\":[\"get\"],\"resources\":[%s],\"resourceNames\":["
						"\"a\"]}]}",
						names) });
}

static void test_escalation(void **state)
{
	struct rig *r = *state;

	make_eve(r);
	expect_eve(r, 201, ROLES,
		   "{\"metadata\":{\"name\":\"ok\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],"
		   "\"verbs\":[\"get\"]}]}");
	/* What is missing, one line a resource, sorted; named although the name is only in the body. */
	expect_status(
	    r, 403, "Forbidden",
	    "clusterroles.rbac.authorization.k8s.io \"big\" is forbidden: user \"eve\" "
	    "(groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n"
	    "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\"]}\n"
	    "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}\n"
	    "{NonResourceURLs:[\"/logs\"], Verbs:[\"get\"]}",
	    &(struct ask){ .method = "POST",
			   .path = ROLES,
			   .user = "eve",
			   .body = "{\"metadata\":{\"name\":\"big\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":["
				   "\"secrets\",\"pods\"],\"verbs\":[\"get\",\"list\"]},{\"nonResourceURLs\":["
				   "\"/logs\"],\"verbs\":[\"get\"]}]}" });
	expect_status(r, 403, "Forbidden", "not currently held",
		      &(struct ask){ .method = "POST",
				     .path = BINDINGS,
				     .user = "eve",
				     .body =
					 "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":"
					 "\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":"
					 "\"cluster-admin\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"eve\"}]}" });
	/* the missing role is told before what it may be worth */
	expect_status(r, 404, "NotFound", "clusterroles.rbac.authorization.k8s.io \"none\" not found",
		      &(struct ask){ .method = "POST",
				     .path = BINDINGS,
				     .user = "eve",
				     .body =
					 "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":"
					 "\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"none\"},"
					 "\"subjects\":[{\"kind\":\"User\",\"name\":\"eve\"}]}" });
}

/* Rules come into a role in other ways than by its own. */
static void test_aggregation(void **state)
{
	struct rig *r = *state;

	make_eve(r);
	expect_status(
	    r, 403, "Forbidden", "must have cluster-admin privileges to use the aggregationRule",
	    &(struct ask){ .method = "POST",
			   .path = ROLES,
			   .user = "eve",
			   .body = "{\"metadata\":{\"name\":\"all\"},\"aggregationRule\":{\"clusterRoleSelectors\":[{"
				   "\"matchLabels\":{\"a\":\"b\"}}]}}" });
	expect(r, 201, "POST", ROLES,
	       "{\"metadata\":{\"name\":\"big\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],"
	       "\"verbs\":[\"get\"]}]}");
	/* A label makes others collect the rules: giving it is giving them. */
	expect_status(r, 403, "Forbidden", "not currently held",
		      &(struct ask){ .method = "PATCH",
				     .path = ROLES "/big",
				     .user = "eve",
				     .type = "application/merge-patch+json",
				     .body =
					 "{\"metadata\":{\"labels\":{\"rbac.authorization.k8s.io/aggregate-to-view\":"
					 "\"true\"}}}" });
	{
		struct answer *a = api(r, "PATCH", ROLES "/big", .user = "eve", .type = "application/merge-patch+json",
				       .body = "{\"metadata\":{\"annotations\":{\"a\":\"b\"}}}");

		assert_int_equal(a->code, 200);
		answer_free(a);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_escalation), T(test_too_many_rights), T(test_aggregation) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
