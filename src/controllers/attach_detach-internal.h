/* attach_detach-internal.h - shared by attach_detach.c (life, events), attach_wanted.c (what pods of a node want) and
 * attach_node.c (one look at one node). */
#pragma once

#include "base/strmap.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"

#define ATTACH_PODS_BY_NODE "attach node"
#define ATTACH_BY_NODE "node of attachment"
#define ATTACH_BY_VOLUME "volume of attachment"
#define ATTACH_PATIENCE_NS (120 * NS_PER_SEC) /* until it is said that nobody attaches it: upstream's */
#define ATTACH_FORCE_NS (360 * NS_PER_SEC)    /* upstream's: a node that is lost has so long to say what it unmounted */

struct attach_detach {
	struct controller_ctx *ctx;
	struct informer *volumes, *claims, *pods, *nodes;
	/* Made with the first volume of a driver: most clusters have none. Set by the queue's one worker. */
	struct informer *attachments, *drivers;
	_Atomic bool begun; /* they are, or will be */
	struct workq *q;    /* names of nodes, mostly; one worker, so that no two nodes get one volume at once */
	/* The worker's own. */
	struct strmap made; /* volume name -> struct attach_made: what the cache does not show yet */
	struct strmap
	    since; /* attachment -> int64_t *: mono, since when nobody wants what its node still has mounted */
	/* volume name -> struct strmap * of nodes that wait for it to leave another, as each has said once */
	struct strmap refused;
};

struct attach_made {
	char *attachment, *node;
	int64_t at_ns; /* mono */
};

/* A volume of a driver that is to be attached to a node. */
struct attach_want {
	struct obj *volume; /* in the arena */
	struct sv driver, handle;
	struct obj **pods; /* of this node that use it */
	size_t n_pods;
	const char *unique; /* as the Node's status names it */
	const char *name;   /* of the VolumeAttachment */
};
/* A claim of a pod that cannot be followed yet: it may not be there, or not bound, or its volume is not. */
struct attach_unsure {
	struct sv ns, claim; /* in the arena */
	struct attach_unsure *next;
};
/* Of all pods of the node. *ret_unsure: what more may be wanted, NULL: nothing. */
struct attach_want *attach_wanted(struct attach_detach *c, struct arena *a, struct sv node, size_t *ret_n,
				  struct attach_unsure **ret_unsure);
/* Whether it may be at several nodes at once. */
bool attach_shared(const struct obj *volume);
/* Of the VolumeAttachment, by driver and handle. */
const char *attach_name(struct arena *a, const struct attach_want *w, struct sv node);
const char *attach_unique(struct arena *a, const struct obj *volume);
void attach_made_free(void *made);
void attach_refused_free(void *nodes);
int attach_reconcile(void *ctx, struct sv node, struct reconcile_result *ret, struct err *err);
