/* dev.h - a cluster of several nodes on one machine: `caravel dev`.
 *
 *	caravel dev ──┬── in namespace 1: caravel server, which is also node dev-1	DIR/dev-1
 *	              ├── in namespace 2: caravel agent, node dev-2			DIR/dev-2
 *	              └── in namespace 3: ...
 *
 * The nodes are what they would be on machines of their own: processes with a data directory, containerd and cgroup of
 * their own, which reach each other by a network (dev_net.h). `caravel dev` starts them and waits; its end, by whatever
 * signal, is theirs: pods are ended, and what they left on the machine is taken away. The data directory stays: the
 * next start goes on with the objects and images that are there. What a killed one left the next start, `caravel dev
 * stop` and `caravel cleanup` take away.
 *
 * A node's process sees the host's file systems, but in sysfs it would see the host's links: its own is mounted at
 * DIR/dev-N/sys, and named to it by the variable CARAVEL_SYSFS.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* Of whom data_dir is: its nodes' data directories, NULL-terminated; NULL: it is no such cluster's. */
const char *const *dev_node_dirs(struct arena *a, const char *data_dir);

/* Ends what runs of it, and takes away what is on the machine. `say` is told what was done. Only while nobody else has
 * the claim of data_dir. */
int dev_cleanup(const char *data_dir, const char *settings, bool images, void (*say)(const char *what, void *ctx),
		void *ctx, struct err *err);
