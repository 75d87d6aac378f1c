/* csi.h - volumes of drivers outside, on this node: which drivers there are, and what pods want of them.
 *
 * A driver shows itself by a socket in <root>/plugins_registry. It is asked who it is, the Node and its CSINode say so,
 * and it is told that it is registered; when the socket goes, all that is taken back. One whose registration fails is
 * tried again, after half a second, then ever later, to two minutes.
 *
 * Threads: any; nothing here waits for a driver but its own tasks (ENV_SLOW). Callbacks come without a lock held.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "client/client.h"

struct csi;

/* One call of a program on a socket; the answer in the arena. Given up when stop_fd can be read. */
typedef int csi_ask_fn(void *ctx, struct arena *a, const char *socket, const char *method, struct sv request,
		       int64_t timeout_ns, int stop_fd, struct sv *ret, struct err *err);

struct csi_opts {
	struct env *env;
	struct client *client; /* the node's own */
	const char *node_name, *root_dir;
	csi_ask_fn *ask; /* NULL: gRPC; tests have their own */
	void *ask_ctx;
};

struct csi *csi_new(const struct csi_opts *o);
/* Calls under way are given up. No callback after. */
struct csi *csi_free(struct csi *c);
