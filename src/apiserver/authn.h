/* authn.h - who is asking: client certificate, then bearer token, else anonymous.
 *
 * Tokens: service account JWTs (bound: audience, expiry, the pod, secret or node still there with that uid), bootstrap
 * tokens of machines that join, and static ones where a file of them was asked for. A credential that is presented and
 * wrong is refused (401), never downgraded to anonymous; an empty token is none.
 */
#pragma once

#include "apiserver/api_req.h"

/* Fills q->user, or -1 with ERR_UNAUTHORIZED ("Unauthorized"). */
int authn_request(struct api_req *q, struct err *err);
/* What authn_request() did not know, asked of those who may take their time: other issuers of tokens. 0, -1, REQ_LATER;
 * 1: not known there either. */
int authn_outside(struct api_req *q, struct err *err);
/* The same about a token that a TokenReview shows (steps.h). */
struct token_question;
int authn_ask_outside(struct api_req *q, struct token_question *t, struct user_info *ret, struct err *err);
/* The bearer token of q; "": it shows none. */
struct sv authn_bearer(const struct api_req *q);
/* For TokenReview: 1 authenticated (user, audiences), 0 not (why in *err's message, as TokenReview tells it),
 * arena-owned. */
int authn_token(struct apiserver *s, struct arena *a, struct sv token, const struct sv *audiences, size_t n_audiences,
		struct user_info *ret, struct sv **ret_audiences, size_t *ret_n, struct err *err);

/* Service account tokens (TokenRequest API). claims of RFC 7519 plus "kubernetes.io". */
struct sa_token_request {
	struct sv ns, name, uid;		     /* the service account */
	struct sv bound_kind, bound_name, bound_uid; /* Pod, Secret or Node; "" : unbound */
	struct sv node_name, node_uid;		     /* of a bound pod */
	const struct sv *audiences;
	size_t n_audiences;
	int64_t expiration_s;
	int64_t warn_after_s; /* when it is to be replaced, before it ends; 0: nothing is said of that */
};
/* What such a token says, as JSON in the arena, and its end. */
struct sv sa_token_claims(struct apiserver *s, struct arena *a, const struct sa_token_request *r,
			  int64_t *ret_expires_ns);
/* The token that says so, for a step of q (steps.h): 0, -1, or REQ_LATER where a program signs (authn/sa_signer.h). */
int sa_token_sign(struct api_req *q, struct sv claims, struct sv *ret_token, struct err *err);
/* For how long others may keep /openid/v1/jwks, in seconds. */
int64_t sa_jwks_age_s(struct apiserver *s);
/* /openid/v1/jwks and /.well-known/openid-configuration; JSON in the arena. The latter is "" where the issuer is no
 * https URL, which nobody could look it up at. */
struct sv sa_jwks(struct apiserver *s, struct arena *a);
struct sv sa_openid_configuration(struct apiserver *s, struct arena *a);
