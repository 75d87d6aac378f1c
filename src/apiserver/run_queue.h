/* run_queue.h - the pool that requests run on which are no small reads from memory.
 *
 *	loops ──run_queue_push──▶ a queue per user ──round robin──▶ a few runners (tasks of ENV_REQUESTS)
 *
 * Fair between users, or those who share (user_share(), api_req.h): the runners take one run from each in turn, and one
 * user has at most RUN_USER_RUNNERS of them, so that whoever brings a thousand slow requests does not hold up another's
 * one. Of one user the order is that of arrival.
 *
 * A hop costs little: a push is a list operation under a lock, and a runner takes what has come meanwhile, so a burst
 * is one wake-up. Another runner is woken only when what waits has not moved for RUN_PATIENCE_NS; as long as all moves,
 * that is looked at less and less often, every RUN_PATIENCE_MAX_NS in the end. When nothing is queued nothing wakes up.
 *
 * A runner ends its task after a few milliseconds and is posted again: others of the class come between, and a busy
 * thread is not taken for one that is held.
 *
 * Bounded: a user may have RUN_USER_MAX runs queued with RUN_USER_BYTES_MAX of bodies; what is more is refused.
 *
 * Threads: any. A run may push others.
 */
#pragma once

#include "base/env.h"
#include "base/list.h"

#define RUN_RUNNERS 6	   /* of the class's threads, which others use, too */
#define RUN_USER_RUNNERS 4 /* of one user at a time */
#define RUN_PATIENCE_NS NS_PER_MS
#define RUN_PATIENCE_MAX_NS (8 * NS_PER_MS)
#define RUN_USER_MAX 4096
#define RUN_USER_BYTES_MAX ((size_t)64 * 1024 * 1024)

struct run_queue;

/* Embedded in what is to run; belongs to the queue from the push to the beginning of fn. */
struct run_item {
	struct list link;
	void (*fn)(struct run_item *item);
	struct run_user *user;
	size_t bytes;
};

struct run_queue *run_queue_new(struct env *env);
/* False: that user has too much waiting already. must: it is taken nevertheless, for who has begun must end. */
bool run_queue_push(struct run_queue *rq, struct run_item *item, struct sv user, size_t bytes,
		    void (*fn)(struct run_item *item), bool must);
/* Runs what is queued, also on the calling thread, and waits for what runs. What is pushed from now on runs at once, on
 * the thread that pushes. */
void run_queue_stop(struct run_queue *rq);
struct run_queue *run_queue_free(struct run_queue *rq); /* stops first; returns NULL */
size_t run_queue_waiting(struct run_queue *rq);
