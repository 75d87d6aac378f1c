/* revision.h - ControllerRevisions: the templates a DaemonSet or StatefulSet had, for rollbacks. */
#pragma once

#include "base/arena.h"
#include "client/client.h"
#include "client/informer.h"
#include "object/selector.h"

#define LABEL_REVISION "controller-revision-hash"

struct revisions {
	struct client *client;
	struct informer *informer; /* of ControllerRevisions, with INDEX_CONTROLLER */
	const struct resource *owner_res;
};
/* Sees to it that the owner's current template has the newest revision, adopting and letting go of revisions by the
 * owner's selector; its hash, in the arena. */
int revision_sync(struct arena *a, const struct revisions *r, struct obj *owner, const struct selector *selector,
		  struct sv *ret_hash, struct err *err);
/* Deletes the oldest beyond the owner's revisionHistoryLimit, but those whose hash is one of the two or a pod's. */
int revision_prune(struct arena *a, const struct revisions *r, struct obj *owner, struct sv update, struct sv current,
		   struct obj *const *pods, size_t n_pods, struct err *err);
