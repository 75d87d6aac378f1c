/* jwt_config.h - an AuthenticationConfiguration (apiserver.config.k8s.io/v1, v1beta1): whose signed tokens count, and
 * who the one is that they tell of.
 *
 *	file, or the flags --oidc-* as the document they stand for ─▶ jwt_config_parse() ─▶ struct jwt_config
 *
 * It is judged as a whole, with every error at its path and in upstream's words; nothing of a wrong one counts. Members
 * that are not known are errors, too: what was meant by them would be missing. Expressions are compiled here, once.
 *
 * The text is the administrator's, but may be hostile all the same: it is bounded (JWT_CONFIG_MAX), and so is what an
 * expression costs (object/cel/cel.h).
 *
 * Threads: immutable, reference-counted.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/cel/cel.h"

#include <stdatomic.h>

#define JWT_CONFIG_MAX ((size_t)1 << 20) /* bytes of the file */
#define JWT_ISSUERS_MAX 64

struct jwt_keys;

/* A claim with a prefix, or an expression; neither: nothing is said. */
struct jwt_mapping {
	struct sv claim, prefix;
	struct cel_program *program; /* of the variable `claims`; owned */
};

struct jwt_extra {
	struct sv key, text;
	struct cel_program *program;
};

struct jwt_rule {
	struct sv claim, required;   /* it must be there and be that string, */
	struct sv text, message;     /* or this must hold, else that is said */
	struct cel_program *program; /* of `claims`, or of `user` */
};

struct jwt_issuer {
	struct sv url, discovery_url, ca_pem; /* the last two or "" */
	struct sv *audiences;		      /* any of them */
	size_t n_audiences;
	struct jwt_mapping username, groups, uid;
	struct jwt_extra *extra;
	size_t n_extra;
	struct jwt_rule *rules, *user_rules;
	size_t n_rules, n_user_rules;
	unsigned algs; /* a sum of enum jws_alg */
	struct jwt_keys *keys;
	const struct cel_type *claims_type, *user_type; /* of expressions */
};

struct jwt_config {
	atomic_int refs;
	struct arena arena;
	struct jwt_issuer *issuers;
	size_t n_issuers;
	bool anonymous_set, anonymous; /* the file says whether there are anonymous requests, */
	struct sv *anonymous_paths;    /* and at which paths alone; none: at all of them */
	size_t n_anonymous_paths;
};

/* disallowed: the issuers of the cluster's own tokens. algs: by what theirs may be signed. The caller's reference; NULL
 * with ERR_INVALID. */
struct jwt_config *jwt_config_parse(struct sv text, const struct sv *disallowed, size_t n_disallowed, unsigned algs,
				    struct err *err);
struct jwt_config *jwt_config_ref(struct jwt_config *c);
struct jwt_config *jwt_config_unref(struct jwt_config *c);
DEFINE_CLEANUP(struct jwt_config *, jwt_config_unrefp, jwt_config_unref)
