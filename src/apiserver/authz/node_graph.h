/* node_graph.h - which node may reach which object, by the pods that are bound to it.
 *
 *	node ◀─ pod ◀─ Secret, ConfigMap, ServiceAccount, ResourceClaim
 *	node ◀─ pod ◀─ PersistentVolumeClaim ◀─ PersistentVolume (by its claimRef) ◀─ Secret
 *	node ◀─ VolumeAttachment, ResourceSlice, PodCertificateRequest		(by their spec.nodeName)
 *
 * Kept as counts: for each pair of a node and an object, over how many ways it is reached. A question is one look into
 * a hash map; a changed pod costs as much as it names, a changed volume the nodes that use its claim. A mirror pod
 * gives its node nothing but itself: the node wrote it.
 *
 * Threads: node_graph_observe() from the store's thread, questions from any.
 */
#pragma once

#include "object/obj.h"
#include "object/schema.h"

enum node_graph_kind {
	NODE_GRAPH_POD,
	NODE_GRAPH_SERVICE_ACCOUNT,
	NODE_GRAPH_SECRET,
	NODE_GRAPH_CONFIGMAP,
	NODE_GRAPH_CLAIM,
	NODE_GRAPH_RESOURCE_CLAIM,
	NODE_GRAPH_VOLUME,
	NODE_GRAPH_ATTACHMENT,
	NODE_GRAPH_SLICE,
	NODE_GRAPH_CERTIFICATE_REQUEST,
};

struct node_graph;

struct node_graph *node_graph_new(void);
struct node_graph *node_graph_free(struct node_graph *g); /* NULL is fine; returns NULL */
/* A Pod, PersistentVolume, VolumeAttachment, ResourceSlice or PodCertificateRequest changed; old or now may be NULL. */
void node_graph_observe(struct node_graph *g, const struct resource *res, struct obj *old, struct obj *now);
/* ns is "" for what lives in no namespace. */
bool node_graph_reaches(struct node_graph *g, struct sv node, enum node_graph_kind kind, struct sv ns, struct sv name);
/* Pairs of a node and an object that are known: for tests of what a change leaves behind. */
size_t node_graph_size(struct node_graph *g);
