/* pod_refs.h - which other API objects a Pod, or a PersistentVolume, names.
 *
 * One walk for everybody who asks: what a node may read because of its pods (authz/node_graph.c), and what a node may
 * not write into a mirror pod (admission/node_restriction.c). Whoever adds a way to name an object adds it here.
 */
#pragma once

#include "codec/doc.h"

enum pod_ref {
	POD_REF_SERVICE_ACCOUNT,
	POD_REF_SECRET,
	POD_REF_CONFIGMAP,
	POD_REF_CLAIM,		/* a PersistentVolumeClaim, generic ephemeral ones included */
	POD_REF_RESOURCE_CLAIM, /* by name, generated for the pod, or for extended resources */
};

/* Calls fn for every object of the pod's own namespace it names, as often as it does; never with an empty name. The
 * name is borrowed for the call. */
void pod_refs_each(const struct val *pod, void (*fn)(enum pod_ref kind, struct sv name, void *ctx), void *ctx);

/* The claim of a generic ephemeral volume: "POD-VOLUME", in the buffer. */
struct buf;
struct sv pod_ephemeral_claim(struct buf *b, const struct val *pod, const struct val *volume);
/* The claim that a volume of the pod is, named by it or made for it, in the volume or the buffer; empty: it is none. */
struct sv pod_volume_claim(struct buf *b, const struct val *pod, const struct val *volume);

/* Calls fn for every Secret of a PersistentVolume that a kubelet needs to mount it; those of the controllers of a
 * driver are not among them. A reference without a namespace is to that of the claim. */
void volume_secrets_each(const struct val *volume, void (*fn)(struct sv ns, struct sv name, void *ctx), void *ctx);

/* What a pod without the API cannot have: the first such thing as upstream names it ("secrets", "configmaps (via
 * projected volumes)"), NULL when there is none. ret_unknown: set to the name of a volume of a kind nobody knows,
 * which counts as one, too. */
const char *pod_api_reference(const struct val *pod, struct sv *ret_unknown);

/* Does the pod stand for one that a node made from a file (annotation kubernetes.io/config.mirror)? */
#define POD_MIRROR_ANNOTATION "kubernetes.io/config.mirror"
bool pod_is_mirror(const struct val *pod);
