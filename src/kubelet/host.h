/* host.h - the real machine behind struct kubelet_host. */
#pragma once

#include "kubelet/kubelet.h"

extern const struct kubelet_host kubelet_host_real;
/* Removes the pod's directory and its logs, a part at a time: 1: call again, 0: gone. */
int pod_dirs_remove(struct kubelet *k, const struct val *pod, struct err *err);
