/* pod_env.h - the environment and references of a pod of ours (env_vars.h and field_ref.h meet the cluster). */
#pragma once

#include "kubelet/env_vars.h"
#include "kubelet/field_ref.h"

struct kubelet;
struct kpod;

int pod_env(struct kpod *p, struct arena *a, const struct val *pod, const struct val *container, struct env_list *ret,
	    struct err *err);
