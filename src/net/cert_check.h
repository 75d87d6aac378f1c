/* cert_check.h - what strangers hand in as certificates and requests, judged as data: bundles of trust anchors, and a
 * pod's request with the answer to it (certificates.k8s.io).
 *
 * Nothing is believed and nothing is kept. Pure: no clock, no files. Any thread; nothing is left in OpenSSL's error
 * queue. What a client may hand in is bounded by whoever calls.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* Calls say() for each thing that is wrong with pem as one or more certificates of authorities, none twice, and no
 * other block; in upstream's words. Entries that are no certificates end it: what else there is wrong follows. */
typedef void cert_say_fn(const char *what, void *ctx);
void cert_anchors_check(struct sv pem, cert_say_fn *say, void *ctx);

/* A request (PKCS#10, DER) that is signed by its own key, which is of one of the kinds that pods may have: Ed25519,
 * ECDSA on P-256, P-384, P-521, RSA of 3072 or 4096 bits. -1 with ERR_INVALID and what is wrong. */
int cert_request_check(struct sv der, struct err *err);

/* The same shown in the older way: a public key (PKIX, DER) of one of these kinds, and a signature of it over text. */
int cert_possession_check(struct sv key_der, struct sv signature, struct sv text, struct err *err);

/* The first certificate of a chain (PEM), if it is for the request's key (or, that being empty, for this one), and when
 * it is valid, ns. */
int cert_answer_check(struct sv chain_pem, struct sv request_der, struct sv key_der, int64_t *ret_from_ns,
		      int64_t *ret_to_ns, struct err *err);
