/* link_watch.h - hears when a network link of this machine, an address of one, or a route comes, changes or goes.
 *
 * Says only that something did: many changes at once may be told as one, one of ours is told as any other. Where there
 * is no such thing to ask (the simulator, no netlink), it is never told.
 */
#pragma once

#include "base/env.h"

struct link_watch;

enum { LINK_WATCH_LINKS = 0 /* and their addresses: always */, LINK_WATCH_ROUTES = 1 };

/* changed runs on a thread of its own and may not wait; not after link_watch_free() returned. NULL: not here. */
struct link_watch *link_watch_new(struct env *e, unsigned of, void (*changed)(void *ctx), void *ctx);
struct link_watch *link_watch_free(struct link_watch *w); /* not from changed */
