#include "base/costs.h"

#ifdef CARAVEL_COUNT_COSTS
/* Called at each piece of code, so this is as short as it can be in a build that is otherwise not optimised. */
#ifdef __clang__
#define COSTS_SELF __attribute__((no_sanitize("coverage")))
#else
#define COSTS_SELF __attribute__((no_sanitize_coverage, optimize("O2,omit-frame-pointer")))
#endif

_Thread_local uint64_t costs;

COSTS_SELF void __sanitizer_cov_trace_pc(void);
COSTS_SELF void __sanitizer_cov_trace_pc(void)
{
	costs++;
}
#endif
