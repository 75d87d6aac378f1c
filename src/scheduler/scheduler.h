/* scheduler.h - assigns Pods to Nodes.
 *
 *	informers ─▶ cache (nodes, assumed pods) ─▶ snapshot ─┐
 *	          └▶ queue (active, backoff, unschedulable) ──┴▶ cycle: prefilter, filter, score,
 *	                                                         reserve/assume ─▶ binding task ─▶ API
 *
 * The framework (framework.h) is a table of plugins, one file each under plugins/.
 */
#pragma once

#include "client/client.h"

struct scheduler;

struct scheduler_opts {
	struct env *env;
	struct client *client; /* system:kube-scheduler */
	const char *name;      /* schedulerName it serves; "default-scheduler" */
	int bind_parallelism;  /* bindings in flight; default 16 */
};

struct scheduler *scheduler_new(const struct scheduler_opts *o); /* starts */
struct buf;
void scheduler_metrics(struct scheduler *s, struct buf *b);	     /* for /metrics; any thread */
void scheduler_resource_metrics(struct scheduler *s, struct buf *b); /* for /metrics/resources; the same */
bool scheduler_synced(struct scheduler *s);
struct scheduler *scheduler_free(struct scheduler *s);
