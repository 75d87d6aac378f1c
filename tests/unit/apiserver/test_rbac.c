/* Who may give rights away: only what he holds, or what he may escalate or bind. */
#include "harness.h"

#include "apiserver/authz.h"
#include "base/costs.h"

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

/* What everything cost so far; only debug builds count. */
static uint64_t steps(void)
{
#ifdef CARAVEL_COUNT_COSTS
	return costs;
#else
	return 0;
#endif
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

/* "HEAD, n times the element with its number for %d, TAIL" with commas; of the rig. */
static const char *repeated(struct rig *r, const char *head, const char *element, int n, const char *tail)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, head);
	for (int i = 0; i < n; i++) {
		const char *at = strstr(element, "%d");

		buf_adds(&b, i ? "," : "");
		if (at)
			buf_printf(&b, "%.*s%d%s", (int)(at - element), element, i, at + 2);
		else
			buf_adds(&b, element);
	}
	buf_adds(&b, tail);
	return arena_strdup(&r->arena, buf_cstr(&b));
}

/* A ClusterRole of n such rules, and a binding that names eve in it, several times. */
static void give_eve(struct rig *r, const char *name, const char *rule, int n, int times)
{
	expect(
	    r, 201, "POST", ROLES,
	    repeated(r, arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"rules\":[", name), rule, n, "]}"));
	expect(r, 201, "POST", BINDINGS,
	       repeated(r,
			arena_printf(&r->arena,
				     "{\"metadata\":{\"name\":\"%s\"},\"roleRef\":{\"apiGroup\":"
				     "\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"%s\"},"
				     "\"subjects\":[",
				     name, name),
			"{\"kind\":\"User\",\"name\":\"eve\"}", times, "]}"));
}

/* eve asks for `get` on n Secrets by name. Returns what that cost. */
static uint64_t refuse_names(struct rig *r, int n, const char *words)
{
	uint64_t before = steps();

	expect_status(
	    r, 403, "Forbidden", words,
	    &(struct ask){ .method = "POST",
			   .path = ROLES,
			   .user = "eve",
			   .body = repeated(r,
					    "{\"metadata\":{\"name\":\"n\"},\"rules\":[{\"apiGroups\":[\"\"],"
					    "\"verbs\":[\"get\"],\"resources\":[\"secrets\"],\"resourceNames\":[",
					    "\"q%d\"", n, "]}]}") });
	return steps() - before;
}

/* What is wanted is not compared with each rule that is held: ten times as much of both costs ten times as much. */
static void test_many_held(void **state)
{
	struct rig *r = *state;
	uint64_t few, many;

	make_eve(r);
	give_eve(r, "few",
		 "{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"],\"resourceNames\":[\"p%d\"]}", 200,
		 1);
	few = refuse_names(r, 200, "not currently held");
	give_eve(r, "many",
		 "{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"],\"resourceNames\":[\"p%d\"]}",
		 1800, 1);
	many = refuse_names(r, 2000, "not currently held");
	if (many > few * 20)
		fail_msg("%" PRIu64 " for 200 rules and names, %" PRIu64 " for 2000", few, many);
}

/* Where numbers do not help the work is counted, and refused when it is too much. */
static void test_too_many_steps(void **state)
{
	struct rig *r = *state;

	make_eve(r);
	give_eve(
	    r, "near",
	    "{\"apiGroups\":[\"\"],\"resources\":[\"secrets\",\"x%d\"],\"verbs\":[\"get\"],\"resourceNames\":[\"q1\"]}",
	    600, 1);
	refuse_names(r, 1000, "not currently held");
	refuse_names(r, 16000, "more RBAC permissions than can be compared with all that is held");
}

/* A name in a rule is a name, whatever it looks like: "*" gives nothing, so nothing can be given on by it. */
static void test_star_is_a_name(void **state)
{
	struct rig *r = *state;

	make_eve(r);
	give_eve(r, "star",
		 "{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"verbs\":[\"get\"],\"resourceNames\":[\"*\"]}", 1,
		 1);
	expect_status(r, 403, "Forbidden", "cannot get resource \"secrets\"",
		      &(struct ask){ .method = "GET", .path = "/api/v1/namespaces/default/secrets/q0", .user = "eve" });
	refuse_names(r, 1, "{APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"q0\"], Verbs:[\"get\"]}");
	expect_eve(r, 201, ROLES,
		   "{\"metadata\":{\"name\":\"again\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],"
		   "\"verbs\":[\"get\"],\"resourceNames\":[\"*\"]}]}");
}

static uint64_t refuse_secret(struct rig *r)
{
	uint64_t before = steps();

	expect_status(r, 403, "Forbidden", "cannot get resource \"secrets\"",
		      &(struct ask){ .method = "GET", .path = "/api/v1/namespaces/default/secrets/x", .user = "eve" });
	return steps() - before;
}

static void expect_pod(struct rig *r, int code)
{
	struct answer *a = api(r, "GET", "/api/v1/namespaces/default/pods/x", .user = "eve");

	assert_int_equal(a->code, code);
	answer_free(a);
}

/* However often a binding names somebody, and however many bindings give him a role: its rules are gone through once.
 */
static void test_named_again(void **state)
{
	static const char rule[] = "{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\",\"x%d\"]}";
	struct rig *r = *state;
	uint64_t once;

	give_eve(r, "once", rule, 300, 1);
	once = refuse_secret(r);
	give_eve(r, "often", rule, 300, 300);
	assert_true(refuse_secret(r) < 3 * once + 1000);
	expect(r, 201, "POST", BINDINGS,
	       "{\"metadata\":{\"name\":\"other\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"often\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"eve\"}]}");
	assert_true(refuse_secret(r) < 3 * once + 1000);

	/* What one binding gave is gone with it, and only that. */
	expect_pod(r, 404);
	expect(r, 200, "DELETE", BINDINGS "/once", NULL);
	expect_pod(r, 404);
	expect(r, 200, "DELETE", BINDINGS "/often", NULL);
	expect_pod(r, 404);
	expect(r, 200, "DELETE", BINDINGS "/other", NULL);
	expect_pod(r, 403);
}

/* Who asks about a group again and again asks about it once. */
static void test_group_again(void **state)
{
	struct rig *r = *state;
	uint64_t cost[2];

	expect(r, 201, "POST", ROLES,
	       repeated(r, "{\"metadata\":{\"name\":\"wide\"},\"rules\":[",
			"{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\",\"x%d\"]}", 300, "]}"));
	expect(r, 201, "POST", BINDINGS,
	       "{\"metadata\":{\"name\":\"wide\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"wide\"},\"subjects\":[{\"kind\":\"Group\",\"name\":\"g\"}]}");
	for (int i = 0; i < 2; i++) {
		const char *body = repeated(r, "{\"spec\":{\"groups\":[", "\"g\"", i ? 300 : 1,
					    "],\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"secrets\"}}}");
		uint64_t before = steps();
		const struct val *o =
		    expect(r, 201, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body);

		cost[i] = steps() - before;
		assert_false(val_get_bool(o, F_status, F_allowed));
	}
	assert_true(cost[1] < 3 * cost[0] + 10000);
}

/* A word costs its length once, not once in each right that it is in; and a refusal is not longer than what it is
 * about. */
static void test_long_words(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct user_info eve = { .name = SV("eve") };
	struct arena a = ARENA_INIT;
	char word[20001];
	struct val *rules;
	size_t before;

	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	rules =
	    json_decode(&a,
			sv_from(repeated(r, "[{\"apiGroups\":[\"\"],\"verbs\":[\"get\"],\"resources\":[", "\"q%d\"",
					 1000, arena_printf(&r->arena, "],\"resourceNames\":[\"a\",\"%s\"]}]", word))),
			NULL, NULL);
	before = a.bytes;
	assert_int_equal(authz_covers(r->server, &a, &eve, SV(""), rules, &err), -1);
	assert_non_null(strstr(err_msg(&err), "not currently held:\n{APIGroups:[\"\"], Resources:[\"q0\"], "
					      "ResourceNames:[\"a\"], Verbs:[\"get\"]}"));
	assert_true(strlen(err_msg(&err)) < 20000);
	assert_true(a.bytes - before < 200000);
	arena_release(&a);
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
	const struct CMUnitTest tests[] = { T(test_long_words),	     T(test_group_again), T(test_escalation),
					    T(test_too_many_rights), T(test_many_held),	  T(test_too_many_steps),
					    T(test_star_is_a_name),  T(test_named_again), T(test_aggregation) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
