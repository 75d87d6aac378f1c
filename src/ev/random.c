/* Names and uids take a few bytes each, many times an object: the kernel is asked for some hundred at a time. Bytes
 * are forgotten as they are given out; a forked child, which has the same ones, gets its own. */
#include "ev/ev-internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>

static void kernel_random(void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = getrandom((char *)p + at, n - at, 0);

		BUG_ON(r < 0 && errno != EINTR);
		if (r > 0)
			at += (size_t)r;
	}
}

#define RANDOM_STOCK 512

static atomic_uint random_forks; /* how many forks lie between this process and the first */

static void random_forked(void)
{
	atomic_fetch_add(&random_forks, 1);
}

static void random_at_fork(void)
{
	BUG_ON(pthread_atfork(NULL, NULL, random_forked) != 0);
}

void ev_random(struct env *e, void *p, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static _Thread_local struct {
		unsigned char bytes[RANDOM_STOCK];
		size_t left; /* at the front */
		unsigned forks;
	} stock;
	unsigned forks;

	(void)e;
	if (n > RANDOM_STOCK / 4) {
		kernel_random(p, n);
		return;
	}
	pthread_once(&once, random_at_fork);
	forks = atomic_load_explicit(&random_forks, memory_order_relaxed);
	if (stock.left < n || stock.forks != forks) {
		kernel_random(stock.bytes, sizeof(stock.bytes));
		stock.left = sizeof(stock.bytes);
		stock.forks = forks;
	}
	stock.left -= n;
	memcpy(p, stock.bytes + stock.left, n);
	explicit_bzero(stock.bytes + stock.left, n);
}
