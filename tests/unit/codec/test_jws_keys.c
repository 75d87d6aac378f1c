/* Keys that check tokens: which are taken from PEM and from JWK sets, and for which token each is tried. */
#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"
#include "codec/jws.h"

#include "jws_vectors.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

static const char *why_not_jwks(struct arena *a, struct sv json)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(jws_keys_freep) struct jws_keys *k = jws_keys_jwks(json, &err);

	assert_int_equal(ERR_peek_error(), 0);
	if (k)
		return "";
	assert_int_equal(err.reason, ERR_INVALID);
	return arena_strdup(a, err_msg(&err));
}

static bool verifies(struct arena *a, struct sv jwks, const char *token)
{
	_cleanup_(jws_keys_freep) struct jws_keys *k = jws_keys_jwks(jwks, NULL);
	const struct val *claims;

	return k && jws_verify(a, sv_from(token), k, JWS_ANY, &claims, NULL) == 0;
}

/* node_jwks with member key of its i-th key changed: text is JSON, NULL takes it out. */
static struct sv changed(struct arena *a, size_t i, const char *key, const char *text)
{
	struct val *doc = json_decode(a, sv_from(node_jwks), NULL, NULL);
	struct val *jwk = val_at_mut(val_member_sv_mut(doc, SV("keys")), i);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (text)
		val_set_sv(a, jwk, sv_from(key), val_new_raw(a, sv_from(text)));
	else
		val_del_sv(jwk, sv_from(key));
	json_encode(&b, doc);
	return arena_sv(a, buf_sv(&b));
}

/* The i-th key of a set as a set. */
static struct sv alone(struct arena *a, struct sv set, size_t i)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "{\"keys\":[");
	json_encode(&b, val_at(val_member_sv(json_decode(a, set, NULL, NULL), SV("keys")), i));
	buf_adds(&b, "]}");
	return arena_sv(a, buf_sv(&b));
}

enum { NODE_RSA, NODE_EC, NODE_ED };

static const char *token_for(enum jws_alg alg)
{
	for (size_t i = 0; i < ARRAY_LEN(node_tokens); i++)
		if (node_tokens[i].alg == alg)
			return node_tokens[i].token;
	return NULL;
}

/* A key that is not right is passed over, and the others of the set are as good as before. */
static void test_passed_over(void **state)
{
	static const struct {
		size_t key;
		const char *member, *json;
	} rows[] = {
		{ NODE_RSA, "kty", NULL },
		{ NODE_RSA, "kty", "\"oct\"" },
		{ NODE_RSA, "kty", "\"EC\"" },
		{ NODE_RSA, "kty", "\"rsa\"" },
		{ NODE_RSA, "kty", "[\"RSA\"]" },
		{ NODE_RSA, "use", "\"enc\"" },
		{ NODE_RSA, "use", "null" },
		{ NODE_RSA, "key_ops", "[\"sign\",\"encrypt\"]" },
		{ NODE_RSA, "key_ops", "[]" },
		{ NODE_RSA, "alg", "\"HS256\"" },
		{ NODE_RSA, "alg", "\"RSA-OAEP\"" },
		{ NODE_RSA, "alg", "\"none\"" },
		{ NODE_RSA, "alg", "\"ES256\"" },
		{ NODE_RSA, "alg", "1" },
		{ NODE_RSA, "n", NULL },
		{ NODE_RSA, "n", "\"\"" },
		{ NODE_RSA, "n", "\"AQAB\"" },
		{ NODE_RSA, "n", "1" },
		{ NODE_RSA, "e", NULL },
		{ NODE_RSA, "e", "\"AQAB=\"" },
		{ NODE_RSA, "e", "\"AQ AB\"" },
		{ NODE_RSA, "e", "\"AQAB\\n\"" },
		{ NODE_RSA, "e", "\"AQ\"" },	   /* 1: everybody signs */
		{ NODE_RSA, "e", "\"AA\"" },	   /* 0 */
		{ NODE_RSA, "e", "\"Ag\"" },	   /* 2 */
		{ NODE_RSA, "e", "\"_____w\"" },   /* 32 bits */
		{ NODE_RSA, "e", "\"AQABAQAB\"" }, /* 48 bits */
		{ NODE_EC, "kty", "\"OKP\"" },
		{ NODE_EC, "crv", NULL },
		{ NODE_EC, "crv", "\"P-256\"" },
		{ NODE_EC, "crv", "\"secp384r1\"" },
		{ NODE_EC, "crv", "\"secp256k1\"" },
		{ NODE_EC, "x", NULL },
		{ NODE_EC, "x", "\"AQAB\"" },
		{ NODE_EC, "y", NULL },
		/* not on the curve */
		{ NODE_EC, "y", "\"AQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQAB\"" },
		{ NODE_EC, "alg", "\"ES256\"" },
		{ NODE_EC, "alg", "\"PS384\"" },
		{ NODE_ED, "crv", "\"X25519\"" },
		{ NODE_ED, "crv", "\"Ed448\"" },
		{ NODE_ED, "x", "\"AQAB\"" },
		{ NODE_ED, "x", "\"AQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQAB\"" }, /* 33 bytes and more */
		{ NODE_ED, "alg", "\"ES256\"" },
	};
	static const enum jws_alg of[] = { JWS_PS384, JWS_ES384, JWS_EDDSA };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sv set = changed(&a, rows[i].key, rows[i].member, rows[i].json);

		assert_string_equal(why_not_jwks(&a, alone(&a, set, rows[i].key)),
				    "cannot read a key set: no key in it can check signatures");
		for (size_t k = 0; k < ARRAY_LEN(of); k++)
			assert_int_equal(verifies(&a, set, token_for(of[k])), k != rows[i].key);
	}
}

static void test_taken(void **state)
{
	static const struct {
		size_t key;
		const char *member, *json;
	} rows[] = {
		{ NODE_RSA, "use", "\"sig\"" },	  { NODE_RSA, "key_ops", "[\"sign\",\"verify\"]" },
		{ NODE_RSA, "alg", "\"PS384\"" }, { NODE_RSA, "kid", NULL },
		{ NODE_RSA, "kid", "\"\"" },	  { NODE_RSA, "x5c", "[\"MII\"]" },
		{ NODE_EC, "alg", "\"ES384\"" },  { NODE_ED, "alg", "\"EdDSA\"" },
		{ NODE_ED, "new", "{\"a\":[]}" },
	};
	static const enum jws_alg of[] = { JWS_PS384, JWS_ES384, JWS_EDDSA };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(of); i++)
		assert_string_equal(why_not_jwks(&a, alone(&a, sv_from(node_jwks), i)), "");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t k = 0; k < ARRAY_LEN(of); k++)
			assert_true(
			    verifies(&a, changed(&a, rows[i].key, rows[i].member, rows[i].json), token_for(of[k])));
}

/* alg of a key is the only one it is for; kid says which keys are tried. */
static void test_which_is_tried(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	assert_true(verifies(&a, changed(&a, NODE_RSA, "alg", "\"PS384\""), token_for(JWS_PS384)));
	assert_false(verifies(&a, changed(&a, NODE_RSA, "alg", "\"PS384\""), token_for(JWS_PS256)));
	assert_false(verifies(&a, changed(&a, NODE_RSA, "alg", "\"PS384\""), token_for(JWS_RS384)));
	assert_false(verifies(&a, changed(&a, NODE_RSA, "kid", "\"another\""), token_for(JWS_PS384)));
	assert_false(verifies(&a, changed(&a, NODE_RSA, "kid", "\"RSA\""), token_for(JWS_PS384)));
	/* Two of one name: each is tried. */
	assert_true(verifies(&a, changed(&a, NODE_EC, "kid", "\"rsa\""), token_for(JWS_PS384)));
	/* No name in the token: all of them are. */
	assert_true(verifies(&a, sv_from(rfc_jwks), rfc_tokens[0].token));
}

static void test_sets(void **state)
{
	static const char none[] = "cannot read a key set: no key in it can check signatures";
	static const char form[] = "cannot read a key set: not a JSON object with a list of keys";
	static const char *const no_set[] = { "",
					      "[]",
					      "null",
					      "{}",
					      "{\"keys\":{}}",
					      "{\"keys\":1}",
					      "{\"keys\"",
					      "{\"keys\":[]}x",
					      "{\"keys\":[],\"keys\":[]}",
					      "{\"keys\":[{\"kty\":\"EC\",\"kty\":\"RSA\"}]}",
					      "{\"Keys\":[]}",
					      "{\"keys\":[\"\xff\"]}" };
	static const char *const empty[] = { "{\"keys\":[]}", "{\"keys\":[{}]}", "{\"keys\":[1,null,[],\"x\"]}",
					     "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char *huge = arena_alloc(&a, JWS_KEYS_TEXT_MAX + 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(no_set); i++)
		assert_string_equal(why_not_jwks(&a, sv_from(no_set[i])), form);
	for (size_t i = 0; i < ARRAY_LEN(empty); i++)
		assert_string_equal(why_not_jwks(&a, sv_from(empty[i])), none);
	memset(huge, ' ', JWS_KEYS_TEXT_MAX + 1);
	memcpy(huge, node_jwks, sizeof(node_jwks) - 1);
	assert_string_equal(why_not_jwks(&a, sv_make(huge, JWS_KEYS_TEXT_MAX)), "");
	assert_string_equal(why_not_jwks(&a, sv_make(huge, JWS_KEYS_TEXT_MAX + 1)),
			    "cannot read a key set: longer than 256 KiB");
	for (size_t n = JWS_KEYS_MAX; n <= JWS_KEYS_MAX + 1; n++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		buf_adds(&b, "{\"keys\":[{\"kty\":\"oct\"}");
		for (size_t i = 0; i < n; i++)
			buf_adds(&b, ",{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
				     "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}");
		buf_adds(&b, "]}");
		assert_string_equal(why_not_jwks(&a, buf_sv(&b)),
				    n == JWS_KEYS_MAX ? "" : "cannot read a key set: more than 64 keys");
	}
}

/* takes: the key; public or private half as PEM. */
static struct sv pem_of(struct arena *a, EVP_PKEY *key_take, bool private)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct sv text;
	char *p;

	assert_non_null(key_take);
	assert_int_equal(private ? PEM_write_bio_PrivateKey(bio, key_take, NULL, NULL, 0, NULL, NULL)
				 : PEM_write_bio_PUBKEY(bio, key_take),
			 1);
	text = sv_make(NULL, (size_t)BIO_get_mem_data(bio, &p));
	text = arena_sv(a, sv_make(p, text.n));
	BIO_free(bio);
	EVP_PKEY_free(key_take);
	return text;
}

/* The same curve by its numbers. */
static EVP_PKEY *spelled_out(EVP_PKEY *key)
{
	assert_int_equal(
	    EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT), 1);
	return key;
}

/* RSA that says it is for PSS alone, perhaps with one digest: not what a token's algorithm names. */
static EVP_PKEY *rsa_pss(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *key = NULL;

	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void test_pem(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	static const char unfit[] =
	    "no public key for tokens: RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519 are";
	static const char damaged[] = "cannot read a public key: not PEM, or damaged";
	const struct {
		struct sv pem;
		const char *why;
	} rows[] = {
		{ SV(LIBJWT_KEY), "" },
		{ SV(""), damaged },
		{ SV("-----BEGIN PUBLIC KEY-----\n"), damaged },
		{ SV("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), damaged },
		{ pem_of(&a, EVP_EC_gen("P-256"), true), damaged },
		{ pem_of(&a, EVP_RSA_gen(1024), false), unfit },
		{ pem_of(&a, EVP_EC_gen("secp256k1"), false), unfit },
		{ pem_of(&a, spelled_out(EVP_EC_gen("P-256")), false), unfit },
		{ pem_of(&a, rsa_pss(), false), unfit },
		{ pem_of(&a, EVP_EC_gen("P-224"), false), unfit },
		{ pem_of(&a, EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), false), unfit },
		{ pem_of(&a, EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), false), unfit },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_(jws_keys_freep) struct jws_keys *k = jws_keys_pem(rows[i].pem, &err);

		assert_int_equal(k != NULL, !*rows[i].why);
		if (!k)
			assert_string_equal(err_msg(&err), rows[i].why);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

/* Several of several forms, each once and under its id; what is written of them is read again. */
static void test_pem_all(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv ec = pem_of(&a, EVP_EC_gen("P-256"), true), rsa = pem_of(&a, EVP_RSA_gen(2048), false);
	const struct sv bad[] = { SV(""), SV("text"),
				  SV("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
				  arena_svf(&a, "%.*s-----BEGIN X-----\nAAAA\n-----END X-----\n", SV_ARG(rsa)),
				  arena_svf(&a, "%.*s%.*s", SV_ARG(ec), SV_ARG(pem_of(&a, EVP_RSA_gen(1024), false))) };
	_cleanup_(jws_keys_freep) struct jws_keys *k = NULL, *read = NULL;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *claims;
	const char *at;
	struct sv token;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_null(jws_keys_pem_all(bad[i], &err));
		assert_true(*err_msg(&err));
		assert_int_equal(ERR_peek_error(), 0);
	}
	k = jws_keys_pem_all(arena_svf(&a, "hello\n%.*s%.*s%.*s", SV_ARG(ec), SV_ARG(rsa), SV_ARG(ec)), NULL);
	assert_non_null(k);
	assert_int_equal(jws_keys_id(k).n, 43);
	assert_int_equal(jws_keys_algs(k), JWS_ES256 | JWS_RS256);
	jws_keys_write(k, &b);
	read = jws_keys_jwks(buf_sv(&b), NULL);
	assert_non_null(read);
	at = strstr(buf_cstr(&b), "\"kid\"");
	assert_non_null(at = strstr(at + 1, "\"kid\""));
	assert_null(strstr(at + 1, "\"kid\""));
	assert_int_equal(jws_sign(&a, SV("{\"sub\":\"x\"}"), ec, jws_keys_id(k), &token, NULL), 0);
	assert_int_equal(jws_verify(&a, token, read, JWS_ES256, &claims, NULL), 0);
	assert_int_equal(jws_verify(&a, token, k, JWS_ES256, &claims, NULL), 0);
	assert_int_equal(jws_sign(&a, SV("{\"sub\":\"x\"}"), ec, SV("another"), &token, NULL), 0);
	assert_int_equal(jws_verify(&a, token, read, JWS_ES256, &claims, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passed_over), cmocka_unit_test(test_taken), cmocka_unit_test(test_which_is_tried),
		cmocka_unit_test(test_sets),	    cmocka_unit_test(test_pem),	  cmocka_unit_test(test_pem_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
