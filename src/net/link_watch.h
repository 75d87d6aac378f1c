/* link_watch.h - hears when a network link of this machine, an address of one, or a route comes, changes or goes.
 *
 * Says only that something did: many changes at once may be told as one, one of ours is told as any other. Where there
 * is no such thing to ask (the simulator, no netlink), it is never told.
 */
#pragma once

#include "ev/fd_watch.h"

enum { LINK_WATCH_LINKS = 0 /* and their addresses: always */, LINK_WATCH_ROUTES = 1 };

/* changed as in fd_watch.h. NULL: not here. */
struct fd_watch *link_watch_new(struct env *e, unsigned of, void (*changed)(void *ctx), void *ctx);
