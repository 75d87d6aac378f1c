/* lock.h - locks that many threads want: how often one was waited for, and how long at most.
 *
 *	static struct lock_site flow_lock = { .name = "flow" };
 *	lock_mutex(&l->lock, &flow_lock);
 *
 * Who gets the lock at once pays nothing for it: it is tried first. Only who has to wait reads the clock and counts. A
 * site is one of the program's text, for all locks of one kind; it shows in lock_each() from its first wait on.
 * Unlocking is pthread's. What a condition variable takes back is not counted.
 *
 * Threads: any.
 */
#pragma once

#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>

struct lock_site {
	const char *name; /* static, and all that whoever defines one sets */
	_Atomic uint64_t waits;
	_Atomic int64_t longest_ns, total_ns;
	atomic_int waiting; /* just now */
	atomic_bool known;
	struct lock_site *next;
};

/* For those below, when it is taken. */
void lock_wait_mutex(pthread_mutex_t *m, struct lock_site *s);
void lock_wait_read(pthread_rwlock_t *l, struct lock_site *s);
void lock_wait_write(pthread_rwlock_t *l, struct lock_site *s);

static inline void lock_mutex(pthread_mutex_t *m, struct lock_site *s)
{
	if (__builtin_expect(pthread_mutex_trylock(m) != 0, 0))
		lock_wait_mutex(m, s);
}

static inline void lock_read(pthread_rwlock_t *l, struct lock_site *s)
{
	if (__builtin_expect(pthread_rwlock_tryrdlock(l) != 0, 0))
		lock_wait_read(l, s);
}

static inline void lock_write(pthread_rwlock_t *l, struct lock_site *s)
{
	if (__builtin_expect(pthread_rwlock_trywrlock(l) != 0, 0))
		lock_wait_write(l, s);
}

/* Those that were ever waited for; the numbers of one need not be of one moment. */
void lock_each(void (*fn)(const struct lock_site *s, void *ctx), void *ctx);
