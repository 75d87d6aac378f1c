/* jws.h - signed claims: the compact form of RFC 7515 with ES256 and no other algorithm.
 *
 * What the claims mean is the caller's business; they go in and come out as JSON text. Keys are PEM (net/key.h).
 *
 * Threads: any.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* kid names the key in the header, for who has several. The token is in the arena. */
int jws_sign(struct arena *a, struct sv claims, struct sv key_pem, struct sv kid, struct sv *ret_token,
	     struct err *err);
/* Whether the holder of public_pem's other half signed it; the claims, in the arena. ERR_UNAUTHORIZED otherwise. */
int jws_verify(struct arena *a, struct sv token, struct sv public_pem, struct sv *ret_claims, struct err *err);
