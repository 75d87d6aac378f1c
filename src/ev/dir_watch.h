/* dir_watch.h - hears when an entry of a directory comes, goes or gets another name.
 *
 * Says only that something did; whoever is told looks for himself. Where a watch cannot be had (the simulator, no
 * inotify instances left) there is none, and its owner looks now and then.
 */
#pragma once

#include "base/env.h"

struct dir_watch;

/* changed runs on a thread of its own and may not wait; not after dir_watch_free() returned. NULL: not here. */
struct dir_watch *dir_watch_new(struct env *e, const char *path, void (*changed)(void *ctx), void *ctx);
struct dir_watch *dir_watch_free(struct dir_watch *w); /* not from changed */
