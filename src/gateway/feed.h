/* feed.h - the objects of Gateway API as the cluster has them now, kind by kind, for who serves them and who tells of
 * them.
 *
 * The kinds are CustomResourceDefinitions', so each may be there or not, in our version or another bundle's, and come
 * or go while we run. A kind is asked for (gw_feed_look()) in the versions that are understood, newest first; while
 * nobody serves it it counts as there with no objects, and is asked for again, for no object of it. Once found it is
 * watched. When its version is served no more it stays as it was last seen, and the others are asked for: a bundle may
 * drop the one that we read. What is served again is followed by itself.
 *
 * Threads: gw_feed_look() blocks and runs as a task, one at a time; all else from any. changed() comes as a task.
 */
#pragma once

#include "client/client.h"
#include "gateway/gateway.h"

struct gw_feed;

struct gw_feed *gw_feed_new(struct env *env, struct client *c, void (*changed)(void *ctx), void *ctx);
struct gw_feed *gw_feed_free(struct gw_feed *f); /* no changed() comes after */
/* Asks for the kinds, or versions, that nobody served when it last did. True: of each it is known whether it is there,
 * and what of it there is. Come again in *ret_after_ns. */
bool gw_feed_look(struct gw_feed *f, int64_t *ret_after_ns);
/* All there are, linked to the arena; *ret has nothing else set. */
void gw_feed_objects(struct gw_feed *f, struct arena *a, struct gw_source *ret);
bool gw_feed_has(struct gw_feed *f, enum gw_kind kind); /* any object of it? */
/* To write a status with; NULL: nobody serves the kind. Lives as long as f. */
const struct resource *gw_feed_resource(struct gw_feed *f, enum gw_kind kind);
