/* Signed tokens: which are good, and above all which are not. */
#include "unit.h"

#include "base/b64.h"
#include "base/buf.h"
#include "codec/jws.h"

#include "jws_vectors.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#define CLAIMS "{\"sub\":\"robot\"}"

enum pair_type { RSA_PAIR, P256_PAIR, P384_PAIR, P521_PAIR, ED_PAIR, PAIRS };

static struct {
	EVP_PKEY *pkey;
	struct sv private, public; /* PEM */
	struct jws_keys *keys;
} pairs[PAIRS];
static struct arena pems;

static const struct {
	enum jws_alg alg;
	const char *name;
	enum pair_type pair;
	const EVP_MD *(*digest)(void);
	bool pss;
} algs[] = {
	{ JWS_RS256, "RS256", RSA_PAIR, EVP_sha256, false },  { JWS_RS384, "RS384", RSA_PAIR, EVP_sha384, false },
	{ JWS_RS512, "RS512", RSA_PAIR, EVP_sha512, false },  { JWS_PS256, "PS256", RSA_PAIR, EVP_sha256, true },
	{ JWS_PS384, "PS384", RSA_PAIR, EVP_sha384, true },   { JWS_PS512, "PS512", RSA_PAIR, EVP_sha512, true },
	{ JWS_ES256, "ES256", P256_PAIR, EVP_sha256, false }, { JWS_ES384, "ES384", P384_PAIR, EVP_sha384, false },
	{ JWS_ES512, "ES512", P521_PAIR, EVP_sha512, false }, { JWS_EDDSA, "EdDSA", ED_PAIR, NULL, false },
};

static struct sv bio_text(BIO *bio)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);
	struct sv text = arena_sv(&pems, sv_make(p, (size_t)n));

	BIO_free(bio);
	return text;
}

static int make_pairs(void **state)
{
	(void)state;
	pairs[RSA_PAIR].pkey = EVP_RSA_gen(2048);
	pairs[P256_PAIR].pkey = EVP_EC_gen("P-256");
	pairs[P384_PAIR].pkey = EVP_EC_gen("P-384");
	pairs[P521_PAIR].pkey = EVP_EC_gen("P-521");
	pairs[ED_PAIR].pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	for (size_t i = 0; i < PAIRS; i++) {
		BIO *private = BIO_new(BIO_s_mem()), *public = BIO_new(BIO_s_mem());

		assert_non_null(pairs[i].pkey);
		assert_int_equal(PEM_write_bio_PrivateKey(private, pairs[i].pkey, NULL, NULL, 0, NULL, NULL), 1);
		assert_int_equal(PEM_write_bio_PUBKEY(public, pairs[i].pkey), 1);
		pairs[i].private = bio_text(private);
		pairs[i].public = bio_text(public);
		pairs[i].keys = jws_keys_pem(pairs[i].public, NULL);
		assert_non_null(pairs[i].keys);
	}
	return 0;
}

static int drop_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAIRS; i++) {
		EVP_PKEY_free(pairs[i].pkey);
		jws_keys_free(pairs[i].keys);
	}
	arena_release(&pems);
	return 0;
}

static struct sv part(struct arena *a, struct sv bytes)
{
	return b64url_encode(a, bytes);
}

/* header.claims as given. */
static struct sv signed_text(struct arena *a, struct sv header, struct sv claims)
{
	return arena_svf(a, "%.*s.%.*s", SV_ARG(part(a, header)), SV_ARG(part(a, claims)));
}

static struct sv with_signature(struct arena *a, struct sv text, struct sv signature)
{
	return arena_svf(a, "%.*s.%.*s", SV_ARG(text), SV_ARG(part(a, signature)));
}

/* As OpenSSL makes it; with a salt of that many bytes, or -1 for none of PSS. */
static struct sv raw_signature(struct arena *a, EVP_PKEY *pkey, const EVP_MD *digest, int salt, struct sv text)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t n = (size_t)EVP_PKEY_get_size(pkey);
	unsigned char *out = arena_alloc(a, n);
	EVP_PKEY_CTX *ctx;

	assert_int_equal(EVP_DigestSignInit(md, &ctx, digest, NULL, pkey), 1);
	if (salt >= 0) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt), 1);
	}
	assert_int_equal(EVP_DigestSign(md, out, &n, (const unsigned char *)text.p, text.n), 1);
	EVP_MD_CTX_free(md);
	return sv_make((const char *)out, n);
}

/* DER to r and s beside each other. */
static struct sv beside(struct arena *a, struct sv der, int half)
{
	const unsigned char *p = (const unsigned char *)der.p;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
	unsigned char *out = arena_alloc(a, 2 * (size_t)half);

	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, half), half);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, half), half);
	ECDSA_SIG_free(sig);
	return sv_make((const char *)out, 2 * (size_t)half);
}

static int half_of(enum pair_type pair)
{
	static const int halves[] = { [P256_PAIR] = 32, [P384_PAIR] = 48, [P521_PAIR] = 66, [ED_PAIR] = 0 };

	return halves[pair];
}

/* A token of algs[i]'s key and digest that says header and claims, whatever they are. */
static struct sv forge(struct arena *a, size_t i, struct sv header, struct sv claims)
{
	EVP_PKEY *pkey = pairs[algs[i].pair].pkey;
	struct sv text = signed_text(a, header, claims);
	const EVP_MD *digest = algs[i].digest ? algs[i].digest() : NULL;
	struct sv sig = raw_signature(a, pkey, digest, algs[i].pss ? EVP_MD_get_size(digest) : -1, text);

	return with_signature(a, text, half_of(algs[i].pair) ? beside(a, sig, half_of(algs[i].pair)) : sig);
}

static struct sv header_of(struct arena *a, const char *alg)
{
	return arena_svf(a, "{\"alg\":\"%s\"}", alg);
}

/* "" when it is good. */
static const char *why_not(struct arena *a, struct sv token, const struct jws_keys *keys, unsigned allowed)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *claims = NULL;
	int rc = jws_verify(a, token, keys, allowed, &claims, &err);

	assert_int_equal(ERR_peek_error(), 0);
	if (rc == 0) {
		assert_non_null(claims);
		return "";
	}
	assert_null(claims);
	assert_int_equal(err.reason, ERR_UNAUTHORIZED);
	return arena_strdup(a, err_msg(&err));
}

static bool good(struct arena *a, struct sv token, const struct jws_keys *keys)
{
	return !*why_not(a, token, keys, JWS_ANY);
}

#define EC_KEYS pairs[P256_PAIR].keys
#define ES256_ROW 6

/* --- refused --- */

static void test_algorithms_that_are_none(void **state)
{
	static const char *const names[] = { "none", "None",  "NONE",	"nOnE",	  "HS256", "HS384",	   "HS512",
					     "",     "es256", "ES256 ", "ES256K", "RS1",   "ES256\\u0000", "Ed25519" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct sv h = header_of(&a, names[i]), text = signed_text(&a, h, SV(CLAIMS));

		assert_string_equal(why_not(&a, forge(&a, ES256_ROW, h, SV(CLAIMS)), EC_KEYS, JWS_ANY),
				    "unexpected signature algorithm");
		assert_false(good(&a, arena_svf(&a, "%.*s.", SV_ARG(text)), EC_KEYS));
		assert_false(good(&a, text, EC_KEYS));
	}
	assert_false(good(&a, forge(&a, ES256_ROW, SV("{}"), SV(CLAIMS)), EC_KEYS));
	assert_false(good(&a, forge(&a, ES256_ROW, SV("{\"alg\":[\"ES256\"]}"), SV(CLAIMS)), EC_KEYS));
	assert_false(good(&a, forge(&a, ES256_ROW, SV("{\"alg\":null}"), SV(CLAIMS)), EC_KEYS));
	assert_false(good(&a, forge(&a, ES256_ROW, SV("{\"ALG\":\"ES256\"}"), SV(CLAIMS)), EC_KEYS));
}

/* The public key as the secret of an HMAC: what is public would sign. */
static void test_public_key_as_secret(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	static const char *const names[] = { "HS256", "RS256", "ES256" };

	(void)state;
	for (size_t p = 0; p < PAIRS; p++) {
		struct sv pem = pairs[p].public;
		EVP_PKEY *mac = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const unsigned char *)pem.p, pem.n);

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			struct sv text = signed_text(&a, header_of(&a, names[i]), SV(CLAIMS));
			unsigned char out[EVP_MAX_MD_SIZE];
			size_t n = sizeof(out);
			EVP_MD_CTX *md = EVP_MD_CTX_new();

			assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, mac), 1);
			assert_int_equal(EVP_DigestSign(md, out, &n, (const unsigned char *)text.p, text.n), 1);
			assert_false(good(&a, with_signature(&a, text, sv_make((const char *)out, n)), pairs[p].keys));
			EVP_MD_CTX_free(md);
		}
		EVP_PKEY_free(mac);
	}
}

/* Each algorithm with its own key, and no name of another in its header; nor one that the caller does not want. */
static void test_algorithm_is_the_keys(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(algs); i++)
		for (size_t j = 0; j < ARRAY_LEN(algs); j++) {
			struct sv t = forge(&a, i, header_of(&a, algs[j].name), SV(CLAIMS));

			assert_int_equal(good(&a, t, pairs[algs[i].pair].keys), i == j);
			if (algs[i].pair != algs[j].pair)
				assert_false(good(&a, t, pairs[algs[j].pair].keys));
			assert_string_equal(why_not(&a, t, pairs[algs[i].pair].keys, JWS_ANY & ~(unsigned)algs[j].alg),
					    "unexpected signature algorithm");
			if (i == j)
				assert_string_equal(why_not(&a, t, pairs[algs[i].pair].keys, algs[i].alg), "");
		}
}

/* A digest that is not the curve's, though the key is. */
static void test_digest_is_the_curves(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = signed_text(&a, SV("{\"alg\":\"ES256\"}"), SV(CLAIMS));
	struct sv sig = raw_signature(&a, pairs[P256_PAIR].pkey, EVP_sha384(), -1, text);

	(void)state;
	assert_false(good(&a, with_signature(&a, text, beside(&a, sig, 32)), EC_KEYS));
	sig = raw_signature(&a, pairs[P256_PAIR].pkey, EVP_sha256(), -1, text);
	assert_true(good(&a, with_signature(&a, text, beside(&a, sig, 32)), EC_KEYS));
}

static void test_salt_is_as_long_as_the_digest(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = signed_text(&a, SV("{\"alg\":\"PS256\"}"), SV(CLAIMS));
	EVP_PKEY *pkey = pairs[RSA_PAIR].pkey;

	(void)state;
	for (int salt = 0; salt <= 64; salt += 16)
		assert_int_equal(good(&a, with_signature(&a, text, raw_signature(&a, pkey, EVP_sha256(), salt, text)),
				      pairs[RSA_PAIR].keys),
				 salt == 32);
}

/* Shorter, longer, changed in any byte, and in OpenSSL's form where the token's is another. */
static void test_signature_bytes(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		const struct jws_keys *keys = pairs[algs[i].pair].keys;
		struct sv t = forge(&a, i, header_of(&a, algs[i].name), SV(CLAIMS)), sig, text;
		size_t dot = t.n;
		char *bytes;

		while (t.p[dot - 1] != '.')
			dot--;
		text = sv_sub(t, 0, dot - 1);
		assert_true(b64url_decode(&a, sv_sub(t, dot, t.n), &sig));
		assert_true(good(&a, with_signature(&a, text, sig), keys));
		bytes = arena_zalloc(&a, sig.n + 2);
		memcpy(bytes + 1, sig.p, sig.n);
		assert_false(good(&a, with_signature(&a, text, sv_make(bytes, sig.n + 1)), keys));
		assert_false(good(&a, with_signature(&a, text, sv_make(bytes, sig.n + 2)), keys));
		assert_false(good(&a, with_signature(&a, text, sv_make(bytes + 1, sig.n + 1)), keys));
		for (size_t n = 0; n < sig.n; n++)
			assert_false(good(&a, with_signature(&a, text, sv_sub(sig, 0, n)), keys));
		for (size_t at = 0; at<sig.n; at += sig.n> 200 ? 37 : 5) {
			bytes[1 + at] ^= 0x10;
			assert_false(good(&a, with_signature(&a, text, sv_make(bytes + 1, sig.n)), keys));
			bytes[1 + at] ^= 0x10;
		}
		if (half_of(algs[i].pair)) {
			sig = raw_signature(&a, pairs[algs[i].pair].pkey, algs[i].digest(), -1, text);
			assert_false(good(&a, with_signature(&a, text, sig), keys));
		}
	}
}

/* r and s are from 1 to n - 1: with zero, a checker that does not look finds every text signed. */
static void test_r_and_s_out_of_range(void **state)
{
	static const struct {
		enum pair_type pair;
		const char *name;
	} curves[] = { { P256_PAIR, "ES256" }, { P384_PAIR, "ES384" }, { P521_PAIR, "ES512" } };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		struct sv text = signed_text(&a, header_of(&a, curves[i].name), SV(CLAIMS));
		int half = half_of(curves[i].pair);
		unsigned char *values = arena_zalloc(&a, 5 * (size_t)half), *sig = arena_alloc(&a, 2 * (size_t)half);
		BIGNUM *order = NULL;

		/* 0, 1, n, n + 1, all ones */
		assert_int_equal(EVP_PKEY_get_bn_param(pairs[curves[i].pair].pkey, OSSL_PKEY_PARAM_EC_ORDER, &order),
				 1);
		values[2 * half - 1] = 1;
		assert_int_equal(BN_bn2binpad(order, values + 2 * half, half), half);
		assert_int_equal(BN_add_word(order, 1), 1);
		assert_int_equal(BN_bn2binpad(order, values + 3 * half, half), half);
		memset(values + 4 * half, 0xff, (size_t)half);
		BN_free(order);
		for (int r = 0; r < 5; r++)
			for (int s = 0; s < 5; s++) {
				memcpy(sig, values + r * half, (size_t)half);
				memcpy(sig + half, values + s * half, (size_t)half);
				assert_false(
				    good(&a, with_signature(&a, text, sv_make((const char *)sig, 2 * (size_t)half)),
					 pairs[curves[i].pair].keys));
			}
	}
}

/* What is put to a good token, anywhere, makes it none; so does what is taken away. */
static void test_one_spelling(void **state)
{
	static const struct sv more[] = { { ".", 1 },  { "=", 1 }, { "==", 2 }, { "\n", 1 },
					  { "\r", 1 }, { " ", 1 }, { "\t", 1 }, { "\0", 1 },
					  { "+", 1 },  { "/", 1 }, { "A", 1 },	{ "\xc3\xa9", 2 } };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv t = forge(&a, ES256_ROW, SV("{\"alg\":\"ES256\"}"), SV(CLAIMS));
	char *text = arena_cstr(&a, t);

	(void)state;
	assert_true(good(&a, t, EC_KEYS));
	for (size_t at = 0; at <= t.n; at++)
		for (size_t i = 0; i < ARRAY_LEN(more); i++) {
			_cleanup_(buf_release) struct buf b = BUF_INIT;

			buf_addsv(&b, sv_sub(t, 0, at));
			buf_addsv(&b, more[i]);
			buf_addsv(&b, sv_sub(t, at, t.n));
			assert_false(good(&a, buf_sv(&b), EC_KEYS));
		}
	for (size_t at = 0; at < t.n; at++)
		assert_false(good(&a, arena_svf(&a, "%.*s%s", (int)at, t.p, text + at + 1), EC_KEYS));
	/* 64 bytes leave four bits of the last digit: sixteen spellings for who does not look. */
	for (const char *d = "BCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_A"; *d; d++) {
		char last = text[t.n - 1];

		text[t.n - 1] = *d;
		assert_int_equal(good(&a, sv_from(text), EC_KEYS), *d == last);
		text[t.n - 1] = last;
	}
}

/* Signed as they are, in another spelling all the same: who signs does not make it one. */
static void test_signed_spelling(void **state)
{
	static const struct {
		const char *header, *claims;
		bool good;
	} rows[] = {
		{ "eyJhbGciOiJFUzI1NiJ9", "eyJhIjoxfQ", true }, /* {"alg":"ES256"} and {"a":1} */
		{ "eyJhbGciOiJFUzI1NiJ9", "eyJhIjoxfQ==", false },
		{ "eyJhbGciOiJFUzI1NiJ9", "eyJhIjoxfR", false },
		{ "eyJhbGciOiJFUzI1NiJ9", "eyJh\nIjoxfQ", false },
		{ "eyJhbGciOiJFUzI1NiJ9", "eyJhIjoxfQ\r\n", false },
		{ "eyJhbGciOiJFUzI1NiJ9", "eyJhIjoxf", false },
		{ "eyJhbGciOiJFUzI1NiJ9", "{\"a\":1}", false },
		{ "eyJhbGciOiJF\nUzI1NiJ9", "eyJhIjoxfQ", false },
		{ "eyJhbGciOiJFUzI1NiJ9\n", "eyJhIjoxfQ", false },
		{ "eyJhbGciOiJFUzI1NiJ9Cg==", "eyJhIjoxfQ", false },
		{ "eyJhbGciOiJFUzI1NiJ9Ch", "eyJhIjoxfQ", false },
		{ "eyJhbGciOiJFUzI1NiJ9Cg", "eyJhIjoxfQ", true }, /* a line break behind the header itself */
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sv text = arena_svf(&a, "%s.%s", rows[i].header, rows[i].claims);
		struct sv sig = beside(&a, raw_signature(&a, pairs[P256_PAIR].pkey, EVP_sha256(), -1, text), 32);

		assert_int_equal(good(&a, with_signature(&a, text, sig), EC_KEYS), rows[i].good);
	}
}

static void test_parts(void **state)
{
	static const char *const bad[] = { "",
					   ".",
					   "..",
					   "...",
					   "....",
					   "a",
					   "a.b",
					   "a.b.c",
					   "e30.e30.e30",
					   "e30..e30",
					   ".e30.e30",
					   "e30.e30.",
					   "e30.e30.e30.e30",
					   "e30.e30.e30.e30.e30" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv h = SV("{\"alg\":\"ES256\"}"), t = forge(&a, ES256_ROW, h, SV(CLAIMS));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(good(&a, sv_from(bad[i]), EC_KEYS));
	/* With a part more or less, signed or not. */
	assert_false(good(&a, arena_svf(&a, "%.*s.e30", SV_ARG(t)), EC_KEYS));
	assert_false(good(&a, arena_svf(&a, "e30.%.*s", SV_ARG(t)), EC_KEYS));
	assert_false(good(&a, arena_svf(&a, "%.*s..", SV_ARG(t)), EC_KEYS));
	assert_string_equal(why_not(&a, forge(&a, ES256_ROW, h, SV("")), EC_KEYS, JWS_ANY), "not three parts");
}

static void test_sizes(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv h = SV("{\"alg\":\"ES256\"}"), t;
	char *huge = arena_zalloc(&a, (size_t)4 << 20);

	(void)state;
	/* 20 + 1 + n + 1 + 86 digits; the longest that fits, and the next. */
	buf_adds(&b, "{\"x\":\"");
	while (b.n < (JWS_TOKEN_MAX - 20 - 1 - 1 - 86) / 4 * 3 - 2)
		buf_addc(&b, 'x');
	buf_adds(&b, "\"}");
	t = forge(&a, ES256_ROW, h, buf_sv(&b));
	assert_true(t.n <= JWS_TOKEN_MAX && t.n > JWS_TOKEN_MAX - 8);
	assert_true(good(&a, t, EC_KEYS));
	b.n -= 2;
	buf_adds(&b, "xxxxxx\"}");
	t = forge(&a, ES256_ROW, h, buf_sv(&b));
	assert_true(t.n > JWS_TOKEN_MAX);
	assert_string_equal(why_not(&a, t, EC_KEYS, JWS_ANY), "no token of a sensible size");
	memset(huge, 'A', (size_t)4 << 20);
	assert_string_equal(why_not(&a, sv_make(huge, (size_t)4 << 20), EC_KEYS, JWS_ANY),
			    "no token of a sensible size");
	assert_string_equal(why_not(&a, SV(""), EC_KEYS, JWS_ANY), "no token of a sensible size");
}

static void test_header(void **state)
{
	static const char *const bad[] = {
		"{\"alg\":\"ES256\",\"crit\":[\"exp\"],\"exp\":1}",
		"{\"alg\":\"ES256\",\"crit\":[]}",
		"{\"alg\":\"ES256\",\"crit\":null}",
		"{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":true}",
		"{\"alg\":\"ES256\",\"b64\":false}",
		"{\"alg\":\"ES256\",\"alg\":\"ES256\"}",
		"{\"alg\":\"none\",\"alg\":\"ES256\"}",
		"{\"alg\":\"ES256\",\"\\u0061lg\":\"none\"}",
		"{\"alg\":\"ES256\",\"kid\":\"a\",\"kid\":\"b\"}",
		"{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"kty\":\"EC\"}}",
		"{\"alg\":\"ES256\",\"kid\":1}",
		"{\"alg\":\"ES256\",\"kid\":null}",
		"[{\"alg\":\"ES256\"}]",
		"\"ES256\"",
		"null",
		"{\"alg\":\"ES256\"",
		"{\"alg\":\"ES256\"}x",
		"{\"alg\":\"ES256\",}",
		"{'alg':'ES256'}",
		"\xef\xbb\xbf{\"alg\":\"ES256\"}",
		"{\"alg\":\"ES256\",\"typ\":\"\xff\"}",
	};
	static const char *const fine[] = {
		"{\"alg\":\"ES256\"}",
		" {\"typ\":\"JWT\",\n\"alg\":\"ES256\"} ",
		"{\"alg\":\"ES256\",\"kid\":\"any, as the key has none\"}",
		/* Keys that come along are nobody's. */
		"{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"x5c\":[]}",
		"{\"alg\":\"ES256\",\"jku\":\"https://e.example\",\"x5u\":\"u\"}",
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(good(&a, forge(&a, ES256_ROW, sv_from(bad[i]), SV(CLAIMS)), EC_KEYS));
	for (size_t i = 0; i < ARRAY_LEN(fine); i++)
		assert_true(good(&a, forge(&a, ES256_ROW, sv_from(fine[i]), SV(CLAIMS)), EC_KEYS));
}

/* Our own key may sign what is no claim: it is refused all the same. */
static void test_claims(void **state)
{
	static const char *const bad[] = {
		"[]",
		"null",
		"1",
		"\"{}\"",
		"{",
		"{}{}",
		"{\"sub\":\"a\",\"sub\":\"b\"}",
		"{\"sub\":\"a\",\"s\\u0075b\":\"a\"}",
		"{\"k\":{\"pod\":{\"name\":\"a\",\"uid\":\"1\",\"name\":\"b\"}}}",
		"{\"k\":[[{\"a\":1,\"a\":1}]]}",
		"{\"sub\":\"\x80\"}",
		"{\"\xff\":1,\"\xfe\":2}",
		"{\"sub\":\"a\nb\"}",
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv h = SV("{\"alg\":\"ES256\"}"), deep;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_string_equal(why_not(&a, forge(&a, ES256_ROW, h, sv_from(bad[i])), EC_KEYS, JWS_ANY),
				    "the claims are not a JSON object");
	assert_true(good(&a, forge(&a, ES256_ROW, h, SV("{}")), EC_KEYS));
	buf_adds(&b, "{\"x\":");
	for (int i = 0; i < 10000; i++)
		buf_addc(&b, '[');
	deep = buf_sv(&b);
	assert_false(good(&a, forge(&a, ES256_ROW, h, deep), EC_KEYS));
	assert_false(good(&a, forge(&a, ES256_ROW, deep, SV("{}")), EC_KEYS));
}

static void test_other_keys_tokens(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv t = forge(&a, ES256_ROW, SV("{\"alg\":\"ES256\"}"), SV(CLAIMS));
	struct jws_keys *libjwt = jws_keys_pem(SV(LIBJWT_KEY), NULL);

	(void)state;
	assert_string_equal(why_not(&a, t, libjwt, JWS_ANY), "no key that is known has signed it");
	assert_false(good(&a, sv_from(libjwt_token), EC_KEYS));
	jws_keys_free(libjwt);
}

/* --- good --- */

static void test_made_by_others(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct jws_keys *node = jws_keys_jwks(sv_from(node_jwks), NULL), *rfc = jws_keys_jwks(sv_from(rfc_jwks), NULL);
	struct jws_keys *libjwt = jws_keys_pem(SV(LIBJWT_KEY), NULL);
	const struct val *claims;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(node_tokens); i++) {
		struct sv t = sv_from(node_tokens[i].token);

		assert_int_equal(jws_verify(&a, t, node, node_tokens[i].alg, &claims, NULL), 0);
		assert_sv(val_str(val_member_sv(claims, SV("iss"))), "https://issuer.example");
		assert_false(good(&a, t, rfc));
	}
	for (size_t i = 0; i < ARRAY_LEN(rfc_tokens); i++) {
		struct sv t = sv_from(rfc_tokens[i].token);

		/* Signed well is what comes before the claims. */
		assert_string_equal(why_not(&a, t, rfc, rfc_tokens[i].alg),
				    rfc_tokens[i].json ? "" : "the claims are not a JSON object");
		assert_string_equal(why_not(&a, t, node, rfc_tokens[i].alg), "no key that is known has signed it");
	}
	assert_int_equal(jws_verify(&a, sv_from(libjwt_token), libjwt, JWS_ES256, &claims, NULL), 0);
	assert_sv(val_str(val_member_sv(claims, SV("x"))), "<\xc3\xa9/>");
	jws_keys_free(node);
	jws_keys_free(rfc);
	jws_keys_free(libjwt);
}

static void test_sign(void **state)
{
	static const enum jws_alg expected[PAIRS] = { JWS_RS256, JWS_ES256, JWS_ES384, JWS_ES512, JWS_EDDSA };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *claims;
	struct sv t, rest, head, json;

	(void)state;
	for (size_t i = 0; i < PAIRS; i++) {
		/* r or s begins with zero bytes once in 128 times: then it is padded. */
		for (int n = 0; n < (i == RSA_PAIR ? 1 : 300); n++) {
			assert_int_equal(jws_sign(&a, SV(CLAIMS), pairs[i].private, SV("k"), &t, NULL), 0);
			assert_int_equal(jws_verify(&a, t, pairs[i].keys, expected[i], &claims, NULL), 0);
		}
		assert_sv(val_str(val_member_sv(claims, SV("sub"))), "robot");
		assert_false(good(&a, t, pairs[(i + 1) % PAIRS].keys));
	}
	assert_int_equal(jws_sign(&a, SV(CLAIMS), pairs[P256_PAIR].private, SV("a\"b"), &t, NULL), 0);
	rest = t;
	assert_true(sv_split(&rest, '.', &head));
	assert_true(b64url_decode(&a, head, &json));
	assert_sv(json, "{\"alg\":\"ES256\",\"kid\":\"a\\\"b\",\"typ\":\"JWT\"}");
	assert_true(good(&a, t, EC_KEYS));
}

static void test_sign_refused(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct sv keys[] = { SV(""), SV("x"), pairs[P256_PAIR].public, sv_sub(pairs[P256_PAIR].private, 0, 60) };
	struct sv t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(jws_sign(&a, SV(CLAIMS), keys[i], SV("k"), &t, &err), -1);
		assert_int_equal(err.reason, ERR_INTERNAL);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_algorithms_that_are_none),
		cmocka_unit_test(test_public_key_as_secret),
		cmocka_unit_test(test_algorithm_is_the_keys),
		cmocka_unit_test(test_digest_is_the_curves),
		cmocka_unit_test(test_salt_is_as_long_as_the_digest),
		cmocka_unit_test(test_signature_bytes),
		cmocka_unit_test(test_r_and_s_out_of_range),
		cmocka_unit_test(test_one_spelling),
		cmocka_unit_test(test_signed_spelling),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_other_keys_tokens),
		cmocka_unit_test(test_made_by_others),
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_sign_refused),
	};

	return cmocka_run_group_tests(tests, make_pairs, drop_pairs);
}
