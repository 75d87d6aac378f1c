/* authz-internal.h - what authentication and authorization remember; only src/apiserver includes it. */
#pragma once

#include "apiserver/authn/jwt.h"
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/sa_signer.h"
#include "apiserver/authn/token_cache.h"
#include "apiserver/authn/token_file.h"
#include "apiserver/authn/token_hook.h"
#include "apiserver/authn/token_use.h"
#include "apiserver/authz/chain.h"
#include "apiserver/authz/node_graph.h"
#include "apiserver/authz/node_ingress.h"
#include "apiserver/authz/rbac.h"

/* What a request was told in this step, for it is asked again after each wait; in its arena. */
struct authz_verdict {
	struct authz_verdict *next;
	struct webhook_asked *asked; /* of a chain's webhook (webhook.c), or: */
	struct authz_attrs at;	     /* without its user, who may be gone */
	struct sv user, reason;
	int rc;
};

struct authz {
	struct rbac *rbac;
	struct node_graph *nodes;
	struct node_ingress *ingress;
	struct arena arena;	      /* of node_rules */
	const struct val *node_rules; /* of the built-in ClusterRole system:node */
	struct sa_accounts *accounts; /* as whom and for whom tokens are issued */
	struct sa_signer *signer;     /* a program that signs them; NULL: a key of ours does */
	struct token_cache *tokens;
	struct token_use *uses;
	struct token_store *static_tokens; /* NULL: none were asked for */
	struct authz_chains *chains;	   /* who is asked instead of Node and RBAC; the same */
	struct token_hook *token_hook;	   /* a webhook that knows tokens; the same */
	struct jwt *jwt;		   /* tokens of other issuers; the same */
};
