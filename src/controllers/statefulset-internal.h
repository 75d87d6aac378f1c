/* statefulset-internal.h - one run of the StatefulSet controller; for the files statefulset*.c alone.
 *
 * A run belongs to one worker, and all it points to to the run's arena or to objects that outlive it.
 */
#pragma once

#include "controllers/controllers.h"
#include "controllers/owner.h"
#include "controllers/revision.h"
#include "controllers/statefulset_claims.h"

struct numbered {
	int64_t n; /* less the first */
	struct obj *pod;
};

struct srun {
	struct controller_ctx *ctx;
	struct informer *revisions;
	struct arena *a;
	struct obj *set;
	struct objs pods;
	struct numbered *wanted; /* pods with a number that is wanted, by it */
	size_t n_wanted;
	int64_t first, replicas, min_ready;
	int64_t partition;	   /* how many, from the first on, stay at the current revision */
	struct sv update, current; /* names of revisions */
	bool ordered;
	int64_t wait_ns; /* look again after; 0: not needed */
	struct set_claims claims;
};

/* Running, ready for long enough and not going. NULL: no. */
bool sts_available(struct srun *r, const struct obj *pod);
/* Does the pod run revision `name`? Pods of earlier versions carry the revision's hash, the name's end. */
bool sts_runs(const struct srun *r, const struct obj *pod, struct sv name);
/* Looks again in ns at the latest. */
void sts_wait(struct srun *r, int64_t ns);

/* The pod of number n (from 0 whatever the first), with its claims, and what is told of either. */
int sts_create(struct srun *r, int64_t n, struct err *err);
/* Nothing where it is going already. */
int sts_remove(struct srun *r, struct obj *pod, struct err *err);
/* What a pod that is there lacks: claims while it is Pending, the labels that name it. */
int sts_repair(struct srun *r, struct obj *pod, struct err *err);

/* Deletes pods of an older revision, as spec.updateStrategy allows. Called when scaling has nothing left to do. */
int sts_update(struct srun *r, struct err *err);
