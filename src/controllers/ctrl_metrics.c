#include "controllers/ctrl_metrics.h"

static const double skew_bounds[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512 };
static const double sync_bounds[] = { 0.004, 0.008, 0.016, 0.032, 0.064,  0.128,  0.256, 0.512,
				      1.024, 2.048, 4.096, 8.192, 16.384, 32.768, 65.536 };

#define STABLE .stability = METRIC_STABLE
#define COUNTER .type = METRIC_COUNTER
#define HISTOGRAM(bounds) .type = METRIC_HISTOGRAM, METRIC_BOUNDS(bounds)

// clang-format off: a metric each
const struct metric_family ctrl_families[_CM_MAX] = {
	[CM_CRONJOB_SKEW] = { "cronjob_controller_job_creation_skew_duration_seconds",
			      "From when a Job of a CronJob was due until it was made, in seconds.",
			      HISTOGRAM(skew_bounds), STABLE },
	[CM_JOB_PODS] = { "job_controller_job_pods_finished_total", "Pods of Jobs that have ended and were counted.",
			  COUNTER, STABLE, .labels = { "completion_mode", "result" } },
	[CM_JOB_SYNC_DURATION] = { "job_controller_job_sync_duration_seconds",
				   "How long looks at Jobs took, in seconds.", HISTOGRAM(sync_bounds), STABLE,
				   .labels = { "action", "completion_mode", "result" } },
	[CM_JOB_SYNCS] = { "job_controller_job_syncs_total", "Looks at Jobs.", COUNTER, STABLE,
			   .labels = { "action", "completion_mode", "result" } },
	[CM_JOBS_FINISHED] = { "job_controller_jobs_finished_total", "Jobs that have ended, and why.", COUNTER, STABLE,
			       .labels = { "completion_mode", "reason", "result" } },
	[CM_EVICTIONS] = { "node_collector_evictions_total", "Nodes whose Pods were told to go since the start.",
			   COUNTER, STABLE, .labels = { "zone" } },
	[CM_RUNNING] = { "running_managed_controllers", "Controllers that run, by who runs them.", .type = METRIC_GAUGE,
			 .stability = METRIC_BETA, .labels = { "manager", "name" } },
	[CM_FORCED_DETACHES] = { "attach_detach_controller_attachdetach_controller_forced_detaches",
				 "Volumes detached that their nodes may have mounted, and why.", COUNTER,
				 .labels = { "reason" } },
};
// clang-format on
