/* Tokens of other issuers under virtual time: the issuer is this file, and its keys are those that the rig's server has
 * for its own tokens, published by itself. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/jwt_config.h"
#include "apiserver/authn/jwt_keys.h"
#include "apiserver/webhook/webhook.h"
#include "codec/jws.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <unistd.h>

#define ISSUER "https://issuer.example.com"
#define REVIEWS "/apis/authentication.k8s.io/v1/tokenreviews"
#define SELF "/apis/authentication.k8s.io/v1/selfsubjectreviews"

/* The issuer. */
static struct {
	size_t asked; /* documents */
	bool dead, hold;
	const char *issuer;
	const char *keys; /* NULL: the server's own */
	struct webhook_call *held;
	struct arena arena;
	char path[100]; /* of the configuration */
} far;

static struct rig *far_rig;

static void far_answer(struct webhook_call *c, const char *url)
{
	struct err err = ERR_INIT;
	struct answer *a;

	if (far.dead) {
		err_set(&err, ERR_UNAVAILABLE, "dial tcp: connection refused");
		webhook_call_answer(c, 0, SV(""), SV(""), &err);
	} else if (strstr(url, "/.well-known/openid-configuration")) {
		webhook_call_answer(
		    c, 200, SV("application/json"),
		    arena_svf(&far.arena, "{\"issuer\":\"%s\",\"jwks_uri\":\"" ISSUER "/keys\"}", far.issuer), NULL);
	} else if (far.keys) {
		webhook_call_answer(c, 200, SV("application/jwk-set+json"), sv_from(far.keys), NULL);
	} else {
		a = api(far_rig, "GET", "/openid/v1/jwks");
		webhook_call_answer(c, 200, SV("application/jwk-set+json"), buf_sv(&a->body), NULL);
		answer_free(a);
	}
}

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, void *ctx)
{
	(void)ctx;
	far.asked++;
	assert_true(sent->get);
	assert_int_equal(sent->body.n, 0);
	if (far.hold)
		far.held = c;
	else
		far_answer(c, sent->url);
}

static const struct webhook_network far_network = { .call = far_call };

static int setup(void **state)
{
	int rc = rig_setup_with_keys(state);

	memset(&far, 0, sizeof(far));
	far.issuer = ISSUER;
	far_rig = *state;
	return rc;
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	if (*far.path)
		(void)unlink(far.path);
	arena_release(&far.arena);
	return rc;
}

#define HEAD "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
#define JWT(rest) HEAD "jwt:\n- issuer: {url: '" ISSUER "', audiences: [caravel]}\n" rest
#define BY_SUB                                                                                                \
	"  claimMappings:\n    username: {claim: sub, prefix: 'oidc:'}\n    groups: {claim: groups, prefix: " \
	"'oidc:'}\n"

static void write_config(const char *text)
{
	FILE *f;

	(void)snprintf(far.path, sizeof(far.path), "/tmp/test-oidc-%d.yaml", (int)getpid());
	f = fopen(far.path, "w");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static void world(struct rig *r, const char *text)
{
	write_config(text);
	r->authentication_config = far.path;
	rig_restart(r);
	webhook_set_network(r->server, &far_network);
}

/* A token by the server's own key; more: members besides. */
static const char *token_by(struct rig *r, struct sv key, const char *more)
{
	int64_t now = env_now_ns(r->env) / NS_PER_SEC;
	struct sv t;

	assert_int_equal(jws_sign(&r->arena,
				  arena_svf(&r->arena,
					    "{\"iss\":\"" ISSUER "\",\"aud\":\"caravel\",\"sub\":\"ann\",\"iat\":%lld,"
					    "\"exp\":%lld%s}",
					    (long long)now, (long long)now + 3600, more),
				  key, SV(""), &t, NULL),
			 0);
	return arena_cstr(&r->arena, t);
}

static const char *token(struct rig *r, const char *more)
{
	return token_by(r, apiserver_token_key_pem(r->server), more);
}

static const char *bearer(struct rig *r, const char *t)
{
	return arena_printf(&r->arena, "Bearer %s", t);
}

static int code(struct rig *r, const char *t)
{
	return api_code(r, "GET", "/version", bearer(r, t));
}

/* What a TokenReview says: "" for a user, else the error. */
static const char *why(struct rig *r, const char *t)
{
	const struct val *st = val_get(
	    expect(r, 201, "POST", REVIEWS, arena_printf(&r->arena, "{\"spec\":{\"token\":\"%s\"}}", t)), F_status);

	return val_get_bool(st, F_authenticated) ? "" : arena_cstr(&r->arena, val_get_str(st, F_error));
}

static const struct val *who(struct rig *r, const char *t)
{
	const struct val *st = val_get(
	    expect(r, 201, "POST", REVIEWS, arena_printf(&r->arena, "{\"spec\":{\"token\":\"%s\"}}", t)), F_status);

	assert_true(val_get_bool(st, F_authenticated));
	return val_get(st, F_user);
}

/* A key that nobody publishes. */
static struct sv strange_key(struct arena *a)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;
	struct sv pem;

	assert_int_equal(PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(b, &p);
	pem = arena_sv(a, sv_make(p, (size_t)n));
	BIO_free(b);
	EVP_PKEY_free(k);
	return pem;
}

/* --- tests --- */

/* Everything that is not as it should be is refused, and says so to who reviews; others get 401 alone. */
static void test_refused(void **state)
{
	static const struct {
		const char *more, *why;
	} table[] = {
		{ ",\"aud\":\"other\"", "header" }, /* a member twice */
		{ ",\"nbf\":99999999999", "nbf" },
		{ ",\"groups\":7", "parse groups claim" },
		{ ",\"groups\":[\"a\",7]", "parse groups claim" },
	};
	struct rig *r = *state;
	const char *good, *strange;

	world(r, JWT(BY_SUB));
	good = token(r, "");
	assert_int_equal(far.asked, 0);
	assert_int_equal(code(r, good), 200);
	assert_int_equal(far.asked, 2);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *t = token(r, table[i].more);

		assert_int_equal(code(r, t), 401);
		assert_true(*why(r, t));
		if (i)
			assert_non_null(strstr(why(r, t), table[i].why));
	}
	strange = token_by(r, strange_key(&r->arena), "");
	assert_int_equal(code(r, strange), 401);
	assert_non_null(
	    strstr(why(r, strange), "[invalid bearer token, oidc: verify token: failed to verify signature"));
	assert_int_equal(code(r, arena_printf(&r->arena, "%sA", good)), 401);
	assert_int_equal(code(r, arena_printf(&r->arena, "%s.", good)), 401);
	rig_run(r, 3700 * NS_PER_SEC);
	assert_int_equal(code(r, good), 401);
	assert_non_null(strstr(why(r, good), "token is expired"));
}

static const char *signed_claims(struct rig *r, const char *claims)
{
	struct sv t;

	assert_int_equal(jws_sign(&r->arena, sv_from(claims), apiserver_token_key_pem(r->server), SV(""), &t, NULL), 0);
	return arena_cstr(&r->arena, t);
}

static void test_audience_and_issuer(void **state)
{
	struct rig *r = *state;

	world(r, JWT(BY_SUB));
	assert_non_null(strstr(why(r, signed_claims(r, "{\"iss\":\"" ISSUER
						       "\",\"aud\":[\"x\",\"y\"],\"sub\":\"a\",\"exp\":99999999999}")),
			       "expected audience in [\"caravel\"] got [\"x\" \"y\"]"));
	assert_string_equal(
	    why(r,
		signed_claims(r, "{\"iss\":\"https://other\",\"aud\":\"caravel\",\"sub\":\"a\",\"exp\":99999999999}")),
	    "invalid bearer token");
	assert_non_null(strstr(why(r, signed_claims(r, "{\"iss\":\"" ISSUER "\",\"aud\":\"caravel\",\"sub\":\"a\"}")),
			       "token is expired"));
	assert_string_equal(why(r, signed_claims(r, "{\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"caravel\"],\"sub\":\"a\","
						    "\"exp\":99999999999}")),
			    "");
}

static void test_user(void **state)
{
	struct rig *r = *state;
	const struct val *u;

	world(r, JWT(BY_SUB));
	u = who(r, token(r, ",\"groups\":[\"dev\",\"ops\"]"));
	assert_val(val_get(u, F_username), "oidc:ann");
	assert_int_equal(val_len(val_get(u, F_groups)), 3);
	assert_val(val_at(val_get(u, F_groups), 0), "oidc:dev");
	assert_val(val_at(val_get(u, F_groups), 2), "system:authenticated");
	assert_val(val_at(val_get(who(r, token(r, ",\"groups\":\"dev\"")), F_groups), 0), "oidc:dev");
	/* Every write is asked again, and the token is remembered. */
	assert_int_equal(far.asked, 2);
}

static void test_expressions(void **state)
{
	struct rig *r = *state;
	const struct val *u;

	world(r, JWT("  claimValidationRules:\n"
		     "  - {claim: hd, requiredValue: example.com}\n"
		     "  - {expression: 'claims.level >= 3', message: too low}\n"
		     "  claimMappings:\n"
		     "    username: {expression: '\"x:\" + claims.sub'}\n"
		     "    groups: {expression: 'claims.roles.split(\",\")'}\n"
		     "    uid: {claim: jti}\n"
		     "    extra: [{key: example.com/tenant, valueExpression: 'claims.tenant'}]\n"
		     "  userValidationRules:\n"
		     "  - {expression: '!user.username.startsWith(\"x:system\")', message: reserved}\n"
		     "  - {expression: 'user.groups.all(g, g != \"root\")'}\n"));
#define REST(level, roles) \
	",\"hd\":\"example.com\",\"level\":" level ",\"roles\":\"" roles "\",\"jti\":\"7\",\"tenant\":\"t\""
	u = who(r, token(r, REST("3", "a,b")));
	assert_val(val_get(u, F_username), "x:ann");
	assert_val(val_get(u, F_uid), "7");
	assert_val(val_at(val_get(u, F_groups), 1), "b");
	assert_val(val_at(val_member_sv(val_get(u, F_extra), SV("example.com/tenant")), 0), "t");
	assert_non_null(
	    strstr(why(r, token(r, REST("2", "a"))), "validation expression 'claims.level >= 3' failed: too low"));
	assert_non_null(strstr(why(r, token(r, REST("3", "root"))), "user info validation rule"));
	assert_non_null(strstr(why(r, token(r, "")), "oidc: error evaluating group claim expression"));
	assert_non_null(
	    strstr(why(r, token(r, ",\"roles\":\"a\",\"jti\":\"7\",\"tenant\":\"\",\"level\":3,\"hd\":\"x\"")),
		   "required claim hd value does not match. Got = x, want = example.com"));
	assert_non_null(strstr(why(r, token(r, ",\"roles\":\"a\",\"jti\":\"7\",\"tenant\":\"\",\"level\":3")),
			       "required claim hd not present in ID token"));
}

/* An issuer that is dead, or another than it says, lets nobody in; when it is there again its tokens are good. A
 * stranger's tokens do not make us ask it more often than every two seconds. */
static void test_keys(void **state)
{
	struct rig *r = *state;
	const char *t;

	world(r, JWT(BY_SUB));
	t = token(r, "");
	far.dead = true;
	assert_int_equal(code(r, t), 401);
	assert_int_equal(code(r, t), 401);
	assert_int_equal(far.asked, 1);
	far.dead = false;
	far.issuer = "https://evil";
	rig_run(r, 3 * NS_PER_SEC);
	assert_int_equal(code(r, t), 401);
	assert_non_null(strstr(why(r, t), "issuer did not match"));
	far.issuer = ISSUER;
	far.keys = "{\"keys\":[]}";
	rig_run(r, 3 * NS_PER_SEC);
	assert_int_equal(code(r, t), 401);
	far.keys = NULL;
	rig_run(r, 3 * NS_PER_SEC);
	assert_int_equal(code(r, t), 200);
	far.asked = 0;
	for (int i = 0; i < 20; i++)
		assert_int_equal(code(r, token_by(r, strange_key(&r->arena), "")), 401);
	assert_true(far.asked <= 2);
}

/* Requests wait for the one fetch, and hold nothing. */
static void test_wait(void **state)
{
	struct rig *r = *state;
	struct answer *a[3];
	const char *t;

	world(r, JWT(BY_SUB));
	t = token(r, "");
	far.hold = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		a[i] = api_start(
		    r, &(struct ask){ .method = "POST", .path = SELF, .body = "{}", .authorization = bearer(r, t) });
	rig_run(r, NS_PER_SEC);
	assert_int_equal(far.asked, 1);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		assert_int_equal(a[i]->answers, 0);
	/* One has no time left. */
	rig_run(r, 40 * NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(a[i]->answers, 1);
		assert_int_equal(a[i]->code, 504);
		answer_free(a[i]);
	}
	a[0] =
	    api_start(r, &(struct ask){ .method = "POST", .path = SELF, .body = "{}", .authorization = bearer(r, t) });
	rig_run(r, NS_PER_SEC);
	assert_int_equal(a[0]->answers, 0);
	far.hold = false;
	far_answer(far.held, "/.well-known/openid-configuration");
	rig_run(r, NS_PER_SEC);
	assert_int_equal(a[0]->answers, 1);
	assert_int_equal(a[0]->code, 201);
	answer_free(a[0]);
}

/* Another configuration counts within a minute, a wrong one never. */
static void test_reload(void **state)
{
	struct rig *r = *state;
	const char *t;

	world(r, JWT(BY_SUB));
	t = token(r, "");
	assert_val(val_get(who(r, t), F_username), "oidc:ann");
	write_config(JWT("  claimMappings:\n    username: {claim: sub}\n"));
	rig_run(r, 61 * NS_PER_SEC);
	assert_val(val_get(who(r, t), F_username), "oidc:ann");
	write_config(JWT("  claimMappings:\n    username: {claim: sub, prefix: 'new:'}\n"));
	rig_run(r, 61 * NS_PER_SEC);
	assert_val(val_get(who(r, t), F_username), "new:ann");
	write_config(HEAD);
	rig_run(r, 61 * NS_PER_SEC);
	assert_string_equal(why(r, t), "invalid bearer token");
}

static void test_anonymous(void **state)
{
	struct rig *r = *state;

	world(r, HEAD "anonymous: {enabled: true, conditions: [{path: /livez}, {path: /version}]}\n");
	assert_int_equal(api_code(r, "GET", "/livez", ""), 200);
	assert_int_equal(api_code(r, "GET", "/version", ""), 200);
	assert_int_equal(api_code(r, "GET", "/healthz", ""), 401);
	assert_int_equal(api_code(r, "GET", "/livez/ping", ""), 401);
	assert_int_equal(api_code(r, "GET", "/api/v1/pods", ""), 401);
	write_config(HEAD "anonymous: {enabled: false}\n");
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(api_code(r, "GET", "/livez", ""), 401);
}

static void test_flags(void **state)
{
	static const char *const required[] = { "hd=example.com", NULL }, *const algs[] = { "ES256", NULL };
	struct rig *r = *state;

	r->oidc = (struct apiserver_oidc){ .issuer_url = ISSUER,
					   .client_id = "caravel",
					   .groups_claim = "groups",
					   .required_claims = required,
					   .signing_algs = algs };
	rig_restart(r);
	webhook_set_network(r->server, &far_network);
	assert_val(val_get(who(r, token(r, ",\"hd\":\"example.com\"")), F_username), ISSUER "#ann");
	assert_int_equal(code(r, token(r, "")), 401);
	r->oidc.signing_algs = NULL; /* RS256 alone */
	rig_restart(r);
	webhook_set_network(r->server, &far_network);
	assert_non_null(strstr(why(r, token(r, ",\"hd\":\"example.com\"")), "unexpected signature algorithm"));
}

/* What is wrong with a configuration, in upstream's words. */
static void test_config(void **state)
{
	static const struct {
		const char *text, *why;
	} table[] = {
		{ "kind: Config\napiVersion: v1\n", "no kind \"Config\" is registered for version \"v1\"" },
		{ JWT(BY_SUB "  unknown: 1\n"), "strict decoding error: unknown field \"unknown\"" },
		{ JWT("  claimMappings: {}\n"),
		  "jwt[0].claimMappings.username: Required value: claim or expression is required" },
		{ JWT("  claimMappings: {username: {claim: sub}}\n"),
		  "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can "
		  "be set "
		  "to an empty string to disable prefixing" },
		{ JWT("  claimMappings: {username: {claim: sub, expression: x}}\n"),
		  "jwt[0].claimMappings.username: Invalid value: \"\": claim and expression can't both be set" },
		{ JWT("  claimMappings: {username: {expression: 'claims.email'}}\n"),
		  "jwt[0].claimMappings.username.expression: Invalid value: \"claims.email\": claims.email_verified "
		  "must be "
		  "used in" },
		{ JWT("  claimMappings: {username: {expression: 'clams.sub'}}\n"),
		  "compilation failed: ERROR: <input>:1:1: "
		  "undeclared reference to 'clams'" },
		{ JWT("  claimMappings: {username: {claim: a, prefix: ''}}\n  userValidationRules: [{expression: "
		      "'user.username'}]\n"),
		  "jwt[0].userValidationRules[0].expression: Invalid value: \"user.username\": must evaluate to bool" },
		{ JWT("  claimMappings: {username: {claim: a, prefix: ''}, extra: [{key: foo, valueExpression: "
		      "\"'a'\"}]}\n"),
		  "must be a domain-prefixed path (such as \"acme.io/foo\")" },
		{ JWT("  claimMappings: {username: {claim: a, prefix: ''}, extra: [{key: x.k8s.io/y, valueExpression: "
		      "\"'a'\"}]}\n"),
		  "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use" },
		{ HEAD "jwt: [{issuer: {url: 'http://x', audiences: [a]}, claimMappings: {username: {claim: a, prefix: "
		       "''}}}]\n",
		  "jwt[0].issuer.url: Invalid value: \"http://x\": URL scheme must be https" },
		{ HEAD "jwt: [{issuer: {url: 'https://own', audiences: [a, b]}, claimMappings: {username: {claim: a, "
		       "prefix: "
		       "''}}}]\n",
		  "[jwt[0].issuer.url: Invalid value: \"https://own\": URL must not overlap with disallowed issuers: "
		  "[https://own], jwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be "
		  "MatchAny for multiple audiences]" },
		{ HEAD "anonymous: {enabled: false, conditions: [{path: /x}]}\n",
		  "enabled should be set to true when conditions are defined" },
	};

	const struct sv own = SV("https://own");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_null(jwt_config_parse(sv_from(table[i].text), &own, 1, JWS_ANY, &err));
		if (!strstr(err_msg(&err), table[i].why))
			fail_msg("'%s' is not in '%s'", table[i].why, err_msg(&err));
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_refused), T(test_audience_and_issuer),
		T(test_user),	 T(test_expressions),
		T(test_keys),	 T(test_wait),
		T(test_reload),	 T(test_anonymous),
		T(test_flags),	 cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
