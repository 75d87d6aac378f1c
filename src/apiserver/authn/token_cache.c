#include "apiserver/authn/token_cache.h"
#include "base/strmap.h"

#include <pthread.h>
#include <stdlib.h>

#define CACHE_LIFE_NS (10 * NS_PER_SEC)
#define CACHE_MAX 4096 /* tokens; a full cache starts over */

struct entry {
	struct arena arena;
	struct user_info user;
	int64_t until_ns;
};

struct token_cache {
	pthread_mutex_t lock;
	struct strmap tokens; /* -> struct entry */
};

static void entry_free(void *p)
{
	struct entry *e = p;

	arena_release(&e->arena);
	free(e);
}

struct token_cache *token_cache_new(void)
{
	struct token_cache *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	return c;
}

struct token_cache *token_cache_free(struct token_cache *c)
{
	if (!c)
		return NULL;
	strmap_release_with(&c->tokens, entry_free);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

bool token_cache_get(struct token_cache *c, struct arena *a, struct sv token, int64_t mono_ns, int64_t since_ns,
		     struct user_info *ret)
{
	const struct entry *e;
	bool hit;

	pthread_mutex_lock(&c->lock);
	e = strmap_get(&c->tokens, token);
	hit = e && mono_ns < e->until_ns && e->until_ns - CACHE_LIFE_NS >= since_ns;
	if (hit)
		user_copy(a, ret, &e->user);
	pthread_mutex_unlock(&c->lock);
	return hit;
}

void token_cache_put(struct token_cache *c, struct sv token, int64_t mono_ns, const struct user_info *u)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	user_copy(&e->arena, &e->user, u);
	e->until_ns = mono_ns + CACHE_LIFE_NS;
	pthread_mutex_lock(&c->lock);
	if (c->tokens.n >= CACHE_MAX)
		strmap_release_with(&c->tokens, entry_free);
	e = strmap_set(&c->tokens, token, e);
	pthread_mutex_unlock(&c->lock);
	if (e)
		entry_free(e);
}
