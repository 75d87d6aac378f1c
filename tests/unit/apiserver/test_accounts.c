/* As whom tokens of service accounts are issued, for whom and for how long. Refusals first. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/sa_accounts.h"
#include "base/file.h"
#include "codec/jws.h"
#include "net/key.h"
#include "net/tls.h"

#include <stdio.h>

#define NS "/api/v1/namespaces/ns"
#define REVIEWS "/apis/authentication.k8s.io/v1/tokenreviews"

static const struct val *make(struct rig *r, const char *path, const char *body)
{
	return expect(r, 201, "POST", path, body);
}

static void world(struct rig *r)
{
	make(r, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"ns\"}}");
	make(r, NS "/serviceaccounts", "{\"metadata\":{\"name\":\"sa\"}}");
}

static const struct val *request(struct rig *r, const char *spec)
{
	return make(r, NS "/serviceaccounts/sa/token", arena_printf(&r->arena, "{\"spec\":{%s}}", spec));
}

static const char *token(struct rig *r, const char *spec)
{
	return arena_cstr(&r->arena, val_get_str(request(r, spec), F_status, F_token));
}

/* For these audiences, a JSON list; NULL: for the API. */
static bool good(struct rig *r, const char *t, const char *audiences)
{
	return val_get_bool(make(r, REVIEWS,
				 arena_printf(&r->arena, "{\"spec\":{\"token\":\"%s\"%s%s}}", t,
					      audiences ? ",\"audiences\":" : "", audiences ? audiences : "")),
			    F_status, F_authenticated);
}

static const struct val *claims_of(struct rig *r, const char *t)
{
	struct answer *a = api(r, "GET", "/openid/v1/jwks");
	_cleanup_(jws_keys_freep) struct jws_keys *keys = jws_keys_jwks(buf_sv(&a->body), NULL);
	const struct val *claims;

	answer_free(a);
	assert_non_null(keys);
	assert_int_equal(jws_verify(&r->arena, sv_from(t), keys, JWS_ANY, &claims, NULL), 0);
	return claims;
}

static void test_refused(void **state)
{
	static const char *const empty[] = { "", NULL }, *const no_url[] = { "a b:c", NULL };
	static const char *const twice[] = { "https://a", "b", "https://a", NULL };
	static const struct {
		struct apiserver_accounts o;
		const char *why;
	} rows[] = {
		{ { .issuers = empty }, "service-account-issuer should not be an empty string" },
		{ { .issuers = no_url }, "contained a ':' but was not a valid URL" },
		{ { .issuers = twice }, "service-account-issuer \"https://a\" is already specified" },
		{ { .max_expiration = "59m" }, "must be between 1 hour and 2^32 seconds" },
		{ { .max_expiration = "1300000h" }, "must be between 1 hour and 2^32 seconds" },
		{ { .max_expiration = "long" }, "'long' is no time" },
		{ { .jwks_uri = "http://a/b" }, "service-account-jwks-uri requires https scheme" },
		{ { .jwks_uri = "nothing" }, "service-account-jwks-uri must be a valid URL" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct apiserver s = { .o = { .accounts = rows[i].o, .cluster_domain = "x" } };

		assert_null(sa_accounts_new(&s, &err));
		if (!strstr(err_msg(&err), rows[i].why))
			fail_msg("'%s' is not in '%s'", rows[i].why, err_msg(&err));
	}
}

/* The issuer changes: tokens of the one before go on, those of others do not, nor do those for others. */
static void test_issuers(void **state)
{
	static const char *const first[] = { "https://first", NULL }, *const both[] = { "https://second",
											"https://first", NULL };
	static const char *const second[] = { "https://second", NULL };
	static const char *const audiences[] = { "api", "https://first", NULL };
	struct rig *r = *state;
	const char *old, *new, *other;

	world(r);
	other = token(r, "");
	r->accounts.issuers = first;
	rig_restart(r);
	assert_false(good(r, other, NULL));
	old = token(r, "");
	assert_val(val_member_sv(claims_of(r, old), SV("iss")), "https://first");
	r->accounts.issuers = both;
	rig_restart(r);
	assert_true(good(r, old, NULL));
	new = token(r, "");
	assert_val(val_member_sv(claims_of(r, new), SV("iss")), "https://second");
	assert_int_equal(val_len(val_member_sv(claims_of(r, new), SV("aud"))), 2);
	assert_true(good(r, new, "[\"https://first\"]"));
	r->accounts.issuers = second;
	rig_restart(r);
	assert_false(good(r, old, NULL));
	assert_true(good(r, new, NULL));
	r->accounts = (struct apiserver_accounts){ .issuers = both, .audiences = audiences };
	rig_restart(r);
	assert_true(good(r, old, NULL));
	assert_false(good(r, token(r, "\"audiences\":[\"https://second\"]"), NULL));
	assert_val(val_at(val_get(request(r, ""), F_spec, F_audiences), 0), "api");
	assert_val(val_member_sv(expect(r, 200, "GET", "/.well-known/openid-configuration", NULL), SV("issuer")),
		   "https://second");
}

static const char *file(struct rig *r, const char *name, struct sv text)
{
	const char *path = arena_printf(&r->arena, "%s/%s", r->dir, name);

	assert_int_equal(file_write(path, text, 0600, NULL), 0);
	return path;
}

/* Keys of the administrator's: what the one before signed counts while its key is named. */
static void test_keys(void **state)
{
	const char *files[2] = { NULL, NULL };
	static const char *const jwks[] = { "https://elsewhere/keys" };
	struct rig *r = *state;
	const char *own, *old;
	const struct val *doc;
	struct sv rsa, ec;

	world(r);
	own = token(r, "");
	assert_int_equal(key_new_rsa(&r->arena, 2048, &rsa, NULL), 0);
	assert_int_equal(key_new_ec(&r->arena, &ec, NULL), 0);
	r->accounts.signing_key_file = file(r, "rsa.key", rsa);
	rig_restart(r);
	assert_false(good(r, own, NULL));
	old = token(r, "");
	assert_true(good(r, old, NULL));
	(void)claims_of(r, old);
	r->accounts.signing_key_file = file(r, "ec.key", ec);
	rig_restart(r);
	assert_false(good(r, old, NULL));
	files[0] = file(r, "all.pem", rsa);
	r->accounts.key_files = files;
	r->accounts.jwks_uri = jwks[0];
	rig_restart(r);
	assert_true(good(r, old, NULL));
	assert_true(good(r, token(r, ""), NULL));
	(void)claims_of(r, old);
	(void)claims_of(r, token(r, ""));
	doc = expect(r, 200, "GET", "/.well-known/openid-configuration", NULL);
	assert_val(val_member_sv(doc, SV("jwks_uri")), jwks[0]);
	assert_int_equal(val_len(val_member_sv(doc, SV("id_token_signing_alg_values_supported"))), 2);
	assert_val(val_at(val_member_sv(doc, SV("id_token_signing_alg_values_supported")), 1), "RS256");
	/* Whom nobody can look up has no document. */
	static const char *const issuers[] = { "here", NULL };

	r->accounts.issuers = issuers;
	rig_restart(r);
	expect(r, 404, "GET", "/.well-known/openid-configuration", NULL);
	expect(r, 404, "GET", "/openid/v1/jwks", NULL);
}

#define POD                                                                                                        \
	"{\"metadata\":{\"name\":\"p\"},\"spec\":{\"serviceAccountName\":\"sa\",\"automountServiceAccountToken\":" \
	"false,\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"
#define BOUND "\"boundObjectRef\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\"}"

static int64_t lasts(const struct val *claims)
{
	return val_int_or(val_member_sv(claims, SV("exp")), 0) - val_int_or(val_member_sv(claims, SV("iat")), 0);
}

/* Only what admission asks for a Pod lasts longer than it says. */
static void test_time(void **state)
{
	static const struct {
		const char *spec;
		int64_t told, lasts;
	} rows[] = {
		{ BOUND ",\"expirationSeconds\":3607", 3607, 31536000 },
		{ BOUND ",\"expirationSeconds\":3600", 3600, 3600 },
		{ "\"expirationSeconds\":3607", 3607, 3607 },
		{ BOUND ",\"expirationSeconds\":3607,\"audiences\":[\"vault\"]", 3607, 3607 },
		{ "\"expirationSeconds\":90000", 7200, 7200 },
	};
	struct rig *r = *state;
	struct answer *a;
	const char *t;

	r->accounts.max_expiration = "2h";
	rig_restart(r);
	world(r);
	make(r, NS "/pods", POD);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct val *doc = request(r, rows[i].spec);

		assert_int_equal(val_get_int(doc, 0, F_spec, F_expirationSeconds), rows[i].told);
		t = arena_cstr(&r->arena, val_get_str(doc, F_status, F_token));
		if (lasts(claims_of(r, t)) != rows[i].lasts)
			fail_msg("row %zu lasts %" PRId64, i, lasts(claims_of(r, t)));
	}
	/* It is taken after its time, and that is counted. */
	t = token(r, rows[0].spec);
	rig_run(r, 4000 * NS_PER_SEC);
	assert_true(good(r, t, NULL));
	assert_int_equal(api_code(r, "GET", "/version", arena_printf(&r->arena, "Bearer %s", t)), 200);
	a = api(r, "POST", NS "/serviceaccounts/sa/token",
		.body = "{\"metadata\":{\"uid\":\"of-another\"},\"spec\":{}}");
	assert_int_equal(a->code, 409);
	assert_true(sv_find_sv(val_get_str(a->json, F_message), SV("the UID in the token request (of-another)")) >= 0);
	answer_free(a);
	assert_int_equal(sa_accounts_of(r->server)->stale, 1);
	r->accounts.no_extension = true;
	rig_restart(r);
	assert_int_equal(lasts(claims_of(r, token(r, rows[0].spec))), 3607);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup_with_keys, rig_teardown)
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_refused), T(test_issuers), T(test_keys),
					    T(test_time) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
