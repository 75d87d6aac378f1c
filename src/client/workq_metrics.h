/* workq_metrics.h - what is counted of a work queue, under upstream's names: the families and their text.
 *
 * Used by workq.c, which has a struct workq_counts in each queue and guards it with the queue's lock.
 */
#pragma once

#include "base/metric.h"

enum workq_metric {
	WQ_ADDS,
	WQ_DEPTH,
	WQ_LONGEST,
	WQ_QUEUE_DURATION,
	WQ_RETRIES,
	WQ_UNFINISHED,
	WQ_WORK_DURATION,
	_WQ_MAX
};
extern const struct metric_family workq_families[_WQ_MAX];

#define WORKQ_BOUNDS 12 /* 10 ns and ten times as much each */

struct workq_counts {
	uint64_t adds, retries;
	uint64_t queued[WORKQ_BOUNDS + 1], worked[WORKQ_BOUNDS + 1];
	int64_t queued_ns, worked_ns;
	/* As of when they are told. */
	size_t depth;
	int64_t longest_ns, unfinished_ns;
};

void workq_counts_queued(struct workq_counts *c, int64_t ns); /* a key has waited so long */
void workq_counts_worked(struct workq_counts *c, int64_t ns); /* and was worked on so long */

/* One row for each name; queues of one name are told together. */
struct workq_table; /* opaque */
struct workq_table *workq_table_new(void);
void workq_table_add(struct workq_table *t, const char *name, const struct workq_counts *c);
/* Writes and frees it. */
void workq_table_write(struct workq_table *t_take, struct buf *b);
