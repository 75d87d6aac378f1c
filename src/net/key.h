/* key.h - bare P-256 keys for signing tokens (RFC 7518 ES256) and their public halves. */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"

/* A new private key (P-256) as PEM, in the arena: in the form that is read with the least work (base/pem_key.h). */
int key_new_ec(struct arena *a, struct sv *ret_key_pem, struct err *err);
/* The coordinates of its public point, base64url without padding, as a JWK's x and y (RFC 7518
 * section 6.2), and a key id: base64url of the SHA-256 of the DER SubjectPublicKeyInfo. */
int key_public_jwk(struct arena *a, struct sv key_pem, struct sv *ret_x, struct sv *ret_y, struct sv *ret_kid,
		   struct err *err);
/* The SHA-256 of the DER SubjectPublicKeyInfo, in lower-case hex, of what a PEM text holds first: a certificate, a
 * request for one, or a private key. What a key is recognized by: kubeadm's CA hash, a node's key. */
int key_hash(struct sv pem, char ret[65], struct err *err);
