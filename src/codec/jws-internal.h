/* jws-internal.h - what jws.c, jws_keys.c and jws_object.c share and nobody else includes. */
#pragma once

#include "base/vec.h"
#include "codec/jws.h"

#include <openssl/evp.h>

DEFINE_CLEANUP(EVP_PKEY *, jws_pkey_freep, EVP_PKEY_free)

struct jws_key {
	EVP_PKEY *pkey; /* owned */
	unsigned algs;	/* never 0 */
	struct sv kid;	/* "": none; in the set's arena */
};

struct jws_keys {
	struct arena arena;
	VEC(struct jws_key) keys;
};

struct jws_alg_info {
	const char *name;
	enum jws_alg alg;
	int key_type;		       /* EVP_PKEY_RSA, ... */
	const EVP_MD *(*digest)(void); /* NULL: the key's own */
	bool pss;
	const char *curve, *group; /* as JWK and as OpenSSL call it; NULL when there is no choice */
	size_t curve_bytes;	   /* of a coordinate, of r and of s */
};

/* The algorithm of that name, or NULL. */
const struct jws_alg_info *jws_alg_find(struct sv name);
/* The one of a curve, by JWK's name. */
const struct jws_alg_info *jws_alg_of_curve(struct sv curve);
/* One of a sum, the first in the order of enum jws_alg; not 0. */
const struct jws_alg_info *jws_alg_first(unsigned algs);
/* All that a key is for; 0: none. */
unsigned jws_algs_of(const EVP_PKEY *pkey);

/* What text says when it is a JSON object in UTF-8 with each member once at every depth; else NULL. */
const struct val *jws_object(struct arena *a, struct sv text);

/* A private key in PEM, which the caller owns, or NULL. Never asks anybody for a password. */
EVP_PKEY *jws_private_key(struct sv pem);
