#include "client/workq_metrics.h"

#include "base/strmap.h"

#include <stdlib.h>

static const double workq_bounds[WORKQ_BOUNDS] = { 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000 };

// clang-format off: a metric each
const struct metric_family workq_families[_WQ_MAX] = {
	[WQ_ADDS] = { "workqueue_adds_total", "Keys that were added to a work queue.", .type = METRIC_COUNTER,
		      .stability = METRIC_BETA, .labels = { "name" } },
	[WQ_DEPTH] = { "workqueue_depth", "Keys that wait in a work queue.", .type = METRIC_GAUGE,
		       .stability = METRIC_BETA, .labels = { "name" } },
	[WQ_LONGEST] = { "workqueue_longest_running_processor_seconds",
			 "How long the key that is worked on longest has been so, in seconds.", .type = METRIC_GAUGE,
			 .stability = METRIC_BETA, .labels = { "name" } },
	[WQ_QUEUE_DURATION] = { "workqueue_queue_duration_seconds",
				"How long keys waited in a work queue before they were worked on, in seconds.",
				.type = METRIC_HISTOGRAM, METRIC_BOUNDS(workq_bounds), .stability = METRIC_BETA,
				.labels = { "name" } },
	[WQ_RETRIES] = { "workqueue_retries_total", "Keys that are tried again after a failure.",
			 .type = METRIC_COUNTER, .stability = METRIC_BETA, .labels = { "name" } },
	[WQ_UNFINISHED] = { "workqueue_unfinished_work_seconds",
			    "How long all keys that are worked on have been so together, in seconds.",
			    .type = METRIC_GAUGE, .stability = METRIC_BETA, .labels = { "name" } },
	[WQ_WORK_DURATION] = { "workqueue_work_duration_seconds", "How long working on a key took, in seconds.",
			       .type = METRIC_HISTOGRAM, METRIC_BOUNDS(workq_bounds), .stability = METRIC_BETA,
			       .labels = { "name" } },
};
// clang-format on

static void workq_observe(uint64_t *in, int64_t *sum_ns, int64_t ns)
{
	size_t k = 0;

	while (k < WORKQ_BOUNDS && (double)ns / 1e9 > workq_bounds[k])
		k++;
	in[k]++;
	*sum_ns += ns;
}

void workq_counts_queued(struct workq_counts *c, int64_t ns)
{
	workq_observe(c->queued, &c->queued_ns, ns);
}

void workq_counts_worked(struct workq_counts *c, int64_t ns)
{
	workq_observe(c->worked, &c->worked_ns, ns);
}

struct workq_table {
	struct strmap rows; /* struct workq_counts */
};

struct workq_table *workq_table_new(void)
{
	return xcalloc(1, sizeof(struct workq_table));
}

void workq_table_add(struct workq_table *t, const char *name, const struct workq_counts *c)
{
	void **slot = strmap_slot(&t->rows, sv_from(name));
	struct workq_counts *to;

	if (!*slot)
		*slot = xcalloc(1, sizeof(*to));
	to = *slot;
	to->adds += c->adds;
	to->retries += c->retries;
	for (size_t i = 0; i <= WORKQ_BOUNDS; i++) {
		to->queued[i] += c->queued[i];
		to->worked[i] += c->worked[i];
	}
	to->queued_ns += c->queued_ns;
	to->worked_ns += c->worked_ns;
	to->depth += c->depth;
	to->longest_ns = MAX(to->longest_ns, c->longest_ns);
	to->unfinished_ns += c->unfinished_ns;
}

static void workq_row_write(enum workq_metric m, const char *labels, const struct workq_counts *c, struct buf *b)
{
	const struct metric_family *f = &workq_families[m];

	if (m == WQ_QUEUE_DURATION)
		metric_histogram(b, f, labels, c->queued, (double)c->queued_ns / 1e9);
	else if (m == WQ_WORK_DURATION)
		metric_histogram(b, f, labels, c->worked, (double)c->worked_ns / 1e9);
	else
		metric_sample(b, f, labels,
			      m == WQ_ADDS	? (double)c->adds
			      : m == WQ_DEPTH	? (double)c->depth
			      : m == WQ_RETRIES ? (double)c->retries
			      : m == WQ_LONGEST ? (double)c->longest_ns / 1e9
						: (double)c->unfinished_ns / 1e9);
}

void workq_table_write(struct workq_table *t, struct buf *b)
{
	for (enum workq_metric m = 0; m < _WQ_MAX; m++) {
		metric_head(b, &workq_families[m]);
		STRMAP_EACH(&t->rows, e) {
			_cleanup_(buf_release) struct buf labels = BUF_INIT;

			metric_label(&labels, "name", sv_make(e->key, e->key_n));
			workq_row_write(m, buf_cstr(&labels), e->value, b);
		}
	}
	strmap_release_with(&t->rows, free);
	free(t);
}
