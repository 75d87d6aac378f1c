/* pod_source.h - what a pod's references to fields, ConfigMaps and Secrets mean on this node. */
#pragma once

#include "kubelet/field_ref.h"

struct kubelet;
struct kpod;

void pod_field_node(struct kpod *p, struct arena *a, const struct val *pod, struct field_ref_node *ret);
/* A ConfigMap or Secret of the namespace, linked to a. */
int pod_get_config(struct kubelet *k, struct arena *a, struct sv ns, bool secret, struct sv name,
		   const struct val **ret, struct err *err);
