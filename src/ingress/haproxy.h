/* haproxy.h - the HAProxy of this node: started, told, read anew, looked after.
 *
 *	DIR/ingress/  haproxy.cfg  *.map  crt-list-*.txt  *.pem  log  void/	(root's alone)
 *		      and where it is asked and told (sockets.h)
 *
 * A child in the foreground. To read anew a second one is started, which takes the listening sockets from the first
 * (`expose-fd listeners`) and tells it to end when its last connection has: WebSockets and long requests live on in it.
 * A second one that does not come up leaves the first as it is, and one that does not answer is followed when it does.
 * They outlive us, whether we end or are killed: the next server's first one follows them in the same way
 * (haproxy_cleanup() ends them).
 *
 * Nothing here waits for more than an answer on the socket: what takes time is asked for again.
 *
 * Threads: calls come one at a time, as tasks; exits are noticed in between.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"
#include "ingress/render.h"

/* A rendered state and the arena that holds all of it. */
struct ing_state {
	struct arena arena;
	struct ing_conf conf;
	bool ahead; /* its servers have been told what is newer than its configuration */
};
struct ing_state *ing_state_new(void);
struct ing_state *ing_state_free(struct ing_state *s);

struct haproxy;
struct haproxy_opts {
	struct env *env;
	const char *data_dir;
	void (*changed)(void *ctx); /* one came or went by itself: call haproxy_apply() again, with NULL. Any thread */
	void *ctx;
};
/* -1 with ERR_NOT_FOUND: it is not installed. */
struct haproxy *haproxy_new(const struct haproxy_opts *o, struct err *err);
/* Makes it serve this state, which is taken; NULL: the one that it was given last. 0: it does, or *ret_after_ns says
 * when to come again, with NULL or another state. -1: it did not; what served before still does; come again then, too.
 */
int haproxy_apply(struct haproxy *h, struct ing_state *take, int64_t *ret_after_ns, struct err *err);
/* Whether it answers, to be asked every few seconds; one that does not three times in a row is killed. */
void haproxy_look(struct haproxy *h);
bool haproxy_runs(struct haproxy *h);
/* All that are ours, also those that an earlier server started; 0 behind the last. */
const int *haproxy_pids(struct haproxy *h, struct arena *a);
void haproxy_end(struct haproxy *h);		 /* nobody needs it: it ends with its last connection */
struct haproxy *haproxy_free(struct haproxy *h); /* it serves on */
/* Kills those of this data directory. How many. */
int haproxy_cleanup(const char *data_dir);
