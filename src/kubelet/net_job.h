/* net_job.h - a program that mounts, unmounts or asks a file server: started, looked after, killed when it takes too
 * long. What net_mount.c is made of, and included by nobody else. All under n->lock.
 */
#pragma once

#include "base/strmap.h"
#include "base/vec.h"
#include "kubelet/net_mount.h"
#include "kubelet/shares.h"

#include <pthread.h>

enum job_kind { JOB_MOUNT, JOB_UNMOUNT, JOB_ROOM };

/* What is at work for one path, or said when it ended. */
struct net_job {
	struct net_mounts *n;
	enum job_kind kind;
	char *at, *command;	     /* command: for people */
	struct child *child;	     /* NULL: none runs */
	struct kpod *pod;	     /* who is kicked: it ended, or a place is there */
	int out;		     /* what it says, a file in memory */
	int64_t began_ns, killed_ns; /* killed: 0 is not */
	struct share_place place;    /* while it runs; or in line for one */
	int step;
	char *failed; /* what the last one said; NULL: nothing is to be told */
	struct net_room room;
	int64_t known_ns; /* room is of then; 0: it is not known */
};

/* A reference on a pod, that is given up; perhaps there is news for it. */
struct net_told {
	struct kpod *pod;
	bool kick;
};

struct net_mounts {
	struct env *env;
	const struct net_machine *m;
	pthread_mutex_t lock;
	int refs; /* the owner's, and one for each program whose end is awaited */
	bool stopping;
	struct strmap jobs[JOB_ROOM + 1]; /* path -> struct net_job; of mounts and unmounts one (JOB_MOUNT) */
	struct shares shares;
	VEC(struct net_told) told; /* for when the lock is given up */
	struct metric_set *counted;
};

/* Whoever is to be told is. */
void net_jobs_unlock(struct net_mounts *n);
void net_jobs_unref_unlock(struct net_mounts *n);

void net_jobs_init(struct net_mounts *n);
struct strmap *net_job_map(struct net_mounts *n, enum job_kind kind);
struct net_job *net_job_of(struct net_mounts *n, enum job_kind kind, const char *at); /* made when there is none */
void net_job_drop(struct net_mounts *n, struct net_job *j_take);
/* 1: it runs, or stands in line; -1 */
int net_job_begin(struct net_job *j, enum job_kind kind, struct kpod *p, const char *const *argv, struct err *err);
/* Has it had its time? Killed then; and left to itself when not even that ends it: false, another may begin. */
bool net_job_at_work(struct net_job *j, int64_t limit_ns);
/* Nobody waits for its end any more; false: it has ended, and says so in a moment. */
bool net_job_leave(struct net_job *j);
