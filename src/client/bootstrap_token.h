/* bootstrap_token.h - bootstrap tokens: how a machine that knows nobody yet proves that it may join.
 *
 * In the cluster a token is a Secret of type bootstrap.kubernetes.io/token in kube-system, named bootstrap-token-<id>.
 * As a bearer token it is "<id>.<secret>" ([a-z0-9]{6}.[a-z0-9]{16}) and authenticates as system:bootstrap:<id>. A
 * machine that joins is given it in the form k3s made common:
 *
 *	K10<SHA-256 of the CA's PEM, 64 hex digits>::<id>.<secret>
 *
 * so that it knows the server it talks to before it says the secret: the CA that the server names must have this hash.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "object/obj.h"

#define BOOTSTRAP_TOKEN_NS "kube-system"
#define BOOTSTRAP_TOKEN_TYPE "bootstrap.kubernetes.io/token"
#define BOOTSTRAP_TOKEN_PREFIX "bootstrap-token-" /* of the Secret's name */

struct join_token {
	struct sv id, secret;
	struct sv ca_hash; /* "": the short form, which pins nothing */
};

/* Views of text. Never names the token in *err. */
int join_token_parse(struct sv text, struct join_token *ret, struct err *err);
/* The long form, without a newline. */
struct sv join_token_format(struct arena *a, struct sv ca_pem, struct sv id, struct sv secret);
/* Is this the CA the token was made for? -1 with ERR_UNAUTHORIZED; also when the token pins none. */
int join_token_check_ca(const struct join_token *t, struct sv ca_pem, struct err *err);

/* A field of the Secret, decoded: "token-secret", "expiration", ... SV_NULL when it is absent or no base64. */
struct sv bootstrap_token_field(struct arena *a, const struct obj *secret, const char *name);
/* When it ends, wall clock: INT64_MAX never, INT64_MIN when that cannot be read, as such a token is no good. */
int64_t bootstrap_token_end(const struct obj *secret);
