#include "base/lock.h"

#include <time.h>

static _Atomic(struct lock_site *) sites;

static int64_t lock_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static int64_t lock_begin(struct lock_site *s)
{
	if (!atomic_exchange(&s->known, true)) {
		s->next = atomic_load(&sites);
		while (!atomic_compare_exchange_weak(&sites, &s->next, s))
			;
	}
	atomic_fetch_add(&s->waiting, 1);
	return lock_now_ns();
}

static void lock_end(struct lock_site *s, int64_t began_ns)
{
	int64_t ns = lock_now_ns() - began_ns, longest = atomic_load(&s->longest_ns);

	atomic_fetch_sub(&s->waiting, 1);
	atomic_fetch_add(&s->waits, 1);
	atomic_fetch_add(&s->total_ns, ns);
	while (ns > longest && !atomic_compare_exchange_weak(&s->longest_ns, &longest, ns))
		;
}

void lock_wait_mutex(pthread_mutex_t *m, struct lock_site *s)
{
	int64_t began = lock_begin(s);

	pthread_mutex_lock(m);
	lock_end(s, began);
}

void lock_wait_read(pthread_rwlock_t *l, struct lock_site *s)
{
	int64_t began = lock_begin(s);

	pthread_rwlock_rdlock(l);
	lock_end(s, began);
}

void lock_wait_write(pthread_rwlock_t *l, struct lock_site *s)
{
	int64_t began = lock_begin(s);

	pthread_rwlock_wrlock(l);
	lock_end(s, began);
}

void lock_each(void (*fn)(const struct lock_site *s, void *ctx), void *ctx)
{
	for (const struct lock_site *s = atomic_load(&sites); s; s = s->next)
		fn(s, ctx);
}
