/* snapshot_schedule.h - a server's snapshots, every so often: when one is due, a process `caravel snapshot save` is
 * started.
 *
 * When is cron's to say (object/cron.h), in the machine's time zone, by the env's clock; what was missed while no
 * server ran is not caught up. One that does not end in time is the only one: the next is left out. Each is a line of
 * the log; a failure is an Event of the namespace kube-system, too (of several while the API does not answer, the
 * last), and both count in /metrics.
 *
 * Threads: tasks of the env; Events are written by one of ENV_SLOW, as the API may not answer. Stopped before the env
 * ends, released behind it.
 */
#pragma once

#include "base/buf.h"
#include "cli/snapshot_s3.h"
#include "client/client.h"
#include "object/cron.h"

#include <pthread.h>

struct snapshot_opts {
	bool disabled;
	const char *cron, *dir; /* dir: NULL: snapshots, in the data directory */
	const char *name;	/* what files begin with, before the node's name; NULL: as the command has it */
	int retention;
	struct snapshot_s3 s3;
};

struct snapshot_schedule {
	struct env *env;
	struct snapshot_opts o;
	const char *const *argv;	     /* of the process; borrowed, NULL-terminated */
	const char *const *envp;	     /* and its environment; NULL: ours */
	struct client *(*client)(void *ctx); /* a new one, for Events */
	void *ctx;
	pthread_mutex_t lock; /* guards what follows; nobody asks the API under it */
	struct cron cron;
	struct env_timer *timer;
	struct child *child;
	char *why;    /* the last failure that is to be an Event */
	bool posted;  /* a task says it, or will */
	bool telling; /* it asks the API, without the lock; told: no more */
	pthread_cond_t told;
	struct client *events_client; /* both since the first failure: the task's, then whoever stops' */
	struct recorder *events;
	int output; /* of the child, a file in memory; -1 */
	int64_t due_ns;
	bool stopped;
	uint64_t saved, failed;
	int64_t last_ns; /* wall clock: when one was saved; 0: none since the start */
};

/* What is wrong with the flags, by their names. */
int snapshot_opts_check(const struct snapshot_opts *o, struct err *err);
/* o, argv and envp stay the caller's. */
void snapshot_schedule_start(struct snapshot_schedule *s, struct env *env, const struct snapshot_opts *o,
			     const char *const *argv, const char *const *envp, struct client *(*client)(void *ctx),
			     void *ctx);
void snapshot_schedule_stop(struct snapshot_schedule *s);    /* nothing when it was not started */
void snapshot_schedule_release(struct snapshot_schedule *s); /* the same */
void snapshot_schedule_metrics(struct snapshot_schedule *s, struct buf *b);
