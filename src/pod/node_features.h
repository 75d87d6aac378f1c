/* node_features.h - what a Pod needs of the program that runs it, and what Nodes declare of theirs
 * (status.declaredFeatures, KEP-5328).
 *
 *	scheduler, node agent	may it run there?	pod_features_needed()
 *	API server		may it become that?	pod_features_of_change()
 *	node agent		what is done here	node_features_write()
 *
 * Names and rules are upstream's of v1.37, each behind the gate of its name: a field whose gate is off is not there. A
 * name that is not known here is a newer node's and stands for nothing. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "codec/doc.h"

/* Bits, in the order of the names. */
enum node_feature {
	NODE_EXTEND_WEBSOCKETS = 1 << 0, /* a kubelet that speaks WebSocket; no Pod asks for it */
	NODE_POD_LEVEL_RESIZE = 1 << 1,
	NODE_INIT_RESIZE = 1 << 2,
	NODE_MEMORY_VOLUME_RESIZE = 1 << 3,
	NODE_RESTART_ALL = 1 << 4,
	NODE_USER_NS_HOST_NETWORK = 1 << 5,
	NODE_BIND_MOUNT_OPTIONS = 1 << 6,
};

/* What a Pod of this spec needs wherever it runs. */
unsigned pod_features_needed(const struct val *spec);
/* What becomes of a Pod that is on its node needs there. */
unsigned pod_features_of_change(const struct val *old_spec, const struct val *spec);
unsigned node_features_declared(const struct val *node_status);
/* "A, B" */
void node_features_text(unsigned features, struct buf *b);
/* Those of features whose gate is on, as status.declaredFeatures; nothing where there are none. */
void node_features_write(struct arena *a, unsigned features, struct val *node_status);
