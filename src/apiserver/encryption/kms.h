/* kms.h - keys that a program of somebody else's keeps: a KMS v2 provider behind a unix socket.
 *
 *	seed, 32 random bytes ──Encrypt──▶ the program ──▶ what it made of the seed, and by which of its keys
 *	       │
 *	       └─▶ a value's own key: HKDF-Expand-SHA256(seed, 32 random bytes) ─▶ AES-256-GCM, bound to the store key
 *
 * Stored is upstream's EncryptedObject (protobuf): those 32 bytes, nonce and text; the key's id, the sealed seed, the
 * program's annotations. So a write asks nobody, and a read only for a seed that has not been seen: some thousand
 * seeds are kept.
 *
 * Each minute, or second while something is wrong, the program is asked how it is and by which key it seals now.
 * Another key means another seed, and what is stored by the one before is stale. A program that does not answer for
 * three minutes ends writes, as nobody knows whether its key still counts; what can be read stays readable.
 *
 * Values sealed by a key itself, as earlier servers did, are read.
 *
 * A read that the program has not answered, or answered with an error, fails with ERR_UNAVAILABLE: the value may be
 * fine. For as long as that took, a second at least, the program is not asked for others: who reads thousands of values
 * does not wait for each. What it gives that does not open the value fails otherwise.
 *
 * Bounds: upstream's: a key's id and a sealed seed 1 KiB, annotations 32 KiB, with names that are domain names.
 * Seeds are wiped when they go.
 *
 * Threads: any. kms_check() and kms_open() wait for the program, at most the timeout: on tasks, or at the start.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"

#define KMS_POLL_NS (60 * NS_PER_SEC)
#define KMS_POLL_BAD_NS NS_PER_SEC

struct kms; /* opaque */

/* A call of the program: method "Status", "Encrypt", "Decrypt". */
typedef int kms_call_fn(void *ctx, const char *method, struct sv request, struct arena *a, struct sv *ret,
			struct err *err);

struct kms_opts {
	struct env *env;
	const char *name;     /* the provider's */
	const char *endpoint; /* "unix:///path" */
	int64_t timeout_ns;
	kms_call_fn *call; /* NULL: gRPC at the endpoint */
	void *call_ctx;
	/* After each call: how long it took, and how it went ("OK", or a word for why not). May be NULL. */
	void (*called)(void *ctx, const struct kms *k, const char *method, const char *code, int64_t ns);
	void *ctx;
};

/* Texts are copied. Asks nobody. */
struct kms *kms_new(const struct kms_opts *o);
struct kms *kms_free(struct kms *k); /* NULL is fine */
const char *kms_name(const struct kms *k);

/* Asks how it is. *ret_rotated: it seals by another key than before. -1: it is not well; why, in upstream's words. */
int kms_check(struct kms *k, bool *ret_rotated, struct err *err);
/* As of the last check. */
bool kms_healthy(struct kms *k, struct err *err);
/* When the next check is due. */
int64_t kms_next_ns(struct kms *k);

/* Appends what stands behind the prefix. */
int kms_seal(struct kms *k, struct sv aad, struct sv plain, struct buf *b, struct err *err);
/* Whether sealed can be opened, or refused, without asking. */
bool kms_knows(struct kms *k, struct sv sealed);
int kms_open(struct kms *k, struct sv aad, struct sv sealed, struct buf *b, struct err *err);
/* It is sealed as the program's key that seals now would. Asks nobody. */
bool kms_seals_so(struct kms *k, struct sv sealed);
