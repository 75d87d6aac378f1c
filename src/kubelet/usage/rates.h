/* rates.h - from counters that are read now and then to rates.
 *
 * Of each thing its last reading is kept. A reading that is half a second or more after it makes a rate and takes its
 * place; one that is sooner gets the rate of before. What nobody read for RATES_FORGET_NS is forgotten.
 *
 * Threads: any.
 */
#pragma once

#include "base/base.h"

#define RATES_STEP_NS (NS_PER_SEC / 2)
#define RATES_FORGET_NS (120 * NS_PER_SEC)

struct rates; /* opaque */

struct rate {
	bool known;
	uint64_t per_second; /* the counter's units */
	int64_t window_ns;   /* what it is the mean of */
};

struct rates *rates_new(void);
struct rates *rates_free(struct rates *r);
/* mono_ns: when it was read. A counter that went back is a new one. */
struct rate rates_read(struct rates *r, struct sv thing, uint64_t counter, int64_t mono_ns);
/* Would reading it now tell a rate? */
bool rates_ready(struct rates *r, struct sv thing, int64_t mono_ns);
