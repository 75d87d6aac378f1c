/* See expectations.h. Deletions are known by uid: a pod is seen going twice, when it gets its
 * deletionTimestamp and when it is gone, and must be counted once. */
#include "controllers/expectations.h"
#include "base/strmap.h"

#include <pthread.h>
#include <stdlib.h>

struct expected {
	int64_t creations;
	struct strmap deletions; /* uids; the values mean nothing */
	int64_t since_ns;
};

struct expectations {
	struct env *env;
	pthread_mutex_t lock;
	struct strmap keys; /* -> struct expected * */
};

static void expected_free(void *p)
{
	struct expected *e = p;

	strmap_release(&e->deletions);
	free(e);
}

struct expectations *expectations_new(struct env *e)
{
	struct expectations *x = xcalloc(1, sizeof(*x));

	x->env = e;
	pthread_mutex_init(&x->lock, NULL);
	return x;
}

struct expectations *expectations_free(struct expectations *x)
{
	if (!x)
		return NULL;
	strmap_release_with(&x->keys, expected_free);
	pthread_mutex_destroy(&x->lock);
	free(x);
	return NULL;
}

bool expectations_satisfied(struct expectations *x, struct sv key)
{
	const struct expected *e;
	bool ok;

	pthread_mutex_lock(&x->lock);
	e = strmap_get(&x->keys, key);
	ok =
	    !e || (e->creations <= 0 && e->deletions.n == 0) || env_mono_ns(x->env) - e->since_ns > EXPECTATIONS_TTL_NS;
	pthread_mutex_unlock(&x->lock);
	return ok;
}

static struct expected *renew_locked(struct expectations *x, struct sv key)
{
	void **slot = strmap_slot(&x->keys, key);
	struct expected *e = *slot;

	if (!e)
		e = *slot = xcalloc(1, sizeof(*e));
	strmap_release(&e->deletions);
	e->creations = 0;
	e->since_ns = env_mono_ns(x->env);
	return e;
}

void expect_creations(struct expectations *x, struct sv key, int64_t n)
{
	pthread_mutex_lock(&x->lock);
	renew_locked(x, key)->creations = n;
	pthread_mutex_unlock(&x->lock);
}

void expect_deletions(struct expectations *x, struct sv key, const struct sv *uids, size_t n)
{
	struct expected *e;

	pthread_mutex_lock(&x->lock);
	e = renew_locked(x, key);
	for (size_t i = 0; i < n; i++)
		strmap_set(&e->deletions, uids[i], x);
	pthread_mutex_unlock(&x->lock);
}

void creation_observed(struct expectations *x, struct sv key)
{
	struct expected *e;

	pthread_mutex_lock(&x->lock);
	e = strmap_get(&x->keys, key);
	if (e && e->creations > 0)
		e->creations--;
	pthread_mutex_unlock(&x->lock);
}

void deletion_observed(struct expectations *x, struct sv key, struct sv uid)
{
	struct expected *e;

	pthread_mutex_lock(&x->lock);
	e = strmap_get(&x->keys, key);
	if (e)
		(void)strmap_del(&e->deletions, uid);
	pthread_mutex_unlock(&x->lock);
}

void expectations_forget(struct expectations *x, struct sv key)
{
	struct expected *e;

	pthread_mutex_lock(&x->lock);
	e = strmap_del(&x->keys, key);
	pthread_mutex_unlock(&x->lock);
	if (e)
		expected_free(e);
}
