/* See backoff.h. */
#include "controllers/backoff.h"
#include "base/arena.h"
#include "base/strmap.h"

#include <pthread.h>
#include <stdlib.h>

#define KEYS_MAX 4096 /* remembered before old ones are looked for */

struct pause {
	int64_t at_ns, length_ns; /* monotonic */
};

struct backoff {
	struct env *env;
	int64_t first_ns, max_ns;
	pthread_mutex_t lock;
	struct strmap keys; /* key -> struct pause * */
};

struct backoff *backoff_new(struct env *e, int64_t first_ns, int64_t max_ns)
{
	struct backoff *b = xcalloc(1, sizeof(*b));

	b->env = e;
	b->first_ns = first_ns;
	b->max_ns = max_ns;
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
		if (now - ((struct pause *)e->value)->at_ns > 2 * b->max_ns)
			old[n++] = arena_sv(&a, sv_make(e->key, e->key_n));
	for (size_t i = 0; i < n; i++)
		free(strmap_del(&b->keys, old[i]));
}

int64_t backoff_left(struct backoff *b, struct sv key)
{
	int64_t now = env_mono_ns(b->env), left;
	struct pause *p;

	pthread_mutex_lock(&b->lock);
	p = strmap_get(&b->keys, key);
	if (!p) {
		if (b->keys.n >= KEYS_MAX)
			sweep_locked(b, now);
		p = xcalloc(1, sizeof(*p));
		strmap_set(&b->keys, key, p);
	} else if (now - p->at_ns > 2 * b->max_ns) {
		p->length_ns = 0;
	}
	left = p->length_ns ? MAX(p->at_ns + p->length_ns - now, 0) : 0;
	if (!left)
		*p = (struct pause){ now, p->length_ns ? MIN(p->length_ns * 2, b->max_ns) : b->first_ns };
	pthread_mutex_unlock(&b->lock);
	return left;
}
