/* leader.h - leader election on a coordination.k8s.io Lease (client-go's leaderelection).
 *
 * Defaults: 15 s lease, renew within 10 s, retry every 2 s. In a single server it wins at once.
 */
#pragma once

#include "client/client.h"

struct leader;
struct leader_opts {
	const char *ns, *name, *identity;
	void (*started)(void *ctx); /* called once when leadership is won */
	void (*stopped)(void *ctx); /* called once when it is lost after that */
	void *ctx;
};
struct leader *leader_new(struct client *c, const struct leader_opts *o);
struct leader *leader_free(struct leader *l); /* releases the lease when held */
