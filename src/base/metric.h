/* metric.h - numbers for /metrics: families as constant tables, series of them by their labels, a page of text.
 *
 * A family says what upstream says of a metric: name, type, stability, labels, bounds. A component has a set of its
 * families, and counts into it; whoever serves /metrics lets each write what it has into a page, and finishes that
 * (metric_page.h). What is counted at every request has cells of its own and only writes here (metric_head() and the
 * next two), as finding a series costs a lock and a hash.
 *
 * Names of a cluster's things are labels of some families: of one family there are at most METRIC_SERIES_MAX series,
 * what would be another is not counted.
 *
 * Units: durations come in ns and are told in seconds; everything else is told as it comes.
 * Threads: any, at once.
 */
#pragma once

#include "base/buf.h"

#include <stdatomic.h>

#define METRIC_LABELS_MAX 10
#define METRIC_SERIES_MAX 2000

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, _METRIC_TYPE_MAX };
enum metric_stability { METRIC_ALPHA, METRIC_BETA, METRIC_STABLE, _METRIC_STABILITY_MAX };

struct metric_family {
	const char *name, *help;
	uint8_t type, stability;
	uint8_t n_bounds;
	const double *bounds;		       /* of a histogram, upwards; that without end is not among them */
	const char *labels[METRIC_LABELS_MAX]; /* NULL-terminated unless all are used */
};

#define METRIC_BOUNDS(b) .bounds = (b), .n_bounds = ARRAY_LEN(b)

const char *metric_type_name(enum metric_type t);
const char *metric_stability_name(enum metric_stability s); /* "ALPHA" */
size_t metric_n_labels(const struct metric_family *f);

/* --- counting --- */

struct metric_set;
/* Of families at constant addresses. Holds next to nothing until something is counted. */
struct metric_set *metric_set_new(const struct metric_family *families, size_t n);
struct metric_set *metric_set_free(struct metric_set *s); /* NULL is fine */

/* values: as many as f has labels, in its order; NULL where it has none. s NULL: nobody counts. f is one of the set's.
 */
void metric_add(struct metric_set *s, const struct metric_family *f, const struct sv *values, uint64_t n);
void metric_gauge(struct metric_set *s, const struct metric_family *f, const struct sv *values, double v);
void metric_observe(struct metric_set *s, const struct metric_family *f, const struct sv *values, double v);
static inline void metric_observe_ns(struct metric_set *s, const struct metric_family *f, const struct sv *values,
				     int64_t ns)
{
	metric_observe(s, f, values, (double)ns / 1e9);
}
/* What a counter has, or how often a histogram was observed; for tests. */
uint64_t metric_count(struct metric_set *s, const struct metric_family *f, const struct sv *values);

/* --- a histogram of durations without a set, for what is counted all the time --- */

struct metric_cell {
	_Atomic uint64_t sum_ns;
	_Atomic uint64_t in[]; /* n_bounds + 1 of them */
};
struct metric_cell *metric_cell_new(const struct metric_family *f);
/* The cell at *slot, made if there is none. */
struct metric_cell *metric_cell_at(_Atomic(struct metric_cell *) *slot, const struct metric_family *f);
void metric_cell_observe(struct metric_cell *c, const struct metric_family *f, int64_t ns);
/* The same of anything that is no duration: its sum is told as it is. */
void metric_cell_observe_size(struct metric_cell *c, const struct metric_family *f, uint64_t size);
void metric_cell_write(struct buf *b, const struct metric_family *f, const char *labels, const struct metric_cell *c,
		       bool sizes);

/* --- writing --- */

/* All families of s that have a series; those without labels have theirs from the start. */
void metric_set_write(struct metric_set *s, struct buf *b);

/* # HELP and # TYPE, in front of a family's samples. */
void metric_head(struct buf *b, const struct metric_family *f);
/* labels: as they stand in the braces, or "". */
void metric_sample(struct buf *b, const struct metric_family *f, const char *labels, double v);
/* in: how many fell into each bucket, n_bounds + 1 of them. */
void metric_histogram(struct buf *b, const struct metric_family *f, const char *labels, const uint64_t *in, double sum);
/* name="value" into b, with a comma before it if b is not empty; escaped. */
void metric_label(struct buf *b, const char *name, struct sv value);
