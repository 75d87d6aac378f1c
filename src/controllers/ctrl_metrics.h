/* ctrl_metrics.h - what controllers count, under upstream's names; into controller_ctx.counted.
 *
 * Work queues are counted by themselves (client/workq_metrics.h).
 */
#pragma once

#include "base/metric.h"

enum ctrl_metric {
	CM_CRONJOB_SKEW,
	CM_JOB_PODS,
	CM_JOB_SYNC_DURATION,
	CM_JOB_SYNCS,
	CM_JOBS_FINISHED,
	CM_EVICTIONS,
	CM_RUNNING,
	CM_FORCED_DETACHES,
	_CM_MAX
};
extern const struct metric_family ctrl_families[_CM_MAX];
#define CTRL_METRIC(id) (&ctrl_families[CM_##id])
