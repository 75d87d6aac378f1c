#include "base/costs.h"

#ifdef CARAVEL_COUNT_COSTS
#ifdef __clang__
#define COSTS_SELF __attribute__((no_sanitize("coverage")))
#else
#define COSTS_SELF __attribute__((no_sanitize_coverage))
#endif

_Thread_local uint64_t costs;

COSTS_SELF void __sanitizer_cov_trace_pc(void);
COSTS_SELF void __sanitizer_cov_trace_pc(void)
{
	costs++;
}
#endif
