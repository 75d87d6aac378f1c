/* signer_wire.h - what a program that signs tokens of service accounts answers: ExternalJWTSigner of externaljwt/v1, by
 * field, and what of it is believed.
 *
 *	FetchKeys  {}                 ─▶ keys {id, DER, hidden}, when they were true, when to ask again
 *	Sign       {claims, base64}   ─▶ header, signature, both base64
 *	Metadata   {}                 ─▶ how long a token may last at most
 *
 * The program is trusted with who may call itself what, and with nothing else: sizes, encodings and what a header may
 * say are checked first, in upstream's words. All of it is pure: no time, no waiting.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/jws.h"

#include <stdatomic.h>

#define SIGNER_KID_MAX 1024
#define SIGNER_MIN_LIFE_S 600
#define SIGNER_MAX_LIFE_S (INT64_C(1) << 32)

/* One answer's keys: immutable, counted. */
struct signer_keys {
	atomic_int refs;
	struct jws_keys *all;	/* by which tokens are checked */
	struct jws_keys *shown; /* those of them that others are told of; NULL: none */
	double data_s;		/* since 1970: when they were true */
	int64_t hint_s;		/* to be asked for again then; at least 1 */
};

/* NULL: why not. One reference is the caller's. */
struct signer_keys *signer_read_keys(struct sv said, struct err *err);
struct signer_keys *signer_keys_ref(struct signer_keys *k);
struct signer_keys *signer_keys_unref(struct signer_keys *k); /* NULL is fine; returns NULL */
DEFINE_CLEANUP(struct signer_keys *, signer_keys_unrefp, signer_keys_unref)
/* It is there and others are not told of it: nothing new may be signed by it. */
bool signer_keys_hide(const struct signer_keys *k, struct sv kid);

/* The token of what Sign said of claims (its middle part, as it was sent); views and token in the arena. */
int signer_read_token(struct arena *a, struct sv said, struct sv claims, struct sv *ret_token, struct sv *ret_kid,
		      struct err *err);
/* Seconds, within the two bounds above. */
int signer_read_metadata(struct sv said, int64_t *ret_max_s, struct err *err);
