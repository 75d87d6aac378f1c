/* lease-internal.h - shared by lease.c (the life of leases) and lease_write.c (writes that they are concerned with),
 * nobody else. What is stored of them:
 *
 *	/caravel/leases/ID		its time, in seconds
 *	/caravel/leases/ID/KEY		a note: "FROM UPTO"
 *
 * A note says that the version of KEY goes with the lease when its revision is above FROM and not above UPTO, or 0
 * for UPTO: all above FROM. So it can be there before the version it is for, and stay when another comes. 0 for FROM is
 * the note's own revision: every version there was is below. Before a version without the lease is written the note is
 * bounded, before one with it opened. Of a key at most one note is open, and of those that are not only one can cover
 * what there is.
 */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "base/strmap.h"
#include "store/lease.h"

#include <pthread.h>
#include <stdatomic.h>

struct lease {
	struct list link;
	struct list keys; /* struct held */
	int64_t id, ttl_s, until_ns;
	size_t queued; /* writes that name it */
	bool ending;
};

/* A key that a lease or a queued write is concerned with. */
struct held {
	struct list link;    /* in the lease's keys */
	struct lease *lease; /* NULL: none */
	int64_t from, rev;   /* of its note; of its version, 0 while there is none */
	bool bounded;	     /* the note */
	size_t queued;
	size_t key_n;
	char key[];
};

struct leased {
	struct store store;
	struct store *inner;
	struct env *env;
	atomic_size_t n_held; /* of by_key: without any, all passes by */
	pthread_mutex_t mu;
	pthread_cond_t changed;
	/* Guarded by mu. */
	struct list leases, queue;
	struct strmap by_key, by_id; /* struct held, struct lease */
	struct env_timer *timer;
	bool busy;		  /* the first of the queue is under way */
	bool beginning, next_due; /* a thread is at the beginning of one; another is to begin */
	bool firing, stopping;
};

#define LEASED(s) CONTAINER_OF(s, struct leased, store)

struct sv lease_key(struct arena *a, int64_t id);

/* Lock held for all of these. */
struct lease *lease_find(const struct leased *x, int64_t id); /* or NULL */
struct sv lease_id(const int64_t *id);			      /* as by_id has it */
struct held *held_of(struct leased *x, struct sv key);	      /* made when it is not there */
void held_attach(struct held *h, struct lease *e);	      /* NULL: to none */
void held_drop(struct leased *x, struct held *h);	      /* unless somebody asks for it */

void leased_commit(struct store *s, const struct store_write *w, store_done_fn *done, void *ctx);
