/* revision.h - ControllerRevisions: the templates a DaemonSet or StatefulSet had, for rollbacks. */
#pragma once

#include "base/arena.h"
#include "client/client.h"
#include "client/informer.h"
#include "object/selector.h"

#define LABEL_REVISION "controller-revision-hash"	    /* of pods, and of a DaemonSet's revisions */
#define LABEL_REVISION_HASH "controller.kubernetes.io/hash" /* of a StatefulSet's revisions */

struct revisions {
	struct client *client;
	struct informer *informer; /* of ControllerRevisions, with INDEX_CONTROLLER */
	const struct resource *owner_res;
	const char *label; /* of a revision, with its hash */
};

/* How a revision is called: its object's name, and the template's hash that its name ends with. The label
 * controller-revision-hash of a DaemonSet's pod is the hash, of a StatefulSet's pod the name. */
struct revision_id {
	struct sv name, hash;
};

/* The revision that a template has when nothing else holds its name; strings in the arena. */
struct revision_id revision_of(struct arena *a, struct obj *owner, const struct val *tmpl, int64_t collisions);
/* Sees to it that the owner's current template has the newest revision, adopting and letting go of revisions by the
 * owner's selector. *ret is set in the arena, also when this fails. */
int revision_sync(struct arena *a, const struct revisions *r, struct obj *owner, const struct selector *selector,
		  struct revision_id *ret, struct err *err);
/* Deletes the oldest beyond the owner's revisionHistoryLimit, but those that the two or a pod's label name, be it
 * by name or by hash. */
int revision_prune(struct arena *a, const struct revisions *r, struct obj *owner, struct sv update, struct sv current,
		   struct obj *const *pods, size_t n_pods, struct err *err);
