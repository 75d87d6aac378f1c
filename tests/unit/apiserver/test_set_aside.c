/* Objects that ended the server twice: not handed out, not hidden either, and they can be deleted. */
#include "harness.h"

#include "base/file.h"
#include "base/quarantine.h"
#include "client/workq.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define KEY "/registry/configmaps/default/bomb"

static char dir[] = "/tmp/caravel-set-aside-XXXXXX";

static int setup(void **state)
{
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	return rig_setup(state);
}

static int teardown(void **state)
{
	quarantine_load("/nonexistent");
	(void)tree_remove(dir, NULL);
	return rig_teardown(state);
}

static void set_aside(struct rig *r, const char *key)
{
	assert_int_equal(quarantine_add(dir, sv_from(key), NULL), 0);
	quarantine_load(dir);
	rig_restart(r);
}

static void bomb(struct rig *r)
{
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"bomb\"}}");
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"other\"}}");
	set_aside(r, KEY);
}

static void expect_set_aside(struct rig *r, const char *method, const char *type, const char *body)
{
	expect_status(r, 500, "InternalError", KEY " ended the server twice and is set aside: delete it, or",
		      &(struct ask){ .method = method, .path = CM "/bomb", .type = type, .body = body });
}

static void test_not_handed_out(void **state)
{
	struct rig *r = *state;
	const struct val *list;
	struct client_list_opts none = { 0 };
	struct obj_list l = { 0 };
	struct err err = ERR_INIT;
	bool listed = false;

	bomb(r);
	expect_set_aside(r, "GET", NULL, NULL);
	expect_set_aside(r, "PUT", NULL, "{\"metadata\":{\"name\":\"bomb\"}}");
	expect_set_aside(r, "PATCH", "application/merge-patch+json", "{\"data\":{\"a\":\"b\"}}");
	expect(r, 409, "POST", CM, "{\"metadata\":{\"name\":\"bomb\"}}");
	expect(r, 404, "GET", CM "/nothing", NULL);
	expect(r, 200, "GET", CM "/other", NULL);
	list = expect(r, 200, "GET", CM, NULL);
	VAL_EACH(val_member(list, F_items), item) {
		assert_false(val_is(val_get(item, F_metadata, F_name), "bomb"));
		listed |= val_is(val_get(item, F_metadata, F_name), "other");
	}
	assert_true(listed);
	/* Our own components see the same. */
	assert_int_equal(client_get(r->client, RES(core_configmaps), SV("default"), SV("bomb"), NULL, &err), -1);
	assert_int_equal(err.reason, ERR_INTERNAL);
	err_release(&err);
	assert_int_equal(client_list(r->client, RES(core_configmaps), SV("default"), &none, &l, &err), 0);
	obj_list_release(&l);
}

static void test_named_in_readyz(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	bomb(r);
	a = api(r, "GET", "/readyz?verbose");
	assert_int_equal(a->code, 200);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("[+]set-aside ok: " KEY " ended the server twice")) >= 0);
	answer_free(a);
	a = api(r, "GET", "/readyz");
	assert_sv(buf_sv(&a->body), "ok");
	answer_free(a);
}

static void test_deletion(void **state)
{
	struct rig *r = *state;

	bomb(r);
	/* Nobody knows its uid: who insists on one is not obeyed. */
	expect_set_aside(r, "DELETE", NULL, "{\"preconditions\":{\"uid\":\"x\"}}");
	expect_status(r, 403, "Forbidden", "",
		      &(struct ask){ .method = "DELETE", .path = CM "/bomb", .user = "mallory", .no_groups = true });
	assert_true(quarantine_has(SV(KEY)));
	expect(r, 200, "DELETE", CM "/bomb", NULL);
	assert_false(quarantine_has(SV(KEY)));
	expect(r, 404, "GET", CM "/bomb", NULL);
	expect(r, 404, "DELETE", CM "/bomb", NULL);
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"bomb\"}}");
	expect(r, 200, "GET", CM "/bomb", NULL);
	/* And after the next start. */
	quarantine_load(dir);
	rig_restart(r);
	expect(r, 200, "GET", CM "/bomb", NULL);
}

static void test_gone_already(void **state)
{
	struct rig *r = *state;

	set_aside(r, KEY);
	expect(r, 404, "DELETE", CM "/bomb", NULL);
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"bomb\"}}");
	expect(r, 200, "GET", CM "/bomb", NULL);
}

/* What every start makes anew, too. */
static void test_what_the_server_needs(void **state)
{
	struct rig *r = *state;

	set_aside(r, "/registry/clusterroles/admin");
	set_aside(r, "/registry/namespaces/kube-system");
	set_aside(r, "/registry/services/specs/default/kubernetes");
	set_aside(r, "/registry/services/endpoints/default/kubernetes");
	set_aside(r, "/registry/flowschemas/exempt");
	rig_run(r, 130 * NS_PER_SEC);
	expect_status(r, 500, "InternalError", "is set aside",
		      &(struct ask){ .method = "GET", .path = "/api/v1/namespaces/kube-system" });
	expect(r, 200, "GET", "/api/v1/namespaces/default", NULL);
	expect(r, 200, "DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterroles/admin", NULL);
	rig_restart(r);
	expect(r, 200, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/admin", NULL);
}

static int runs[2];

static int reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	(void)ctx;
	(void)ret;
	(void)err;
	runs[sv_is(key, "default/bomb")]++;
	return 0;
}

static void test_reconcile(void **state)
{
	struct rig *r = *state;
	struct workq *q;

	set_aside(r, "reconcile test default/bomb");
	q = workq_new(r->env, &(struct workq_opts){ .name = "test", .reconcile = reconcile });
	workq_add(q, SV("default/bomb"));
	workq_add(q, SV("default/other"));
	rig_run(r, NS_PER_SEC);
	assert_int_equal(runs[0], 1);
	assert_int_equal(runs[1], 0);
	workq_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_not_handed_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_named_in_readyz, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletion, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_already, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_the_server_needs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reconcile, setup, teardown),
	};

	return cmocka_run_group_tests_name("apiserver/set_aside", tests, NULL, NULL);
}
