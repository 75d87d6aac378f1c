/* faults.h - a client between a component and the API that misbehaves, from the env's seed.
 *
 * - Calls fail before they reach the server, or reach it and their answer is lost.
 * - Watch events arrive late, in order; a watch breaks, and its owner has to list again.
 * - A client can be cut off: nothing gets through in either direction until it is joined again.
 *
 * - Calls take time, on the way there and on the way back, where the env lets tasks wait (env_sim_let_wait()).
 * - A write is given up by whoever sent it, and reaches the server afterwards: what its sender does next is there
 * first.
 *
 * It also checks what every client relies on: revisions of one watch only grow.
 */
#pragma once

#include "client/client.h"

struct faults {
	struct env *env;
	/* Chances in 10,000. */
	unsigned fail, lose, break_watch, overtake;
	int64_t delay_max_ns;  /* of a watch event */
	int64_t call_max_ns;   /* of a call, each way */
	int64_t adrift_max_ns; /* of a write that was given up, until it arrives */
	/* Injected so far. */
	uint64_t failed, lost, broken, overtaken;
	int64_t pod_create_lost_ns; /* when the answer to a Pod's creation was last lost; 0: never */
	uint64_t pod_creates_lost;
	void (*violation)(void *ctx, const char *what);
	void *ctx;
};

struct client *faults_client(struct faults *f, struct client *inner_take);
void faults_cut(struct client *c, bool cut);
