/* haproxy.h - the HAProxy of this node: started, told, read anew, looked after.
 *
 *	DIR/ingress/  haproxy.cfg  *.map  crt-list.txt  *.pem  haproxy.sock  pid  log	(root's alone)
 *
 * A child in the foreground. To read anew a second one is started, which takes the listening sockets from the first
 * (`expose-fd listeners`) and tells it to end when its last connection has: WebSockets and long requests live on in it.
 * A second one that does not come up leaves the first as it is. One whose parent was killed serves on, and is followed
 * in the same way.
 *
 * Threads: calls come one at a time, from a task that may wait; exits are noticed in between.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"
#include "ingress/render.h"

struct haproxy;
struct haproxy_opts {
	struct env *env;
	const char *data_dir;
	void (*changed)(void *ctx); /* it ended by itself: call haproxy_apply() again. Any thread */
	void *ctx;
};
struct haproxy *haproxy_new(const struct haproxy_opts *o, struct err *err);
/* Makes it serve c; starts it when it does not run. c may go when it returns. *ret_anew: it had to read all of it. */
int haproxy_apply(struct haproxy *h, const struct ing_conf *c, bool *ret_anew, struct err *err);
/* Whether it still answers; one that does not, time after time, is killed (and `changed` is called). */
void haproxy_look(struct haproxy *h);
bool haproxy_runs(struct haproxy *h);
void haproxy_stop(struct haproxy *h); /* what it serves ends now */
struct haproxy *haproxy_free(struct haproxy *h);
/* Ends those that a server that is gone left. 1: there was one. */
int haproxy_cleanup(const char *data_dir);
