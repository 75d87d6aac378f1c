/* jwt.h - tokens of other issuers: OpenID Connect, by --authentication-config or the flags --oidc-*.
 *
 * A token says who its issuer is; the configuration of that one is asked, and no other. Its signature, times and
 * audience are checked as upstream's authenticator does, then the claims become a user (jwt_claims.c). Requests may
 * wait for keys (jwt_keys.h). Who came of it is remembered with the other tokens (token_cache.h), until the token ends.
 *
 * A file is looked at each minute. A good one replaces the configuration, with its keys; a bad one is told in the log,
 * and what counted before counts on.
 *
 * Nothing of this is in memory, nor does a request look at it, unless it was asked for.
 *
 * Threads: any.
 */
#pragma once

#include "apiserver/api_req.h"
#include "apiserver/authn/jwt_config.h"

struct jwt; /* opaque */
struct token_question;

/* By the server's options; NULL without err: none were asked for. */
struct jwt *jwt_new(struct apiserver *s, struct err *err);
struct jwt *jwt_free(struct jwt *j);
/* Each minute, on a task. */
void jwt_reload(struct jwt *j);

/* Whose token is it? 0: ret; 1: of no issuer that is known, or for other audiences; -1: of one, and not good, err says
 * why; REQ_LATER. */
int jwt_ask(struct jwt *j, struct api_req *q, struct token_question *t, struct user_info *ret, struct err *err);
/* Whether who shows nothing may ask for that path. */
bool jwt_allows_anonymous(struct jwt *j, struct sv path, bool otherwise);

/* --- jwt_claims.c --- */

/* Whom the claims of a good token tell of. */
int jwt_user(const struct jwt_issuer *is, struct arena *a, const struct val *claims, struct user_info *ret,
	     struct err *err);
/* Times and audience, now in nanoseconds; *ret_expires_ns: when the token ends. */
int jwt_check(const struct jwt_issuer *is, struct arena *a, const struct val *claims, int64_t now_ns,
	      int64_t *ret_expires_ns, struct err *err);
