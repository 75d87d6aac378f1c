/* authz-internal.h - what authentication and authorization remember; only src/apiserver includes it. */
#pragma once

#include "apiserver/authn/token_cache.h"
#include "apiserver/authz/rbac.h"

struct authz {
	struct rbac *rbac;
	struct token_cache *tokens;
};
