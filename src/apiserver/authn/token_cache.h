/* token_cache.h - who a bearer token turned out to be, remembered for ten seconds.
 *
 * Checking a signature costs more than the rest of a small request. The short life bounds how
 * long a token outlives the object it is bound to. Thread-safe; bounded.
 */
#pragma once

#include "apiserver/api_req.h"

struct token_cache;
struct token_cache *token_cache_new(void);
struct token_cache *token_cache_free(struct token_cache *c);
/* True, with *ret copied into the arena, when the token is known at mono_ns and was found out at since_ns or later. The
 * end of the token itself is the caller's to watch (ret->expires_ns). */
bool token_cache_get(struct token_cache *c, struct arena *a, struct sv token, int64_t mono_ns, int64_t since_ns,
		     struct user_info *ret);
void token_cache_put(struct token_cache *c, struct sv token, int64_t mono_ns, const struct user_info *u);
