/* Expressions by their pattern, those used last first. What one may take at most is what it counts: RE2 does not tell
 * what it takes, so a cache full of expressions that met the worst texts still has its bound. */
#include "base/list.h"
#include "base/lock.h"
#include "base/strmap.h"
#include "re/re-internal.h"
#include "re/re.h"

#include <stdlib.h>

struct re_entry {
	struct list by_use;
	struct re *re;
};

static struct {
	pthread_mutex_t lock;
	struct strmap by_pattern;
	struct list by_use; /* last used first */
	size_t bytes;
} re_cache = { .lock = PTHREAD_MUTEX_INITIALIZER, .by_use = { &re_cache.by_use, &re_cache.by_use } };
static struct lock_site re_cache_lock = { .name = "regexps" };

static void re_cache_drop(struct re_entry *e)
{
	re_cache.bytes -= re_bytes(e->re);
	list_del(&e->by_use);
	strmap_del(&re_cache.by_pattern, re_pattern(e->re));
	re_unref(e->re);
	free(e);
}

static struct re *re_cache_find(struct sv pattern)
{
	struct re_entry *e = strmap_get(&re_cache.by_pattern, pattern);

	if (!e)
		return NULL;
	list_del(&e->by_use);
	list_add_head(&re_cache.by_use, &e->by_use);
	return re_ref(e->re);
}

static void re_cache_add(struct re *re)
{
	struct re_entry *e;

	while (!list_empty(&re_cache.by_use) && re_cache.bytes + re_bytes(re) > RE_CACHE_BYTES)
		re_cache_drop(LIST_ENTRY(re_cache.by_use.prev, struct re_entry, by_use));
	e = xcalloc(1, sizeof(*e));
	e->re = re_ref(re);
	list_add_head(&re_cache.by_use, &e->by_use);
	strmap_set(&re_cache.by_pattern, re_pattern(re), e);
	re_cache.bytes += re_bytes(re);
}

int re_cached(struct sv pattern, struct re **ret, struct err *err)
{
	struct re *there, *re = NULL;
	bool made = false;

	lock_mutex(&re_cache.lock, &re_cache_lock);
	there = re_cache_find(pattern);
	pthread_mutex_unlock(&re_cache.lock);
	if (!there) {
		if (re_compile(pattern, &re, err) < 0)
			return -1;
		/* Another thread may have come first; then both use its. */
		lock_mutex(&re_cache.lock, &re_cache_lock);
		there = re_cache_find(pattern);
		if (!there) {
			re_cache_add(re);
			there = TAKE(re);
			made = true;
		}
		pthread_mutex_unlock(&re_cache.lock);
		re_unref(re);
	}
	*ret = there;
	return made;
}

size_t re_cache_count(void)
{
	size_t n;

	lock_mutex(&re_cache.lock, &re_cache_lock);
	n = re_cache.by_pattern.n;
	pthread_mutex_unlock(&re_cache.lock);
	return n;
}

size_t re_cache_bytes(void)
{
	size_t n;

	lock_mutex(&re_cache.lock, &re_cache_lock);
	n = re_cache.bytes;
	pthread_mutex_unlock(&re_cache.lock);
	return n;
}

void re_cache_clear(void)
{
	re_plain_forget();
	lock_mutex(&re_cache.lock, &re_cache_lock);
	while (!list_empty(&re_cache.by_use))
		re_cache_drop(LIST_ENTRY(re_cache.by_use.next, struct re_entry, by_use));
	strmap_release(&re_cache.by_pattern);
	re_cache.by_pattern = STRMAP_INIT;
	pthread_mutex_unlock(&re_cache.lock);
}
