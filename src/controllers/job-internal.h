/* job-internal.h - the parts of the job controller, shared by job*.c only. */
#pragma once

#include "client/workq.h"
#include "controllers/controllers.h"
#include "controllers/expectations.h"
#include "controllers/job_indexes.h"
#include "controllers/owner.h"
#include "controllers/podwatch.h"
#include "controllers/status.h"
#include "controllers/template.h"
#include "controllers/written.h"

#define JOB_FINALIZER "batch.kubernetes.io/job-tracking"
#define ANN_INDEX "batch.kubernetes.io/job-completion-index"
#define ANN_FAILURES "batch.kubernetes.io/job-index-failure-count"
#define JOB_BURST 500
#define JOB_BACKOFF_NS (10 * NS_PER_SEC)
#define JOB_BACKOFF_MAX_NS (600 * NS_PER_SEC)

struct job {
	struct controller_ctx *ctx;
	struct informer *jobs, *pods;
	struct workq *q, *orphans;
	struct expectations *expect;
	struct written *written;
	struct podwatch watch;
	struct pod_control pods_ctl;
};

/* One run over one Job. */
struct jrun {
	struct job *c;
	struct arena *a;
	struct sv key;
	struct obj *job;
	struct val *doc, *st; /* a copy to change, and its status */
	struct objs pods;

	/* From the spec. */
	int64_t completions, parallelism; /* completions -1: any success will do */
	bool indexed;
	bool replace_failed; /* pods are replaced when they have ended, not when they begin to */
	int64_t index_limit; /* backoffLimitPerIndex; -1: none */

	/* Counted. */
	struct obj **active;
	size_t n_active;
	int64_t ready, terminating, succeeded, failed;
	int64_t failures_since, last_failure_ns; /* after the last success */
	struct sv fail_job;			 /* what the failure policy says; "": nothing */

	/* By index, when indexed. */
	bool *done, *failed_index, *running, *leaving;
	int64_t *failures;	  /* of the pods of this index */
	int64_t *failed_at_ns;	  /* the last of them */
	struct obj **last_failed; /* kept tracked, as it carries the number of failures */
	size_t *free_indexes;
	size_t failed_creates;

	struct obj **strip; /* pods whose finalizer may go once the status is written */
	size_t n_strip;
};

static inline const struct val *job_spec(const struct jrun *r, enum sym key)
{
	return obj_get(r->job, F_spec, key);
}

/* True in the status being made? */
static inline bool job_is(const struct jrun *r, const char *condition)
{
	return condition_is(val_member(r->st, F_conditions), condition, "True");
}

/* --- job_track.c: counting every pod once --- */

bool pod_tracked(const struct obj *pod);
int64_t pod_index(const struct jrun *r, const struct obj *pod);
int64_t pod_failures(const struct obj *pod); /* of its index before it */
/* What was listed as ended and has lost its finalizer since is added to the totals. */
void job_settle(struct jrun *r);
void job_count(struct jrun *r);
/* Lists ended pods in the status, those that may be let go in r->strip. */
void job_record(struct jrun *r);
/* Nothing listed, nothing tracked, nothing runs or ends. */
bool job_all_gone(const struct jrun *r);
int job_strip(struct jrun *r, struct err *err);
int pod_strip(struct job *c, struct arena *a, struct obj *pod, struct err *err);

/* --- job_pods.c: making and deleting pods --- */

/* Deletes n of the active pods, the least advanced first; uncounted: they are not to count as failed. */
int job_delete_pods(struct jrun *r, size_t n, bool uncounted, struct err *err);
int job_manage(struct jrun *r, int64_t *ret_after, struct err *err);
