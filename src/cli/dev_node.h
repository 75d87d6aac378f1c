/* dev_node.h - the processes of the nodes of `caravel dev`: started in their namespaces, ended, and what they left
 * taken away (dev_cleanup() of dev.h). Before there is an env, and behind its end.
 */
#pragma once

#include "cli/dev_net.h"

#include <sys/types.h>

#define DEV_STOP_S 20 /* for a node to end by itself */

const char *dev_node_dir(struct arena *a, const char *data_dir, int node);
int64_t dev_now_ns(void); /* monotonic */

/* One of our own commands in the namespace of a node; its pid, or -1. sys: NULL: it is a cleanup and not the node. */
pid_t dev_spawn(const struct dev_net *net, int node, const char *const *argv, const char *sys, const char *log,
		struct err *err);
/* Each of the processes [0, n] ends, or is killed after so many seconds; a pid is 0 then. How many did not exit with 0.
 */
int dev_reap(pid_t *pid, int n, int seconds);
