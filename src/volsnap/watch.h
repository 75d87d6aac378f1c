/* watch.h - the kinds of VolumeSnapshots, watched from when somebody has use for them.
 *
 * They are CustomResourceDefinitions', so they may be there or not, and come and go while we run. Nothing is asked for
 * before volsnap_watch_start(), or of one kind volsnap_watch_for(); then each is listed again and again
 * (client/informer.h) until somebody serves it.
 *
 * Threads: any.
 */
#pragma once

#include "client/client.h"
#include "client/informer.h"
#include "volsnap/volsnap.h"

struct volsnap_watch;

/* which: bits of the kinds that will be watched, 1 << VOLSNAP_CONTENTS. */
struct volsnap_watch *volsnap_watch_new(struct client *c, unsigned which);
#define VOLSNAP_ALL ((1U << _VOLSNAP_MAX) - 1)
void volsnap_watch_stop(struct volsnap_watch *w);		   /* no handler runs after; lookups go on working */
struct volsnap_watch *volsnap_watch_free(struct volsnap_watch *w); /* stops; NULL is fine */
/* To write with; also before start(). Lives as long as w. NULL: too many names are taken in this process. */
const struct resource *volsnap_resource(struct volsnap_watch *w, enum volsnap_kind kind);

/* Of one kind, before start(), which takes it over: what there is of it is told to h, and nothing can be asked for yet.
 * False: too many names are taken in this process. */
bool volsnap_watch_for(struct volsnap_watch *w, enum volsnap_kind kind, const struct informer_handler *h, void *ctx);
/* Begins to watch; more calls do nothing. made: called once before anything comes, to add indexes and handlers. */
void volsnap_watch_start(struct volsnap_watch *w, void (*made)(struct volsnap_watch *w, void *ctx), void *ctx);
bool volsnap_watch_started(struct volsnap_watch *w);
struct informer *volsnap_informer(struct volsnap_watch *w,
				  enum volsnap_kind kind); /* NULL before start(), and of others */
bool volsnap_watch_synced(struct volsnap_watch *w);	   /* of all of these it is known what there is */
