/* sa_token.h - service account tokens: JWTs (RFC 7519), bound to objects.
 *
 * There are two forms, told apart by their issuer: what the API server issues on request, for a time and an audience,
 * and what the controllers put into Secrets (controllers/token_secrets.c), good as long as it stands there.
 *
 * What a verified token says. Strings live in the arena given to sa_token_verify().
 */
#pragma once

#include "apiserver/authn.h"

struct sa_claims {
	struct sv ns, name, uid;
	struct sv pod_name, pod_uid, node_name, node_uid, secret_name, secret_uid;
	struct sv jti;
	const struct val *audiences; /* NULL of a legacy one, which is for the API server alone */
	int64_t expires_ns;	     /* 0 of a legacy one */
	int64_t stale_ns;	     /* when it was to be replaced; 0: no such time before its end */
	bool legacy;
	bool generated; /* a legacy one that nobody asked for: the cluster made it with the account */
};

/* Signature, issuer, times and that the bound objects still exist. Audiences are the caller's to judge. 1; 0: not one
 * of ours, by signature or issuer; -1: ours and not good, *err says why in upstream's words, which a TokenReview
 * repeats. */
int sa_token_verify(struct apiserver *s, struct arena *a, struct sv token, struct sa_claims *ret, struct err *err);
/* For a step of q (steps.h), about a token that nothing built in knows: a program signs tokens, and this one names a
 * key of it that is not known yet. REQ_LATER: q waits for it; 0: it has, look again; 1: nothing of that. */
int sa_token_refresh(struct api_req *q, struct sv token);
void sa_claims_user(struct arena *a, const struct sa_claims *c, struct user_info *ret);
