/* The clocks of the kernel. */
#include "ev/ev-internal.h"

#include <time.h>

int64_t ev_clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}
