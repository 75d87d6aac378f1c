/* Service account tokens: what ends them. Asked with TokenReview, so nothing is remembered between questions. */
#include "harness.h"

#include "codec/jws.h"

#define NS "/api/v1/namespaces/ns"

static const struct val *make(struct rig *r, const char *path, const char *body)
{
	return expect(r, 201, "POST", path, body);
}

static void world(struct rig *r)
{
	make(r, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"ns\"}}");
	make(r, NS "/serviceaccounts", "{\"metadata\":{\"name\":\"sa\"}}");
	make(r, "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}");
	make(r, NS "/secrets", "{\"metadata\":{\"name\":\"s\"}}");
}

static const char pod_body[] =
    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n\",\"serviceAccountName\":\"sa\","
    "\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}";

/* A token of sa; spec is what TokenRequest.spec says besides. */
static const char *token(struct rig *r, const char *spec)
{
	const struct val *doc =
	    make(r, NS "/serviceaccounts/sa/token", arena_printf(&r->arena, "{\"spec\":{%s}}", spec));
	struct sv t = val_get_str(doc, F_status, F_token);

	assert_true(t.n > 0);
	return arena_cstr(&r->arena, t);
}

#define BOUND_TO(kind, name) "\"boundObjectRef\":{\"apiVersion\":\"v1\",\"kind\":\"" kind "\",\"name\":\"" name "\"}"

static const struct val *review(struct rig *r, const char *t)
{
	return val_get(make(r, "/apis/authentication.k8s.io/v1/tokenreviews",
			    arena_printf(&r->arena, "{\"spec\":{\"token\":\"%s\"}}", t)),
		       F_status);
}

static bool good(struct rig *r, const char *t)
{
	return val_get_bool(review(r, t), F_authenticated);
}

static void delete_now(struct rig *r, const char *path)
{
	expect(r, 200, "DELETE", arena_printf(&r->arena, "%s?gracePeriodSeconds=0", path), NULL);
}

/* Gone, and there again with the same name: both end it. */
static void test_bound_objects(void **state)
{
	static const struct {
		const char *spec, *path, *all, *body;
	} table[] = {
		{ BOUND_TO("Pod", "p"), NS "/pods/p", NS "/pods", pod_body },
		{ BOUND_TO("Secret", "s"), NS "/secrets/s", NS "/secrets", "{\"metadata\":{\"name\":\"s\"}}" },
		{ BOUND_TO("Node", "n"), "/api/v1/nodes/n", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}" },
		{ "", NS "/serviceaccounts/sa", NS "/serviceaccounts", "{\"metadata\":{\"name\":\"sa\"}}" },
	};
	struct rig *r = *state;

	world(r);
	make(r, NS "/pods", pod_body);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *t = token(r, table[i].spec);

		assert_true(good(r, t));
		delete_now(r, table[i].path);
		assert_false(good(r, t));
		make(r, table[i].all, table[i].body);
		assert_false(good(r, t));
		assert_true(good(r, token(r, table[i].spec)));
	}
}

/* A pod that is to end in thirty seconds keeps its token for them and a minute more; that somebody holds it with a
 * finalizer does not make the token last. */
static void test_deletion_under_way(void **state)
{
	struct rig *r = *state;
	const char *t;

	world(r);
	make(r, NS "/pods",
	     "{\"metadata\":{\"name\":\"p\",\"finalizers\":[\"example.com/held\"]},\"spec\":{\"nodeName\":\"n\","
	     "\"serviceAccountName\":\"sa\",\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"c\","
	     "\"image\":"
	     "\"i\"}]}}");
	t = token(r, BOUND_TO("Pod", "p"));
	expect(r, 200, "DELETE", NS "/pods/p", NULL);
	rig_run(r, 80 * NS_PER_SEC);
	assert_true(good(r, t));
	rig_run(r, 20 * NS_PER_SEC);
	assert_false(good(r, t));
	expect(r, 200, "GET", NS "/pods/p", NULL);
}

static void test_time(void **state)
{
	struct rig *r = *state;
	const char *t;

	world(r);
	t = token(r, "\"expirationSeconds\":600");
	rig_run(r, 598 * NS_PER_SEC);
	assert_true(good(r, t));
	rig_run(r, 4 * NS_PER_SEC);
	assert_false(good(r, t));
}

/* A token has one spelling: what is put to a good one makes it none. */
static void test_spelling(void **state)
{
	static const char *const changes[] = { "%s.", "%s=", ".%s", "%s\\u0000x", " %s", "%s\\n" };
	struct rig *r = *state;
	const char *t;

	world(r);
	t = token(r, "");
	assert_true(good(r, t));
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		const char *at = strstr(changes[i], "%s");

		assert_false(
		    good(r, arena_printf(&r->arena, "%.*s%s%s", (int)(at - changes[i]), changes[i], t, at + 2)));
	}
}

/* What others check tokens with: the keys that are published, and the algorithm that is announced. */
static void test_published_keys(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	struct jws_keys *keys;
	const struct val *claims, *names;
	const char *t;

	world(r);
	t = token(r, "");
	a = api(r, "GET", "/openid/v1/jwks");
	assert_int_equal(a->code, 200);
	keys = jws_keys_jwks(buf_sv(&a->body), NULL);
	answer_free(a);
	assert_non_null(keys);
	assert_int_equal(jws_verify(&r->arena, sv_from(t), keys, JWS_ES256, &claims, NULL), 0);
	assert_val(val_member_sv(claims, SV("sub")), "system:serviceaccount:ns:sa");
	names = val_member_sv(expect(r, 200, "GET", "/.well-known/openid-configuration", NULL),
			      SV("id_token_signing_alg_values_supported"));
	assert_int_equal(val_len(names), 1);
	assert_val(val_at(names, 0), "ES256");
	jws_keys_free(keys);
}

/* Only whom it is for. */
static void test_audience(void **state)
{
	struct rig *r = *state;
	const char *t;
	const struct val *st;

	world(r);
	t = token(r, "\"audiences\":[\"vault\"]");
	assert_false(good(r, t));
	st = val_get(make(r, "/apis/authentication.k8s.io/v1/tokenreviews",
			  arena_printf(&r->arena, "{\"spec\":{\"token\":\"%s\",\"audiences\":[\"vault\",\"x\"]}}", t)),
		     F_status);
	assert_true(val_get_bool(st, F_authenticated));
	assert_int_equal(val_len(val_get(st, F_audiences)), 1);
	assert_val(val_at(val_get(st, F_audiences), 0), "vault");
}

/* A pod's token names its node, but does not end with it: the pod does. */
static void test_node_of_a_pod(void **state)
{
	struct rig *r = *state;
	const struct val *st;
	const char *t;

	world(r);
	make(r, NS "/pods", pod_body);
	t = token(r, BOUND_TO("Pod", "p"));
	st = review(r, t);
	assert_val(val_at(val_member_sv(val_get(st, F_user, F_extra), SV("authentication.kubernetes.io/node-name")), 0),
		   "n");
	assert_val(val_at(val_member_sv(val_get(st, F_user, F_extra), SV("authentication.kubernetes.io/pod-name")), 0),
		   "p");
	delete_now(r, "/api/v1/nodes/n");
	assert_true(good(r, t));
}

/* What a node may do is not a list of rules, and the answer says so. */
static void test_rules_of_a_node(void **state)
{
	static const struct sv groups[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } };
	struct rig *r = *state;
	struct answer *a = api(r, "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
			       .body = "{\"spec\":{\"namespace\":\"default\"}}", .user = "system:node:n",
			       .groups = groups, .n_groups = 2);

	assert_int_equal(a->code, 201);
	assert_true(val_get_bool(a->json, F_status, F_incomplete));
	assert_val(val_get(a->json, F_status, F_evaluationError),
		   "node authorizer does not support user rule resolution");
	answer_free(a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup_with_keys, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_bound_objects), T(test_deletion_under_way), T(test_time),	  T(test_audience),
		T(test_spelling),      T(test_published_keys),	   T(test_node_of_a_pod), T(test_rules_of_a_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
