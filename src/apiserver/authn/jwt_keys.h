/* jwt_keys.h - the public keys of an issuer of tokens: found by its discovery document, fetched, and fetched again when
 * a token is signed by none of them.
 *
 *	ISSUER/.well-known/openid-configuration ─▶ {issuer, jwks_uri} ─▶ jwks_uri ─▶ {keys}     (OpenID Discovery 1.0)
 *
 * Nothing is fetched before the first token of the issuer comes. A request whose token needs keys that are not known
 * waits for the one fetch under way (steps.h); it holds no thread. What a stranger can cause by tokens that nobody
 * signed is bounded: a fetch each JWT_FETCH_PAUSE_NS, and JWT_WAITERS_MAX requests that wait for it. Keys that are
 * older than JWT_KEYS_AGE_NS are used once more and fetched meanwhile, so that one that was withdrawn ends.
 *
 * The issuer's answers are bounded, redirects are not followed, the document must name the issuer it was asked of.
 *
 * Threads: any. Reference-counted: a fetch and each that waits hold one.
 */
#pragma once

#include "apiserver/api_req.h"

#define JWT_FETCH_PAUSE_NS (2 * NS_PER_SEC)
#define JWT_FETCH_NS (10 * NS_PER_SEC) /* for each of the two documents */
#define JWT_KEYS_AGE_NS (300 * NS_PER_SEC)
#define JWT_WAITERS_MAX 1000

struct jwt_keys; /* opaque */

/* discovery_url "": below the issuer's; ca_pem "": the system's roots. Strings are copied. */
struct jwt_keys *jwt_keys_new(struct sv issuer, struct sv discovery_url, struct sv ca_pem);
struct jwt_keys *jwt_keys_ref(struct jwt_keys *k);
struct jwt_keys *jwt_keys_unref(struct jwt_keys *k);

/* As jws_verify() (codec/jws.h) by the keys of the issuer: 0, -1, or REQ_LATER: q waits for a fetch, and is to ask
 * again. */
int jwt_keys_verify(struct jwt_keys *k, struct api_req *q, struct sv token, unsigned algs,
		    const struct val **ret_claims, struct err *err);
