/* field_ref.h - the downward API: fields of a Pod and resources of a container as text. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

struct field_ref_node { /* what of the node may be asked for */
	const char *node_name;
	struct sv host_ips, pod_ip, pod_ips;		/* lists separated by blanks */
	int64_t cpu_milli, memory_bytes, storage_bytes; /* allocatable: the limit of a container without one */
};
/* "metadata.labels['x']", "status.podIP", "spec.nodeName", or a whole map for volumes ("metadata.labels"). */
int field_ref_text(struct arena *a, const struct val *pod, const struct field_ref_node *n, struct sv path,
		   struct sv *ret, struct err *err);
/* resourceFieldRef; container "": the one whose environment it is. */
int resource_ref_text(struct arena *a, const struct val *pod, const struct val *self, const struct field_ref_node *n,
		      const struct val *ref, struct sv *ret, struct err *err);
