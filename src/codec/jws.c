/* Tokens: taking apart, checking, signing. Keys and the table of algorithms are in jws_keys.c. */
#include "codec/jws-internal.h"
#include "base/b64.h"
#include "base/buf.h"
#include "codec/json.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

DEFINE_CLEANUP(EVP_MD_CTX *, jws_md_freep, EVP_MD_CTX_free)
DEFINE_CLEANUP(ECDSA_SIG *, jws_ecdsa_freep, ECDSA_SIG_free)

/* --- checking --- */

struct jws_parts {
	struct sv header, claims, signature; /* as they stand in the token */
	struct sv text;			     /* what is signed: the first two with their dot */
};

static bool jws_split(struct sv token, struct jws_parts *ret)
{
	struct sv rest = token;

	if (!sv_split(&rest, '.', &ret->header) || !sv_split(&rest, '.', &ret->claims) ||
	    !sv_split(&rest, '.', &ret->signature) || rest.p)
		return false;
	ret->text = sv_sub(token, 0, ret->header.n + 1 + ret->claims.n);
	return ret->header.n && ret->claims.n && ret->signature.n;
}

const struct val *jws_header_peek(struct arena *a, struct sv part)
{
	struct sv json;

	return part.n <= JWS_TOKEN_MAX && b64url_decode_exact(a, part, &json) ? jws_object(a, json) : NULL;
}

static int jws_header_read(struct arena *a, struct sv part, unsigned algs, const struct jws_alg_info **ret_alg,
			   struct sv *ret_kid, struct err *err)
{
	const struct val *header = jws_header_peek(a, part), *kid;

	if (!header)
		return err_set(err, ERR_UNAUTHORIZED, "the header is not a JSON object in base64url");
	if (val_member_sv(header, SV("crit")) || val_member_sv(header, SV("b64")))
		return err_set(err, ERR_UNAUTHORIZED, "the header asks for an extension");
	*ret_alg = jws_alg_find(val_str(val_member_sv(header, SV("alg"))));
	if (!*ret_alg || !((*ret_alg)->alg & algs))
		return err_set(err, ERR_UNAUTHORIZED, "unexpected signature algorithm");
	kid = val_member_sv(header, SV("kid"));
	if (kid && val_type(kid) != VAL_STR)
		return err_set(err, ERR_UNAUTHORIZED, "kid is not a string");
	*ret_kid = val_str(kid);
	return 0;
}

/* r and s, as long as the curve's order, to DER. Returns its length. Whether they are in range OpenSSL asks. */
static int jws_der_from_raw(struct sv raw, unsigned char **ret_der)
{
	_cleanup_(jws_ecdsa_freep) ECDSA_SIG *sig = ECDSA_SIG_new();
	const unsigned char *p = (const unsigned char *)raw.p;
	int half = (int)(raw.n / 2);
	BIGNUM *r = BN_bin2bn(p, half, NULL), *s = BN_bin2bn(p + half, half, NULL);

	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		return -1;
	}
	return i2d_ECDSA_SIG(sig, ret_der);
}

/* ctx is inside md, which owns it. */
static bool jws_set_padding(const struct jws_alg_info *alg, EVP_PKEY_CTX *ctx)
{
	return !alg->pss || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
			     EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static bool jws_signed_by(EVP_PKEY *pkey, const struct jws_alg_info *alg, struct sv text, struct sv signature)
{
	_cleanup_(jws_md_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t bytes = alg->curve ? 2 * alg->curve_bytes : (size_t)EVP_PKEY_get_size(pkey);
	unsigned char *der = NULL;
	EVP_PKEY_CTX *ctx;
	bool good;

	if (!md || signature.n != bytes)
		return false;
	if (alg->curve) {
		int n = jws_der_from_raw(signature, &der);

		if (n <= 0)
			return false;
		signature = sv_make((const char *)der, (size_t)n);
	}
	good = EVP_DigestVerifyInit(md, &ctx, alg->digest ? alg->digest() : NULL, NULL, pkey) == 1 &&
	       jws_set_padding(alg, ctx) &&
	       EVP_DigestVerify(md, (const unsigned char *)signature.p, signature.n, (const unsigned char *)text.p,
				text.n) == 1;
	OPENSSL_free(der);
	return good;
}

static bool jws_signed_by_any(const struct jws_keys *keys, const struct jws_alg_info *alg, struct sv kid,
			      struct sv text, struct sv signature)
{
	bool good = false;

	for (size_t i = 0; i < keys->keys.n && !good; i++) {
		const struct jws_key *k = &keys->keys.p[i];

		if ((k->algs & alg->alg) && (kid.n == 0 || k->kid.n == 0 || sv_eq(k->kid, kid)))
			good = jws_signed_by(k->pkey, alg, text, signature);
	}
	ERR_clear_error();
	return good;
}

int jws_verify(struct arena *a, struct sv token, const struct jws_keys *keys, unsigned algs,
	       const struct val **ret_claims, struct err *err)
{
	const struct jws_alg_info *alg = NULL;
	struct jws_parts parts;
	struct sv kid = SV_NULL, signature, json;
	const struct val *claims;

	if (token.n == 0 || token.n > JWS_TOKEN_MAX)
		return err_set(err, ERR_UNAUTHORIZED, "no token of a sensible size");
	if (!jws_split(token, &parts))
		return err_set(err, ERR_UNAUTHORIZED, "not three parts");
	if (jws_header_read(a, parts.header, algs, &alg, &kid, err) < 0)
		return -1;
	if (!b64url_decode_exact(a, parts.signature, &signature) || !b64url_decode_exact(a, parts.claims, &json))
		return err_set(err, ERR_UNAUTHORIZED, "not base64url");
	if (!jws_signed_by_any(keys, alg, kid, parts.text, signature))
		return err_set(err, ERR_UNAUTHORIZED, "no key that is known has signed it");
	claims = jws_object(a, json);
	if (!claims)
		return err_set(err, ERR_UNAUTHORIZED, "the claims are not a JSON object");
	*ret_claims = claims;
	return 0;
}

/* --- signing --- */

/* The other way round. */
static bool jws_raw_from_der(struct arena *a, const struct jws_alg_info *alg, struct sv der, struct sv *ret_raw)
{
	const unsigned char *p = (const unsigned char *)der.p;
	_cleanup_(jws_ecdsa_freep) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
	unsigned char *raw = arena_alloc(a, 2 * alg->curve_bytes);
	int half = (int)alg->curve_bytes;

	if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, half) != half ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, half) != half)
		return false;
	*ret_raw = sv_make((const char *)raw, 2 * alg->curve_bytes);
	return true;
}

static bool jws_signature(struct arena *a, EVP_PKEY *pkey, const struct jws_alg_info *alg, struct sv text,
			  struct sv *ret)
{
	_cleanup_(jws_md_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t n = (size_t)EVP_PKEY_get_size(pkey);
	unsigned char *out = arena_alloc(a, n);

	if (!md || EVP_DigestSignInit(md, NULL, alg->digest ? alg->digest() : NULL, NULL, pkey) != 1 ||
	    EVP_DigestSign(md, out, &n, (const unsigned char *)text.p, text.n) != 1)
		return false;
	*ret = sv_make((const char *)out, n);
	return !alg->curve || jws_raw_from_der(a, alg, *ret, ret);
}

int jws_sign(struct arena *a, struct sv claims, struct sv key_pem, struct sv kid, struct sv *ret_token, struct err *err)
{
	_cleanup_(jws_pkey_freep) EVP_PKEY *pkey = jws_private_key(key_pem);
	_cleanup_(buf_release) struct buf header = BUF_INIT;
	unsigned algs = pkey ? jws_algs_of(pkey) : 0;
	const struct jws_alg_info *alg = NULL;
	struct sv text, signature;
	bool good;

	if (!algs) {
		ERR_clear_error();
		return err_set(err, ERR_INTERNAL, "no private key to sign tokens with");
	}
	alg = jws_alg_first(algs);
	buf_printf(&header, "{\"alg\":\"%s\",\"kid\":", alg->name);
	json_encode_str(&header, kid);
	buf_adds(&header, ",\"typ\":\"JWT\"}");
	text = arena_svf(a, "%.*s.%.*s", SV_ARG(b64url_encode(a, buf_sv(&header))), SV_ARG(b64url_encode(a, claims)));
	good = jws_signature(a, pkey, alg, text, &signature);
	ERR_clear_error();
	if (!good)
		return err_set(err, ERR_INTERNAL, "cannot sign a token");
	*ret_token = arena_svf(a, "%.*s.%.*s", SV_ARG(text), SV_ARG(b64url_encode(a, signature)));
	return 0;
}
