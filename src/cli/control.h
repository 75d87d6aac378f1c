/* control.h - the controllers and the scheduler of a server: at once where its store is its own, and where it is shared
 * with other servers when they have been elected.
 *
 *	store of its own	control_start() starts both
 *	shared			each starts when its Lease is won, and ends when it is lost (client/leader.h): two
 *				of kube-system by upstream's names, kube-controller-manager and kube-scheduler
 *
 * A part whose Lease may be another's by now writes nothing. Its client refuses from that instant on, whatever still
 * runs (client.h, may_write); and where the machine's clock stood still, so that nobody here knows of that instant, the
 * store refuses (apiserver/fence.h). So a machine that slept does not go on with what it was about to write.
 *
 * A server that crashed and was started again by its supervisor is the same candidate and goes on at once.
 *
 * A planned end ends the work, then gives the Leases back, and another server goes on at once; after a sudden one when
 * the ten seconds of the Lease are over, which the others count from its last renewal. (Upstream's lasts fifteen.)
 *
 * Threads: control_metrics() and control_resource_metrics() any; the rest the owner's.
 */
#pragma once

#include "base/buf.h"
#include "cli/server.h"

struct control; /* opaque */

struct control_opts {
	struct env *env;
	struct apiserver *api;
	const struct server_opts *o; /* settled; for its life, as the two above */
	bool elected;		     /* others have the same store */
};

struct control *control_start(const struct control_opts *o);
/* Ends the work; what it had under way is through. NULL is fine. */
void control_stop(struct control *c);
struct control *control_free(struct control *c); /* after the API server answers nobody any more */

void control_metrics(struct control *c, struct buf *b);
void control_resource_metrics(struct control *c, struct buf *b);
