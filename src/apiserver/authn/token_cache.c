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

static struct sv *copy_list(struct arena *a, const struct sv *list, size_t n)
{
	struct sv *out = ARENA_ARRAY(a, struct sv, n);

	for (size_t i = 0; i < n; i++)
		out[i] = arena_sv(a, list[i]);
	return out;
}

void user_copy(struct arena *a, struct user_info *to, const struct user_info *from)
{
	*to = (struct user_info){
		.name = arena_sv(a, from->name),
		.uid = arena_sv(a, from->uid),
		.groups = copy_list(a, from->groups, from->n_groups),
		.n_groups = from->n_groups,
		.extra = ARENA_ARRAY(a, struct extra_info, from->n_extra),
		.n_extra = from->n_extra,
		.warning = arena_sv(a, from->warning),
		.expires_ns = from->expires_ns,
	};
	for (size_t i = 0; i < from->n_extra; i++) {
		to->extra[i].key = arena_sv(a, from->extra[i].key);
		to->extra[i].values = copy_list(a, from->extra[i].values, from->extra[i].n_values);
		to->extra[i].n_values = from->extra[i].n_values;
	}
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
