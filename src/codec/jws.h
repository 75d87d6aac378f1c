/* jws.h - signed claims: tokens in the compact form of RFC 7515 whose payload is a JSON object (RFC 7519), and the keys
 * that check them (RFC 7517).
 *
 * What the claims mean (issuer, times, audience) is the caller's business. Here a token is good when one of the keys
 * given has signed it, by an algorithm that the caller allows and that fits the key's type and curve; the header
 * proposes, it never decides. "none" and HMAC do not exist here, nor do keys that a header brings along or points
 * to (jwk, jku, x5c, x5u). A header with crit (RFC 7515 4.1.11) or b64 (RFC 7797) is refused: nothing that must be
 * understood is.
 *
 * One token has one spelling: base64url without padding, line breaks or bits left over, three parts and no byte more.
 * Header and claims are UTF-8 and have each member once, at every depth (go-jose refuses the second, too). Signatures
 * have exactly their length: that of the modulus, or r and s of an ECDSA signature beside each other (RFC 7518 3.4),
 * where OpenSSL has DER. Claims are decoded only when the signature is good. Sizes are compared first: JWS_TOKEN_MAX,
 * JWS_KEYS_TEXT_MAX, JWS_KEYS_MAX.
 *
 * Threads: any. Keys are immutable; many threads may check with the same ones at once. Nothing is left in OpenSSL's
 * error queue, where the connections of the thread would find it.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

#define JWS_TOKEN_MAX ((size_t)16 * 1024)      /* bytes */
#define JWS_KEYS_TEXT_MAX ((size_t)256 * 1024) /* bytes of a key set */
#define JWS_KEYS_MAX 64			       /* keys of a set that can be used */

/* RFC 7518 3.1 and, for EdDSA with Ed25519, RFC 8037 3.1; a set of them is their sum. */
enum jws_alg {
	JWS_RS256 = 1 << 0, /* RSASSA-PKCS1-v1_5, 2048 to 8192 bits, as PS* */
	JWS_RS384 = 1 << 1,
	JWS_RS512 = 1 << 2,
	JWS_PS256 = 1 << 3, /* RSASSA-PSS, the salt as long as the digest */
	JWS_PS384 = 1 << 4,
	JWS_PS512 = 1 << 5,
	JWS_ES256 = 1 << 6, /* P-256 */
	JWS_ES384 = 1 << 7, /* P-384 */
	JWS_ES512 = 1 << 8, /* P-521 */
	JWS_EDDSA = 1 << 9,
	JWS_ANY = (1 << 10) - 1
};

struct jws_keys; /* public keys, each with the algorithms it is for */

/* One key as SubjectPublicKeyInfo PEM; it checks tokens whatever kid they name. NULL: not a key for any algorithm. */
struct jws_keys *jws_keys_pem(struct sv pem, struct err *err);
/* All keys of a PEM text: public ones, those of private ones and of certificates. Each has the id that Kubernetes gives
 * it: base64url of the SHA-256 of its DER SubjectPublicKeyInfo. NULL: a block of it is no such key, or there is none,
 * or there are more than JWS_KEYS_MAX. */
struct jws_keys *jws_keys_pem_all(struct sv pem, struct err *err);
/* Keys with ids that somebody else gave them: SubjectPublicKeyInfo in DER. NULL: one of them is no key for tokens,
 * there is none, or there are more than JWS_KEYS_MAX. */
struct jws_public {
	struct sv kid, der;
};
struct jws_keys *jws_keys_der(const struct jws_public *keys, size_t n, struct err *err);
/* Whether one of them has this id. */
bool jws_keys_have(const struct jws_keys *k, struct sv kid);
/* The id of the first, a view; "": it has none. */
struct sv jws_keys_id(const struct jws_keys *k);
/* By what they sign: of each the algorithm that jws_sign() would take. A sum. */
unsigned jws_keys_algs(const struct jws_keys *k);
const char *jws_alg_name(enum jws_alg alg);
/* Appends them as a JWK set, each with the same algorithm. */
void jws_keys_write(const struct jws_keys *k, struct buf *b);
/* A JWK set: {"keys":[...]}. Keys that are not for checking signatures (use, key_ops), of unknown types, too short or
 * broken are passed over (RFC 7517 5); NULL when none is left, or the set itself is no such document. */
struct jws_keys *jws_keys_jwks(struct sv json, struct err *err);
struct jws_keys *jws_keys_free(struct jws_keys *k);
DEFINE_CLEANUP(struct jws_keys *, jws_keys_freep, jws_keys_free)

/* 0: a key of keys signed it by one of algs (a sum); the claims, in the arena. A key with another kid than the one that
 * the header names is not tried. ERR_UNAUTHORIZED otherwise. */
int jws_verify(struct arena *a, struct sv token, const struct jws_keys *keys, unsigned algs,
	       const struct val **ret_claims, struct err *err);

/* What a token's first part says, unchecked: whose key to look for, nothing else. NULL: no JSON object in base64url. */
const struct val *jws_header_peek(struct arena *a, struct sv part);

/* Signs claims (the JSON text of an object, taken as it is) with a private key in PEM, by the algorithm of its type:
 * RS256, ES256, ES384, ES512 or EdDSA. kid names the key in the header, for who has several. The token is in the arena.
 */
int jws_sign(struct arena *a, struct sv claims, struct sv key_pem, struct sv kid, struct sv *ret_token,
	     struct err *err);
