/* sched_metrics.h - what is counted of scheduling, under upstream's names.
 *
 * Cells by small numbers, so that a cycle of some tens of microseconds is not longer for it. Gauges are made when they
 * are asked for (scheduler_metrics(), scheduler.h).
 *
 * Threads: any, at once.
 */
#pragma once

#include "base/metric.h"

enum sched_metric {
	SM_POINT_DURATION,
	SM_PENDING,
	SM_ATTEMPTS,
	SM_POD_DURATION,
	SM_PREEMPTIONS,
	SM_VICTIMS,
	SM_INCOMING,
	SM_SCHEDULE_ATTEMPTS,
	SM_ATTEMPT_DURATION,
	_SM_MAX
};
extern const struct metric_family sched_families[_SM_MAX];

extern const struct metric_family sched_resource_families[2]; /* sched_resources.c */

enum sched_point { POINT_PREFILTER, POINT_FILTER, POINT_POSTFILTER, POINT_SCORE, POINT_BIND, _POINT_MAX };
enum sched_result { RESULT_SCHEDULED, RESULT_UNSCHEDULABLE, RESULT_ERROR, _RESULT_MAX };
/* Into which queue a Pod comes, and why. */
enum sched_queue { QUEUE_ACTIVE, QUEUE_BACKOFF, QUEUE_UNSCHEDULABLE, QUEUE_GATED, _QUEUE_MAX };
enum sched_came {
	CAME_NEW,	  /* "PodAdd" */
	CAME_UPDATED,	  /* "PodUpdate" */
	CAME_FAILED,	  /* "ScheduleAttemptFailure" */
	CAME_BACKOFF_END, /* "BackoffComplete" */
	CAME_TIMEOUT,	  /* "UnschedulableTimeout" */
	CAME_EVENT,	  /* and from here on: bit n of what happened, by the names of upstream's events */
	_CAME_MAX = CAME_EVENT + 12
};

#define SCHED_ATTEMPTS_TOLD 16 /* by so many attempts durations of Pods are told apart; above that as the last */

struct sched_counts {
	_Atomic uint64_t incoming[_CAME_MAX][_QUEUE_MAX], attempts[_RESULT_MAX], preemptions;
	_Atomic(struct metric_cell *) points[_POINT_MAX][_RESULT_MAX], attempt_durations[_RESULT_MAX],
	    pod_durations[SCHED_ATTEMPTS_TOLD], pod_attempts, victims;
};

void sched_counts_release(struct sched_counts *c);
void sched_count_point(struct sched_counts *c, enum sched_point p, enum sched_result r, int64_t ns);
void sched_count_attempt(struct sched_counts *c, enum sched_result r, int64_t ns);
/* A Pod was bound, after so many attempts and so long since it came. */
void sched_count_pod(struct sched_counts *c, int attempts, int64_t ns);
void sched_count_preemption(struct sched_counts *c, size_t victims); /* 0: it found none */
void sched_count_incoming(struct sched_counts *c, enum sched_came why, enum sched_queue q);
/* pending: of each queue, as of now. */
void sched_counts_write(struct sched_counts *c, const char *profile, const size_t pending[_QUEUE_MAX], struct buf *b);
