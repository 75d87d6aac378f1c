/* workq.h - the reconcile queue: one run per key at a time, duplicates folded, failures with
 * back-off (5 ms doubling to 1000 s, as client-go's default rate limiter).
 *
 *	add ──▶ [dirty set] ──▶ running(key) ──▶ done
 *	            ▲               │ fails: after back-off
 *	            └───────────────┘ added meanwhile: again at once
 *
 * One failure is final: a namespace that is being terminated takes nothing new.
 *
 * A reconciler makes the world match one object. It gets a key, never an event: read the
 * object again, it may have changed or gone.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"

struct workq;

struct reconcile_result {
	int64_t after_ns; /* call again after this long even if nothing changes; 0: no need */
	/* This run neither succeeded nor failed: it waits for what will be known after after_ns. A failure that comes
	 * then is one more of those before. Such runs in a row come ever later: after_ns doubles with each, to at most
	 * WORKQ_UNDECIDED_NS, until the key is added anew; each comes after half of it to all of it. */
	bool undecided;
	/* Set before the run, monotonic: when the first of the undecided runs in a row that it goes on with began; when
	 * it began itself, where there was none. What is asked for one decision is known by it. */
	int64_t since_ns;
};
#define WORKQ_UNDECIDED_NS (5 * NS_PER_SEC)

struct workq_opts {
	const char *name;     /* "deployment": logs and metrics */
	enum env_class class; /* of its runs; as zero: ENV_CONTROL */
	int workers;	      /* keys in progress at once; default 2 */
	int64_t retry_max_ns; /* the longest back-off; 0: 1000 s */
	/* Returns 0, or -1 with *err: the key is retried with back-off (conflicts quietly). */
	int (*reconcile)(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err);
	void *ctx;
	/* Nothing runs before this returns true (informers synced); polled, must not free the queue. NULL: no
	 * condition. */
	bool (*ready)(void *ctx);
};

struct workq *workq_new(struct env *e, const struct workq_opts *o);
/* Waits for runs and a ready() under way and drops the rest: nothing of opts is called after. Not from inside them. */
struct workq *workq_free(struct workq *q);
void workq_add(struct workq *q, struct sv key);
void workq_add_after(struct workq *q, struct sv key, int64_t delay_ns);
/* What a run that wanted to come again waited for is there: it comes now, and goes on with what it had not decided. A
 * key that does not wait, or that failed, is left alone. From a callback of anything: it only queues. */
void workq_wake(struct workq *q, struct sv key);
void workq_add_obj(struct workq *q, struct sv ns, struct sv name); /* key "ns/name", or "name" */
size_t workq_len(struct workq *q);
/* All queues of the process, for people: fn must not call into one. */
void workq_each(void (*fn)(const char *name, enum env_class class, size_t waiting, int running, void *ctx), void *ctx);
struct buf;
void workq_metrics(struct buf *b); /* the same for /metrics, by name */
void workq_key_split(struct sv key, struct sv *ret_ns, struct sv *ret_name);
