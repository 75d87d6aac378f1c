/* pull_guard.h - a pull that would fill the disk is given up while there is room.
 *
 * How large an image will be unpacked is known to nobody before: a layer of two megabytes can hold gigabytes of zeros,
 * and the registry says only the former. So the free space of the file system that images are kept in is looked at
 * before a pull and while it lasts, the less there is the more often. What the runtime has of it by then it removes
 * itself.
 *
 * Only where images are on this machine: in the simulator, and of a runtime that does not say where it keeps them,
 * nothing is guarded. Any thread; one guard a pull.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"

/* Stays free: a twentieth of the file system, but not more than a GiB. Fills *err (ERR_TOO_LARGE) when there is less
 * below dir; 0 also when it cannot be told. */
int pull_guard_room(const char *dir, struct err *err);

struct pull_guard;
/* NULL with *err: there is too little room to begin. dir is copied. given_up (NULL: nobody does that) is asked with
 * each look, twice a second at least: true stops the pull, which is no failure of the disk. */
struct pull_guard *pull_guard_begin(struct env *e, const char *dir, bool (*given_up)(void *ctx), void *ctx,
				    struct err *err);
int pull_guard_stop_fd(const struct pull_guard *g); /* can be read from when the pull is to be given up */
/* Releases g. -1 when it said so, with the reason. */
int pull_guard_end(struct pull_guard *g_take, struct err *err);
