#include "scheduler/sched_metrics.h"

#include <stdlib.h>

static const double point_bounds[] = { 0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032,
				       0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048 };
static const double tries_bounds[] = { 1, 2, 4, 8, 16 };
static const double pod_bounds[] = { 0.01,  0.02,  0.04,  0.08,	 0.16,	 0.32,	 0.64,	 1.28,	  2.56,	   5.12,
				     10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36, 1310.72, 2621.44, 5242.88 };
static const double victim_bounds[] = { 1, 2, 4, 8, 16, 32, 64 };
static const double attempt_bounds[] = { 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
					 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384 };

#define STABLE .stability = METRIC_STABLE
#define HISTOGRAM(bounds) .type = METRIC_HISTOGRAM, METRIC_BOUNDS(bounds)

// clang-format off: a metric each
const struct metric_family sched_families[_SM_MAX] = {
	[SM_POINT_DURATION] = { "scheduler_framework_extension_point_duration_seconds",
				"How long all plugins of a step of scheduling took, in seconds.",
				HISTOGRAM(point_bounds), STABLE, .labels = { "extension_point", "profile", "status" } },
	[SM_PENDING] = { "scheduler_pending_pods", "Pods that wait for a node, by queue.", .type = METRIC_GAUGE, STABLE,
			 .labels = { "queue" } },
	[SM_ATTEMPTS] = { "scheduler_pod_scheduling_attempts", "How often Pods were tried until they had a node.",
			  HISTOGRAM(tries_bounds), STABLE },
	[SM_POD_DURATION] = { "scheduler_pod_scheduling_duration_seconds",
			      "From when Pods came until they were bound, in seconds, by attempts.",
			      HISTOGRAM(pod_bounds), STABLE, .labels = { "attempts" } },
	[SM_PREEMPTIONS] = { "scheduler_preemption_attempts_total", "How often room was looked for by preemption.",
			     .type = METRIC_COUNTER, STABLE },
	[SM_VICTIMS] = { "scheduler_preemption_victims", "Pods that were chosen to make room for another.",
			 HISTOGRAM(victim_bounds), STABLE },
	[SM_INCOMING] = { "scheduler_queue_incoming_pods_total", "Pods that came into a queue, and what brought them.",
			  .type = METRIC_COUNTER, STABLE, .labels = { "event", "queue" } },
	[SM_SCHEDULE_ATTEMPTS] = { "scheduler_schedule_attempts_total", "Attempts to find a node, by how they ended.",
				   .type = METRIC_COUNTER, STABLE, .labels = { "profile", "result" } },
	[SM_ATTEMPT_DURATION] = { "scheduler_scheduling_attempt_duration_seconds",
				  "How long attempts to find a node took, binding included, in seconds, by how they "
				  "ended.",
				  HISTOGRAM(attempt_bounds), STABLE, .labels = { "profile", "result" } },
};
// clang-format on

static const char *const point_names[_POINT_MAX] = { "PreFilter", "Filter", "PostFilter", "Score", "Bind" };
static const char *const status_names[_RESULT_MAX] = { "Success", "Unschedulable", "Error" };
static const char *const result_names[_RESULT_MAX] = { "scheduled", "unschedulable", "error" };
static const char *const queue_names[_QUEUE_MAX] = { "active", "backoff", "unschedulable", "gated" };
static const char *const came_names[_CAME_MAX] = { "PodAdd",
						   "PodUpdate",
						   "ScheduleAttemptFailure",
						   "BackoffComplete",
						   "UnschedulableTimeout",
						   "NodeAdd",
						   "NodeAllocatableChange",
						   "NodeLabelChange",
						   "NodeTaintChange",
						   "NodeDelete",
						   "AssignedPodAdd",
						   "AssignedPodUpdate",
						   "AssignedPodDelete",
						   "NamespaceChange",
						   "PvcChange",
						   "PvChange",
						   "BalancerChange" };

static void sched_add(_Atomic uint64_t *at)
{
	atomic_fetch_add_explicit(at, 1, memory_order_relaxed);
}

static void sched_observe(_Atomic(struct metric_cell *) *slot, enum sched_metric m, int64_t ns)
{
	metric_cell_observe(metric_cell_at(slot, &sched_families[m]), &sched_families[m], ns);
}

static void sched_observe_number(_Atomic(struct metric_cell *) *slot, enum sched_metric m, uint64_t n)
{
	metric_cell_observe_size(metric_cell_at(slot, &sched_families[m]), &sched_families[m], n);
}

void sched_counts_release(struct sched_counts *c)
{
	for (int p = 0; p < _POINT_MAX; p++)
		for (int r = 0; r < _RESULT_MAX; r++)
			free(atomic_load(&c->points[p][r]));
	for (int r = 0; r < _RESULT_MAX; r++)
		free(atomic_load(&c->attempt_durations[r]));
	for (int i = 0; i < SCHED_ATTEMPTS_TOLD; i++)
		free(atomic_load(&c->pod_durations[i]));
	free(atomic_load(&c->pod_attempts));
	free(atomic_load(&c->victims));
}

void sched_count_point(struct sched_counts *c, enum sched_point p, enum sched_result r, int64_t ns)
{
	sched_observe(&c->points[p][r], SM_POINT_DURATION, ns);
}

void sched_count_attempt(struct sched_counts *c, enum sched_result r, int64_t ns)
{
	sched_add(&c->attempts[r]);
	sched_observe(&c->attempt_durations[r], SM_ATTEMPT_DURATION, ns);
}

void sched_count_pod(struct sched_counts *c, int attempts, int64_t ns)
{
	int told = MIN(MAX(attempts, 1), SCHED_ATTEMPTS_TOLD);

	sched_observe_number(&c->pod_attempts, SM_ATTEMPTS, (uint64_t)MAX(attempts, 1));
	sched_observe(&c->pod_durations[told - 1], SM_POD_DURATION, ns);
}

void sched_count_preemption(struct sched_counts *c, size_t victims)
{
	sched_add(&c->preemptions);
	if (victims)
		sched_observe_number(&c->victims, SM_VICTIMS, victims);
}

void sched_count_incoming(struct sched_counts *c, enum sched_came why, enum sched_queue q)
{
	sched_add(&c->incoming[why][q]);
}

/* --- telling --- */

static void sched_cell(struct buf *b, enum sched_metric m, _Atomic(struct metric_cell *) *slot, const char *labels,
		       bool numbers)
{
	const struct metric_cell *c = atomic_load(slot);

	if (c)
		metric_cell_write(b, &sched_families[m], labels, c, numbers);
}

static const char *sched_labels(struct buf *b, const char *n1, const char *v1, const char *n2, const char *v2,
				const char *n3, const char *v3)
{
	buf_clear(b);
	metric_label(b, n1, sv_from(v1));
	if (n2)
		metric_label(b, n2, sv_from(v2));
	if (n3)
		metric_label(b, n3, sv_from(v3));
	return buf_cstr(b);
}

static void sched_write_steps(struct sched_counts *c, const char *profile, struct buf *b)
{
	_cleanup_(buf_release) struct buf l = BUF_INIT;

	metric_head(b, &sched_families[SM_POINT_DURATION]);
	for (int p = 0; p < _POINT_MAX; p++)
		for (int r = 0; r < _RESULT_MAX; r++)
			sched_cell(b, SM_POINT_DURATION, &c->points[p][r],
				   sched_labels(&l, "extension_point", point_names[p], "profile", profile, "status",
						status_names[r]),
				   false);
	metric_head(b, &sched_families[SM_SCHEDULE_ATTEMPTS]);
	for (int r = 0; r < _RESULT_MAX; r++)
		metric_sample(b, &sched_families[SM_SCHEDULE_ATTEMPTS],
			      sched_labels(&l, "profile", profile, "result", result_names[r], NULL, NULL),
			      (double)atomic_load(&c->attempts[r]));
	metric_head(b, &sched_families[SM_ATTEMPT_DURATION]);
	for (int r = 0; r < _RESULT_MAX; r++)
		sched_cell(b, SM_ATTEMPT_DURATION, &c->attempt_durations[r],
			   sched_labels(&l, "profile", profile, "result", result_names[r], NULL, NULL), false);
}

static void sched_write_pods(struct sched_counts *c, struct buf *b)
{
	_cleanup_(buf_release) struct buf l = BUF_INIT;

	metric_head(b, &sched_families[SM_ATTEMPTS]);
	sched_cell(b, SM_ATTEMPTS, &c->pod_attempts, "", true);
	metric_head(b, &sched_families[SM_POD_DURATION]);
	for (int i = 0; i < SCHED_ATTEMPTS_TOLD; i++) {
		_cleanup_free_ char *n = xasprintf("%d%s", i + 1, i + 1 == SCHED_ATTEMPTS_TOLD ? "+" : "");

		sched_cell(b, SM_POD_DURATION, &c->pod_durations[i],
			   sched_labels(&l, "attempts", n, NULL, NULL, NULL, NULL), false);
	}
	metric_head(b, &sched_families[SM_PREEMPTIONS]);
	metric_sample(b, &sched_families[SM_PREEMPTIONS], "", (double)atomic_load(&c->preemptions));
	metric_head(b, &sched_families[SM_VICTIMS]);
	sched_cell(b, SM_VICTIMS, &c->victims, "", true);
}

void sched_counts_write(struct sched_counts *c, const char *profile, const size_t pending[_QUEUE_MAX], struct buf *b)
{
	_cleanup_(buf_release) struct buf l = BUF_INIT;

	sched_write_steps(c, profile, b);
	sched_write_pods(c, b);
	metric_head(b, &sched_families[SM_PENDING]);
	for (int q = 0; q < _QUEUE_MAX; q++)
		metric_sample(b, &sched_families[SM_PENDING],
			      sched_labels(&l, "queue", queue_names[q], NULL, NULL, NULL, NULL), (double)pending[q]);
	metric_head(b, &sched_families[SM_INCOMING]);
	for (int w = 0; w < _CAME_MAX; w++)
		for (int q = 0; q < _QUEUE_MAX; q++)
			if (atomic_load(&c->incoming[w][q]))
				metric_sample(
				    b, &sched_families[SM_INCOMING],
				    sched_labels(&l, "event", came_names[w], "queue", queue_names[q], NULL, NULL),
				    (double)atomic_load(&c->incoming[w][q]));
}
