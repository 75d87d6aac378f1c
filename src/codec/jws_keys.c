/* Which keys there are and what each is for: from PEM, and from JWK sets (RFC 7517, RFC 7518 6, RFC 8037 2). */
#include "codec/jws-internal.h"
#include "base/b64.h"
#include "base/pem.h"
#include "base/pem_key.h"
#include "codec/json.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192 /* checking costs the square of it */
#define EXPONENT_BITS_MAX 31
#define CURVE_BYTES_MAX 66

DEFINE_CLEANUP(BIO *, jws_bio_freep, BIO_free)
DEFINE_CLEANUP(BIGNUM *, jws_bn_freep, BN_free)
DEFINE_CLEANUP(EVP_PKEY_CTX *, jws_pkey_ctx_freep, EVP_PKEY_CTX_free)
DEFINE_CLEANUP(OSSL_PARAM_BLD *, jws_bld_freep, OSSL_PARAM_BLD_free)
DEFINE_CLEANUP(OSSL_PARAM *, jws_param_freep, OSSL_PARAM_free)

static const struct jws_alg_info jws_algs[] = {
	{ "RS256", JWS_RS256, EVP_PKEY_RSA, EVP_sha256, false, NULL, NULL, 0 },
	{ "RS384", JWS_RS384, EVP_PKEY_RSA, EVP_sha384, false, NULL, NULL, 0 },
	{ "RS512", JWS_RS512, EVP_PKEY_RSA, EVP_sha512, false, NULL, NULL, 0 },
	{ "PS256", JWS_PS256, EVP_PKEY_RSA, EVP_sha256, true, NULL, NULL, 0 },
	{ "PS384", JWS_PS384, EVP_PKEY_RSA, EVP_sha384, true, NULL, NULL, 0 },
	{ "PS512", JWS_PS512, EVP_PKEY_RSA, EVP_sha512, true, NULL, NULL, 0 },
	{ "ES256", JWS_ES256, EVP_PKEY_EC, EVP_sha256, false, "P-256", "prime256v1", 32 },
	{ "ES384", JWS_ES384, EVP_PKEY_EC, EVP_sha384, false, "P-384", "secp384r1", 48 },
	{ "ES512", JWS_ES512, EVP_PKEY_EC, EVP_sha512, false, "P-521", "secp521r1", CURVE_BYTES_MAX },
	{ "EdDSA", JWS_EDDSA, EVP_PKEY_ED25519, NULL, false, NULL, NULL, 0 },
};

const struct jws_alg_info *jws_alg_find(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(jws_algs); i++)
		if (sv_is(name, jws_algs[i].name))
			return &jws_algs[i];
	return NULL;
}

const struct jws_alg_info *jws_alg_of_curve(struct sv curve)
{
	for (size_t i = 0; i < ARRAY_LEN(jws_algs); i++)
		if (jws_algs[i].curve && sv_is(curve, jws_algs[i].curve))
			return &jws_algs[i];
	return NULL;
}

const struct jws_alg_info *jws_alg_first(unsigned algs)
{
	size_t i = 0;

	BUG_ON(!(algs & JWS_ANY));
	while (!(algs & jws_algs[i].alg))
		i++;
	return &jws_algs[i];
}

/* --- what a key is for --- */

/* Moduli of a sensible size, and exponents that make checking cheap and mean something. */
static bool jws_rsa_fits(const EVP_PKEY *pkey)
{
	_cleanup_(jws_bn_freep) BIGNUM *e = NULL;
	int bits = EVP_PKEY_get_bits(pkey);

	return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX &&
	       EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) && !BN_is_one(e) &&
	       BN_num_bits(e) <= EXPONENT_BITS_MAX;
}

/* By name only: a curve that is spelled out in numbers may be any, and what OpenSSL finds it to be the same as is
 * not for us to trust. */
static bool jws_curve_fits(const EVP_PKEY *pkey, const struct jws_alg_info *alg)
{
	char name[32];
	int spelled_out = 1;

	return EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelled_out) == 1 &&
	       !spelled_out &&
	       EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name), NULL) == 1 &&
	       sv_is(sv_from(name), alg->group);
}

unsigned jws_algs_of(const EVP_PKEY *pkey)
{
	int type = EVP_PKEY_get_base_id(pkey);
	unsigned algs = 0;

	if (type == EVP_PKEY_RSA && !jws_rsa_fits(pkey))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(jws_algs); i++)
		if (jws_algs[i].key_type == type && (!jws_algs[i].group || jws_curve_fits(pkey, &jws_algs[i])))
			algs |= jws_algs[i].alg;
	return algs;
}

/* --- sets --- */

/* False: it is for none of algs. */
static bool jws_keys_add(struct jws_keys *k, EVP_PKEY *pkey_take, unsigned algs, struct sv kid)
{
	algs &= jws_algs_of(pkey_take);
	if (algs)
		vec_push(&k->keys, ((struct jws_key){ pkey_take, algs, arena_sv(&k->arena, kid) }));
	else
		EVP_PKEY_free(pkey_take);
	return algs;
}

struct jws_keys *jws_keys_free(struct jws_keys *k)
{
	if (!k)
		return NULL;
	for (size_t i = 0; i < k->keys.n; i++)
		EVP_PKEY_free(k->keys.p[i].pkey);
	vec_release(&k->keys);
	arena_release(&k->arena);
	free(k);
	return NULL;
}

/* --- PEM --- */

static BIO *jws_bio(struct sv text)
{
	return text.n <= INT_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
}

EVP_PKEY *jws_private_key(struct sv pem)
{
	return pem_private_key(pem);
}

struct jws_keys *jws_keys_pem(struct sv pem, struct err *err)
{
	_cleanup_(jws_keys_freep) struct jws_keys *k = xcalloc(1, sizeof(*k));
	_cleanup_(jws_bio_freep) BIO *bio = jws_bio(pem);
	EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, pem_no_password, NULL) : NULL;
	bool read = pkey, good = read && jws_keys_add(k, pkey, JWS_ANY, SV(""));

	ERR_clear_error();
	if (good)
		return TAKE(k);
	err_set(err, ERR_INVALID, "%s",
		read ? "no public key for tokens: RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519 are"
		     : "cannot read a public key: not PEM, or damaged");
	return NULL;
}

/* The key in a block; NULL: none. *ret_skip: it is a block that says something about the next one. */
static EVP_PKEY *jws_block_key(const char *name, const unsigned char *der, long n, bool *ret_skip)
{
	EVP_PKEY *pkey = NULL;
	X509 *cert;

	*ret_skip = strcmp(name, "EC PARAMETERS") == 0;
	if (strcmp(name, "PUBLIC KEY") == 0)
		return d2i_PUBKEY(NULL, &der, n);
	if (strcmp(name, "RSA PUBLIC KEY") == 0)
		return d2i_PublicKey(EVP_PKEY_RSA, NULL, &der, n);
	if (strcmp(name, "CERTIFICATE") == 0) {
		cert = d2i_X509(NULL, &der, n);
		pkey = cert ? X509_get_pubkey(cert) : NULL;
		X509_free(cert);
		return pkey;
	}
	return pem_block_key(name, der, n);
}

/* Adds the public half of a key, with its id. */
static bool jws_add_public(struct jws_keys *k, EVP_PKEY *key)
{
	unsigned char *der = NULL, digest[32];
	const unsigned char *at;
	int n = i2d_PUBKEY(key, &der);
	EVP_PKEY *public;
	struct sv kid;
	bool good;

	if (n <= 0)
		return false;
	at = der;
	public = d2i_PUBKEY(NULL, &at, n);
	good = public && EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_free(der);
	if (!good) {
		EVP_PKEY_free(public);
		return false;
	}
	kid = b64url_encode(&k->arena, sv_make((const char *)digest, sizeof(digest)));
	for (size_t i = 0; i < k->keys.n; i++)
		if (sv_eq(k->keys.p[i].kid, kid)) {
			EVP_PKEY_free(public);
			return true; /* there already */
		}
	return jws_keys_add(k, public, JWS_ANY, kid);
}

struct jws_keys *jws_keys_pem_all(struct sv pem, struct err *err)
{
	_cleanup_(jws_keys_freep) struct jws_keys *k = xcalloc(1, sizeof(*k));
	_cleanup_(jws_bio_freep) BIO *bio = jws_bio(pem);
	char *name, *header;
	unsigned char *der;
	bool good = true, skip;
	long n;

	while (bio && good && k->keys.n <= JWS_KEYS_MAX && PEM_read_bio(bio, &name, &header, &der, &n) == 1) {
		EVP_PKEY *key = jws_block_key(name, der, n, &skip);

		good = key ? jws_add_public(k, key) : skip;
		EVP_PKEY_free(key);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)n);
	}
	ERR_clear_error();
	if (good && k->keys.n && k->keys.n <= JWS_KEYS_MAX)
		return TAKE(k);
	if (!good && pem_encrypted(pem)) {
		err_set(err, ERR_INVALID, "cannot read a private key: %s", PEM_ENCRYPTED);
		return NULL;
	}
	err_set(err, ERR_INVALID, "%s",
		!good	    ? "a block of it is no key for tokens: RSA of 2048 to 8192 bits, P-256, P-384 and P-521 are"
		: k->keys.n ? "more than 64 keys"
			    : "data does not contain any valid RSA or ECDSA public keys");
	return NULL;
}

/* --- DER --- */

struct jws_keys *jws_keys_der(const struct jws_public *keys, size_t n, struct err *err)
{
	_cleanup_(jws_keys_freep) struct jws_keys *k = xcalloc(1, sizeof(*k));
	bool good = n <= JWS_KEYS_MAX;

	for (size_t i = 0; i < n && good; i++) {
		const unsigned char *at = (const unsigned char *)keys[i].der.p, *end = at + keys[i].der.n;
		EVP_PKEY *pkey = keys[i].der.n <= INT_MAX ? d2i_PUBKEY(NULL, &at, (long)keys[i].der.n) : NULL;

		good = pkey && at == end && jws_keys_add(k, pkey, JWS_ANY, keys[i].kid);
		if (pkey && at != end)
			EVP_PKEY_free(pkey);
	}
	ERR_clear_error();
	if (good && n)
		return TAKE(k);
	err_set(err, ERR_INVALID, "%s",
		n == 0 ? "found no keys"
		: n > JWS_KEYS_MAX
		    ? "more than 64 keys"
		    : "one is no public key for tokens: RSA of 2048 to 8192 bits, P-256, P-384 and P-521 are");
	return NULL;
}

bool jws_keys_have(const struct jws_keys *k, struct sv kid)
{
	for (size_t i = 0; i < k->keys.n; i++)
		if (sv_eq(k->keys.p[i].kid, kid))
			return true;
	return false;
}

/* --- what is said of them --- */

struct sv jws_keys_id(const struct jws_keys *k)
{
	return k->keys.n ? k->keys.p[0].kid : SV("");
}

unsigned jws_keys_algs(const struct jws_keys *k)
{
	unsigned algs = 0;

	for (size_t i = 0; i < k->keys.n; i++)
		algs |= jws_alg_first(k->keys.p[i].algs)->alg;
	return algs;
}

const char *jws_alg_name(enum jws_alg alg)
{
	return jws_alg_first(alg)->name;
}

/* A number as its bytes, padded to width when that is not 0; "": the key has none such. */
static struct sv jws_number(struct arena *a, const EVP_PKEY *pkey, const char *param, size_t width)
{
	_cleanup_(jws_bn_freep) BIGNUM *bn = NULL;
	unsigned char *bytes;
	int n;

	if (EVP_PKEY_get_bn_param(pkey, param, &bn) != 1)
		return SV("");
	n = width ? (int)width : BN_num_bytes(bn);
	bytes = arena_alloc(a, (size_t)n + 1);
	return BN_bn2binpad(bn, bytes, n) == n ? b64url_encode(a, sv_make((const char *)bytes, (size_t)n)) : SV("");
}

static void jws_jwk_write(struct arena *a, const struct jws_key *k, struct buf *b)
{
	const struct jws_alg_info *alg = jws_alg_first(k->algs);

	buf_printf(b, "{\"use\":\"sig\",\"kty\":\"%s\",\"kid\":", alg->curve ? "EC" : "RSA");
	json_encode_str(b, k->kid);
	if (alg->curve)
		buf_printf(b, ",\"crv\":\"%s\",\"alg\":\"%s\",\"x\":\"%.*s\",\"y\":\"%.*s\"}", alg->curve, alg->name,
			   SV_ARG(jws_number(a, k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, alg->curve_bytes)),
			   SV_ARG(jws_number(a, k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, alg->curve_bytes)));
	else
		buf_printf(b, ",\"alg\":\"%s\",\"n\":\"%.*s\",\"e\":\"%.*s\"}", alg->name,
			   SV_ARG(jws_number(a, k->pkey, OSSL_PKEY_PARAM_RSA_N, 0)),
			   SV_ARG(jws_number(a, k->pkey, OSSL_PKEY_PARAM_RSA_E, 0)));
}

void jws_keys_write(const struct jws_keys *k, struct buf *b)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	buf_adds(b, "{\"keys\":[");
	for (size_t i = 0; i < k->keys.n; i++) {
		const struct jws_key *key = &k->keys.p[i];

		if (!(key->algs & (JWS_RS256 | JWS_ES256 | JWS_ES384 | JWS_ES512)))
			continue; /* Ed25519: not among those that Kubernetes signs by */
		if (b->p[b->n - 1] == '}')
			buf_addc(b, ',');
		jws_jwk_write(&a, key, b);
	}
	buf_adds(b, "]}");
	ERR_clear_error();
}

/* --- JWK --- */

static struct sv jws_jwk_str(const struct val *jwk, const char *name)
{
	return val_str(val_member_sv(jwk, sv_from(name)));
}

/* A member's bytes: at least one, at most max. */
static bool jws_jwk_bytes(struct arena *a, const struct val *jwk, const char *name, size_t max, struct sv *ret)
{
	struct sv text = jws_jwk_str(jwk, name);

	return text.n > 0 && text.n <= max * 2 && b64url_decode_exact(a, text, ret) && ret->n <= max;
}

static EVP_PKEY *jws_from_params(const char *type, OSSL_PARAM_BLD *bld)
{
	_cleanup_(jws_param_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	_cleanup_(jws_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL;
	return pkey;
}

static EVP_PKEY *jws_jwk_rsa(struct arena *a, const struct val *jwk)
{
	_cleanup_(jws_bld_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	_cleanup_(jws_bn_freep) BIGNUM *n = NULL, *e = NULL;
	struct sv n_bytes, e_bytes;

	if (!bld || !jws_jwk_bytes(a, jwk, "n", RSA_BITS_MAX / 8, &n_bytes) || !jws_jwk_bytes(a, jwk, "e", 4, &e_bytes))
		return NULL;
	n = BN_bin2bn((const unsigned char *)n_bytes.p, (int)n_bytes.n, NULL);
	e = BN_bin2bn((const unsigned char *)e_bytes.p, (int)e_bytes.n, NULL);
	if (!n || !e || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		return NULL;
	return jws_from_params("RSA", bld);
}

static EVP_PKEY *jws_jwk_ec(struct arena *a, const struct val *jwk)
{
	_cleanup_(jws_bld_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	const struct jws_alg_info *alg = jws_alg_of_curve(jws_jwk_str(jwk, "crv"));
	unsigned char point[1 + 2 * CURVE_BYTES_MAX] = { POINT_CONVERSION_UNCOMPRESSED };
	struct sv x, y;

	if (!bld || !alg || !jws_jwk_bytes(a, jwk, "x", alg->curve_bytes, &x) || x.n != alg->curve_bytes ||
	    !jws_jwk_bytes(a, jwk, "y", alg->curve_bytes, &y) || y.n != alg->curve_bytes)
		return NULL;
	memcpy(point + 1, x.p, x.n);
	memcpy(point + 1 + x.n, y.p, y.n);
	if (OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, alg->group, 0) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x.n + y.n) != 1)
		return NULL;
	return jws_from_params("EC", bld); /* which finds out whether it is on the curve */
}

static EVP_PKEY *jws_jwk_okp(struct arena *a, const struct val *jwk)
{
	struct sv x;

	if (!sv_is(jws_jwk_str(jwk, "crv"), "Ed25519") || !jws_jwk_bytes(a, jwk, "x", 32, &x))
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, x.n);
}

static bool jws_jwk_is_for_checking(const struct val *jwk)
{
	const struct val *use = val_member_sv(jwk, SV("use")), *ops = val_member_sv(jwk, SV("key_ops"));

	if (use && !val_is(use, "sig"))
		return false;
	VAL_EACH(ops, op)
		if (val_is(op, "verify"))
			return true;
	return !ops;
}

static EVP_PKEY *jws_jwk_read(struct arena *a, const struct val *jwk, unsigned *ret_algs)
{
	const struct val *alg = val_member_sv(jwk, SV("alg"));
	const struct jws_alg_info *only = jws_alg_find(val_str(alg));
	struct sv type = jws_jwk_str(jwk, "kty");

	if (!jws_jwk_is_for_checking(jwk) || (alg && !only))
		return NULL;
	*ret_algs = only ? only->alg : JWS_ANY;
	if (sv_is(type, "RSA"))
		return jws_jwk_rsa(a, jwk);
	if (sv_is(type, "EC"))
		return jws_jwk_ec(a, jwk);
	return sv_is(type, "OKP") ? jws_jwk_okp(a, jwk) : NULL;
}

struct jws_keys *jws_keys_jwks(struct sv json, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(jws_keys_freep) struct jws_keys *k = xcalloc(1, sizeof(*k));
	const struct val *doc = json.n <= JWS_KEYS_TEXT_MAX ? jws_object(&a, json) : NULL;
	const struct val *list = val_member_sv(doc, SV("keys"));
	const char *why = NULL;
	unsigned algs;

	if (json.n > JWS_KEYS_TEXT_MAX)
		why = "longer than 256 KiB";
	else if (val_type(list) != VAL_LIST)
		why = "not a JSON object with a list of keys";
	VAL_EACH(list, jwk) {
		EVP_PKEY *pkey = k->keys.n <= JWS_KEYS_MAX ? jws_jwk_read(&a, jwk, &algs) : NULL;

		if (pkey)
			jws_keys_add(k, pkey, algs, jws_jwk_str(jwk, "kid"));
	}
	ERR_clear_error();
	if (!why && k->keys.n == 0)
		why = "no key in it can check signatures";
	else if (!why && k->keys.n > JWS_KEYS_MAX)
		why = "more than 64 keys";
	if (!why)
		return TAKE(k);
	err_set(err, ERR_INVALID, "cannot read a key set: %s", why);
	return NULL;
}
