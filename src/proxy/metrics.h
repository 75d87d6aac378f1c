/* metrics.h - what a proxy's /metrics says beside health.h's, under upstream's names and in its buckets.
 *
 * Threads: any, at once.
 */
#pragma once

#include "base/buf.h"

#include <stdatomic.h>

#define PROXY_BUCKETS_MAX 80

/* Durations; bounds are those of the two kinds below. */
struct proxy_histogram {
	_Atomic uint64_t in[PROXY_BUCKETS_MAX + 1]; /* the last one: longer than any bound */
	_Atomic uint64_t sum_us;
};

struct proxy_metrics {
	struct proxy_histogram sync; /* a sync that went well */
	struct proxy_histogram
	    programming; /* from a change of endpoints, as its slice tells, until the rules are there */
};

void proxy_metrics_synced(struct proxy_metrics *m, int64_t took_ns);
void proxy_metrics_programmed(struct proxy_metrics *m, int64_t took_ns);
void proxy_metrics_write(const struct proxy_metrics *m, struct buf *b);
