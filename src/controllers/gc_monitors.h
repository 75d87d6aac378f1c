/* gc_monitors.h - the kinds that the API serves, in the garbage collector's graph: an informer each, which come and go
 * with them.
 *
 * Threads: any. The lock is the graph's; kinds change on the thread that changes them.
 */
#pragma once

#include "controllers/controllers.h"
#include "controllers/gc_graph.h"

#include <pthread.h>

struct gc_monitor;

struct gc_monitors {
	struct controller_ctx *ctx;
	struct gc_graph *graph;
	struct api_listener listener;
	pthread_mutex_t *lock;	   /* of what follows */
	const struct api_set *api; /* the graph's resources are in it; a reference */
	VEC(struct gc_monitor *) list;
	bool changing;	    /* kinds come and go this moment */
	int64_t changed_ns; /* monotonic; 0: none ever did */
};

void gc_monitors_start(struct gc_monitors *m, struct controller_ctx *ctx, pthread_mutex_t *lock,
		       struct gc_graph *graph);	 /* of built-in kinds; */
void gc_monitors_follow(struct gc_monitors *m);	 /* from here on of those that come, too, */
void gc_monitors_stay(struct gc_monitors *m);	 /* to here */
void gc_monitors_release(struct gc_monitors *m); /* its informers are their factory's */
/* All have been listed. The lock is held. */
bool gc_monitors_synced(const struct gc_monitors *m);
/* Kinds have changed since that time (monotonic), and what is stored of them is not in the graph yet. The lock is held.
 */
bool gc_monitors_behind(const struct gc_monitors *m, int64_t since_ns);
