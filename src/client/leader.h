/* leader.h - leader election: of several candidates one works, the others wait.
 *
 * client-go's protocol on a Lease of coordination.k8s.io, so that its candidates and ours can
 * stand in one election: the holder renews every retry_ns; a candidate takes the lease when it has
 * not seen it change for the lease's duration by its own clock, or when it was released. It watches the
 * lease, which client-go does not: so it knows of a renewal or a release within milliseconds, and asks nothing
 * meanwhile. Every write carries the resourceVersion that it rests on, so of two that reach for the lease one
 * gets a conflict, and a holder that was asleep cannot write over its successor.
 *
 * started() and stopped() come as tasks of the client's class, alternating, one at a time. stopped() is
 * called when the lease could not be renewed for renew_deadline_ns (also while the call
 * that should renew it still hangs), when somebody else is seen to hold it, and by leader_free();
 * when it returns, the work has ended. After that the candidate stands for election again.
 *
 * Between the instant at which the lease is lost and stopped() lies the time that tasks
 * wait, which after a suspended machine is as long as it likes. Work that must not be done by
 * two asks leader_holds() right before it: it is true only as long as no other candidate can have
 * taken the lease, as long as monotonic clocks run at nearly the same rate. Of a machine that is suspended, or is a
 * virtual one that somebody has stopped, the clock stands still meanwhile: there the fence counts. It is taken with the
 * lease, before the first started(), and whoever checks the work's writes by it refuses those of a leader of before
 * (apiserver/fence.h).
 *
 * Unlike client-go, which releases the lease first, leader_free() gives it up only after
 * stopped() has returned; until then leader_holds() is as true as before.
 *
 * Threads: leader_holds() any; new and free not from a callback. Deterministic in the simulator.
 */
#pragma once

#include "client/client.h"

struct leader; /* opaque */

struct leader_opts {
	const char *ns, *name; /* of the Lease: "kube-system", "kube-scheduler" */
	const char *identity;  /* unique among candidates: host name and a random part */
	void (*started)(void *ctx);
	void (*stopped)(void *ctx);
	/* The lease was won, and is this one: makes the writes of every leader before refused from now on, provided
	 * that the lease is still the same, and remembers what this one's are told by. Nobody leads until it has
	 * returned 0; on -1 it is asked again with the next renewal. A task of the client's class. May be NULL. */
	int (*fence)(void *ctx, const struct obj *lease);
	void *ctx;
	/* 0: 15 s, 10 s, 2 s. lease_ns > renew_deadline_ns > 1.2 * retry_ns; the lease in whole seconds. */
	int64_t lease_ns, renew_deadline_ns, retry_ns;
};

struct leader *leader_new(struct client *c, const struct leader_opts *o); /* copies the strings */
bool leader_holds(struct leader *l);
/* Stops, releases the lease when it is ours, waits for what is under way. Returns NULL. */
struct leader *leader_free(struct leader *l);
