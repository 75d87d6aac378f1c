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
#include "base/env.h"
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
bool join_hash_good(struct sv hash); /* 64 hex digits in lower case: of a CA, whatever of it is hashed */
/* The long form, without a newline. */
struct sv join_token_format(struct arena *a, struct sv ca_pem, struct sv id, struct sv secret);
/* Is this the CA the token was made for? -1 with ERR_UNAUTHORIZED; also when the token pins none. */
int join_token_check_ca(const struct join_token *t, struct sv ca_pem, struct err *err);

/* The token of a Secret, when it is one of this name and type, may be used so ("authentication", "signing") and has not
 * ended: views of a. -1 with ERR_UNAUTHORIZED and why not, which is for logs and tests, never for who came with it. */
int bootstrap_token_read(struct arena *a, const struct obj *secret, const char *usage, int64_t now_ns,
			 struct join_token *ret, struct err *err);
/* A detached JWS over content (RFC 7515, appendix F; HS256 with the secret as its key, kid the id), as kubeadm compares
 * it: a machine that knows the token knows by it that whoever made content did, too. */
struct sv bootstrap_token_sign(struct arena *a, const struct join_token *t, struct sv content);

/* Where machines that join look for the cluster before they are anybody: kubeconfig without users, and a signature
 * jws-kubeconfig-<id> of each token that may sign. */
#define CLUSTER_INFO_NS "kube-public"
#define CLUSTER_INFO "cluster-info"
#define CLUSTER_INFO_JWS "jws-kubeconfig-"

/* --- making them --- */

/* The groups that may join (api/rbac.policy): kubeadm's, and that of the token in DIR/server/node-token. */
#define BOOTSTRAP_TOKEN_GROUP "system:bootstrappers:kubeadm:default-node-token"
#define JOIN_TOKEN_GROUP "system:bootstrappers:caravel:default-node-token"
#define SERVER_TOKEN_GROUP "system:bootstrappers:caravel:servers" /* that may bring further servers */
#define JOIN_TOKEN_LABEL "caravel/join-token"			  /* on the Secret of the token in that file */

/* system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]: what auth-extra-groups may name. */
bool bootstrap_group_good(struct sv group);
/* Made up; in the arena. */
void bootstrap_token_random(struct env *e, struct arena *a, struct join_token *ret);

struct bootstrap_token_opts {
	struct join_token token;
	const char *description, *groups; /* groups with commas; NULL: none */
	bool authentication, signing;
	int64_t end_ns; /* wall clock; INT64_MAX: never */
	bool join;	/* it gets JOIN_TOKEN_LABEL */
};
/* The Secret. */
struct val *bootstrap_token_doc(struct arena *a, const struct bootstrap_token_opts *o);

/* --- parts --- */

/* A field of the Secret, decoded: "token-secret", "expiration", ... SV_NULL when it is absent or no base64. */
struct sv bootstrap_token_field(struct arena *a, const struct obj *secret, const char *name);
/* When it ends, wall clock: INT64_MAX never, INT64_MIN when that cannot be read, as such a token is no good. */
int64_t bootstrap_token_end(const struct obj *secret);
