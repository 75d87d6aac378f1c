/* Long requests end with the right to them: who is watching loses it, or what proves who he is ends. Virtual time. */
#include "harness.h"

#include "codec/jws.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define RBAC "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
#define MINUTE (60 * NS_PER_SEC)

static void put(struct rig *r, const char *name)
{
	char body[64];

	(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"}}", name);
	expect(r, 201, "POST", CM, body);
	rig_run(r, 0);
}

/* subject: JSON of one */
static void bind(struct rig *r, const char *subject)
{
	char body[512];

	expect(r, 201, "POST", RBAC "/roles",
	       "{\"metadata\":{\"name\":\"reader\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],"
	       "\"verbs\":[\"watch\"]}]}");
	(void)snprintf(body, sizeof(body),
		       "{\"metadata\":{\"name\":\"reader\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
		       "\"kind\":\"Role\",\"name\":\"reader\"},\"subjects\":[%s]}",
		       subject);
	expect(r, 201, "POST", RBAC "/rolebindings", body);
}

#define BOB "{\"kind\":\"User\",\"apiGroup\":\"rbac.authorization.k8s.io\",\"name\":\"bob\"}"
#define ROBOT "{\"kind\":\"ServiceAccount\",\"namespace\":\"default\",\"name\":\"robot\"}"

static struct answer *watch(struct rig *r, const struct ask *as)
{
	struct ask ask = *as;
	struct answer *a;

	ask.method = "GET";
	ask.path = CM "?watch=true";
	a = api_ask(r, &ask);
	if (!a->streaming)
		print_error("%d %s\n", a->code, buf_cstr(&a->body));
	assert_true(a->streaming);
	return a;
}

/* The stream ends within a minute, and its last words are a Status. */
static void assert_revoked(struct rig *r, struct answer *a, int code, const char *reason)
{
	const struct val *last;

	assert_false(a->ended);
	rig_run(r, MINUTE);
	assert_true(a->ended);
	last = stream_line(a, stream_lines(a) - 1);
	assert_val(val_get(last, F_type), "ERROR");
	assert_val(val_get(last, F_object, F_kind), "Status");
	assert_int_equal(val_get_int(last, 0, F_object, F_code), code);
	assert_val(val_get(last, F_object, F_reason), reason);
	put(r, "later"); /* and nothing more is heard */
	answer_free(a);
	expect(r, 200, "DELETE", CM "/later", NULL);
}

static void test_right_withdrawn(void **state)
{
	struct rig *r = *state;
	struct answer *a, *other;

	bind(r, BOB);
	a = watch(r, &(struct ask){ .user = "bob" });
	other = watch(r, &(struct ask){ 0 });
	rig_run(r, 10 * MINUTE);
	put(r, "a");
	assert_false(a->ended);
	assert_int_equal(stream_lines(a), stream_lines(other));
	expect(r, 200, "DELETE", RBAC "/rolebindings/reader", NULL);
	assert_revoked(r, a, 403, "Forbidden");
	rig_run(r, 5 * MINUTE);
	assert_false(other->ended); /* whoever may, goes on */
	answer_gone(other);
}

/* Not the binding but the role it names. */
static void test_role_emptied(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	bind(r, BOB);
	a = watch(r, &(struct ask){ .user = "bob" });
	rig_run(r, 5 * MINUTE);
	expect(r, 200, "PUT", RBAC "/roles/reader", "{\"metadata\":{\"name\":\"reader\"},\"rules\":[]}");
	assert_revoked(r, a, 403, "Forbidden");
}

/* Taken away and given back between two looks: nothing happened. */
static void test_right_given_back(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	bind(r, BOB);
	a = watch(r, &(struct ask){ .user = "bob" });
	expect(r, 200, "DELETE", RBAC "/rolebindings/reader", NULL);
	expect(r, 200, "DELETE", RBAC "/roles/reader", NULL);
	bind(r, BOB);
	rig_run(r, 5 * MINUTE);
	assert_false(a->ended);
	answer_gone(a);
}

/* "Bearer TOKEN" of the service account robot; ref: a boundObjectRef or "". Seconds: at least 600. */
static const char *token(struct rig *r, const char *ref, int seconds)
{
	char body[512];

	(void)snprintf(body, sizeof(body), "{\"spec\":{\"expirationSeconds\":%d%s}}", seconds, ref);
	return arena_printf(
	    &r->arena, "Bearer %.*s",
	    SV_ARG(val_get_str(expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", body),
			       F_status, F_token)));
}

static void robot(struct rig *r)
{
	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"robot\"}}");
	bind(r, ROBOT);
}

static void test_account_deleted(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	robot(r);
	a = watch(r, &(struct ask){ .authorization = token(r, "", 3600) });
	rig_run(r, 5 * MINUTE);
	put(r, "a");
	assert_true(stream_lines(a) > 0);
	expect(r, 200, "DELETE", "/api/v1/namespaces/default/serviceaccounts/robot", NULL);
	assert_revoked(r, a, 401, "Unauthorized");
}

/* The token was good when it was looked at, was remembered, and was not good any more when the watch began. */
static void test_remembered_token(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	const char *t;

	robot(r);
	t = token(r, "", 3600);
	answer_gone(watch(r, &(struct ask){ .authorization = t }));
	expect(r, 200, "DELETE", "/api/v1/namespaces/default/serviceaccounts/robot", NULL);
	a = watch(r, &(struct ask){ .authorization = t });
	assert_revoked(r, a, 401, "Unauthorized");
}

static void test_bound_object_deleted(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	robot(r);
	expect(r, 201, "POST", "/api/v1/namespaces/default/secrets", "{\"metadata\":{\"name\":\"life\"}}");
	a = watch(
	    r, &(struct ask){
		   .authorization = token(
		       r, ",\"boundObjectRef\":{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"name\":\"life\"}", 3600) });
	rig_run(r, 5 * MINUTE);
	expect(r, 200, "DELETE", "/api/v1/namespaces/default/secrets/life", NULL);
	assert_revoked(r, a, 401, "Unauthorized");
}

/* The token that a Secret holds ends when the Secret holds another. */
static void test_token_secret_changed(void **state)
{
	static const char secrets[] = "/api/v1/namespaces/default/secrets";
	struct rig *r = *state;
	struct answer *a;
	struct sv t, uid;
	_cleanup_(jws_keys_freep) struct jws_keys *keys = jws_keys_pem_all(apiserver_token_key_pem(r->server), NULL);

	robot(r);
	uid = val_get_str(expect(r, 200, "GET", "/api/v1/namespaces/default/serviceaccounts/robot", NULL), F_metadata,
			  F_uid);
	assert_int_equal(
	    jws_sign(&r->arena,
		     arena_svf(&r->arena,
			       "{\"iss\":\"kubernetes/serviceaccount\",\"sub\":\"system:serviceaccount:default:robot"
			       "\",\"kubernetes.io/serviceaccount/namespace\":\"default\","
			       "\"kubernetes.io/serviceaccount/secret.name\":\"life\","
			       "\"kubernetes.io/serviceaccount/service-account.name\":\"robot\","
			       "\"kubernetes.io/serviceaccount/service-account.uid\":\"%.*s\"}",
			       SV_ARG(uid)),
		     apiserver_token_key_pem(r->server), jws_keys_id(keys), &t, NULL),
	    0);
	expect(r, 201, "POST", secrets,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"life\",\"annotations\":{\"kubernetes.io/service-account.name\":"
			    "\"robot\"}},\"type\":\"kubernetes.io/service-account-token\",\"stringData\":{\"token\":"
			    "\"%.*s\"}}",
			    SV_ARG(t)));
	a = watch(r, &(struct ask){ .authorization = arena_printf(&r->arena, "Bearer %.*s", SV_ARG(t)) });
	rig_run(r, 5 * MINUTE);
	put(r, "a");
	assert_true(stream_lines(a) > 0);
	expect_type(r, 200, "PATCH", arena_printf(&r->arena, "%s/life", secrets), "application/merge-patch+json",
		    "{\"stringData\":{\"token\":\"another\"}}");
	assert_revoked(r, a, 401, "Unauthorized");
}

/* Held by a finalizer, an account is never gone; its tokens end all the same, a minute after it was to be. */
static void test_held_account(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts",
	       "{\"metadata\":{\"name\":\"robot\",\"finalizers\":[\"example.com/hold\"]}}");
	bind(r, ROBOT);
	a = watch(r, &(struct ask){ .authorization = token(r, "", 3600) });
	rig_run(r, 5 * MINUTE);
	expect(r, 200, "DELETE", "/api/v1/namespaces/default/serviceaccounts/robot", NULL);
	rig_run(r, MINUTE - NS_PER_SEC);
	assert_revoked(r, a, 401, "Unauthorized");
}

static void test_token_expires(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	robot(r);
	a = watch(r, &(struct ask){ .authorization = token(r, "", 600) });
	rig_run(r, 10 * MINUTE - NS_PER_SEC);
	assert_false(a->ended);
	assert_revoked(r, a, 401, "Unauthorized");
}

static void test_certificate_expires(void **state)
{
	struct rig *r = *state;
	struct ask ask = { .cert_user = "bob", .cert_until_ns = env_now_ns(r->env) + 5 * MINUTE };
	struct answer *a;

	bind(r, BOB);
	a = watch(r, &ask);
	rig_run(r, 5 * MINUTE - NS_PER_SEC);
	assert_revoked(r, a, 401, "Unauthorized");
	/* Nor does it count for requests on a connection that lives on. */
	ask.method = "GET";
	ask.path = CM "?watch=true";
	expect_status(r, 401, "Unauthorized", "Unauthorized", &ask);
}

/* Who may be bob only by impersonation loses the stream with that right. */
static void test_impersonation_withdrawn(void **state)
{
	static const struct http_header as_bob[] = { { SV("impersonate-user"), SV("bob") }, { .name = { 0 } } };
	struct rig *r = *state;
	struct answer *a;

	bind(r, BOB);
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
	       "{\"metadata\":{\"name\":\"actor\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"users\"],"
	       "\"verbs\":[\"impersonate\"]}]}");
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"actor\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"actor\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"alice\"}]}");
	a = watch(r, &(struct ask){ .cert_user = "alice", .headers = as_bob });
	rig_run(r, 5 * MINUTE);
	expect(r, 200, "DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/actor", NULL);
	assert_revoked(r, a, 403, "Forbidden");
}

/* A peer that reads nothing is let go all the same. */
static void test_stuck_reader(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	bind(r, BOB);
	a = watch(r, &(struct ask){ .user = "bob" });
	a->stuck = true;
	put(r, "a");
	expect(r, 200, "DELETE", RBAC "/rolebindings/reader", NULL);
	rig_run(r, MINUTE);
	assert_true(a->ended);
	answer_free(a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup_with_keys, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_right_withdrawn),	 T(test_role_emptied),
		T(test_right_given_back),	 T(test_account_deleted),
		T(test_remembered_token),	 T(test_bound_object_deleted),
		T(test_token_secret_changed),	 T(test_held_account),
		T(test_token_expires),		 T(test_certificate_expires),
		T(test_impersonation_withdrawn), T(test_stuck_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
