/* Waiting, but not for ever: for the end of a burst, after which nobody calls. Both threads that do are the store's
 * own; the simulator, whose time does not go by itself, has the memory backend. */
#include "store/disk/disk-internal.h"

void disk_wait_until(struct disk_store *s, pthread_cond_t *c, int64_t until_ns)
{
	struct timespec t = { .tv_sec = until_ns / NS_PER_SEC, .tv_nsec = until_ns % NS_PER_SEC };

	(void)pthread_cond_timedwait(c, &s->mu, &t);
}
