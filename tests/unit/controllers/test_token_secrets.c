/* Secrets that hold the token of an account: what is refused, what fills them, what ends them and their tokens. Asked
 * with TokenReview, so that nothing is remembered between questions. */
#include "real.h"

#include "base/b64.h"
#include "controllers/podutil.h"
#include "codec/jws.h"

#define NS "/api/v1/namespaces/team"
#define ANN(name) "\"annotations\":{\"kubernetes.io/service-account.name\":\"" name "\"}"
#define TOKEN_SECRET(secret, account)                                                       \
	"{\"metadata\":{\"name\":\"" secret "\"," ANN(account) "},\"type\":\"kubernetes.io" \
							       "/service-account-token\"}"

static struct cluster world(void **state)
{
	struct cluster k = cluster_start(state);

	expect(k.rig, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"team\"}}");
	expect(k.rig, 201, "POST", NS "/serviceaccounts", "{\"metadata\":{\"name\":\"robot\"}}");
	cluster_run(&k, 1);
	return k;
}

static struct sv member(struct rig *r, const struct val *secret, const char *key)
{
	struct sv out = SV("");

	assert_true(b64_decode(&r->arena, val_str(val_member_sv(val_member(secret, F_data), sv_from(key))), &out));
	return out;
}

/* The Secret, filled; its token in *ret. */
static const struct val *filled(struct cluster *k, const char *name, struct sv *ret)
{
	struct rig *r = k->rig;
	const struct val *s;

	cluster_run(k, 1);
	s = expect(r, 200, "GET", arena_printf(&r->arena, NS "/secrets/%s", name), NULL);
	*ret = member(r, s, "token");
	assert_true(ret->n > 0);
	assert_true(sv_eq(member(r, s, "ca.crt"), apiserver_ca_pem(r->server)));
	assert_sv(member(r, s, "namespace"), "team");
	return s;
}

static const struct val *review(struct rig *r, struct sv token, const char *audiences)
{
	return val_get(expect(r, 201, "POST", "/apis/authentication.k8s.io/v1/tokenreviews",
			      arena_printf(&r->arena, "{\"spec\":{\"token\":\"%.*s\"%s}}", SV_ARG(token), audiences)),
		       F_status);
}

static bool good(struct rig *r, struct sv token)
{
	return val_get_bool(review(r, token, ""), F_authenticated);
}

static void patch(struct rig *r, const char *path, const char *body)
{
	expect_type(r, 200, "PATCH", path, "application/merge-patch+json", body);
}

static void test_refused(void **state)
{
	static const char *const broken[] = {
		/* iss alone; another sub; an account that is not there; a Secret that is not */
		"{\"iss\":\"kubernetes/serviceaccount\"}",
		"{\"iss\":\"kubernetes/serviceaccount\",\"sub\":\"system:serviceaccount:team:default\","
		"\"kubernetes.io/serviceaccount/namespace\":\"team\",\"kubernetes.io/serviceaccount/secret.name\":"
		"\"t\",\"kubernetes.io/serviceaccount/service-account.name\":\"robot\","
		"\"kubernetes.io/serviceaccount/service-account.uid\":\"%.*s\"}",
		"{\"iss\":\"kubernetes/serviceaccount\",\"sub\":\"system:serviceaccount:team:gone\","
		"\"kubernetes.io/serviceaccount/namespace\":\"team\",\"kubernetes.io/serviceaccount/secret.name\":"
		"\"t\",\"kubernetes.io/serviceaccount/service-account.name\":\"gone\","
		"\"kubernetes.io/serviceaccount/service-account.uid\":\"%.*s\"}",
		"{\"iss\":\"kubernetes/serviceaccount\",\"sub\":\"system:serviceaccount:team:robot\","
		"\"kubernetes.io/serviceaccount/namespace\":\"team\",\"kubernetes.io/serviceaccount/secret.name\":"
		"\"gone\",\"kubernetes.io/serviceaccount/service-account.name\":\"robot\","
		"\"kubernetes.io/serviceaccount/service-account.uid\":\"%.*s\"}",
		/* all of it right, but not what the Secret holds */
		"{\"iss\":\"kubernetes/serviceaccount\",\"sub\":\"system:serviceaccount:team:robot\",\"n\":1,"
		"\"kubernetes.io/serviceaccount/namespace\":\"team\",\"kubernetes.io/serviceaccount/secret.name\":"
		"\"t\",\"kubernetes.io/serviceaccount/service-account.name\":\"robot\","
		"\"kubernetes.io/serviceaccount/service-account.uid\":\"%.*s\"}",
	};
	struct cluster k = world(state);
	struct rig *r = k.rig;
	struct sv token, uid, forged, key = apiserver_token_key_pem(r->server);

	expect_status(r, 422, "Invalid", "metadata.annotations[kubernetes.io/service-account.name]: Required value",
		      &(struct ask){ .method = "POST",
				     .path = NS "/secrets",
				     .body = "{\"metadata\":{\"name\":\"t\"},\"type\":\"kubernetes.io/"
					     "service-account-token\"}" });
	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("t", "robot"));
	(void)filled(&k, "t", &token);
	uid = val_get_str(expect(r, 200, "GET", NS "/serviceaccounts/robot", NULL), F_metadata, F_uid);
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		const char *rest = strstr(broken[i], "%.*s");
		struct sv claims =
		    rest ? arena_svf(&r->arena, "%.*s%.*s%s", (int)(rest - broken[i]), broken[i], SV_ARG(uid), rest + 4)
			 : sv_from(broken[i]);

		assert_int_equal(jws_sign(&r->arena, claims, key, SV("k"), &forged, NULL), 0);
		assert_false(good(r, forged));
	}
	/* For others than the API server it is not. */
	assert_false(val_get_bool(review(r, token, ",\"audiences\":[\"vault\"]"), F_authenticated));
	/* Nobody is who an opaque Secret with the same words would like to be. */
	expect(r, 201, "POST", NS "/secrets", "{\"metadata\":{\"name\":\"o\"," ANN("robot") "},\"type\":\"Opaque\"}");
	cluster_run(&k, 1);
	assert_null(val_get(expect(r, 200, "GET", NS "/secrets/o", NULL), F_data));
	cluster_finish(&k);
}

static void test_filled(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;
	const struct val *s, *st, *account = expect(r, 200, "GET", NS "/serviceaccounts/robot", NULL);
	struct sv token, again;

	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("t", "robot"));
	s = filled(&k, "t", &token);
	assert_true(
	    sv_eq(annotation_of(s, "kubernetes.io/service-account.uid"), val_get_str(account, F_metadata, F_uid)));
	st = review(r, token, "");
	assert_true(val_get_bool(st, F_authenticated));
	assert_val(val_get(st, F_user, F_username), "system:serviceaccount:team:robot");
	assert_true(sv_eq(val_get_str(st, F_user, F_uid), val_get_str(account, F_metadata, F_uid)));
	assert_int_equal(val_len(val_get(st, F_user, F_groups)), 3);
	assert_null(val_get(st, F_user, F_extra));

	/* It has no end of its own. */
	rig_run(r, 2 * 3600 * NS_PER_SEC);
	assert_true(good(r, token));

	/* What was taken out comes back, and what was there stays. */
	patch(r, NS "/secrets/t", "{\"data\":{\"ca.crt\":null,\"namespace\":null,\"mine\":\"bWU=\"}}");
	s = filled(&k, "t", &again);
	assert_true(sv_eq(token, again));
	assert_sv(member(r, s, "mine"), "me");
	patch(r, NS "/secrets/t", "{\"data\":{\"ca.crt\":\"b2xk\"}}");
	(void)filled(&k, "t", &again);

	/* One written by hand instead ends the token, and is left alone; none makes another. */
	patch(r, NS "/secrets/t", "{\"data\":{\"token\":\"bWluZQ==\"}}");
	assert_false(good(r, token));
	(void)filled(&k, "t", &again);
	assert_sv(again, "mine");
	patch(r, NS "/secrets/t", "{\"data\":{\"token\":null}}");
	(void)filled(&k, "t", &again);
	assert_true(good(r, again));
	cluster_finish(&k);
}

static const char *label(struct rig *r, const char *key)
{
	const struct val *s = expect(r, 200, "GET", NS "/secrets/t", NULL);

	return arena_cstr(&r->arena, val_str(val_member_sv(val_get(s, F_metadata, F_labels), sv_from(key))));
}

#define LAST_USED label(r, "kubernetes.io/legacy-token-last-used")
#define AUTO                                                                                                      \
	"Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated " \
	"secret-based tokens."

/* The day of a use stands at the Secret, written once a day; a token that its account lists is warned of. */
static void test_use(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;
	struct sv token;
	struct answer *a;
	const char *bearer;
	int64_t rev;

	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("t", "robot"));
	(void)filled(&k, "t", &token);
	assert_string_equal(LAST_USED, "");
	bearer = arena_printf(&r->arena, "Bearer %.*s", SV_ARG(token));
	a = api(r, "GET", "/version", .authorization = bearer);
	assert_int_equal(a->q.n_warnings, 0);
	answer_free(a);
	rig_run(r, 0);
	assert_string_equal(LAST_USED, "2026-01-01");
	rev = rev_of(expect(r, 200, "GET", NS "/secrets/t", NULL));
	assert_true(good(r, token));
	rig_run(r, 3600 * NS_PER_SEC);
	assert_true(good(r, token));
	assert_int_equal(rev_of(expect(r, 200, "GET", NS "/secrets/t", NULL)), rev);
	rig_run(r, 24 * 3600 * NS_PER_SEC);
	/* Tomorrow's is another server's word, whose clock is ahead; it is not turned back. */
	patch(r, NS "/secrets/t",
	      "{\"metadata\":{\"labels\":{\"kubernetes.io/legacy-token-last-used\":\"2026-01-03\"}}}");
	assert_true(good(r, token));
	rig_run(r, 0);
	assert_string_equal(LAST_USED, "2026-01-03");
	patch(r, NS "/secrets/t",
	      "{\"metadata\":{\"labels\":{\"kubernetes.io/legacy-token-last-used\":\"2026-01-04\"}}}");
	assert_true(good(r, token));
	rig_run(r, 0);
	assert_string_equal(LAST_USED, "2026-01-02");

	/* What is not good is no use. */
	patch(r, NS "/secrets/t", "{\"metadata\":{\"labels\":null},\"data\":{\"token\":\"bWluZQ==\"}}");
	assert_val(val_get(review(r, token, ""), F_error),
		   "[invalid bearer token, Token does not match server's copy]");
	rig_run(r, 0);
	assert_string_equal(LAST_USED, "");
	cluster_finish(&k);
}

/* The same for one that is marked: it is refused, with upstream's words, and what is remembered does not help it. */
static void test_marked(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;
	struct sv token;
	struct answer *a;
	const char *bearer;

	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("t", "robot"));
	(void)filled(&k, "t", &token);
	bearer = arena_printf(&r->arena, "Bearer %.*s", SV_ARG(token));
	patch(r, NS "/serviceaccounts/robot", "{\"secrets\":[{\"name\":\"t\"}]}");
	for (int i = 0; i < 2; i++) { /* the second is remembered */
		a = api(r, "GET", "/version", .authorization = bearer);
		assert_int_equal(a->code, 200);
		assert_int_equal(a->q.n_warnings, 1);
		assert_sv(a->q.warnings[0], AUTO);
		answer_free(a);
	}
	patch(r, NS "/secrets/t",
	      "{\"metadata\":{\"labels\":{\"kubernetes.io/legacy-token-invalid-since\":\"2026-01-01\","
	      "\"kubernetes.io/legacy-token-last-used\":\"2024-01-01\"}}}");
	assert_val(
	    val_get(review(r, token, ""), F_error),
	    "[invalid bearer token, the token in secret team/t for service account team/robot has been marked "
	    "invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
	    "'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this "
	    "token]");
	rig_run(r, 0);
	assert_string_equal(LAST_USED, "2026-01-01");
	rig_run(r, 11 * NS_PER_SEC);
	a = api(r, "GET", "/version", .authorization = bearer);
	assert_int_equal(a->code, 401);
	answer_free(a);
	patch(r, NS "/secrets/t", "{\"metadata\":{\"labels\":{\"kubernetes.io/legacy-token-invalid-since\":null}}}");
	assert_true(good(r, token));
	cluster_finish(&k);
}

/* Since when uses are noted: said from the first start on, again when somebody took it away or made it no day. */
static void test_tracking(void **state)
{
	static const char path[] =
	    "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking";
	struct cluster k = world(state);
	struct rig *r = k.rig;

	assert_val(val_member_sv(val_get(expect(r, 200, "GET", path, NULL), F_data), SV("since")), "2026-01-01");
	patch(r, path, "{\"data\":{\"since\":\"2025-06-01\"}}");
	rig_run(r, 61 * NS_PER_SEC);
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", path, NULL), F_data), SV("since")), "2025-06-01");
	patch(r, path, "{\"data\":{\"since\":\"2025-06-31\",\"mine\":\"x\"}}");
	rig_run(r, 61 * NS_PER_SEC);
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", path, NULL), F_data), SV("since")), "2026-01-01");
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", path, NULL), F_data), SV("mine")), "x");
	patch(r, path, "{\"data\":null}");
	rig_run(r, 61 * NS_PER_SEC);
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", path, NULL), F_data), SV("since")), "2026-01-01");
	expect(r, 200, "DELETE", path, NULL);
	rig_run(r, 61 * NS_PER_SEC);
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", path, NULL), F_data), SV("since")), "2026-01-01");
	cluster_finish(&k);
}

static void test_ends(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;
	struct sv token;

	/* With the Secret, also while something holds that. */
	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("t", "robot"));
	(void)filled(&k, "t", &token);
	expect(r, 200, "DELETE", NS "/secrets/t", NULL);
	assert_false(good(r, token));
	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("t", "robot"));
	(void)filled(&k, "t", &token);
	patch(r, NS "/secrets/t", "{\"metadata\":{\"finalizers\":[\"example.com/held\"]}}");
	assert_true(good(r, token));
	expect(r, 200, "DELETE", NS "/secrets/t", NULL);
	assert_false(good(r, token));
	patch(r, NS "/secrets/t", "{\"metadata\":{\"finalizers\":null}}");

	/* Marked by whoever cleans up. */
	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("t", "robot"));
	(void)filled(&k, "t", &token);
	patch(r, NS "/secrets/t",
	      "{\"metadata\":{\"labels\":{\"kubernetes.io/legacy-token-invalid-since\":\"2026-01-01\"}}}");
	assert_false(good(r, token));
	patch(r, NS "/secrets/t", "{\"metadata\":{\"labels\":null}}");
	assert_true(good(r, token));

	/* With the account; the Secret goes, too. */
	expect(r, 200, "DELETE", NS "/serviceaccounts/robot", NULL);
	assert_false(good(r, token));
	cluster_run(&k, 1);
	expect(r, 404, "GET", NS "/secrets/t", NULL);
	cluster_finish(&k);
}

/* An account that is not there, or another of the same name, takes its Secrets along; those of others stay. */
static void test_no_account(void **state)
{
	struct cluster k = world(state);
	struct rig *r = k.rig;
	struct sv token;

	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("nobody", "nobody"));
	expect(r, 201, "POST", NS "/secrets",
	       "{\"metadata\":{\"name\":\"older\",\"annotations\":{\"kubernetes.io/service-account.name\":\"robot\","
	       "\"kubernetes.io/service-account.uid\":\"another\"}},\"type\":\"kubernetes.io/service-account-token\"}");
	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("t", "robot"));
	expect(r, 201, "POST", NS "/secrets", TOKEN_SECRET("other", "default"));
	(void)filled(&k, "t", &token);
	expect(r, 404, "GET", NS "/secrets/nobody", NULL);
	expect(r, 404, "GET", NS "/secrets/older", NULL);

	/* Gone and back while nobody looked. */
	controllers_free(k.c);
	rig_run(r, NS_PER_SEC);
	client_free(k.client);
	expect(r, 200, "DELETE", NS "/serviceaccounts/robot", NULL);
	expect(r, 201, "POST", NS "/serviceaccounts", "{\"metadata\":{\"name\":\"robot\"}}");
	assert_false(good(r, token));
	k = cluster_start_again(state);
	cluster_run(&k, 1);
	expect(r, 404, "GET", NS "/secrets/t", NULL);
	(void)filled(&k, "other", &token);
	assert_true(good(r, token));
	cluster_finish(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_filled, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_use, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_marked, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_tracking, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_ends, rig_setup_with_keys, rig_teardown),
		cmocka_unit_test_setup_teardown(test_no_account, rig_setup_with_keys, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
