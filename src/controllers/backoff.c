/* See backoff.h. */
#include "controllers/backoff.h"

#include "base/arena.h"
#include "base/retry.h"
#include "base/strmap.h"

#include <pthread.h>
#include <stdlib.h>

#define KEYS_MAX 4096 /* remembered before old ones are looked for */

struct backoff {
	struct env *env;
	struct retry_policy policy;
	pthread_mutex_t lock;
	struct strmap keys; /* key -> struct retry *, monotonic */
};

struct backoff *backoff_new(struct env *e, int64_t first_ns, int64_t max_ns)
{
	struct backoff *b = xcalloc(1, sizeof(*b));

	b->env = e;
	b->policy = (struct retry_policy){ .first_ns = first_ns, .max_ns = max_ns, .forget_ns = 2 * max_ns };
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

struct backoff *backoff_free(struct backoff *b)
{
	if (!b)
		return NULL;
	strmap_release_with(&b->keys, free);
	pthread_mutex_destroy(&b->lock);
	free(b);
	return NULL;
}

static void sweep_locked(struct backoff *b, int64_t now)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv *old = ARENA_ARRAY(&a, struct sv, b->keys.n);
	size_t n = 0;

	STRMAP_EACH(&b->keys, e)
		if (retry_forgotten(&b->policy, e->value, now))
			old[n++] = arena_sv(&a, sv_make(e->key, e->key_n));
	for (size_t i = 0; i < n; i++)
		free(strmap_del(&b->keys, old[i]));
}

int64_t backoff_left(struct backoff *b, struct sv key)
{
	int64_t now = env_mono_ns(b->env), left;
	struct retry *r;

	pthread_mutex_lock(&b->lock);
	r = strmap_get(&b->keys, key);
	if (!r) {
		if (b->keys.n >= KEYS_MAX)
			sweep_locked(b, now);
		r = xcalloc(1, sizeof(*r));
		strmap_set(&b->keys, key, r);
	}
	left = retry_left_ns(&b->policy, r, r->failed_ns, now);
	if (!left)
		retry_failed(&b->policy, r, now);
	pthread_mutex_unlock(&b->lock);
	return left;
}
