/* A program that signs tokens of service accounts (KEP-740): a stand-in with keys of its own, which can be gone, lie or
 * be slow. Refusals first. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/sa_signer.h"
#include "apiserver/authz/authz-internal.h"
#include "base/b64.h"
#include "codec/pbwire.h"
#include "net/key.h"

#define NS "/api/v1/namespaces/ns"
#define TOKENS NS "/serviceaccounts/sa/token"
#define REVIEWS "/apis/authentication.k8s.io/v1/tokenreviews"
#define KEYS 3

/* --- the program --- */

static struct program {
	struct arena arena;
	struct sv pem[KEYS], der[KEYS];
	const char *kid[KEYS];
	bool offered[KEYS], hidden[KEYS];
	size_t signs_by;
	const char *header;    /* instead of its own, as JSON */
	const char *signature; /* the same, as it is sent */
	bool gone, no_timestamp;
	struct sv raw; /* whatever is asked, it says this; "": it does not */
	int64_t hint_s, max_s;
	int asked[3]; /* Sign, FetchKeys, Metadata */
} program;

static void program_fresh(void)
{
	static const char prefix[] =
	    "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03"
	    "\x01\x07\x03\x42\x00\x04";
	static const char *const kids[KEYS] = { "first", "se\"cond", "third" };

	program = (struct program){ .hint_s = 60, .max_s = 86400 };
	program.offered[0] = true;
	for (size_t i = 0; i < KEYS; i++) {
		struct sv x, y, kid, xb, yb;
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		assert_int_equal(key_new_ec(&program.arena, &program.pem[i], NULL), 0);
		assert_int_equal(key_public_jwk(&program.arena, program.pem[i], &x, &y, &kid, NULL), 0);
		assert_true(b64url_decode(&program.arena, x, &xb) && b64url_decode(&program.arena, y, &yb));
		buf_add(&b, prefix, sizeof(prefix) - 1);
		buf_addsv(&b, xb);
		buf_addsv(&b, yb);
		program.der[i] = arena_sv(&program.arena, buf_sv(&b));
		program.kid[i] = kids[i];
	}
}

static void program_sign(struct arena *a, struct sv request, struct buf *b)
{
	struct sv claims, token, header, middle;

	assert_true(b64url_decode_exact(a, pb_get_sv(request, 1), &claims));
	assert_int_equal(
	    jws_sign(a, claims, program.pem[program.signs_by], sv_from(program.kid[program.signs_by]), &token, NULL),
	    0);
	(void)sv_split(&token, '.', &header);
	(void)sv_split(&token, '.', &middle);
	assert_true(sv_eq(middle, pb_get_sv(request, 1)));
	pb_sv(b, 1, program.header ? b64url_encode(a, sv_from(program.header)) : header);
	pb_sv(b, 2, program.signature ? sv_from(program.signature) : token);
}

static void program_keys(struct buf *b)
{
	size_t m;

	for (size_t i = 0; i < KEYS; i++) {
		if (!program.offered[i])
			continue;
		m = pb_open(b, 1);
		pb_sv(b, 1, sv_from(program.kid[i]));
		pb_sv(b, 2, program.der[i]);
		pb_bool(b, 3, program.hidden[i]);
		pb_close(b, m);
	}
	if (!program.no_timestamp) {
		m = pb_open(b, 2);
		pb_i64(b, 1, 1700000000);
		pb_close(b, m);
	}
	pb_i64(b, 3, program.hint_s);
}

static int program_call(void *ctx, const char *method, struct sv request, int64_t timeout_ns, struct arena *a,
			struct sv *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)ctx;
	assert_true(timeout_ns > 0);
	if (strcmp(method, "Sign") == 0)
		program.asked[0]++;
	else
		program.asked[strcmp(method, "FetchKeys") == 0 ? 1 : 2]++;
	if (program.gone)
		return err_set(err, ERR_UNAVAILABLE, "nobody there");
	if (program.raw.n)
		buf_addsv(&b, program.raw);
	else if (strcmp(method, "Sign") == 0)
		program_sign(a, request, &b);
	else if (strcmp(method, "FetchKeys") == 0)
		program_keys(&b);
	else
		pb_i64(&b, 1, program.max_s);
	*ret = arena_sv(a, buf_sv(&b));
	return 0;
}

/* --- a server with it --- */

static int setup(void **state)
{
	int rc = rig_setup_with_keys(state);
	struct rig *r = *state;

	program_fresh();
	sa_signer_ask_by(program_call, NULL);
	r->accounts.signing_endpoint = "@signer";
	rig_restart(r);
	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"ns\"}}");
	expect(r, 201, "POST", NS "/serviceaccounts", "{\"metadata\":{\"name\":\"sa\"}}");
	return rc;
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	sa_signer_ask_by(NULL, NULL);
	arena_release(&program.arena);
	return rc;
}

static const char *token(struct rig *r, const char *spec)
{
	const struct val *doc = expect(r, 201, "POST", TOKENS, arena_printf(&r->arena, "{\"spec\":{%s}}", spec));

	return arena_cstr(&r->arena, val_get_str(doc, F_status, F_token));
}

static int code_of(struct rig *r, const char *t)
{
	return api_code(r, "GET", "/version", arena_printf(&r->arena, "Bearer %s", t));
}

static bool reviewed(struct rig *r, const char *t)
{
	return val_get_bool(
	    expect(r, 201, "POST", REVIEWS, arena_printf(&r->arena, "{\"spec\":{\"token\":\"%s\"}}", t)), F_status,
	    F_authenticated);
}

static void refused_token(struct rig *r, const char *why)
{
	expect_status(r, 500, "", why, &(struct ask){ .method = "POST", .path = TOKENS, .body = "{\"spec\":{}}" });
}

/* --- what is not taken --- */

static void test_flags(void **state)
{
	static const char *const files[] = { "/a", NULL };
	static const struct {
		struct apiserver_accounts o;
		const char *why;
	} rows[] = {
		{ { .signing_endpoint = "/s", .signing_key_file = "/k" }, "They are mutually exclusive" },
		{ { .signing_endpoint = "/s", .key_files = files }, "They are mutually exclusive" },
		{ { .signing_endpoint = "abc" }, "invalid value \"abc\" passed for" },
		{ { .signing_endpoint = "" }, "invalid value \"\" passed for" },
		{ { .signing_endpoint = "@" }, "invalid value \"@\" passed for" },
		{ { .signing_endpoint = "@abc@" }, "invalid value \"@abc@\" passed for" },
		{ { .signing_endpoint = "@abc.abc  .ae" }, "should be a valid location on the filesystem" },
		{ { .signing_endpoint = "/@e_adnb/xyz /efg" }, "must be prefixed with @ to name UDS" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_true(sa_signer_check(&rows[i].o, &err) < 0);
		if (!strstr(err_msg(&err), rows[i].why))
			fail_msg("'%s' is not in '%s'", rows[i].why, err_msg(&err));
	}
	assert_int_equal(sa_signer_check(&(struct apiserver_accounts){ .signing_endpoint = "/e/an_b-d/efg" }, NULL), 0);
	assert_int_equal(sa_signer_check(&(struct apiserver_accounts){ .signing_endpoint = "@ebc.eng.hij" }, NULL), 0);
}

/* Whoever cannot check tokens does not serve. */
static void test_start_refused(void **state)
{
	struct rig *r = *state;
	struct program was = program;
	static const struct {
		const char *what, *why;
	} rows[] = {
		{ "gone", "while setting up external-jwt-signer: while initially filling key cache: while performing "
			  "initial cache fill: while fetching token verification keys: while getting externally "
			  "supported jwt signing keys: rpc error: code = Unavailable desc = nobody there" },
		{ "no keys", "found no keys" },
		{ "hint", "found invalid refresh hint (0s)" },
		{ "negative hint", "found invalid refresh hint (-1s)" },
		{ "timestamp", "invalid data timestamp" },
		{ "no id", "found invalid public key id \"\"" },
		{ "no key", "found empty public key" },
		{ "bad key", "while parsing external public keys" },
		{ "more", "while parsing external public keys" },
		{ "short",
		  "max token life supported by external-jwt-signer (599s) is less than acceptable (min 600s)" },
		{ "junk", "the answer is no FetchKeysResponse" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		const char *w = rows[i].what;

		program = was;
		program.gone = strcmp(w, "gone") == 0;
		program.offered[0] = strcmp(w, "no keys") != 0;
		program.hint_s = strcmp(w, "hint") == 0 ? 0 : strcmp(w, "negative hint") == 0 ? -1 : 60;
		program.no_timestamp = strcmp(w, "timestamp") == 0;
		program.kid[0] = strcmp(w, "no id") == 0 ? "" : "first";
		if (strcmp(w, "no key") == 0)
			program.der[0] = SV("");
		if (strcmp(w, "bad key") == 0)
			program.der[0] = SV("no key");
		if (strcmp(w, "more") == 0)
			program.der[0] = arena_svf(&r->arena, "%.*s!", SV_ARG(SV("0123")));
		if (strcmp(w, "junk") == 0)
			program.raw = SV("\xff\xff\xff");
		program.max_s = strcmp(w, "short") == 0 ? 599 : 600;
		assert_null(sa_signer_new(r->env, "@s", &err));
		if (!strstr(err_msg(&err), rows[i].why))
			fail_msg("%s: '%s' is not in '%s'", w, rows[i].why, err_msg(&err));
	}
	program = was;
}

/* What the program signs is looked at before anybody gets it. */
static void test_answers_refused(void **state)
{
	static const struct {
		const char *header, *signature, *why;
	} rows[] = {
		{ "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", NULL, "while validating header: key id missing" },
		{ "{\"alg\":\"ES256\",\"kid\":\"first\",\"typ\":\"JWS\"}", NULL, "while validating header: bad type" },
		{ "{\"alg\":\"ES256\",\"kid\":\"first\"}", NULL, "bad type" },
		{ "{\"alg\":\"none\",\"kid\":\"first\",\"typ\":\"JWT\"}", NULL, "bad signing algorithm \"none\"" },
		{ "{\"alg\":\"HS256\",\"kid\":\"first\",\"typ\":\"JWT\"}", NULL, "bad signing algorithm \"HS256\"" },
		{ "{\"kid\":\"first\",\"typ\":\"JWT\"}", NULL, "bad signing algorithm \"\"" },
		{ "{\"alg\":\"ES256\",\"kid\":\"first\",\"typ\":\"JWT\",\"jku\":\"x\"}", NULL,
		  "unknown field \"jku\"" },
		{ "[]", NULL, "while parsing header JSON" },
		{ "{", NULL, "while parsing header JSON" },
		{ "{\"alg\":\"ES256\",\"kid\":\"third\",\"typ\":\"JWT\"}", NULL,
		  "is excluded from OIDC discovery docs" },
		{ NULL, "", "empty signature returned" },
		{ NULL, "no.base64", "the signature is not base64url" },
	};
	struct rig *r = *state;
	char *big = arena_alloc(&r->arena, 2000), *long_signature = arena_alloc(&r->arena, 20000);

	program.offered[2] = program.hidden[2] = true;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		program.header = rows[i].header;
		program.signature = rows[i].signature;
		refused_token(r, rows[i].why);
	}
	memset(big, 'k', 1999);
	big[1999] = '\0';
	program.header = arena_printf(&r->arena, "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", big);
	program.signature = NULL;
	refused_token(r, "key id longer than 1 kb");
	program.header = NULL;
	memset(long_signature, 'A', 19999);
	long_signature[19999] = '\0';
	program.signature = long_signature;
	refused_token(r, "the token would be longer than");
	program.signature = NULL;
	program.raw = SV("\xff\xff\xff");
	refused_token(r, "the answer is no SignJWTResponse");
	program.raw = SV("");
	program.gone = true;
	refused_token(r,
		      "failed to generate token: while signing jwt: rpc error: code = Unavailable desc = nobody there");
}

/* --- what is --- */

static void test_tokens(void **state)
{
	struct rig *r = *state;
	const char *t = token(r, "");
	struct answer *a;

	assert_int_equal(program.asked[0], 1);
	assert_int_equal(code_of(r, t), 200);
	assert_true(reviewed(r, t));
	assert_int_equal(program.asked[1], 1); /* from memory */
	assert_int_equal(apiserver_token_key_pem(r->server).n, 0);
	/* One that the server's own key has signed is nobody's. */
	r->accounts.signing_endpoint = NULL;
	rig_restart(r);
	t = token(r, "");
	assert_int_equal(code_of(r, t), 200);
	r->accounts.signing_endpoint = "@signer";
	rig_restart(r);
	assert_int_equal(code_of(r, t), 401);
	assert_false(reviewed(r, t));
	a = api(r, "GET", "/metrics");
	assert_true(sv_find_sv(buf_sv(&a->body), SV("apiserver_externaljwt_fetch_keys_request_total{code=\"OK\"}")) >=
		    0);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("apiserver_externaljwt_fetch_keys_data_timestamp 1700000000")) >=
		    0);
	answer_free(a);
}

/* What others are told: no hidden key, whatever it is called, and how long that counts. */
static void test_published(void **state)
{
	struct rig *r = *state;
	const struct val *keys;

	program.offered[1] = program.offered[2] = true;
	program.hidden[2] = true;
	rig_restart(r);
	keys = val_member_sv(expect(r, 200, "GET", "/openid/v1/jwks", NULL), SV("keys"));
	assert_int_equal(val_len(keys), 2);
	assert_val(val_member_sv(val_at(keys, 0), SV("kid")), "first");
	assert_val(val_member_sv(val_at(keys, 1), SV("kid")), "se\"cond");
	assert_int_equal(sa_signer_age_s(r->server->authz->signer), 60);
	program.hidden[0] = program.hidden[1] = true;
	rig_restart(r);
	keys = val_member_sv(expect(r, 200, "GET", "/openid/v1/jwks", NULL), SV("keys"));
	assert_int_equal(val_len(keys), 0);
	/* A hidden key checks what it signed once. */
	program.hidden[0] = false;
	rig_restart(r);
	{
		const char *t = token(r, "");

		program.hidden[0] = true;
		program.offered[1] = true;
		rig_restart(r);
		assert_int_equal(code_of(r, t), 200);
	}
}

/* Keys come and go as the program says. */
static void test_rotation(void **state)
{
	struct rig *r = *state;
	const char *first = token(r, ""), *second, *third;
	int fetched = program.asked[1];

	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(program.asked[1], fetched + 1);
	/* Signed by a key that is not known: asked for before anybody gets the token. */
	program.offered[1] = true;
	program.signs_by = 1;
	second = token(r, "");
	assert_int_equal(program.asked[1], fetched + 2);
	assert_int_equal(code_of(r, second), 200);
	assert_int_equal(code_of(r, first), 200);
	/* Taken out: what it signed is over with the next fetch. */
	program.offered[0] = false;
	rig_run(r, 121 * NS_PER_SEC);
	assert_int_equal(code_of(r, first), 401);
	assert_int_equal(code_of(r, second), 200);
	/* Another server had the third one signed: it is asked for when the token is shown. */
	program.signs_by = 2;
	program.offered[2] = true;
	third = token(r, "");
	rig_run(r, 10 * NS_PER_SEC);
	program.offered[2] = false;
	rig_restart(r);
	program.offered[2] = true;
	assert_int_equal(code_of(r, third), 200);
	rig_restart(r);
	program.offered[2] = false;
	rig_restart(r);
	program.offered[2] = true;
	assert_true(reviewed(r, third));
}

/* Strangers' tokens cost a fetch each two seconds, whoever the token says it is of. */
static void test_strangers(void **state)
{
	struct rig *r = *state;
	const char *own = token(r, "");
	int fetched;
	int64_t since;

	program.offered[1] = false;
	program.signs_by = 1;
	{
		const char *t = token(r, "");

		rig_run(r, 70 * NS_PER_SEC);
		fetched = program.asked[1];
		since = env_mono_ns(r->env);
		for (size_t i = 0; i < 5; i++)
			assert_int_equal(code_of(r, t), 401);
		assert_true(program.asked[1] - fetched <= 2 + (env_mono_ns(r->env) - since) / (2 * NS_PER_SEC));
	}
	/* No key to wait for: another issuer's, and none at all. */
	fetched = program.asked[1];
	assert_int_equal(code_of(r, "a.b.c"), 401);
	assert_int_equal(code_of(r, "eyJraWQiOiJ4In0.eyJpc3MiOiJlbHNld2hlcmUifQ.AAAA"), 401);
	assert_int_equal(program.asked[1], fetched);
	assert_int_equal(code_of(r, own), 200);
}

/* The program is gone: tokens are checked on by the keys that are known, none is issued, and it is asked again. */
static void test_gone(void **state)
{
	struct rig *r = *state;
	_cleanup_(err_release) struct err why = ERR_INIT;
	const char *t = token(r, "");
	struct sa_signer *g = sa_signer_new(r->env, "@s", NULL);
	int fetched;

	program.gone = true;
	rig_run(r, 300 * NS_PER_SEC);
	assert_int_equal(code_of(r, t), 200);
	refused_token(r, "code = Unavailable");
	assert_false(sa_signer_well(g, &why));
	assert_non_null(strstr(err_msg(&why), "nobody there"));
	fetched = program.asked[1];
	program.gone = false;
	rig_run(r, 11 * NS_PER_SEC);
	assert_true(program.asked[1] > fetched);
	assert_true(sa_signer_well(g, &why));
	assert_int_equal(code_of(r, token(r, "")), 200);
	sa_signer_free(g);
}

/* How long a token lasts: what was asked for, within what flag and program allow. */
static void test_time(void **state)
{
	static const char pod[] =
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"serviceAccountName\":\"sa\","
	    "\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}";
	static const char bound[] = "{\"spec\":{\"expirationSeconds\":3607,\"boundObjectRef\":{\"apiVersion\":\"v1\","
				    "\"kind\":\"Pod\",\"name\":\"p\"}}}";
	struct rig *r = *state;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *doc, *claims;
	struct sv rest, part;

	doc = expect(r, 201, "POST", TOKENS, "{\"spec\":{\"expirationSeconds\":90000}}");
	assert_int_equal(val_get_int(doc, 0, F_spec, F_expirationSeconds), 86400);
	expect(r, 201, "POST", NS "/pods", pod);
	doc = expect(r, 201, "POST", TOKENS, bound);
	assert_int_equal(val_get_int(doc, 0, F_spec, F_expirationSeconds), 3607);
	rest = val_get_str(doc, F_status, F_token);
	(void)sv_split(&rest, '.', &part);
	(void)sv_split(&rest, '.', &part);
	claims = jws_header_peek(&r->arena, part);
	assert_int_equal(
	    val_int_or(val_member_sv(claims, SV("exp")), 0) - val_int_or(val_member_sv(claims, SV("iat")), 0), 86400);
	assert_true(sa_accounts_bound(&(struct sa_accounts){ .max_s = 3600, .extended_s = 1 }, 600, &err) < 0);
	assert_string_equal(err_msg(&err), "service-account-max-token-expiration cannot be set longer than the token "
					   "expiration supported by service-account-signing-endpoint: 1h0m0s > 10m0s");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_flags),
					    T(test_start_refused),
					    T(test_answers_refused),
					    T(test_tokens),
					    T(test_published),
					    T(test_rotation),
					    T(test_strangers),
					    T(test_gone),
					    T(test_time) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
