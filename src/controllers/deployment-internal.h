/* deployment-internal.h - the parts of the deployment controller, shared by deployment*.c only. */
#pragma once

#include "client/workq.h"
#include "controllers/controllers.h"
#include "controllers/owner.h"

#define ANN_REVISION "deployment.kubernetes.io/revision"
#define ANN_REVISION_HISTORY "deployment.kubernetes.io/revision-history"
#define ANN_DESIRED "deployment.kubernetes.io/desired-replicas"
#define ANN_MAX "deployment.kubernetes.io/max-replicas"

struct deployment {
	struct controller_ctx *ctx;
	struct informer *deployments, *sets, *pods;
	struct workq *q;
};

/* A ReplicaSet as this run sees it; refreshed by every write. */
struct dset {
	struct obj *o;				       /* held by the arena */
	int64_t wanted;				       /* spec.replicas */
	int64_t actual, ready, available, terminating; /* status */
	int64_t created_ns;
};

/* One run over one Deployment. */
struct drun {
	struct deployment *c;
	struct arena *a;
	struct obj *d;	    /* held by the arena; refreshed by every write */
	struct val *doc;    /* a copy of d to change */
	struct dset **sets; /* all it controls, oldest first */
	size_t n_sets;
	struct dset *neu; /* the one with the current template, or NULL */

	/* From the spec. */
	int64_t replicas, max_surge, max_unavailable, min_ready;
	int64_t deadline_s; /* -1: none */
	int64_t history;    /* -1: unlimited */
	bool recreate, paused;
};

/* --- deployment_size.c --- */

bool dset_is_old(const struct drun *r, const struct dset *s);
int64_t dsets_wanted(const struct drun *r, bool old_only);
int64_t deployment_unavailable(const struct drun *r); /* maxUnavailable as a number that applies now */
int64_t deployment_surge(const struct drun *r);
int64_t dset_new_size(const struct drun *r, int64_t neu_now);

/* --- deployment_write.c --- */

/* Sets it in status, a part of r->doc; true when that changed it. */
bool deployment_condition(struct drun *r, struct val *status, const char *type, const char *value, const char *reason,
			  struct sv message);
bool deployment_progressing(struct drun *r, struct val *status, const char *value, const char *reason,
			    struct sv message);
int deployment_write_status(struct drun *r, struct err *err); /* r->doc */

/* --- deployment_sets.c: finding, making and resizing ReplicaSets --- */

/* The one that has the deployment's template, or NULL. */
struct dset *dsets_find_new(struct drun *r);
/* Fills r->neu and brings its annotations and the deployment's revision up to date; when there is
 * none and create is set, makes it. */
int dsets_sync_revision(struct drun *r, bool create, struct err *err);
/* Returns 1 when it changed the size, 0 when that was right, -1 on failure. */
int dset_scale(struct drun *r, struct dset *s, int64_t to, struct err *err);
int dset_annotate_size(struct drun *r, struct dset *s, int64_t to, struct err *err); /* annotations too, always */
void dset_load(struct drun *r, struct dset *s, struct obj *o);
int dsets_cleanup(struct drun *r, struct err *err); /* beyond the history limit */

/* --- deployment_rolling.c --- */

int rollout_rolling(struct drun *r, int64_t *ret_after, struct err *err);
int rollout_recreate(struct drun *r, int64_t *ret_after, struct err *err);
int deployment_scale_only(struct drun *r, struct err *err); /* proportional scaling: paused, or replicas changed */

/* --- deployment_progress.c: status and conditions --- */

bool deployment_complete(const struct drun *r, const struct val *status);
int deployment_sync_status(struct drun *r, bool rollout, int64_t *ret_after, struct err *err);
