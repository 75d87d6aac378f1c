/* fd_watch.h - waits for a descriptor on a thread of its own, and tells that something came.
 *
 * For the kernel's news that nobody reads in words (inotify, netlink): that something changed is all that is told, and
 * many changes may be told as one.
 */
#pragma once

#include "base/env.h"

struct fd_watch;

struct fd_watch_ops {
	const char *name;      /* of the thread */
	bool (*drain)(int fd); /* takes all that is there; false: the descriptor is of no more use */
};

/* fd is taken, also when there is no watch; -1: NULL. changed runs on the watch's thread and may not wait; not after
 * fd_watch_free() returned. NULL: there is none. */
struct fd_watch *fd_watch_new(struct env *e, const struct fd_watch_ops *ops, int fd_take, void (*changed)(void *ctx),
			      void *ctx);
struct fd_watch *fd_watch_free(struct fd_watch *w); /* not from changed; NULL is fine */
