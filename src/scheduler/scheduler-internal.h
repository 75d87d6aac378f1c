/* scheduler-internal.h - shared by scheduler.c, schedule.c, kick.c and bind*.c; nobody else includes it.
 *
 * One lock for everything. Informer handlers and cycles take it; API calls are made by jobs, tasks
 * that hold it only before and after the call. A cycle keeps it for some tens of microseconds.
 *
 * The scheduler is reference-counted as src/client/workq.c is: what is handed to the env holds a
 * reference, so that a late task finds its memory, sees `stopping` and leaves.
 */
#pragma once

#include "client/events.h"
#include "client/informer.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler.h"

#include <pthread.h>

enum job_kind {
	JOB_BIND,   /* POST pods/NAME/binding */
	JOB_STATUS, /* PodScheduled=False, and nominatedNodeName */
	JOB_CLAIMS, /* tell the Pod's claims their volumes, or the node */
	JOB_EVICT   /* delete a victim of preemption */
};

/* One API call to make. */
struct job {
	struct list link;
	enum job_kind kind;
	/* JOB_BIND: kept alive by pod->binding. JOB_STATUS, JOB_CLAIMS: until it is gone. JOB_EVICT: NULL. */
	struct pod_info *pod;
	struct obj *obj; /* the Pod it is about; reference */
	char *node;	 /* to bind to; to nominate (or NULL) */
	char *message;
	claim_works claims;
	int64_t since_ns, begun_ns; /* JOB_BIND: when its cycle, and the call, began; monotonic */
};

struct scheduler {
	struct env *env;
	struct client *client;
	char *name;
	int parallelism;
	env_fn *cycle; /* scheduler_cycle_task(), which kick.c stands below */

	pthread_mutex_t lock;
	pthread_cond_t quiet; /* running turned 0 */
	struct cache cache;
	struct queue queue;
	struct sched_counts counts;
	struct strmap pods; /* "ns/name" -> struct pod_info * */
	struct arena arena; /* of the cycle under way */
	size_t start;	    /* node to begin with next time */

	struct informer_factory *informers;
	struct informer *budgets; /* PodDisruptionBudgets, looked up when preempting */
	struct recorder *recorder;
	struct list jobs, explanations; /* explanations: JOB_STATUS without a node, after all others */
	int job_tasks;			/* posted or running */
	int explaining;			/* explanations on their way to the server */
	int64_t explained_ns;		/* when all that began would have, one every EXPLAIN_EVERY_NS */
	struct env_timer *explain_timer;
	int running;  /* tasks of ours under way */
	bool cycling; /* a cycle task is posted or running */
	bool ready, stopping;
	struct env_timer *timer;
	int64_t timer_ns;
	unsigned refs;
};

void scheduler_unref_locked(struct scheduler *s); /* unlocks */
/* Starts a cycle if there is something to schedule, and the timer for what comes later. */
void scheduler_kick_locked(struct scheduler *s);
void scheduler_event_locked(struct scheduler *s, const struct sched_change *change);
void scheduler_cycle_task(void *s);

/* The job is taken. It begins when the one under way for its Pod has ended, and replaces one that has not begun:
 * binding a Pod makes it pointless to say why it was not. An explanation that replaces one has its turn. */
void bind_job_add_locked(struct scheduler *s, struct job *j);
/* Nothing is left to explain: the Pod was bound by somebody else, or says so already. */
void bind_job_forget_locked(struct pod_info *p);
/* The Pod is gone, and p about to be freed. Not with a binding under way. */
void bind_job_gone_locked(struct pod_info *p);
void bind_job_free(struct job *j);
/* JOB_CLAIMS, without the lock (bind_claims.c). */
int bind_claims(struct scheduler *s, const struct job *j, struct err *err);
