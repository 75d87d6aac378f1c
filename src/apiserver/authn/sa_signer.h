/* sa_signer.h - tokens of service accounts signed by a program of somebody else's (KEP-740): the flag
 * --service-account-signing-endpoint, instead of keys in files.
 *
 *	TokenRequest ─▶ claims ─▶ the program's Sign ─▶ token   the request waits, without a thread
 *	a token that is shown ─▶ the keys as last fetched       from memory
 *
 * Keys are fetched at the start, which fails without any, then when the program says that they are to be asked for
 * again, ten seconds after a fetch that failed, and when a token of our issuer names a key that is not known: its
 * request waits for that fetch. What strangers can cause by tokens that nobody signed is bounded: a fetch each
 * SIGNER_FETCH_PAUSE_NS, and SIGNER_WAITERS_MAX requests that wait. Keys that were fetched count until others are, also
 * when the program is gone: tokens are checked on.
 *
 * Of requests that want a token SIGNER_AT_ONCE are at the program at a time, for a program that hangs must not take all
 * threads from those that keep keys of what is stored (ENV_KEYS, base/env.h); SIGNER_WAITERS_MAX wait, and more are
 * refused.
 *
 * Threads: any. Functions that may wait for the program: sa_signer_new() alone.
 */
#pragma once

#include "apiserver/api_req.h"
#include "apiserver/authn/signer_wire.h"

#define SIGNER_AT_ONCE 2
#define SIGNER_WAITERS_MAX 1000
#define SIGNER_FETCH_PAUSE_NS (2 * NS_PER_SEC)
#define SIGNER_RETRY_NS (10 * NS_PER_SEC)	/* after a fetch that failed */
#define SIGNER_START_FETCH_NS (60 * NS_PER_SEC) /* how long the start waits for a program that is not there yet */
#define SIGNER_CALL_NS (10 * NS_PER_SEC)

struct sa_signer; /* opaque */

/* A call of the program: method "Sign", "FetchKeys", "Metadata". */
typedef int sa_signer_call_fn(void *ctx, const char *method, struct sv request, int64_t timeout_ns, struct arena *a,
			      struct sv *ret, struct err *err);
/* For tests: signers that are made from now on ask by this; NULL: by gRPC. */
void sa_signer_ask_by(sa_signer_call_fn *call, void *ctx);

/* What the flags say is possible, in upstream's words. */
int sa_signer_check(const struct apiserver_accounts *o, struct err *err);
/* NULL with err: why there is none; the keys and bounds are known when it returns. */
struct sa_signer *sa_signer_new(struct env *env, const char *endpoint, struct err *err);
struct sa_signer *sa_signer_free(struct sa_signer *g); /* NULL is fine; what is under way ends by itself */

/* How long a token may last, in seconds. */
int64_t sa_signer_max_s(const struct sa_signer *g);
/* As they were last fetched; a reference is the caller's. */
struct signer_keys *sa_signer_keys(struct sa_signer *g);
/* For how long the keys may be taken as they are, in whole seconds. */
int64_t sa_signer_age_s(struct sa_signer *g);

/* For a step of q (steps.h): the token of these claims (JSON). 0, -1, or REQ_LATER. */
int sa_signer_sign(struct sa_signer *g, struct api_req *q, struct sv claims, struct sv *ret_token, struct err *err);
/* For a step of q, too, about a token that no key has signed: REQ_LATER: it names a key that is not known, and q waits
 * for a fetch; 0: q has waited, look again; 1: there is nothing to wait for. */
int sa_signer_refresh(struct sa_signer *g, struct api_req *q, struct sv token);

/* The last fetch went well; else why not. */
bool sa_signer_well(struct sa_signer *g, struct err *why);
void sa_signer_metrics(struct sa_signer *g, struct buf *b); /* NULL is fine */
