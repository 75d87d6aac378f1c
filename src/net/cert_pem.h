/* cert_pem.h - the certificates in PEM texts, and nothing else of them.
 *
 * What stands between blocks, and the headers in them, is whatever their writer liked; who hands certificates on gives
 * the blocks alone. They are not parsed: certificates are bytes here.
 *
 * Pure. Any thread; nothing is left in OpenSSL's error queue. What a client may hand in is bounded by whoever calls.
 */
#pragma once

#include "base/arena.h"
#include "base/vec.h"

/* Calls fn for each block of a text, whatever it is of; a damaged one is passed over, and the next is looked for behind
 * it. All are borrowed for the call. */
typedef void cert_block_fn(const char *name, const char *header, struct sv der, void *ctx);
void cert_pem_each(struct sv pem, cert_block_fn *fn, void *ctx);

struct cert_pem {
	struct arena *a;
	VEC(struct sv) der; /* the arena's */
};

/* The blocks of one more text. */
void cert_pem_add(struct cert_pem *c, struct sv pem);
void cert_pem_once(struct cert_pem *c); /* each of them once; their order says nothing from then on */
/* All as CERTIFICATE blocks, in the arena. */
struct sv cert_pem_text(const struct cert_pem *c);
void cert_pem_release(struct cert_pem *c);
