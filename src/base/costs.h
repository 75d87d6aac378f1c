/* costs.h - in debug builds, how much this thread has worked: a number that knows no clock and no machine.
 *
 * The compiler calls a counter at each piece of straight code (-fsanitize-coverage=trace-pc), so that nothing has to be
 * counted by hand and nothing can be forgotten. What the C library and other libraries do inside is not seen; programs
 * that ask link with the wrappers of tests/unit/costs.c, by which comparing and moving bytes counts, too.
 *
 * Release builds have nothing of it. Nor has a build for ThreadSanitizer, which is slow enough.
 */
#pragma once

#include "base/base.h"

#ifdef CARAVEL_COUNT_COSTS
extern _Thread_local uint64_t costs; /* a test takes the difference */
#endif
