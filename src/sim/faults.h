/* faults.h - a client between a component and the API that misbehaves, from the env's seed.
 *
 * - Calls fail before they reach the server, or reach it and their answer is lost.
 * - Watch events arrive late, in order; a watch breaks, and its owner has to list again.
 * - A client can be cut off: nothing gets through in either direction until it is joined again.
 *
 * A call cannot be slow: the simulator has one thread, in which a call that looks blocking takes
 * no virtual time. What slowness does to others, late events do.
 *
 * It also checks what every client relies on: revisions of one watch only grow.
 */
#pragma once

#include "client/client.h"

struct faults {
	struct env *env;
	/* Chances in 10,000. */
	unsigned fail, lose, break_watch;
	int64_t delay_max_ns; /* of a watch event */
	/* Injected so far. */
	uint64_t failed, lost, broken;
	int64_t pod_create_lost_ns; /* when the answer to a Pod's creation was last lost; 0: never */
	uint64_t pod_creates_lost;
	void (*violation)(void *ctx, const char *what);
	void *ctx;
};

struct client *faults_client(struct faults *f, struct client *inner_take);
void faults_cut(struct client *c, bool cut);
