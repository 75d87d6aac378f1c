/* sa_accounts.h - as whom tokens of service accounts are issued, for whom, and for how long: the flags
 * --service-account-issuer, --api-audiences, --service-account-max-token-expiration and their like.
 *
 * Several issuers: the first one issues, tokens of all are taken, so that a cluster can change its issuer. The API has
 * audiences, any of which a token must have that is shown to it; without the flag they are the issuers. Which keys sign
 * and check is the PKI's (apiserver/pki.h).
 *
 * A token of a Pod that was asked for as admission asks for it (SA_INJECTED_S) lasts a year and says itself when it was
 * to be replaced, so that programs which read it once live on; who uses such a one later is counted and shows in the
 * audit. That is upstream's, and --service-account-extend-token-expiration=false turns it off.
 *
 * Threads: immutable. Views are for the server's life.
 */
#pragma once

#include "apiserver/api_req.h"

#include <stdatomic.h>

#define SA_INJECTED_S 3607
#define SA_EXTENDED_S INT64_C(31536000)

struct sa_accounts {
	struct arena arena;
	struct sv *issuers, *audiences; /* at least one of each */
	size_t n_issuers, n_audiences;
	int64_t max_s;	    /* 0: any */
	int64_t extended_s; /* what tokens of Pods get: SA_EXTENDED_S, or what the program that signs them allows */
	struct sv jwks_uri; /* "": our own */
	bool extend, lookup;
	_Atomic uint64_t stale; /* uses of tokens that were to be replaced */
};

/* By the server's options, refused in upstream's words; NULL with err. */
struct sa_accounts *sa_accounts_new(struct apiserver *s, struct err *err);
/* A program signs tokens, which may last so many seconds: no flag may say more, and without one it counts. */
int sa_accounts_bound(struct sa_accounts *c, int64_t max_s, struct err *err);
struct sa_accounts *sa_accounts_free(struct sa_accounts *c);
bool sa_accounts_issue(const struct sa_accounts *c, struct sv issuer);
bool sa_accounts_hear(const struct sa_accounts *c, struct sv audience); /* it is one of the API's */
const struct sa_accounts *sa_accounts_of(const struct apiserver *s);
