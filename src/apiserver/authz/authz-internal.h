/* authz-internal.h - what authentication and authorization remember; only src/apiserver includes it. */
#pragma once

#include "apiserver/authn/jwt.h"
#include "apiserver/authn/token_cache.h"
#include "apiserver/authn/token_file.h"
#include "apiserver/authn/token_use.h"
#include "apiserver/authz/node_graph.h"
#include "apiserver/authz/node_ingress.h"
#include "apiserver/authz/rbac.h"

struct authz {
	struct rbac *rbac;
	struct node_graph *nodes;
	struct node_ingress *ingress;
	struct arena arena;	      /* of node_rules */
	const struct val *node_rules; /* of the built-in ClusterRole system:node */
	struct token_cache *tokens;
	struct token_use *uses;
	struct token_file *static_tokens; /* NULL: none were asked for */
	struct jwt *jwt;		  /* tokens of other issuers; the same */
};
