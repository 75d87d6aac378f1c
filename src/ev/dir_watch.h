/* dir_watch.h - hears when an entry of a directory comes, goes or gets another name.
 *
 * Says only that something did; whoever is told looks for himself. Where a watch cannot be had (the simulator, no
 * inotify instances left) there is none, and its owner looks now and then.
 */
#pragma once

#include "ev/fd_watch.h"

/* changed as in fd_watch.h. NULL: not here. */
struct fd_watch *dir_watch_new(struct env *e, const char *path, void (*changed)(void *ctx), void *ctx);
