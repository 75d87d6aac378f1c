/* queue.h - the Pods that wait for a node.
 *
 *	          ┌────────── an event that may help, or 5 minutes ──────────┐
 *	          ▼                                                          │
 *	add ─▶ active ─▶ (cycle) ─ no node ─▶ unschedulable ──────────────────┤
 *	          ▲          └─ failed ─▶ backoff ◀── event, still too early ─┘
 *	          └───────────── time is up ──┘
 *
 * Active is ordered by priority, then by age. Back-off starts at 1 s and doubles with every
 * attempt up to 10 s; it keeps Pods that were refused often from standing in the way of others, so
 * when nobody else is active, those that only wait for its end go at once (as upstream since 1.33).
 * Pods whose binding failed wait in any case. Which events may help a Pod, its rejecting plugins say (queueing hints),
 * so that a thousand Pods that do not fit are not tried again whenever anything happens.
 *
 * Pods with schedulingGates stay apart until the gates are gone. Not thread-safe.
 */
#pragma once

#include "base/heap.h"
#include "scheduler/framework.h"
#include "scheduler/sched_metrics.h"

#define QUEUE_BACKOFF_NS NS_PER_SEC
#define QUEUE_BACKOFF_MAX_NS (10 * NS_PER_SEC)
#define QUEUE_FLUSH_NS (300 * NS_PER_SEC)

struct queue {
	struct cache *cache;
	struct heap active, backoff, failed; /* failed: in back-off after an error */
	struct list unschedulable;	     /* oldest first */
	struct list gated;
	size_t n_unschedulable, n_gated;
	struct sched_counts *counts; /* where it is counted what comes; NULL: nowhere */
	uint64_t seq;
};

void queue_init(struct queue *q, struct cache *c);
void queue_release(struct queue *q); /* Pods are the caller's */

void queue_add(struct queue *q, struct pod_info *p, int64_t now_ns); /* a Pod seen for the first time */
void queue_remove(struct queue *q, struct pod_info *p);		     /* from wherever it waits; harmless elsewhere */
struct pod_info *queue_pop(struct queue *q);			     /* NULL: none may go; counts the attempt */
bool queue_has_next(const struct queue *q);			     /* would queue_pop find one? */
/* p was popped and found no node: waits for an event. */
void queue_park(struct queue *q, struct pod_info *p, uint32_t rejected_by, int64_t now_ns);
/* p failed for another reason (a binding, an error): is tried again after its back-off. */
void queue_retry(struct queue *q, struct pod_info *p, int64_t now_ns);
/* p, removed before, changed in a way that matters: tried again as soon as its back-off allows. */
void queue_again(struct queue *q, struct pod_info *p, int64_t now_ns);
/* Something happened in the cluster. Returns how many Pods it moved. */
size_t queue_event(struct queue *q, const struct sched_change *change, int64_t now_ns);
/* Moves what is due: ended back-offs, Pods parked for too long. */
void queue_tick(struct queue *q, int64_t now_ns);
int64_t queue_next_tick(const struct queue *q); /* when that has work next; 0: not */
